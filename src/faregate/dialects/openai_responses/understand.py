"""A client's body as a Conversation."""

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from ...core.chat import ChatRequest
from ...core.conversation import (
    Conversation,
    Effort,
    Foreign,
    Function,
    Message,
    OutputFormat,
    Part,
    Reasoning,
    Role,
    Sampling,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from ...core.errors import MalformedRequest
from ..bodies import Extra, Members, arguments_object, decode, keep_unknown, members_decoder, schema_object, wrong
from .parts import ContentPart, parts_of
from .proofs import NAME, thinking_of
from .request import ENCRYPTED, is_null

_NULL = msgspec.Raw(b"null")
_STRING = b'"'[0]
_LOGPROBS = "message.output_text.logprobs"
_Roles = Literal["system", "developer", "user", "assistant"]
# What the gateway does itself, or what is read into a field below.
_UNDERSTOOD = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "store",
        "background",
        "conversation",
        "previous_response_id",
        "max_output_tokens",
        "temperature",
        "top_p",
        "top_logprobs",
        "parallel_tool_calls",
        "service_tier",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "include",
        "user",
        "safety_identifier",
    }
)


class _Item(msgspec.Struct):
    type: str = "message"
    id: str | None = None
    role: _Roles | None = None
    content: msgspec.Raw = _NULL
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: msgspec.Raw = _NULL
    summary: list[ContentPart] | None = None
    encrypted_content: str | None = None


# The types of items that are understood, and their members: an item of an answer has an id and a status.
_ITEMS = {
    "message": frozenset({"type", "id", "status", "role", "content"}),
    "function_call": frozenset({"type", "id", "status", "call_id", "name", "arguments"}),
    "function_call_output": frozenset({"type", "id", "status", "call_id", "output"}),
    "reasoning": frozenset({"type", "id", "status", "summary", "content", "encrypted_content"}),
}


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    parameters: msgspec.Raw = _NULL
    strict: bool | None = None


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: msgspec.Raw = _NULL
    description: str | None = None
    strict: bool | None = None


class _Choice(msgspec.Struct):
    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: list[_Tool] = []


class _Fields(msgspec.Struct):
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_logprobs: int | None = None
    parallel_tool_calls: bool | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    include: list[str] | None = None
    stream: bool | None = None


_TOOL_KNOWN = frozenset(_Tool.__struct_fields__)
_FORMAT_KNOWN = frozenset(_Format.__struct_fields__)
_CHOICE_KNOWN = frozenset(_Choice.__struct_fields__)
_item_decoder = msgspec.json.Decoder(_Item)
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw] | None)
_tool_decoder = msgspec.json.Decoder(_Tool)
_format_decoder = msgspec.json.Decoder(_Format)
_choice_decoder = msgspec.json.Decoder(_Choice)
_mode_decoder = msgspec.json.Decoder(Literal["auto", "none", "required"])
_summary_decoder = msgspec.json.Decoder(Literal["auto", "concise", "detailed"])
_effort_decoder = msgspec.json.Decoder(Effort)
_fields_decoder = msgspec.json.Decoder(_Fields)
_string_decoder = msgspec.json.Decoder(str)


def understand(request: ChatRequest) -> Conversation:
    """All that a body says. MalformedRequest names the parameter at fault."""
    members = request.members
    fields: _Fields = decode(_fields_decoder, msgspec.json.encode(members))
    extra = {name: raw for name, raw in members.items() if name not in _UNDERSTOOD and not _says_nothing(name, raw)}
    include = fields.include or []
    if any(each not in (ENCRYPTED, _LOGPROBS) for each in include):
        extra["include"] = members["include"]
    if fields.safety_identifier and fields.user:
        extra["user"] = members["user"]
    return Conversation(
        messages=(*_instructions(members), *_messages(members.get("input", _NULL), extra)),
        tools=tuple(_tools(members, extra)),
        tool_choice=_tool_choice(members.get("tool_choice", _NULL), extra),
        parallel_tool_calls=fields.parallel_tool_calls,
        output_format=_output_format(members.get("text", _NULL), extra),
        sampling=Sampling(
            temperature=fields.temperature,
            top_p=fields.top_p,
            logprobs=True if _LOGPROBS in include or fields.top_logprobs else None,
            top_logprobs=fields.top_logprobs,
        ),
        output_tokens_max=fields.max_output_tokens,
        reasoning=_reasoning(members.get("reasoning", _NULL), extra),
        user=fields.safety_identifier or fields.user or "",
        service_tier=fields.service_tier or "",
        stream=request.stream,
        extra=extra,
    )


def _says_nothing(name: str, raw: msgspec.Raw) -> bool:
    """Whether a member is at the value that it has by default."""
    return is_null(raw) or (name == "truncation" and bytes(raw) == b'"disabled"')


def _instructions(members: Members) -> Iterator[Message]:
    raw = members.get("instructions", _NULL)
    if not is_null(raw):
        yield Message("system", (Text(decode(_string_decoder, raw, "instructions")),))


def _messages(raw: msgspec.Raw, extra: Extra) -> tuple[Message, ...]:
    """The input's turns: items of the assistant that follow each other are one turn, so are the results of tools."""
    if memoryview(raw)[0] == _STRING:
        return (Message("user", (Text(decode(_string_decoder, raw, "input")),)),)
    turns: list[Message] = []
    calls: set[str] = set()
    was_result = False
    for index, item in enumerate(decode(_raws_decoder, raw, "input") or ()):
        role, parts = _turn(item, f"input[{index}]", extra)
        calls.update(part.id for part in parts if isinstance(part, ToolCall))
        for part in parts:
            if isinstance(part, ToolResult) and part.call_id not in calls:
                raise wrong(f"input[{index}].call_id", "no earlier item is a call of this id")
        is_result = bool(parts) and isinstance(parts[0], ToolResult)
        if turns and turns[-1].role == role and (role == "assistant" or (is_result and was_result)):
            turns[-1] = Message(role, turns[-1].parts + parts)
        else:
            turns.append(Message(role, parts))
        was_result = is_result
    return tuple(turns)


def _turn(raw: msgspec.Raw, within: str, extra: Extra) -> tuple[Role, tuple[Part, ...]]:
    """Whose an item is, and its parts."""
    item: _Item = decode(_item_decoder, raw, within)
    members: Members = {}
    if item.type in _ITEMS:
        members = keep_unknown(raw, _ITEMS[item.type], within, extra)
    if item.type == "message":
        if item.role is None:
            raise _missing(f"{within}.role")
        if is_null(item.content):
            raise _missing(f"{within}.content")
        return item.role, parts_of(item.content, f"{within}.content", extra)
    if item.type == "function_call":
        call_id, name = _needed(item.call_id, within, "call_id"), _needed(item.name, within, "name")
        arguments = arguments_object(item.arguments or "", f"{within}.arguments")
        return "assistant", (ToolCall(id=call_id, name=name, arguments=arguments),)
    if item.type == "function_call_output":
        call_id = _needed(item.call_id, within, "call_id")
        if is_null(item.output):
            raise _missing(f"{within}.output")
        parts = parts_of(item.output, f"{within}.output", extra)
        return "user", (ToolResult(call_id=call_id, parts=parts),)  # type: ignore[arg-type]
    if item.type == "reasoning":
        member = "summary" if item.summary else "content"
        said = members.get(member, _NULL)
        thoughts = () if is_null(said) else parts_of(said, f"{within}.{member}", extra)
        words = "\n\n".join(getattr(part, "text", "") for part in thoughts)
        return "assistant", (thinking_of(words, item.encrypted_content, item.id or ""),)
    if item.type == "item_reference":
        raise MalformedRequest("There is no such item: send the item itself.", param=f"{within}.id")
    role: Role = "user" if item.type.endswith(("_output", "_response")) else "assistant"
    return role, (Foreign(dialect=NAME, name=item.type, raw=raw, path=within),)


def _tools(members: Members, extra: Extra) -> Iterator[Function | Foreign]:
    for index, raw in enumerate(decode(_raws_decoder, members.get("tools", _NULL), "tools") or ()):
        within = f"tools[{index}]"
        tool: _Tool = decode(_tool_decoder, raw, within)
        if tool.type != "function":
            yield Foreign(dialect=NAME, name=tool.type, raw=raw, path=within)
            continue
        keep_unknown(raw, _TOOL_KNOWN, within, extra)
        yield Function(
            name=_needed(tool.name, within, "name"),
            description=tool.description or "",
            parameters=schema_object(tool.parameters, f"{within}.parameters"),
            strict=tool.strict or None,  # every other dialect is not strict where nothing is said
        )


def _tool_choice(raw: msgspec.Raw, extra: Members) -> ToolChoice | None:
    if is_null(raw):
        return None
    if memoryview(raw)[0] == _STRING:
        return ToolChoice(decode(_mode_decoder, raw, "tool_choice"))
    choice: _Choice = decode(_choice_decoder, raw, "tool_choice")
    keep_unknown(raw, _CHOICE_KNOWN, "tool_choice", extra)
    if choice.type == "function":
        return ToolChoice("required", (_needed(choice.name, "tool_choice", "name"),))
    if choice.type == "allowed_tools" and all(tool.type == "function" for tool in choice.tools):
        names = [_needed(tool.name, f"tool_choice.tools[{i}]", "name") for i, tool in enumerate(choice.tools)]
        return ToolChoice(choice.mode, tuple(names))
    extra["tool_choice"] = raw  # of a tool that only this dialect has
    return None


def _output_format(raw: msgspec.Raw, extra: Members) -> OutputFormat | None:
    text = _object(raw, "text")
    given = text.pop("format", _NULL)
    extra.update((f"text.{name}", value) for name, value in text.items() if not is_null(value))
    if is_null(given):
        return None
    format_: _Format = decode(_format_decoder, given, "text.format")
    keep_unknown(given, _FORMAT_KNOWN, "text.format", extra)
    if format_.type == "text":
        return None
    if format_.type == "json_object":
        return OutputFormat()
    if is_null(format_.schema):
        raise _missing("text.format.schema")
    name = _needed(format_.name, "text.format", "name")
    schema = schema_object(format_.schema, "text.format.schema")
    return OutputFormat(schema=schema, name=name, description=format_.description or "", strict=format_.strict)


def _reasoning(raw: msgspec.Raw, extra: Members) -> Reasoning | None:
    if is_null(raw):
        return None
    given = {name: value for name, value in _object(raw, "reasoning").items() if not is_null(value)}
    effort = given.pop("effort", None)
    shown = given.pop("summary", None) or given.pop("generate_summary", None)
    if shown is not None:
        decode(_summary_decoder, shown, "reasoning.summary")
    extra.update((f"reasoning.{name}", value) for name, value in given.items())
    return Reasoning(
        effort=None if effort is None else decode(_effort_decoder, effort, "reasoning.effort"),
        is_shown=None if shown is None else True,
    )


def _object(raw: msgspec.Raw, name: str) -> dict[str, Any]:
    return {} if is_null(raw) else decode(members_decoder, raw, name)


def _needed(value: str | None, within: str, member: str) -> str:
    if value is None:
        raise _missing(f"{within}.{member}")
    return value


def _missing(param: str) -> MalformedRequest:
    return MalformedRequest(f"Missing required parameter: '{param}'.", param=param)
