"""Calls of tools, their results, and the thoughts that came with them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.official.gemini import Gemini
from tests.e2e.official.question import Question, Said, Tool

from .crossing import BUDGETED, Crossing, both_ways, to_each_dialect, to_each_model

WEATHER = Tool(
    "get_weather",
    "The weather of some days",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
        },
        "required": ["city", "unit", "days"],
        "additionalProperties": False,
    },
)
CLOCK = Tool("get_time", "The time", {"type": "object", "properties": {}, "additionalProperties": False})
RESULTS = {"get_weather": "12 degrees, Grüße", "get_time": "noon"}

TOOL_QUESTIONS = {
    "one": Question(words="How is the weather?", tools=(WEATHER,)),
    "several at once": Question(words="How is the weather, and what time is it?", tools=(WEATHER, CLOCK)),
    "no arguments": Question(words="What time is it?", tools=(CLOCK,)),
    "required": Question(words="Hello", tools=(WEATHER,), choice="required"),
    "after words": Question(words="How late is it?", tools=(CLOCK, WEATHER), plan={"opening": "Let me see. "}),
    "in a conversation": Question(
        words="And the weather?", system="Be brief.", before=("Hi", "Hello!"), tools=(WEATHER,)
    ),
}


@pytest.mark.contract("3.10")
@both_ways
@to_each_model
@pytest.mark.parametrize("name", TOOL_QUESTIONS)
def test_tools_are_called_and_their_results_told(crossing: Crossing, model: str, streamed: bool, name: str) -> None:
    question = TOOL_QUESTIONS[name]
    said = crossing.ask(model, question, streamed)
    wanted = crossing.heard_directly(question)
    assert said.text == wanted.text
    assert _calls(said) == _calls(wanted) and len(said.calls) == len(question.tools)
    assert said.end == crossing.client.ends[1]
    _go_on(crossing, model, question, streamed, said)


def _go_on(crossing: Crossing, model: str, question: Question, streamed: bool, said: Said) -> None:
    """Tell the results; the answer to them is words."""
    ids = [call.id for call in said.calls if call.id]  # Gemini's need none
    assert len(set(ids)) == len(ids)
    asked = replace(question, choice=None)
    since = crossing.seq
    final = crossing.ask(model, asked, streamed, crossing.client.results(said, RESULTS))
    assert final.text and not final.calls
    assert final.end == crossing.client.ends[0]
    assert final.counts == crossing.vouched(since, final)
    direct = crossing.heard_directly(question)
    told = {name: _as_told(result, crossing, model) for name, result in RESULTS.items()}
    wanted = crossing.told_directly(asked, crossing.direct.results(direct, told))
    assert final.text == wanted.text


def _as_told(result: str, crossing: Crossing, model: str) -> str:
    """The words of a tool's result as the provider sees them: to Gemini they are in an object."""
    name = "output" if isinstance(crossing.client, Gemini) else "result"
    return json.dumps({name: result}, ensure_ascii=False, separators=(",", ":")) if "gemini" in model else result


def _calls(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, call.arguments) for call in said.calls]


@both_ways
@to_each_dialect
def test_tools_that_may_not_be_called_are_not(crossing: Crossing, model: str, streamed: bool) -> None:
    question = Question(words="How is the weather?", tools=(WEATHER, CLOCK), choice="none")
    said = crossing.ask(model, question, streamed)
    assert (said.calls, said.text) == ((), crossing.heard_directly(question).text)


THINKING = {
    "words": Question(words="Why?", plan={"reasoning": True}),
    "one tool": Question(words="How warm?", tools=(WEATHER,), plan={"reasoning": True}),
    "two tools": Question(words="When, and how warm?", tools=(WEATHER, CLOCK), plan={"reasoning": True}),
}


@both_ways
@to_each_model
@pytest.mark.parametrize("name", THINKING)
def test_thoughts_are_shown_and_come_back(crossing: Crossing, model: str, streamed: bool, name: str) -> None:
    question = replace(THINKING[name], thinks="budget" if model in BUDGETED else "effort")
    since = crossing.seq
    said = crossing.ask(model, question, streamed)
    assert said.thoughts
    assert said.counts == crossing.vouched(since, said)
    wanted = crossing.heard_directly(question)
    assert (said.text, _calls(said)) == (wanted.text, _calls(wanted))
    if question.tools:
        _go_on(crossing, model, question, streamed, said)
    else:
        crossing.ask(model, question, streamed, [*said.turns, *crossing.client.turns(question)])
