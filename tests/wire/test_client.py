"""The calling side: pools. Retries, connecting, deadlines, what comes, TLS: the other test_client_*.py."""

import asyncio
import time

import pytest

from faregate.wire.client import ClientLimits, Origin, Timeouts
from faregate.wire.messages import BadMessage, ConnectFailed, ConnectionLost, TimedOut, WireError

from .rig import Peer, Rig, on_loop, read_request, until
from .scripts import answer, echo, mute

# The pool.


@on_loop
async def test_a_connection_is_used_again() -> None:
    async with Rig() as rig:
        origin = await rig.upstream(echo)
        for number in range(5):
            assert await rig.call(origin, b"%d" % number) == (200, b"%d" % number)
        assert (rig.pool(origin).open, len(rig.pool(origin).idle)) == (1, 1)


@on_loop
async def test_the_warmest_connection_is_used_first_and_cold_ones_expire() -> None:
    ports: list[int] = []

    async def upstream(peer: Peer) -> None:
        while True:
            await read_request(peer)
            ports.append(peer.writer.get_extra_info("peername")[1])
            await together.wait() if len(ports) <= 3 else None
            await peer.send(answer())

    together = asyncio.Event()
    async with Rig(client_limits=ClientLimits(idle_timeout_s=0.3)) as rig:
        origin = await rig.upstream(upstream)
        jobs = [rig.calling(origin) for _ in range(3)]
        await until(lambda: len(ports) == 3)
        together.set()
        for job in jobs:
            await job
        await until(lambda: len(rig.pool(origin).idle) == 3)
        warmest = rig.pool(origin).idle[-1]
        began_at = time.monotonic()
        while len(rig.pool(origin).idle) == 3:  # the others are not touched meanwhile, and expire
            await rig.call(origin)
            assert rig.pool(origin).idle[-1] is warmest
            await rig.deadlines_tick()
        await until(lambda: len(rig.pool(origin).idle) == 1)
        assert 0.2 < time.monotonic() - began_at < 2
        assert rig.pool(origin).idle == [warmest]
        assert len(set(ports)) == 3
        assert set(ports[3:]) == {ports[-1]}
        await until(lambda: not rig.pool(origin).idle)
        assert rig.pool(origin).open == 0


@on_loop
async def test_idle_connections_are_bounded() -> None:
    async with Rig(client_limits=ClientLimits(idle_per_origin_max=2)) as rig:
        origin = await rig.upstream(echo)
        await asyncio.gather(*[rig.call(origin) for _ in range(6)])
        await until(lambda: rig.pool(origin).open == 2)
        assert len(rig.pool(origin).idle) == 2


@on_loop
async def test_connections_per_origin_are_bounded_and_the_next_waits() -> None:
    under_way = 0
    most = 0

    async def upstream(peer: Peer) -> None:
        nonlocal under_way, most
        while True:
            await read_request(peer)
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.005)
            under_way -= 1
            await peer.send(answer(b"served"))

    async with Rig(client_limits=ClientLimits(connections_per_origin_max=3)) as rig:
        origin = await rig.upstream(upstream)
        answers = await asyncio.gather(*[rig.call(origin) for _ in range(30)])
        assert answers == [(200, b"served")] * 30
        assert most == 3
        assert rig.pool(origin).open == 3


@on_loop
async def test_waiting_for_a_connection_has_a_deadline() -> None:
    async with Rig(client_limits=ClientLimits(connections_per_origin_max=1)) as rig:
        origin = await rig.upstream(mute)
        holder = rig.calling(origin)
        for timeouts, phase in (
            (Timeouts(connect_s=0.1), "connect"),
            (Timeouts(connect_s=5, deadline_at=rig.deadlines.now + 0.3), "total"),
        ):
            began_at = time.monotonic()
            with pytest.raises(TimedOut) as raised:
                await rig.call(origin, timeouts=timeouts)
            assert raised.value.phase == phase
            assert time.monotonic() - began_at < 1
        waiting = [rig.calling(origin) for _ in range(3)]
        waiting[0].strand.cancel(LookupError())
        with pytest.raises(LookupError):
            await waiting[0]
        holder.strand.cancel(LookupError())
        with pytest.raises(LookupError):
            await holder
        await until(lambda: rig.pool(origin).open == 1 and len(rig.pool(origin).waiting) == 1)  # its place is taken
        for job in waiting[1:]:
            job.strand.cancel(LookupError())
            with pytest.raises(LookupError):
                await job


@on_loop
async def test_a_place_given_to_one_that_leaves_goes_to_the_next() -> None:
    async with Rig(client_limits=ClientLimits(connections_per_origin_max=1)) as rig:
        reached = asyncio.Event()

        async def hold(peer: Peer) -> None:
            reached.set()
            await peer.ended()

        origin = await rig.upstream(hold, echo)
        holder = rig.calling(origin)
        await reached.wait()
        first, second = rig.calling(origin), rig.calling(origin, b"second")
        pool = rig.pool(origin)
        holder.strand.cancel(LookupError())
        while len(pool.waiting) == 2:  # noqa: ASYNC110 - not a moment longer
            await asyncio.sleep(0)
        first.strand.cancel(LookupError())  # in the moment between being given the place and taking it
        response = await second
        assert response.status == 200
        for job in (holder, first):
            with pytest.raises(LookupError):
                await job


def test_every_failure_is_a_wire_error() -> None:
    for kind in (ConnectFailed, ConnectionLost, BadMessage, TimedOut):
        assert issubclass(kind, WireError)


def test_the_authority_of_an_origin() -> None:
    assert Origin("https", "a.example", 443).authority == "a.example"
    assert Origin("https", "a.example", 80).authority == "a.example:80"
    assert Origin("http", "a.example", 80).authority == "a.example"
    assert Origin("http", "::1", 8080).authority == "[::1]:8080"
