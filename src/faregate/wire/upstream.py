"""One connection to an origin. See client.py for the theory."""

import asyncio
from typing import TYPE_CHECKING, cast

from .chunked import Chunks
from .deadlines import NEVER
from .heads import EMPTY_LINE, ResponseHead, read_length, read_response_head
from .incoming import IncomingResponse
from .messages import BODILESS_STATUSES, BadMessage, ConnectionLost, TimedOut

if TYPE_CHECKING:
    from .client import Exchange, Pool

_BODY_BYTES_DEFERRED_MAX = 64 * 1024
_UNTIL_CLOSE = -1


class UpstreamConnection(asyncio.Protocol):
    """The protocol of one connection. `begin` sends a request; the connection goes back to the pool when the answer's
    body has ended and both sides keep it. Phases: `pooled`, `first_byte`, `body`, `closed`."""

    __slots__ = (
        "_chunks",
        "_counted",
        "_deadlines",
        "_exchange",
        "_idle_s",
        "_left",
        "_paused",
        "_phase",
        "_response",
        "_reusable",
        "_transport",
        "_window",
        "bytes_seen",
        "deadline_at",
        "due_at",
        "pool",
    )

    def __init__(self, pool: "Pool") -> None:
        self.pool = pool
        self._deadlines = pool.client.deadlines
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None  # as long as its answer's head has not come
        self._response: IncomingResponse | None = None
        self._window = b""  # a head as far as it has come
        self._chunks: Chunks | None = None
        self._left = 0  # of a sized body, bytes; or _UNTIL_CLOSE
        self._phase = "pooled"
        self._reusable = False
        self._idle_s = 0.0
        self._paused = False
        self._counted = True  # in the pool's number of open ones
        self.bytes_seen = False
        self.deadline_at = NEVER
        self.due_at = NEVER

    def begin(self, exchange: "Exchange") -> None:
        """Send a request; `exchange` hears of its answer once the head is complete, or of its failure."""
        transport = self._transport
        self.bytes_seen = False
        if self._phase != "pooled" or transport is None or transport.is_closing():
            exchange.lost(self, ConnectionLost("closed before it was used"))
            return
        self._exchange = exchange
        exchange.connection = self
        self._phase = "first_byte"
        timeouts = exchange.timeouts
        self._idle_s = timeouts.idle_s
        self.deadline_at = deadline_at = timeouts.deadline_at
        client = self.pool.client
        due_at = client.deadlines.now + timeouts.first_byte_s
        self.due_at = due_at if due_at < deadline_at else deadline_at
        body = exchange.body
        if len(body) < _BODY_BYTES_DEFERRED_MAX:
            client.outbox.put(transport, exchange.head + body)
        else:
            transport.write(exchange.head)
            transport.write(body)

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._phase == "closed":  # nobody waits for it any longer
            self._transport.abort()
            return
        self.pool.client.deadlines.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.due_at = NEVER
        phase, self._phase = self._phase, "closed"
        if phase == "body" and exc is None and self._chunks is None and self._left == _UNTIL_CLOSE:
            self._finish()
        elif phase != "pooled":
            self._fail(ConnectionLost("the connection ended before the answer did"))
        self._response = self._exchange = None
        self._leave()

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self.pool.client.deadlines.forget(self)
            self.pool.left(self)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._phase == "first_byte":
            self.bytes_seen = True
            try:
                data = self._take_head(self._window + data if self._window else data)
            except BadMessage as error:
                self._broken(error)
                return
        elif self._phase != "body":
            self.abort()  # nobody asked: whatever it is, it must not become the next answer
            return
        response = self._response
        if response is None:  # the head is not complete
            return
        try:
            chunks = self._chunks
            if chunks is None:
                ended = self._take_sized(response, data)
            else:
                body = chunks.feed(data)
                if body:
                    response.arrived(body)
                ended = chunks.settled and self._end_chunks(response, chunks)
        except BadMessage as error:
            self._broken(error)
            return
        if self._response is not response:  # whoever took the body has closed the connection
            return
        exchange = self._exchange
        if ended:
            self._finish()
        else:
            due_at = self._deadlines.now + self._idle_s
            self.due_at = due_at if due_at < self.deadline_at else self.deadline_at
        if exchange is not None:
            self._exchange = None
            exchange.set(response)

    def _take_head(self, window: bytes) -> bytes:
        """Read the head once it is complete; returns what is behind it, nothing before that."""
        while True:
            end = window.find(EMPTY_LINE)
            if (len(window) if end < 0 else end) > self.pool.client.limits.head_bytes_max:
                raise BadMessage("the answer's head is too large")
            if end < 0:
                self._window = window
                return b""
            head = read_response_head(window[:end])
            window = window[end + 4 :]
            if head.status >= 200:
                break
            if head.status == 101:
                raise BadMessage("the upstream wants another protocol")
        self._window = b""
        response = IncomingResponse(self, head.status, head)
        self._read_framing(head, response)
        self._response = response
        self._phase = "body"
        return window

    def _read_framing(self, head: ResponseHead, response: IncomingResponse) -> None:
        """How the body ends, and whether the connection may be kept then (RFC 9112 sections 6.3 and 9.3)."""
        fields = head.framing
        self._chunks = None
        self._reusable = head.http_11  # one of an older time is not worth the doubt
        if len(fields) == 1 and fields[0][0] == b"content-length":  # as most do
            self._left = read_length(fields[0][1])
        else:
            self._read_rare_framing(dict(fields), head, response)
            if len(dict(fields)) < len(fields):
                raise BadMessage("a field came twice")
        if head.status in BODILESS_STATUSES:
            self._chunks = None
            self._left = 0

    def _read_rare_framing(self, fields: dict[bytes, bytes], head: ResponseHead, response: IncomingResponse) -> None:
        coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
        if coding is not None:
            if length is not None or not head.http_11 or coding != b"chunked":
                raise BadMessage("unknown transfer coding")
            self._chunks = Chunks()
        else:
            self._left = _UNTIL_CLOSE if length is None else read_length(length)
        content_coding = fields.get(b"content-encoding", b"identity")
        if content_coding == b"gzip":
            response.inflate()
        elif content_coding != b"identity":
            raise BadMessage("the answer is in an encoding that was not asked for")
        if fields.get(b"connection", b"keep-alive") != b"keep-alive":
            self._reusable = False

    def _end_chunks(self, response: IncomingResponse, chunks: Chunks) -> bool:
        """Whether the body has ended as it should, for who still wants it."""
        if self._response is response:
            if chunks.broken is not None:
                raise BadMessage(chunks.broken)
            if chunks.rest:
                self._reusable = False  # the answer stands, but what follows it was not asked for
        return chunks.ended

    def _take_sized(self, response: IncomingResponse, data: bytes) -> bool:
        """Hand on what is of a body with a length, or one that only the connection's end can end; whether it ended."""
        left = self._left
        if left != _UNTIL_CLOSE:
            left -= len(data)
            if left < 0:
                data = data[:left]
                self._reusable = False  # as above
                left = 0
            self._left = left
        if data:
            response.arrived(data)
        return not left

    # Endings.

    def _finish(self) -> None:
        """The body has ended: back to the pool first, so that whoever hears of the end finds it there.

        Not where the request is still on its way: an upstream that answered so early may never read the rest.
        """
        response = self._response
        self._response = self._chunks = None
        transport = self._transport
        if (
            self._reusable
            and self._phase == "body"
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            self._phase = "pooled"
            if self._paused:
                self.resume_reading()
            self.pool.released(self)
        else:
            self._phase = "closed"
            if transport is not None:
                transport.abort()
        if response is not None:
            response.ended()

    def _fail(self, error: Exception) -> None:
        exchange, self._exchange = self._exchange, None
        response, self._response = self._response, None
        if exchange is not None:
            exchange.lost(self, error)
        elif response is not None:
            response.failed(error)

    def _broken(self, error: Exception) -> None:
        self._phase = "closed"
        if self._transport is not None:
            self._transport.abort()
        self._fail(error)

    def due(self) -> None:
        """A deadline passed."""
        now = self.pool.client.deadlines.now
        if self._phase == "pooled":
            self.abort()
            return
        if self._paused and now < self.deadline_at:
            self.due_at = min(now + self._idle_s, self.deadline_at)  # we made it wait: that is not its silence
            return
        phase = "total" if now >= self.deadline_at else "first_byte" if self._phase == "first_byte" else "idle"
        self._broken(TimedOut(phase))

    def hurry(self, within_s: float) -> None:
        """The rest of the answer has this long, however it trickles."""
        self.deadline_at = self.due_at = self.pool.client.deadlines.now + within_s
        self.resume_reading()

    def abort(self) -> None:
        """Close at once."""
        self._phase = "closed"
        self._response = self._exchange = None
        if self._transport is not None:
            self._transport.abort()

    def give_up(self) -> None:
        """Close one that was to be made. A loop that is interrupted then may never say that it is lost."""
        self.abort()
        self._leave()

    def pause_reading(self) -> None:
        """Read no more for now."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
