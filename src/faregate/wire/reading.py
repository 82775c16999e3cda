"""Bytes -> requests, without I/O: llhttp's callbacks, and the checks that it leaves to us.

llhttp refuses what smugglers live on (length and chunking together, bare LF, folded lines, odd chunk sizes). Added
here, because two parsers could read them differently (security.md S13): the request line with one space each, HTTP
1.0 or 1.1 alone, one Host, `chunked` as the only transfer coding and never with 1.0; and the bounds of the head.
"""

import collections
from collections.abc import Callable

import httptools

from .exchange import IncomingRequest
from .messages import BadMessage

_SINGLE_FIELDS = frozenset(
    {b"host", b"content-length", b"authorization", b"content-type", b"transfer-encoding"}
)
_FRAMING_FIELDS = (b"host", b"content-length", b"transfer-encoding")


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
        "_after_message",
        "_body_bytes",
        "_bounds",
        "_fields",
        "_head_bytes",
        "_make_request",
        "_muted",
        "_parser",
        "_target",
        "_upgrading",
        "_window",
        "discarding",
        "in_head",
        "incoming",
        "queue",
    )

    def __init__(self, make_request: Callable[[bytes, bytes], IncomingRequest], bounds: HeadBounds) -> None:
        self._make_request = make_request
        self._bounds = bounds
        self._parser = httptools.HttpRequestParser(self)
        self._window = b""  # the bytes in which the present head stands, for the check of its first line
        self._after_message = False  # whether that head came behind an earlier message in the same bytes
        self._body_bytes = 0
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._upgrading = False
        self._muted = False
        self.in_head = False  # whether a head has begun and is not complete
        self.discarding = False  # whether the rest of the body that is arriving is of no interest
        self.incoming: IncomingRequest | None = None
        self.queue: collections.deque[IncomingRequest] = collections.deque()

    def feed(self, data: bytes) -> int:
        """Take bytes; returns how many of them belong to a body. HeadTooLarge, BadMessage: nothing further is read."""
        self._body_bytes = 0
        if self._window:
            self._window += data
        else:
            self._window = data
            self._after_message = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise cause if isinstance(cause, BadMessage) else BadMessage("malformed HTTP") from None
        if not self.in_head:
            self._window = b""
        elif len(self._window) > 2 * self._bounds.bytes_max:
            raise HeadTooLarge
        return self._body_bytes

    def close(self) -> None:
        """Let go of the parser, which holds us."""
        self._parser = None  # type: ignore[assignment]

    # llhttp's callbacks

    def on_message_begin(self) -> None:
        """The first byte of a head."""
        self.in_head = True

    def on_url(self, target: bytes) -> None:
        """A piece of the target."""
        if not self._muted:
            self._target = self._target + target
            self._head_bytes += len(target)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head, or of the trailers, which nobody asked for."""
        if self._muted:
            return
        self._head_bytes += len(name) + len(value) + 4
        self._fields.append((name, value))
        if self._head_bytes > self._bounds.bytes_max or len(self._fields) > self._bounds.fields_max:
            raise HeadTooLarge

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self.in_head = False
        if self._muted:
            self._muted = False
            return
        parser = self._parser
        method = parser.get_method()
        target, self._target = self._target, b""
        if len(target) > self._bounds.target_bytes_max:
            raise HeadTooLarge
        version = parser.get_http_version()
        self._check_request_line(method, target, version)
        request = self._make_request(method, target)
        fields, self._fields = self._fields, []
        self._head_bytes = 0
        headers = request.headers
        for name, value in fields:
            lowered = name.lower()
            if lowered not in headers:
                headers[lowered] = value
            elif lowered in _SINGLE_FIELDS:
                raise BadMessage("a field came twice")
            else:
                headers[lowered] = headers[lowered] + b", " + value
        request.http_11 = version == "1.1"
        request.keep_alive = parser.should_keep_alive()
        _check_framing(request)
        self._upgrading = parser.should_upgrade()
        self.incoming = request
        self.queue.append(request)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        request = self.incoming
        if request is not None and not self.discarding:
            size = len(data)
            request.body_bytes += size
            self._body_bytes += size
            request.pieces.append(data)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._upgrading:
            return
        if self.incoming is not None:
            self.incoming.complete = True
            self.incoming = None
        self._fields = []
        self._head_bytes = 0
        self._after_message = True
        self.discarding = False

    # Checks

    def _check_request_line(self, method: bytes, target: bytes, version: str) -> None:
        if version not in ("1.1", "1.0"):
            raise BadMessage("HTTP version")
        # llhttp takes several spaces and empty lines before a head. A head that came behind an earlier message in the
        # same bytes stands somewhere in them, any other at their start.
        line = b"%b %b HTTP/1." % (method, target)
        window = self._window
        if not (line in window if self._after_message else window.startswith(line)):
            raise BadMessage("malformed request line")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read an h2c upgrade as the plain HTTP/1.1 request it also is; Java's client sends one by default.

        llhttp stops at the head of a request that asks to upgrade. A fresh parser takes over, told the framing, with
        our callbacks muted for that head. Any other upgrade is refused.
        """
        request = self.incoming
        if request is None or request.headers.get(b"upgrade", b"").lower() != b"h2c":
            raise BadMessage("upgrade is not supported")
        framing = [
            b"%b: %b\r\n" % (name, request.headers[name])
            for name in _FRAMING_FIELDS
            if name in request.headers
        ]
        self._upgrading = False
        self._muted = True
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))
            if rest:
                self._parser.feed_data(rest)
        except httptools.HttpParserError:
            raise BadMessage("malformed HTTP") from None


def _check_framing(request: IncomingRequest) -> None:
    headers = request.headers
    if request.http_11 and b"host" not in headers:
        raise BadMessage("no Host")
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or not request.http_11):
        raise BadMessage("unknown transfer coding")
    expect = headers.get(b"expect")
    request.expects_continue = expect is not None and request.http_11 and expect.lower() == b"100-continue"
