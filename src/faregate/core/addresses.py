"""What one customer of a network has for its own, by which clients are counted."""

import socket
from functools import lru_cache

_MAPPED = bytes(10) + b"\xff\xff"  # before an IPv4 address within IPv6 (RFC 4291 section 2.5.5.2)
_KNOWN_MAX = 65_536


@lru_cache(_KNOWN_MAX)
def subscriber_of(address: str) -> bytes:
    """The 4 bytes of an IPv4 address, also of one mapped into IPv6; the first 8 of an IPv6 one, its /64; none of what
    is no address."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, address.partition("%")[0])
        except (OSError, ValueError):
            continue
        packed = packed.removeprefix(_MAPPED) if len(packed) == 16 else packed
        return packed if len(packed) == 4 else packed[:8]
    return b""
