"""The byte-exact stream: what an upstream of the client's own dialect sends goes through untouched, still metered.

The gateway always asks the upstream for usage, because it bills on it. A client that did not ask must see the stream
as it would have been: the usage frame is dropped, and a `usage` member on a frame with choices is cut out of its bytes
(contract.md 5.2). Everything else leaves as it came.

Two ways lead through here. Most pieces hold whole events with nothing to note, and a handful of substring searches
prove it: a quote inside a JSON string is always escaped, so `"usage"` in the bytes is a member's name. The rest is
cut into frames and looked at one by one.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.catalog import is_form_of
from ...core.chat import ChatRequest
from ...wire.sse import DONE, FRAME_ENDS, RETURN, Frame, FrameParser
from .. import Observed, UpstreamWords
from ..counters import PLAIN_EVENT_BYTES_MAX, tokens_of
from ..halves import may_hold_halves, shelter_halves
from ..splice import cut_member, member_bytes, replace_member
from .errors import words_of
from .plain import PATTERNS_MAX, Pattern, content_pattern_of
from .usage import read_usage, with_cache_split

_USAGE_NULL = b',"usage":null'
_USAGE_NULL_BYTES = len(_USAGE_NULL)
_NO_CHOICES = b'"choices":[]'
_BETWEEN_EVENTS = b'}\n\ndata: {"'


_ABSENT = msgspec.Raw()
_NOT_JSON = UpstreamWords("An event is not the JSON it should be.")


class _Chunk(msgspec.Struct):
    model: str | None = None
    choices: list[Any] | None = None
    usage: msgspec.Raw = _ABSENT
    error: msgspec.Raw = _ABSENT


_chunk_decoder = msgspec.json.Decoder(_Chunk)


class Exact:
    """StreamTransform that relays bytes (dialects/__init__.py)."""

    __slots__ = (
        "_frames",
        "_is_flowing",
        "_keep_usage",
        "_last",
        "_model_asked",
        "_model_shown",
        "_model_written",
        "_pattern",
        "_patterns",
        "_reported",
        "_splits_cache",
        "observed",
    )

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._frames = FrameParser()
        self._is_flowing = False  # content has begun, and no event is half here
        self._keep_usage = request.include_usage
        self._splits_cache = request.splits_cache
        self._model_asked = request.model
        self._model_written = b""  # the member as the upstream writes it, where it must be written anew
        self._model_shown = b'"model":' + msgspec.json.encode(request.model)
        self._last = b""  # the newest events with choices
        self._pattern: Pattern | None = None  # of the last piece, where that was one event with words in it
        self._patterns = PATTERNS_MAX
        self._reported = False  # whether usage came alone, as it does at the end

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for `data`."""
        observed = self.observed
        if self._pattern is not None:
            shown = self._pattern.shown(data, observed)
            if shown is not None:
                self._patterns = PATTERNS_MAX
                return shown
            self._pattern = None
        if (
            self._is_flowing
            and data[:8] == b'data: {"'  # slices cost half as much as startswith and endswith
            and data[-3:] == b"}\n\n"
            and RETURN not in data
            and data.find(b'"error"') < 0
        ):
            size = len(data)
            events = 1 if data.find(b"\n\n") == size - 2 else data.count(b"\n\n")
            usages = data.count(b'"usage"')
            shown = data.replace(_USAGE_NULL, b"") if usages else data
            written = self._model_written
            if (
                (events == 1 or events == data.count(_BETWEEN_EVENTS) + 1)
                and size <= events * PLAIN_EVENT_BYTES_MAX
                and size - len(shown) == usages * _USAGE_NULL_BYTES
                and (not written or events == data.count(written) == data.count(b'"model"'))
            ):
                observed.deltas += events - (data.count(_NO_CHOICES) if usages else 0)
                self._last = data
                if self._keep_usage:
                    shown = data
                if written:
                    shown = shown.replace(written, self._model_shown)
                if self._patterns and events == 1:
                    self._patterns -= 1
                    self._pattern = content_pattern_of(data, shown)
                return shown
        out = b"".join([self._frame(frame) for frame in self._frames.feed(data)])
        self._is_flowing = observed.has_content and self._frames.empty
        return out

    def close(self) -> bytes:
        """The end of the body. Complete where the end mark came, or else the usage or a finish reason."""
        frame = self._frames.close()
        rest = b""
        if frame is not None and _is_whole(frame.data):
            rest = self._frame(frame)
            if rest:
                rest = rest.rstrip(b"\r\n") + b"\n\n"
        observed = self.observed
        if not observed.done and observed.error is None:
            said_end = self._reported or _says_finish(self._last)
            observed.finished = observed.has_content and said_end
            if observed.finished:
                observed.ending = DONE
        return rest

    def _frame(self, frame: Frame) -> bytes:
        observed = self.observed
        if observed.done or observed.error is not None:
            return b""
        data = frame.data
        if data is None:
            return frame.raw
        if data == b"[DONE]":
            observed.done = True
            observed.finished = bool(self._last)  # an end without a beginning is no answer
            observed.ending = frame.raw if frame.raw.endswith(FRAME_ENDS) else DONE
            return b""
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            observed.error = _NOT_JSON  # not raised: what came before it, in the same bytes, is still to be relayed
            return b""
        if _is_set(chunk.error):
            observed.error = words_of(msgspec.json.decode(data))
            if observed.error is not None:
                return b""
        return self._chunk(frame, data, chunk)

    def _chunk(self, frame: Frame, data: bytes, chunk: _Chunk) -> bytes:
        observed = self.observed
        original = data
        if observed.model is None and chunk.model is not None:
            observed.model = chunk.model
            if not is_form_of(chunk.model, self._model_asked):
                self._model_written = member_bytes(data, b"model")
        choices = chunk.choices or []
        if _is_set(chunk.usage):
            usage = read_usage(chunk.usage)
            observed.usage = usage or observed.usage
            self._reported = self._reported or not choices
        if choices:
            self._last = data
        if not self._keep_usage and chunk.usage is not _ABSENT:
            if not choices and _is_set(chunk.usage):
                return b""
            data = cut_member(data, b"usage")
        elif self._splits_cache and _is_set(chunk.usage):
            data = replace_member(data, b"usage", split_usage(chunk.usage))
        if has_content(choices):
            observed.has_content = True
            observed.deltas += tokens_of(*said_in(choices))
        if self._model_written:
            data = replace_member(data, b"model", msgspec.json.encode(self._model_asked))
        if data is original:
            return frame.raw
        if original in frame.raw:
            return frame.raw.replace(original, data)
        return b"data: %b\n\n" % data.replace(b"\n", b"\ndata: ")  # of several lines: written anew


def has_content(choices: list[Any]) -> bool:
    """Whether a chunk's choices carry anything that the model said: the commit point of a stream."""
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        if choice.get("text") or choice.get("finish_reason"):
            return True
        delta = choice.get("delta")
        if isinstance(delta, dict) and any(value and name != "role" for name, value in delta.items()):
            return True
    return False


def said_in(choices: list[Any]) -> Iterator[object]:
    """What a chunk's choices say, as texts."""
    for choice in choices:
        if not isinstance(choice, dict):
            continue
        yield choice.get("text")
        delta = choice.get("delta")
        if isinstance(delta, dict):
            yield from delta.values()
            calls = delta.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                function = call.get("function") if isinstance(call, dict) else None
                yield function.get("arguments") if isinstance(function, dict) else None


def split_usage(usage: msgspec.Raw) -> bytes:
    """A `usage` member with the cached and the fresh part of the prompt told apart, as JSON."""
    members = msgspec.json.decode(usage)
    return msgspec.json.encode(with_cache_split(members)) if isinstance(members, dict) else bytes(usage)


def _decode(data: bytes) -> _Chunk:
    """A chunk's members. Half of a surrogate pair is no error: its other half is in the next chunk."""
    try:
        return _chunk_decoder.decode(data)
    except msgspec.DecodeError:
        if not may_hold_halves(data):
            raise
        return _chunk_decoder.decode(shelter_halves(data))


def _is_set(raw: msgspec.Raw) -> bool:
    return raw is not _ABSENT and bytes(raw) != b"null"


def _is_whole(data: bytes | None) -> bool:
    """Whether an event whose end is missing is complete nevertheless."""
    try:
        return data == b"[DONE]" or (data is not None and _decode(data) is not None)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def _says_finish(data: bytes) -> bool:
    return re.search(rb'"finish_reason"\s*:\s*"', data) is not None
