"""Whose address a connection really has: X-Forwarded-For and the PROXY protocol, believed from named proxies only.

PROXY protocol versions 1 and 2: haproxy's proxy-protocol.txt, sections 2.1 and 2.2.
"""

import ipaddress
import struct

from .messages import BadMessage

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROXY_V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_V1_BYTES_MAX = 107
_V2_HEAD_BYTES = 16
_V2_BYTES_MAX = 536


class TrustedProxies:
    """The proxies that are believed, as networks."""

    __slots__ = ("_networks",)

    def __init__(self, networks: tuple[Network, ...] = ()) -> None:
        self._networks = networks

    def __bool__(self) -> bool:
        return bool(self._networks)

    def __contains__(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def client_of(self, peer: str, forwarded_for: bytes | None) -> str:
        """The client behind `peer`: the right-most hop of X-Forwarded-For that is no proxy of ours."""
        if forwarded_for is None or peer not in self:
            return peer
        client = peer
        for hop in reversed(forwarded_for.decode("latin-1").split(",")):
            text = _without_port(hop.strip())
            try:
                client = str(ipaddress.ip_address(text))
            except ValueError:
                return client  # what no address is, ends the chain that we can believe
            if client not in self:
                return client
        return client


def _without_port(hop: str) -> str:
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def read_proxy_header(data: bytes) -> tuple[str | None, int] | None:
    """The client address that a PROXY header states and the header's length in bytes.

    None while the header is incomplete; an address of None where the proxy speaks for itself (LOCAL, UNKNOWN).
    Raises BadMessage for what no PROXY header begins with.
    """
    if data.startswith(PROXY_V2_SIGNATURE[: len(data)]):
        return _read_v2(data)
    if data.startswith(b"PROXY "[: len(data)]):
        return _read_v1(data)
    raise BadMessage("a PROXY header was expected")


def _read_v1(data: bytes) -> tuple[str | None, int] | None:
    end = data.find(b"\r\n", 0, _V1_BYTES_MAX)
    if end < 0:
        if len(data) >= _V1_BYTES_MAX:
            raise BadMessage("PROXY header too long")
        return None
    fields = data[:end].split(b" ")
    if fields[1:2] == [b"UNKNOWN"]:
        return None, end + 2
    if len(fields) != 6 or fields[1] not in (b"TCP4", b"TCP6"):
        raise BadMessage("malformed PROXY header")
    try:
        address = ipaddress.ip_address(fields[2].decode("ascii"))
    except ValueError:
        raise BadMessage("malformed PROXY header") from None
    return str(address), end + 2


def _read_v2(data: bytes) -> tuple[str | None, int] | None:
    if len(data) < _V2_HEAD_BYTES:
        return None
    version_command, family, length = struct.unpack_from("!BBH", data, 12)
    if version_command >> 4 != 2 or length > _V2_BYTES_MAX:
        raise BadMessage("malformed PROXY header")
    end = _V2_HEAD_BYTES + length
    if len(data) < end:
        return None
    command = version_command & 0x0F
    if command == 0:  # LOCAL: the proxy's own health check
        return None, end
    address_bytes = {1: 4, 2: 16}.get(family >> 4)
    if command != 1 or (address_bytes is not None and length < 2 * address_bytes + 4):
        raise BadMessage("malformed PROXY header")
    if address_bytes is None:
        return None, end
    address = ipaddress.ip_address(data[_V2_HEAD_BYTES : _V2_HEAD_BYTES + address_bytes])
    return str(address), end
