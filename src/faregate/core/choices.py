"""What a value may be where only some are allowed: msgspec says of a wrong one that it is wrong, not what is right."""

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec import inspect

_WRONG = "Invalid enum value "
_AT = " - at `"
_OF_KEYS = "key` in `"
_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+|\.\.\.)\]")
_TYPES_KEPT = 256

_type_info = functools.lru_cache(maxsize=_TYPES_KEPT)(inspect.type_info)


def with_choices(error: msgspec.ValidationError, shape: Any) -> str:
    """msgspec's words for an error, with what may stand in the place of a wrong value; `shape` is the type that was
    read."""
    words = str(error)
    if not words.startswith(_WRONG):
        return words
    reason, at, path = words.rpartition(_AT)
    if not at:
        reason, path = words, ""
    found: list[inspect.Type] = list(_parts(_type_info(shape)))
    for name, _ in _STEP.findall(path):
        found = [part for each in found for inner in _inside(each, name) for part in _parts(inner)]
    if path.startswith(_OF_KEYS):
        found = [part for each in found if isinstance(each, inspect.DictType) for part in _parts(each.key_type)]
    choices = [choice for each in found for choice in _choices(each) if choice != ""]
    return f"{reason}; it must be {either(choices)}{at}{path}" if choices else words


def either(choices: Iterable[object]) -> str:
    """Choices in words: `'a', 'b' or 'c'`."""
    *others, last = [f"'{each}'" for each in choices]
    return f"{', '.join(others)} or {last}" if others else last


def _choices(shape: inspect.Type) -> Iterable[object]:
    if isinstance(shape, inspect.EnumType):
        return [member.value for member in shape.cls]
    return shape.values if isinstance(shape, inspect.LiteralType) else ()


def _parts(shape: inspect.Type) -> Iterator[inspect.Type]:
    """The types of a union; any other is alone."""
    if isinstance(shape, inspect.Metadata):
        yield from _parts(shape.type)
    elif isinstance(shape, inspect.UnionType):
        for each in shape.types:
            yield from _parts(each)
    else:
        yield shape


def _inside(shape: inspect.Type, name: str) -> Sequence[inspect.Type]:
    """The types of the member `name` of a type; of its elements where there is no name."""
    if name:
        fields = getattr(shape, "fields", ())
        return [field.type for field in fields if field.encode_name == name]
    if isinstance(shape, inspect.DictType):
        return [shape.value_type]
    if isinstance(shape, inspect.TupleType):
        return shape.item_types
    return [shape.item_type] if isinstance(shape, inspect.CollectionType) else []
