"""Error bodies as OpenAI writes them, which several of its dialects share."""

import msgspec

from . import UpstreamWords


def words_of(decoded: object) -> UpstreamWords | None:
    """The words of a decoded error body: OpenAI's `{"error": {...}}`, or what compatible servers make of it."""
    if not isinstance(decoded, dict):
        return None
    error = decoded.get("error")
    if isinstance(error, str):
        return UpstreamWords(error)
    if isinstance(error, dict):
        message = error.get("message")
        text = message if isinstance(message, str) else "The provider gave no reason."
        return UpstreamWords(text, _text(error.get("type")), _text(error.get("code")), _text(error.get("param")))
    for member in ("message", "detail"):
        if isinstance(decoded.get(member), str):
            return UpstreamWords(decoded[member])
    return None


def parse_error(body: bytes) -> UpstreamWords | None:
    """The words of an upstream's error body, None where it is no JSON that says any."""
    try:
        return words_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def render_error(_: int, members: dict[str, object]) -> bytes:
    """`{"error": members}`."""
    return msgspec.json.encode({"error": members})


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None
