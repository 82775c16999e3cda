"""The calling side: addresses to which there is no way, and sockets that are files. (F76)"""

import asyncio
import socket
import time
from pathlib import Path

import pytest

from faregate.wire.client import Origin, Timeouts
from faregate.wire.messages import ConnectFailed, TimedOut

from .rig import Peer, Rig, on_loop, until
from .scripts import echo

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
