"""The calling side: deadlines (F77, F83), and whoever ends it."""

import asyncio
import time

import pytest

from faregate.wire.client import ClientLimits, Timeouts
from faregate.wire.deadlines import NEVER
from faregate.wire.incoming import IncomingResponse
from faregate.wire.messages import TimedOut
from faregate.wire.strand import Signal

from .rig import Job, Peer, Rig, on_loop, read_request, until
from .scripts import Script, answer, drip, drip_head, echo, head_only, interim_for_ever, mute

# Deadlines. (F77, F83)


@pytest.mark.parametrize(
    ("script", "timeouts", "phase"),
    [
        (mute, {"first_byte_s": 0.2}, "first_byte"),
        (mute, {"total_s": 0.2}, "total"),
        (drip_head, {"first_byte_s": 0.2}, "first_byte"),
        (interim_for_ever, {"first_byte_s": 0.2}, "first_byte"),
        (head_only, {"idle_s": 0.2}, "idle"),
        (head_only, {"total_s": 0.2}, "total"),
        (drip, {"idle_s": 0.15, "total_s": 0.4}, "total"),
    ],
)
@on_loop
async def test_deadlines(script: Script, timeouts: dict[str, float], phase: str) -> None:
    async with Rig() as rig:
        origin = await rig.upstream(script)
        began_at = time.monotonic()
        total_s = timeouts.pop("total_s", NEVER)
        with pytest.raises(TimedOut) as raised:
            await rig.call(
                origin, timeouts=Timeouts(deadline_at=asyncio.get_running_loop().time() + total_s, **timeouts)
            )
        assert raised.value.phase == phase
        assert 0.18 < time.monotonic() - began_at < 1
        await until(lambda: rig.pool(origin).open == 0)


@on_loop
async def test_the_wait_that_we_cause_is_not_the_upstreams_silence() -> None:
    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        await peer.send(answer(bytes(8_000_000)))
        await peer.ended()

    class Slow:
        def __init__(self) -> None:
            self.got_bytes = 0
            self.ended: Signal[None] = Signal()

        def feed(self, data: bytes) -> None:
            self.got_bytes += len(data)

        def end(self) -> None:
            self.ended.set(None)

        def fail(self, error: Exception) -> None:
            self.ended.fail(error)

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        response: IncomingResponse = await rig.calling(origin, timeouts=Timeouts(idle_s=0.1))
        sink = Slow()
        response.pour(sink)
        response.pause_reading()
        seen_bytes = sink.got_bytes
        for _ in range(40):
            await rig.deadlines_tick()
        assert sink.got_bytes == seen_bytes
        response.resume_reading()
        await Job(waiting(sink.ended))
        assert sink.got_bytes == 8_000_000


async def waiting(signal: Signal[None]) -> None:
    await signal


@on_loop
async def test_a_body_nobody_claims_is_held_to_a_bound() -> None:
    sent_bytes = 0

    async def upstream(peer: Peer) -> None:
        nonlocal sent_bytes
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 50000000\r\n\r\n")
        for _ in range(500):
            await peer.send(bytes(100_000))
            sent_bytes += 100_000

    async with Rig(client_limits=ClientLimits(unclaimed_bytes_max=200_000)) as rig:
        origin = await rig.upstream(upstream)
        response: IncomingResponse = await rig.calling(origin)
        for _ in range(30):
            await rig.deadlines_tick()
        assert response._held_bytes < 200_000 + 300_000
        assert sent_bytes < 40_000_000
        assert len(await Job(response.read(50_000_000))) == 50_000_000


# Ending it.


@pytest.mark.parametrize("script", [mute, drip_head, head_only, drip])
@on_loop
async def test_abort_closes_the_socket_at_once(script: Script) -> None:
    closed_at: list[float] = []

    async def upstream(peer: Peer) -> None:
        try:
            await asyncio.gather(script(peer), seen_closed(peer))
        finally:
            closed_at.append(time.monotonic())

    async def seen_closed(peer: Peer) -> None:
        await until(lambda: peer.reader.at_eof() or peer.writer.is_closing())
        raise ConnectionError

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        job = rig.calling(origin)
        await until(lambda: rig.pool(origin).open == 1)
        for _ in range(5):
            await rig.deadlines_tick()
        left_at = time.monotonic()
        if job.result.done():
            job.result.result().abort()
        else:
            job.strand.cancel(LookupError())
            with pytest.raises(LookupError):
                await job
        await until(lambda: closed_at)
        assert closed_at[0] - left_at < 0.1
        assert rig.pool(origin).open == 0


@on_loop
async def test_abort_after_the_end_hurts_nobody() -> None:
    async with Rig() as rig:
        origin = await rig.upstream(echo)
        response: IncomingResponse = await rig.calling(origin)
        assert await Job(response.read(100)) == b"/"
        second = rig.calling(origin)
        response.abort()
        response.let_go()
        response.pause_reading()
        assert await Job((await second).read(100)) == b"/"
        assert rig.pool(origin).open == 1


@on_loop
async def test_let_go_keeps_the_connection_if_the_rest_comes_soon() -> None:
    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n")
        await asyncio.sleep(0.02)
        await peer.send(b"1\r\ny\r\n0\r\n\r\n")
        await echo(peer)

    async with Rig() as rig:
        origin = await rig.upstream(upstream, drip)
        response: IncomingResponse = await rig.calling(origin)
        response.let_go()
        await until(lambda: len(rig.pool(origin).idle) == 1)
        held = rig.calling(origin)  # takes the kept one
        assert await Job((await held).read(100)) == b"/"
        rig.client.close()
        await until(lambda: rig.pool(origin).open == 0)
        endless: IncomingResponse = await rig.calling(origin)
        endless.let_go()
        began_at = time.monotonic()
        await until(lambda: rig.pool(origin).open == 0)
        assert time.monotonic() - began_at < 2
