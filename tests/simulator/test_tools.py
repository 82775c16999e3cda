"""Tool calls and answers to a schema, judged by the official SDK."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from openai import OpenAI
from pydantic import BaseModel

from faregate.simulator import tokens

from .conftest import HELLO, Simulated

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "note": {"type": "string"},
            },
            "required": ["city", "unit", "days"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}},
}
TOOLS: Any = [WEATHER, CLOCK]


def test_a_tool_call(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=HELLO, tools=[WEATHER])  # type: ignore[list-item]
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    assert choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.type == "function"
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "unit", "days"}
    assert arguments["unit"] in ("celsius", "fahrenheit")
    assert 1 <= arguments["days"] <= 7
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokens.count("get_weather") + tokens.count(call.function.arguments)
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}
    turn: Any = [*HELLO, choice.message.model_dump(exclude_none=True), result]
    after = client.chat.completions.create(model="m", messages=turn, tools=TOOLS)
    assert after.choices[0].message.content
    assert after.choices[0].finish_reason == "stop"


def test_streamed_tool_calls_add_up(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="m", messages=HELLO, tools=TOOLS)
    with client.chat.completions.stream(model="m", messages=HELLO, tools=TOOLS) as stream:
        streamed = stream.get_final_completion()
    wanted, got = plain.choices[0].message.tool_calls, streamed.choices[0].message.tool_calls
    assert wanted is not None
    assert got is not None
    assert len(got) == 2
    for one, other in zip(wanted, got, strict=True):
        assert (one.id, one.type) == (other.id, other.type)
        assert one.function.name == other.function.name
        assert one.function.arguments == other.function.arguments
    assert got[1].function.arguments == "{}"


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ({"tool_choice": "none"}, []),
        ({"tool_choice": "required", "parallel_tool_calls": False}, ["get_weather"]),
        ({"parallel_tool_calls": True}, ["get_weather", "get_time"]),
        ({"tool_choice": {"type": "function", "function": {"name": "get_time"}}}, ["get_time"]),
        ({"tools": []}, []),
        ({"simulator": {"text": "no"}}, []),
    ],
)
def test_the_choice_of_tools(simulated: Simulated, members: dict[str, Any], names: list[str]) -> None:
    choice = simulated.ask(**{"tools": TOOLS, **members}).json()["choices"][0]
    assert [call["function"]["name"] for call in choice["message"].get("tool_calls", [])] == names


class Address(BaseModel):
    street: str
    number: int
    kind: Literal["home", "work"]


class Person(BaseModel):
    name: str
    age: int | None
    addresses: list[Address]
    manager: Person | None
    score: float
    active: bool


@pytest.mark.parametrize("word", ["a", "b", "c", "d"])
def test_an_answer_to_a_schema(client: OpenAI, word: str) -> None:
    answer = client.chat.completions.parse(
        model="m", messages=[{"role": "user", "content": word}], response_format=Person
    )
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_a_json_object(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=HELLO, response_format={"type": "json_object"})
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
