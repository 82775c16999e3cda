"""How much a client may send, and how often (security.md S12): bounds of bodies and heads, caps. (F62, F63)"""

import asyncio
import time
from collections.abc import Callable

import pytest

from faregate.core.addresses import subscriber_of
from faregate.wire.exchange import BodyTooLarge, IncomingRequest, NoRoomForBody, OutgoingResponse
from faregate.wire.server import ServerLimits

from .rig import Peer, Rig, get, many_files, on_loop, post, until
from .stalling import MEGABYTE, resident_bytes

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
        await until(lambda: rig.server.unauthenticated[subscriber_of("127.0.0.1")] == 10)
        began_at = time.monotonic()
        await over[0].send(get("/known"))  # who shows a key in that moment stays
        assert (await over[0].answer()).status == 200
        await over[1].send(get("/unknown"))  # who shows none does not
        assert (await over[1].answer()).status == 401
        for peer in over[1:]:
            assert await peer.ended() == b""
        assert 0.15 < time.monotonic() - began_at < 2
        assert rig.server.unauthenticated[subscriber_of("127.0.0.1")] == 5
        for peer in (*first, over[0]):
            await peer.send(get("/known"))
            assert (await peer.answer()).status == 200
        assert not rig.server.unauthenticated


@on_loop
async def test_addresses_of_one_ipv6_subscriber_count_together() -> None:
    """Who has a /64 has more addresses than anybody can count."""
    limits = ServerLimits(unauthenticated_per_address_max=5, unauthenticated_timeout_s=0.2)
    async with Rig(knocking(b"/known"), limits) as rig:
        theirs = [f"2001:db8:0:7::{number:x}" for number in range(1, 7)]
        for address in theirs:
            rig.server.arrived(address)
        assert rig.server.patience_s("2001:db8:0:7:ffff::1%eth0", 9.0) == 0.2
        assert rig.server.patience_s("2001:db8:0:8::1", 9.0) == 9.0
        for address in theirs:
            rig.server.known(address)
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
