"""The calling side over TLS, and through a proxy: what is verified, what the proxy is told, what goes around it."""

import asyncio
import base64
import dataclasses
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable

import pytest
from msgspec.structs import replace

from faregate.wire.client import Origin, Timeouts
from faregate.wire.messages import ConnectFailed, ConnectionLost, TimedOut, WireError
from faregate.wire.proxies import Proxies, Proxy, proxies_from

from .certificates import Authority
from .rig import Peer, Rig, on_loop, until
from .scripts import echo, mute


def context_of(authority: Authority, name: str, alternatives: str, *, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign(name, alternatives, expired=expired))
    return context


async def secured(rig: Rig, authority: Authority, context: ssl.SSLContext, *scripts) -> Origin:
    return replace(await rig.upstream(*scripts, ssl=context), ca_file=str(authority.certificate))


@on_loop
async def test_tls(authority: Authority) -> None:
    async with Rig() as rig:
        origin = await secured(rig, authority, context_of(authority, "good", "IP:127.0.0.1"), echo)
        for body in (b"once", b"twice", bytes(3_000_000)):
            assert await rig.call(origin, body) == (200, body)
        assert rig.pool(origin).open == 1


@pytest.mark.parametrize(
    ("alternatives", "expired", "trusted"),
    [("IP:127.0.0.1", True, True), ("DNS:elsewhere.example", False, True), ("IP:127.0.0.1", False, False)],
)
@on_loop
async def test_f76_certificates_that_do_not_hold(
    authority: Authority, alternatives: str, expired: bool, trusted: bool
) -> None:
    async with Rig() as rig:
        context = context_of(authority, "odd", alternatives, expired=expired)
        origin = await secured(rig, authority, context, echo)
        if not trusted:
            origin = replace(origin, ca_file=None)
        began_at = time.monotonic()
        with pytest.raises(ConnectFailed, match="certificate not accepted"):
            await rig.call(origin)
        assert time.monotonic() - began_at < 3
        await until(lambda: rig.pool(origin).open == 0)


@on_loop
async def test_old_tls_is_refused(authority: Authority) -> None:
    context = context_of(authority, "good", "IP:127.0.0.1")
    with warnings.catch_warnings(action="ignore"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    async with Rig() as rig:
        origin = await secured(rig, authority, context, echo)
        with pytest.raises(ConnectFailed):
            await rig.call(origin)


@on_loop
async def test_a_server_that_speaks_no_tls(authority: Authority) -> None:
    async with Rig() as rig:
        for script, kinds in ((mute, TimedOut), (rude, ConnectFailed)):
            plain = await rig.upstream(script)
            origin = replace(plain, scheme="https", ca_file=str(authority.certificate))
            with pytest.raises(kinds):
                await rig.call(origin, timeouts=Timeouts(connect_s=0.3))
            await until(lambda origin=origin: rig.pool(origin).open == 0)


async def rude(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 400 This is no TLS\r\n\r\n")
    await peer.ended()


@on_loop
async def test_an_answer_until_close_over_tls(authority: Authority) -> None:
    async def upstream(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")

    async with Rig() as rig:
        origin = await secured(rig, authority, context_of(authority, "good", "IP:127.0.0.1"), upstream)
        assert await rig.call(origin) == (200, b"until the end")


@on_loop
async def test_a_tls_connection_that_is_cut(authority: Authority) -> None:
    async def upstream(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
        peer.reset()

    async with Rig() as rig:
        origin = await secured(rig, authority, context_of(authority, "good", "IP:127.0.0.1"), upstream)
        with pytest.raises(ConnectionLost):
            await rig.call(origin)


# Through a proxy.


class FakeProxy:
    """A proxy that takes CONNECT and leads every name to one port of this machine."""

    def __init__(self, port: int, *, wants: str | None = None, says: bytes | None = None) -> None:
        self.port = port
        self.wants = wants
        self.says = says
        self.heads: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def script(self, peer: Peer) -> None:
        head = (await peer.reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        if self.says is not None:
            await peer.send(self.says)
            if b"200" not in self.says:
                await peer.ended()
                return
        elif self.wants is not None and f"proxy-authorization: {self.wants}\r\n" not in head:
            await peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        else:
            await peer.send(b"HTTP/1.1 200 Connection established\r\nx-proxy: fake\r\n\r\n")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(pump(peer.reader, writer), pump(reader, peer.writer))
        finally:
            writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def tunnelled(
    rig: Rig, authority: Authority, **options
) -> tuple[FakeProxy, Callable[[str], Awaitable[Origin]], Proxies]:
    """A proxy in front of a TLS server that is called upstream.test, and the settings that name it."""
    real = await rig.upstream(echo, ssl=context_of(authority, "named", "DNS:upstream.test,DNS:*.upstream.test"))
    proxy = FakeProxy(real.port, **options)
    listener = await rig.upstream(proxy.script)

    async def origin(host: str) -> Origin:
        return Origin("https", host, 443, ca_file=str(authority.certificate))

    return proxy, origin, Proxies(https=Proxy("127.0.0.1", listener.port))


@on_loop
async def test_a_tunnel(authority: Authority) -> None:
    async with Rig() as rig:
        proxy, origin_of, rig.client._proxies = await tunnelled(rig, authority)
        origin = await origin_of("upstream.test")
        for body in (b"once", b"twice", bytes(3_000_000)):
            assert await rig.call(origin, body) == (200, body)
        assert proxy.heads == ["CONNECT upstream.test:443 HTTP/1.1\r\nhost: upstream.test:443\r\n\r\n"]
        assert rig.pool(origin).open == 1


@on_loop
async def test_a_tunnel_with_credentials(authority: Authority) -> None:
    wanted = "Basic " + base64.b64encode(b"us er:pa:ss@").decode()
    async with Rig() as rig:
        proxy, origin_of, plain = await tunnelled(rig, authority, wants=wanted)
        assert plain.https is not None
        origin = await origin_of("upstream.test")
        rig.client._proxies = plain
        with pytest.raises(ConnectFailed, match="407"):
            await rig.call(origin)
        url = f"http://us%20er:pa%3Ass%40@127.0.0.1:{plain.https.port}"
        rig.client._proxies = proxies_from({"HTTPS_PROXY": url})
        assert await rig.call(origin, b"in") == (200, b"in")
        assert "pa" not in repr(rig.client._proxies.https)
        assert len(proxy.heads) == 2


@on_loop
async def test_the_certificate_behind_a_tunnel_is_verified(authority: Authority) -> None:
    async with Rig() as rig:
        _, origin_of, rig.client._proxies = await tunnelled(rig, authority)
        for origin in (await origin_of("other.test"), replace(await origin_of("upstream.test"), ca_file=None)):
            with pytest.raises(ConnectFailed, match="certificate not accepted"):
                await rig.call(origin)
            await until(lambda origin=origin: rig.pool(origin).open == 0)


@pytest.mark.parametrize(
    "says",
    [
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nlocation: http://evil\r\n\r\n",
        b"no HTTP\r\n\r\n",
        b"x" * 20_000,
        b"HTTP/1.1 \xb2\xb2\xb2 x\r\n\r\n",
    ],
)
@on_loop
async def test_a_proxy_that_does_not_tunnel(authority: Authority, says: bytes) -> None:
    async with Rig() as rig:
        _, origin_of, rig.client._proxies = await tunnelled(rig, authority, says=says)
        origin = await origin_of("upstream.test")
        with pytest.raises(ConnectFailed):
            await rig.call(origin)
        await until(lambda: rig.pool(origin).open == 0)


@on_loop
async def test_proxies_that_are_away_or_silent_or_leave(authority: Authority) -> None:
    async def leave(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")

    async with Rig() as rig:
        for script, kind in ((mute, TimedOut), (leave, ConnectFailed), (None, ConnectFailed)):
            port = (await rig.upstream(script)).port if script else 1
            rig.client._proxies = Proxies(https=Proxy("127.0.0.1", port))
            began_at = time.monotonic()
            with pytest.raises(kind):
                await rig.call(Origin("https", "upstream.test", 443), timeouts=Timeouts(connect_s=0.3))
            assert time.monotonic() - began_at < 1
        assert rig.pool(Origin("https", "upstream.test", 443)).open == 0


@on_loop
async def test_what_goes_around_the_proxy(authority: Authority) -> None:
    """Plain http, this machine, and what NO_PROXY names: the proxy hears nothing of them."""
    async with Rig() as rig:
        proxy, origin_of, proxies = await tunnelled(rig, authority)
        rig.client._proxies = dataclasses.replace(proxies, exempt=("upstream.test", "10.0.0.0/8"))
        plain = await rig.upstream(echo)
        assert await rig.call(plain, b"plain") == (200, b"plain")
        local = await secured(rig, authority, context_of(authority, "good", "IP:127.0.0.1"), echo)
        assert await rig.call(local, b"local") == (200, b"local")
        with pytest.raises(WireError):
            await rig.call(await origin_of("deep.upstream.test"), timeouts=Timeouts(connect_s=2))
        assert not proxy.heads
