"""All that a client's body says, as a Conversation (platform.claude.com, Messages API; conformance 2.1)."""

from typing import Any, Literal

import msgspec

from ...core.chat import ChatRequest
from ...core.conversation import Conversation, Foreign, Function, OutputFormat, Reasoning, Sampling, ToolChoice
from .. import bodies
from ..bodies import NULL, Extra, keep_unknown, missing, schema_object, wrong
from .blocks import DIALECT
from .understand_blocks import CacheMark, cache_of, understand_messages


class _Tool(msgspec.Struct):
    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = NULL
    strict: bool | None = None
    cache_control: CacheMark | None = None


class _ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class _Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = None
    display: Literal["summarized", "omitted"] | None = None


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: msgspec.Raw


class _OutputConfig(msgspec.Struct):
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    format: _Format | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Body(msgspec.Struct):
    """The members that have a place in a Conversation, all but the messages."""

    tools: list[_Tool] | None = None
    tool_choice: _ToolChoice | None = None
    thinking: _Thinking | None = None
    output_config: _OutputConfig | None = None
    output_format: _Format | None = None
    metadata: _Metadata | None = None
    service_tier: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop_sequences: list[str] | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
# Said by the fields of the request that the gateway decides on, or by the messages.
_DECIDED = frozenset({"model", "messages", "system", "stream", "max_tokens"})
_INSIDE = {
    "output_config": frozenset({"effort", "format"}),
    "output_format": frozenset({"type", "schema"}),
    "metadata": frozenset({"user_id"}),
    "thinking": frozenset(_Thinking.__struct_fields__),
    "tool_choice": frozenset(_ToolChoice.__struct_fields__),
}
_TOOL_KNOWN = frozenset(_Tool.__struct_fields__)
_decoder = msgspec.json.Decoder(_Body)
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def understand(request: ChatRequest) -> Conversation:
    """All that a body of POST /v1/messages says. MalformedRequest names the parameter at fault."""
    members = request.members
    known = {name: value for name, value in members.items() if name in _KNOWN}
    body: _Body = bodies.decode(_decoder, msgspec.json.encode(known))
    extra: Extra = {}
    messages = understand_messages(members.get("system", NULL), members["messages"], extra)
    _keep_extra(members, extra)
    choice, format_ = body.tool_choice, None if body.output_config is None else body.output_config.format
    return Conversation(
        messages=messages,
        tools=tuple(_tools(body, known, extra)),
        tool_choice=_tool_choice(choice),
        parallel_tool_calls=False if choice is not None and choice.disable_parallel_tool_use else None,
        output_format=_output_format(format_ or body.output_format),
        sampling=Sampling(temperature=body.temperature, top_p=body.top_p, top_k=body.top_k),
        stop=tuple(body.stop_sequences or ()),
        output_tokens_max=request.output_tokens_max,
        reasoning=_reasoning(body),
        user=(body.metadata.user_id or "") if body.metadata is not None else "",
        service_tier=body.service_tier or "",
        stream=request.stream,
        extra=extra,
    )


def _keep_extra(members: bodies.Members, extra: Extra) -> None:
    for name, value in members.items():
        if bytes(value) in (b"null", b"[]"):
            continue
        if name in _INSIDE:
            inside = keep_unknown(value, _INSIDE[name], name, extra)
            if bytes(inside.get("format", NULL)) != b"null":
                keep_unknown(inside["format"], _INSIDE["output_format"], f"{name}.format", extra)
        elif name not in _KNOWN and name not in _DECIDED:
            extra[name] = value


def _tools(body: _Body, known: bodies.Members, extra: Extra) -> list[Function | Foreign]:
    tools: list[Function | Foreign] = []
    if not body.tools:
        return tools
    for index, (tool, raw) in enumerate(zip(body.tools, _raws_decoder.decode(known["tools"]), strict=True)):
        path = f"tools[{index}]"
        if tool.type not in (None, "custom"):
            tools.append(Foreign(dialect=DIALECT, name=tool.type or "", raw=msgspec.Raw(bytes(raw)), path=path))
            continue
        if tool.name is None:
            raise missing(f"{path}.name")
        keep_unknown(raw, _TOOL_KNOWN, path, extra)
        tools.append(
            Function(
                name=tool.name,
                description=tool.description or "",
                parameters=schema_object(tool.input_schema, f"{path}.input_schema"),
                strict=tool.strict,
                cache=cache_of(tool.cache_control),
            )
        )
    return tools


def _tool_choice(choice: _ToolChoice | None) -> ToolChoice | None:
    if choice is None:
        return None
    if choice.type == "tool":
        if choice.name is None:
            raise missing("tool_choice.name")
        return ToolChoice("required", (choice.name,))
    modes: dict[str, Any] = {"auto": "auto", "any": "required", "none": "none"}
    return ToolChoice(modes[choice.type])


def _output_format(given: _Format | None) -> OutputFormat | None:
    return None if given is None else OutputFormat(schema=schema_object(given.schema, "output_config.format.schema"))


def _reasoning(body: _Body) -> Reasoning | None:
    thinking = body.thinking
    effort = None if body.output_config is None else body.output_config.effort
    if thinking is None:
        return None if effort is None else Reasoning(effort=effort)
    if thinking.type == "disabled":
        return Reasoning(effort="none")
    is_shown = None if thinking.display is None else thinking.display == "summarized"
    if thinking.type == "adaptive":
        return Reasoning(effort=effort, is_adaptive=effort is None, is_shown=is_shown)
    if thinking.budget_tokens is None:
        raise missing("thinking.budget_tokens")
    if thinking.budget_tokens < 1:
        raise wrong("thinking.budget_tokens", "less than 1")
    return Reasoning(effort=effort, budget_tokens=thinking.budget_tokens, is_shown=is_shown)
