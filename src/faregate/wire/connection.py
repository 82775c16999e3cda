"""One client's connection: requests in, one at a time and in order, responses out. See server.py for the theory."""

import asyncio
import functools
from typing import cast

from ..core.errors import ClientGone
from .addresses import read_proxy_header
from .deadlines import NEVER
from .exchange import BodyTooSlow, IncomingRequest, NoRoomForBody, OutgoingResponse
from .heads import HeadTooLarge, SpeaksTls
from .messages import CONTINUE, BadMessage, status_line
from .reading import RequestReader
from .server import Server
from .strand import Signal, Strand

_DISCARD_BYTES_MAX = 256 * 1024
_BEHIND_BYTES_MAX = 64 * 1024


class ServerConnection(asyncio.Protocol):
    """The protocol of one connection. States: `head` (waiting for or reading one), `body`, `busy` (an answer is under
    way), `unread` (the client has not taken it yet), `idle` (between requests), `linger` (answered, closing, discarding
    what still comes)."""

    __slots__ = (
        "_behind_bytes",
        "_known",
        "_outbox",
        "_proxy_bytes",
        "_reader",
        "_reading_paused",
        "_refusal",
        "_request",
        "_response",
        "_state",
        "_strand",
        "_transport",
        "_window_bytes",
        "_writing_paused",
        "client_address",
        "due_at",
        "peer_address",
        "server",
        "write",
    )

    def __init__(self, server: Server) -> None:
        self.server = server
        self._outbox = server.outbox
        self._reader = RequestReader(functools.partial(IncomingRequest, self), server.heads)
        self._transport: asyncio.Transport | None = None
        self._request: IncomingRequest | None = None  # the request being answered
        self._response: OutgoingResponse | None = None
        self._strand: Strand | None = None
        self._state = "head"
        self._window_bytes = 0  # body bytes in the present window of the progress rule
        self._behind_bytes = 0  # what came behind the request that is being answered
        self._proxy_bytes: bytes | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._known = False
        self._refusal: tuple[int, str] | None = None  # what to say to what came behind the last good request
        self.client_address = ""
        self.peer_address = ""
        self.due_at = NEVER

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # Bytes to the socket, at the end of this turn of the loop; nothing once it is closing.
        self.write = functools.partial(self._outbox.put, self._transport)
        peer = transport.get_extra_info("peername")
        self.peer_address = self.client_address = peer[0] if isinstance(peer, tuple) else "local"
        server = self.server
        if not server.admit(self):
            self._known = True
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=server.limits.write_buffer_bytes_max)
        trusted = self.peer_address in server.trusted_proxies
        if trusted and server.proxy_protocol:
            self._proxy_bytes = b""
        self._known = trusted or self.peer_address == "local"
        if not self._known:
            server.arrived(self.peer_address)
        self.due_at = server.deadlines.now + self._patience_s(server.limits.head_timeout_s)

    def _patience_s(self, timeout_s: float) -> float:
        return timeout_s if self._known else self.server.patience_s(self.peer_address, timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self.due_at = NEVER
        self.authenticated()  # or gone: no longer one of the unknown
        self.server.forget(self)
        strand, response = self._strand, self._response
        self._release(self._request)
        self._release_queue()
        self._request = self._response = self._strand = None
        if response is not None:
            response.client_left(strand)

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if self._state == "linger" or self._refusal is not None:
            return
        if self._proxy_bytes is not None:
            data = self._read_proxy_header(self._proxy_bytes + data)
            if not data:
                return
        reader = self._reader
        refusal = None
        try:
            reader.feed(data)
        except HeadTooLarge:
            refusal = 431, "Request head too large."
        except SpeaksTls:
            refusal = 400, "This port speaks plain HTTP."
        except BadMessage:
            refusal = 400, "Malformed HTTP request."
        if reader.body_bytes:
            self._window_bytes += reader.body_bytes
            self.server.bodies_bytes += reader.body_bytes
        if refusal is None:
            self._fed(len(data))
        else:
            self._refuse_soon(*refusal)

    def pause_writing(self) -> None:
        self._writing_paused = True
        self.due_at = self.server.deadlines.now + self.server.limits.write_timeout_s
        if self._request is None and self._state != "linger":
            self._state = "unread"  # a further answer would only add to what waits
            self._pause_reading()
        if self._response is not None and self._response.source is not None:
            self._response.source.pause_reading()

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._state == "busy":
            self.due_at = NEVER
        elif self._state == "unread":
            self._await_next()
        if self._response is not None and self._response.source is not None:
            self._response.source.resume_reading()

    # What follows from what was parsed.

    def _fed(self, size: int) -> None:
        request = self._request
        reader = self._reader
        if request is None:
            if reader.queue and self._state != "unread":
                self._start_turn()
            elif self._state == "idle":
                self._state = "head"
                self.due_at = self.server.deadlines.now + self._patience_s(self.server.limits.head_timeout_s)
        elif request.wanted is not None:
            request.wanted.set(None)
        elif request is reader.incoming:
            if request.body_bytes > self.server.limits.body_unread_bytes_max:
                self._pause_reading()
        elif reader.queue or reader.partial:
            # Read on as long as may be: who does not read does not see the client leave.
            self._behind_bytes += size
            if self._behind_bytes > _BEHIND_BYTES_MAX:
                self._pause_reading()

    def _start_turn(self) -> None:
        request = self._reader.queue.pop(0)
        server = self.server
        if server.behind_proxies:
            request.client_address = server.trusted_proxies.client_of(
                self.client_address, request.headers.get(b"x-forwarded-for")
            )
        else:
            request.client_address = self.client_address
        self._request = request
        self._state = "busy"
        self.due_at = NEVER
        response = self._response = OutgoingResponse(self, request)
        strand = Strand(server.handler(request, response), self._crashed)
        if not strand.done and self._request is request:
            self._strand = strand

    def _crashed(self, error: BaseException) -> None:
        if not isinstance(error, ClientGone):
            self.server.on_crash(error)
        if self._state != "linger":  # there the last answer is on its way
            self.abort()

    def turn_ended(self, request: IncomingRequest) -> None:
        """The answer to `request` is written: go on with the next one, or wait, or close."""
        if request is not self._request:
            return
        if request.body_bytes:
            self._release(request)
        self._request = self._response = self._strand = None
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not request.keep_alive:
            if request.complete:
                self._close()
            else:
                self._linger()
            return
        self._reader.discarding = not request.complete
        if self._writing_paused:
            self._state = "unread"  # its deadline is running
            self._pause_reading()
        else:
            self._await_next()

    def _await_next(self) -> None:
        reader = self._reader
        limits = self.server.limits
        if reader.queue:
            self.server.loop.call_soon(self._next_turn)  # not from here: a hundred pipelined ones would nest
        elif self._refusal is not None:
            self._refuse(*self._refusal)
        elif self.server.draining:
            self._close()
        else:
            self._state = "head" if reader.partial else "idle"
            timeout_s = limits.head_timeout_s if reader.partial else limits.keep_alive_timeout_s
            self.due_at = self.server.deadlines.now + self._patience_s(timeout_s)
            self._behind_bytes = 0
            if self._reading_paused:
                self._resume_reading()

    def _next_turn(self) -> None:
        if self._request is None and self._reader.queue and self._state != "unread":
            self._start_turn()

    def closing_field(self, request: IncomingRequest) -> bytes:
        """The connection field of the answer; decides here whether the connection can go on."""
        if not request.complete and not self._worth_discarding(request):
            request.keep_alive = False
        if self.server.draining:
            request.keep_alive = False
        if not request.keep_alive:
            return b"connection: close\r\n"
        return b"" if request.head.http_11 else b"connection: keep-alive\r\n"

    def _worth_discarding(self, request: IncomingRequest) -> bool:
        length = request.content_length
        if length is None or request.expects_continue:
            return False
        return length - request.body_bytes <= _DISCARD_BYTES_MAX

    # Bodies.

    async def receive_body(self, request: IncomingRequest, bytes_max: int) -> None:
        """Wait until the body of `request` is complete, or larger than `bytes_max`."""
        if request.expects_continue:
            request.expects_continue = False
            self.write(CONTINUE)
        request.wanted = Signal()
        self._window_bytes = 0
        self._state = "body"
        self.due_at = self.server.deadlines.now + self.server.limits.body_progress_timeout_s
        self._resume_reading()
        try:
            while not request.complete and request.body_bytes <= bytes_max:
                if self.server.bodies_bytes > self.server.limits.bodies_bytes_max:
                    raise NoRoomForBody
                await request.wanted
                request.wanted = Signal()
        finally:
            request.wanted = None
            if self._state == "body":
                self._state = "busy"
                self.due_at = NEVER

    def _release(self, request: IncomingRequest | None) -> None:
        if request is not None and request.body_bytes:
            self.server.bodies_bytes -= request.body_bytes
            request.pieces = []
            request.body_bytes = 0

    def _release_queue(self) -> None:
        for request in self._reader.queue:
            self._release(request)
        self._reader.queue.clear()

    # Refusing what is no request.

    def _refuse_soon(self, status: int, message: str) -> None:
        """Refuse what is no request, after the answers to the good ones before it. Nothing more is read."""
        request = self._request
        reader = self._reader
        broken = reader.incoming
        if broken is not None and broken is not request:  # its head was good, its body is not: nobody shall answer it
            self._release(reader.queue.pop())
        if not reader.queue and (request is None or request is broken):
            self._refuse(status, message)
            return
        self._refusal = (status, message)
        if request is None and self._state != "unread":
            self._start_turn()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what is no request, and close."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._response is None or not self._response.status:
            self._refusal = None
            status, headers, body = self.server.refusal(status, message)
            framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.write(status_line(status) + headers + framing + body)
        strand, self._strand = self._strand, None
        self._release(self._request)
        self._release_queue()
        self._linger()
        if self._response is not None:
            self._response.client_left(strand)

    def _read_proxy_header(self, data: bytes) -> bytes:
        try:
            found = read_proxy_header(data)
        except BadMessage:
            self.abort()
            return b""
        if found is None:
            self._proxy_bytes = data
            return b""
        address, length = found
        self._proxy_bytes = None
        if address is not None:
            self.client_address = address
        return data[length:]

    # Endings.

    def due(self) -> None:
        """A deadline passed; which one, the state tells."""
        limits = self.server.limits
        self.due_at = NEVER
        if self._state == "body" and self._request is not None:
            window_bytes, self._window_bytes = self._window_bytes, 0
            if window_bytes >= limits.body_rate_min_bytes_per_s * limits.body_progress_timeout_s:
                self.due_at = self.server.deadlines.now + limits.body_progress_timeout_s
            elif self._request.wanted is not None:
                self._request.keep_alive = False
                self._request.wanted.fail(BodyTooSlow())
        elif self._state == "head" and self._reader.partial:
            self._refuse(408, "The request took too long to arrive.")
        elif self._state in ("head", "idle"):
            self._close()
        else:  # a reader that stalls, or a linger that is over
            self.abort()

    def _linger(self) -> None:
        """Close, but read on for a moment: a reset would take the answer from a client that is still sending."""
        self._state = "linger"
        self._resume_reading()
        self.due_at = self.server.deadlines.now + self.server.limits.linger_timeout_s
        transport = self._transport
        if transport is not None and transport.can_write_eof():
            self._outbox.flush()
            transport.write_eof()

    def _close(self) -> None:
        """Close when what is written has left, or the time for that is over."""
        self._state = "linger"
        self.due_at = self.server.deadlines.now + self.server.limits.write_timeout_s
        if self._transport is not None:
            self._outbox.flush()
            self._transport.close()

    def drain(self) -> None:
        """No further requests: close now if none is under way, else after its answer."""
        if self._request is None and not self._reader.queue:
            self._close()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._outbox.flush()
            self._transport.abort()

    def cancel_turn(self, response: OutgoingResponse, error: Exception) -> None:
        """Raise `error` in the handler that is at work on `response`."""
        if self._response is response and self._strand is not None:
            self._strand.cancel(error)

    @property
    def unsent_bytes(self) -> int:
        """What was written and has not left yet."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def authenticated(self) -> None:
        """The client has shown a valid key."""
        if not self._known:
            self._known = True
            self.server.known(self.peer_address)

    def _pause_reading(self) -> None:
        if not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()
