"""One connection to an origin, and the response that comes over it. See client.py for the theory."""

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from .deadlines import NEVER
from .incoming import IncomingResponse
from .messages import BadMessage, ConnectionLost, TimedOut
from .strand import Signal

if TYPE_CHECKING:
    from .client import Client, Origin, Timeouts


class UpstreamConnection(asyncio.Protocol):
    """The protocol of one connection. `exchange` sends a request and waits for the head; the connection goes back to
    the pool when the body has ended and both sides keep it."""

    __slots__ = (
        "_answered",
        "_complete",
        "_counted",
        "_deadline_at",
        "_idle_s",
        "_lines",
        "_parser",
        "_paused",
        "_phase",
        "_pieces",
        "_response",
        "_reusable",
        "_transport",
        "_until_close",
        "_window",
        "bytes_seen",
        "client",
        "due_at",
        "origin",
    )

    def __init__(self, client: "Client", origin: "Origin") -> None:
        self.client = client
        self.origin = origin
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser = httptools.HttpResponseParser(self)
        self._response: IncomingResponse | None = None
        self._answered: Signal[IncomingResponse] | None = None
        self._window = b""  # a head as far as it has come
        self._lines: list[bytes] = []  # of a head that llhttp has yet to read
        self._pieces: list[bytes] = []  # of the body, as llhttp finds them in the bytes at hand
        self._phase = "pooled"
        self._complete = False
        self._reusable = False
        self._until_close = False  # whether only the connection's end can end the body
        self._idle_s = 0.0
        self._deadline_at = NEVER
        self._paused = False
        self.bytes_seen = False
        self._counted = True  # in the pool's number of open ones
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
        if self._phase == "closed":  # nobody waits for it any longer
            self._transport.abort()
            return
        self.client.deadlines.watch(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.due_at = NEVER
        phase, self._phase = self._phase, "closed"
        if phase == "body" and exc is None and self._until_close:
            self._finish()
        elif phase != "pooled":
            self._fail(ConnectionLost("the connection ended before the answer did"))
        del self._parser
        self._response = self._answered = None
        self._leave()

    def _leave(self) -> None:
        if self._counted:
            self._counted = False
            self.client.deadlines.forget(self)
            self.client.left(self)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._phase not in ("first_byte", "body"):
            self.abort()  # nobody asked: whatever it is, it must not become the next answer
            return
        try:
            if self._phase == "first_byte":
                self.bytes_seen = True
                data = self._take_head(self._window + data if self._window else data)
            self._parser.feed_data(data)
            self._deliver()
        except BadMessage as error:
            self._broken(error)
            return
        except httptools.HttpParserUpgrade:
            self._broken(BadMessage("the upstream wants another protocol"))
            return
        except httptools.HttpParserError as error:
            self._fail_parsing(error)
            if not self._complete:
                return
        response = self._response
        if response is None:
            return
        answered, self._answered = self._answered, None
        if self._complete:
            self._finish()
        else:
            due_at = self.client.deadlines.now + self._idle_s
            self.due_at = due_at if due_at < self._deadline_at else self._deadline_at
        if answered is not None:
            answered.set(response)

    def _deliver(self) -> None:
        """Hand on what was read of the body, in one piece: a chunk may be a byte (F81), and a piece has its price."""
        pieces = self._pieces
        if not pieces:
            return
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._response is not None:
            self._response.arrived(data)

    def _fail_parsing(self, error: Exception) -> None:
        """llhttp stopped. What it read of the body before counts; what it did not like may be behind the answer."""
        cause = error.__context__
        try:
            self._deliver()
        except BadMessage as worse:
            cause = worse
            self._complete = False
        if not self._complete:
            self._broken(cause if isinstance(cause, BadMessage) else BadMessage("malformed HTTP answer"))

    def _take_head(self, window: bytes) -> bytes:
        """Cut the head into lines once it is complete; returns what llhttp is to read, nothing before that.

        As in reading.py, a callback for each field would cost more than all the rest of the head.
        """
        while True:
            end = window.find(b"\r\n\r\n")
            if max(end, len(window) if end < 0 else 0) > self.client.limits.head_bytes_max:
                raise BadMessage("the answer's head is too large")
            if end < 0:
                self._window = window
                return b""
            lines = window[:end].split(b"\r\n")
            if not lines[0].startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
                raise BadMessage("malformed HTTP answer")
            if lines[0][9:10] != b"1":
                self._window = b""
                self._lines = lines
                return window
            self._parser.feed_data(window[: end + 4])  # an interim answer, 100 or 103 say, tells us nothing
            window = window[end + 4 :]

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        if self._complete:  # the answer stands, but what follows it was not asked for
            self._reusable = False
            raise BadMessage("bytes behind the answer")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        lines, self._lines = self._lines, []
        if not lines:
            raise BadMessage("malformed HTTP answer")
        fields = [line.partition(b":") for line in lines[1:]]
        headers = {name.lower(): value.strip() for name, _, value in fields}
        if headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise BadMessage("unknown transfer coding")
        response = IncomingResponse(self, status, headers)
        coding = headers.get(b"content-encoding", b"identity").lower()
        if coding == b"gzip":
            response.inflate()
        elif coding != b"identity":
            raise BadMessage("the answer is in an encoding that was not asked for")
        self._response = response
        self._until_close = b"content-length" not in headers and b"transfer-encoding" not in headers
        self._phase = "body"

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self._complete = self._response is not None
        self._reusable = self._complete and self._parser.should_keep_alive()  # llhttp forgets after this callback

    # Endings.

    def _finish(self) -> None:
        """The body has ended: back to the pool first, so that whoever hears of the end finds it there.

        Not where the request is still on its way: an upstream that answered so early may never read the rest.
        """
        response, self._response = self._response, None
        transport = self._transport
        if (
            self._complete
            and self._reusable
            and transport is not None
            and not transport.is_closing()
            and not transport.get_write_buffer_size()
        ):
            self._phase = "pooled"
            self.due_at = NEVER
            self.resume_reading()
            self.client.released(self)
        else:
            self._phase = "closed"
            if transport is not None:
                transport.abort()
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
            self.due_at = min(now + self._idle_s, self._deadline_at)  # we made it wait: that is not its silence
            return
        phase = "total" if now >= self._deadline_at else "first_byte" if self._phase == "first_byte" else "idle"
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
