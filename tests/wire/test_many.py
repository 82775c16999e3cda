"""5,000 streams at once through server and client in one process: all get their bytes, and nothing is left."""

import asyncio
import time

from msgspec.structs import replace

from faregate.wire.client import ClientLimits, Origin
from faregate.wire.connection import ServerConnection
from faregate.wire.exchange import IncomingRequest, OutgoingResponse
from faregate.wire.server import ServerLimits
from faregate.wire.strand import Signal

from .rig import Rig, get, many_files, on_loop, until

STREAMS = 5000
FILES_PER_STREAM = 4  # either end of either connection
EVENTS = 4


class Listener(asyncio.Protocol):
    """A client that keeps what comes."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.got = b""
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(get(f"/{self.number}"))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


def event(number: int, turn: int) -> bytes:
    return b"data: %d of %d\n\n" % (turn, number)


@on_loop
async def test_five_thousand_open_streams() -> None:
    count = min(STREAMS, (many_files(STREAMS * FILES_PER_STREAM + 500) - 300) // FILES_PER_STREAM)
    turns: list[Signal[None]] = []
    began = 0

    async def upstream(request: IncomingRequest, response: OutgoingResponse) -> None:
        nonlocal began
        began += 1
        number = began
        response.start(200, b"content-type: text/event-stream\r\n")
        for turn in range(EVENTS - 1):
            response.write(event(number, turn))
            go_on: Signal[None] = Signal()
            turns.append(go_on)
            await go_on
        response.finish(event(number, EVENTS - 1))

    async def gateway(request: IncomingRequest, response: OutgoingResponse) -> None:
        await rig.relay(origin, request, response)

    limits = ServerLimits(unauthenticated_per_address_max=STREAMS, keep_alive_timeout_s=60)
    client_limits = ClientLimits(idle_per_origin_max=STREAMS)
    async with Rig(gateway, limits, client_limits=client_limits) as rig:
        behind = rig.more_server(upstream, limits)
        origin = Origin("http", "127.0.0.1", await behind.listen_tcp(ServerConnection, "127.0.0.1", 0))
        rig.timeouts = replace(rig.timeouts, first_byte_s=60, idle_s=60, connect_s=30)
        loop = asyncio.get_running_loop()
        listeners = [Listener(number) for number in range(count)]
        for start in range(0, count, 500):
            batch = listeners[start : start + 500]
            await asyncio.gather(*[loop.create_connection(lambda one=one: one, "127.0.0.1", rig.port) for one in batch])
            await until(lambda batch=batch: all(b"data: 0 of " in one.got for one in batch))
        assert began == len(rig.server.connections) == len(behind.connections) == rig.pool(origin).open == count
        assert not rig.pool(origin).idle
        for turn in range(1, EVENTS):
            waiting, turns[:] = list(turns), []
            assert len(waiting) == count
            began_at = time.monotonic()
            for go_on in waiting:
                go_on.set(None)
            mark = b"data: %d of " % turn
            await until(lambda mark=mark: all(mark in one.got for one in listeners))
            assert time.monotonic() - began_at < 10
        numbers = set()
        for one in listeners:
            head, _, body = one.got.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            number = int(body.split(b"0 of ", 1)[1].split(b"\n", 1)[0])
            numbers.add(number)
            chunks = b"".join(
                b"%x\r\n%b\r\n" % (len(event(number, turn)), event(number, turn)) for turn in range(EVENTS)
            )
            assert body == chunks + b"0\r\n\r\n"
        assert len(numbers) == count  # nobody got another's stream
        assert len(rig.pool(origin).idle) == count
        for one in listeners:
            one.transport.abort()  # type: ignore[attr-defined]
        rig.client.close()
        await rig.settled()
        await until(lambda: not behind.connections)
        assert rig.pool(origin).open == 0
