"""An upstream's stream as events (API reference, ConverseStream, ConverseStreamOutput).

Usage comes after `messageStop`, with `metadata`, which is the end; where it does not come, the end of the body is.
"""

from typing import Any

import msgspec

from ...core.conversation import Foreign, Media
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    ForeignGiven,
    MediaGiven,
    ReasoningDelta,
    Redacted,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UpstreamWords,
    UsageReported,
)
from ...wire.eventstream import Message, MessageParser
from ...wire.messages import BadMessage
from ..bodies import NULL
from ..formats import ANSWER_TOOL
from ..frames import PatientParser
from .blocks import DIALECT, SIGNED_BY, reason_of, went_wrong
from .errors import words_of
from .parse_answer import ToolUse, citation_of, explanation_of, stop_sequence_of
from .usage import usage_of

_CALLS_MAX = 10_000
_KINDS_MAX = 100
_WORDS = -1  # the number of a call that stands for the answer
_UNREADABLE = UpstreamWords("The model's answer could not be read.")


class _Picture(msgspec.Struct):
    format: str = ""
    source: dict[str, Any] | None = None


class _Start(msgspec.Struct, rename="camel"):
    tool_use: ToolUse | None = None
    image: _Picture | None = None


class _Arguments(msgspec.Struct):
    input: str = ""


class _Reasoning(msgspec.Struct, rename="camel"):
    text: str = ""
    signature: str = ""
    redacted_content: str = ""


class _Delta(msgspec.Struct, rename="camel"):
    text: str | None = None
    tool_use: _Arguments | None = None
    reasoning_content: _Reasoning | None = None
    citation: Any = None
    image: _Picture | None = None


class _Event(msgspec.Struct, rename="camel"):
    """Any of the events: they have no member in common that means another thing."""

    content_block_index: int = -1
    start: _Start | None = None
    delta: _Delta | None = None
    stop_reason: str | None = None
    additional_model_response_fields: Any = None
    usage: dict[str, Any] | None = None
    trace: Any = None


class _Unread(msgspec.Struct):
    """The beginning or a piece of a block, of whatever kind: each is a union, one member says what it is."""

    start: dict[str, msgspec.Raw] | None = None
    delta: dict[str, msgspec.Raw] | None = None


_decoder = msgspec.json.Decoder(_Event)
_unread_decoder = msgspec.json.Decoder(_Unread)


class Parser(PatientParser):
    """See dialects.StreamParser."""

    __slots__ = ("_calls", "_end", "_foreign", "_has_calls", "_has_content", "_is_started", "_messages", "_pictures")

    def __init__(self) -> None:
        super().__init__()
        self._messages = MessageParser()
        self._calls: dict[int, int] = {}  # index of a block -> number of its call
        self._pictures: dict[int, str] = {}  # index of a block -> format of its picture
        self._foreign: set[str] = set()  # kinds of blocks that nobody else has, of which was told
        self._has_calls = 0
        self._has_content = False
        self._end: _Event | None = None
        self._is_started = False

    def _read(self, data: bytes, events: list[Event]) -> None:
        for message in self._messages.feed(data):
            if not self._is_over:
                self._take(message, events)

    def close(self) -> list[Event]:
        """See StreamParser."""
        events = self.feed(b"")  # raises where what came last was bad
        if not self._is_over and self._end is not None:
            self._finish(events, None)
        return events

    def _take(self, message: Message, events: list[Event]) -> None:
        headers = message.headers
        kind = headers.get(":message-type", "event")
        if kind == "exception":
            self._fail(words_of(headers.get(":exception-type", ""), message.payload), events)
        elif kind == "error":
            said = headers.get(":error-message") or "The provider's stream failed."
            self._fail(UpstreamWords(said, headers.get(":error-code")), events)
        else:
            self._happened(headers.get(":event-type", ""), message.payload, events)

    def _happened(self, name: str, payload: bytes, events: list[Event]) -> None:
        if name not in _KNOWN:
            return
        try:
            event = _decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadMessage("an event of the stream is not the JSON it should be") from None
        if name == "contentBlockDelta":
            self._begin(events)
            if not self._delta(event.content_block_index, event.delta or _Delta(), events):
                self._unread(payload, events)
        elif name == "contentBlockStart":
            self._begin(events)
            if not self._start(event.content_block_index, event.start or _Start(), events):
                self._unread(payload, events)
        elif name == "messageStart":
            self._begin(events)
        elif name == "messageStop":
            self._end = event
        elif name == "metadata":
            usage = usage_of(event.usage)
            if usage is not None:
                events.append(UsageReported(usage))
            if self._end is not None:
                self._finish(events, event.trace)

    def _begin(self, events: list[Event]) -> None:
        if not self._is_started:
            self._is_started = True
            events.append(Started())

    def _unread(self, payload: bytes, events: list[Event]) -> None:
        """Name what a block is that is not read, once: it comes in many pieces."""
        block = _unread_decoder.decode(payload)
        for name, raw in (block.start or block.delta or {}).items():
            if bytes(raw) != b"null":
                self._name(name, events)

    def _name(self, kind: str, events: list[Event]) -> None:
        if kind not in self._foreign and len(self._foreign) < _KINDS_MAX:
            self._foreign.add(kind)
            events.append(ForeignGiven(Foreign(dialect=DIALECT, name=kind, raw=NULL)))

    def _start(self, index: int, start: _Start, events: list[Event]) -> bool:
        """The beginning of a block; False for one that is not read."""
        if start.image is not None:
            self._pictures[index] = start.image.format
            return True
        call = start.tool_use
        if call is None:
            return False
        if call.type is None:
            self._call(index, call, events)
        else:  # of a tool of the provider's own
            self._name("toolUse", events)
        return True

    def _call(self, index: int, call: ToolUse, events: list[Event]) -> None:
        if self._has_calls >= _CALLS_MAX:
            raise BadMessage("the answer has too many calls")
        if call.name == ANSWER_TOOL:
            self._calls[index] = _WORDS
            return
        self._calls[index] = self._has_calls
        self._add(ToolCallStarted(call=self._has_calls, id=call.tool_use_id, name=call.name), events)
        self._has_calls += 1

    def _delta(self, index: int, delta: _Delta, events: list[Event]) -> bool:
        """A piece of a block; False for one that is not read."""
        if delta.text is not None:
            if delta.text:
                self._add(TextDelta(delta.text), events)
        elif delta.tool_use is not None:
            call = self._calls.get(index)  # else it is of a tool of the provider's own
            if call is not None and delta.tool_use.input:
                text = delta.tool_use.input
                self._add(TextDelta(text) if call == _WORDS else ArgumentsDelta(call=call, text=text), events)
        elif delta.reasoning_content is not None:
            self._thought(delta.reasoning_content, events)
        elif delta.citation is not None:
            citation = citation_of(delta.citation)
            if citation is not None:
                events.append(Cited(citation))
        elif delta.image is not None and delta.image.source is not None:
            data = delta.image.source.get("bytes")
            if isinstance(data, str) and data:
                kind = f"image/{self._pictures.get(index) or 'png'}"
                self._add(MediaGiven(Media(kind="image", media_type=kind, data=data)), events)
            else:
                return False
        else:
            return False
        return True

    def _thought(self, delta: _Reasoning, events: list[Event]) -> None:
        if delta.text:
            self._add(ReasoningDelta(delta.text), events)
        if delta.signature:
            events.append(Signed(signature=delta.signature, signed_by=SIGNED_BY))
        if delta.redacted_content:
            self._add(Redacted(data=delta.redacted_content, signed_by=SIGNED_BY), events)

    def _add(self, event: Event, events: list[Event]) -> None:
        self._has_content = True
        events.append(event)

    def _fail(self, words: UpstreamWords, events: list[Event]) -> None:
        self._is_over = True
        events.append(Failed(words))

    def _finish(self, events: list[Event], trace: object) -> None:
        if not self._is_started:
            raise BadMessage("the stream ended before it began")
        end = self._end or _Event()
        if went_wrong(end.stop_reason) and not self._has_content:
            self._fail(_UNREADABLE, events)
            return
        self._is_over = True
        reason, native = reason_of(end.stop_reason, has_calls=bool(self._has_calls))
        finished = Finished(
            reason=reason,
            native_reason=native,
            stop_sequence=stop_sequence_of(end.additional_model_response_fields),
            explanation=explanation_of(trace),
        )
        events += [finished, Ended()]


_KNOWN = frozenset({"messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata"})
