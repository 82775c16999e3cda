"""Bytes -> requests, without I/O.

Every head is read twice. Here it is cut at its empty line and split into fields, which costs a fraction of a callback
for each; then llhttp reads the same bytes, frames the body, and refuses what smugglers live on (length and chunking
together, bare LF, folded lines, characters that no field may hold, odd chunk sizes). Only what both agree on becomes a
request. Added to llhttp's rules, because two parsers could read it differently (security.md S13): one space each in
the request line, HTTP 1.0 or 1.1 alone, one Host, `chunked` as the only transfer coding and never with 1.0, nothing
but the next head between two messages; and the bounds of the head.

llhttp does not tell where in the bytes a message ends. So it is never given bytes of two messages at once: a sized body
goes to it up to its length, a chunked one up to each empty line, one of which is its end. What is read does not depend
on how the bytes were split on their way.
"""

import re
from collections.abc import Callable

import httptools

from .exchange import IncomingRequest
from .messages import BadMessage

_SINGLE_FIELDS = frozenset({b"host", b"content-length", b"authorization", b"content-type", b"transfer-encoding"})
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH_DIGITS_MAX = 18
_EMPTY_LINE = b"\r\n\r\n"
_SMALL_PIECE_BYTES = 64
_JOINED_PIECE_BYTES_MAX = 4096


class HeadTooLarge(BadMessage):
    """The head is over its bounds."""


class HeadBounds:
    """How large a head may be, in bytes and fields."""

    __slots__ = ("bytes_max", "fields_max", "target_bytes_max")

    def __init__(self, bytes_max: int, fields_max: int, target_bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.fields_max = fields_max
        self.target_bytes_max = target_bytes_max


class RequestReader:
    """Feed it a connection's bytes; `queue` gets each request when its head is complete, its body goes on arriving in
    `request.pieces`. `make_request` makes one from method and target."""

    __slots__ = (
        "_body_bytes_left",
        "_bounds",
        "_expected",
        "_known",
        "_known_head",
        "_known_headers",
        "_make_request",
        "_parser",
        "_tail",
        "_window",
        "body_bytes",
        "discarding",
        "incoming",
        "queue",
    )

    def __init__(self, make_request: Callable[[bytes, bytes], IncomingRequest], bounds: HeadBounds) -> None:
        self._make_request = make_request
        self._bounds = bounds
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._window = b""  # a head as far as it has come
        self._expected: IncomingRequest | None = None  # what we read in a head that llhttp has yet to confirm
        self._known_head = b""  # the last head with a Content-Length, that field cut out; and what was read in it
        self._known = (b"", b"", True, False)
        self._known_headers: dict[bytes, bytes] = {}
        self._tail = b""  # the last bytes of the chunked body so far, where an empty line may have begun
        self._body_bytes_left: int | None = 0  # how many the present body still wants; None where it is chunked
        self.body_bytes = 0  # how many bytes of bodies the last feed brought
        self.discarding = False  # whether the rest of the body that is arriving is of no interest
        self.incoming: IncomingRequest | None = None  # the request whose body is arriving
        self.queue: list[IncomingRequest] = []  # a deque would weigh 600 bytes in every connection

    @property
    def in_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return bool(self._window)

    def feed(self, data: bytes) -> None:
        """Take bytes. HeadTooLarge, BadMessage: nothing further is read."""
        self.body_bytes = 0
        while data:
            data = self._feed_head(data) if self.incoming is None else self._feed_body(data)

    def forget_head(self) -> None:
        """Let go of what was read in the last head."""
        self._known_head = b""
        self._known_headers = {}

    def close(self) -> None:
        """Let go of the parser, which holds us."""
        self._parser = None

    def _feed_head(self, data: bytes) -> bytes:
        window = self._window + data if self._window else data
        bounds = self._bounds
        end = window.find(_EMPTY_LINE, max(0, len(self._window) - 3))
        if end < 0:
            if len(window) > bounds.bytes_max:
                raise HeadTooLarge
            if _BARE_LINE_FEED.search(window):
                raise BadMessage("bare line feed")
            self._window = window
            return b""
        self._window = b""
        if end > bounds.bytes_max:
            raise HeadTooLarge
        request = self._read_head(window[:end])
        if b"upgrade" in request.headers:
            window = _without_upgrade(request, window[:end]) + window[end:]
            end = window.find(_EMPTY_LINE)
        self._expected = request
        if b"transfer-encoding" in request.headers:
            self._body_bytes_left = None
            self._parse(window[: end + 4])
            return window[end + 4 :]
        whole = end + 4 + (request.content_length or 0)
        if len(window) <= whole:
            self._body_bytes_left = whole - len(window)
            self._parse(window)
            return b""
        self._body_bytes_left = 0
        self._parse(window[:whole])
        return window[whole:]

    def _feed_body(self, data: bytes) -> bytes:
        left = self._body_bytes_left
        if left is None:
            end = self._empty_line_end(data)
        else:
            end = min(left, len(data))
            self._body_bytes_left = left - end
        self._parse(data[:end])
        return data[end:]

    def _empty_line_end(self, data: bytes) -> int:
        """Where the first empty line ends, else the data; it may have begun in the bytes before."""
        tail = self._tail
        found = (tail + data[:3]).find(_EMPTY_LINE) if tail else -1
        if found >= 0:
            found -= len(tail)
        else:
            found = data.find(_EMPTY_LINE)
            if found < 0:
                self._tail = (tail + data[-3:])[-3:]
                return len(data)
        self._tail = b""
        return found + 4

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            raise BadMessage("malformed HTTP") from None
        if self._expected is not None:
            raise BadMessage("malformed HTTP")

    def _read_head(self, head: bytes) -> IncomingRequest:
        """The request of a head. On a connection that is kept, one head differs from the last in its Content-Length at
        most, as a rule: then what was read of the last one holds for this one."""
        start = head.find(b"\r\nContent-Length: ")
        if start < 0:
            start = head.find(b"\r\ncontent-length: ")
        if start < 0:
            return self._read_new_head(head)
        end = head.find(b"\r", start + 18)
        end = len(head) if end < 0 else end
        around = head[:start] + head[end:]
        length = head[start + 18 : end]
        if around != self._known_head or not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
            request = self._read_new_head(head)
            self._known_head = around
            self._known = (request.method, head.split(b" ", 2)[1], request.http_11, request.expects_continue)
            self._known_headers = request.headers
            return request
        method, target, http_11, expects_continue = self._known
        request = self._make_request(method, target)
        request.http_11 = http_11
        request.expects_continue = expects_continue
        request.headers = headers = self._known_headers.copy()
        headers[b"content-length"] = length
        request.content_length = int(length)
        return request

    def _read_new_head(self, head: bytes) -> IncomingRequest:
        bounds = self._bounds
        if not head.isascii():  # nobody agrees on what such bytes mean (F70)
            raise BadMessage("a head that is not ASCII")
        lines = head.split(b"\r\n")
        words = lines[0].split(b" ")
        if len(words) != 3 or words[2] not in (b"HTTP/1.1", b"HTTP/1.0") or words[0] == b"CONNECT":
            raise BadMessage("malformed request line")
        if len(words[1]) > bounds.target_bytes_max or len(lines) > bounds.fields_max + 1:
            raise HeadTooLarge
        request = self._make_request(words[0], words[1])
        request.http_11 = words[2] == b"HTTP/1.1"
        fields = [line.partition(b":") for line in lines[1:]]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        if len(headers) != len(fields):
            headers = _joined(fields)
        request.headers = headers
        _check_framing(request)
        return request

    # llhttp's callbacks

    def on_message_begin(self) -> None:
        """A head begins: the one that we read."""
        if self._expected is None:
            raise BadMessage("malformed HTTP")

    def on_headers_complete(self) -> None:
        """llhttp has read the head that we read."""
        request, self._expected = self._expected, None
        parser = self._parser
        if request is None or parser is None or parser.get_method() != request.method:
            raise BadMessage("malformed HTTP")
        request.keep_alive = parser.should_keep_alive()
        self.incoming = request
        self.queue.append(request)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        request = self.incoming
        if request is not None and not self.discarding:
            size = len(data)
            request.body_bytes += size
            self.body_bytes += size
            pieces = request.pieces
            if size < _SMALL_PIECE_BYTES and pieces and len(pieces[-1]) < _JOINED_PIECE_BYTES_MAX:
                pieces[-1] += data  # a body of tiny chunks must not weigh many times its bytes
            else:
                pieces.append(data)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.incoming is not None:
            self.incoming.complete = True
            self.incoming = None
        self.discarding = False


def _joined(fields: list[tuple[bytes, bytes, bytes]]) -> dict[bytes, bytes]:
    """Fields of which some came more than once: joined by commas where that is their meaning."""
    headers: dict[bytes, bytes] = {}
    for name, _, value in fields:
        lowered = name.lower()
        if lowered not in headers:
            headers[lowered] = value.strip()
        elif lowered in _SINGLE_FIELDS:
            raise BadMessage("a field came twice")
        else:
            headers[lowered] += b", " + value.strip()
    return headers


def _check_framing(request: IncomingRequest) -> None:
    headers = request.headers
    if request.http_11 and b"host" not in headers:
        raise BadMessage("no Host")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or not request.http_11):
        raise BadMessage("unknown transfer coding")
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit() or len(length) > _LENGTH_DIGITS_MAX:
            raise BadMessage("malformed Content-Length")
        request.content_length = int(length)
    expect = headers.get(b"expect")
    request.expects_continue = expect is not None and request.http_11 and expect.lower() == b"100-continue"


def _without_upgrade(request: IncomingRequest, head: bytes) -> bytes:
    """The head of an h2c upgrade as the plain HTTP/1.1 request it also is; Java's client sends one by default.

    llhttp would stop at a head that asks to upgrade. Any other upgrade is refused.
    """
    if request.headers[b"upgrade"].lower() != b"h2c":
        raise BadMessage("upgrade is not supported")
    lines = head.split(b"\r\n")
    return b"\r\n".join(line for line in lines if not line.lower().startswith((b"upgrade:", b"http2-settings:")))
