"""The byte-exact stream: what an upstream of the client's own dialect sends goes through untouched, still metered.

Most pieces hold nothing but content deltas, and a few substring searches prove it: a line break inside a JSON string is
always escaped, so a line that begins with `event:` is one. The rest is cut into frames and looked at one by one.
"""

from typing import Any

import msgspec

from ...core.catalog import is_form_of
from ...core.chat import ChatRequest
from ...wire.sse import FRAME_ENDS, RETURN, Frame, FrameParser
from .. import Observed, UpstreamWords
from ..counters import PLAIN_EVENT_BYTES_MAX, tokens_of
from ..splice import member_bytes, replace_member
from .errors import words_of
from .usage import UsageSoFar

MESSAGE_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
_TEXTS = ("text", "thinking", "partial_json")
_DELTA = b"event: content_block_delta\ndata: {"
_DELTA_BYTES = len(_DELTA)
_NOT_JSON = UpstreamWords("An event is not the JSON it should be.")


class _Event(msgspec.Struct):
    type: str
    message: dict[str, Any] | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Event)


class Exact:
    """StreamTransform that relays bytes (dialects/__init__.py)."""

    __slots__ = ("_frames", "_has_reason", "_is_flowing", "_is_started", "_model_asked", "_usage", "observed")

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._frames = FrameParser()
        self._usage = UsageSoFar()
        self._is_flowing = False  # content has begun, and no event is half here
        self._has_reason = False
        self._is_started = False
        self._model_asked = request.model

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for `data`."""
        observed = self.observed
        if self._is_flowing and data[:_DELTA_BYTES] == _DELTA and data[-3:] == b"}\n\n" and RETURN not in data:
            events = data.count(b"\n\n")
            # An event that is cut off in its midst ends in something else than a brace.
            is_plain = len(data) <= events * PLAIN_EVENT_BYTES_MAX
            if is_plain and events == data.count(_DELTA) == data.count(b"}\n\n"):
                observed.deltas += events
                return data
        out = b"".join([self._frame(frame) for frame in self._frames.feed(data)])
        self._is_flowing = observed.has_content and self._frames.empty
        return out

    def close(self) -> bytes:
        """The end of the body. Complete where the end mark came, or else a reason to stop."""
        frame = self._frames.close()
        rest = b""
        if frame is not None and frame.data is not None and _event_of(frame.data) is not None:
            rest = self._frame(frame)
            rest = rest.rstrip(b"\r\n") + b"\n\n" if rest else b""
        observed = self.observed
        if observed.done:
            observed.ending = observed.ending.rstrip(b"\r\n") + b"\n\n"  # its last line may be what was missing
        elif observed.error is None and self._has_reason and self._is_started:
            observed.finished = True
            observed.ending = MESSAGE_STOP
        return rest

    def _frame(self, frame: Frame) -> bytes:
        observed = self.observed
        if observed.done or observed.error is not None:
            return b""
        data = frame.data
        if data is None:
            return frame.raw
        event = _event_of(data)
        if event is None:
            if data == b"[DONE]":
                return b""  # of a compatible server; it means nothing here
            observed.error = _NOT_JSON  # not raised: what came before it, in the same bytes, is still to be relayed
            return b""
        raw = frame.raw if frame.event else b"event: %b\ndata: %b\n\n" % (event.type.encode(), data)
        if event.type in ("content_block_delta", "content_block_start"):
            observed.has_content = True
            if event.type == "content_block_delta":
                delta = event.delta or {}
                observed.deltas += tokens_of(*(delta.get(name) for name in _TEXTS))
        elif event.type == "message_start":
            return self._started(raw, data, event)
        elif event.type == "message_delta":
            self._delta(event)
        elif event.type == "message_stop":
            observed.done = True
            observed.finished = self._is_started  # an end without a beginning is no answer
            observed.ending = raw if raw.endswith(FRAME_ENDS) else MESSAGE_STOP
            return b""
        elif event.type == "error":
            observed.error = words_of({"error": event.error}) or UpstreamWords("The provider's stream failed.")
            return b""
        return raw

    def _started(self, raw: bytes, data: bytes, event: _Event) -> bytes:
        message = event.message or {}
        self._is_started = True
        self.observed.usage = self._usage.take(message.get("usage")) or self.observed.usage
        model = message.get("model")
        if not isinstance(model, str):
            return raw
        self.observed.model = model
        if is_form_of(model, self._model_asked):
            return raw
        inner = member_bytes(data, b"message").partition(b":")[2].strip()
        shown = replace_member(inner, b"model", msgspec.json.encode(self._model_asked))
        return b"event: message_start\ndata: %b\n\n" % replace_member(data, b"message", shown)

    def _delta(self, event: _Event) -> None:
        self.observed.usage = self._usage.take(event.usage) or self.observed.usage
        if event.delta and event.delta.get("stop_reason"):
            self._has_reason = True
            self.observed.has_content = True  # it may have stopped before it said anything


def _event_of(data: bytes) -> _Event | None:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
