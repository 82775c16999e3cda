"""Chunked bodies (RFC 9112 section 7.1), undone as they arrive; strictly, because two parsers that read a chunk
differently are what smugglers live on. A chunk extension is skipped, a trailer checked and skipped."""

import re

_CRLF = b"\r\n"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e]*+)?\Z").match
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+\Z").match
_DIGITS = tuple(int(chr(byte), 16) if chr(byte) in "0123456789abcdefABCDEF" else 0 for byte in range(256))
_SHORT_SIZES = {b"%x" % size: size for size in range(1, 2048)}
_SIZE_LINE_BYTES_MAX = 1024
_TRAILER_BYTES_MAX = 16 * 1024


def _is_trailer(data: bytes, start: int, end: int) -> bool:
    """Whether a line may stand in a trailer. Framing has no place there (RFC 9110 section 6.5.1)."""
    name = data[start:end].partition(b":")[0].lower()
    return _TRAILER(data, start, end) is not None and name not in (b"content-length", b"transfer-encoding")


class Chunks:
    """One chunked body. After `feed`, `settled` tells that no more will be read: then it has `ended`, or is `broken`.

    What is read does not depend on how the bytes were split.
    """

    __slots__ = ("_left", "_line", "_trailer_bytes", "broken", "ended", "rest", "settled")

    def __init__(self) -> None:
        self._left = 0  # of the chunk at hand, with the CRLF behind it
        self._line = b""  # a size or trailer line as far as it has come
        self._trailer_bytes = -1  # below 0: the trailer has not begun
        self.settled = False
        self.ended = False
        self.broken: str | None = None
        self.rest = b""  # behind the end

    def feed(self, data: bytes) -> bytes:
        """The bytes of the body in `data`, up to the end or to what is broken."""
        if not self._left and not self._line and self._trailer_bytes < 0:
            line, _, rest = data.partition(_CRLF)
            size = _SHORT_SIZES.get(line)
            if size is not None and len(rest) == size + 2 and rest[-2:] == _CRLF:
                return rest[:-2]  # one chunk and nothing else, as streams come
        pieces: list[bytes] = []
        self._feed(self._line + data if self._line else data, pieces)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _feed(self, data: bytes, pieces: list[bytes]) -> None:
        self._line = b""
        size = len(data)
        left = self._left
        at = 0
        while at < size:
            if left:
                stop = at + left
                if left > 2:
                    pieces.append(data[at : stop - 2])
                is_bad = data[-1] != 13 if stop == size + 1 else stop <= size and data[at:stop][-2:] != _CRLF[-left:]
                if is_bad:
                    self._break("a chunk is longer than it says")
                    break
                left = max(0, stop - size)
                at = stop
                continue
            if at + 5 < size and self._trailer_bytes < 0:  # chunks of a few bytes, of which there may be very many
                few = _DIGITS[data[at]]
                stop = at + 3 + few
                if (
                    few
                    and stop + 1 < size
                    and data[at + 1] == data[stop] == 13
                    and data[at + 2] == data[stop + 1] == 10
                ):
                    pieces.append(data[at + 3 : stop])
                    at = stop + 2
                    continue
            end = data.find(_CRLF, at)
            if end < 0 or self._trailer_bytes >= 0:
                at = self._read_line(data, at, end)
                if self.settled:
                    break
                continue
            known = _SIZE(data, at, end)
            if known is None or end - at > _SIZE_LINE_BYTES_MAX:
                self._break("a chunk has no size")
                break
            at = end + 2
            left = int(known[1], 16)
            if left:
                left += 2
            else:
                self._trailer_bytes = 0
        self._left = left

    def _read_line(self, data: bytes, at: int, end: int) -> int:
        """A line that is not complete, or one of the trailer; gives where the next one begins."""
        if end < 0:
            self._line = data[at:]
            bytes_max = _SIZE_LINE_BYTES_MAX if self._trailer_bytes < 0 else _TRAILER_BYTES_MAX
            if len(self._line) > bytes_max + 1:  # its CR may be there already
                self._break("a line without an end")
            return len(data)
        self._trailer_bytes += end - at
        if end == at:
            self.ended = self.settled = True
            self.rest = data[end + 2 :]
        elif self._trailer_bytes > _TRAILER_BYTES_MAX or not _is_trailer(data, at, end):
            self._break("a malformed trailer")
        return end + 2

    def _break(self, reason: str) -> None:
        self.broken = reason
        self.settled = True
