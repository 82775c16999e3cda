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


def client_hello() -> bytes:
    """What a TLS client says first."""
    out = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


@on_loop
async def test_a_tls_client_on_a_plain_port_is_told() -> None:
    """At once, wherever its first bytes were cut, and whatever stands in the random part of them."""
    hello = client_hello()
    cuts = ([hello], [hello[:1], hello[1:]], [hello[:3], hello[3:9], hello[9:]])
    odd = ([b"\x16\x03\x01a\r\n\r\nb"], [b"\x16", b"\x03"], [b"\x16\x03\x03\n"])
    async with Rig(limits=ServerLimits(head_timeout_s=3600)) as rig:
        for pieces in (*cuts, *odd):
            peer = await rig.connect()
            await peer.send(*pieces)
            answer = await peer.answer()
            assert (answer.status, answer.body) == (400, b"This port speaks plain HTTP.")
            assert answer.headers["connection"] == "close"
            assert await peer.ended() == b""
        peer = await rig.connect()
        await peer.send(post(b"good"), hello)
        assert (await peer.answer()).body == b"good"
        assert (await peer.answer()).body == b"This port speaks plain HTTP."


@on_loop
async def test_other_first_bytes_that_are_no_head_wait_for_its_end() -> None:
    for first in (b"\x16", b"\x16\x04", b"\x15\x03\x01", b"\x80\x2e\x01", b"a\x16\x03"):
        async with Rig(limits=ServerLimits(head_timeout_s=0.05)) as rig:
            peer = await rig.connect()
            await peer.send(first)
            assert (await peer.answer()).status == 408


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
