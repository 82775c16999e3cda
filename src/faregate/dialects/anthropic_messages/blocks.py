"""What requests, answers and streams of the Messages API have in common."""

import hashlib
import re

from ...core.conversation import Choice, Citation, FinishReason

DIALECT = "anthropic_messages"
Written = dict[str, object]

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_REASONS: dict[FinishReason, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
_NATIVE = frozenset({"pause_turn", "model_context_window_exceeded", "refusal"})


def call_id_shown(call_id: str) -> str:
    """A call's id as the Messages API takes it (letters, digits, `_` and `-`), the same each time."""
    return call_id if _ID.match(call_id) else "toolu_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]


def stop_reason_of(reason: FinishReason, native_reason: str, stop_sequence: str) -> str:
    """Why an answer ended, in the Messages API's word."""
    if native_reason in _NATIVE:
        return native_reason
    return "stop_sequence" if reason == "stop" and stop_sequence else _REASONS[reason]


def stop_reason_of_choice(choice: Choice) -> str:
    """Why a whole answer ended."""
    return stop_reason_of(choice.reason, choice.native_reason, choice.stop_sequence)


def stop_details(reason: str, explanation: str) -> Written:
    """What is said of a refusal, as members of the answer."""
    return {"stop_details": {"type": "refusal", "explanation": explanation}} if reason == "refusal" else {}


def citation_shown(citation: Citation) -> Written:
    """A citation, of the kind that has its members."""
    if citation.url:
        return {
            "type": "web_search_result_location",
            "cited_text": citation.quoted,
            "url": citation.url,
            "title": citation.title or None,
            "encrypted_index": "",
        }
    return {
        "type": "char_location",
        "cited_text": citation.quoted,
        "document_index": 0,
        "document_title": citation.title or None,
        "start_char_index": max(citation.start, 0),
        "end_char_index": max(citation.end, 0),
    }
