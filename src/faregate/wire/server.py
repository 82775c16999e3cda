"""The listening side: sockets, the connections that are open, what they may use, and how they are drained.

Theory of operation. A connection (connection.py) is an asyncio protocol around llhttp. When a request's head is
complete it is queued; when no earlier request of the connection is being answered, the handler's coroutine is started
for it as a strand (strand.py) inside the same callback, so that a request whose body came in the same packet costs no
trip through the loop. The handler reads the body, if it wants it, and answers through the response object; bytes of a
stream go from the upstream's callback straight to this transport. A slow reader pauses the source that feeds it
(`response.source`), nothing is queued beyond the transport's bounded buffer. When the client leaves, the strand is
cancelled inside the callback that says so.

Deadlines are attributes watched by one timer (deadlines.py): the head, the progress of a body, the time between
requests, the time that a stalled reader may take.
"""

import asyncio
import collections
import errno
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.addresses import subscriber_of
from .addresses import TrustedProxies
from .deadlines import Deadlines
from .heads import HeadBounds, Heads
from .outbox import Outbox

if TYPE_CHECKING:
    from .connection import ServerConnection
    from .exchange import IncomingRequest, OutgoingResponse

Handler = Callable[["IncomingRequest", "OutgoingResponse"], Coroutine[Any, Any, None]]
Refusal = Callable[[int, str], tuple[int, bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """What a client may use (security.md S12). Deadlines are seconds, sizes bytes."""

    head_timeout_s: float = 10.0
    body_progress_timeout_s: float = 30.0
    body_rate_min_bytes_per_s: int = 1024
    keep_alive_timeout_s: float = 75.0
    write_timeout_s: float = 30.0
    linger_timeout_s: float = 2.0
    unauthenticated_timeout_s: float = 1.0
    head_bytes_max: int = 16 * 1024
    head_fields_max: int = 100
    target_bytes_max: int = 8 * 1024
    body_unread_bytes_max: int = 256 * 1024
    bodies_bytes_max: int = 1024 * 1024 * 1024
    write_buffer_bytes_max: int = 256 * 1024
    connections_max: int = 50_000
    unauthenticated_per_address_max: int = 200


class Server:
    """All connections of one process. `handler` answers requests; `refusal(status, message)` gives the status,
    headers and body for what never becomes one (a broken head, a late one), which HTTP has a status for."""

    def __init__(
        self,
        handler: Handler,
        refusal: Refusal,
        deadlines: Deadlines,
        limits: ServerLimits | None = None,
        trusted_proxies: TrustedProxies | None = None,
        *,
        proxy_protocol: bool = False,
        outbox: Outbox | None = None,
        on_crash: Callable[[BaseException], None],
    ) -> None:
        self.handler = handler
        self.refusal = refusal
        self.deadlines = deadlines
        self.limits = limits or ServerLimits()
        bounds = HeadBounds(self.limits.head_bytes_max, self.limits.head_fields_max, self.limits.target_bytes_max)
        self.heads = Heads(bounds)
        self.trusted_proxies = trusted_proxies or TrustedProxies()
        self.behind_proxies = bool(self.trusted_proxies)
        self.proxy_protocol = proxy_protocol
        self.on_crash = on_crash
        self.loop = asyncio.get_running_loop()
        self.outbox = outbox or Outbox(self.loop)
        self.connections: set[ServerConnection] = set()
        self.unauthenticated: collections.Counter[bytes] = collections.Counter()
        self.bodies_bytes = 0
        self.draining = False
        self._listeners: list[asyncio.AbstractServer] = []
        self._empty: asyncio.Future[None] | None = None

    async def listen_tcp(
        self,
        make_connection: Callable[["Server"], "ServerConnection"],
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        reuse_port: bool = False,
        backlog: int = 4096,
    ) -> int:
        """Listen on `host:port` (0 for any free port); returns the port. OSError where it cannot be had."""
        listener = await self.loop.create_server(
            lambda: make_connection(self),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=self.limits.head_timeout_s if tls else None,
            ssl_shutdown_timeout=self.limits.linger_timeout_s if tls else None,
            reuse_port=reuse_port or None,
            backlog=backlog,
        )
        self._listeners.append(listener)
        return listener.sockets[0].getsockname()[1]

    async def listen_unix(
        self, make_connection: Callable[["Server"], "ServerConnection"], bound: socket.socket, *, backlog: int = 4096
    ) -> None:
        """Listen on a unix socket that is bound already, as `bound_unix_socket` gives it or another process did."""
        listener = await self.loop.create_unix_server(lambda: make_connection(self), sock=bound, backlog=backlog)
        self._listeners.append(listener)

    def admit(self, connection: "ServerConnection") -> bool:
        """Count a new connection in; False where it cannot be had."""
        if self.draining or len(self.connections) >= self.limits.connections_max:
            return False
        self.connections.add(connection)
        self.deadlines.watch(connection)
        return True

    def forget(self, connection: "ServerConnection") -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        self.deadlines.forget(connection)
        if self._empty is not None and not self.connections and not self._empty.done():
            self._empty.set_result(None)

    def arrived(self, address: str) -> None:
        """A connection from `address` that has shown no key yet."""
        self.unauthenticated[subscriber_of(address)] += 1

    def known(self, address: str) -> None:
        """It has shown one, or has left."""
        subscriber = subscriber_of(address)
        self.unauthenticated[subscriber] -= 1
        if self.unauthenticated[subscriber] <= 0:
            del self.unauthenticated[subscriber]

    def patience_s(self, address: str, timeout_s: float) -> float:
        """How long to wait for a request from a client that has shown no key. A burst of good clients looks like an
        attack until it has: what is over the cap gets a moment, not all of `timeout_s`."""
        if self.unauthenticated[subscriber_of(address)] <= self.limits.unauthenticated_per_address_max:
            return timeout_s
        return min(timeout_s, self.limits.unauthenticated_timeout_s)

    async def drain(self, timeout_s: float) -> bool:
        """Stop listening, let what is being answered finish, close the rest.

        Returns whether all was finished within `timeout_s`; what was not is cut.
        """
        self.draining = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._empty = self.loop.create_future()
            await asyncio.wait([self._empty], timeout=timeout_s)
        finished = not self.connections
        for connection in list(self.connections):
            connection.abort()
        return finished


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """A server's TLS context from PEM files: TLS 1.2 or newer, HTTP/1.1 only (security.md S11)."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def bound_unix_socket(path: Path) -> socket.socket:
    """A unix socket at `path`; a dead one of an earlier process is replaced. OSError for a live one."""
    _remove_dead_socket(path)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    return bound


def _remove_dead_socket(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:  # the loop would take it over without a word
            raise OSError(errno.EADDRINUSE, "address already in use", str(path))
    path.unlink()
