"""A server, a client and raw sockets of the wire on one uvloop, and what a test needs to drive and to watch them."""

import asyncio
import contextlib
import functools
import resource
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

import uvloop

from faregate.core.errors import ClientGone
from faregate.wire.addresses import TrustedProxies
from faregate.wire.client import Client, ClientLimits, Origin, Timeouts
from faregate.wire.connection import ServerConnection
from faregate.wire.deadlines import Deadlines
from faregate.wire.exchange import IncomingRequest, OutgoingResponse
from faregate.wire.incoming import IncomingResponse
from faregate.wire.proxies import Proxies
from faregate.wire.server import Handler, Server, ServerLimits
from faregate.wire.strand import Signal, Strand

T = TypeVar("T")
P = ParamSpec("P")

TEST_TIMEOUT_S = 40.0
CONDITION_TIMEOUT_S = 10.0
TICK_S = 0.01


def on_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """The test, run on a uvloop of its own within a deadline."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(TEST_TIMEOUT_S):
                await test(*args, **kwargs)

        uvloop.run(bounded())

    return run


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Wait until `condition()` holds, looking often; AssertionError where it never does."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + CONDITION_TIMEOUT_S
    while not condition():
        assert loop.time() < give_up_at, f"never came to be: {what or condition}"
        await asyncio.sleep(0.002)


def many_files(wanted: int) -> int:
    """How many sockets this process may open, after asking for `wanted`."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limits in ((wanted, max(wanted, hard)), (min(wanted, hard), hard)):  # the first may need a privilege
        if soft < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                soft = limits[0]
    return soft


class Job:
    """A coroutine in a strand, whose result a test can await."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.strand = Strand(self._run(coroutine), self._crashed)

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        result = await coroutine
        if not self.result.done():
            self.result.set_result(result)

    def _crashed(self, error: BaseException) -> None:
        if not self.result.done():
            self.result.set_exception(error)

    def __await__(self):
        return self.result.__await__()


@dataclass
class Answer:
    """An answer as a raw client reads it."""

    status: int
    headers: dict[str, str]
    body: bytes
    trailers: dict[str, str] = field(default_factory=dict)


class Peer:
    """A raw socket that speaks what it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)  # so that the other side reads it by itself

    async def head(self) -> tuple[int, dict[str, str]]:
        """The next status and header fields."""
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        return int(lines[0].split(" ")[1]), fields_of(lines[1:])

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """The next answer, whole."""
        status, headers = await self.head()
        if bodiless or status in (100, 204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, *await self._chunks())
        if "content-length" in headers:
            return Answer(status, headers, await self.reader.readexactly(int(headers["content-length"])))
        return Answer(status, headers, await self.reader.read())

    async def _chunks(self) -> tuple[bytes, dict[str, str]]:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        lines = []
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            lines.append(line.decode("latin-1").rstrip("\r\n"))
        return body, fields_of(lines)

    async def ended(self) -> bytes:
        """What still comes until the other side closes."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""

    def shut(self) -> None:
        """Say that nothing more comes, and go on listening."""
        self.writer.write_eof()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError, OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()


def fields_of(lines: list[str]) -> dict[str, str]:
    pairs = [line.partition(":") for line in lines if line]
    return {name.lower(): value.strip() for name, _, value in pairs}


@dataclass
class Seen:
    """What the handlers of a rig have seen."""

    requests: list[IncomingRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)


class Rig:
    """Server and client on one loop. `handler` answers; by default it reads the body and says it back."""

    def __init__(
        self,
        handler: Handler | None = None,
        limits: ServerLimits | None = None,
        *,
        client_limits: ClientLimits | None = None,
        proxies: Proxies | None = None,
        trusted: TrustedProxies | None = None,
        proxy_protocol: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.host = host
        self.port = 0
        self.seen = Seen()
        self.crashes: list[BaseException] = []
        self.deadlines = Deadlines(asyncio.get_running_loop(), tick_s=TICK_S)
        self._servers: list[Server] = []
        self.server = self.more_server(handler or self.echo, limits, trusted=trusted, proxy_protocol=proxy_protocol)
        self.client = Client(self.deadlines, limits=client_limits, proxies=proxies)
        self.timeouts = Timeouts()
        self._peers: list[Peer] = []
        self._upstreams: list[asyncio.AbstractServer] = []

    def more_server(
        self,
        handler: Handler,
        limits: ServerLimits | None = None,
        *,
        trusted: TrustedProxies | None = None,
        proxy_protocol: bool = False,
    ) -> Server:
        """A server that is not listening yet."""
        server = Server(
            self._noted(handler),
            lambda status, message: (status, b"content-type: text/plain\r\n", message.encode()),
            self.deadlines,
            limits,
            trusted,
            proxy_protocol=proxy_protocol,
            on_crash=self.crashes.append,
        )
        self._servers.append(server)
        return server

    def _noted(self, handler: Handler) -> Handler:
        async def noted(request: IncomingRequest, response: OutgoingResponse) -> None:
            self.seen.requests.append(request)
            try:
                await handler(request, response)
            except ClientGone:
                self.seen.gone.append(request.path.decode("latin-1"))
                raise

        return noted

    async def echo(self, request: IncomingRequest, response: OutgoingResponse) -> None:
        body = await request.body(64 * 1024 * 1024)
        self.seen.bodies.append(body)
        response.send(200, b"x-path: %b\r\n" % request.path, body or request.path)

    async def __aenter__(self) -> Self:
        self.port = await self.server.listen_tcp(ServerConnection, self.host, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for peer in self._peers:
            peer.reset()
        self.client.close()
        try:
            if error is None:
                await self.settled()
        finally:
            for server in self._servers:
                await server.drain(0.5)
            for upstream in self._upstreams:
                upstream.close()
            self.deadlines.close()
        assert kind is not None or not self.crashes, self.crashes

    async def settled(self) -> None:
        """Everybody has left: nothing is open, held or counted any longer."""
        server = self.server
        await until(lambda: not server.connections, "connections all gone")
        assert server.bodies_bytes == 0
        assert not server.unauthenticated
        pools = self.client._pools.values()
        await until(lambda: all(pool.open == len(pool.idle) for pool in pools), "client's connections all gone")
        assert not [pool for pool in pools if pool.waiting]
        await until(lambda: len(self.deadlines._watched) == sum(len(pool.idle) for pool in pools), "nothing watched")

    async def deadlines_tick(self) -> None:
        """Wait until the deadlines have been looked at once more."""
        now = self.deadlines.now
        await until(lambda: self.deadlines.now != now)

    def deadlines_tick_signal(self) -> Signal[None]:
        """The same, for a strand."""
        signal: Signal[None] = Signal()
        asyncio.get_running_loop().call_later(2 * TICK_S, signal.set, None)
        return signal

    # Clients.

    async def connect(self, port: int = 0, **options: Any) -> Peer:
        """A raw client of the server, or of another port."""
        options.setdefault("limit", 1 << 20)
        return self.adopt(Peer(*await asyncio.open_connection(self.host, port or self.port, **options)))

    def adopt(self, peer: Peer) -> Peer:
        """`peer` is closed at the end with all others."""
        self._peers.append(peer)
        return peer

    # Upstreams.

    async def upstream(self, *scripts: Callable[[Peer], Awaitable[None]], **options: Any) -> Origin:
        """A server that runs a script for each connection: the first for the first, the last for all further ones."""
        count = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            script = scripts[min(count, len(scripts) - 1)]
            count += 1
            peer = Peer(reader, writer)
            self._peers.append(peer)
            try:
                await script(peer)
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        listener = await asyncio.start_server(serve, self.host, 0, **options)
        self._upstreams.append(listener)
        scheme = "https" if "ssl" in options else "http"
        return Origin(scheme, self.host, listener.sockets[0].getsockname()[1])

    async def relay(self, origin: Origin, request: IncomingRequest, response: OutgoingResponse) -> None:
        """What a gateway does, without the gateway."""
        head = b"POST / HTTP/1.1\r\nhost: up\r\ncontent-length: 0\r\n\r\n"
        answer: IncomingResponse = await self.client.send(origin, head, b"", self.timeouts)
        ended: Signal[None] = Signal()

        class Pipe:
            def feed(self, data: bytes) -> None:
                response.write(data)

            def end(self) -> None:
                ended.set(None)

            def fail(self, error: Exception) -> None:
                ended.fail(error)

        try:
            response.start(200, b"")
            response.source = answer
            answer.pour(Pipe())
            await ended
            response.source = None
            response.finish()
        finally:
            answer.abort()

    def calling(self, origin: Origin, body: bytes = b"", timeouts: Timeouts | None = None, *, path: str = "/") -> "Job":
        """The client's call of `origin`, under way in a strand; gives the IncomingResponse."""
        return Job(self.client.send(origin, request_head(path, len(body)), body, timeouts or Timeouts()))

    async def call(
        self, origin: Origin, body: bytes = b"", timeouts: Timeouts | None = None, *, bytes_max: int = 1 << 26
    ) -> tuple[int, bytes]:
        """Status and body of a call."""

        async def whole() -> tuple[int, bytes]:
            response: IncomingResponse = await self.client.send(
                origin, request_head("/", len(body)), body, timeouts or Timeouts()
            )
            return response.status, await response.read(bytes_max)

        return await Job(whole())

    def pool(self, origin: Origin) -> Any:
        return self.client._pools[origin]


def request_head(path: str, length: int = 0) -> bytes:
    return f"POST {path} HTTP/1.1\r\nhost: upstream\r\ncontent-length: {length}\r\n\r\n".encode()


def get(path: str = "/", *fields: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"GET {path} HTTP/1.1\r\nhost: here\r\n{lines}\r\n".encode("latin-1")


def post(body: bytes, path: str = "/", *fields: str) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    head = f"POST {path} HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n{lines}\r\n"
    return head.encode("latin-1") + body


async def read_request(peer: Peer) -> tuple[bytes, bytes]:
    """Head and body of a request that came with a length."""
    head = await peer.reader.readuntil(b"\r\n\r\n")
    length = int(fields_of(head.decode("latin-1").split("\r\n")[1:]).get("content-length", "0"))
    return head, await peer.reader.readexactly(length)
