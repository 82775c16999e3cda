"""Simplified schemas put together: what two of them allow both, and what one of several allows.

A simplified schema (see schemas.py) allows null where it is `nullable`, and what all of its other keywords allow.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Schema = dict[str, Any]

BRANCHES_MAX = 100

_LOWER = ("minimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "maxLength", "maxItems", "maxProperties")


def is_same(one: object, other: object) -> bool:
    """Whether two JSON values are equal; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one == other


def is_of(value: object, name: str) -> bool:
    """Whether a JSON value is of one of JSON Schema's types; 1.0 is an integer."""
    if isinstance(value, bool):
        return name == "boolean"
    if isinstance(value, int | float):
        return name == "number" or (name == "integer" and value == value // 1)
    kinds = {"string": str, "array": list, "object": dict, "null": type(None)}
    return name in kinds and isinstance(value, kinds[name])


def type_of(values: Iterable[object]) -> str | None:
    """The one type that all of some values have; None where they have several."""
    values = list(values)
    for name in ("string", "integer", "number", "boolean", "array", "object"):
        if all(is_of(value, name) for value in values):
            return name
    return None


def narrow(schema: Schema, keyword: str, value: float) -> None:
    """Set a bound, unless a tighter one is there."""
    if keyword in schema:
        value = (min if keyword in _UPPER else max)(value, schema[keyword])
    schema[keyword] = value


def accepts_null(schema: Schema) -> bool:
    """Whether null is allowed."""
    if schema.get("nullable"):
        return True
    if "type" in schema:
        return schema["type"] == "null"
    if "enum" in schema:
        return False
    return "anyOf" not in schema or any(accepts_null(branch) for branch in schema["anyOf"])


def are_apart(branches: Sequence[Schema]) -> bool:
    """Whether no value can be allowed by two of them, as far as their types tell."""
    types = [branch.get("type") for branch in branches]
    if len(branches) < 2:
        return True
    if None in types or len(set(types)) < len(types) or {"integer", "number"} <= set(types):
        return False
    return sum(accepts_null(branch) for branch in branches) < 2


def any_of(branches: Iterable[Schema]) -> Schema | None:
    """What at least one of them allows; None for none at all."""
    found: list[Schema] = []
    has_null = False
    for branch in _flat(branches):
        if branch.get("type") == "null":
            has_null = True
        elif branch not in found:
            found.append(branch)
    if any(not branch.keys() - {"description"} for branch in found):
        return {}
    if not found:
        return {"type": "null"} if has_null else None
    whole: Schema = dict(found[0]) if len(found) == 1 else {"anyOf": found}
    if has_null and not accepts_null(whole):
        whole["nullable"] = True
    return whole


def _flat(branches: Iterable[Schema]) -> Iterator[Schema]:
    for branch in branches:
        if branch.keys() <= {"anyOf", "nullable"} and "anyOf" in branch:
            yield from branch["anyOf"]
            if branch.get("nullable"):
                yield {"type": "null"}
        else:
            yield branch


def meet(one: Schema, other: Schema, lost: dict[str, None]) -> Schema | None:
    """What both allow; None where that is nothing. What cannot be said of it goes to `lost`."""
    has_null = accepts_null(one) and accepts_null(other)
    found = _meet_values(one, other, lost)
    if found is None:
        return {"type": "null"} if has_null else None
    if has_null and not accepts_null(found):
        found["nullable"] = True
    return found


def _meet_values(one: Schema, other: Schema, lost: dict[str, None]) -> Schema | None:
    """What both allow besides null."""
    found: Schema = {}
    if "type" in one or "type" in other:
        name = _meet_types(one.get("type"), other.get("type"))
        if name is None or name == "null":
            return None
        found["type"] = name
    enums = [schema["enum"] for schema in (one, other) if "enum" in schema]
    if enums:
        found["enum"] = [value for value in enums[0] if any(is_same(value, each) for each in enums[-1])]
        if not found["enum"]:
            return None
    for schema in (one, other):
        for keyword in (*_LOWER, *_UPPER):
            if keyword in schema:
                narrow(found, keyword, schema[keyword])
        for keyword in ("description", "pattern", "format"):
            is_kept = found.setdefault(keyword, schema.get(keyword)) == schema.get(keyword, found[keyword])
            if not is_kept and keyword != "description":
                lost[keyword] = None
    _meet_inner(one, other, found, lost)
    if "anyOf" in one or "anyOf" in other:
        branches = _meet_branches(one.get("anyOf"), other.get("anyOf"), lost)
        if not branches:
            return None
        found["anyOf"] = branches
    return {keyword: value for keyword, value in found.items() if value is not None}


def _meet_types(one: str | None, other: str | None) -> str | None:
    if one is None or other is None or one == other:
        return one or other
    return "integer" if {one, other} == {"integer", "number"} else None


def _meet_inner(one: Schema, other: Schema, found: Schema, lost: dict[str, None]) -> None:
    """What both say of members and items."""
    properties = dict(one.get("properties", {}))
    for name, schema in other.get("properties", {}).items():
        both = meet(properties[name], schema, lost) if name in properties else schema
        if both is None:
            del properties[name]
            lost["properties"] = None  # that it must not be there
        else:
            properties[name] = both
    required = dict.fromkeys([*one.get("required", ()), *other.get("required", ())])
    for name in required:  # what is required must be declared
        properties.setdefault(name, {})
    if properties:
        found["properties"] = properties
    if required:
        found["required"] = list(required)
    items = [schema["items"] for schema in (one, other) if "items" in schema]
    if items:
        both = items[0] if len(items) == 1 else meet(items[0], items[1], lost)
        if both is None:
            found["maxItems"] = 0
        else:
            found["items"] = both


def _meet_branches(one: list[Schema] | None, other: list[Schema] | None, lost: dict[str, None]) -> list[Schema]:
    if one is None or other is None:
        return one or other or []
    if len(one) * len(other) > BRANCHES_MAX:
        lost["anyOf"] = None
        return one
    both = (meet(left, right, lost) for left in one for right in other)
    return [branch for branch in both if branch is not None]
