"""Whose address it is: the rules of X-Forwarded-For and of the PROXY protocol, on bytes."""

import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.wire.addresses import PROXY_V2_SIGNATURE, TrustedProxies, read_proxy_header
from faregate.wire.messages import BadMessage

TRUSTED = TrustedProxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")))

ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)


def test_who_is_trusted() -> None:
    assert "10.1.2.3" in TRUSTED
    assert "::ffff:10.1.2.3" in TRUSTED
    assert "2001:db8::1" in TRUSTED
    for address in ("11.0.0.1", "::ffff:11.0.0.1", "2001:db9::1", "local", "", "10.1.2", "10.1.2.3 "):
        assert address not in TRUSTED
    assert TRUSTED
    assert not TrustedProxies()
    assert "10.1.2.3" not in TrustedProxies()


def test_a_scoped_address_is_no_crash() -> None:
    assert "fe80::1%eth0" not in TRUSTED


@given(ADDRESSES, st.lists(st.text(max_size=20)))
def test_what_comes_before_the_last_untrusted_hop_does_not_matter(address: object, spoofs: list[str]) -> None:
    if str(address) in TRUSTED:
        return
    chain = ", ".join([*[spoof.encode("ascii", "ignore").decode() for spoof in spoofs], str(address), "10.1.1.1"])
    assert TRUSTED.client_of("10.9.9.9", chain.encode()) == str(address)


@given(st.binary(max_size=100))
def test_any_value_gives_an_address(value: bytes) -> None:
    client = TRUSTED.client_of("10.9.9.9", value)
    assert client == "10.9.9.9" or ipaddress.ip_address(client)
    assert TRUSTED.client_of("11.9.9.9", value) == "11.9.9.9"


def test_no_field_is_the_peer() -> None:
    assert TRUSTED.client_of("10.9.9.9", None) == "10.9.9.9"


# PROXY headers.


def v1(source: object) -> bytes:
    version = ipaddress.ip_address(str(source)).version
    return f"PROXY TCP{version} {source} {source} 1 2\r\n".encode()


def v2(source: object, more: bytes = b"") -> bytes:
    parsed = ipaddress.ip_address(str(source))
    body = parsed.packed * 2 + struct.pack("!HH", 1, 2) + more
    return PROXY_V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if parsed.version == 4 else 0x21, len(body)) + body


@given(ADDRESSES, st.binary(max_size=50), st.binary(max_size=50))
def test_headers_are_read_and_no_byte_more(source: object, more: bytes, rest: bytes) -> None:
    for header in (v1(source), v2(source, more)):
        assert read_proxy_header(header + rest) == (str(source), len(header))
        for end in range(len(header)):
            assert read_proxy_header(header[:end]) is None


@given(st.binary(max_size=200))
def test_noise_is_refused_or_incomplete(noise: bytes) -> None:
    for data in (noise, b"PROXY " + noise, PROXY_V2_SIGNATURE + noise):
        try:
            found = read_proxy_header(data)
        except BadMessage:
            continue
        assert found is None or found[1] <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXX",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"PROXY TCP4 1.2.3.4  5.6.7.8 1 2\r\n",
        b"PROXY TCP4 999.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 \xff 5.6.7.8 1 2\r\n",
        b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        b"PROXY TCP4 " + b"1" * 100,
        b"PROXY \r\n",
        PROXY_V2_SIGNATURE[:11] + b"x",
        PROXY_V2_SIGNATURE + b"\x11\x11\x00\x0c" + bytes(12),
        PROXY_V2_SIGNATURE + b"\x2f\x11\x00\x0c" + bytes(12),
        PROXY_V2_SIGNATURE + b"\x21\x11\x00\x0b" + bytes(11),
        PROXY_V2_SIGNATURE + b"\x21\x21\x00\x0c" + bytes(12),
        PROXY_V2_SIGNATURE + b"\x21\x11\x03\x00",
    ],
)
def test_what_is_no_proxy_header(data: bytes) -> None:
    with pytest.raises(BadMessage):
        read_proxy_header(data)


def test_a_proxy_that_speaks_for_itself() -> None:
    assert read_proxy_header(b"PROXY UNKNOWN\r\nGET") == (None, 15)
    local = PROXY_V2_SIGNATURE + b"\x20\x00\x00\x00"
    assert read_proxy_header(local + b"GET") == (None, 16)
    unix = PROXY_V2_SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216)
    assert read_proxy_header(unix) == (None, 232)
