"""Who calls: organisations, projects, keys; the format of a key and its keyed hash.

A key is `{prefix}{id:12}-{secret:43}{checksum:6}`, all base62. The id is a public handle for the look-up, the secret
256 bits, the checksum the CRC-32 of what stands before it, so that junk is dropped without a look at the store and
scanners can recognise a leaked key (security.md S1).
"""

import hashlib
import ipaddress
import secrets
import zlib
from collections.abc import Mapping

import msgspec

from .plans import NO_BOUNDS, NO_OVERRIDES, NOTHING_AGREED, UNLIMITED, Agreed, Bounds, Overrides, Terms

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BASE62_BYTES = frozenset(BASE62.encode())
ID_CHARACTERS = 12
SECRET_CHARACTERS = 43
CHECKSUM_CHARACTERS = 6
KEY_CHARACTERS = ID_CHARACTERS + 1 + SECRET_CHARACTERS + CHECKSUM_CHARACTERS

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Organisation(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `created_at` is unix seconds; `billing` is `prepaid` (from credit) or `metered` (without).
    `plan` is None for the default one; `bounds` narrow what it says of the organisation."""

    id: str
    name: str
    disabled: bool
    created_at: float
    billing: str = "prepaid"
    plan: str | None = None
    bounds: Bounds = NO_BOUNDS


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an organisation that keys belong to."""

    id: str
    organisation_id: str
    name: str
    disabled: bool
    created_at: float
    overrides: Overrides = NO_OVERRIDES


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What the directory says of a key: everything but the secret. Times are unix seconds."""

    id: str
    project_id: str
    organisation_id: str
    name: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    allowed_models: tuple[str, ...]
    allowed_addresses: tuple[str, ...]
    bills: tuple[str, ...] = ()
    overrides: Overrides = NO_OVERRIDES


class Budget(msgspec.Struct, frozen=True, array_like=True):
    """What a project or a key may spend in each `period` (day, month, total), nano-USD."""

    subject_id: str
    period: str
    amount_nano: int


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A proven key and what it may do; immutable, because it is cached and shared. `payer` is the ledger's number of
    the account that pays for its calls; 0 where its organisation has none yet. `bills` are projects that it may bill
    beside its own. `terms` are what holds for it (core/terms.py), made of what is `agreed`."""

    key_id: str
    project_id: str
    organisation_id: str
    disabled: bool
    expires_at: float | None
    allowed_models: frozenset[str]
    allowed_networks: tuple[Network, ...]
    payer: int = 0
    bills: frozenset[str] = frozenset()
    budgets: tuple[Budget, ...] = ()
    agreed: Agreed = NOTHING_AGREED
    terms: Terms = UNLIMITED
    billed_terms: Mapping[str, Terms] = {}

    def terms_for(self, project_id: str) -> Terms:
        """What holds for a call that is billed to this project."""
        return self.billed_terms.get(project_id, self.terms)

    def may_call_from(self, address: str) -> bool:
        """Whether the key may be used from this client address (an empty list allows all)."""
        if not self.allowed_networks:
            return True
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(client in network for network in self.allowed_networks)


def _base62(number: int, characters: int) -> str:
    digits = []
    for _ in range(characters):
        number, digit = divmod(number, 62)
        digits.append(BASE62[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_CHARACTERS)


def make_id() -> str:
    """A new public id: 12 base62 characters, 71 bits."""
    return "".join(secrets.choice(BASE62) for _ in range(ID_CHARACTERS))


def make_key(prefix: str, key_id: str) -> str:
    """A new key text for `key_id`, with a fresh 256-bit secret. It is shown once and never stored."""
    secret = _base62(secrets.randbits(256), SECRET_CHARACTERS)
    body = f"{prefix}{key_id}-{secret}"
    return body + _checksum(body)


def key_id_of(presented: bytes, prefix: bytes) -> str | None:
    """The public id inside a presented key, or None for whatever is not a key of this prefix (S1)."""
    if len(presented) != len(prefix) + KEY_CHARACTERS or not presented.startswith(prefix):
        return None
    body = presented[len(prefix) :]
    if body[ID_CHARACTERS : ID_CHARACTERS + 1] != b"-":
        return None
    if not _BASE62_BYTES.issuperset(body[:ID_CHARACTERS] + body[ID_CHARACTERS + 1 :]):
        return None
    text = presented.decode("ascii")
    if _checksum(text[:-CHECKSUM_CHARACTERS]) != text[-CHECKSUM_CHARACTERS:]:
        return None
    return body[:ID_CHARACTERS].decode("ascii")


def key_digest(pepper: bytes, presented: bytes) -> bytes:
    """The keyed hash of a whole key text under the pepper (at most 64 bytes): BLAKE2b of 32 bytes (RFC 7693).

    It runs for every request: a MAC like HMAC-SHA256, at a quarter of its cost.
    """
    return hashlib.blake2b(presented, digest_size=32, key=pepper).digest()
