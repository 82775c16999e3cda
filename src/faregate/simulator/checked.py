"""Bodies checked member by member, where a wire refuses what it does not know: tables say what may stand where.

A check is a function of a value and its place; it gives the value back, as the wire reads it, or raises what the
place makes of the complaint. The wires differ in their words for it (`Place.refuse`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from .refused import Refused

Path = tuple[str | int, ...]
Complaint = Literal["missing", "unknown", "type", "value"]
Words = Callable[[Complaint, Path, str, Any], Refused]
Check = Callable[[Any, "Place"], Any]


class Place(NamedTuple):
    """Where in a body a value stands, and how the wire complains."""

    path: Path
    words: Words

    def at(self, *steps: str | int) -> "Place":
        """A place within."""
        return Place((*self.path, *steps), self.words)

    def refuse(self, complaint: Complaint, detail: str = "", value: Any = None) -> Refused:
        """The refusal of what stands here; `detail` is what it should be."""
        return self.words(complaint, self.path, detail, value)


def anything(value: Any, _place: Place) -> Any:
    """Whatever it is."""
    return value


def text(value: Any, place: Place) -> str:
    """A text."""
    if not isinstance(value, str):
        raise place.refuse("type", "string", value)
    return value


def flag(value: Any, place: Place) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise place.refuse("type", "boolean", value)
    return value


def mapping(value: Any, place: Place) -> dict[str, Any]:
    """An object, whatever its members."""
    if not isinstance(value, dict):
        raise place.refuse("type", "object", value)
    return value


def number(low: float | None = None, high: float | None = None, *, whole: bool = False) -> Check:
    """A number from `low` to `high`."""

    def check(value: Any, place: Place) -> Any:
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise place.refuse("type", "integer" if whole else "number", value)
        if low is not None and value < low:
            raise place.refuse("value", f"greater than or equal to {low}", value)
        if high is not None and value > high:
            raise place.refuse("value", f"less than or equal to {high}", value)
        return value

    return check


def one_of(*values: str) -> Check:
    """One of a few texts."""

    def check(value: Any, place: Place) -> str:
        if value not in values:
            raise place.refuse("value", _listed(values), value)
        return value

    return check


def maybe(inner: Check) -> Check:
    """Null, or what `inner` takes."""
    return lambda value, place: None if value is None else inner(value, place)


def many(inner: Check, least: int = 0, most: int | None = None) -> Check:
    """A list of what `inner` takes."""

    def check(value: Any, place: Place) -> list[Any]:
        if not isinstance(value, list):
            raise place.refuse("type", "list", value)
        if len(value) < least:
            raise place.refuse("value", f"at least {least} item{'s' if least > 1 else ''}", value)
        if most is not None and len(value) > most:
            raise place.refuse("value", f"at most {most} items", value)
        return [inner(item, place.at(position)) for position, item in enumerate(value)]

    return check


def text_or(inner: Check) -> Check:
    """A text, or what `inner` takes."""
    return lambda value, place: value if isinstance(value, str) else inner(value, place)


def members(
    required: Mapping[str, Check],
    optional: Mapping[str, Check],
    *,
    spelled: Callable[[str], str] | None = None,
    nulls: bool = False,
) -> Check:
    """An object with those members and no others. `spelled` gives the name of a member as the tables have it;
    `nulls` says that null is the same as nothing."""
    known = {**required, **optional}

    def check(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise place.refuse("type", "object", value)
        found = {}
        for written, item in value.items():
            name = spelled(written) if spelled is not None else written
            inner = known.get(name)
            if inner is None:
                raise place.at(written).refuse("unknown")
            if item is not None or not nulls:
                found[name] = inner(item, place.at(name))
        for name in required:
            if name not in found:
                raise place.at(name).refuse("missing")
        return found

    return check


def tagged(
    kinds: Mapping[str, Check], *, member: str = "type", default: str | None = None, in_path: bool = False
) -> Check:
    """An object whose `member` says which of `kinds` it is; `in_path`: places within it have the kind's name."""

    def check(value: Any, place: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise place.refuse("type", "object", value)
        kind = value.get(member, default)
        if kind is None:
            raise place.at(member).refuse("missing")
        inner = kinds.get(kind) if isinstance(kind, str) else None
        if inner is None:
            raise place.at(member).refuse("value", _listed(kinds), kind)
        return inner(value, place.at(kind) if in_path and isinstance(kind, str) else place)

    return check


def _listed(values: Mapping[str, Any] | tuple[str, ...]) -> str:
    *others, last = (f"'{value}'" for value in values)
    return f"{', '.join(others)} or {last}" if others else last
