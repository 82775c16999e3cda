"""What compatible hosts are told otherwise."""

import json
from typing import Any

import pytest

from faregate.providers.compatible import ROWS
from faregate.providers.shape import Shape

SHAPES = {row.name: row.shape for row in ROWS if row.shape is not None}
HI = [{"role": "user", "content": "Hi"}]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
WORDS = "Answer with nothing but JSON that keeps to this JSON Schema:\n" + json.dumps(SCHEMA, separators=(",", ":"))
TOLD = {"role": "system", "content": WORDS}

CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], set[str]]] = {
    "names": ("mistral", {"seed": 7, "max_completion_tokens": 9}, {"random_seed": 7, "max_tokens": 9}, set()),
    "the newer bound wins": ("mistral", {"max_tokens": 5, "max_completion_tokens": 9}, {"max_tokens": 9}, set()),
    "refused": ("mistral", {"user": "u", "store": None, "logit_bias": {"1": 1}}, {}, {"user", "logit_bias"}),
    "unneeded": ("mistral", {"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}, set()),
    "what nobody knows": (
        "mistral",
        {"safe_prompt": True, "brand_new": 1},
        {"safe_prompt": True, "brand_new": 1},
        set(),
    ),
    "a tool without parameters": (
        "mistral",
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {
            "tools": [
                {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
            ]
        },
        set(),
    ),
    "a schema stays": ("mistral", {"response_format": FORM}, {"response_format": FORM}, set()),
    "a schema in words": (
        "deepseek",
        {"response_format": FORM, "max_completion_tokens": 9},
        {"response_format": {"type": "json_object"}, "max_tokens": 9, "messages": [TOLD, *HI]},
        set(),
    ),
    "an answer that was begun": (
        "mistral",
        {"messages": [*HI, {"role": "assistant", "content": "I"}]},
        {"messages": [*HI, {"role": "assistant", "content": "I", "prefix": True}]},
        set(),
    ),
    "no thinking": ("deepseek", {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, set()),
    "some thinking": ("deepseek", {"reasoning_effort": "low"}, {"reasoning_effort": "low"}, set()),
    "JSON stays": (
        "deepseek",
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object"}},
        set(),
    ),
}


def shaped(name: str, members: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    found = SHAPES[name].shaped(json.dumps({"model": "m", "messages": HI, **members}).encode())
    return json.loads(found.body), set(found.dropped)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_members(case: tuple[str, dict[str, Any], dict[str, Any], set[str]]) -> None:
    name, given, expected, dropped = case
    assert shaped(name, given) == ({"model": "m", "messages": HI, **expected}, dropped)


def test_messages() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    said = {"role": "assistant", "content": "So.", "reasoning_content": "Hm.", "refusal": None, "audio": None}
    given = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hi", "name": "Ann"},
        {**said, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
        {"role": "assistant", "content": None, "tool_calls": [{**call, "id": "aB3456789"}]},
        {"role": "tool", "tool_call_id": "aB3456789", "content": "1"},
    ]
    body, dropped = shaped("mistral", {"messages": given})
    system, user, thought, result, later, _ = body["messages"]
    assert (system["role"], user, dropped) == ("system", {"role": "user", "content": "Hi"}, {"name"})
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    assert thought["content"] == [thinking, {"type": "text", "text": "So."}]
    assert thought.keys() == {"role", "content", "tool_calls"}
    call_id = thought["tool_calls"][0]["id"]
    assert (len(call_id), call_id.isalnum(), result["tool_call_id"]) == (9, True, call_id)
    assert later["tool_calls"][0]["id"] == "aB3456789"
    assert shaped("mistral", {"messages": given})[0] == body


def test_ids_of_calls_stay_apart() -> None:
    calls = [{"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(1000)]
    body, _ = shaped("mistral", {"messages": [{"role": "assistant", "content": None, "tool_calls": calls}]})
    assert len({call["id"] for call in body["messages"][0]["tool_calls"]}) == len(calls)


@pytest.mark.parametrize("name", ["mistral", "deepseek"])
def test_messages_may_be_none(name: str) -> None:
    assert shaped(name, {"messages": []}) == ({"model": "m", "messages": []}, set())


def test_no_shape_changes_nothing() -> None:
    body = {"model": "m", "messages": [{"role": "developer", "content": "x", "name": "y"}], "seed": 1}
    assert json.loads(Shape().shaped(json.dumps(body).encode()).body) == body
