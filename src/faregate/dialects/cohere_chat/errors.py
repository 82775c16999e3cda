"""Error bodies of Cohere's API: `{"id", "message"}` (docs.cohere.com, Errors), some with the words further in."""

import msgspec

from .. import UpstreamWords


def words_of(decoded: object) -> UpstreamWords | None:
    """The words of a decoded error body; None where it is none."""
    if not isinstance(decoded, dict):
        return None
    for member in ("message", "error", "detail"):
        said = decoded.get(member)
        if isinstance(said, str) and said:
            return UpstreamWords(said)
    for member in ("data", "error"):  # `{"data": {"error": {"message"}}}`
        found = words_of(decoded.get(member))
        if found is not None:
            return found
    return None


def parse_error(body: bytes) -> UpstreamWords | None:
    """The words of an upstream's error body, None where it is no JSON that says any."""
    try:
        return words_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
