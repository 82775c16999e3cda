"""All that a client's body says, as a Conversation (openai-openapi, CreateChatCompletionRequest; conformance 2.1).

Read beside OpenAI's own members are those of compatible servers' clients: `reasoning` and `include_reasoning`
(OpenRouter), `thinking` (DeepSeek, Moonshot and others), `top_k`, and tools without an object around them (contract
5.8). What is not understood is in `Conversation.extra` by its path.
"""

from typing import Literal

import msgspec

from ...core.chat import ChatRequest
from ...core.conversation import (
    Conversation,
    Effort,
    Foreign,
    Function,
    OutputFormat,
    Reasoning,
    Sampling,
    ToolChoice,
)
from .. import bodies
from ..bodies import NULL, Extra, keep_unknown, missing, schema_object, wrong
from .understand_messages import understand_messages
from .understand_parts import DIALECT, CacheMark, cache_of


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = NULL
    strict: bool | None = None


class _Tool(msgspec.Struct):
    type: str
    function: _Function | None = None
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = NULL
    strict: bool | None = None
    cache_control: CacheMark | None = None


class _Named(msgspec.Struct):
    name: str


class _Allowed(msgspec.Struct):
    tools: list["_Choice"]
    mode: Literal["auto", "required"] = "auto"


class _Choice(msgspec.Struct):
    type: str
    function: _Named | None = None
    custom: _Named | None = None
    allowed_tools: _Allowed | None = None
    name: str | None = None


class _Schema(msgspec.Struct):
    name: str = ""
    description: str | None = None
    schema: msgspec.Raw = NULL
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _Reasoning(msgspec.Struct):
    effort: Effort | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None


class _Thinking(msgspec.Struct):
    type: Literal["enabled", "disabled", "adaptive", "auto"]
    budget_tokens: int | None = None


class _Body(msgspec.Struct):
    """The members that have a place in a Conversation, all but `messages`."""

    tools: list[_Tool] | None = None
    functions: list[_Function] | None = None
    tool_choice: Literal["auto", "none", "required", "any"] | _Choice | None = None
    function_call: Literal["auto", "none"] | _Named | None = None
    parallel_tool_calls: bool | None = None
    response_format: _Format | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: str | list[str] | None = None
    n: int | None = None
    reasoning_effort: Effort | None = None
    reasoning: _Reasoning | None = None
    include_reasoning: bool | None = None
    thinking: _Thinking | None = None
    user: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None


_KNOWN = frozenset(_Body.__struct_fields__)
# Said by the fields of the request that the gateway decides on.
_DECIDED = frozenset({"model", "messages", "stream", "max_tokens", "max_completion_tokens"})
_FUNCTION_KNOWN = frozenset(_Function.__struct_fields__)
_TOOL_KNOWN = frozenset(_Tool.__struct_fields__)
# What is understood inside of members that are objects.
_INSIDE = {
    "reasoning": frozenset(_Reasoning.__struct_fields__),
    "thinking": frozenset(_Thinking.__struct_fields__),
    "response_format": frozenset(_Format.__struct_fields__),
    "response_format.json_schema": frozenset(_Schema.__struct_fields__),
    "tool_choice": frozenset(_Choice.__struct_fields__),
    "tool_choice.function": frozenset(_Named.__struct_fields__),
    "tool_choice.allowed_tools": frozenset(_Allowed.__struct_fields__),
    "stream_options": frozenset({"include_usage"}),  # of the client's own stream
}
_OBJECT = b"{"[0]
_body_decoder = msgspec.json.Decoder(_Body)
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def understand(request: ChatRequest) -> Conversation:
    """All that a body of POST /v1/chat/completions says. MalformedRequest names the parameter at fault."""
    members = request.members
    known = {name: value for name, value in members.items() if name in _KNOWN}
    body: _Body = bodies.decode(_body_decoder, msgspec.json.encode(known))
    extra: Extra = {}
    messages = understand_messages(members["messages"], extra)
    _keep_extra(members, body, extra)
    stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
    return Conversation(
        messages=messages,
        tools=(*_tools(body, known, extra), *_legacy_tools(body)),
        tool_choice=_tool_choice(body),
        parallel_tool_calls=body.parallel_tool_calls,
        output_format=_output_format(body.response_format),
        sampling=_sampling(body, known),
        stop=stop,
        choices=body.n or 1,
        output_tokens_max=request.output_tokens_max,
        reasoning=_reasoning(body),
        user=body.user or body.safety_identifier or "",
        service_tier=body.service_tier or "",
        stream=request.stream,
        extra=extra,
    )


def _keep_extra(members: bodies.Members, body: _Body, extra: Extra) -> None:
    for name, value in members.items():
        if name not in _KNOWN and name not in _DECIDED and not _says_nothing(name, value):
            extra[name] = value
    if body.user and body.safety_identifier and body.user != body.safety_identifier:
        extra["safety_identifier"] = members["safety_identifier"]
    for path, inside in _INSIDE.items():
        name, _, member = path.partition(".")
        value = members.get(name, NULL)
        if member and memoryview(value)[0] == _OBJECT:
            value = bodies.members_decoder.decode(value).get(member, NULL)
        if memoryview(value)[0] == _OBJECT:
            extra.pop(path, None)
            keep_unknown(value, inside, path, extra)


def _tools(body: _Body, known: bodies.Members, extra: Extra) -> list[Function | Foreign]:
    tools: list[Function | Foreign] = []
    if not body.tools:
        return tools
    raws = _raws_decoder.decode(known["tools"])
    for index, (tool, raw) in enumerate(zip(body.tools, raws, strict=True)):
        path = f"tools[{index}]"
        if tool.type != "function":
            tools.append(Foreign(dialect=DIALECT, name=tool.type, raw=msgspec.Raw(bytes(raw)), path=path))
            continue
        members = keep_unknown(raw, _TOOL_KNOWN, path, extra)
        function = tool.function
        if function is not None:
            keep_unknown(members["function"], _FUNCTION_KNOWN, f"{path}.function", extra)
        elif tool.name is not None:
            function = _Function(tool.name, tool.description, tool.parameters, tool.strict)
        else:
            raise missing(f"{path}.function")
        within = path if tool.function is None else f"{path}.function"
        tools.append(_function(function, tool.cache_control, within))
    return tools


def _legacy_tools(body: _Body) -> list[Function | Foreign]:
    functions = enumerate(body.functions or ())
    return [_function(function, None, f"functions[{index}]") for index, function in functions]


def _function(function: _Function, mark: CacheMark | None, path: str) -> Function:
    return Function(
        name=function.name,
        description=function.description or "",
        parameters=schema_object(function.parameters, f"{path}.parameters"),
        strict=function.strict,
        cache=cache_of(mark),
    )


def _tool_choice(body: _Body) -> ToolChoice | None:
    choice, legacy = body.tool_choice, body.function_call
    if choice is None:
        if isinstance(legacy, _Named):
            return ToolChoice("required", (legacy.name,))
        return None if legacy is None else ToolChoice(legacy)
    if isinstance(choice, str):
        return ToolChoice("required" if choice == "any" else choice)
    allowed = choice.allowed_tools
    if choice.type == "allowed_tools":
        if allowed is None:
            raise missing("tool_choice.allowed_tools")
        path = "tool_choice.allowed_tools.tools"
        return ToolChoice(
            allowed.mode, tuple(_name_of(tool, f"{path}[{index}]") for index, tool in enumerate(allowed.tools))
        )
    return ToolChoice("required", (_name_of(choice, "tool_choice"),))


def _name_of(choice: _Choice, path: str) -> str:
    named = choice.function or choice.custom
    if named is not None:
        return named.name
    if choice.name is None:
        raise missing(f"{path}.{'custom' if choice.type == 'custom' else 'function'}")
    return choice.name


def _output_format(given: _Format | None) -> OutputFormat | None:
    if given is None or given.type == "text":
        return None
    if given.type == "json_object":
        return OutputFormat()
    schema = given.json_schema
    if schema is None:
        raise missing("response_format.json_schema")
    return OutputFormat(
        schema=schema_object(schema.schema, "response_format.json_schema.schema"),
        name=schema.name,
        description=schema.description or "",
        strict=schema.strict,
    )


def _sampling(body: _Body, known: bodies.Members) -> Sampling:
    return Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        seed=body.seed,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=None if body.logit_bias is None else known["logit_bias"],
        logprobs=body.logprobs,
        top_logprobs=body.top_logprobs,
    )


def _reasoning(body: _Body) -> Reasoning | None:
    """How much is to be thought: OpenAI's member wins over the others."""
    given, thinking = body.reasoning or _Reasoning(), body.thinking
    is_off = given.enabled is False or (thinking is not None and thinking.type == "disabled")
    is_on = given.enabled is True or (thinking is not None and thinking.type != "disabled")
    effort = body.reasoning_effort or given.effort or ("none" if is_off else None)
    budget = given.max_tokens if thinking is None or thinking.budget_tokens is None else thinking.budget_tokens
    if budget is not None and budget < 1:
        raise wrong("reasoning.max_tokens" if thinking is None else "thinking.budget_tokens", "less than 1")
    if effort == "none":
        budget = None
    is_shown = body.include_reasoning if given.exclude is None else not given.exclude
    found = Reasoning(
        effort=effort,
        budget_tokens=budget,
        is_adaptive=is_on and effort is None and budget is None,
        is_shown=is_shown,
    )
    return None if found == Reasoning() else found


def _says_nothing(name: str, raw: msgspec.Raw) -> bool:
    """Whether a member is what it is by default: words are what every model gives."""
    return _is_null(raw) or (name == "modalities" and bytes(raw).replace(b" ", b"") == b'["text"]')


def _is_null(raw: msgspec.Raw) -> bool:
    return bytes(raw) == b"null"
