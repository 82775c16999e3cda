"""JSON Schemas as Cohere takes them (docs.cohere.com, Structured Outputs, "Schema constraints" and "Unsupported schema
features")."""

from typing import Any, NamedTuple

import msgspec

_COMPOSED = frozenset({"anyOf", "allOf", "oneOf", "not"})
_UNSUPPORTED = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
        *("minLength", "maxLength", "uniqueItems", "additionalProperties"),
    }
)
_FORMATS = frozenset({"date-time", "uuid", "date", "time"})
_PATTERN_UNSUPPORTED = ("^", "$", "?=", "?!")
_MAPS = ("properties", "$defs", "definitions")  # whose members are schemas
DEPTH_MAX = 100


class Narrowed(NamedTuple):
    """A schema without the keywords that are not supported, and the names of those that meant something."""

    schema: dict[str, Any]
    lost: tuple[str, ...]


class _UnsayableError(Exception):
    """A schema cannot be said."""


def narrowed(raw: msgspec.Raw) -> Narrowed | None:
    """A schema as it can be said; None where it cannot be: it is not of an object, an object in it requires nothing, or
    it is made of others."""
    try:
        schema = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return None
    lost: dict[str, None] = {}
    try:
        return Narrowed(_without(schema, lost, 0), tuple(lost))
    except _UnsayableError:
        return None


def _without(schema: Any, lost: dict[str, None], depth: int) -> Any:
    if not isinstance(schema, dict):
        return schema
    requires_nothing = schema.get("type") == "object" and not schema.get("required")
    if depth > DEPTH_MAX or requires_nothing or not _COMPOSED.isdisjoint(schema):
        raise _UnsayableError
    found: dict[str, Any] = {}
    for keyword, value in schema.items():
        if not _is_unsupported(keyword, value):
            found[keyword] = _said(keyword, value, lost, depth + 1)
        elif (keyword, value) != ("additionalProperties", False):  # members of its own are all that it gives
            lost[keyword] = None
    return found


def _said(keyword: str, value: Any, lost: dict[str, None], depth: int) -> Any:
    """What a keyword says, of the schemas within it as they can be said."""
    if keyword == "items":
        return _without(value, lost, depth)
    if keyword in _MAPS and isinstance(value, dict):
        return {name: _without(each, lost, depth) for name, each in value.items()}
    return value


def _is_unsupported(keyword: str, value: object) -> bool:
    if keyword == "format":
        return value not in _FORMATS
    if keyword == "pattern":
        return not isinstance(value, str) or any(mark in value for mark in _PATTERN_UNSUPPORTED)
    return keyword in _UNSUPPORTED
