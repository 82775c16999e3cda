"""JSON Schemas in the part of the language that every provider takes: nothing allowed is forbidden, nothing else is
allowed but for what is named as lost."""

from typing import Any

import msgspec
import pytest

from faregate.core.errors import Inexpressible, MalformedRequest
from faregate.dialects.schemas import check_references, simplified

ITEM = {"type": "object", "properties": {"x": {"type": "integer"}}, "additionalProperties": False}
CASES: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "reference": (
        {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "$defs": {"P": ITEM}},
        {"type": "object", "properties": {"p": {"type": "object", "properties": {"x": {"type": "integer"}}}}},
        ("additionalProperties",),
    ),
    "null": ({"type": ["string", "null"]}, {"type": "string", "nullable": True}, ()),
    "const": ({"const": "a"}, {"enum": ["a"], "type": "string"}, ()),
    "several types": ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}, ()),
    "all of": (
        {"allOf": [{"type": "integer", "minimum": 1}, {"minimum": 3, "maximum": 9}]},
        {"type": "integer", "minimum": 3, "maximum": 9},
        (),
    ),
    "empty object": ({"type": "object"}, {"type": "object"}, ()),
    "anything": ({}, {}, ()),
    "format": ({"type": "string", "format": "email"}, {"type": "string", "description": "(format: email)"}, ()),
    "exclusive": ({"type": "integer", "exclusiveMinimum": 2}, {"type": "integer", "minimum": 3}, ()),
    "not": ({"type": "string", "not": {"const": "a"}}, {"type": "string"}, ("not",)),
    "required": (
        {"type": "object", "required": ["a"]},
        {"type": "object", "required": ["a"], "properties": {"a": {}}},
        (),
    ),
}


def raw(schema: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(schema))


@pytest.mark.parametrize("name", CASES)
def test_simplified(name: str) -> None:
    given, expected, lost = CASES[name]
    found = simplified(raw(given), "tools[0]")
    assert msgspec.json.decode(found.schema) == expected
    assert found.lost == lost


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "https://example.com/schema.json"},
        {"properties": {"a": {"$ref": "other.json#/A"}}},
        {"$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}, "$ref": "#/$defs/A"},
        {"properties": {"a": {"$ref": "#"}}},
        False,
    ],
)
def test_inexpressible(schema: object) -> None:
    with pytest.raises(Inexpressible) as caught:
        simplified(raw(schema), "tools[0]")
    assert caught.value.param == "tools[0]"


@pytest.mark.parametrize(
    "schema", [3, {"type": "nothing"}, {"$ref": "#/$defs/none"}, {"required": "a"}, {"properties": []}, {"anyOf": {}}]
)
def test_malformed(schema: object) -> None:
    with pytest.raises(MalformedRequest):
        simplified(raw(schema), "tools[0]")


def test_written_out_at_most_so_far() -> None:
    levels = {f"L{n}": {"properties": {"a": {"$ref": f"#/$defs/L{n + 1}"}, "b": {"$ref": f"#/$defs/L{n + 1}"}}}
              for n in range(40)}  # fmt: skip
    with pytest.raises(Inexpressible):
        simplified(raw({"$ref": "#/$defs/L0", "$defs": levels | {"L40": {}}}), "tools[0]")


def test_references_elsewhere_are_found() -> None:
    check_references(raw({"$ref": "#/$defs/A", "$defs": {"A": {"enum": [{"$ref": "https://example.com"}]}}}), "p")
    with pytest.raises(Inexpressible, match="not part of it"):
        check_references(raw({"items": [{"$ref": "https://example.com/a"}]}), "p")
