"""Calls of tools, their results, and the signed thoughts before them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.official.gemini import Gemini

from .asking import BELL, TIME, UPSTREAMS, WEATHER, Asking, both_ways, to_each

RESULTS = {"get_weather": "21 degrees, Grüße", "get_time": "noon", "ring_bell": "rung"}
CALLS = {
    "weather": (WEATHER,),
    "weather_and_time": (WEATHER, TIME),
    "nothing_needed": (BELL,),
    "after_words": (BELL,),
}


@both_ways
@to_each
@pytest.mark.parametrize("name", CALLS)
def test_calls_and_their_results(asking: Asking, upstream: str, streamed: bool, name: str) -> None:
    _call_and_go_on(asking, upstream, streamed, name, tools=CALLS[name])


@both_ways
@to_each
def test_thoughts_come_back_with_the_call_they_led_to(asking: Asking, upstream: str, streamed: bool) -> None:
    """On Anthropic's wire aimock refuses the second turn unless its thoughts and their proof stand first in it."""
    thinks = UPSTREAMS[upstream].thinks
    _call_and_go_on(asking, upstream, streamed, "thinks_and_calls", tools=(WEATHER,), thinks=thinks)


@both_ways
def test_thoughts_that_nobody_may_read_come_back_too(asking: Asking, streamed: bool) -> None:
    _call_and_go_on(asking, "messages", streamed, "thinks_in_secret", tools=(WEATHER,), thinks="budget")


def _call_and_go_on(asking: Asking, upstream: str, streamed: bool, name: str, **how: Any) -> None:
    question, reply = asking.question(name, **how), asking.replies[name]
    said = asking.ask(upstream, question, streamed)
    wanted = [(call["name"], json.loads(call["arguments"])) for call in reply["tool_calls"]]
    assert [(call.name, call.arguments) for call in said.calls] == wanted
    assert (said.text, said.thoughts) == (reply.get("opening", ""), reply.get("reasoning", ""))
    assert said.end == ("FUNCTION_CALL" if asking.is_believed(upstream) else asking.client.ends[1])
    asking.assert_counted(said, name)
    final = asking.ask(upstream, replace(question, choice=None), streamed, asking.client.results(said, RESULTS))
    assert (final.text, final.calls) == (reply["content"], ())
    told = [turn["content"] for turn in asking.messages() if turn["role"] == "tool"]
    assert told == [_as_told(RESULTS[called], asking, upstream) for called, _ in wanted]


def _as_told(result: str, asking: Asking, upstream: str) -> str:
    """A tool's result as the provider sees it: Gemini's is an object."""
    if upstream != "gemini":
        return result
    member = "output" if isinstance(asking.client, Gemini) else "result"
    return json.dumps({member: result}, ensure_ascii=False, separators=(",", ":"))
