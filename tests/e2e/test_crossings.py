"""Every official SDK before a provider of every dialect: what it asks, and what its own helpers make of the answer.

The simulator says the same to the same question on every wire, and vouches for the tokens. So what an SDK hears
through the gateway is compared with what OpenAI's hears from the simulator itself, and with its log.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tests.running.processes import Gateway, Simulator

from .official import CLIENTS
from .official.chat import Chat
from .official.gemini import Gemini
from .official.question import Counts, Official, Question, Said, Tool

# By dialect: the path under which the simulator has it, and the catalogue's models that are served by it.
UPSTREAMS: dict[str, tuple[str, list[str]]] = {
    "openai_chat": ("/v1", ["gpt-5.4"]),
    "openai_responses": ("/v1", ["gpt-5.4-mini"]),
    "anthropic_messages": ("/v1", ["claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"]),
    "gemini_generate": ("/v1beta", ["gemini-3-flash-preview", "gemini-2.5-flash"]),
}
FIRST_MODELS = [models[0] for _, models in UPSTREAMS.values()]
# These are told to think by a budget, and know no effort. The budget is as long as the effort: the words follow it.
BUDGETED = {"claude-haiku-4-5", "gemini-2.5-flash"}
ALL_MODELS = [model for _, models in UPSTREAMS.values() for model in models]

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


class Address(BaseModel):
    street: str
    number: int
    kind: Literal["home", "work"]


class Person(BaseModel):
    name: str
    age: int | None
    addresses: list[Address]
    active: bool


QUESTIONS = {
    "plain": Question(words="Grüße, 世界 👋"),
    "system": Question(words="Who are you?", system="Be brief."),
    "history": Question(words="And now?", before=("Hi", "Hello, what is it?"), system="Be exact."),
    "said exactly": Question(plan={"text": '  two  spaces\n\n"quotes" \\ and\ttabs, 日本語 👩‍👩‍👧\n'}),
    "cached": Question(words="A long prompt, cached in part", plan={"cached_tokens": 3}),
}
"""What is only said."""


@dataclass(frozen=True)
class Crossing:
    """A gateway before the simulator, an SDK before the gateway, the same as OpenAI's before the simulator."""

    client: Official
    direct: Chat
    simulator: Simulator

    def ask(self, model: str, question: Question, streamed: bool, turns: list[Any] | None = None) -> Said:
        ask = self.client.stream if streamed else self.client.whole
        return ask(model, question, self.client.turns(question) if turns is None else turns)

    def heard_directly(self, question: Question) -> Said:
        """What the simulator says to the same question without a gateway, to a model that takes everything."""
        return self.direct.whole("any-model", question, self.direct.turns(question))

    @property
    def seq(self) -> int:
        return self.simulator.get("/simulator/truth")["last_seq"]

    def truth(self, since: int) -> dict[str, Any]:
        """The log's one entry after `since`."""
        (entry,) = self.simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=5000")["entries"]
        return entry


@pytest.fixture(scope="module")
def crossing_gateway(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """One provider for each dialect, all of them the simulator."""
    tables = [
        f'[providers.{dialect}]\nbase_url = "http://127.0.0.1:{simulator.port}{path}"\nkey = "simulator-key"\n'
        f'dialect = "{dialect}"\nmodels = {json.dumps(models)}\n'
        for dialect, (path, models) in UPSTREAMS.items()
    ]
    process = Gateway(session_folder, "\n".join(tables))
    yield process
    process.stop()
    crashes = [line for line in process.log_lines() if line.get("event") == "crash"]
    assert not crashes, f"{len(crashes)} crashes, the first of them: {crashes[0]}"


@pytest.fixture(scope="module")
def direct(simulator: Simulator) -> Iterator[Chat]:
    """OpenAI's SDK before the simulator."""
    client = Chat(simulator.base_url.removesuffix("/v1"), "key")
    yield client
    client.close()


@pytest.fixture(scope="module", params=CLIENTS)
def crossing(
    request: pytest.FixtureRequest, crossing_gateway: Gateway, simulator: Simulator, direct: Chat
) -> Iterator[Crossing]:
    """Each SDK in turn."""
    client = CLIENTS[request.param](crossing_gateway.base_url.removesuffix("/v1"), crossing_gateway.key)
    yield Crossing(client, direct, simulator)
    client.close()


to_each_dialect = pytest.mark.parametrize("model", FIRST_MODELS)
to_each_model = pytest.mark.parametrize("model", ALL_MODELS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


@both_ways
@to_each_dialect
@pytest.mark.parametrize("name", QUESTIONS)
def test_the_words_and_the_tokens_are_the_providers(crossing: Crossing, model: str, streamed: bool, name: str) -> None:
    question = QUESTIONS[name]
    wanted = crossing.heard_directly(question)
    since = crossing.seq
    said = crossing.ask(model, question, streamed)
    assert said.text == wanted.text
    assert (said.end, said.model) == (crossing.client.ends[0], model)
    assert said.counts == _vouched(crossing.truth(since), said)
    assert not streamed or said.pieces > 1
    assert not said.calls and not said.thoughts


def _vouched(entry: dict[str, Any], said: Said) -> Counts:
    thought = None if said.counts.thought is None else entry["reasoning_tokens"]
    return Counts(entry["prompt_tokens"], entry["cached_tokens"], entry["completion_tokens"], thought)


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
    assert final.counts == _vouched(crossing.truth(since), final)
    direct = crossing.heard_directly(question)
    told = {name: _as_told(result, crossing, model) for name, result in RESULTS.items()}
    wanted = crossing.direct.whole("any-model", asked, crossing.direct.results(direct, told))
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


@both_ways
@to_each_model
@pytest.mark.parametrize("words", ["Anna", "Bert"])
def test_an_answer_has_the_form_that_was_asked_for(crossing: Crossing, model: str, streamed: bool, words: str) -> None:
    said = crossing.ask(model, Question(words=words, form=Person), streamed)
    assert isinstance(said.parsed, Person)
    assert said.parsed == Person.model_validate_json(said.text)
    assert said.end == crossing.client.ends[0]


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
    assert said.counts == _vouched(crossing.truth(since), said)
    wanted = crossing.heard_directly(question)
    assert (said.text, _calls(said)) == (wanted.text, _calls(wanted))
    if question.tools:
        _go_on(crossing, model, question, streamed, said)
    else:
        crossing.ask(model, question, streamed, [*said.turns, *crossing.client.turns(question)])


@both_ways
@to_each_dialect
def test_an_answer_that_is_cut_short_says_so(crossing: Crossing, model: str, streamed: bool) -> None:
    said = crossing.ask(model, Question(limit=16, plan={"output_tokens": 40}), streamed)
    assert said.end == crossing.client.ends[2]
    assert said.counts.generated == 16
