"""The calling side: connections to origins, pooled, each with its deadlines, cancelled the moment nobody waits.

Theory of operation. A request takes the warmest idle connection of its origin, or a task makes one. The Exchange that
`send` returns is what the strand waits for: the answer's head wakes it, its failure too, and a strand that gives up
closes the connection (`abandoned`). The body then goes by callback to a Sink, or is read whole. A body nobody has
claimed yet is held up to a bound, then the socket is paused. A reused connection that dies before a byte of the answer
came is replaced once, in silence: the server closed it while idle, and has not seen the request. `abort()` closes the
socket at once, which is how the provider learns that the client has gone.

Redirects are never followed (security.md S11): a 3xx is an answer like any other.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass

import msgspec

from .deadlines import NEVER, Deadlines
from .incoming import IncomingResponse
from .messages import ConnectFailed, ConnectionLost, TimedOut, WireError
from .outbox import Outbox
from .proxies import Proxies, open_tunnel
from .strand import Signal
from .upstream import UpstreamConnection


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Where connections go: scheme is http or https; `unix_path` replaces host and port on this machine; `ca_file` is
    a private authority that may sign for it."""

    scheme: str
    host: str
    port: int
    unix_path: str | None = None
    ca_file: str | None = None

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


class Timeouts(msgspec.Struct, frozen=True):
    """Deadlines of one request, seconds; `deadline_at` is the total one, on the loop's clock."""

    connect_s: float = 3.0
    first_byte_s: float = 30.0
    idle_s: float = 30.0
    deadline_at: float = NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientLimits:
    """Bounds of the calling side."""

    connections_per_origin_max: int = 10_000
    idle_per_origin_max: int = 1_000
    idle_timeout_s: float = 55.0
    head_bytes_max: int = 64 * 1024
    unclaimed_bytes_max: int = 256 * 1024


class Exchange(Signal[IncomingResponse], kw_only=True):
    """One request and the wait for its answer, head read. ConnectFailed, TimedOut, ConnectionLost or BadMessage
    (messages.py) where there is none."""

    pool: "Pool"
    head: bytes
    body: bytes
    timeouts: Timeouts
    is_reused: bool = False
    connection: UpstreamConnection | None = None
    opening: "asyncio.Task[None] | None" = None

    def lost(self, connection: UpstreamConnection, error: Exception) -> None:
        """`connection` failed before the answer's head was here: once, in silence, the request may be sent again."""
        if self.is_reused and not connection.bytes_seen and isinstance(error, ConnectionLost):
            self.is_reused = False
            self.connection = None
            self.pool.open_for(self)
        else:
            self.fail(error)

    def abandoned(self) -> None:
        """Nobody waits any longer: the provider shall know."""
        if self.opening is not None:
            self.opening.cancel()
        elif self.connection is not None:
            self.connection.abort()


class Pool:
    """The connections of one origin: idle ones, warmest last, and those who wait for a place."""

    def __init__(self, client: "Client", origin: Origin) -> None:
        self.client = client
        self.origin = origin
        self.idle: list[UpstreamConnection] = []
        self.waiting: deque[asyncio.Future[None]] = deque()
        self.open = 0

    def send(self, exchange: Exchange) -> None:
        """Send a request over the warmest idle connection, or a new one."""
        if self.idle:
            exchange.is_reused = True
            self.idle.pop().begin(exchange)
        else:
            self.open_for(exchange)

    def open_for(self, exchange: Exchange) -> None:
        """Make a connection for a request; in a task, because name look-ups and handshakes need one."""
        exchange.opening = asyncio.ensure_future(self._open_for(exchange))

    async def _open_for(self, exchange: Exchange) -> None:
        client = self.client
        within_s, phase = client.connect_deadline(exchange.timeouts)
        made: UpstreamConnection | None = None
        connection: UpstreamConnection | None = None
        try:
            async with asyncio.timeout(within_s):
                while connection is None and self.open >= client.limits.connections_per_origin_max:
                    await self._place()
                    connection = self.idle.pop() if self.idle else None
                    exchange.is_reused = connection is not None
                if connection is None:
                    self.open += 1
                    connection = made = UpstreamConnection(self)
                    await client.open(self.origin, made)
        except BaseException as error:
            exchange.opening = None
            if made is not None:
                made.give_up()
            if isinstance(error, asyncio.CancelledError):
                raise
            exchange.fail(_failure(error, phase))
            return
        exchange.opening = None
        connection.begin(exchange)

    async def _place(self) -> None:
        """Wait until a connection may be made, or one is idle."""
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(place)
        try:
            await place
        except BaseException:
            if place in self.waiting:
                self.waiting.remove(place)
            else:  # it was given, and nobody is here to take it
                self._place_free()
            raise

    # What connections tell us.

    def released(self, connection: UpstreamConnection) -> None:
        """An exchange ended cleanly: the connection can serve another."""
        client = self.client
        if len(self.idle) >= client.limits.idle_per_origin_max:
            connection.abort()
            return
        connection.due_at = client.deadlines.now + client.limits.idle_timeout_s
        self.idle.append(connection)
        if self.waiting:
            self._place_free()

    def left(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        self.open -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        self._place_free()

    def _place_free(self) -> None:
        while self.waiting:
            place = self.waiting.popleft()
            if not place.done():
                place.set_result(None)
                return


class Client:
    """Calls origins. One for the process; lives on its loop."""

    def __init__(
        self,
        deadlines: Deadlines,
        *,
        proxies: Proxies | None = None,
        limits: ClientLimits | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.deadlines = deadlines
        self.limits = limits or ClientLimits()
        self._loop = asyncio.get_running_loop()
        self.outbox = outbox or Outbox(self._loop)
        self._tls: dict[str | None, ssl.SSLContext] = {}
        self._proxies = proxies or Proxies()
        self._pools: dict[Origin, Pool] = {}

    def send(self, origin: Origin, head: bytes, body: bytes, timeouts: Timeouts) -> Exchange:
        """Send one request; awaited, the Exchange gives its answer. `head` ends with the empty line."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(self, origin)
        exchange = Exchange(pool=pool, head=head, body=body, timeouts=timeouts)
        pool.send(exchange)
        return exchange

    def connect_deadline(self, timeouts: Timeouts) -> tuple[float, str]:
        """How many seconds a connection may take to be made, and which deadline says so."""
        left_s = timeouts.deadline_at - self._loop.time()
        return (timeouts.connect_s, "connect") if timeouts.connect_s <= left_s else (max(0.0, left_s), "total")

    async def open(self, origin: Origin, connection: UpstreamConnection) -> None:
        """Connect `connection` to `origin`. OSError, UnicodeError, ConnectFailed."""
        tls = self._tls_for(origin) if origin.scheme == "https" else None
        if origin.unix_path is not None:
            await self._loop.create_unix_connection(lambda: connection, origin.unix_path)
        elif tls is not None and (proxy := self._proxies.proxy_for(origin.host)) is not None:
            await open_tunnel(self._loop, proxy, origin.host, origin.port, tls, connection)
        else:
            await self._loop.create_connection(
                lambda: connection,
                origin.host,
                origin.port,
                ssl=tls,
                server_hostname=origin.host if tls else None,
            )

    def _tls_for(self, origin: Origin) -> ssl.SSLContext:
        context = self._tls.get(origin.ca_file)
        if context is None:
            context = self._tls[origin.ca_file] = client_tls(origin.ca_file)
        return context

    def close(self) -> None:
        """Close every idle connection."""
        for pool in self._pools.values():
            for connection in list(pool.idle):
                connection.abort()
            pool.idle.clear()


def client_tls(ca_file: str | None = None) -> ssl.SSLContext:
    """TLS 1.2 or newer with verification, always (security.md S11); `ca_file` adds a private authority."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    return context


def _failure(error: BaseException, phase: str) -> Exception:
    """What it means that a connection could not be made."""
    if isinstance(error, TimeoutError):
        return TimedOut(phase)
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectFailed(f"certificate not accepted: {error.verify_message}")
    if isinstance(error, WireError):
        return error
    return ConnectFailed(type(error).__name__)
