"""What Mistral's chat has of its own. Sources: docs.mistral.ai, API, Chat Completion, as its OpenAPI document has it;
the errors of its live API. Its streams give each call of a tool whole."""

import re
from typing import Any

import msgspec

from ..answer import Choice, Piece
from ..refused import Refused

_MEMBERS = frozenset(
    {
        *("model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed", "metadata"),
        *("response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "min_tokens"),
        *("repetition_penalty", "top_k", "logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs", "n"),
        *("prediction", "parallel_tool_calls", "reasoning_effort", "prompt_mode", "guardrails", "prompt_cache_key"),
        *("service_tier", "safe_prompt", "simulator"),
    }
)
_SAID = frozenset({"role", "content"})
_MESSAGES = {
    "system": _SAID,
    "user": _SAID,
    "assistant": _SAID | {"tool_calls", "prefix"},
    "tool": _SAID | {"tool_call_id", "name"},
}
_CALL_ID = re.compile(r"[a-zA-Z0-9]{9}")


def check(data: bytes) -> None:
    """Refused where a body that OpenAI takes is none that Mistral does."""
    sent: dict[str, Any] = msgspec.json.decode(data)
    _check_known(sent, _MEMBERS, "body")
    for position, message in enumerate(sent["messages"]):
        known = _MESSAGES.get(message["role"])
        if known is None:
            raise Refused(f"body.messages.{position}: Input tag '{message['role']}' was not expected", status=422)
        _check_known(message, known, f"body.messages.{position}.{message['role']}")
        calls = [call.get("id") for call in message.get("tool_calls") or ()]
        for call_id in [*calls, message["tool_call_id"]] if "tool_call_id" in message else calls:
            if not _CALL_ID.fullmatch(str(call_id)):
                raise Refused(f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9.")
    last = sent["messages"][-1]
    if last["role"] == "assistant" and not last.get("prefix"):
        raise Refused("Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant")
    for position, tool in enumerate(sent.get("tools") or ()):
        if "parameters" not in tool["function"]:
            raise Refused(f"body.tools.{position}.function.parameters: Field required", status=422)


def _check_known(given: dict[str, Any], known: frozenset[str], place: str) -> None:
    for name in given:
        if name not in known:
            raise Refused(f"{place}.{name}: Extra inputs are not permitted", status=422, code="extra_forbidden")


def content(choice: Choice) -> Any:
    """The content of a whole answer: words, or what was thought and the words."""
    thought, said = choice.said("reasoning"), choice.said("text")
    return [chunk(thought), {"type": "text", "text": said}] if thought else said


def with_whole_calls(choice: Choice) -> list[Piece]:
    """The pieces of a choice, each call in one."""
    calls = [call.arguments for call in choice.calls_said]
    return [
        piece
        if piece.kind != "call"
        else piece._replace(text=calls[piece.call], tokens=_call_tokens(choice, piece.call))
        for piece in choice.pieces
        if piece.kind != "arguments"
    ]


def _call_tokens(choice: Choice, call: int) -> int:
    kinds = ("call", "arguments")
    return sum(piece.tokens for piece in choice.pieces if piece.kind in kinds and piece.call == call)


def chunk(thought: str) -> dict[str, Any]:
    """What was thought, as a chunk of content."""
    return {"type": "thinking", "thinking": [{"type": "text", "text": thought}]}
