"""The rules that a repaired answer and a repaired stream share: finish reasons, names and ids, creation
times, the total of a usage (conformance 1.1, 2.3)."""

import secrets
import time
from typing import Any

Members = dict[str, Any]

# Later than this, a creation time is in milliseconds.
_CREATED_S_MAX = 100_000_000_000

_REASONS = {
    "stop": ("stop", "eos", "eos_token", "end_turn", "stop_sequence", "complete", "completed"),
    "length": ("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"),
    "tool_calls": ("tool_calls", "tool_call", "tool_use"),
    "function_call": ("function_call",),
    "content_filter": (
        *("content_filter", "safety", "refusal", "sensitive", "recitation", "blocklist", "spii"),
        *("prohibited_content", "language", "model_armor"),
        *("image_safety", "image_prohibited_content", "image_recitation"),
    ),
}
_SHOWN = {native: shown for shown, natives in _REASONS.items() for native in natives}
_SHOWN_AS_IS = frozenset(_REASONS)
_RANK = {"stop": 0, "tool_calls": 1, "function_call": 1, "length": 2, "content_filter": 2}
_NO_REASON = frozenset({"", "null", "none", "finish_reason_unspecified"})
_FAILURES = frozenset({"error", "abort", "insufficient_system_resource"})


def made_answer_id() -> str:
    """An id for an answer that came without one."""
    return "chatcmpl-" + secrets.token_hex(12)


def made_call_id() -> str:
    """An id for a tool call that came without one, or with another's."""
    return "call_" + secrets.token_hex(12)


def id_of(raw: object) -> str | None:
    """A usable id, or None."""
    return raw if isinstance(raw, str) and raw else None


def created_of(raw: object) -> int:
    """The creation time in whole seconds; now where the upstream does not say."""
    if isinstance(raw, int | float) and not isinstance(raw, bool) and raw > 0:
        return int(raw // 1000 if raw > _CREATED_S_MAX else raw)
    return int(time.time())


def given_reason(raw: object) -> object:
    """A finish reason as the upstream gave it; None where it gave none (some write "" or "null" for null)."""
    if raw is None or (isinstance(raw, str) and raw.lower() in _NO_REASON):
        return None
    return raw


def is_failure(native: object) -> bool:
    """Whether a finish reason says that the answer broke off."""
    return isinstance(native, str) and native.lower() in _FAILURES


def is_known(native: object) -> bool:
    """Whether a finish reason has a meaning here."""
    return isinstance(native, str) and native.lower() in _SHOWN


def reason_shown(native: object, *, has_calls: bool) -> str:
    """The finish reason for the client: tool_calls wins over stop, length and content_filter over both."""
    if isinstance(native, str):
        shown = native if native in _SHOWN_AS_IS else _SHOWN.get(native.lower(), "stop")
    else:
        shown = "stop"
    return "tool_calls" if has_calls and shown == "stop" else shown


def outranks(native: object, other: object) -> bool:
    """Whether, of two finish reasons of a choice, `native` is to stand; of two alike the first one stands."""
    return _RANK[reason_shown(native, has_calls=False)] > _RANK[reason_shown(other, has_calls=False)]


def write_reason(choice: Members, native: object, *, has_calls: bool) -> None:
    """Write a choice's finish reason, and what it was where it had to be changed."""
    shown = choice["finish_reason"] = reason_shown(native, has_calls=has_calls)
    if native is not None and native != shown and not choice.get("native_finish_reason"):
        choice["native_finish_reason"] = native


def usage_shown(raw: Members) -> Members:
    """A usage for the client: the upstream's, with its total where that was missing."""
    prompt, completion = raw.get("prompt_tokens"), raw.get("completion_tokens")
    counted = isinstance(prompt, int) or isinstance(completion, int)
    if isinstance(raw.get("total_tokens"), int) or not counted:
        return raw
    prompt = prompt if isinstance(prompt, int) else 0
    completion = completion if isinstance(completion, int) else 0
    total = prompt + completion
    return {**raw, "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total}


def has_content(message: Members) -> bool:
    """Whether a message or a delta holds anything that the model said."""
    return bool(
        message.get("content")
        or message.get("reasoning_content")
        or message.get("reasoning")
        or message.get("tool_calls")
        or message.get("refusal")
        or message.get("thinking_blocks")
        or message.get("reasoning_details")
        or message.get("function_call")
        or message.get("audio")
        or message.get("images")
    )
