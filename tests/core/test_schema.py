"""JSON Schemas of clients: what is refused at the door, what is said of an answer, and that neither takes long."""

import json
import time
from typing import Any

import pytest

from faregate.core.errors import MalformedRequest
from faregate.core.schema import SCHEMA_BYTES_MAX, schema_of

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def fault_of(schema: Any, text: str) -> str:
    return schema_of(json.dumps(schema).encode(), "p").fault_of(text)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (b"[]", "not of types"),
        (b"3", "not of types"),
        (b'{"a"', "truncated"),
        (b'{"type":"strin"}', "strin"),
        (b'{"pattern":"("}', "regex"),
        (b'{"pattern":"(((a{1000}){1000}){1000})"}', "regex"),
        (b'{"$ref":"https://example.com/x"}', "Retrieval is disabled"),
        (b'{"$ref":"file:///etc/passwd"}', "Retrieval is disabled"),
        (b'{"$id":"https://example.com/","$ref":"other"}', "Retrieval is disabled"),
        (b'{"$schema":"https://example.com/own"}', "meta-schema"),
        (b'{"$ref":"#/nowhere"}', "nowhere"),
        (b'{"$anchor":"x","items":{"$ref":"#x"}}', "not a path within it"),
        (b'{"$dynamicAnchor":"x","items":{"$dynamicRef":"#x"}}', "depends on where"),
        (b'{"properties":{"a":{"$id":"https://example.com/a"}}}', "an $id of its own"),
        (
            b'{"$schema":"http://json-schema.org/draft-04/schema#","properties":{"a":{"id":"http://example.com/a"}}}',
            "an id of its own",
        ),
        (b'{"$schema":"http://json-schema.org/draft-07/schema#","dependentSchemas":5}', "not in order"),
        (b'{"items":' * 900 + b"{}" + b"}" * 900, "ecursion"),
        (b'{"items":' * 9_000 + b"{}" + b"}" * 9_000, "ecursion"),
        (b'{"title":"' + b"x" * SCHEMA_BYTES_MAX + b'"}', "larger than"),
    ],
)
def test_a_schema_that_is_none_names_its_parameter(schema: bytes, said: str) -> None:
    for _ in range(2):  # what is known of it is kept
        with pytest.raises(MalformedRequest, match="'response_format'") as refused:
            schema_of(schema, "response_format")
        assert refused.value.param == "response_format"
        assert said in refused.value.message
        assert len(refused.value.message) < 1_000


@pytest.mark.parametrize("text", ['{"name":"A","age":3}', ' {"age":3,"name":"\\u00e9"}\n'])
def test_what_fits_has_no_fault(text: str) -> None:
    assert fault_of(PERSON, text) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not JSON"),
        ("Sure! {}", "it is not JSON"),
        ("```json\n{}\n```", "it is not JSON"),
        ("NaN", "it is not JSON"),
        ('{"name":"A"}', 'at $: "age" is a required property'),
        ('{"name":"A","age":"3"}', 'at $.age: "3" is not of type "integer"'),
        ('{"name":"A","age":3,"more":1}', "Additional properties"),
        ("[" * 5_000 + "]" * 5_000, "it is nested too deeply"),
        ("[" * 450 + "]" * 450, ""),
    ],
)
def test_a_fault_is_told(text: str, said: str) -> None:
    fault = fault_of(PERSON, text)
    assert fault
    assert said in fault


def test_a_place_in_an_array_is_told_and_three_faults_at_most() -> None:
    fault = fault_of({"items": {"properties": {"a": {"type": "string"}}}}, json.dumps([{"a": 1}] * 9))
    assert fault.startswith("at $[0].a: ")
    assert fault.count("at $") == 3


def test_the_words_are_not_longer_than_can_be_shown() -> None:
    assert len(fault_of({"type": "integer"}, json.dumps("x" * 100_000))) < 400


def doubled(word: str, times: int) -> dict[str, Any]:
    """A few lines that are 2 ** times tries."""
    definitions: dict[str, Any] = {"a0": {"type": "string"}}
    for number in range(1, times + 1):
        definitions[f"a{number}"] = {word: [{"$ref": f"#/$defs/a{number - 1}"}] * 2}
    return {"$defs": definitions, "$ref": f"#/$defs/a{times}"}


TWICE_INSIDE = {"anyOf": [{"items": {"$ref": "#"}, "minItems": 1}, {"items": {"$ref": "#"}, "minItems": 1}]}
BACKTRACKS = r"^(?=(a+)+$)(a|aa)+\1$"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (doubled("anyOf", 16), "1"),
        (doubled("anyOf", 40), "1"),
        (doubled("allOf", 60), '"x"'),
        (TWICE_INSIDE, "[" * 60 + "]" * 60),
        ({"pattern": BACKTRACKS}, json.dumps("a" * 40 + "b")),
        ({"items": {"pattern": BACKTRACKS}}, json.dumps(["a" * 40 + "b"] * 20_000)),
        ({"anyOf": [{"items": {"type": "string"}}] * 5_000}, json.dumps([*["x"] * 50_000, 1])),
        ({"items": {"enum": [f"{number}" for number in range(20_000)]}}, json.dumps(["x"] * 50_000)),
        ({"items": {"$ref": "#"}}, json.dumps([[number] for number in range(120_000)])),
    ],
    ids=range(9),
)
def test_no_schema_is_more_work_than_others_can_wait_for(schema: Any, text: str) -> None:
    compiled = schema_of(json.dumps(schema).encode(), "p")
    began = time.process_time()
    assert compiled.fault_of(text)
    assert time.process_time() - began < 1.5


@pytest.mark.parametrize("schema", [{"$ref": "#"}, {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}])
def test_a_schema_that_only_refers_to_itself_ends(schema: Any) -> None:
    assert fault_of(schema, "1") == ""


def test_a_tree_is_judged_by_a_schema_that_refers_to_itself() -> None:
    node = {"$ref": "#/$defs/node"}
    schema = {
        "$defs": {"node": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/pair"}]}, "pair": {"type": "object"}},
        **node,
    }
    schema["$defs"]["pair"] |= {  # type: ignore[index]
        "properties": {"left": node, "right": {"anyOf": [node, {"type": "null"}]}},
        "required": ["left", "right"],
    }
    tree: Any = 1
    for _ in range(10):
        tree = {"left": tree, "right": tree}
    assert fault_of(schema, json.dumps(tree)) == ""
    assert fault_of(schema, json.dumps({"left": tree, "right": "x"})) != ""


def test_a_path_with_escapes_is_followed() -> None:
    schema = {"$defs": {"a/b~c d": {"type": "string"}}, "items": {"$ref": "#/$defs/a~1b~0c%20d"}}
    assert fault_of(schema, '["x"]') == ""
    assert "at $[0]" in fault_of(schema, "[1]")


@pytest.mark.parametrize("draft", [{}, {"$schema": "http://json-schema.org/draft-07/schema#"}])
def test_a_format_is_not_judged_in_any_draft(draft: dict[str, str]) -> None:
    assert fault_of({**draft, "type": "string", "format": "date"}, '"x"') == ""
