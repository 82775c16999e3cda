"""Thoughts put back into a client's own body.

DeepSeek refuses a turn that called tools without the `reasoning_content` that came with it (api-docs.deepseek.com,
"Thinking Mode", Tool Calls), and most clients of this dialect do not give back what OpenAI does not have (conformance
3, 54).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from ...core.conversation import ToolCall
from ..bodies import members_decoder

_messages_decoder = msgspec.json.Decoder(list[dict[str, Any]])


def with_thoughts(body: bytes, words: Callable[[Sequence[ToolCall]], str]) -> bytes:
    """A body whose turns that called tools have the `words` that led to the calls, where the client gave none."""
    if b'"tool_calls"' not in body:
        return body
    members = members_decoder.decode(body)
    try:
        messages = _messages_decoder.decode(members["messages"])
    except msgspec.ValidationError:
        return body  # its provider says what is wrong with it
    is_changed = False
    for message in messages:
        thought = "" if _has_own(message) else words(tuple(_calls_of(message)))
        if thought:
            message["reasoning_content"] = thought
            is_changed = True
    return msgspec.json.encode({**members, "messages": messages}) if is_changed else body


def _has_own(message: dict[str, Any]) -> bool:
    return bool(message.get("reasoning_content") or message.get("reasoning"))


def _calls_of(message: dict[str, Any]) -> Iterator[ToolCall]:
    calls = message.get("tool_calls") if message.get("role") == "assistant" else None
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            continue
        call_id, name, arguments = call.get("id"), function.get("name"), function.get("arguments")
        if isinstance(call_id, str) and isinstance(name, str) and isinstance(arguments, str):
            yield ToolCall(id=call_id, name=name, arguments=arguments)
