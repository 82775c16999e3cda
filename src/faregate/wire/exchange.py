"""One request and its answer, as the handler sees them. The connection under both is connection.py's."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from ..core.errors import ClientGone
from ..core.ports import Source
from .heads import RequestHead
from .messages import BODILESS_STATUSES, LAST_CHUNK, STATUS_LINES, WireError, chunk, status_line
from .strand import Signal, Strand

if TYPE_CHECKING:
    from .connection import ServerConnection


class BodyTooLarge(WireError):
    """The body is larger than the handler takes."""


class BodyTooSlow(WireError):
    """The body made no progress."""


class NoRoomForBody(WireError):
    """All bodies in flight together are larger than the server takes."""


class IncomingRequest(msgspec.Struct, eq=False):
    """A request whose head is complete."""

    _connection: "ServerConnection"
    head: RequestHead
    content_length: int | None  # as stated; None where the body is chunked or absent
    keep_alive: bool
    expects_continue: bool
    client_address: str = ""
    complete: bool = False
    body_bytes: int = 0
    pieces: list[bytes] = []
    wanted: Signal[None] | None = None

    @property
    def method(self) -> bytes:
        """The method, as it came."""
        return self.head.method

    @property
    def path(self) -> bytes:
        """The target up to the first question mark, as it came."""
        return self.head.path

    @property
    def query(self) -> bytes:
        """The target behind the first question mark, as it came."""
        return self.head.query

    @property
    def headers(self) -> Mapping[bytes, bytes]:
        """The header fields, names in lower case; not to be relied on for the length."""
        return self.head.headers

    def authenticated(self) -> None:
        """The caller is known: the connection leaves the pool of unknown ones."""
        self._connection.authenticated()

    def take_body(self, bytes_max: int) -> bytes | None:
        """The whole body if it is here, else None. BodyTooLarge beyond `bytes_max`, even before it is here."""
        if self.body_bytes > bytes_max or (self.content_length or 0) > bytes_max:
            raise BodyTooLarge
        if not self.complete:
            return None
        pieces = self.pieces
        self.pieces = []
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def body(self, bytes_max: int) -> bytes:
        """The whole body. BodyTooLarge beyond `bytes_max`; BodyTooSlow; NoRoomForBody; ClientGone."""
        body = self.take_body(bytes_max)
        if body is None:
            await self._connection.receive_body(self, bytes_max)
            body = self.take_body(bytes_max)
        assert body is not None
        return body


class OutgoingResponse(msgspec.Struct, eq=False):
    """The answer to one request: `send` it whole, or `start`, `write` and `finish` it. `headers` is bytes of field
    lines (messages.header_lines); framing fields are added here. After the client is gone, writes do nothing; `runs_on`
    says then whether the handler goes on all the same."""

    _connection: "ServerConnection"
    _request: IncomingRequest
    _head: bytes = b""
    _headless: bool = False
    _chunked: bool = False
    _is_flowing: bool = False  # its head has left, and chunks follow
    source: Source | None = None
    status: int = 0
    finished: bool = False
    bytes_out: int = 0
    runs_on: Callable[[Strand], bool] | None = None

    @property
    def unsent_bytes(self) -> int:
        """What was written and waits in this process for a slow client."""
        return self._connection.unsent_bytes

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer in one write."""
        if self.finished:
            return
        self.finished = True
        self.status = status
        self.bytes_out = size = len(body)
        connection = self._connection
        request = self._request
        line = STATUS_LINES.get(status) or status_line(status)
        if request.head.method == b"HEAD":
            body = b""
        closing = connection.closing_field(request)
        if status in BODILESS_STATUSES:
            connection.write(b"%b%b%b\r\n" % (line, headers, closing))
        else:
            connection.write(b"%b%bcontent-length: %d\r\n%b\r\n%b" % (line, headers, size, closing, body))
        connection.turn_ended(request)

    def start(self, status: int, headers: bytes) -> None:
        """Begin an answer of unknown length. The head leaves with the first write."""
        self.status = status
        self._headless = self._request.head.method == b"HEAD"
        self._chunked = self._request.head.http_11
        if not self._chunked:
            self._request.keep_alive = False
        framing = b"transfer-encoding: chunked\r\n" if self._chunked else b""
        closing = self._connection.closing_field(self._request)
        self._head = b"%b%b%b%b\r\n" % (status_line(status), headers, framing, closing)

    def write(self, data: bytes) -> None:
        """One piece of the body; one write to the socket."""
        if self.finished or not data:
            return
        self.bytes_out += len(data)
        self._connection.write(chunk(data) if self._is_flowing else self._begun(data))

    def _begun(self, data: bytes) -> bytes:
        """The first piece, behind the head; any other where there are no chunks."""
        head, self._head = self._head, b""
        self._is_flowing = self._chunked and not self._headless
        if self._headless:
            return head
        return head + (chunk(data) if self._chunked else data)

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

    def client_left(self, strand: Strand | None) -> None:
        """Nobody is there to be answered: the handler in `strand` ends where it waits, unless it runs on."""
        self.finished = True
        source, self.source = self.source, None
        if strand is None:
            return
        if self.runs_on is None or not self.runs_on(strand):
            strand.cancel(ClientGone())
        elif source is not None:
            source.resume_reading()  # a slow client may have held it up

    def cancel(self, error: Exception) -> None:
        """Raise `error` in the handler where it waits, if it is still at work on this answer."""
        self._connection.cancel_turn(self, error)
