"""An upstream's stream as events (docs.cohere.com, "A Guide to Streaming Responses", "Streaming for tool use").

`message-end` says why the answer ended and what was used, and is its end mark.
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
    LogprobsGiven,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...wire.messages import BadMessage
from .. import UpstreamWords
from ..bodies import NULL
from ..frames import FramedParser
from .errors import words_of
from .parse_answer import READ, Tokens, citations_of, openai_logprobs
from .usage import usage_of
from .vocabulary import DIALECT, reason_of, went_wrong

_UNSAID = UpstreamWords("The provider's stream failed.")
_CALLS_MAX = 10_000


class _Delta(msgspec.Struct):
    """`message` is read loosely: its members are a list at the start, and one entry of it later."""

    message: dict[str, Any] | None = None
    finish_reason: str | None = None
    usage: dict[str, Any] | None = None
    error: str | None = None


class _Event(msgspec.Struct):
    type: str | None = None
    index: int = 0
    id: str | None = None
    delta: _Delta | None = None
    logprobs: Tokens | None = None


_decoder = msgspec.json.Decoder(_Event)


class Parser(FramedParser):
    """See dialects.StreamParser."""

    __slots__ = ("_calls", "_calls_begun", "_has_content", "_is_started")

    def __init__(self) -> None:
        super().__init__()
        self._calls: dict[int, int] = {}  # the number of a call, by the index it has in the stream
        self._calls_begun = 0
        self._has_content = False
        self._is_started = False

    def _is_whole(self, data: bytes) -> bool:
        return _event_of(data) is not None

    def _take(self, kind: bytes, data: bytes, events: list[Event]) -> None:
        if data.strip() in (b"", b"[DONE]"):
            return
        event = _event_of(data)
        if event is None:
            raise BadMessage("an event of the stream is not the JSON it should be")
        delta = event.delta or _Delta()
        message = delta.message or {}
        if event.type in ("content-delta", "content-start"):
            content = _entry(message.get("content"))
            self._say(content, events)
            said = content.get("type")
            if isinstance(said, str) and said and said not in READ:
                events.append(ForeignGiven(Foreign(dialect=DIALECT, name=said, raw=NULL)))
            if event.logprobs is not None:
                events += map(LogprobsGiven, filter(None, [openai_logprobs([event.logprobs])]))
        elif event.type == "tool-plan-delta":
            self._add(ReasoningDelta, message.get("tool_plan"), events)
        elif event.type == "tool-call-start":
            self._call(event.index, _entry(message.get("tool_calls")), events)
        elif event.type == "tool-call-delta":
            self._argue(event.index, _entry(message.get("tool_calls")), events)
        elif event.type == "citation-start":
            events += map(Cited, citations_of(_entry(message.get("citations"))))
        elif event.type == "message-start":
            self._begin(event.id, events)
        elif event.type == "message-end":
            self._finish(delta, events)
        elif event.type is None:
            self._is_over = True
            events.append(Failed(words_of(msgspec.json.decode(data)) or _UNSAID))

    def _begin(self, answer_id: str | None, events: list[Event]) -> None:
        if not self._is_started:
            self._is_started = True
            events.append(Started(answer_id or ""))

    def _say(self, content: dict[str, Any], events: list[Event]) -> None:
        self._add(ReasoningDelta, content.get("thinking"), events)
        self._add(TextDelta, content.get("text"), events)

    def _add(self, kind: type[TextDelta] | type[ReasoningDelta], text: object, events: list[Event]) -> None:
        if isinstance(text, str) and text:
            self._has_content = True
            events.append(kind(text))

    def _call(self, index: int, call: dict[str, Any], events: list[Event]) -> None:
        if self._calls_begun >= _CALLS_MAX:
            raise BadMessage("the answer has too many calls")
        self._calls[index] = self._calls_begun
        function = _entry(call.get("function"))
        call_id, name = call.get("id"), function.get("name")
        events.append(
            ToolCallStarted(
                call=self._calls_begun,
                id=call_id if isinstance(call_id, str) else "",
                name=name if isinstance(name, str) else "",
            )
        )
        self._calls_begun += 1
        self._argue(index, call, events)

    def _argue(self, index: int, call: dict[str, Any], events: list[Event]) -> None:
        number = self._calls.get(index)
        text = _entry(call.get("function")).get("arguments")
        if isinstance(text, str) and text:
            if number is None:
                raise BadMessage("there are arguments of a call that has not begun")
            events.append(ArgumentsDelta(call=number, text=text))

    def _finish(self, delta: _Delta, events: list[Event]) -> None:
        if not self._is_started:
            raise BadMessage("the stream ended before it began")
        self._is_over = True
        usage = usage_of(delta.usage)
        if usage is not None:
            events.append(UsageReported(usage))
        if delta.error or went_wrong(delta.finish_reason, has_content=self._has_content or self._calls_begun > 0):
            events.append(Failed(UpstreamWords(delta.error) if delta.error else _UNSAID))
            return
        reason, native = reason_of(delta.finish_reason, has_calls=self._calls_begun > 0)
        events += [Finished(reason=reason, native_reason=native), Ended()]


def _entry(value: object) -> dict[str, Any]:
    """One entry, alone or the only one of a list."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else {}


def _event_of(data: bytes) -> _Event | None:
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
