"""Error bodies of the Gemini dialect, both ways: `{"error": {"code", "message", "status"}}` (google.rpc.Status)."""

import re
from typing import Any

import msgspec

from ...core.chat import ChatRequest
from ...wire.sse import data_frame
from .. import UpstreamWords

_STATUSES = {  # conformance.md 1.11
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "PERMISSION_DENIED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def render_error(status: int, members: dict[str, object]) -> bytes:
    """`{"error": ...}`: code, message and status as Gemini has them, then the house's own members, its `code` as
    `reason` (contract.md 9: the type stays)."""
    word = _STATUSES.get(status) or ("INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    error: dict[str, object] = {"code": status, "message": members.get("message") or "", "status": word}
    for name, value in members.items():
        if name not in error and value is not None:
            error[name] = value
    if members.get("code") is not None:
        error["reason"] = members["code"]
    return msgspec.json.encode({"error": error})


def render_stream_error(status: int, members: dict[str, object], request: ChatRequest | None = None) -> bytes:
    """A failed stream's end: one more piece that is an error. No end mark: the dialect has none."""
    body = render_error(status, members)
    if request is not None and request.is_array:
        return (b",\r\n" if request.events_sent else b"[") + body + b"]"
    return data_frame(body)


def parse_error(body: bytes) -> UpstreamWords | None:
    """The words of an upstream's error body, None where it is none. A stream that is an array has it in a list."""
    try:
        return words_of(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def words_of(decoded: Any) -> UpstreamWords | None:
    """The words of a decoded error body. The reason of a google.rpc.ErrorInfo is the code, the first field that a
    google.rpc.BadRequest names the parameter, the delay of a google.rpc.RetryInfo how long to wait."""
    if isinstance(decoded, list) and decoded:
        decoded = decoded[0]
    error = decoded.get("error") if isinstance(decoded, dict) else None
    if isinstance(error, str):
        return UpstreamWords(error)
    if not isinstance(error, dict):
        return None
    message = error.get("message")
    code = param = retry_after_s = None
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            code = code or _text(detail.get("reason"))
            param = param or _field(detail.get("fieldViolations"))
            retry_after_s = retry_after_s or _seconds(detail.get("retryDelay"))
    return UpstreamWords(
        message if isinstance(message, str) else "The provider gave no reason.",
        _text(error.get("status")),
        code,  # the other one, `error.code`, is but the status again
        param,
        retry_after_s,
    )


def _seconds(duration: object) -> float | None:
    """A google.protobuf.Duration in JSON, `36s` or `1.5s`; None where it is none."""
    text = duration.removesuffix("s") if isinstance(duration, str) else ""
    return float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", text) else None


def _field(violations: object) -> str | None:
    first = violations[0] if isinstance(violations, list) and violations else None
    return _text(first.get("field")) if isinstance(first, dict) else None


def _text(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None
