"""The listening side: draining."""

import asyncio

import pytest

from faregate.core.errors import ClientGone
from faregate.wire.exchange import IncomingRequest, OutgoingResponse
from faregate.wire.strand import Signal

from .rig import Rig, get, on_loop, until

# Draining.


@on_loop
async def test_drain() -> None:
    """What is being answered finishes, idle ones are closed, new ones are refused."""
    release: Signal[None] = Signal()

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        if request.path == b"/stream":
            response.start(200, b"")
            response.write(b"first,")
        if request.path != b"/quick":
            await waiting[request.path]
        if request.path == b"/stream":
            response.finish(b"last")
        else:
            response.send(200, b"", request.path)

    waiting = {b"/slow": Signal(), b"/stream": release}
    async with Rig(handler) as rig:
        idle, half, fresh, slow, stream = [await rig.connect() for _ in range(5)]
        await idle.send(get("/quick"))
        await idle.answer()
        await half.send(get("/quick")[:10])
        await slow.send(get("/slow"))
        await stream.send(get("/stream"))
        await until(lambda: len(rig.seen.requests) == 3)
        draining = asyncio.ensure_future(rig.server.drain(5))
        assert await idle.ended() == b""
        assert await half.ended() == b""
        assert await fresh.ended() == b""
        with pytest.raises(ConnectionError):
            await rig.connect()
        assert not draining.done()
        waiting[b"/slow"].set(None)
        answer = await slow.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/slow", "close")
        assert await slow.ended() == b""
        release.set(None)
        assert (await stream.answer()).body == b"first,last"
        assert await stream.ended() == b""
        assert await draining is True


@on_loop
async def test_drain_cuts_what_takes_too_long() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        try:
            await Signal()
        except ClientGone:
            ends.append("gone")
            raise

    ends: list[str] = []
    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get())
        await until(lambda: rig.seen.requests)
        assert await rig.server.drain(0.1) is False
        assert await peer.ended() == b""
        assert ends == ["gone"]


@on_loop
async def test_drain_of_nothing_is_done_at_once() -> None:
    async with Rig() as rig:
        assert await rig.server.drain(5) is True
