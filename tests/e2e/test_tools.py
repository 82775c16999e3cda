"""Tools: called whole and streamed, one and several at once, by hand and by the SDKs' own loop."""

import json
from typing import Any

import pytest

from .processes import Upstream
from .scenarios import BELL, MODEL, REPLIES, TIME, WEATHER, Sdk, asks, called, calls_of

SCENARIOS: dict[str, list[dict[str, Any]]] = {
    "weather": [WEATHER],
    "weather_and_time": [WEATHER, TIME],
    "nothing_needed": [BELL],
}
scenarios = pytest.mark.parametrize("name", SCENARIOS)


def check(name: str, answer: dict[str, Any]) -> None:
    """The answer calls what it must, and says nothing."""
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"].get("content") is None
    assert calls_of(answer) == called(name)


@scenarios
def test_whole(sdk: Sdk, upstream: Upstream, name: str) -> None:
    params = asks(name, tools=SCENARIOS[name])
    check(name, sdk.do("create", upstream.client, params)["answer"])
    assert upstream.last_body()["tools"] == SCENARIOS[name]


@scenarios
def test_parsed(sdk: Sdk, upstream: Upstream, name: str) -> None:
    answer = sdk.do("parse", upstream.client, asks(name, tools=SCENARIOS[name]))["answer"]
    check(name, answer)
    parsed = [call["function"]["parsed_arguments"] for call in answer["choices"][0]["message"]["tool_calls"]]
    assert parsed == [json.loads(arguments) for _, arguments in called(name)]


@scenarios
def test_accumulated(any_client: Sdk, upstream: Upstream, name: str) -> None:
    report = any_client.do("accumulate", upstream.client, asks(name, tools=SCENARIOS[name]))
    check(name, report["answer"])
    assert report["done"] == [list(call) for call in called(name)]


@scenarios
def test_chunks(any_client: Sdk, upstream: Upstream, name: str) -> None:
    chunks = any_client.do("collect", upstream.client, asks(name, tools=SCENARIOS[name]))["chunks"]
    fragments = [
        call for chunk in chunks for choice in chunk["choices"] for call in choice["delta"].get("tool_calls") or ()
    ]
    expected = called(name)
    for index, (function, arguments) in enumerate(expected):
        first, *rest = [fragment for fragment in fragments if fragment["index"] == index]
        assert first["id"]
        assert first["type"] == "function"
        assert first["function"]["name"] == function
        assert not any("id" in each or "name" in each["function"] for each in rest)
        assert "".join(each["function"]["arguments"] for each in (first, *rest)) == arguments
    assert {fragment["index"] for fragment in fragments} == set(range(len(expected)))


@pytest.mark.contract("1.1")
@scenarios
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_until_the_model_is_done(sdk: Sdk, upstream: Upstream, name: str, streamed: bool) -> None:
    params = asks(name, tools=SCENARIOS[name], **({"stream": True} if streamed else {}))
    report = sdk.do("run_tools", upstream.client, params)
    assert report["called"] == [[function, json.loads(arguments)] for function, arguments in called(name)]
    assert report["roles"] == ["user", "assistant", *["tool"] * len(report["called"])]
    assert report["final"]
    if upstream.kind == "aimock":
        assert report["final"] == REPLIES[name]["content"]
    results = [message["content"] for message in upstream.last_body()["messages"] if message["role"] == "tool"]
    assert len(results) == len(report["called"])
    if name == "weather_and_time":
        assert results == ["21 degrees celsius in Paris", "noon in Paris"]


def test_one_at_a_time(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = asks("weather_and_time", tools=[WEATHER, TIME], parallel_tool_calls=False)
    answer = sdk.do("create", simulated_upstream.client, params)["answer"]
    assert calls_of(answer) == called("weather")


def test_a_named_tool_and_none(sdk: Sdk, simulated_upstream: Upstream) -> None:
    named = {"type": "function", "function": {"name": "get_time"}}
    params = asks("weather_and_time", tools=[WEATHER, TIME], tool_choice=named)
    answer = sdk.do("accumulate", simulated_upstream.client, params)["answer"]
    assert calls_of(answer) == called("weather_and_time")[1:]

    answer = sdk.do("create", simulated_upstream.client, {**params, "tool_choice": "none"})["answer"]
    assert calls_of(answer) == []
    assert answer["choices"][0]["message"]["content"]


def test_choices_that_call_tools(any_client: Sdk, simulated_upstream: Upstream) -> None:
    messages = [{"role": "user", "content": "Both, twice."}]
    params = {"model": MODEL, "messages": messages, "tools": [WEATHER, TIME], "n": 2}
    answer = any_client.do("accumulate", simulated_upstream.client, params)["answer"]
    for choice in (0, 1):
        assert calls_of(answer, choice) == called("weather_and_time")
        assert answer["choices"][choice]["finish_reason"] == "tool_calls"
