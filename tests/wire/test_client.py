"""The calling side: pools, retries, deadlines, refusals, cancelling, encodings. TLS and proxies: test_client_tls.py."""

import asyncio
import gzip
import socket
import time
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from faregate.wire.client import ClientLimits, Origin, Timeouts
from faregate.wire.deadlines import NEVER
from faregate.wire.incoming import IncomingResponse
from faregate.wire.messages import BadMessage, ConnectFailed, ConnectionLost, TimedOut, WireError
from faregate.wire.strand import Signal

from .rig import Job, Peer, Rig, on_loop, read_request, until

Script = Callable[[Peer], Awaitable[None]]


def answer(body: bytes = b"", *fields: str, status: int = 200) -> bytes:
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/1.1 {status} So\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body


def saying(*answers: bytes, then_close: bool = False) -> Script:
    """Answers a request with each, then waits for the end."""

    async def script(peer: Peer) -> None:
        for data in answers:
            await read_request(peer)
            await peer.send(data)
        if not then_close:
            await peer.ended()

    return script


async def echo(peer: Peer) -> None:
    while True:
        head, body = await read_request(peer)
        await peer.send(answer(body or head.split(b" ")[1]))


async def mute(peer: Peer) -> None:
    await peer.ended()


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


# The silent retry.


@on_loop
async def test_a_reused_connection_that_dies_is_replaced_in_silence() -> None:
    served: list[bytes] = []

    async def once_then_die(peer: Peer) -> None:
        await read_request(peer)
        await peer.send(answer(b"first"))
        served.append((await read_request(peer))[1])
        peer.reset()

    async with Rig() as rig:
        origin = await rig.upstream(once_then_die, echo)
        assert await rig.call(origin) == (200, b"first")
        assert await rig.call(origin, b"again") == (200, b"again")
        assert served == [b"again"]


@on_loop
async def test_once_and_no_more() -> None:
    count = 0

    async def die_at_the_second(peer: Peer) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await read_request(peer)
            await peer.send(answer())
        await read_request(peer)
        peer.writer.close()

    async with Rig() as rig:
        origin = await rig.upstream(die_at_the_second)
        await rig.call(origin)
        with pytest.raises(ConnectionLost):
            await rig.call(origin)
        assert count == 2


@pytest.mark.parametrize(
    "first_bytes", [b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", answer(b"12345")[:-1]]
)
@on_loop
async def test_no_retry_once_a_byte_came(first_bytes: bytes) -> None:
    count = 0

    async def upstream(peer: Peer) -> None:
        nonlocal count
        count += 1
        await read_request(peer)
        await peer.send(answer())
        await read_request(peer)
        count += 1
        await peer.send(first_bytes)

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        await rig.call(origin)
        with pytest.raises(ConnectionLost):
            await rig.call(origin)
        assert count == 2


@on_loop
async def test_no_retry_on_a_fresh_connection() -> None:
    count = 0

    async def upstream(peer: Peer) -> None:
        nonlocal count
        count += 1
        await read_request(peer)

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        with pytest.raises(ConnectionLost):
            await rig.call(origin)
        assert count == 1


@on_loop
async def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    async with Rig() as rig:
        origin = await rig.upstream(saying(answer(b"first"), then_close=True), saying(answer(b"second")))
        assert await rig.call(origin) == (200, b"first")
        await until(lambda: rig.pool(origin).open == 0)
        assert await rig.call(origin) == (200, b"second")


@pytest.mark.parametrize("unasked", [answer(b"unasked"), b"\r\n", b"x"])
@on_loop
async def test_unasked_bytes_on_an_idle_connection_end_it(unasked: bytes) -> None:
    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        await peer.send(answer(b"first"))
        await pooled.wait()
        await peer.send(unasked)
        await peer.ended()

    pooled = asyncio.Event()
    async with Rig() as rig:
        origin = await rig.upstream(upstream, echo)
        assert await rig.call(origin) == (200, b"first")
        pooled.set()
        await until(lambda: rig.pool(origin).open == 0)
        assert await rig.call(origin, b"mine") == (200, b"mine")


@pytest.mark.parametrize("garbage", [answer(b"unasked"), b"x", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\n\r\n", b"\x00"])
@pytest.mark.parametrize("sized", [True, False])
@on_loop
async def test_garbage_behind_an_answer_is_not_the_next_answer(garbage: bytes, sized: bool) -> None:
    first = (
        answer(b"first") if sized else b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n0\r\n\r\n"
    )
    async with Rig() as rig:
        origin = await rig.upstream(saying(first + garbage), echo)
        assert await rig.call(origin) == (200, b"first")
        await until(lambda: rig.pool(origin).open == 0)
        assert await rig.call(origin, b"mine") == (200, b"mine")


@pytest.mark.parametrize(
    "first",
    [
        answer(b"first", "connection: close"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nfirst",
        b"HTTP/1.1 200 OK\r\n\r\nfirst",
    ],
)
@on_loop
async def test_an_upstream_that_closes_is_not_kept(first: bytes) -> None:
    async with Rig() as rig:
        origin = await rig.upstream(saying(first, then_close=True))
        for _ in range(2):
            assert await rig.call(origin) == (200, b"first")
            await until(lambda: rig.pool(origin).open == 0)


@on_loop
async def test_an_answer_before_the_request_was_read_costs_the_connection() -> None:
    """What is left of the request would come before the next one, and nobody may be reading."""

    async def upstream(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"too large", status=413))
        peer.writer.transport.pause_reading()
        await asyncio.sleep(30)

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        assert await rig.call(origin, bytes(30_000_000)) == (413, b"too large")
        await until(lambda: rig.pool(origin).open == 0)
        for listener in rig._peers:
            listener.reset()


# Failures to connect. (F76)


@on_loop
async def test_f76_refused() -> None:
    async with Rig() as rig:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            origin = Origin("http", "127.0.0.1", unused.getsockname()[1])
            with pytest.raises(ConnectFailed, match="ConnectionRefusedError"):
                await rig.call(origin)
        assert rig.pool(origin).open == 0


@pytest.mark.parametrize("host", ["nowhere.invalid", "x" * 70 + ".invalid", "a..b", "\N{SNOWMAN}.invalid", ""])
@on_loop
async def test_f76_no_such_name(host: str) -> None:
    async with Rig() as rig:
        began_at = time.monotonic()
        with pytest.raises((ConnectFailed, TimedOut)):
            await rig.call(Origin("http", host, 9), timeouts=Timeouts(connect_s=2))
        assert time.monotonic() - began_at < 3
        assert rig.pool(Origin("http", host, 9)).open == 0


@on_loop
async def test_f76_a_black_hole() -> None:
    """A listener whose queue is full lets nobody in, and says nothing."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        async with Rig() as rig:
            origin = Origin("http", "127.0.0.1", hole.getsockname()[1])
            for timeouts, phase in (
                (Timeouts(connect_s=0.2), "connect"),
                (Timeouts(connect_s=9, deadline_at=asyncio.get_running_loop().time() + 0.4), "total"),
            ):
                began_at = time.monotonic()
                with pytest.raises(TimedOut) as raised:
                    await rig.call(origin, timeouts=timeouts)
                assert raised.value.phase == phase
                assert 0.1 < time.monotonic() - began_at < 1
            assert rig.pool(origin).open == 0
        for filler in fillers:
            filler.close()


@on_loop
async def test_cancelled_while_connecting() -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        async with Rig() as rig:
            origin = Origin("http", "127.0.0.1", hole.getsockname()[1])
            job = rig.calling(origin)
            await rig.deadlines_tick()
            job.strand.cancel(LookupError())
            with pytest.raises(LookupError):
                await job
        await until(lambda: rig.pool(origin).open == 0, "the connection is given up")
        for filler in fillers:
            filler.close()


@on_loop
async def test_cancelled_at_any_moment_of_connecting() -> None:
    async with Rig() as rig:
        origin = await rig.upstream(echo)
        for steps in range(12):
            job = rig.calling(origin)
            for _ in range(steps):
                await asyncio.sleep(0)
            job.strand.cancel(LookupError())
            await asyncio.wait([job.result])
            job.result.exception()
            rig.client.close()
        await until(lambda: rig.pool(origin).open == 0)
        await rig.deadlines_tick()
        assert rig.pool(origin).open == 0


@on_loop
async def test_unix_socket(tmp_path: Path) -> None:
    async with Rig() as rig:
        path = str(tmp_path / "up.sock")

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await echo(Peer(reader, writer))
            except asyncio.IncompleteReadError:
                writer.close()

        listener = await asyncio.start_unix_server(serve, path)
        origin = Origin("http", "upstream", 80, unix_path=path)
        for _ in range(2):
            assert await rig.call(origin, b"local") == (200, b"local")
        assert rig.pool(origin).open == 1
        rig.client.close()
        listener.close()
        with pytest.raises(ConnectFailed):
            await rig.call(Origin("http", "upstream", 80, unix_path=str(tmp_path / "none.sock")))


# Deadlines. (F77, F83)


async def drip(peer: Peer) -> None:
    await read_request(peer)
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"1\r\n.\r\n")
        await asyncio.sleep(0.02)


async def head_only(peer: Peer) -> None:
    await read_request(peer)
    await peer.send(answer(b"12345")[:-3])
    await peer.ended()


async def drip_head(peer: Peer) -> None:
    await read_request(peer)
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await peer.send(b"x-more: 1\r\n")
        await asyncio.sleep(0.02)


async def interim_for_ever(peer: Peer) -> None:
    await read_request(peer)
    while True:
        await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        await asyncio.sleep(0.02)


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


# What comes.


@on_loop
async def test_redirects_are_answers() -> None:
    async with Rig() as rig:
        location = "location: http://169.254.169.254/latest/meta-data"
        origin = await rig.upstream(
            saying(*[answer(b"", location, status=status) for status in (301, 302, 303, 307, 308)])
        )
        for status in (301, 302, 303, 307, 308):
            response: IncomingResponse = await rig.calling(origin)
            assert response.status == status
            assert (response.field(b"location") or b"").startswith(b"http://169.254")
            assert await Job(response.read(10)) == b""
        assert list(rig.client._pools) == [origin]


@on_loop
async def test_interim_answers_are_passed_over() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    async with Rig() as rig:
        origin = await rig.upstream(saying(early + answer(b"real"), *[early + answer(b"real")]))
        for _ in range(2):
            assert await rig.call(origin) == (200, b"real")


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"<html>no HTTP at all</html>\r\n\r\n",
        b"\x15\x03\x01\x00\x02\x02\x46" + bytes(100) + b"\r\n\r\n",
        b"\r\n" + answer(b"x"),
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx-folded: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-nul: a\x00\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-long: " + b"x" * 700_000,
        answer(b"12345", "content-encoding: br"),
        answer(b"12345", "content-encoding: zstd"),
        answer(b"12345", "content-encoding: gzip, gzip"),
        answer(b"no gzip", "content-encoding: gzip"),
        answer(gzip.compress(b"cut" * 1000)[:-5], "content-encoding: gzip"),
        answer(gzip.compress(b"more") + b"trailing", "content-encoding: gzip"),
    ],
)
@on_loop
async def test_bad_messages(data: bytes) -> None:
    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        await peer.send(data)
        await peer.ended()

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        with pytest.raises(BadMessage):
            await rig.call(origin, timeouts=Timeouts(first_byte_s=5, idle_s=5))
        rig.client.close()
        await until(lambda: rig.pool(origin).open == 0)


@pytest.mark.parametrize("cut", [1, 10, -1])
@on_loop
async def test_f78_an_answer_that_is_cut(cut: int) -> None:
    for whole in (
        answer(b"x" * 1000),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n",
    ):
        async with Rig() as rig:
            origin = await rig.upstream(saying(whole[:cut], then_close=True))
            with pytest.raises(ConnectionLost):
                await rig.call(origin)


@on_loop
async def test_an_answer_until_close_that_is_reset_is_not_whole() -> None:
    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await read.wait()
        linger = socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        peer.writer.get_extra_info("socket").setsockopt(*linger)
        peer.reset()

    read = asyncio.Event()
    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        response: IncomingResponse = await rig.calling(origin)
        reading = Job(response.read(100))
        read.set()
        with pytest.raises(ConnectionLost):
            await reading


@on_loop
async def test_gzip() -> None:
    body = b'{"text": "once more"}' * 5000
    packed = gzip.compress(body)
    stored = zlib.compressobj(0, wbits=31)
    flat = stored.compress(body) + stored.flush()
    async with Rig() as rig:
        origin = await rig.upstream(
            saying(
                answer(packed, "content-encoding: gzip"),
                answer(flat, "content-encoding: GZIP"),
                answer(b"", "content-encoding: gzip"),
                answer(body, "content-encoding: identity"),
            )
        )
        for wanted in (body, body, b"", body):
            assert await rig.call(origin) == (200, wanted)
        assert rig.pool(origin).open == 1


@pytest.mark.parametrize("sliced", [False, True])
@on_loop
async def test_f84_a_gzip_bomb(sliced: bool) -> None:
    bomb = gzip.compress(bytes(100_000_000), 6)

    async def upstream(peer: Peer) -> None:
        await read_request(peer)
        pieces = [bomb[at : at + 1000] for at in range(0, len(bomb), 1000)] if sliced else [bomb]
        await peer.send(answer(bytes(len(bomb)), "content-encoding: gzip")[: -len(bomb)], *pieces)

    async with Rig() as rig:
        origin = await rig.upstream(upstream)
        with pytest.raises(BadMessage):
            await rig.call(origin, bytes_max=50_000_000)
        await until(lambda: rig.pool(origin).open == 0)


@on_loop
async def test_reading_has_a_cap() -> None:
    async with Rig() as rig:
        origin = await rig.upstream(saying(answer(b"x" * 1000)))
        with pytest.raises(BadMessage, match="too large"):
            await rig.call(origin, bytes_max=999)
        assert await rig.call(await rig.upstream(saying(answer(b"x" * 1000))), bytes_max=1000) == (200, b"x" * 1000)


@on_loop
async def test_large_bodies_both_ways() -> None:
    body = bytes(range(256)) * 80_000
    async with Rig() as rig:
        origin = Origin("http", "127.0.0.1", rig.port)  # our own server's echo
        for _ in range(2):
            assert await rig.call(origin, body) == (200, body)
        assert rig.pool(origin).open == 1


@on_loop
async def test_a_sink_that_ends_it_in_the_middle_of_a_read() -> None:
    """What the sink does inside the callback, abort included, must not trip the connection."""

    class Enough:
        def __init__(self, response: IncomingResponse) -> None:
            self.response = response
            self.pieces: list[bytes] = []

        def feed(self, data: bytes) -> None:
            self.pieces.append(data)
            self.response.abort()

        def end(self) -> None:
            raise AssertionError

        def fail(self, error: Exception) -> None:
            raise AssertionError

    async with Rig() as rig:
        origin = await rig.upstream(drip)
        response: IncomingResponse = await rig.calling(origin)
        sink = Enough(response)
        response.pour(sink)
        await until(lambda: rig.pool(origin).open == 0)
        assert len(sink.pieces) == 1


def test_every_failure_is_a_wire_error() -> None:
    for kind in (ConnectFailed, ConnectionLost, BadMessage, TimedOut):
        assert issubclass(kind, WireError)


def test_the_authority_of_an_origin() -> None:
    assert Origin("https", "a.example", 443).authority == "a.example"
    assert Origin("https", "a.example", 80).authority == "a.example:80"
    assert Origin("http", "a.example", 80).authority == "a.example"
    assert Origin("http", "::1", 8080).authority == "[::1]:8080"
