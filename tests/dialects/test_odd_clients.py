"""Clients as they are: bodies written for another of OpenAI's APIs (contract.md 5.8)."""

import json
from typing import Any

import pytest

from faregate.core.errors import MalformedRequest
from faregate.dialects.openai_chat import OpenAIChat

FLAT = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}}
WHOLE = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}


def forwarded(body: dict[str, Any]) -> dict[str, Any]:
    """What a provider of this dialect is sent."""
    dialect = OpenAIChat()
    request = dialect.parse_request(json.dumps({"model": "m", **body}).encode())
    return json.loads(dialect.forward_request(request, "m"))


@pytest.mark.contract("5.8")
def test_input_is_messages() -> None:
    body = forwarded(
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
                {
                    "type": "message",
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "https://x/a.png"}],
                },
                {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {"type": "function_call_output", "call_id": "c2", "output": [{"a": 2}]},
            ],
            "tools": [FLAT],
            "tool_choice": {"type": "function", "name": "f"},
            "max_output_tokens": 9,
            "reasoning": {"effort": "low"},
            "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
            "temperature": 0.5,
        }
    )
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["system", "user", "user", "assistant", "tool", "tool"]
    assert body["messages"][1]["content"] == [{"type": "text", "text": "Hi"}]
    assert body["messages"][2]["content"][0]["image_url"] == {"url": "https://x/a.png", "detail": "auto"}
    assert [call["id"] for call in body["messages"][3]["tool_calls"]] == ["c1", "c2"]
    assert body["messages"][5]["content"] == '[{"a":2}]'
    assert body["tools"] == [WHOLE]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["verbosity"]) == (9, "low", "low")
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}
    assert (body["temperature"], "input" in body, "instructions" in body) == (0.5, False, False)


def test_input_may_be_words() -> None:
    assert forwarded({"input": "Hi"})["messages"] == [{"role": "user", "content": "Hi"}]


@pytest.mark.contract("5.8")
def test_tools_may_be_flat() -> None:
    body = forwarded({"messages": [{"role": "user", "content": "Hi"}], "tools": [WHOLE, FLAT]})
    assert body["tools"] == [WHOLE, WHOLE]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (5, "input"),
        ([5], "input[0]"),
        ([{"type": "web_search_call"}], "input[0].type"),
        ([{"role": "robot", "content": "a"}], "messages[0].role"),
        ([], "messages"),
    ],
)
def test_what_is_no_input_is_named(given: object, param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        forwarded({"input": given})
    assert refused.value.param == param


def test_a_thousand_tools_are_too_many() -> None:
    with pytest.raises(MalformedRequest) as refused:
        forwarded({"messages": [{"role": "user", "content": "Hi"}], "tools": [WHOLE] * 1_000})
    assert refused.value.param == "tools"
