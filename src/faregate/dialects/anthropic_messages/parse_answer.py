"""An upstream's whole answer as a Completion (platform.claude.com, Messages API; conformance 2.2, 2.3)."""

from typing import Any

import msgspec

from ...core.conversation import Choice, Citation, FinishReason, Foreign, Part, Text, Thinking, ToolCall
from ...core.events import Completion
from ...wire.messages import BadMessage
from ..formats import ANSWER_TOOL
from .blocks import DIALECT
from .usage import usage_of

_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
# Those that another dialect's word says as well.
_PLAIN = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})


class _Answer(msgspec.Struct):
    content: list[msgspec.Raw]
    type: str = "message"
    id: str | None = None
    model: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    citations: list[Any] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


_decoder = msgspec.json.Decoder(_Answer)
_block_decoder = msgspec.json.Decoder(_Block)


def parse_result(body: bytes) -> Completion:
    """An upstream's whole answer. BadMessage for what is none."""
    try:
        answer = _decoder.decode(body)
        parts = [part for raw in answer.content for part in _parts_of(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    if answer.type != "message":
        raise BadMessage("the answer is no message")
    if not parts and answer.stop_reason is None:
        raise BadMessage("the answer says nothing, and not why")
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason, native = reason_of(answer.stop_reason, has_calls=has_calls)
    choice = Choice(
        parts=tuple(parts),
        reason=reason,
        native_reason=native,
        stop_sequence=answer.stop_sequence or "",
        explanation=explanation_of(answer.stop_details),
    )
    return Completion(id=answer.id or "", model=answer.model or "", choices=[choice], usage=usage_of(answer.usage))


def reason_of(word: str | None, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Why an answer ended, and the provider's word where ours says less."""
    if word is None:
        return ("tool_calls" if has_calls else "stop"), ""
    if word == "tool_use" and not has_calls:
        return "stop", ""  # of the tool that stands for an answer
    return _REASONS.get(word, "stop"), "" if word in _PLAIN else word


def explanation_of(details: object) -> str:
    """What is said of a refusal."""
    said = details.get("explanation") if isinstance(details, dict) else None
    return said if isinstance(said, str) else ""


def citation_of(raw: object) -> Citation | None:
    """One citation of a text, of whichever kind."""
    if not isinstance(raw, dict):
        return None

    def text(name: str) -> str:
        value = raw.get(name)
        return value if isinstance(value, str) else ""

    return Citation(
        url=text("url") or (text("source") if text("source").startswith("http") else ""),
        title=text("title") or text("document_title"),
        quoted=text("cited_text"),
    )


def arguments_of(given: msgspec.Raw) -> str:
    """The text of a call's arguments."""
    text = bytes(given).decode()
    return "{}" if text == "null" else text


def _parts_of(raw: msgspec.Raw) -> list[Part]:
    block = _block_decoder.decode(raw)
    if block.type == "text":
        found = [citation_of(each) for each in block.citations or ()]
        citations = tuple(citation for citation in found if citation is not None)
        return [Text(block.text, citations=citations)] if block.text else []
    if block.type == "thinking":
        signature = block.signature or ""
        return [Thinking(text=block.thinking or "", signature=signature, signed_by=DIALECT if signature else "")]
    if block.type == "redacted_thinking":
        return [Thinking(redacted=block.data or "", signed_by=DIALECT)]
    if block.type == "tool_use" and block.name == ANSWER_TOOL:
        return [Text(arguments_of(block.input))]
    if block.type == "tool_use":
        return [ToolCall(id=block.id or "", name=block.name or "", arguments=arguments_of(block.input))]
    return [Foreign(dialect=DIALECT, name=block.type, raw=msgspec.Raw(bytes(raw)))]
