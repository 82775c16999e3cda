"""Whose request it is: PROXY headers and X-Forwarded-For over real sockets, from named proxies and from others."""

import ipaddress
import socket
import struct

import pytest

from faregate.wire.addresses import PROXY_V2_SIGNATURE, TrustedProxies
from faregate.wire.server import ServerLimits

from .rig import Rig, get, on_loop

LOCAL = TrustedProxies((ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("10.0.0.0/8")))
ELSEWHERE = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"),))


def v2(address: str, *, command: int = 1, more: bytes = b"") -> bytes:
    parsed = ipaddress.ip_address(address)
    family = 0x11 if parsed.version == 4 else 0x21
    body = parsed.packed * 2 + struct.pack("!HH", 4321, 80) + more
    return PROXY_V2_SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(body)) + body


HEADERS = {
    "v1": (b"PROXY TCP4 203.0.113.7 10.0.0.1 4321 80\r\n", "203.0.113.7"),
    "v1 of IPv6": (b"PROXY TCP6 2001:db8::7 ::1 4321 80\r\n", "2001:db8::7"),
    "v1 unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v1 unknown with more": (b"PROXY UNKNOWN 1 2 3 4\r\n", "127.0.0.1"),
    "v2": (v2("203.0.113.7"), "203.0.113.7"),
    "v2 of IPv6": (v2("2001:db8::7"), "2001:db8::7"),
    "v2 with extensions": (v2("203.0.113.7", more=b"\x04\x00\x20" + bytes(32)), "203.0.113.7"),
    "v2 local": (v2("203.0.113.7", command=0), "127.0.0.1"),
}


@pytest.mark.parametrize("name", HEADERS)
@on_loop
async def test_proxy_header(name: str) -> None:
    header, address = HEADERS[name]
    async with Rig(trusted=LOCAL, proxy_protocol=True) as rig:
        data = header + get("/a")
        for pieces in ([data], [header, get("/a")], [data[at : at + 1] for at in range(len(data))]):
            peer = await rig.connect()
            await peer.send(*pieces)
            assert (await peer.answer()).body == b"/a"
            await peer.send(get("/b"))
            assert (await peer.answer()).body == b"/b"
        assert {request.client_address for request in rig.seen.requests} == {address}
        assert not rig.server.unauthenticated  # a named proxy is exempt


@pytest.mark.parametrize(
    "data",
    [
        get(),
        b"PROXY TCP4 not-an-address 10.0.0.1 1 2\r\n" + get(),
        b"PROXY TCP4 1.2.3.4\r\n" + get(),
        b"PROXY TCP9 1.2.3.4 1.2.3.4 1 2\r\n" + get(),
        b"PROXY " + b"x" * 200,
        PROXY_V2_SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12) + get(),
        PROXY_V2_SIGNATURE + b"\x21\x11\x00\x04" + bytes(4) + get(),
        PROXY_V2_SIGNATURE + b"\x21\x11\xff\xff" + get(),
        PROXY_V2_SIGNATURE + b"\x22\x11\x00\x0c" + bytes(12) + get(),
    ],
)
@on_loop
async def test_a_named_proxy_that_sends_no_good_header_is_cut(data: bytes) -> None:
    async with Rig(trusted=LOCAL, proxy_protocol=True) as rig:
        peer = await rig.connect()
        await peer.send(data)
        assert await peer.ended() == b""
        assert not rig.seen.requests


@on_loop
async def test_half_a_proxy_header_has_a_deadline() -> None:
    async with Rig(limits=ServerLimits(head_timeout_s=0.1), trusted=LOCAL, proxy_protocol=True) as rig:
        peer = await rig.connect()
        await peer.send(b"PROXY TCP4 203")
        assert await peer.ended() == b""


@pytest.mark.parametrize("header", [HEADERS["v1"][0], HEADERS["v2"][0]])
@on_loop
async def test_nobody_else_may_send_one(header: bytes) -> None:
    for trusted, proxy_protocol in ((ELSEWHERE, True), (LOCAL, False), (TrustedProxies(), True)):
        async with Rig(trusted=trusted, proxy_protocol=proxy_protocol) as rig:
            peer = await rig.connect()
            await peer.send(header + get())
            assert (await peer.answer()).status == 400
            assert await peer.ended() == b""
            assert not rig.seen.requests


FORWARDED = {
    "plain": (["203.0.113.7"], "203.0.113.7"),
    "a spoof before it": (["1.2.3.4, 203.0.113.7"], "203.0.113.7"),
    "a spoof in a field of its own": (["1.2.3.4", "203.0.113.7"], "203.0.113.7"),
    "behind another proxy of ours": (["1.2.3.4, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
    "a spoof of a proxy of ours": (["10.9.9.9, 203.0.113.7"], "203.0.113.7"),
    "only proxies of ours": (["10.9.9.9, 10.1.1.1"], "10.9.9.9"),
    "with a port": (["203.0.113.7:5555"], "203.0.113.7"),
    "IPv6": (["2001:db8::7"], "2001:db8::7"),
    "IPv6 with a port": (["[2001:db8::7]:5555"], "2001:db8::7"),
    "no address": (["unknown"], "127.0.0.1"),
    "no address behind one": (["203.0.113.7, evil"], "127.0.0.1"),
    "empty": ([""], "127.0.0.1"),
    "quotes": (['"203.0.113.7"'], "127.0.0.1"),
    "many hops": ([", ".join(["1.2.3.4"] * 500) + ", 203.0.113.7"], "203.0.113.7"),
}


@pytest.mark.parametrize("name", FORWARDED)
@on_loop
async def test_forwarded_for(name: str) -> None:
    values, address = FORWARDED[name]
    fields = [f"x-forwarded-for: {value}" for value in values]
    async with Rig(trusted=LOCAL) as rig:
        peer = await rig.connect()
        await peer.send(get("/", *fields) + get("/"))
        await peer.answer()
        await peer.answer()
        assert [request.client_address for request in rig.seen.requests] == [address, "127.0.0.1"]
    async with Rig(trusted=ELSEWHERE) as rig:
        peer = await rig.connect()
        await peer.send(get("/", *fields))
        await peer.answer()
        assert rig.seen.requests[0].client_address == "127.0.0.1"


@on_loop
async def test_forwarded_for_behind_a_proxy_header() -> None:
    """The balancer speaks PROXY, the proxy behind it X-Forwarded-For: believed only where the first names a proxy."""
    field = "x-forwarded-for: 203.0.113.7"
    for source, address in (("10.1.1.1", "203.0.113.7"), ("198.51.100.1", "198.51.100.1")):
        async with Rig(trusted=LOCAL, proxy_protocol=True) as rig:
            peer = await rig.connect()
            await peer.send(f"PROXY TCP4 {source} 10.0.0.1 4321 80\r\n".encode() + get("/", field))
            await peer.answer()
            assert rig.seen.requests[0].client_address == address


@on_loop
async def test_ipv6() -> None:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with Rig(host="::1") as rig:
        peer = await rig.connect()
        await peer.send(get("/six"))
        assert (await peer.answer()).body == b"/six"
        assert rig.seen.requests[0].client_address == "::1"
        assert dict(rig.server.unauthenticated) == {bytes(8): 1}
    named = TrustedProxies((ipaddress.ip_network("::1/128"),))
    async with Rig(host="::1", trusted=named) as rig:
        peer = await rig.connect()
        await peer.send(get("/six", "x-forwarded-for: 2001:db8::7"))
        assert (await peer.answer()).body == b"/six"
        assert rig.seen.requests[0].client_address == "2001:db8::7"
