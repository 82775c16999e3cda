"""An upstream's whole answer as a Completion (docs.cohere.com, API reference, Chat), and the readings that its stream
shares."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.conversation import Choice, Citation, Foreign, Part, Text, Thinking, ToolCall
from ...core.events import Completion
from ...wire.messages import BadMessage
from ..bodies import NULL
from .usage import usage_of
from .vocabulary import DIALECT, reason_of, went_wrong

_QUOTED = ("snippet", "text", "content")  # members of a source that hold its words
_CITATIONS_MAX = 1_000
READ = ("text", "thinking")  # the types of content that are read


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    id: str | None = None
    function: _Function = msgspec.field(default_factory=_Function)


class _Content(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None


class _Message(msgspec.Struct):
    content: list[_Content] | None = None
    tool_plan: str | None = None
    tool_calls: list[_Call] | None = None
    citations: list[Any] | None = None


class Tokens(msgspec.Struct):
    """The probabilities of a piece of text, which may be of several tokens."""

    text: str | None = None
    logprobs: list[float] | None = None


class _Answer(msgspec.Struct):
    message: _Message
    id: str | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    logprobs: list[Tokens] | None = None


_decoder = msgspec.json.Decoder(_Answer)


def parse_result(body: bytes) -> Completion:
    """An upstream's whole answer. BadMessage for what is none, and for one that went wrong."""
    try:
        answer = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    parts = _parts(answer.message)
    word = answer.finish_reason
    if went_wrong(word, has_content=bool(parts)):
        raise BadMessage("the answer went wrong")
    if not parts and word is None:
        raise BadMessage("the answer says nothing, and not why")
    reason, native = reason_of(word, has_calls=any(isinstance(part, ToolCall) for part in parts))
    choice = Choice(
        parts=tuple(parts), reason=reason, native_reason=native, logprobs=openai_logprobs(answer.logprobs or [])
    )
    return Completion(id=answer.id or "", choices=[choice], usage=usage_of(answer.usage))


def _parts(message: _Message) -> list[Part]:
    """What is said, in the order of the wire: a plan of calls is what was thought before them."""
    parts: list[Part] = []
    for index, content in enumerate(message.content or ()):
        if content.thinking:
            parts.append(Thinking(text=content.thinking))
        if content.text:
            cited = (raw for raw in message.citations or () if _is_of(raw, index))
            citations = tuple(citation for raw in cited for citation in citations_of(raw))
            parts.append(Text(content.text, citations=citations[:_CITATIONS_MAX]))
        if content.type and content.type not in READ:
            parts.append(Foreign(dialect=DIALECT, name=content.type, raw=NULL))
    if message.tool_plan:
        parts.append(Thinking(text=message.tool_plan))
    for call in message.tool_calls or ():
        function = call.function
        arguments = function.arguments or ""
        parts.append(
            ToolCall(id=call.id or "", name=function.name or "", arguments=arguments if arguments.strip() else "{}")
        )
    return parts


def _is_of(raw: object, index: int) -> bool:
    """Whether a citation is of the content of that index; where nobody says, of any."""
    return isinstance(raw, dict) and raw.get("content_index") in (None, index)


def citations_of(raw: object) -> Iterator[Citation]:
    """The sources of a citation of an answer's words, one by one; nothing for those of plans and thoughts."""
    if not isinstance(raw, dict) or raw.get("type") not in (None, "TEXT_CONTENT"):
        return
    sources = raw.get("sources")
    for source in sources if isinstance(sources, list) else ():
        found = source.get("document") or source.get("tool_output") if isinstance(source, dict) else None
        if isinstance(found, dict):
            quoted = next((text for name in _QUOTED if (text := _text(found.get(name)))), "")
            yield Citation(
                url=_text(found.get("url")),
                title=_text(found.get("title")),
                quoted=quoted,
                start=_place(raw.get("start")),
                end=_place(raw.get("end")),
            )


def openai_logprobs(pieces: list[Tokens]) -> msgspec.Raw | None:
    """OpenAI's `logprobs`; None where there are none. Of a piece with several tokens nobody says which is which: it is
    as one, as likely as all of them together."""
    content = [
        {"token": piece.text, "logprob": sum(piece.logprobs), "bytes": list(piece.text.encode()), "top_logprobs": []}
        for piece in pieces
        if piece.text and piece.logprobs
    ]
    return msgspec.Raw(msgspec.json.encode({"content": content, "refusal": None})) if content else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _place(value: object) -> int:
    return value if type(value) is int and value >= 0 else -1
