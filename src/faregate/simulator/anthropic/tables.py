"""What may stand where in a Messages body. Source: Anthropic's API reference, "Messages"; versions up to 2026-10-21."""

import re
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

_TOOL_NAME = r"^[a-zA-Z0-9_-]{1,128}$"
_CALL_ID = r"^[a-zA-Z0-9_-]+$"


def words(complaint: Complaint, path: Path, detail: str, _value: Any) -> Refused:
    """A complaint as Anthropic has it: the path with dots, then what is wrong."""
    said = {
        "missing": "Field required",
        "unknown": "Extra inputs are not permitted",
        "type": f"Input should be a valid {'dictionary' if detail == 'object' else detail}",
        "value": f"Input should be {detail}",
    }[complaint]
    return Refused(f"{'.'.join(str(step) for step in path)}: {said}")


def _fits(pattern: str) -> Check:
    def check(value: Any, place: Place) -> str:
        if not re.search(pattern, text(value, place)):
            raise Refused(f"{'.'.join(map(str, place.path))}: String should match pattern '{pattern}'")
        return value

    return check


def _filled(value: Any, place: Place) -> str:
    if not text(value, place):
        raise Refused("messages: text content blocks must be non-empty")
    return value


def _object_schema(value: Any, place: Place) -> dict[str, Any]:
    schema = mapping(value, place)
    one_of("object")(schema.get("type"), place.at("type")) if "type" in schema else None
    if "type" not in schema:
        raise place.at("type").refuse("missing")
    return schema


_CACHE = {"cache_control": maybe(members({"type": one_of("ephemeral")}, {"ttl": one_of("5m", "1h")}))}
_TYPE = {"type": anything}
_TEXT = members({**_TYPE, "text": _filled}, {**_CACHE, "citations": maybe(many(mapping))})
_MEDIA = {"image/jpeg", "image/png", "image/gif", "image/webp"}
_URL = members({**_TYPE, "url": text}, {})
_FILE = members({**_TYPE, "file_id": text}, {})
_IMAGE_SOURCES = {
    "base64": members({**_TYPE, "media_type": one_of(*sorted(_MEDIA)), "data": text}, {}),
    "url": _URL,
    "file": _FILE,
}
_IMAGE = members({**_TYPE, "source": tagged(_IMAGE_SOURCES, in_path=True)}, {**_CACHE, "transformations": anything})
_DOCUMENT_SOURCES = {
    "base64": members({**_TYPE, "media_type": one_of("application/pdf"), "data": text}, {}),
    "text": members({**_TYPE, "media_type": one_of("text/plain"), "data": text}, {}),
    "content": members({**_TYPE, "content": text_or(many(tagged({"text": _TEXT, "image": _IMAGE})))}, {}),
    "url": _URL,
    "file": _FILE,
}
_CITED = maybe(members({}, {"enabled": flag}))
_DOCUMENT = members(
    {**_TYPE, "source": tagged(_DOCUMENT_SOURCES, in_path=True)},
    {**_CACHE, "title": maybe(text), "context": maybe(text), "citations": _CITED},
)
_FOUND = members(
    {**_TYPE, "content": many(tagged({"text": _TEXT})), "source": text, "title": text},
    {**_CACHE, "citations": _CITED},
)
_RESULT_BLOCKS = {
    "text": _TEXT,
    "image": _IMAGE,
    "document": _DOCUMENT,
    "search_result": _FOUND,
    "tool_reference": mapping,
}
_RESULT = members(
    {**_TYPE, "tool_use_id": _fits(_CALL_ID)},
    {
        **_CACHE,
        "content": text_or(many(tagged(_RESULT_BLOCKS, in_path=True))),
        "is_error": flag,
        "toolset_name": maybe(text),
    },
)
_CALL = members(
    {**_TYPE, "id": _fits(_CALL_ID), "name": _fits(_TOOL_NAME), "input": mapping},
    {**_CACHE, "caller": mapping, "toolset_name": maybe(text)},
)
_THINKING = members({**_TYPE, "thinking": text, "signature": text}, {})
_REDACTED = members({**_TYPE, "data": text}, {})
_SERVER_BLOCKS = (
    "server_tool_use",
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "mcp_tool_use",
    "mcp_tool_result",
    "container_upload",
    "compaction",
)
_BLOCKS: dict[str, Check] = {
    "text": _TEXT,
    "image": _IMAGE,
    "document": _DOCUMENT,
    "search_result": _FOUND,
    "thinking": _THINKING,
    "redacted_thinking": _REDACTED,
    "tool_use": _CALL,
    "tool_result": _RESULT,
    **dict.fromkeys(_SERVER_BLOCKS, mapping),
}
_MESSAGE = members(
    {"role": one_of("user", "assistant", "system"), "content": text_or(many(tagged(_BLOCKS, in_path=True)))}, {}
)
_TOOL = members(
    {"name": _fits(_TOOL_NAME), "input_schema": _object_schema},
    {
        **_CACHE,
        "type": maybe(text),
        "description": text,
        "strict": flag,
        "input_examples": many(mapping),
        "defer_loading": flag,
        "eager_input_streaming": maybe(flag),
        "allowed_callers": many(text),
    },
)
_CHOICE = {
    "auto": members(_TYPE, {"disable_parallel_tool_use": flag}),
    "any": members(_TYPE, {"disable_parallel_tool_use": flag}),
    "tool": members({**_TYPE, "name": text}, {"disable_parallel_tool_use": flag}),
    "none": members(_TYPE, {}),
}
_DISPLAY = {"display": maybe(one_of("summarized", "omitted"))}
_THINKING_MODES = {
    "enabled": members({**_TYPE, "budget_tokens": number(1024, whole=True)}, _DISPLAY),
    "disabled": members(_TYPE, {}),
    "adaptive": members(_TYPE, _DISPLAY),
    "between_tools": members(_TYPE, {}),
}
_FORMAT = members({"type": one_of("json_schema"), "schema": mapping}, {})


def _tool(value: Any, place: Place) -> dict[str, Any]:
    """A tool of the caller's, or one of the provider's, which are let pass."""
    kind = value.get("type") if isinstance(value, dict) else None
    return _TOOL(value, place.at("custom")) if kind in (None, "custom") else mapping(value, place)


_COMMON: dict[str, Check] = {
    **_CACHE,
    "system": text_or(many(tagged({"text": _TEXT}))),
    "tools": many(_tool),
    "tool_choice": tagged(_CHOICE, in_path=True),
    "thinking": tagged(_THINKING_MODES, in_path=True),
    "output_config": members(
        {}, {"effort": maybe(one_of("low", "medium", "high", "xhigh", "max")), "format": maybe(_FORMAT)}
    ),
    "context_management": maybe(mapping),
    "mcp_servers": many(mapping),
    "simulator": mapping,
}
_REQUIRED: dict[str, Check] = {"messages": many(_MESSAGE), "model": text}

ANSWERED = members(
    {"max_tokens": number(1, whole=True), **_REQUIRED},
    {
        **_COMMON,
        "stream": maybe(flag),
        "stop_sequences": many(text),
        "temperature": number(0, 1),
        "top_p": number(0, 1),
        "top_k": number(0, whole=True),
        "metadata": members({}, {"user_id": maybe(text)}),
        "service_tier": one_of("auto", "standard_only"),
        "container": maybe(anything),
        "diagnostics": maybe(mapping),
        "inference_geo": maybe(text),
        "speed": maybe(one_of("standard", "fast")),
        "fallbacks": maybe(anything),
        "compaction": maybe(mapping),
    },
)
COUNTED = members(_REQUIRED, _COMMON)
