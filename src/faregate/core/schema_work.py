"""How much work it is to judge a value by a JSON Schema, known before it is done.

Theory of operation. A schema that refers twice to what refers twice to itself is a few lines, and more work than the
world has time for; the validator cannot be interrupted, and others wait. So the work is counted first: each place of
the schema that is tried at each place of the value. A pair of places costs the same each time it is met, so each is
counted once, and the sum is that of all times. It is more than will be done, because a validator stops where it knows.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

WORK_MAX = 2_000_000
_PAIRS_MAX = 100_000
_DEPTH_MAX = 400
_PATTERN_WORK = 300
_HERE = ("not", "if", "then", "else")
_ALL_HERE = ("allOf", "anyOf", "oneOf")
_EACH_HERE = ("dependentSchemas", "dependencies")
_INSIDE = (
    "items",
    "additionalItems",
    "contains",
    "unevaluatedItems",
    "additionalProperties",
    "unevaluatedProperties",
)
_COMPARED = ("enum", "required")
_UNKNOWN_PLACES = ("$dynamicRef", "$recursiveRef")


class Unjudged(Exception):
    """It is more work than may be done. Says why."""


class _Place(NamedTuple):
    """A place of a schema: its own work, the places that judge the same value, those that judge all that is in it, and
    those that judge what has a certain name or number in it."""

    work: int
    here: list[dict[str, Any]]
    inside: list[dict[str, Any]]
    named: dict[str | int, dict[str, Any]]


class Work:
    """What it is to judge by one schema. ValueError for one whose references cannot be followed here."""

    __slots__ = ("_places", "_root")

    def __init__(self, root: Any) -> None:
        self._root = root
        self._places: dict[int, _Place] = {}
        if isinstance(root, dict):
            self._read(root)

    def of(self, value: Any) -> int:
        """The work for one value. Unjudged."""
        if not isinstance(self._root, dict):
            return 1
        return _Count(self._places).of(self._root, value, 0)

    def _read(self, root: dict[str, Any]) -> None:
        name_of_id = "id" if "draft-04" in str(root.get("$schema")) else "$id"
        waiting = [root]
        while waiting:
            schema = waiting.pop()
            if id(schema) in self._places:
                continue
            if schema is not root and isinstance(schema.get(name_of_id), str):
                raise ValueError(f"a schema within it has an {name_of_id} of its own")
            place = self._places[id(schema)] = self._place(schema)
            waiting += [*place.here, *place.inside, *place.named.values()]

    def _place(self, schema: dict[str, Any]) -> _Place:
        here = [*_schemas(schema.get(name) for name in _HERE)]
        for name in _ALL_HERE:
            here += _schemas(schema.get(name) or ())
        for name in _EACH_HERE:
            here += _schemas((schema.get(name) or {}).values())
        if "$ref" in schema:
            here += _schemas([self._referred(schema["$ref"])])
        if not schema.keys().isdisjoint(_UNKNOWN_PLACES):
            raise ValueError("a reference in it depends on where it is met")
        patterns = schema.get("patternProperties") or {}
        inside = [*_schemas(schema.get(name) for name in _INSIDE), *_schemas(patterns.values())]
        named: dict[str | int, dict[str, Any]] = {
            name: each for name, each in (schema.get("properties") or {}).items() if isinstance(each, dict)
        }
        for name in ("prefixItems", "items"):
            listed = schema.get(name)
            if isinstance(listed, list):
                named |= {number: each for number, each in enumerate(listed) if isinstance(each, dict)}
        return _Place(_own_work(schema, len(patterns)), here, inside, named)

    def _referred(self, reference: str) -> Any:
        """What a reference within the schema points to; RFC 6901."""
        base = self._root.get("$id")
        start, mark, pointer = reference.partition("#")
        if (start and start != base) or (pointer and not pointer.startswith("/")):
            raise ValueError(f"the reference '{reference[:100]}' is not a path within it")
        found: Any = self._root
        for step in pointer.split("/")[1:] if mark else ():
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (LookupError, TypeError):
                raise ValueError(f"nothing is at '{reference[:100]}'") from None
        return found


class _Count:
    """One count."""

    __slots__ = ("_known", "_places")

    def __init__(self, places: dict[int, _Place]) -> None:
        self._places = places
        self._known: dict[tuple[int, int], int] = {}

    def of(self, schema: dict[str, Any], value: Any, depth: int) -> int:
        pair = (id(schema), id(value))
        known = self._known.get(pair)
        if known is not None:
            return known
        if depth > _DEPTH_MAX:
            raise Unjudged("it is nested too deeply")
        if len(self._known) >= _PAIRS_MAX:
            raise Unjudged("it is too large to be judged by this schema")
        self._known[pair] = 0  # a place that refers to itself is tried once
        place = self._places[id(schema)]
        work = place.work * (1 + len(value) if place.work >= _PATTERN_WORK and isinstance(value, dict) else 1)
        work += sum(self.of(each, value, depth + 1) for each in place.here)
        for name, inner in _within(value):
            work += sum(self.of(each, inner, depth + 1) for each in place.inside)
            if name in place.named:
                work += self.of(place.named[name], inner, depth + 1)
        if work > WORK_MAX:
            raise Unjudged("it is too large, or nested too deeply, to be judged by this schema")
        self._known[pair] = work
        return work


def _within(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)


def _schemas(values: Any) -> Iterator[dict[str, Any]]:
    """Those that are more than true or false."""
    return (value for value in values if isinstance(value, dict))


def _own_work(schema: dict[str, Any], patterns: int) -> int:
    compared = sum(len(schema[name]) for name in _COMPARED if isinstance(schema.get(name), list))
    patterns += ("pattern" in schema) + ("propertyNames" in schema)
    return 1 + compared + patterns * _PATTERN_WORK
