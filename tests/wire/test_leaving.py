"""F60: the client leaves. Whatever phase the request is in, its handler hears of it at once, and nothing is kept."""

import asyncio
import contextlib
import time

import pytest

from faregate.core.errors import ClientGone
from faregate.wire.exchange import IncomingRequest, OutgoingResponse
from faregate.wire.strand import Signal

from .rig import Job, Peer, Rig, get, on_loop, post, read_request, until

AT_ONCE_S = 0.1

LEAVE = {
    "closes": lambda peer: peer.writer.close(),
    "half-closes": lambda peer: peer.shut(),
    "resets": lambda peer: peer.reset(),
}


class Phases:
    """A handler that reports what it has reached and then waits; and when it heard that the client is gone."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.gone_at = 0.0

    async def handle(self, request: IncomingRequest, response: OutgoingResponse) -> None:
        try:
            self.reached.append("upload")
            await request.body(10_000_000)
            self.reached.append("body")
            if request.path == b"/headers":
                response.start(200, b"")
                response.write(b"x")
            if request.path == b"/stream":
                response.start(200, b"")
                for _ in range(10):
                    response.write(b"data: x\n\n")
            await Signal()
        except ClientGone:
            self.gone_at = time.monotonic()
            response.send(200, b"", b"to nobody")
            response.start(200, b"")
            response.write(b"to nobody")
            response.finish(b"to nobody")
            raise


@pytest.mark.parametrize("way", LEAVE)
@pytest.mark.parametrize(
    ("phase", "data"),
    [
        ("upload", post(b"x" * 5_000_000)[:300_000]),
        ("upload", post(b"x", "/", "expect: 100-continue")[:-1]),
        ("upload", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nffff\r\nxx"),
        ("body", post(b"whole")),
        ("body", post(b"whole", "/headers")),
        ("body", post(b"whole", "/stream")),
        ("body", post(b"whole") + get("/pipelined") * 3),
        ("body", post(b"whole") + b"not HTTP at all\r\n\r\n"),
        ("body", post(b"whole") + get("/half")[:-5]),
    ],
)
@on_loop
async def test_f60(phase: str, data: bytes, way: str) -> None:
    phases = Phases()
    async with Rig(phases.handle) as rig:
        peer = await rig.connect()
        await peer.send(data)
        await until(lambda: phase in phases.reached)
        await rig.deadlines_tick()
        left_at = time.monotonic()
        LEAVE[way](peer)
        await until(lambda: phases.gone_at)
        assert phases.gone_at - left_at < AT_ONCE_S
        await until(lambda: not rig.server.connections)
        assert time.monotonic() - left_at < 2 * AT_ONCE_S
        assert len(rig.seen.requests) == 1
        assert rig.server.bodies_bytes == 0


@pytest.mark.parametrize("way", LEAVE)
@on_loop
async def test_f60_between_requests_and_in_a_head(way: str) -> None:
    async with Rig() as rig:
        for data in (b"", get("/")[:10], get("/"), get("/") + get("/")[:10]):
            peer = await rig.connect()
            await peer.send(data)
            if data.startswith(get("/")):
                await peer.answer()
            await until(lambda: rig.server.connections)
            left_at = time.monotonic()
            LEAVE[way](peer)
            await until(lambda: not rig.server.connections)
            assert time.monotonic() - left_at < AT_ONCE_S


@on_loop
async def test_a_handler_that_will_not_stop_is_left_to_itself() -> None:
    """It swallows ClientGone and goes on: its answer goes nowhere, and hurts nobody."""
    done: list[bool] = []

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        with contextlib.suppress(ClientGone):
            await Signal()
        await rig.deadlines_tick_signal()
        response.send(200, b"", b"late")
        done.append(True)

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get())
        await until(lambda: rig.seen.requests)
        peer.reset()
        await until(lambda: done)


@pytest.mark.parametrize("way", LEAVE)
@pytest.mark.parametrize("phase", ["before headers", "after headers", "in the stream", "before the last byte"])
@on_loop
async def test_f60_the_upstream_is_closed_within_100_ms(phase: str, way: str) -> None:
    closed_at: list[float] = []
    sent: Signal[None] = Signal()

    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        if phase != "before headers":
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        if phase in ("in the stream", "before the last byte"):
            await peer.send(b"3\r\nabc\r\n")
        if phase == "before the last byte":
            await peer.send(b"3\r\nabc\r\n0\r\n\r")
        sent.set(None)
        await peer.ended()
        closed_at.append(time.monotonic())

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        await rig.relay(origin, request, response)

    async with Rig(handler) as rig:
        origin = await rig.upstream(upstream)
        client = await rig.connect()
        await client.send(get())
        await Job(waiting(sent)).result
        await rig.deadlines_tick()
        left_at = time.monotonic()
        LEAVE[way](client)
        await until(lambda: closed_at)
        assert closed_at[0] - left_at < AT_ONCE_S


async def waiting(signal: Signal[None]) -> None:
    await signal


@on_loop
async def test_a_storm_of_leaving_clients_leaves_nothing() -> None:
    phases = Phases()
    async with Rig(phases.handle) as rig:
        datas = [
            post(b"x" * 100_000)[:50_000],
            post(b"whole", "/stream") + post(b"more"),
            get()[:7],
            post(b"x", "/", "expect: 100-continue")[:-1],
        ]
        peers = await asyncio.gather(*[rig.connect() for _ in range(200)])
        for number, peer in enumerate(peers):
            await peer.send(datas[number % len(datas)])
        await until(lambda: len(rig.seen.requests) == 150)
        for number, peer in enumerate(peers):
            list(LEAVE.values())[number % len(LEAVE)](peer)
        await rig.settled()
        assert len(rig.seen.gone) == 150
