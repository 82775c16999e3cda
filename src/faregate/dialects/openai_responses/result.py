"""Whole answers, both ways."""

from collections.abc import Iterator

import msgspec

from ...core.chat import ChatRequest
from ...core.conversation import (
    Choice,
    FinishReason,
    Foreign,
    Media,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
)
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Completion,
    Event,
    Finished,
    ForeignGiven,
    LogprobsGiven,
    MediaGiven,
    ReasoningDelta,
    Redacted,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...core.usage import Usage
from ...wire.messages import BadMessage
from .. import media
from .parts import ContentPart, citations_of, placed
from .proofs import NAME, item_id_of, thinking_of
from .renderer import Renderer
from .usage import read_usage

_NULL = msgspec.Raw(b"null")
_ENDED = ("completed", "incomplete")


class OutputItem(msgspec.Struct):
    """An item of an answer, of any type."""

    type: str
    id: str = ""
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    content: list[ContentPart] | None = None
    summary: list[ContentPart] | None = None
    encrypted_content: str | None = None
    result: str | None = None
    action: msgspec.Raw = _NULL


class Cause(msgspec.Struct):
    """Why an answer is not whole, or failed."""

    reason: str | None = None
    code: str | None = None
    message: str | None = None


class ResponseObject(msgspec.Struct):
    """A `response`, of those members that are read."""

    output: list[OutputItem]
    id: str = ""
    model: str = ""
    status: str = ""
    incomplete_details: Cause | None = None
    error: Cause | None = None
    usage: msgspec.Raw = _NULL


class _Action(msgspec.Struct):
    type: str = ""


class _Raws(msgspec.Struct):
    output: list[msgspec.Raw]


_decoder = msgspec.json.Decoder(ResponseObject)
_raws_decoder = msgspec.json.Decoder(_Raws)
_action_decoder = msgspec.json.Decoder(_Action | None)
_SEARCH_CALL = "web_search_call"


def decode_response(raw: bytes | msgspec.Raw) -> ResponseObject:
    """A `response` object. BadMessage for what is none."""
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the response it should be") from None


def parse_result(body: bytes) -> Completion:
    """See Dialect. BadMessage, for a failed one too."""
    response = decode_response(body)
    check_ended(response)
    raws = _raws_decoder.decode(body).output
    parts = tuple(part for item, raw in zip(response.output, raws, strict=True) for part in _parts(item, raw))
    reason, native = finish_of(response, has_calls=any(isinstance(part, ToolCall) for part in parts))
    logprobs = _logprobs(response)
    choice = Choice(parts=parts, reason=reason, native_reason=native, logprobs=logprobs)
    return Completion(id=response.id, model=response.model, choices=[choice], usage=usage_of(response))


def usage_of(response: ResponseObject) -> Usage | None:
    """What a response used: its own figures, and how often it searched the web, which is paid for by the call and
    which they do not tell. To open a page, or to look for words in one, is no search (guide to web search)."""
    usage = read_usage(response.usage)
    if usage is None:
        return None
    searches = sum(item.type == _SEARCH_CALL and _is_search(item.action) for item in response.output)
    return msgspec.structs.replace(usage, searches=searches) if searches else usage


def _is_search(action: msgspec.Raw) -> bool:
    try:
        decoded = _action_decoder.decode(action)
    except msgspec.DecodeError:
        return False
    return decoded is None or decoded.type == "search"


def check_ended(response: ResponseObject) -> None:
    """BadMessage for an answer that failed, or has not ended; where it does not say, it has if it holds anything."""
    if response.status not in _ENDED and (response.status or not response.output):
        raise BadMessage("the answer failed, or has not ended")


def finish_of(response: ResponseObject, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Why an answer ended, and the provider's own word where that says more."""
    if response.status == "incomplete":
        cause = (response.incomplete_details or Cause()).reason or ""
        if cause == "content_filter":
            return "content_filter", ""
        return "length", "" if cause == "max_output_tokens" else cause
    return ("tool_calls" if has_calls else "stop"), ""


def picture_of(item: OutputItem) -> Media:
    """A picture that was made."""
    data = item.result or ""
    try:
        shown = media.sniffed(data)
    except ValueError:
        raise BadMessage("a picture is no base64") from None
    return Media(kind="image", media_type=shown or "image/png", data=data)


def sound_of(data: str, media_type: str = "") -> Media:
    """A sound that was made, or a piece of one. BadMessage for what is none."""
    try:
        return Media(kind="audio", media_type=media_type or media.sound_of(data), data=data)
    except ValueError:
        raise BadMessage("a sound is no base64") from None


def thought_of(item: OutputItem) -> Thinking:
    """What a reasoning item says."""
    said = item.summary or item.content or ()
    return thinking_of("\n\n".join(part.text or "" for part in said), item.encrypted_content, item.id)


def _parts(item: OutputItem, raw: msgspec.Raw) -> Iterator[Part]:
    """The parts that an item is; hosted tools' own items are nothing that a client of another dialect called."""
    if item.type == "message":
        for part in item.content or ():
            if part.type == "refusal":
                yield Refusal(part.refusal or "")
            elif part.type == "output_audio":
                if part.transcript:
                    yield Text(part.transcript)
                if part.data:
                    yield sound_of(part.data)
            else:
                yield Text(part.text or "", citations=citations_of(part.annotations))
    elif item.type == "function_call":
        yield ToolCall(id=item.call_id or item.id, name=item.name or "", arguments=item.arguments or "{}")
    elif item.type == "reasoning":
        thinking = thought_of(item)
        if thinking.text or thinking.signature or thinking.redacted:
            yield thinking
    elif item.type == "image_generation_call" and item.result:
        yield picture_of(item)
    else:
        yield Foreign(dialect=NAME, name=item.type, raw=raw)


def _logprobs(response: ResponseObject) -> msgspec.Raw | None:
    found: list[msgspec.Raw] = []
    for item in response.output:
        for part in item.content or ():
            if memoryview(part.logprobs)[0] == b"["[0]:
                found += msgspec.json.decode(part.logprobs, type=list[msgspec.Raw])
    return msgspec.Raw(msgspec.json.encode({"content": found})) if found else None


def render_result(completion: Completion, request: ChatRequest) -> bytes:
    """See Dialect: as a stream of the same answer would have ended."""
    renderer = Renderer(request)
    for event in _events(completion):
        renderer.render(event)
    return msgspec.json.encode(renderer.ended())


def _events(completion: Completion) -> Iterator[Event]:
    choice = completion.choices[0]
    yield Started(completion.id, completion.model)
    calls = offset = 0
    for part in choice.parts:
        if isinstance(part, Text):
            yield TextDelta(part.text)
            for citation in part.citations:
                yield Cited(placed(citation, offset, len(part.text)))
            offset += len(part.text)
            continue
        offset = 0  # what follows is a text of its own
        if isinstance(part, ToolCall):
            yield ToolCallStarted(call=calls, id=part.id, name=part.name)
            yield ArgumentsDelta(call=calls, text=part.arguments)
            calls += 1
        else:
            yield from _said(part)
    if choice.logprobs is not None:
        yield LogprobsGiven(choice.logprobs)
    if completion.usage is not None:
        yield UsageReported(completion.usage)
    yield Finished(reason=choice.reason, native_reason=choice.native_reason, explanation=choice.explanation)


def _said(part: Part) -> Iterator[Event]:
    if isinstance(part, Refusal):
        yield RefusalDelta(part.text)
    elif isinstance(part, Media):
        yield MediaGiven(part)
    elif isinstance(part, Foreign):
        yield ForeignGiven(part)
    elif isinstance(part, Thinking):
        if part.redacted:
            yield Redacted(data=part.redacted, signed_by=part.signed_by or NAME)
        elif part.text:
            yield ReasoningDelta(part.text, thought_id=item_id_of(part))
        if part.signature:
            yield Signed(signature=part.signature, signed_by=part.signed_by or NAME)
