"""An upstream's stream as events (conformance.md 1.9)."""

import msgspec

from ...core.conversation import Foreign
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Ended,
    Event,
    Failed,
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
    UpstreamWords,
    UsageReported,
)
from ...wire.messages import BadMessage
from ..frames import FramedParser
from .parts import Annotation, citation_of
from .proofs import NAME
from .result import Cause, OutputItem, decode_response, finish_of, picture_of, sound_of, thought_of, usage_of

CALLS_MAX = 1_000
_NULL = msgspec.Raw(b"null")
_LIST = b"["[0]
ENDS = ("response.completed", "response.incomplete")


class StreamEvent(msgspec.Struct):
    """An event of the stream, of any type."""

    type: str = ""
    delta: msgspec.Raw = _NULL
    item: OutputItem | None = None
    item_id: str = ""
    output_index: int = 0
    summary_index: int = 0
    logprobs: msgspec.Raw = _NULL
    annotation: Annotation | None = None
    response: msgspec.Raw = _NULL
    error: Cause | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None
    sequence_number: int | None = None


class _WithItem(msgspec.Struct):
    item: msgspec.Raw


_SAID_BEFORE = frozenset({"message", "function_call", "reasoning", "image_generation_call"})
event_decoder = msgspec.json.Decoder(StreamEvent)


def failure_of(event: StreamEvent) -> UpstreamWords | None:
    """The words of an `error` event, or of a response that failed; None for any other event."""
    if event.type == "error":
        cause = event.error or Cause(code=event.code, message=event.message)
        return UpstreamWords(cause.message or "The provider gave no reason.", None, cause.code, event.param)
    if event.type == "response.failed":
        cause = decode_response(event.response).error or Cause()
        return UpstreamWords(cause.message or "The provider gave no reason.", None, cause.code)
    return None


class Parser(FramedParser):
    """See dialects.StreamParser."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}  # output_index -> number of the call
        self._with_arguments: set[int] = set()
        self._has_started = False
        self._sound = ""  # the media type of the sound that comes in pieces
        self._thoughts: set[int] = set()  # places of thoughts that had words

    def _is_whole(self, data: bytes) -> bool:
        return data == b"[DONE]" or _event_of(data) is not None

    def _take(self, kind: bytes, data: bytes, events: list[Event]) -> None:
        if data == b"[DONE]":
            return
        event = _event_of(data)
        if event is None:
            raise BadMessage("an event is not the JSON it should be")
        words = failure_of(event)
        if words is not None:
            self._is_over = True
            events.append(Failed(words))
        elif event.type in ("response.created", "response.in_progress"):
            self._start(event, events)
        elif event.type in ENDS:
            self._end(event, events)
        elif event.type == "response.output_item.added":
            if event.item is not None and event.item.type == "function_call":
                self._call(event.output_index, event.item, events)
        elif event.type == "response.output_item.done":
            self._item_done(event, data, events)
        else:
            self._delta(event, events)

    def _start(self, event: StreamEvent, events: list[Event]) -> None:
        if not self._has_started:
            self._has_started = True
            response = decode_response(event.response)
            events.append(Started(response.id, response.model))

    def _end(self, event: StreamEvent, events: list[Event]) -> None:
        self._start(event, events)
        response = decode_response(event.response)
        usage = usage_of(response)
        if usage is not None:
            events.append(UsageReported(usage))
        if event.type == "response.incomplete":
            response.status = "incomplete"
        reason, native = finish_of(response, has_calls=bool(self._calls))
        events += [Finished(reason=reason, native_reason=native), Ended()]
        self._is_over = True

    def _delta(self, event: StreamEvent, events: list[Event]) -> None:
        match event.type:
            case "response.output_text.delta":
                events.append(TextDelta(_text(event.delta)))
                if memoryview(event.logprobs)[0] == _LIST and bytes(event.logprobs) != b"[]":
                    events.append(LogprobsGiven(msgspec.Raw(b'{"content":%b}' % bytes(event.logprobs))))
            case "response.refusal.delta":
                events.append(RefusalDelta(_text(event.delta)))
            case "response.reasoning_summary_part.added" if event.summary_index:
                events.append(ReasoningDelta("\n\n", thought_id=event.item_id))
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._thoughts.add(event.output_index)
                events.append(ReasoningDelta(_text(event.delta), thought_id=event.item_id))
            case "response.function_call_arguments.delta":
                self._arguments(event.output_index, _text(event.delta), events)
            case "response.audio.delta" if event.delta is not _NULL:
                sound = sound_of(_text(event.delta), self._sound)
                self._sound = sound.media_type
                events.append(MediaGiven(sound))
            case "response.audio.transcript.delta":
                events.append(TextDelta(_text(event.delta)))
            case "response.output_text.annotation.added":
                found = event.annotation
                if found is not None and found.type == "url_citation" and found.url:
                    events.append(Cited(citation_of(found)))

    def _call(self, place: int, item: OutputItem, events: list[Event]) -> None:
        if place in self._calls:
            return
        if len(self._calls) >= CALLS_MAX:
            raise BadMessage("the answer calls too many tools")
        number = self._calls[place] = len(self._calls)
        events.append(ToolCallStarted(call=number, id=item.call_id or item.id, name=item.name or ""))
        if item.arguments:
            self._arguments(place, item.arguments, events)

    def _arguments(self, place: int, text: str, events: list[Event]) -> None:
        number = self._calls.get(place)
        if number is None:
            raise BadMessage("arguments came for a call that was not begun")
        self._with_arguments.add(place)
        events.append(ArgumentsDelta(call=number, text=text))

    def _item_done(self, event: StreamEvent, data: bytes, events: list[Event]) -> None:
        """An item is whole: what its deltas did not say is said now."""
        item, place = event.item, event.output_index
        if item is None:
            return
        if item.type == "function_call":
            self._call(place, item, events)
            if place not in self._with_arguments and item.arguments:
                self._arguments(place, item.arguments, events)
        elif item.type == "reasoning":
            thinking = thought_of(item)
            if thinking.text and place not in self._thoughts:
                events.append(ReasoningDelta(thinking.text, thought_id=item.id))
            if thinking.redacted:
                events.append(Redacted(data=thinking.redacted, signed_by=thinking.signed_by or NAME))
            elif thinking.signature:
                events.append(Signed(signature=thinking.signature, signed_by=thinking.signed_by))
        elif item.type == "image_generation_call" and item.result:
            events.append(MediaGiven(picture_of(item)))
        elif item.type not in _SAID_BEFORE:
            raw = msgspec.json.decode(data, type=_WithItem).item
            events.append(ForeignGiven(Foreign(dialect=NAME, name=item.type, raw=raw)))


def _event_of(data: bytes) -> StreamEvent | None:
    try:
        return event_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)
    except msgspec.DecodeError:
        raise BadMessage("a delta is no text") from None
