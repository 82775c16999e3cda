"""The calling side: a connection that was used before and has died is replaced in silence, once."""

import asyncio

import pytest

from faregate.wire.messages import ConnectionLost

from .rig import Peer, Rig, on_loop, read_request, until
from .scripts import answer, echo, saying

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
