"""What requests, answers and streams of Cohere's chat have in common."""

from ...core.conversation import FinishReason

DIALECT = "cohere_chat"
Written = dict[str, object]

# Docs, API reference, Chat, `finish_reason`. An answer that took the provider too long was cut off by its length.
_REASONS: dict[str, FinishReason] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TIMEOUT": "length",
    "TOOL_CALL": "tool_calls",
}
# Those that another dialect's word says as well.
_PLAIN = frozenset({"COMPLETE", "STOP_SEQUENCE", "MAX_TOKENS", "TOOL_CALL"})
ERROR = "ERROR"
TIMEOUT = "TIMEOUT"


def reason_of(word: str | None, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Why an answer ended, and the provider's word where ours says less."""
    if word is None:
        return ("tool_calls" if has_calls else "stop"), ""
    reason = _REASONS.get(word, "stop")
    if reason in ("stop", "tool_calls"):
        reason = "tool_calls" if has_calls else "stop"
    return reason, "" if word in _PLAIN else word


def went_wrong(word: str | None, *, has_content: bool) -> bool:
    """Whether there is no answer: it failed, or nothing was said in time."""
    return word == ERROR or (word == TIMEOUT and not has_content)
