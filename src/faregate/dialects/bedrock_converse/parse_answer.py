"""An upstream's whole answer as a Completion (API reference, Converse, Response Syntax)."""

from typing import Any

import msgspec

from ...core.conversation import Choice, Citation, Foreign, Media, Part, Text, Thinking, ToolCall
from ...core.events import Completion
from ...wire.messages import BadMessage
from ..formats import ANSWER_TOOL
from .blocks import DIALECT, SIGNED_BY, reason_of, went_wrong
from .usage import usage_of


class _Message(msgspec.Struct):
    content: list[dict[str, msgspec.Raw]]


class _Output(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output
    stop_reason: str | None = None
    usage: dict[str, Any] | None = None
    additional_model_response_fields: Any = None
    trace: Any = None


class ToolUse(msgspec.Struct, rename="camel"):
    """A call. `type` is set where the provider runs the tool itself."""

    tool_use_id: str = ""
    name: str = ""
    input: msgspec.Raw = msgspec.Raw(b"{}")
    type: str | None = None


class _ReasoningText(msgspec.Struct):
    text: str = ""
    signature: str = ""


class _Reasoning(msgspec.Struct, rename="camel"):
    reasoning_text: _ReasoningText | None = None
    redacted_content: str = ""


class _Words(msgspec.Struct):
    text: str = ""


class _Cited(msgspec.Struct):
    content: list[_Words] = []
    citations: list[dict[str, Any]] = []


class _Bytes(msgspec.Struct):
    bytes: str = ""


class _Picture(msgspec.Struct):
    format: str = ""
    source: _Bytes = msgspec.field(default_factory=_Bytes)


_decoder = msgspec.json.Decoder(_Answer)


def parse_result(body: bytes) -> Completion:
    """An upstream's whole answer. BadMessage for what is none."""
    try:
        answer = _decoder.decode(body)
        parts = [part for block in answer.output.message.content for part in _parts_of(block)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    if went_wrong(answer.stop_reason) and not parts:
        raise BadMessage("the model's answer could not be read")
    if not parts and answer.stop_reason is None:
        raise BadMessage("the answer says nothing, and not why")
    has_calls = any(isinstance(part, ToolCall) for part in parts)
    reason, native = reason_of(answer.stop_reason, has_calls=has_calls)
    choice = Choice(
        parts=tuple(parts),
        reason=reason,
        native_reason=native,
        stop_sequence=stop_sequence_of(answer.additional_model_response_fields),
        explanation=explanation_of(answer.trace),
    )
    return Completion(choices=[choice], usage=usage_of(answer.usage))


def stop_sequence_of(fields: object) -> str:
    """Which stop sequence ended the answer, where the model told."""
    said = fields.get("stop_sequence") if isinstance(fields, dict) else None
    return said if isinstance(said, str) else ""


def explanation_of(trace: object) -> str:
    """Why a guardrail stepped in, where it was asked to tell."""
    guardrail = trace.get("guardrail") if isinstance(trace, dict) else None
    said = guardrail.get("actionReason") if isinstance(guardrail, dict) else None
    return said if isinstance(said, str) else ""


def citation_of(raw: object) -> Citation | None:
    """One citation of a text, of whichever kind."""
    if not isinstance(raw, dict):
        return None
    location = raw.get("location")
    web = location.get("web") if isinstance(location, dict) else None
    url = web.get("url") if isinstance(web, dict) else None
    source, title, quoted = raw.get("source"), raw.get("title"), raw.get("sourceContent")
    if not isinstance(url, str):
        url = source if isinstance(source, str) and source.startswith("http") else ""
    texts = [each.get("text") for each in quoted if isinstance(each, dict)] if isinstance(quoted, list) else []
    return Citation(
        url=url,
        title=title if isinstance(title, str) else "",
        quoted="".join(text for text in texts if isinstance(text, str)),
    )


def arguments_of(given: msgspec.Raw) -> str:
    """The text of a call's arguments."""
    text = bytes(given).decode()
    return "{}" if text == "null" else text


def _parts_of(block: dict[str, msgspec.Raw]) -> list[Part]:
    """The parts of a block, which is a union: one member says what it is."""
    found = {name: raw for name, raw in block.items() if bytes(raw) != b"null"}
    if not found:
        return []
    name, raw = next(iter(found.items()))
    if name == "text":
        text = msgspec.json.decode(raw, type=str)
        return [Text(text)] if text else []
    if name == "reasoningContent":
        return _thoughts_of(msgspec.json.decode(raw, type=_Reasoning))
    if name == "toolUse":
        call = msgspec.json.decode(raw, type=ToolUse)
        if call.type is None and call.name == ANSWER_TOOL:
            return [Text(arguments_of(call.input))]
        if call.type is None:
            return [ToolCall(id=call.tool_use_id, name=call.name, arguments=arguments_of(call.input))]
    elif name == "citationsContent":
        cited = msgspec.json.decode(raw, type=_Cited)
        citations = [citation for each in cited.citations if (citation := citation_of(each)) is not None]
        return [Text("".join(each.text for each in cited.content), citations=tuple(citations))]
    elif name == "image":
        picture = msgspec.json.decode(raw, type=_Picture)
        if picture.source.bytes:
            return [Media(kind="image", media_type=f"image/{picture.format}", data=picture.source.bytes)]
    return [Foreign(dialect=DIALECT, name=name, raw=msgspec.Raw(bytes(raw)))]


def _thoughts_of(reasoning: _Reasoning) -> list[Part]:
    if reasoning.redacted_content:
        return [Thinking(redacted=reasoning.redacted_content, signed_by=SIGNED_BY)]
    said = reasoning.reasoning_text or _ReasoningText()
    if not said.text and not said.signature:
        return []
    return [Thinking(text=said.text, signature=said.signature, signed_by=SIGNED_BY if said.signature else "")]
