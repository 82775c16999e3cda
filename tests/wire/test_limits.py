"""What a client may use of the listening side (security.md S12): deadlines, bounds, caps, and F61 to F63."""

import asyncio
import socket
import time
from collections.abc import Callable

import pytest

from faregate.wire.exchange import BodyTooLarge, BodyTooSlow, IncomingRequest, NoRoomForBody, OutgoingResponse
from faregate.wire.server import ServerLimits
from faregate.wire.strand import Signal

from .rig import Peer, Rig, get, many_files, on_loop, post, read_request, until

MEGABYTE = 1024 * 1024


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


async def stalling(rig: Rig) -> Peer:
    """A client whose socket takes little, and whose reader stops early."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", rig.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    return rig.adopt(Peer(reader, writer))


# Deadlines.


@pytest.mark.parametrize("start", [b"G", get()[:-2], b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n"])
@on_loop
async def test_f62_a_head_that_does_not_end(start: bytes) -> None:
    async with Rig(limits=ServerLimits(head_timeout_s=0.2)) as rig:
        peer = await rig.connect()
        began_at = time.monotonic()
        await peer.send(start)
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        assert await peer.ended() == b""
        assert 0.19 < time.monotonic() - began_at < 1
        assert not rig.seen.requests


@on_loop
async def test_f62_a_trickle_does_not_move_the_deadline() -> None:
    async with Rig(limits=ServerLimits(head_timeout_s=0.2)) as rig:
        for first in (b"", get()):  # a fresh connection, and one that was kept
            peer = await rig.connect()
            await peer.send(first)
            if first:
                await peer.answer()
            began_at = time.monotonic()
            trickle = asyncio.ensure_future(trickling(peer, b"GET / HTTP/1.1\r\n" + b"x" * 10_000, 0.01))
            assert (await peer.answer()).status == 408
            assert time.monotonic() - began_at < 1
            trickle.cancel()


async def trickling(peer: Peer, data: bytes, pause_s: float) -> None:
    for at in range(len(data)):
        await peer.send(data[at : at + 1])
        await asyncio.sleep(pause_s)


@on_loop
async def test_silence_is_closed_without_a_word() -> None:
    async with Rig(limits=ServerLimits(head_timeout_s=0.1, keep_alive_timeout_s=0.3)) as rig:
        fresh, kept = await rig.connect(), await rig.connect()
        began_at = time.monotonic()
        await kept.send(get())
        await kept.answer()
        assert await fresh.ended() == b""
        assert 0.09 < time.monotonic() - began_at < 0.25
        assert await kept.ended() == b""
        assert 0.29 < time.monotonic() - began_at < 1


async def slow_body(request: IncomingRequest, response: OutgoingResponse) -> None:
    try:
        body = await request.body(MEGABYTE)
    except BodyTooSlow:
        response.send(408, b"", b"too slow")
    else:
        response.send(200, b"", b"%d" % len(body))


@on_loop
async def test_f62_body_progress() -> None:
    limits = ServerLimits(body_progress_timeout_s=0.3, body_rate_min_bytes_per_s=400)
    async with Rig(slow_body, limits) as rig:
        slow, silent, steady = await rig.connect(), await rig.connect(), await rig.connect()
        data = post(b"x" * 2000)
        await silent.send(data[:-1999])
        trickle = asyncio.ensure_future(trickling(slow, data[:-1500], 0.02))
        await steady.send(data[:-2000])
        began_at = time.monotonic()
        for at in range(0, 2000, 50):  # 0.8 s, at six times the rate
            await asyncio.sleep(0.02)
            await steady.send(data[-2000:][at : at + 50])
        assert (await steady.answer()).body == b"2000"
        assert time.monotonic() - began_at > 0.6
        for peer in (slow, silent):
            answer = await peer.answer()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
        trickle.cancel()


@on_loop
async def test_a_long_answer_has_no_deadline_of_ours() -> None:
    limits = ServerLimits(head_timeout_s=0.05, keep_alive_timeout_s=0.05, body_progress_timeout_s=0.05)

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        later: Signal[None] = Signal()
        asyncio.get_running_loop().call_later(0.3, later.set, None)
        await later
        response.send(200, b"", await request.body(100))

    async with Rig(handler, limits) as rig:
        peer = await rig.connect()
        await peer.send(post(b"patience"))
        assert (await peer.answer()).body == b"patience"


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


# Bounds of bodies.


@pytest.mark.parametrize("chunked", [False, True])
@on_loop
async def test_f63_a_gigabyte_is_413(chunked: bool) -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        try:
            await request.body(MEGABYTE)
        except BodyTooLarge:
            response.send(413, b"", b"too large")

    async with Rig(handler) as rig:
        before_bytes = resident_bytes()
        peer = await rig.connect()
        framing = b"transfer-encoding: chunked" if chunked else b"content-length: %d" % 2**30
        await peer.send(b"POST / HTTP/1.1\r\nhost: a\r\n%b\r\n\r\n" % framing)
        block = b"x" * 65_536
        data = b"10000\r\n%b\r\n" % block if chunked else block

        async def send() -> None:
            try:
                for _ in range(2**30 // len(block)):
                    await peer.send(data)
            except ConnectionError:
                pass

        sending = asyncio.ensure_future(send())
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await peer.ended() == b""
        assert rig.server.bodies_bytes == 0
        sending.cancel()
        assert resident_bytes() - before_bytes < 10 * MEGABYTE


@on_loop
async def test_all_bodies_together_are_bounded() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        try:
            await request.body(MEGABYTE)
        except NoRoomForBody:
            response.send(503, b"", b"no room")
        else:
            response.send(200, b"", b"")

    async with Rig(handler, ServerLimits(bodies_bytes_max=300_000, linger_timeout_s=0.2)) as rig:
        peers = [await rig.connect() for _ in range(5)]
        for peer in peers:
            await peer.send(post(b"x" * 200_000)[:-100_000])
        statuses = [(await peer.answer()).status for peer in peers[3:]]
        assert statuses == [503, 503]
        for peer in peers[3:]:
            peer.reset()
        await until(lambda: len(rig.server.connections) == 3)
        for peer in peers[:3]:
            peer.reset()
        await until(lambda: rig.server.bodies_bytes == 0)
        peer = await rig.connect()
        await peer.send(post(b"x" * 200_000))
        assert (await peer.answer()).status == 200


# Bounds of heads.


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (get("/", "x: " + "y" * 900), get("/", "x: " + "y" * 1000)),
        (get("/", *["a: b"] * 9), get("/", *["a: b"] * 10)),
        (get("/" + "x" * 199), get("/" + "x" * 200)),
        (get("/", "x: " + "y" * 900), b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 1100),
    ],
)
@on_loop
async def test_heads_over_their_bounds_are_431(good: bytes, bad: bytes) -> None:
    limits = ServerLimits(head_bytes_max=1000, head_fields_max=10, target_bytes_max=200)
    async with Rig(limits=limits) as rig:
        for pieces in (lambda data: [data], lambda data: [data[at : at + 50] for at in range(0, len(data), 50)]):
            peer = await rig.connect()
            await peer.send(*pieces(good))
            assert (await peer.answer()).status == 200
            await peer.send(*pieces(bad))
            answer = await peer.answer()
            assert (answer.status, answer.headers["connection"]) == (431, "close")
            assert await peer.ended() == b""
        assert len(rig.seen.requests) == 2


# How many.


@on_loop
async def test_connections_have_a_cap() -> None:
    async with Rig(limits=ServerLimits(connections_max=3)) as rig:
        peers = [await rig.connect() for _ in range(3)]
        for peer in peers:
            await peer.send(get())
            assert (await peer.answer()).status == 200
        assert await (await rig.connect()).ended() == b""
        peers[0].reset()
        await until(lambda: len(rig.server.connections) == 2)
        peer = await rig.connect()
        await peer.send(get())
        assert (await peer.answer()).status == 200


def knocking(known: bytes) -> Callable:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        if request.path == known:
            request.authenticated()
        response.send(200 if request.path == known else 401, b"", b"")

    return handler


@on_loop
async def test_too_many_unknown_from_one_address_get_a_moment() -> None:
    limits = ServerLimits(
        unauthenticated_per_address_max=5, unauthenticated_timeout_s=0.2, head_timeout_s=5, keep_alive_timeout_s=5
    )
    async with Rig(knocking(b"/known"), limits) as rig:
        first = [await rig.connect() for _ in range(5)]
        over = [await rig.connect() for _ in range(5)]
        await until(lambda: rig.server.unauthenticated["127.0.0.1"] == 10)
        began_at = time.monotonic()
        await over[0].send(get("/known"))  # who shows a key in that moment stays
        assert (await over[0].answer()).status == 200
        await over[1].send(get("/unknown"))  # who shows none does not
        assert (await over[1].answer()).status == 401
        for peer in over[1:]:
            assert await peer.ended() == b""
        assert 0.15 < time.monotonic() - began_at < 2
        assert rig.server.unauthenticated["127.0.0.1"] == 5
        for peer in (*first, over[0]):
            await peer.send(get("/known"))
            assert (await peer.answer()).status == 200
        assert not rig.server.unauthenticated


@on_loop
async def test_f62_hundreds_of_slowloris_hurt_nobody() -> None:
    count = min(500, many_files(4096) // 4)
    limits = ServerLimits(head_timeout_s=1.5, unauthenticated_per_address_max=10_000)

    async def pace(peer: Peer) -> float:
        times = []
        for _ in range(300):
            began_at = time.perf_counter()
            await peer.send(get())
            await peer.answer()
            times.append(time.perf_counter() - began_at)
        return sorted(times)[297]

    async with Rig(limits=limits) as rig:
        good = await rig.connect()
        alone_s = await pace(good)
        slow = await asyncio.gather(*[rig.connect() for _ in range(count)])
        began_at = time.monotonic()
        for peer in slow:
            await peer.send(b"GET / HTTP/1.1\r\nx-slow: ")
        await until(lambda: len(rig.server.connections) == count + 1)
        among_s = await pace(good)
        assert among_s < 2 * alone_s + 0.02
        statuses = [(await peer.answer()).status for peer in slow]
        assert statuses == [408] * count
        assert time.monotonic() - began_at < 5
        await good.send(get())
        assert (await good.answer()).status == 200
        for peer in slow:
            peer.reset()
