"""What requests, answers and streams of Converse have in common."""

import hashlib
import re

from ...core.conversation import FinishReason

DIALECT = "bedrock_converse"
# Whose proofs its thoughts have: only Claude signs, and what it signs here holds at its other providers too
# (platform.claude.com, "Extended thinking": signatures are compatible across platforms).
SIGNED_BY = "anthropic_messages"
Written = dict[str, object]

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}\Z")
# API reference, ConverseResponse.stopReason.
_REASONS: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
}
# Those that another dialect's word says as well.
_PLAIN = frozenset({"end_turn", "stop_sequence", "max_tokens", "tool_use"})
_GONE_WRONG = frozenset({"malformed_model_output", "malformed_tool_use"})


def call_id_shown(call_id: str) -> str:
    """A call's id as Converse takes it (64 letters, digits and `_.:-`), the same each time."""
    return call_id if _ID.match(call_id) else "tooluse_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]


def reason_of(word: str | None, *, has_calls: bool) -> tuple[FinishReason, str]:
    """Why an answer ended, and the provider's word where ours says less."""
    if word is None:
        return ("tool_calls" if has_calls else "stop"), ""
    if word == "tool_use" and not has_calls:
        return "stop", ""  # of the tool that stands for an answer
    return _REASONS.get(word, "stop"), "" if word in _PLAIN else word


def went_wrong(word: str | None) -> bool:
    """Whether the model said what nobody could read: without content it is no answer at all."""
    return word in _GONE_WRONG
