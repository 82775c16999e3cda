"""What a client may leave unread (security.md S12), and how the pressure goes on upstream. (F61)"""

import asyncio
import time

import pytest

from faregate.wire.exchange import IncomingRequest, OutgoingResponse
from faregate.wire.server import ServerLimits
from faregate.wire.strand import Signal

from .rig import Peer, Rig, get, on_loop, post, read_request, until
from .stalling import MEGABYTE, resident_bytes, stalling

# Slow readers.


class Spring:
    """A source that never ends: writes until it is told to wait."""

    def __init__(self, response: OutgoingResponse) -> None:
        self.response = response
        self.flowing = True
        self.given_bytes = 0
        self.pauses = 0

    def pause_reading(self) -> None:
        self.pauses += 1
        self.flowing = False

    def resume_reading(self) -> None:
        self.flowing = True
        self.flow()

    def flow(self) -> None:
        if self.flowing and not self.response.finished:
            self.response.write(b"x" * 16_384)
            self.given_bytes += 16_384
            asyncio.get_running_loop().call_soon(self.flow)


@pytest.mark.parametrize("byte_a_time", [False, True])
@on_loop
async def test_f61_a_reader_that_stalls(byte_a_time: bool) -> None:
    springs: list[Spring] = []
    limits = ServerLimits(write_timeout_s=0.3, write_buffer_bytes_max=64 * 1024)

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        spring = Spring(response)
        springs.append(spring)
        response.start(200, b"")
        response.source = spring
        spring.flow()
        await Signal()

    async with Rig(handler, limits) as rig:
        before_bytes = resident_bytes()
        peer = await stalling(rig)
        await peer.send(get())
        began_at = time.monotonic()
        if byte_a_time:
            while rig.server.connections or not rig.seen.requests:
                await asyncio.wait([asyncio.ensure_future(peer.reader.read(1))], timeout=0.02)
        await until(lambda: rig.seen.gone)
        assert 0.25 < time.monotonic() - began_at < 3
        assert springs[0].pauses > 0
        assert springs[0].given_bytes < 16 * MEGABYTE  # the kernel's buffers, and one of ours
        assert resident_bytes() - before_bytes < 20 * MEGABYTE


@on_loop
async def test_f61_the_buffer_is_bounded() -> None:
    connections: list[int] = []
    limits = ServerLimits(write_timeout_s=5, write_buffer_bytes_max=64 * 1024)

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        spring = Spring(response)
        response.start(200, b"")
        response.source = spring
        spring.flow()
        await Signal()

    async with Rig(handler, limits) as rig:
        peer = await stalling(rig)
        await peer.send(get())
        for _ in range(30):
            await rig.deadlines_tick()
            connections += [connection._transport.get_write_buffer_size() for connection in rig.server.connections]
        assert 0 < max(connections) <= 64 * 1024 + 2 * 16_400
        peer.reset()


@pytest.mark.parametrize("size", [150_000, 10 * MEGABYTE])
@on_loop
async def test_f61_an_answer_that_nobody_takes(size: int) -> None:
    """It is written whole and its handler is done; the connection is cut all the same, and no further turn begins."""
    limits = ServerLimits(write_timeout_s=0.2, keep_alive_timeout_s=0.2)

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        response.send(200, b"", bytes(size))

    async with Rig(handler, limits) as rig:
        peer = await stalling(rig)
        await peer.send(get())
        await until(lambda: rig.seen.requests)
        assert rig.server.connections
        await until(lambda: not rig.server.connections)


@on_loop
async def test_f61_pipelining_without_reading() -> None:
    """Answers wait for a client that takes none, not in our memory."""

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        response.send(200, b"", bytes(MEGABYTE))

    async with Rig(handler, ServerLimits(write_timeout_s=5)) as rig:
        before_bytes = resident_bytes()
        peer = await stalling(rig)
        await peer.send(get() * 500)
        for _ in range(10):
            await rig.deadlines_tick()
        assert 0 < len(rig.seen.requests) < 20
        assert resident_bytes() - before_bytes < 60 * MEGABYTE
        peer.reset()

    async with Rig(handler) as rig:  # one that does read gets them all
        peer = await rig.connect(limit=4 * MEGABYTE)
        await peer.send(get() * 50)
        for _ in range(50):
            assert len((await peer.answer()).body) == MEGABYTE


@on_loop
async def test_back_pressure_down_a_hundred_megabytes() -> None:
    sent_bytes = 0
    total_bytes = 100 * MEGABYTE
    block = bytes(range(256)) * 256

    async def upstream(peer: Peer) -> None:
        nonlocal sent_bytes
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total_bytes)
        for _ in range(total_bytes // len(block)):
            await peer.send(block)
            sent_bytes += len(block)

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        await rig.relay(origin, request, response)

    async with Rig(handler) as rig:
        origin = await rig.upstream(upstream)
        before_bytes = resident_bytes()
        peer = await stalling(rig)
        await peer.send(get())
        await until(lambda: rig.server.connections and sent_bytes)
        seen_bytes = -1
        while seen_bytes != sent_bytes:  # until nothing flows any longer
            seen_bytes = sent_bytes
            for _ in range(20):
                await rig.deadlines_tick()
        assert sent_bytes < 40 * MEGABYTE
        assert resident_bytes() - before_bytes < 40 * MEGABYTE
        await peer.head()
        got_bytes = 0
        while size := int(await peer.reader.readuntil(b"\r\n"), 16):
            got_bytes += size
            while size:
                data = await peer.reader.read(size)
                assert data
                size -= len(data)
            assert await peer.reader.readexactly(2) == b"\r\n"
        assert got_bytes == total_bytes
        assert resident_bytes() - before_bytes < 60 * MEGABYTE


@on_loop
async def test_back_pressure_up() -> None:
    """A body that nobody wants yet is held to a bound; wanted, it comes whole."""
    wanted: Signal[None] = Signal()

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        await wanted
        body = await request.body(30 * MEGABYTE)
        response.send(200, b"", b"%d" % len(body))

    async with Rig(handler, ServerLimits(body_unread_bytes_max=100_000)) as rig:
        peer = await rig.connect()
        sending = asyncio.ensure_future(peer.send(post(b"x" * 20 * MEGABYTE)))
        await until(lambda: rig.seen.requests)
        for _ in range(10):
            await rig.deadlines_tick()
        assert 0 < rig.seen.requests[0].body_bytes < 100_000 + 300_000
        assert rig.server.bodies_bytes == rig.seen.requests[0].body_bytes
        wanted.set(None)
        assert (await peer.answer()).body == b"%d" % (20 * MEGABYTE)
        await sending
        await until(lambda: rig.server.bodies_bytes == 0)
