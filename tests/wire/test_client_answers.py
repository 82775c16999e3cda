"""The calling side: what comes, whole, cut, wrong, encoded, or too much of it. (F78, F84)"""

import asyncio
import gzip
import socket
import zlib

import pytest

from faregate.wire.client import Origin, Timeouts
from faregate.wire.incoming import IncomingResponse
from faregate.wire.messages import BadMessage, ConnectionLost

from .rig import Job, Peer, Rig, on_loop, read_request, until
from .scripts import answer, drip, saying

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
        answer(gzip.compress(b"cut" * 1000, mtime=0)[:-5], "content-encoding: gzip"),
        answer(gzip.compress(b"more", mtime=0) + b"trailing", "content-encoding: gzip"),
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
