"""Gemini's Schema message, an OpenAPI 3.0 dialect, as a JSON Schema (Gemini API reference, Schema)."""

from typing import Any

import msgspec

from ...core.errors import MalformedRequest
from .spelling import camel

_DEPTH_MAX = 100
_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties")
_UNSAID = ("nullable", "propertyOrdering", "example", "type", "format")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")


def json_schema(raw: msgspec.Raw, param: str) -> msgspec.Raw:
    """The JSON Schema that a Schema message is. MalformedRequest, naming `param`, for what is none."""
    try:
        return msgspec.Raw(msgspec.json.encode(_written(msgspec.json.decode(raw), param, 0)))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest(f"Invalid value for '{param}'.", param=param) from None


def _written(node: Any, param: str, depth: int) -> dict[str, Any]:
    if not isinstance(node, dict) or depth > _DEPTH_MAX:
        raise MalformedRequest(f"Invalid value for '{param}': a schema must be an object.", param=param)
    given = {camel(name) if not name.startswith("$") else name: value for name, value in node.items()}
    is_nullable = given.get("nullable") is True
    found: dict[str, Any] = {}
    kind = _kind(given.get("type"), param, is_nullable=is_nullable)
    if kind is not None:
        found["type"] = kind
    for name, value in given.items():
        if name not in _UNSAID and value is not None:
            found[name] = _value(name, value, param, depth)
    if given.get("format") and given["format"] != "enum":  # the mark of a string that has an enum
        found["format"] = given["format"]
    if is_nullable and isinstance(found.get("enum"), list) and None not in found["enum"]:
        found["enum"] = [*found["enum"], None]
    if is_nullable and kind is None and isinstance(found.get("anyOf"), list):
        found["anyOf"] = [*found["anyOf"], {"type": "null"}]
    return found


def _value(name: str, value: Any, param: str, depth: int) -> Any:
    if name in ("properties", "$defs", "defs") and isinstance(value, dict):
        return {each: _written(inner, f"{param}.{name}.{each}", depth + 1) for each, inner in value.items()}
    if name == "items" or (name == "additionalProperties" and isinstance(value, dict)):
        return _written(value, f"{param}.{name}", depth + 1)
    if name in _LISTS and isinstance(value, list):
        return [_written(inner, f"{param}.{name}[{index}]", depth + 1) for index, inner in enumerate(value)]
    if name in _COUNTS and isinstance(value, str) and value.isdecimal():  # an int64 of proto JSON
        return int(value)
    return value


def _kind(value: Any, param: str, *, is_nullable: bool) -> Any:
    if isinstance(value, list):
        return [_kind(each, param, is_nullable=False) for each in value]
    if value is None or value == "TYPE_UNSPECIFIED":
        return None
    if not isinstance(value, str):
        raise MalformedRequest(f"Invalid value for '{param}.type'.", param=f"{param}.type")
    return [value.lower(), "null"] if is_nullable and value.lower() != "null" else value.lower()
