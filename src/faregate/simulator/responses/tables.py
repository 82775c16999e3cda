"""What may stand where in a Responses body. Source: OpenAI's OpenAPI description 2.3.0, CreateResponse."""

from typing import Any

from ..checked import (
    Check,
    Complaint,
    Path,
    Place,
    anything,
    flag,
    many,
    mapping,
    maybe,
    members,
    number,
    one_of,
    tagged,
    text,
    text_or,
)
from ..refused import Refused

_EXPECTED = {
    "string": "a string",
    "boolean": "a boolean",
    "object": "an object",
    "list": "an array",
    "integer": "an integer",
    "number": "a decimal",
}
_GOT = {"str": "a string", "bool": "a boolean", "dict": "an object", "list": "an array", "int": "an integer"}


def dotted(path: Path) -> str:
    """A place as OpenAI has it, `input[0].content`."""
    said = ""
    for step in path:
        said += f"[{step}]" if isinstance(step, int) else f".{step}" if said else step
    return said


def words(complaint: Complaint, path: Path, detail: str, value: Any) -> Refused:
    """A complaint as OpenAI has it."""
    place = dotted(path)
    if complaint == "missing":
        return Refused(f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter")
    if complaint == "unknown":
        return Refused(f"Unknown parameter: '{place}'.", param=place, code="unknown_parameter")
    if complaint == "type":
        got = "null" if value is None else _GOT.get(type(value).__name__, "a decimal")
        said = f"Invalid type for '{place}': expected {_EXPECTED[detail]}, but got {got} instead."
        return Refused(said, param=place, code="invalid_type")
    said = f"Invalid value: '{value}'. Supported values are: {detail}."
    return Refused(said, param=place, code="invalid_value")


def _kinds(kinds: dict[str, Check], default: str | None = None) -> Check:
    return tagged(kinds, default=default)


_TYPE = {"type": anything}
_BREAKPOINT = {"prompt_cache_breakpoint": maybe(mapping)}
_DETAIL = one_of("low", "high", "auto", "original")
_INPUT_PARTS = {
    "input_text": members({**_TYPE, "text": text}, _BREAKPOINT),
    "input_image": members(
        _TYPE, {"image_url": maybe(text), "file_id": maybe(text), "detail": maybe(_DETAIL), **_BREAKPOINT}
    ),
    "input_file": members(
        _TYPE,
        {
            **dict.fromkeys(("file_id", "file_url", "file_data", "filename"), maybe(text)),
            "detail": maybe(_DETAIL),
            **_BREAKPOINT,
        },
    ),
}
_OUTPUT_PARTS = {
    "output_text": members({**_TYPE, "text": text}, {"annotations": many(mapping), "logprobs": maybe(many(mapping))}),
    "refusal": members({**_TYPE, "refusal": text}, {}),
}
_STATUS = {"status": maybe(one_of("in_progress", "completed", "incomplete"))}


def _message(value: Any, place: Place) -> dict[str, Any]:
    """A message: what the model said has other parts than what it was told."""
    item: dict[str, Any] = _MESSAGE(value, place)
    kinds = _OUTPUT_PARTS if item["role"] == "assistant" else _INPUT_PARTS
    return {**item, "content": text_or(many(_kinds(kinds)))(item["content"], place.at("content"))}


_MESSAGE = members(
    {"role": one_of("user", "assistant", "system", "developer"), "content": anything},
    {"type": anything, "id": text, "phase": maybe(one_of("commentary", "final_answer")), **_STATUS},
)
_CALL = members(
    {**_TYPE, "call_id": text, "name": text, "arguments": text},
    {"id": maybe(text), "namespace": maybe(text), "caller": maybe(mapping), "async": maybe(flag), **_STATUS},
)
_OUTPUT = members(
    {**_TYPE, "call_id": text, "output": text_or(many(_kinds(_INPUT_PARTS)))},
    {"id": maybe(text), "caller": maybe(mapping), **_STATUS},
)
_SUMMARY = many(members({"type": one_of("summary_text"), "text": text}, {}))
_REASONING = members(
    {**_TYPE, "id": text, "summary": _SUMMARY},
    {"encrypted_content": maybe(text), "content": maybe(many(mapping)), **_STATUS},
)
_OTHER_ITEMS = (
    *("item_reference", "web_search_call", "file_search_call", "computer_call", "computer_call_output"),
    *("image_generation_call", "code_interpreter_call", "local_shell_call", "local_shell_call_output", "mcp_call"),
    *("mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "custom_tool_call", "custom_tool_call_output"),
    *("shell_call", "shell_call_output", "apply_patch_call", "apply_patch_call_output", "compaction"),
)
_ITEM = _kinds(
    {
        "message": _message,
        "function_call": _CALL,
        "function_call_output": _OUTPUT,
        "reasoning": _REASONING,
        **dict.fromkeys(_OTHER_ITEMS, mapping),
    },
    default="message",
)
_FUNCTION = members(
    {**_TYPE, "name": text},
    {
        "parameters": maybe(mapping),
        "strict": maybe(flag),
        "description": maybe(text),
        "defer_loading": flag,
        "allowed_callers": maybe(many(text)),
        "output_schema": maybe(mapping),
    },
)


def _tool(value: Any, place: Place) -> dict[str, Any]:
    """A function, or one of the provider's tools, which are let pass."""
    tool = mapping(value, place)
    if not isinstance(tool.get("type"), str):
        raise place.at("type").refuse("missing")
    return _FUNCTION(tool, place) if tool["type"] == "function" else tool


def _choice(value: Any, place: Place) -> Any:
    """How tools may be called."""
    if isinstance(value, str):
        return one_of("none", "auto", "required")(value, place)
    choice = mapping(value, place)
    if choice.get("type") == "function":
        return members({**_TYPE, "name": text}, {})(choice, place)
    if choice.get("type") == "allowed_tools":
        return members({**_TYPE, "mode": one_of("auto", "required"), "tools": many(mapping)}, {})(choice, place)
    return choice


_FORMATS = {
    "text": members(_TYPE, {}),
    "json_object": members(_TYPE, {}),
    "json_schema": members(
        {**_TYPE, "name": text, "schema": mapping}, {"strict": maybe(flag), "description": maybe(text)}
    ),
}
_TEXT = members({}, {"format": _kinds(_FORMATS), "verbosity": maybe(one_of("low", "medium", "high"))})
_REASON = members(
    {},
    {
        "effort": maybe(one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
        "summary": maybe(one_of("auto", "concise", "detailed")),
        "generate_summary": maybe(text),
    },
)
_COMMON: dict[str, Check] = {
    "input": text_or(many(_ITEM)),
    "instructions": maybe(text),
    "previous_response_id": maybe(text),
    "conversation": maybe(anything),
    "parallel_tool_calls": maybe(flag),
    "reasoning": maybe(_REASON),
    "text": _TEXT,
    "tools": many(_tool),
    "tool_choice": _choice,
    "truncation": maybe(one_of("auto", "disabled")),
    "simulator": anything,
}
_TIERS = one_of("auto", "default", "flex", "scale", "priority", "fast")
ANSWERED = members(
    {"model": text},
    {
        **_COMMON,
        "stream": maybe(flag),
        "stream_options": maybe(members({}, {"include_obfuscation": flag})),
        "background": maybe(flag),
        "store": maybe(flag),
        "include": maybe(many(text)),
        "max_output_tokens": maybe(number(16, whole=True)),
        "max_tool_calls": maybe(number(1, whole=True)),
        "metadata": maybe(mapping),
        "temperature": maybe(number(0, 2)),
        "top_p": maybe(number(0, 1)),
        "top_logprobs": maybe(number(0, 20, whole=True)),
        "service_tier": maybe(_TIERS),
        "context_management": maybe(many(mapping)),
        "moderation": maybe(mapping),
        "prompt": maybe(mapping),
        "prompt_cache_key": maybe(text),
        "prompt_cache_options": mapping,
        "prompt_cache_retention": maybe(one_of("in_memory", "24h")),
        "safety_identifier": maybe(text),
        "user": maybe(text),
    },
)
COUNTED = members({"model": text}, _COMMON)
