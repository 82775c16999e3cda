"""One request and its answer, as the handler sees them. The connection under both is connection.py's."""

from typing import TYPE_CHECKING

from ..core.ports import Source
from .messages import BODILESS_STATUSES, LAST_CHUNK, WireError, chunk, status_line
from .strand import Signal

if TYPE_CHECKING:
    from .connection import ServerConnection


_NO_HEADERS: dict[bytes, bytes] = {}


class BodyTooLarge(WireError):
    """The body is larger than the handler takes."""


class BodyTooSlow(WireError):
    """The body made no progress."""


class NoRoomForBody(WireError):
    """All bodies in flight together are larger than the server takes."""


class IncomingRequest:
    """A request whose head is complete. Header names are lower-case; names and values are bytes as they came."""

    __slots__ = (
        "_connection",
        "body_bytes",
        "client_address",
        "complete",
        "content_length",
        "expects_continue",
        "headers",
        "http_11",
        "keep_alive",
        "method",
        "path",
        "pieces",
        "query",
        "wanted",
    )

    def __init__(self, connection: "ServerConnection", method: bytes, target: bytes) -> None:
        self._connection = connection
        self.method = method
        self.path, _, self.query = target.partition(b"?")
        self.headers: dict[bytes, bytes] = {}
        self.client_address = connection.client_address
        self.http_11 = True
        self.keep_alive = True
        self.expects_continue = False
        self.complete = False
        self.content_length: int | None = None  # as stated; None where the body is chunked or absent
        self.body_bytes = 0
        self.pieces: list[bytes] = []
        self.wanted: Signal[None] | None = None

    def forget_head(self) -> None:
        """Let go of the headers: nobody will ask for them again, and a stream may last."""
        self.headers = _NO_HEADERS

    def authenticated(self) -> None:
        """The caller is known: the connection leaves the pool of unknown ones."""
        self._connection.authenticated()

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. BodyTooLarge beyond `bytes_max`; BodyTooSlow; NoRoomForBody; ClientGone."""
        length = self.content_length
        if length is not None and length > bytes_max:
            raise BodyTooLarge
        if not self.complete:
            await self._connection.receive_body(self, bytes_max)
        if self.body_bytes > bytes_max:
            raise BodyTooLarge
        pieces, self.pieces = self.pieces, []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class OutgoingResponse:
    """The answer to one request: `send` it whole, or `start`, `write` and `finish` it. `headers` is bytes of field
    lines (messages.header_lines); framing fields are added here. After the client is gone, writes do nothing."""

    __slots__ = (
        "_chunked",
        "_connection",
        "_head",
        "_headless",
        "_request",
        "bytes_out",
        "finished",
        "source",
        "status",
    )

    def __init__(self, connection: "ServerConnection", request: IncomingRequest) -> None:
        self._connection = connection
        self._request = request
        self._head = b""
        self._headless = request.method == b"HEAD"
        self._chunked = False
        self.source: Source | None = None
        self.status = 0
        self.finished = False
        self.bytes_out = 0

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer in one write."""
        if self.finished:
            return
        self.status = status
        self.bytes_out = len(body)
        framing = b"" if status in BODILESS_STATUSES else b"content-length: %d\r\n" % len(body)
        head = b"%b%b%b%b\r\n" % (
            status_line(status),
            headers,
            framing,
            self._connection.closing_field(self._request),
        )
        self.finished = True
        self._connection.write(head if self._headless else head + body)
        self._connection.turn_ended(self._request)

    def start(self, status: int, headers: bytes) -> None:
        """Begin an answer of unknown length. The head leaves with the first write."""
        self.status = status
        self._chunked = self._request.http_11
        if not self._chunked:
            self._request.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        closing = self._connection.closing_field(self._request)
        self._head = b"%b%b%b%b\r\n" % (status_line(status), headers, framing, closing)
        self._connection.forget_head(self._request)

    def write(self, data: bytes) -> None:
        """One piece of the body; one write to the socket."""
        if self.finished or not data:
            return
        self.bytes_out += len(data)
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self._head:
            data = self._head if self._headless else self._head + data
            self._head = b""
        elif self._headless:
            return
        self._connection.write(data)

    def finish(self, data: bytes = b"", trailers: bytes = b"") -> None:
        """The last piece and the end; `trailers` are field lines, sent where the body is chunked."""
        if self.finished:
            return
        self.finished = True
        self.bytes_out += len(data)
        if self._headless:
            data = b""
        elif self._chunked:
            tail = b"0\r\n%b\r\n" % trailers if trailers else LAST_CHUNK
            data = chunk(data) + tail if data else tail
        self._connection.write(self._head + data)
        self._head = b""
        self._connection.turn_ended(self._request)

    def abort(self) -> None:
        """Cut the connection: the client must see that the answer is incomplete."""
        self.finished = True
        self._connection.abort()

    def cancel(self, error: Exception) -> None:
        """Raise `error` in the handler where it waits, if it is still at work on this answer."""
        self._connection.cancel_turn(self, error)
