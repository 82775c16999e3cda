"""HTTPS_PROXY and NO_PROXY: which proxy a call goes through, and the tunnel to get there (RFC 9110 section 9.3.6)."""

import asyncio
import base64
import ipaddress
import ssl
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from .messages import ConnectFailed

_ANSWER_BYTES_MAX = 8192


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy; `authorization` is the value of Proxy-Authorization, if it wants one."""

    host: str
    port: int
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxy for https calls and the hosts that go without."""

    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def proxy_for(self, host: str) -> Proxy | None:
        """The proxy that a call to `host` goes through."""
        if self.https is None or host == "localhost" or _is_loopback(host):
            return None
        return None if any(_exempts(rule, host) for rule in self.exempt) else self.https


def proxies_from(environment: Mapping[str, str]) -> Proxies:
    """The proxies that HTTPS_PROXY and NO_PROXY name, in either case. ValueError for a URL that names none."""
    url = environment.get("HTTPS_PROXY") or environment.get("https_proxy")
    listed = environment.get("NO_PROXY") or environment.get("no_proxy") or ""
    exempt = tuple(rule.strip().lower() for rule in listed.split(",") if rule.strip())
    return Proxies(https=parse_proxy(url) if url else None, exempt=exempt)


def parse_proxy(url: str) -> Proxy:
    """A proxy from its URL, `http://user:password@host:port`."""
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("a proxy is http://host:port")
    authorization = None
    if parts.username is not None:
        pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, parts.port or 80, authorization)


async def open_tunnel(
    loop: asyncio.AbstractEventLoop,
    proxy: Proxy,
    host: str,
    port: int,
    tls: ssl.SSLContext,
    protocol: asyncio.Protocol,
) -> None:
    """CONNECT through `proxy`, then TLS with `host` itself, then `protocol` on top. ConnectFailed, OSError."""
    greeter = _Greeter()
    transport, _ = await loop.create_connection(lambda: greeter, proxy.host, proxy.port)
    try:
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        fields = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        transport.write(f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{fields}\r\n".encode())
        status = await greeter.answer
        if status // 100 != 2:
            raise ConnectFailed(f"the proxy answered {status}")
        secured = await loop.start_tls(transport, greeter, tls, server_hostname=host)
        if secured is None:
            raise ConnectFailed("the proxy closed the tunnel")
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
    except BaseException:
        transport.abort()
        raise


class _Greeter(asyncio.Protocol):
    """Waits for a proxy's answer to CONNECT."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if self.answer.done():
            return
        if b"\r\n\r\n" in self._head:
            words = self._head.split(b"\r\n", 1)[0].split(b" ")
            known = len(words) > 1 and words[0].startswith(b"HTTP/1.") and words[1].isdigit()
            self.answer.set_result(int(words[1]) if known else 502)
        elif len(self._head) > _ANSWER_BYTES_MAX:
            self.answer.set_result(502)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectFailed("the proxy closed the connection"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _exempts(rule: str, host: str) -> bool:
    host = host.lower()
    if rule == "*":
        return True
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        bare = rule.lstrip(".")
        return host == bare or host.endswith("." + bare)
