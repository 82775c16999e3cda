"""An instance of a JSON schema, drawn from dice: arguments of tool calls and answers to a given schema.

Covers what structured outputs allow (types, enum, const, anyOf, $ref, bounds, common formats), not `pattern`.
A schema that recurses without end gives null at the bottom.
"""

import uuid
from collections.abc import Callable
from typing import Any

from .dice import Dice

_REQUIRED_ONLY_DEPTH = 4
_DEPTH_MAX = 24

_FORMATS: dict[str, Callable[[Dice], str]] = {
    "date-time": lambda dice: f"2026-{1 + dice.roll(12):02}-{1 + dice.roll(28):02}T{dice.roll(24):02}:00:00Z",
    "date": lambda dice: f"2026-{1 + dice.roll(12):02}-{1 + dice.roll(28):02}",
    "time": lambda dice: f"{dice.roll(24):02}:{dice.roll(60):02}:00Z",
    "duration": lambda dice: f"PT{1 + dice.roll(59)}M",
    "email": lambda dice: f"{dice.word()}@example.com",
    "hostname": lambda dice: f"{dice.word()}.example.com",
    "uri": lambda dice: f"https://example.com/{dice.word()}",
    "ipv4": lambda dice: f"192.0.2.{dice.roll(256)}",
    "ipv6": lambda dice: f"2001:db8::{1 + dice.roll(0xFFFF):x}",
    "uuid": lambda dice: str(uuid.UUID(dice.hex(32), version=4)),
}


def instance(schema: Any, dice: Dice) -> Any:
    """A value that `schema` allows."""
    return _Maker(schema, dice).value(schema, 0)


class _Maker:
    def __init__(self, root: Any, dice: Dice) -> None:
        self._root = root
        self._dice = dice

    def value(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, dict) or depth > _DEPTH_MAX:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return self._dice.pick(schema["enum"])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            return self.value(self._one_of(options, depth), depth + 1)
        make = self._by_type(schema, depth)
        return make(schema, depth)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`schema` with its `$ref` followed and its `allOf` merged in."""
        for _ in range(_DEPTH_MAX):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                break
            target = self._root
            for name in reference.removeprefix("#").strip("/").split("/"):
                if name:
                    target = target.get(name.replace("~1", "/").replace("~0", "~"), {})
            schema = {**target, **{name: member for name, member in schema.items() if name != "$ref"}}
        for part in schema.get("allOf", ()):
            merged = self._resolved(part)
            schema = {
                **merged,
                **schema,
                "properties": {**merged.get("properties", {}), **schema.get("properties", {})},
                "required": [*merged.get("required", ()), *schema.get("required", ())],
            }
        return schema

    def _one_of(self, options: list[Any], depth: int) -> Any:
        nulls = [option for option in options if option == {"type": "null"}]
        others = [option for option in options if option != {"type": "null"}]
        if not others or (nulls and depth > _REQUIRED_ONLY_DEPTH):
            return nulls[0]
        return others[0] if depth > _REQUIRED_ONLY_DEPTH else self._dice.pick(others)

    def _by_type(self, schema: dict[str, Any], depth: int) -> Callable[[dict[str, Any], int], Any]:
        kind = schema.get("type")
        if isinstance(kind, list):
            others = [name for name in kind if name != "null"]
            deep = len(others) < len(kind) and depth > _REQUIRED_ONLY_DEPTH
            kind = "null" if deep or not others else others[0]
        if kind is None:
            kind = "object" if schema.get("properties") else "array" if "items" in schema else "string"
        return {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "integer": self._integer,
            "number": self._number,
            "boolean": lambda _schema, _depth: self._dice.roll(2) == 1,
        }.get(kind, lambda _schema, _depth: None)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        wanted = schema.get("required") or ([] if depth > _REQUIRED_ONLY_DEPTH else list(properties))
        return {name: self.value(properties.get(name, {"type": "string"}), depth + 1) for name in wanted}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = schema.get("minItems", 0)
        size = max(least, 0 if depth > _REQUIRED_ONLY_DEPTH else 1 + self._dice.roll(2))
        size = min(size, schema.get("maxItems", size))
        fixed = schema.get("prefixItems") or []
        rest = schema.get("items", {"type": "string"})
        return [self.value(fixed[at] if at < len(fixed) else rest, depth + 1) for at in range(size)]

    def _string(self, schema: dict[str, Any], _depth: int) -> str:
        form = _FORMATS.get(schema.get("format", ""))
        if form is not None:
            return form(self._dice)
        text = self._dice.word()
        while len(text) < schema.get("minLength", 0):
            text += f" {self._dice.word()}"
        return text[: schema.get("maxLength", len(text))]

    def _integer(self, schema: dict[str, Any], _depth: int) -> int:
        low, high = _bounds(schema, 1)
        step = max(1, int(schema.get("multipleOf", 1)))
        first = -(-int(low) // step)
        return step * (first + self._dice.roll(max(1, int(high) // step - first + 1)))

    def _number(self, schema: dict[str, Any], depth: int) -> float:
        if "multipleOf" in schema:
            return self._integer(schema, depth)
        low, high = _bounds(schema, 0)
        return round(low + (high - low) * (1 + self._dice.roll(98)) / 100, 6)


def _bounds(schema: dict[str, Any], beyond: int) -> tuple[float, float]:
    """The least and greatest value; `beyond` is how far an exclusive bound is from the next value."""
    low = schema.get("minimum")
    if low is None and "exclusiveMinimum" in schema:
        low = schema["exclusiveMinimum"] + beyond
    high = schema.get("maximum")
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - beyond
    if low is None:
        low = 0 if high is None or high > 0 else high - 100
    return low, low + 100 if high is None else high
