"""One connection to an origin, and the response that comes over it. See client.py for the theory."""

import asyncio
import zlib
from typing import TYPE_CHECKING, cast

import httptools

from ..core.ports import Sink
from .deadlines import NEVER
from .messages import BadMessage, ConnectionLost, TimedOut, list_members
from .strand import Signal

if TYPE_CHECKING:
    from .client import Client, Origin, Timeouts

_FIELDS_MAX = 200
_LET_GO_S = 1.0


class IncomingResponse:
    """An answer whose head is complete. Claim its body once: `read()` it whole, or give it a Sink with `pour()`."""

    __slots__ = (
        "_connection",
        "_ended",
        "_error",
        "_held",
        "_held_bytes",
        "_inflater",
        "_sink",
        "headers",
        "status",
    )

    def __init__(self, connection: "UpstreamConnection", status: int, headers: dict[bytes, bytes]) -> None:
        self._connection = connection
        self.status = status
        self.headers = headers
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._ended = False
        self._error: Exception | None = None
        self._sink: Sink | None = None
        self._inflater: Inflater | None = None

    def pour(self, sink: Sink) -> None:
        """Give the body to `sink` as it comes; what was held already goes first."""
        held, self._held = self._held, []
        self._sink = sink
        for data in held:
            sink.feed(data)
        if self._ended:
            sink.end()
        elif self._error is not None:
            sink.fail(self._error)
        else:
            self.resume_reading()

    async def read(self, bytes_max: int) -> bytes:
        """The whole body. BadMessage where it is over `bytes_max`, before or after decoding."""
        if self._ended and not self._held_bytes:
            return b""
        whole = _Whole(bytes_max)
        self.pour(whole)
        try:
            return await whole.complete
        finally:
            if not self._ended:
                self.abort()

    def pause_reading(self) -> None:
        """Back-pressure: send no more for now."""
        self._connection.pause_reading()

    def resume_reading(self) -> None:
        """Back-pressure: go on."""
        self._connection.resume_reading()

    def abort(self) -> None:
        """Close the connection under an answer that is not complete; harmless after its end."""
        if not self._ended and self._error is None:
            self._sink = None
            self._connection.abort()

    def let_go(self) -> None:
        """All that matters has come: let the body end by itself, for a moment, so that the connection can be kept."""
        if not self._ended and self._error is None:
            self._sink = _DISCARD
            self._connection.hurry(_LET_GO_S)

    # The connection's side.

    def arrived(self, data: bytes) -> None:
        """Body bytes came."""
        if self._inflater is not None:
            data = self._inflater.feed(data)
            if not data:
                return
        sink = self._sink
        if sink is not None:
            sink.feed(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._connection.client.limits.unclaimed_bytes_max:
            self.pause_reading()

    def inflate(self) -> None:
        """Decode what comes as gzip."""
        self._inflater = Inflater()

    def ended(self) -> None:
        """The body is complete."""
        self._ended = True
        if self._sink is not None:
            self._sink.end()

    def failed(self, error: Exception) -> None:
        """The body will not be complete."""
        if not self._ended and self._error is None:
            self._error = error
            if self._sink is not None:
                self._sink.fail(error)


class _Discard:
    """Takes a body that nobody wants."""

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, error: Exception) -> None: ...


_DISCARD = _Discard()


class _Whole:
    """Gathers a body."""

    __slots__ = ("_bytes_max", "_pieces", "_size", "complete")

    def __init__(self, bytes_max: int) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._bytes_max = bytes_max
        self.complete: Signal[bytes] = Signal()

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._bytes_max:
            self.complete.fail(BadMessage("the answer is too large"))
        elif not self.complete.is_set:
            self._pieces.append(data)

    def end(self) -> None:
        self.complete.set(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))

    def fail(self, error: Exception) -> None:
        self.complete.fail(error)


class Inflater:
    """Undoes gzip as it arrives, bounded in what one piece may swell to (F84)."""

    RATIO_MAX = 100
    SLACK_BYTES = 1024 * 1024

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._in = 0
        self._out = 0

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes. BadMessage for what is no gzip, or swells beyond all measure."""
        self._in += len(data)
        allowed = self._in * self.RATIO_MAX + self.SLACK_BYTES - self._out
        try:
            decoded = self._inflate.decompress(data, max(1, allowed))
        except zlib.error:
            raise BadMessage("broken gzip") from None
        if self._inflate.unconsumed_tail:
            raise BadMessage("gzip swells beyond the cap")
        self._out += len(decoded)
        return decoded


class UpstreamConnection(asyncio.Protocol):
    """The protocol of one connection. `exchange` sends a request and waits for the head; the connection goes back to
    the pool when the body has ended and both sides keep it."""

    __slots__ = (
        "_answered",
        "_complete",
        "_deadline_at",
        "_fields",
        "_head_bytes",
        "_idle_s",
        "_parser",
        "_paused",
        "_phase",
        "_response",
        "_transport",
        "bytes_seen",
        "client",
        "due_at",
        "origin",
        "was_open",
    )

    def __init__(self, client: "Client", origin: "Origin") -> None:
        self.client = client
        self.origin = origin
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._response: IncomingResponse | None = None
        self._answered: Signal[IncomingResponse] | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._phase = "pooled"
        self._complete = False
        self._idle_s = 0.0
        self._deadline_at = NEVER
        self._paused = False
        self.bytes_seen = False
        self.was_open = False
        self.due_at = NEVER

    @property
    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._phase == "pooled"

    async def exchange(self, head: bytes, body: bytes, timeouts: "Timeouts") -> IncomingResponse:
        """Send a request; its answer once the head is complete."""
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ConnectionLost("closed before it was used")
        self.bytes_seen = False
        self._phase = "first_byte"
        self._complete = False
        self._idle_s = timeouts.idle_s
        self._deadline_at = timeouts.deadline_at
        self.due_at = min(self.client.deadlines.now + timeouts.first_byte_s, timeouts.deadline_at)
        answered: Signal[IncomingResponse] = Signal()
        self._answered = answered
        transport.write(head + body if len(body) < 65536 else head)
        if len(body) >= 65536:
            transport.write(body)
        try:
            return await answered
        except BaseException:
            self.abort()
            raise

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.was_open = True
        self.client.deadlines.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.client.deadlines.forget(self)
        self.due_at = NEVER
        phase, self._phase = self._phase, "closed"
        if phase == "body" and self._until_close():
            self._finish()
        elif phase != "pooled":
            self._fail(ConnectionLost("the connection ended before the answer did"))
        self._parser = None  # type: ignore[assignment]
        self._response = self._answered = None
        if self.was_open:
            self.client.left(self)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._phase == "pooled":
            self.abort()  # nobody asked: whatever it is, it must not become the next answer
            return
        self.bytes_seen = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._broken(BadMessage("the upstream wants another protocol"))
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._broken(cause if isinstance(cause, BadMessage) else BadMessage("malformed HTTP answer"))
            return
        response = self._response
        if response is None:
            return
        if self._complete:
            self._finish()
        else:
            due_at = self.client.deadlines.now + self._idle_s
            self.due_at = due_at if due_at < self._deadline_at else self._deadline_at
        if self._answered is not None:
            answered, self._answered = self._answered, None
            answered.set(response)

    # The parser's callbacks.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        self._fields.append((name, value))
        if self._head_bytes > self.client.limits.head_bytes_max or len(self._fields) > _FIELDS_MAX:
            raise BadMessage("the answer's head is too large")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        fields, self._fields = self._fields, []
        self._head_bytes = 0
        if status < 200:
            return
        if self._response is not None:
            raise BadMessage("an answer nobody asked for")
        headers = {name.lower(): value for name, value in fields}
        response = IncomingResponse(self, status, headers)
        coding = headers.get(b"content-encoding", b"identity").lower()
        if coding == b"gzip":
            response.inflate()
        elif coding != b"identity":
            raise BadMessage("the answer is in an encoding that was not asked for")
        self._response = response
        self._phase = "body"

    def on_body(self, data: bytes) -> None:
        response = self._response
        if response is not None:
            response.arrived(data)

    def on_message_complete(self) -> None:
        self._complete = self._response is not None
        self._fields = []

    # Endings.

    def _until_close(self) -> bool:
        response = self._response
        return (
            response is not None
            and b"content-length" not in response.headers
            and b"chunked" not in list_members(response.headers.get(b"transfer-encoding", b""))
        )

    def _finish(self) -> None:
        """The body has ended: back to the pool first, so that whoever hears of the end finds it there."""
        response, self._response = self._response, None
        transport = self._transport
        if (
            self._complete
            and self._parser.should_keep_alive()
            and transport is not None
            and not transport.is_closing()
        ):
            self._phase = "pooled"
            self.due_at = NEVER
            self.resume_reading()
            self.client.released(self)
        else:
            self._phase = "closed"
            if transport is not None:
                transport.close()
        if response is not None:
            response.ended()

    def _fail(self, error: Exception) -> None:
        answered, self._answered = self._answered, None
        response, self._response = self._response, None
        if answered is not None:
            answered.fail(error)
        elif response is not None:
            response.failed(error)

    def _broken(self, error: Exception) -> None:
        self._phase = "closed"
        if self._transport is not None:
            self._transport.abort()
        self._fail(error)

    def due(self) -> None:
        """A deadline passed."""
        now = self.client.deadlines.now
        if self._phase == "pooled":
            self.abort()
            return
        if self._paused and now < self._deadline_at:
            self.due_at = min(
                now + self._idle_s, self._deadline_at
            )  # we made it wait: that is not its silence
            return
        phase = (
            "total" if now >= self._deadline_at else "first_byte" if self._phase == "first_byte" else "idle"
        )
        self._broken(TimedOut(phase))

    def hurry(self, within_s: float) -> None:
        """The rest of the answer has this long, however it trickles."""
        self._deadline_at = self.due_at = self.client.deadlines.now + within_s
        self.resume_reading()

    def abort(self) -> None:
        """Close at once."""
        self._phase = "closed"
        self._response = self._answered = None
        if self._transport is not None:
            self._transport.abort()

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
