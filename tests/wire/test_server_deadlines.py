"""How long a client may take (security.md S12): heads and bodies that do not end. (F62)"""

import asyncio
import time

import pytest

from faregate.wire.exchange import BodyTooSlow, IncomingRequest, OutgoingResponse
from faregate.wire.server import ServerLimits
from faregate.wire.strand import Signal

from .rig import Peer, Rig, get, on_loop, post
from .stalling import MEGABYTE

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
