"""Errors of AWS's REST services (AWS restJson1 protocol, "Operation error serialization")."""

import msgspec

from .. import UpstreamWords

_UNSAID = "The provider gave no reason."


def parse_error(body: bytes) -> UpstreamWords | None:
    """The words of an upstream's error body, None where it is no JSON that says any."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(decoded, dict):
        return None
    said = next((decoded[name] for name in ("message", "Message") if isinstance(decoded.get(name), str)), None)
    kind = decoded.get("__type") or decoded.get("code")
    if said is None and not isinstance(kind, str):
        return None
    return UpstreamWords(said or _UNSAID, kind.rpartition("#")[2] if isinstance(kind, str) else None)


def words_of(kind: str, payload: bytes) -> UpstreamWords:
    """The words of an exception in a stream."""
    found = parse_error(payload)
    return UpstreamWords(found.message if found is not None else _UNSAID, kind or None)
