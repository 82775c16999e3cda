"""What may stand where in a chat body. Source: Cohere's API reference, "Chat" (v2), as its OpenAPI document has it."""

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

STOPS_MAX = 5


def words(complaint: Complaint, path: Path, detail: str, _value: Any) -> Refused:
    """A complaint as Cohere has it."""
    name = ".".join(str(step) for step in path)
    return Refused(
        {
            "missing": f"invalid request: {name} is required",
            "unknown": f"unknown field: parameter '{name}' is not a valid field",
            "type": f"invalid type: parameter '{name}' is of type {detail} but should not be",
            "value": f"invalid request: {name} must be {detail}",
        }[complaint]
    )


def _filled(value: Any, place: Place) -> str:
    if not text(value, place):
        raise Refused("message must not be empty in a turn")
    return value


def _address(value: Any, place: Place) -> str:
    if not text(value, place).startswith(("data:image/", "https://", "http://")):
        raise place.refuse("value", "an image's data URI or web URL")
    return value


_TYPE = {"type": anything}
_TEXT = members({**_TYPE, "text": _filled}, {})
_IMAGE = members(
    {**_TYPE, "image_url": members({"url": _address}, {"detail": one_of("auto", "low", "high")})},
    {},
)
_THINKING = members({**_TYPE, "thinking": _filled}, {})
_SAID_DATA: Check = text_or(mapping)
_DOCUMENT = members({**_TYPE, "document": members({"data": _SAID_DATA}, {"id": text})}, {})
_CALL = members(
    {"id": text, "type": one_of("function"), "function": members({"name": _filled, "arguments": text}, {})}, {}
)
_ROLE = {"role": anything}
_MESSAGES: dict[str, Check] = {
    "system": members({**_ROLE, "content": text_or(many(tagged({"text": _TEXT}), 1))}, {}),
    "user": members({**_ROLE, "content": text_or(many(tagged({"text": _TEXT, "image_url": _IMAGE}), 1))}, {}),
    "assistant": members(
        _ROLE,
        {
            "content": maybe(text_or(many(tagged({"text": _TEXT, "thinking": _THINKING}), 1))),
            "tool_calls": maybe(many(_CALL)),
            "tool_plan": maybe(text),
            "citations": maybe(many(mapping)),
        },
    ),
    "tool": members(
        {**_ROLE, "tool_call_id": text, "content": text_or(many(tagged({"text": _TEXT, "document": _DOCUMENT})))},
        {},
    ),
}
_TOOL = members(
    {"type": one_of("function"), "function": members({"name": _filled, "parameters": mapping}, {"description": text})},
    {},
)
_FORMATS = {
    "text": members(_TYPE, {}),
    "json_object": members(_TYPE, {"json_schema": maybe(mapping), "schema": maybe(mapping)}),
}
_THINKING_MODES = {
    "enabled": members(_TYPE, {"token_budget": maybe(number(1, whole=True))}),
    "disabled": members(_TYPE, {}),
}

ANSWERED = members(
    {"model": text, "messages": many(tagged(_MESSAGES, member="role"), 1)},
    {
        "stream": maybe(flag),
        "tools": maybe(many(_TOOL)),
        "strict_tools": maybe(flag),
        "documents": maybe(many(text_or(mapping))),
        "citation_options": maybe(
            members({}, {"mode": one_of("ENABLED", "DISABLED", "FAST", "ACCURATE", "OFF", "enabled", "disabled")})
        ),
        "response_format": maybe(tagged(_FORMATS)),
        "safety_mode": maybe(one_of("CONTEXTUAL", "STRICT", "OFF")),
        "max_tokens": maybe(number(1, whole=True)),
        "stop_sequences": maybe(many(text, 0, STOPS_MAX)),
        "temperature": maybe(number(0, 1)),
        "seed": maybe(number(0, whole=True)),
        "frequency_penalty": maybe(number(0, 1)),
        "presence_penalty": maybe(number(0, 1)),
        "k": maybe(number(0, 500)),
        "p": maybe(number(0.01, 0.99)),
        "logprobs": maybe(flag),
        "tool_choice": maybe(one_of("REQUIRED", "NONE")),
        "thinking": maybe(tagged(_THINKING_MODES)),
        "priority": maybe(number(0, 999, whole=True)),
        "simulator": mapping,
    },
)
