"""Whether a conversation is one that Anthropic takes: its order, its calls and results, its signed thoughts."""

from typing import Any

from ..refused import Refused
from ..signatures import is_genuine
from ..traits import Traits

THOUGHT = "anthropic thinking"
REDACTED = "anthropic redacted_thinking"


def check(body: dict[str, Any], traits: Traits) -> None:
    """Refused where the conversation in `body` is none."""
    messages = body["messages"]
    if not messages:
        raise Refused("messages: at least one message is required")
    if messages[0]["role"] != "user":
        raise Refused('messages: first message must use the "user" role')
    for position, message in enumerate(messages):
        if message["role"] == "system" and not traits.mid_system:
            raise Refused(f"messages.{position}.role: Input should be 'user' or 'assistant'")
        last = position == len(messages) - 1
        if not message["content"] and not (last and message["role"] == "assistant"):
            raise Refused(
                f"messages.{position}: all messages must have non-empty content except for the optional final"
                " assistant message"
            )
        _check_blocks(position, message)
    _check_prefill(messages[-1], traits)
    _check_pairs(messages)
    if (body.get("thinking") or {}).get("type") == "enabled":
        _check_thought_first(messages)


def _blocks(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message["content"] if isinstance(message["content"], list) else []


def _check_blocks(position: int, message: dict[str, Any]) -> None:
    role = message["role"]
    for at, block in enumerate(_blocks(message)):
        kind, place = block["type"], f"messages.{position}.content.{at}"
        if kind in ("thinking", "redacted_thinking", "tool_use") and role != "assistant":
            raise Refused(f"messages.{position}: `{kind}` blocks can only be in `assistant` messages")
        if kind in ("tool_result", "image", "document") and role != "user":
            raise Refused(f"messages.{position}: `{kind}` blocks can only be in `user` messages")
        if kind == "thinking" and not is_genuine(block["signature"], THOUGHT, block["thinking"]):
            raise Refused(f"{place}: Invalid `signature` in `thinking` block")
        if kind == "redacted_thinking" and not is_genuine(block["data"], REDACTED):
            raise Refused(f"{place}: Invalid `data` in `redacted_thinking` block")


def _check_prefill(last: dict[str, Any], traits: Traits) -> None:
    if last["role"] != "assistant":
        return
    if not traits.prefill:
        raise Refused(
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
    blocks = _blocks(last)
    words = last["content"] if isinstance(last["content"], str) else blocks[-1].get("text", "") if blocks else ""
    if words != words.rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")


def _check_pairs(messages: list[dict[str, Any]]) -> None:
    """Each call has its result at the start of the next turn, each result its call in the one before."""
    turns: list[tuple[int, str, list[dict[str, Any]]]] = []
    for position, message in enumerate(messages):
        if message["role"] == "system":
            continue
        if turns and turns[-1][1] == message["role"]:
            turns[-1][2].extend(_blocks(message))
        else:
            turns.append((position, message["role"], list(_blocks(message))))
    called: list[str] = []
    for position, role, blocks in turns:
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        for found in results:
            if found not in called:
                raise Refused(
                    f"messages.{position}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: {found}."
                    " Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                )
        if len(set(results)) < len(results):
            raise Refused(f"messages.{position}.content: each tool_use must have a single result.")
        firsts = [block["tool_use_id"] for block in blocks[: len(results)] if block["type"] == "tool_result"]
        missing = [name for name in called if name not in firsts]
        if missing:
            raise _unanswered(position - 1, missing)
        called = [block["id"] for block in blocks if block["type"] == "tool_use"] if role == "assistant" else []
        if len(set(called)) < len(called):
            raise Refused("messages: `tool_use` ids must be unique")
    if called:
        raise _unanswered(len(messages) - 1, called)


def _unanswered(position: int, names: list[str]) -> Refused:
    return Refused(
        f"messages.{position}: `tool_use` ids were found without `tool_result` blocks immediately after:"
        f" {', '.join(names)}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
    )


def _check_thought_first(messages: list[dict[str, Any]]) -> None:
    """Source: Anthropic, "Extended thinking", "Preserving thinking blocks": the turn that is under way."""
    answers = [(at, message) for at, message in enumerate(messages) if message["role"] == "assistant"]
    if not answers or not any(block["type"] == "tool_result" for block in _blocks(messages[-1])):
        return
    position, message = answers[-1]
    first = _blocks(message)[0]["type"]
    if first not in ("thinking", "redacted_thinking"):
        raise Refused(
            f"messages.{position}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{first}`."
            " When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the"
            " lastmost set of `tool_use` and `tool_result` blocks)."
        )
