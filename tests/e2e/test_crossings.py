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
from .official.question import Counts, Official, Question, Said, Tool

# By dialect: the path under which the simulator has it, and the catalogue's models that are served by it.
UPSTREAMS: dict[str, tuple[str, list[str]]] = {
    "openai_chat": ("/v1", ["gpt-5.4"]),
    "openai_responses": ("/v1", ["gpt-5.4-mini"]),
    "anthropic_messages": ("/v1", ["claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"]),
    "gemini_generate": ("/v1beta", ["gemini-3-flash-preview", "gemini-2.5-flash"]),
}
FIRST_MODELS = [models[0] for _, models in UPSTREAMS.values()]
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
