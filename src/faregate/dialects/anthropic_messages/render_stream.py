"""Events as the client's stream (conformance 1.10, 2.5): blocks one after another, dense from 0, each of one kind.

A call of a tool stays open until its arguments are whole, for they may still come among those of others; what follows
it waits. A block without arguments says "{}".
"""

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Event,
    Finished,
    ReasoningDelta,
    Redacted,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...core.usage import NO_USAGE, Usage
from ..bodies import is_object
from .blocks import DIALECT, Written, call_id_shown, citation_shown, stop_details, stop_reason_of
from .exact import MESSAGE_STOP
from .render_answer import id_shown
from .usage import usage_shown

_encode = msgspec.json.Encoder().encode
_TEXT_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)
_EMPTY: dict[str, Written] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class Renderer:
    """See dialects.StreamRenderer."""

    __slots__ = (
        "_call",
        "_finished",
        "_has_arguments",
        "_has_begun",
        "_index",
        "_is_signed",
        "_model",
        "_open",
        "_refused",
        "_said",
        "_usage",
        "_waiting",
    )

    def __init__(self, request: ChatRequest) -> None:
        self._model = request.model
        self._has_begun = False
        self._index = -1  # of the newest block
        self._open = ""  # its kind, while it is open
        self._is_signed = False  # if it is thinking
        self._call = -1  # the number of the call that is open
        self._has_arguments = False
        self._said: list[str] = []  # the arguments of the call that is open
        self._waiting: list[Event] = []  # what came while that call is not whole
        self._usage: Usage | None = None
        self._finished = Finished(reason="stop")
        self._refused = False

    def render(self, event: Event) -> bytes:
        """See StreamRenderer."""
        if isinstance(event, UsageReported):
            self._usage = event.usage
            return b""
        if isinstance(event, Started):
            return self._begin(event)
        if getattr(event, "choice", 0):
            return b""  # a client of this API cannot ask for more than one
        if isinstance(event, Finished):
            self._finished = event
            return b""
        out = b"" if self._has_begun else self._begin(Started())
        if self._open == "tool_use":
            if isinstance(event, ArgumentsDelta) and event.call == self._call:
                self._said.append(event.text)
                return out + self._arguments(event.text)
            if self._waiting or not is_object("".join(self._said)):
                self._waiting.append(event)
                return out
        return out + self._say(event)

    def finish(self) -> tuple[bytes, bytes]:
        """See StreamRenderer."""
        out = b"" if self._has_begun else self._begin(Started())
        out += self._close()
        waiting, self._waiting = self._waiting, []
        arguments: dict[int, list[str]] = {}
        for event in waiting:
            if isinstance(event, ArgumentsDelta):
                arguments.setdefault(event.call, []).append(event.text)
        for event in waiting:
            if isinstance(event, ToolCallStarted):
                said = "".join(arguments.get(event.call, ()))
                out += self._say(event) + self._arguments(said) + self._close()
            elif not isinstance(event, ArgumentsDelta):
                out += self._say(event)
        return out + self._close() + self._end(), MESSAGE_STOP

    def _say(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            return self._in("text") + _TEXT_DELTA % (self._index, _encode(event.text))
        if isinstance(event, ReasoningDelta):
            return self._in("thinking") + self._delta({"type": "thinking_delta", "thinking": event.text})
        if isinstance(event, ToolCallStarted):
            out = self._close()
            self._call, self._has_arguments, self._said = event.call, False, []
            block: Written = {"type": "tool_use", "id": call_id_shown(event.id), "name": event.name, "input": {}}
            return out + self._start("tool_use", block)
        if isinstance(event, RefusalDelta):
            self._refused = True
            return self._in("text") + self._delta({"type": "text_delta", "text": event.text})
        if isinstance(event, Cited):
            return self._in("text") + self._delta(
                {"type": "citations_delta", "citation": citation_shown(event.citation)}
            )
        if isinstance(event, Signed) and event.signed_by == DIALECT and event.call is None and not event.is_text:
            signature: Written = {"type": "signature_delta", "signature": event.signature}
            out = self._in("thinking") + self._delta(signature)
            self._is_signed = True
            return out + self._close()
        if isinstance(event, Redacted) and event.signed_by == DIALECT:
            start = self._close() + self._start("redacted_thinking", {"type": "redacted_thinking", "data": event.data})
            return start + self._close()
        return b""

    def _begin(self, event: Started) -> bytes:
        if self._has_begun:
            return b""
        self._has_begun = True
        message = {
            "id": id_shown(event.id),
            "type": "message",
            "role": "assistant",
            "model": model_shown(event.model, self._model),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_shown(self._usage or NO_USAGE),
        }
        return b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n"

    def _in(self, kind: str) -> bytes:
        """A block of that kind is open: the one that is, or a new one."""
        return b"" if self._open == kind else self._close() + self._start(kind, _EMPTY[kind])

    def _start(self, kind: str, block: Written) -> bytes:
        self._open = kind
        self._is_signed = False
        self._index += 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return b"event: content_block_start\ndata: " + _encode(start) + b"\n\n"

    def _arguments(self, text: str) -> bytes:
        if not text:
            return b""
        self._has_arguments = True
        return self._delta({"type": "input_json_delta", "partial_json": text})

    def _delta(self, delta: Written) -> bytes:
        event = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":%b}\n\n'
        return event % (self._index, _encode(delta))

    def _close(self) -> bytes:
        """No block is open."""
        if not self._open:
            return b""
        rest = b""
        if self._open == "tool_use" and not self._has_arguments:
            rest = self._arguments("{}")
        elif self._open == "thinking" and not self._is_signed:
            rest = self._delta({"type": "signature_delta", "signature": ""})  # every such block ends with one
        self._open = ""
        stop = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
        return rest + stop % self._index

    def _end(self) -> bytes:
        finished = self._finished
        reason = stop_reason_of(finished.reason, finished.native_reason, finished.stop_sequence)
        reason = "refusal" if self._refused else reason
        details = stop_details(reason, finished.explanation)
        delta: Written = {"stop_reason": reason, "stop_sequence": finished.stop_sequence or None, **details}
        end = {"type": "message_delta", "delta": delta, "usage": usage_shown(self._usage or NO_USAGE)}
        return b"event: message_delta\ndata: " + _encode(end) + b"\n\n"
