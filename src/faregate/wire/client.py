"""The calling side: connections to origins, pooled, each with its deadlines, cancelled the moment nobody waits.

Theory of operation. A request takes the warmest idle connection of its origin, or makes one. The answer's head wakes
the waiting strand; its body then goes by callback to a Sink, or is read whole. A body nobody has claimed yet is held
up to a bound, then the socket is paused. A reused connection that dies before a byte of the answer came is replaced
once, in silence: the server closed it while idle, and has not seen the request. `abort()` closes the socket at once,
which is how the provider learns that the client has gone.

Redirects are never followed (security.md S11): a 3xx is an answer like any other.
"""

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from .deadlines import NEVER, Deadlines
from .incoming import IncomingResponse
from .messages import ConnectFailed, ConnectionLost, TimedOut
from .proxies import Proxies, open_tunnel
from .strand import Signal
from .upstream import UpstreamConnection


class Origin(NamedTuple):
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


class Timeouts(NamedTuple):
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


@dataclass(slots=True)
class Pool:
    """The connections of one origin: idle ones, warmest last, and those who wait for one."""

    idle: list[UpstreamConnection] = field(default_factory=list)
    waiting: deque[Signal[None]] = field(default_factory=deque)
    open: int = 0


class Client:
    """Calls origins. One for the process; lives on its loop."""

    def __init__(
        self,
        deadlines: Deadlines,
        *,
        proxies: Proxies | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        self.deadlines = deadlines
        self.limits = limits or ClientLimits()
        self._loop = asyncio.get_running_loop()
        self._tls: dict[str | None, ssl.SSLContext] = {}
        self._proxies = proxies or Proxies()
        self._pools: dict[Origin, Pool] = {}

    async def send(self, origin: Origin, head: bytes, body: bytes, timeouts: Timeouts) -> IncomingResponse:
        """Send one request and return its answer, head read. `head` ends with the empty line.

        ConnectFailed, TimedOut, ConnectionLost or BadMessage (messages.py). A strand that is cancelled while it waits
        takes the connection down with it.
        """
        connection, reused = await self._connection(origin, timeouts)
        try:
            return await connection.exchange(head, body, timeouts)
        except ConnectionLost:
            if not reused or connection.bytes_seen:
                raise
        connection = await self._connect(origin, timeouts)
        return await connection.exchange(head, body, timeouts)

    async def _connection(self, origin: Origin, timeouts: Timeouts) -> tuple[UpstreamConnection, bool]:
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool()
        while True:
            while pool.idle:
                connection = pool.idle.pop()
                if connection.usable:
                    return connection, True
            if pool.open < self.limits.connections_per_origin_max:
                return await self._connect(origin, timeouts), False
            await self._wait_for_place(pool, timeouts)

    async def _wait_for_place(self, pool: Pool, timeouts: Timeouts) -> None:
        place: Signal[None] = Signal()
        within_s, phase = self._connect_deadline(timeouts)
        timer = self._loop.call_later(within_s, place.fail, TimedOut(phase))
        pool.waiting.append(place)
        try:
            await place
        except BaseException:
            if place in pool.waiting:
                pool.waiting.remove(place)
            else:  # it was given, and nobody is here to take it
                self._place_free(pool)
            raise
        finally:
            timer.cancel()

    def _connect_deadline(self, timeouts: Timeouts) -> tuple[float, str]:
        left_s = timeouts.deadline_at - self._loop.time()
        return (timeouts.connect_s, "connect") if timeouts.connect_s <= left_s else (max(0.0, left_s), "total")

    async def _connect(self, origin: Origin, timeouts: Timeouts) -> UpstreamConnection:
        pool = self._pools[origin]
        pool.open += 1
        connection = UpstreamConnection(self, origin)
        # A task, because name look-ups and handshakes need one; a request on a warm connection does without.
        within_s, phase = self._connect_deadline(timeouts)
        opening = asyncio.ensure_future(self._open_within(within_s, origin, connection))
        try:
            await opening
        except BaseException as error:
            opening.cancel()
            connection.give_up()
            if isinstance(error, TimeoutError):
                raise TimedOut(phase) from None
            if isinstance(error, OSError | UnicodeError):
                raise ConnectFailed(_reason(error)) from None
            raise
        return connection

    async def _open_within(self, within_s: float, origin: Origin, connection: UpstreamConnection) -> None:
        async with asyncio.timeout(within_s):
            await self._open(origin, connection)

    async def _open(self, origin: Origin, connection: UpstreamConnection) -> None:
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

    # What connections tell us.

    def released(self, connection: UpstreamConnection) -> None:
        """An exchange ended cleanly: the connection can serve another."""
        pool = self._pools[connection.origin]
        if len(pool.idle) >= self.limits.idle_per_origin_max:
            connection.abort()
            return
        connection.due_at = self.deadlines.now + self.limits.idle_timeout_s
        pool.idle.append(connection)
        self._place_free(pool)

    def left(self, connection: UpstreamConnection) -> None:
        """A connection is gone."""
        pool = self._pools[connection.origin]
        pool.open -= 1
        if connection in pool.idle:
            pool.idle.remove(connection)
        self._place_free(pool)

    def _place_free(self, pool: Pool) -> None:
        while pool.waiting:
            place = pool.waiting.popleft()
            if not place.is_set:
                self._loop.call_soon(place.set, None)
                return

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


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    return type(error).__name__
