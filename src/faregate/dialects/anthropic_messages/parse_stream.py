"""An upstream's stream as events (platform.claude.com, streaming messages; conformance 2.5).

The reason to stop is held back until the answer ends: with `message_stop`, or with its body where a reason was given.
"""

from typing import Any

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
    ReasoningDelta,
    Redacted,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...wire.messages import BadMessage
from .. import UpstreamWords
from ..bodies import NULL
from ..formats import ANSWER_TOOL
from ..frames import FramedParser
from .blocks import DIALECT
from .errors import words_of
from .parse_answer import citation_of, explanation_of, reason_of
from .usage import UsageSoFar

_UNSAID = UpstreamWords("The provider's stream failed.")
_BLOCKS_MAX = 10_000
_WORDS = -1  # the number of a call that stands for the answer


class _Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    usage: dict[str, Any] | None = None


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    partial_json: str | None = None
    citation: dict[str, Any] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: dict[str, Any] | None = None


class _Event(msgspec.Struct):
    type: str
    index: int = -1
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


class _Call(msgspec.Struct):
    """A call under way: its number, and the arguments that it began with."""

    number: int
    begun: str
    has_arguments: bool = False


_decoder = msgspec.json.Decoder(_Event)


class Parser(FramedParser):
    """See dialects.StreamParser."""

    __slots__ = ("_calls", "_end", "_has_calls", "_is_started", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._usage = UsageSoFar()
        self._calls: dict[int, _Call] = {}  # by the index of their block
        self._has_calls = 0
        self._end: _Delta | None = None
        self._is_started = False

    def _is_whole(self, data: bytes) -> bool:
        return _event_of(data) is not None

    def _body_ended(self, events: list[Event], *, is_cut: bool) -> None:
        if self._end is not None:
            self._finish(events)

    def _take(self, kind: bytes, data: bytes, events: list[Event]) -> None:
        if data.strip() == b"[DONE]":
            return
        event = _event_of(data)
        if event is None:
            raise BadMessage("an event of the stream is not the JSON it should be")
        if event.type == "content_block_delta":
            self._delta(event.index, event.delta or _Delta(), events)
        elif event.type == "content_block_start":
            self._start(event.index, event.content_block or _Block(), events)
        elif event.type == "content_block_stop":
            self._stop(event.index, events)
        elif event.type == "message_start":
            self._begin(event.message or _Message(), events)
        elif event.type == "message_delta":
            if event.delta is not None and event.delta.stop_reason is not None:
                self._end = event.delta
            self._report(event.usage, events)
        elif event.type == "message_stop":
            self._finish(events)
        elif event.type == "error":
            self._is_over = True
            events.append(Failed(words_of({"error": event.error}) or _UNSAID))

    def _begin(self, message: _Message, events: list[Event]) -> None:
        if not self._is_started:
            self._is_started = True
            events.append(Started(message.id or "", message.model or ""))
            self._report(message.usage, events)

    def _report(self, usage: object, events: list[Event]) -> None:
        known = self._usage.take(usage)
        if known is not None and (known.prompt or known.completion):  # at the beginning some do not know yet
            events.append(UsageReported(known))

    def _start(self, index: int, block: _Block, events: list[Event]) -> None:
        if block.type == "text" and block.text:
            events.append(TextDelta(block.text))
        elif block.type == "thinking":
            if block.thinking:
                events.append(ReasoningDelta(block.thinking))
            if block.signature:
                events.append(Signed(signature=block.signature, signed_by=DIALECT))
        elif block.type == "redacted_thinking":
            events.append(Redacted(data=block.data or "", signed_by=DIALECT))
        elif block.type == "tool_use":
            if self._has_calls >= _BLOCKS_MAX:
                raise BadMessage("the answer has too many calls")
            begun = bytes(block.input).decode()
            begun = begun if begun not in ("{}", "null") else ""
            if block.name == ANSWER_TOOL:
                self._calls[index] = _Call(_WORDS, begun)
                return
            self._calls[index] = call = _Call(self._has_calls, begun)
            self._has_calls += 1
            events.append(ToolCallStarted(call=call.number, id=block.id or "", name=block.name or ""))
        elif block.type and block.type != "text":
            events.append(ForeignGiven(Foreign(dialect=DIALECT, name=block.type, raw=NULL)))

    def _delta(self, index: int, delta: _Delta, events: list[Event]) -> None:
        if delta.type == "text_delta":
            if delta.text:
                events.append(TextDelta(delta.text))
        elif delta.type == "thinking_delta":
            if delta.thinking:
                events.append(ReasoningDelta(delta.thinking))
        elif delta.type == "signature_delta":
            if delta.signature:
                events.append(Signed(signature=delta.signature, signed_by=DIALECT))
        elif delta.type == "input_json_delta":
            call = self._calls.get(index)  # else it is of a tool of the provider's own
            if call is not None and delta.partial_json:
                call.has_arguments = True
                events.append(_arguments(call, delta.partial_json))
        elif delta.type == "citations_delta":
            citation = citation_of(delta.citation)
            if citation is not None:
                events.append(Cited(citation))

    def _stop(self, index: int, events: list[Event]) -> None:
        call = self._calls.pop(index, None)
        if call is not None and call.begun and not call.has_arguments:
            events.append(_arguments(call, call.begun))

    def _finish(self, events: list[Event]) -> None:
        if not self._is_started:
            raise BadMessage("the stream ended before it began")
        self._is_over = True
        for index in list(self._calls):
            self._stop(index, events)
        end = self._end or _Delta()
        reason, native = reason_of(end.stop_reason, has_calls=bool(self._has_calls))
        finished = Finished(
            reason=reason,
            native_reason=native,
            stop_sequence=end.stop_sequence or "",
            explanation=explanation_of(end.stop_details),
        )
        events += [finished, Ended()]


def _arguments(call: _Call, text: str) -> Event:
    return TextDelta(text) if call.number == _WORDS else ArgumentsDelta(call=call.number, text=text)


def _event_of(data: bytes) -> _Event | None:
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
