"""Error bodies of the Messages API, both ways (conformance 1.10: platform.claude.com, API errors)."""

import msgspec

from ...core.chat import ChatRequest
from .. import UpstreamWords

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_KNOWN = frozenset(_TYPES.values())


def words_of(decoded: object) -> UpstreamWords | None:
    """The words of a decoded error body or event; None where it is none."""
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if isinstance(error, str):
        return UpstreamWords(error)
    if not isinstance(error, dict):
        return None
    message, type_ = error.get("message"), error.get("type")
    text = message if isinstance(message, str) else "The provider gave no reason."
    return UpstreamWords(text, type_ if isinstance(type_, str) else None)


def parse_error(body: bytes) -> UpstreamWords | None:
    """The words of an upstream's error body, None where it is no JSON that says any."""
    try:
        return words_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def render_error(status: int, members: dict[str, object]) -> bytes:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`; a provider's own type stands."""
    said = members.get("type")
    other = "invalid_request_error" if 400 <= status < 500 else "api_error"
    type_ = said if said in _KNOWN and status not in _TYPES else _TYPES.get(status, other)
    error = {"type": type_, "message": members.get("message")}
    return msgspec.json.encode({"type": "error", "error": error, "request_id": members.get("request_id")})


def render_stream_error(status: int, members: dict[str, object], _: ChatRequest | None = None) -> bytes:
    """A failed stream's end: an error event, and no message_stop."""
    return b"event: error\ndata: " + render_error(status, members) + b"\n\n"
