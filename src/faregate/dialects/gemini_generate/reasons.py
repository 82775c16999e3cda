"""Why an answer ends (conformance.md 2.3)."""

from ...core.conversation import FinishReason

_OURS: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
_THEIRS: dict[FinishReason, str] = {
    "stop": "STOP",
    "length": "MAX_TOKENS",
    "tool_calls": "STOP",
    "content_filter": "SAFETY",
}
_PLAIN = ("STOP", "MAX_TOKENS")
_GONE_WRONG = (
    "MALFORMED_FUNCTION_CALL",
    "UNEXPECTED_TOOL_CALL",
    "MALFORMED_RESPONSE",
    "MISSING_THOUGHT_SIGNATURE",
    "TOO_MANY_TOOL_CALLS",
    "IMAGE_OTHER",
    "NO_IMAGE",
    "OTHER",
)


def is_reason(word: str | None) -> bool:
    """Whether a candidate with this `finishReason` has ended."""
    return bool(word) and word != "FINISH_REASON_UNSPECIFIED"


def went_wrong(word: str) -> bool:
    """Whether the model ended without an answer that it stands by: without content it is no answer at all."""
    return word not in _OURS


def reason_of(word: str, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Our reason for a `finishReason`, and the word itself where that says less."""
    reason = _OURS.get(word, "stop")
    if reason == "stop" and has_calls:
        reason = "tool_calls"
    return reason, "" if word in _PLAIN else word


def word_of(reason: FinishReason, native: str) -> str:
    """The `finishReason` for a reason of ours; the provider's own word where it is one of this dialect."""
    return native if native in _OURS or native in _GONE_WRONG else _THEIRS[reason]
