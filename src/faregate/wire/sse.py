"""Server-sent events: bytes to frames and back, incremental and bounded.

The parser follows the HTML standard's event stream interpretation (WHATWG, section 9.2.6): lines end in CRLF, LF or
CR, a leading byte-order mark is dropped, comments are skipped, data lines are joined by LF, a frame ends at an empty
line. Each frame keeps its raw bytes, so that what needs no change can be relayed as it came.
"""

import re
from typing import NamedTuple

from .messages import BadMessage

LINE_BYTES_MAX = 1024 * 1024
MEDIA_LINE_BYTES_MAX = 32 * 1024 * 1024

FRAME_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
DONE = b"data: [DONE]\n\n"

# As a number, because `in` takes bytes for one first and makes an error of that, which costs more than the search.
RETURN = b"\r"[0]

_BOM = b"\xef\xbb\xbf"
# Two ends of lines, the first one written out: so the search can skip to a byte that may begin it.
_FRAME_END = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n))")


class Frame(NamedTuple):
    """One event: its data (None where it had none, a comment say), its type, and the bytes it came in."""

    data: bytes | None
    event: bytes
    raw: bytes


class FrameParser:
    """Feed bytes, get the frames they complete. BadMessage for a frame over `line_bytes_max`."""

    __slots__ = ("_buffer", "_line_bytes_max", "_searched", "_started")

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._searched = 0  # how much of the buffer is known to hold no frame's end
        self._started = False
        self._line_bytes_max = line_bytes_max

    @property
    def empty(self) -> bool:
        """Whether every byte that was fed has left in a frame."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        buffer = self._buffer
        if self._started and not buffer and _is_one_frame(data):  # nearly always
            return [parse_frame(data)]
        buffer += data
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(bytes(buffer)):
                return []
            self._started = True
            if buffer.startswith(_BOM):
                del buffer[: len(_BOM)]
        frames = []
        start = 0
        for end in self._frame_ends():
            frames.append(parse_frame(bytes(buffer[start:end])))
            start = end
        del buffer[:start]
        self._searched = max(0, len(buffer) - 3)
        if len(buffer) > self._line_bytes_max:
            raise BadMessage("an event is larger than the cap")
        return frames

    def _frame_ends(self) -> list[int]:
        buffer = self._buffer
        ends: list[int] = []
        if buffer.find(b"\r", self._searched) < 0:  # to look for LF alone is many times cheaper
            end = self._searched
            while (found := buffer.find(b"\n\n", end)) >= 0:
                end = found + 2
                ends.append(end)
            return ends
        for match in _FRAME_END.finditer(buffer, self._searched):
            end = match.end()
            if end == len(buffer) and buffer[end - 1] == 0x0D:
                break  # its LF may still come
            ends.append(end)
        return ends

    def close(self) -> Frame | None:
        """What is left at the end of the body, as a frame if it holds data.

        The standard discards an unfinished event; upstreams that forget the last empty line mean it all the same.
        """
        rest, self._buffer = bytes(self._buffer), bytearray()
        self._searched = 0
        frame = parse_frame(rest)
        return frame if frame.data is not None else None


def parse_frame(raw: bytes) -> Frame:
    """The frame that the lines of `raw` make."""
    data: list[bytes] = []
    event = b""
    for line in raw.splitlines():
        if not line or line.startswith(b":"):
            continue
        name, _, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value
    return Frame(b"\n".join(data) if data else None, event, raw)


def _is_one_frame(data: bytes) -> bool:
    """Whether `data` is a single frame, whole; false is no proof of the contrary."""
    if data.endswith(b"\n\n"):
        return data.find(b"\n\n") == len(data) - 2 and RETURN not in data
    return data.endswith(b"\r\n\r\n") and data.count(b"\n") == data.count(b"\r") == 2


def data_frame(data: bytes) -> bytes:
    """`data` (one line, JSON say) as an event without a type."""
    return b"data: %b\n\n" % data


def comment(text: bytes) -> bytes:
    """A comment: ignored by clients, but it keeps a connection alive."""
    return b": %b\n\n" % text
