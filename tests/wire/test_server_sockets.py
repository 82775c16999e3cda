"""The listening side: sockets of every kind."""

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest

from faregate.wire.connection import ServerConnection
from faregate.wire.server import ServerLimits, bound_unix_socket, server_tls

from .certificates import Authority
from .rig import Peer, Rig, get, on_loop, post

# Sockets of every kind.


@on_loop
async def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    async with Rig() as rig:
        await rig.server.listen_unix(ServerConnection, bound_unix_socket(path))
        peer = Peer(*await asyncio.open_unix_connection(path))
        await peer.send(post(b"local"))
        assert (await peer.answer()).body == b"local"
        assert rig.seen.requests[0].client_address == "local"
        await peer.close()


@on_loop
async def test_a_dead_unix_socket_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "gate.sock"
    async with Rig() as rig:
        await rig.server.listen_unix(ServerConnection, bound_unix_socket(path))
        with pytest.raises(OSError, match="in use"):
            await rig.more_server(rig.echo).listen_unix(ServerConnection, bound_unix_socket(path))
        await rig.server.drain(0.1)
        await rig.more_server(rig.echo).listen_unix(ServerConnection, bound_unix_socket(path))
        peer = Peer(*await asyncio.open_unix_connection(path))
        await peer.send(post(b"again"))
        assert (await peer.answer()).body == b"again"
        await peer.close()


@on_loop
async def test_tls(authority: Authority) -> None:
    certificate, key = authority.sign("server", "DNS:localhost,IP:127.0.0.1")
    trusting = ssl.create_default_context(cafile=str(authority.certificate))
    async with Rig() as rig:
        port = await rig.server.listen_tcp(ServerConnection, "127.0.0.1", 0, tls=server_tls(certificate, key))
        peer = await rig.connect(port, ssl=trusting, server_hostname="localhost")
        for body in (b"x", bytes(10_000_000)):
            sending = asyncio.ensure_future(peer.send(post(body)))
            assert (await peer.answer()).body == body
            await sending
        old = ssl.create_default_context(cafile=str(authority.certificate))
        with warnings.catch_warnings(action="ignore"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, OSError)):
            await rig.connect(port, ssl=old, server_hostname="localhost")
        await peer.send(get("/bye", "connection: close"))
        assert (await peer.answer()).body == b"/bye"
        assert await peer.ended() == b""


@on_loop
async def test_tls_a_client_that_never_shakes_hands_is_closed(authority: Authority) -> None:
    certificate, key = authority.sign("server", "DNS:localhost,IP:127.0.0.1")
    async with Rig(limits=ServerLimits(head_timeout_s=0.2)) as rig:
        port = await rig.server.listen_tcp(ServerConnection, "127.0.0.1", 0, tls=server_tls(certificate, key))
        silent, plain = await rig.connect(port), await rig.connect(port)
        await plain.send(get())
        assert await asyncio.wait_for(silent.ended(), 3) == b""
        assert b"HTTP" not in await asyncio.wait_for(plain.ended(), 3)


@on_loop
async def test_two_servers_share_a_port() -> None:
    async with Rig() as rig:
        second = rig.more_server(rig.echo)
        first_port = await rig.server.listen_tcp(ServerConnection, "127.0.0.1", 0, reuse_port=True)
        assert await second.listen_tcp(ServerConnection, "127.0.0.1", first_port, reuse_port=True) == first_port
        peers = [await rig.connect(first_port) for _ in range(60)]
        for peer in peers:
            await peer.send(get())
            assert (await peer.answer()).status == 200
        assert rig.server.connections
        assert second.connections
        assert len(rig.server.connections) + len(second.connections) == 60
        await second.drain(1)
        for peer in peers:
            peer.reset()
        await rig.settled()


@on_loop
async def test_a_taken_port_is_an_error() -> None:
    async with Rig() as rig:
        with pytest.raises(OSError, match="in use"):
            await rig.more_server(rig.echo).listen_tcp(ServerConnection, "127.0.0.1", rig.port)
