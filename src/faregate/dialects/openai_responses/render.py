"""A Conversation as a body for an upstream (conformance.md 2.1, 2.7)."""

from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.conversation import (
    Conversation,
    Foreign,
    Function,
    Media,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from ...core.errors import Inexpressible
from .. import Addressee, Rendered
from ..efforts import effort_of
from .parts import write_part
from .proofs import NAME, named
from .request import ENCRYPTED

_NO_PARAMETERS = {"type": "object", "properties": {}}
# Members that another dialect of OpenAI's has too, by the path that they have there.
_SAME = {
    "metadata": "metadata",
    "prompt_cache_key": "prompt_cache_key",
    "prompt_cache_retention": "prompt_cache_retention",
    "safety_identifier": "safety_identifier",
}
_UNSAYABLE = ("top_k", "seed", "presence_penalty", "frequency_penalty", "logit_bias")


def render_request(conversation: Conversation, addressee: Addressee) -> Rendered:
    """The body. Inexpressible for more than one choice, for sound, and for what only another dialect has."""
    if conversation.choices > 1:
        raise Inexpressible("The provider of this model gives one answer at a time.", param="choices")
    dropped = [name for name in _UNSAYABLE if getattr(conversation.sampling, name) is not None]
    if conversation.stop:
        dropped.append("stop")
    dropped += _unsayable(conversation)
    body: dict[str, Any] = {"model": addressee.model, "input": list(_items(conversation.messages)), "store": False}
    if conversation.stream:
        body["stream"] = True
    _say(body, "max_output_tokens", conversation.output_tokens_max)
    _say(body, "parallel_tool_calls", conversation.parallel_tool_calls if conversation.tools else None)
    _say(body, "user", conversation.user or None)
    _say(body, "service_tier", conversation.service_tier or None)
    _sampling(body, conversation, addressee, dropped)
    adjusted = _reasoning(body, conversation.reasoning, addressee, dropped)
    _tools(body, conversation)
    _format(body, conversation)
    for path, raw in conversation.extra.items():
        if path in _SAME:
            body[_SAME[path]] = raw
        elif path == "verbosity":
            body.setdefault("text", {})["verbosity"] = raw
        else:
            dropped.append(path)
    return Rendered(msgspec.json.encode(body), tuple(dict.fromkeys(dropped)), adjusted)


def _unsayable(conversation: Conversation) -> Iterator[str]:
    """What parts and tools say that has no place in the body."""
    for message in conversation.messages:
        if message.name:
            yield "name"
        for part in message.parts:
            yield from _unsayable_of(part)
    if any(isinstance(tool, Function) and tool.cache for tool in conversation.tools):
        yield "cache_control"
    choice = conversation.tool_choice
    if choice is not None and choice.mode == "required" and not conversation.tools:
        yield "tool_choice"


def _unsayable_of(part: Part) -> Iterator[str]:
    if isinstance(part, Thinking) and not _is_own(part):
        yield "thinking"
    elif isinstance(part, ToolResult):
        if part.is_error:
            yield "is_error"
        for each in part.parts:
            yield from _unsayable_of(each)
    elif isinstance(part, Text) and part.citations:
        yield "citations"
    elif isinstance(part, Media) and part.name and not (part.kind == "document" and part.data):
        yield "filename"
    if isinstance(part, Text | ToolCall) and part.signature:
        yield "signature"
    if getattr(part, "cache", ""):
        yield "cache_control"


def _is_own(thinking: Thinking) -> bool:
    """Whether the provider can be shown a thought: nobody else's, and none without its proof."""
    return thinking.signed_by == NAME and bool(thinking.signature)


def _say(body: dict[str, Any], name: str, value: object) -> None:
    if value is not None:
        body[name] = value


def _sampling(body: dict[str, Any], conversation: Conversation, addressee: Addressee, dropped: list[str]) -> None:
    sampling = conversation.sampling
    for name in ("temperature", "top_p"):
        value = getattr(sampling, name)
        if value is not None and addressee.capabilities.sampling is False:
            dropped.append(name)
        else:
            _say(body, name, value)
    if sampling.logprobs:
        body.setdefault("include", []).append("message.output_text.logprobs")
        _say(body, "top_logprobs", sampling.top_logprobs)


def _reasoning(
    body: dict[str, Any], reasoning: Reasoning | None, addressee: Addressee, dropped: list[str]
) -> tuple[str, ...]:
    """A model that does not reason refuses to be asked for its thoughts. What is said otherwise."""
    if addressee.capabilities.reasoning or reasoning is not None:
        body.setdefault("include", []).append(ENCRYPTED)
    if reasoning is None:
        return ()
    said: dict[str, object] = {}
    effort: str | None = reasoning.effort
    budget = reasoning.budget_tokens
    if effort is None and budget is not None:
        effort = effort_of(budget)
    if effort is None and reasoning.is_adaptive:
        dropped.append("reasoning")
    _say(said, "effort", effort)
    if reasoning.is_shown:
        said["summary"] = "auto"
    body["reasoning"] = said
    return () if budget is None else (f"reasoning={effort}",)


def _tools(body: dict[str, Any], conversation: Conversation) -> None:
    if not conversation.tools:
        return
    body["tools"] = [_tool(tool) for tool in conversation.tools]
    choice = conversation.tool_choice
    if choice is None:
        return
    if not choice.names or choice.mode == "none":
        body["tool_choice"] = choice.mode
    elif choice.mode == "required" and len(choice.names) == 1:
        body["tool_choice"] = {"type": "function", "name": choice.names[0]}
    else:
        tools = [{"type": "function", "name": name} for name in choice.names]
        body["tool_choice"] = {"type": "allowed_tools", "mode": choice.mode, "tools": tools}


def _tool(tool: Function | Foreign) -> object:
    if isinstance(tool, Foreign):
        if tool.dialect != NAME:
            message = f"The provider of this model has no tool of the type '{tool.name}'."
            raise Inexpressible(message, param=tool.path or "tools")
        return tool.raw
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description or None,
        "parameters": _NO_PARAMETERS if tool.parameters is None else tool.parameters,
        "strict": bool(tool.strict),  # it is strict where nothing is said, and would refuse most schemas
    }


def _format(body: dict[str, Any], conversation: Conversation) -> None:
    wanted = conversation.output_format
    if wanted is None:
        return
    said: dict[str, Any] = {"type": "json_object"}
    if wanted.schema is not None:
        said = {"type": "json_schema", "name": wanted.name or "answer", "schema": wanted.schema}
        _say(said, "description", wanted.description or None)
        _say(said, "strict", wanted.strict)
    body["text"] = {"format": said}


def _items(messages: tuple[Message, ...]) -> Iterator[object]:
    for message in messages:
        content: list[object] = []
        for part in message.parts:
            if isinstance(part, Text | Media | Refusal):
                content.append(_content(part, is_answer=message.role == "assistant"))
                continue
            if content:
                yield {"type": "message", "role": message.role, "content": content}
                content = []
            yield from _item(part)
        if content:
            yield {"type": "message", "role": message.role, "content": content}


def _content(part: Text | Media | Refusal, *, is_answer: bool) -> object:
    written = write_part(part, is_answer=is_answer)
    if written is None:
        assert isinstance(part, Media)
        kind = "audio_not_supported_by_model" if part.kind == "audio" else None
        raise Inexpressible(f"The provider of this model does not take {part.kind} input.", param="messages", kind=kind)
    return written


def _item(part: Part) -> Iterator[object]:
    if isinstance(part, ToolCall):
        yield {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
    elif isinstance(part, ToolResult):
        if all(isinstance(each, Text) for each in part.parts):
            output: object = "".join(each.text for each in part.parts if isinstance(each, Text))
        else:
            output = [_content(each, is_answer=False) for each in part.parts]
        yield {"type": "function_call_output", "call_id": part.call_id, "output": output}
    elif isinstance(part, Thinking):
        if _is_own(part):
            summary = [{"type": "summary_text", "text": part.text}] if part.text else []
            item_id, encrypted = named(part.signature)
            its = {"id": item_id} if item_id else {}
            yield {"type": "reasoning", **its, "summary": summary, "encrypted_content": encrypted}
    elif isinstance(part, Foreign):
        if part.dialect != NAME:
            raise Inexpressible(
                f"The provider of this model cannot be told a '{part.name}'.", param=part.path or "messages"
            )
        yield part.raw
