"""The byte-exact stream: what an upstream of the client's own dialect sends goes through untouched, still metered.

The gateway always asks the upstream for usage, because it bills on it. A client that did not ask must see the stream
as it would have been: the usage frame is dropped, and a `usage` member on a frame with choices is cut out of its bytes
(contract.md 5.2). Everything else leaves as it came.

Two ways lead through here. Most pieces hold whole events with nothing to note, and a handful of substring searches
prove it: a quote inside a JSON string is always escaped, so `"usage"` in the bytes is a member's name. The rest is
cut into frames and looked at one by one.
"""

import re
from typing import Any

import msgspec

from ...core.chat import ChatRequest
from ...wire.sse import Frame, FrameParser
from .. import Observed, UpstreamWords
from .errors import words_of
from .halves import may_hold_halves, shelter_halves
from .usage import read_usage

_USAGE_NULL = b',"usage":null'
_NO_CHOICES = b'"choices":[]'
_BETWEEN_EVENTS = b'}\n\ndata: {"'
_DATED = re.compile(r"-(?:\d{4}-?\d{2}-?\d{2}|\d{4})\Z")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\],:]')


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
        "_reported",
        "observed",
    )

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._frames = FrameParser()
        self._is_flowing = False  # content has begun, and no event is half here
        self._keep_usage = request.include_usage
        self._model_asked = request.model
        self._model_written = b""  # the member as the upstream writes it, where it must be written anew
        self._model_shown = b'"model":' + msgspec.json.encode(request.model)
        self._last = b""  # the newest events with choices
        self._reported = False  # whether usage came alone, as it does at the end

    def feed(self, data: bytes) -> bytes:
        """The client's bytes for `data`."""
        observed = self.observed
        if (
            self._is_flowing
            and data.startswith(b'data: {"')
            and data.endswith(b"}\n\n")
            and b'"error"' not in data
            and b"\r" not in data
        ):
            usages = data.count(b'"usage"')
            events = data.count(b"\n\n")
            written = self._model_written
            if (
                (events == 1 or events == data.count(_BETWEEN_EVENTS) + 1)
                and (not usages or usages == data.count(_USAGE_NULL))
                and (not written or events == data.count(written) == data.count(b'"model"'))
            ):
                observed.deltas += events - (data.count(_NO_CHOICES) if usages else 0)
                self._last = data
                if usages and not self._keep_usage:
                    data = data.replace(_USAGE_NULL, b"")
                return data.replace(written, self._model_shown) if written else data
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
                rest += b"data: [DONE]\n\n"
        return rest

    def _frame(self, frame: Frame) -> bytes:
        observed = self.observed
        if observed.done or observed.error is not None:
            return b""
        data = frame.data
        if data is None:
            return frame.raw
        if data == b"[DONE]":
            observed.done = observed.finished = True
            return frame.raw
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
                self._model_written = _member_bytes(data, b"model")
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
        if has_content(choices):
            observed.has_content = True
            observed.deltas += 1
        if self._model_written:
            data = replace_member(data, b"model", msgspec.json.encode(self._model_asked))
        if data is original:
            return frame.raw
        if original in frame.raw:
            return frame.raw.replace(original, data)
        return b"data: %b\n\n" % data.replace(b"\n", b"\ndata: ")  # of several lines: written anew


def is_form_of(written: str, asked: str) -> bool:
    """Whether `written` is `asked` or a dated form of it (contract.md 3.1)."""
    return written == asked or (written.startswith(asked) and _DATED.fullmatch(written, len(asked)) is not None)


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


def _member_span(data: bytes, name: bytes) -> tuple[int, int, int] | None:
    """Where the top-level member `name` of a JSON object stands: start of its name, start and end of its value."""
    depth = 0
    quoted = b'"%b"' % name
    found: tuple[int, int] | None = None
    expecting_name = False
    for token in _TOKEN.finditer(data):
        text = token.group()
        mark = text[:1]
        if mark == b'"':
            if depth == 1 and expecting_name:
                expecting_name = False
                if text == quoted and found is None:
                    found = (token.start(), data.index(b":", token.end()) + 1)
        elif mark in b"{[":
            depth += 1
            expecting_name = depth == 1
        elif mark in b"}],":
            if depth == 1:
                if found is not None:
                    return (*found, token.start())
                expecting_name = True
            if mark != b",":
                depth -= 1
    return None


def _member_bytes(data: bytes, name: bytes) -> bytes:
    span = _member_span(data, name)
    return b"" if span is None else data[span[0] : span[2]].rstrip()


def cut_member(data: bytes, name: bytes) -> bytes:
    """A JSON object's bytes without its top-level member `name`, the rest untouched."""
    span = _member_span(data, name)
    if span is None:
        return data
    start, _, end = span
    before = data[:start].rstrip()
    if before.endswith(b","):
        return before[:-1] + data[end:]
    after = data[end:]
    return data[:start] + (after[1:].lstrip() if after.startswith(b",") else after)


def replace_member(data: bytes, name: bytes, value: bytes) -> bytes:
    """A JSON object's bytes with the value of its top-level member `name` replaced."""
    span = _member_span(data, name)
    if span is None:
        return data
    _, start, end = span
    return data[:start] + value + data[end:]
