"""A gateway before the simulator on each of its wires, and official SDKs before the gateway.

The simulator says the same to the same question on every wire, and vouches for the tokens. So what an SDK hears
through the gateway is compared with what OpenAI's hears from the simulator itself, and with its log.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.official.chat import Chat
from tests.e2e.official.question import Counts, Official, Question, Said
from tests.running.processes import Simulator

# By what is spoken: the path under which the simulator has it, and the catalogue's models that are served by it.
UPSTREAMS: dict[str, tuple[str, list[str]]] = {
    "openai_chat": ("/v1", ["gpt-5.4"]),
    "openai_responses": ("/v1", ["gpt-5.4-mini"]),
    "anthropic_messages": ("/v1", ["claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"]),
    "cohere_chat": ("/v2", ["command-a-plus-05-2026"]),
    "gemini_generate": ("/v1beta", ["gemini-3-flash-preview", "gemini-2.5-flash"]),
    "bedrock_converse": ("", ["claude-opus-4-5", "claude-opus-5"]),
}
# What the simulator's log calls the wires.
WIRES = {
    "openai_chat": "openai_chat",
    "openai_responses": "responses",
    "anthropic_messages": "anthropic",
    "cohere_chat": "cohere",
    "gemini_generate": "gemini",
    "bedrock_converse": "bedrock",
    "mistral": "mistral",
}
# What Amazon Bedrock calls them: an inference profile, and the ARN of one.
BEDROCK_MODELS = {
    "claude-opus-4-5": "us.anthropic.claude-opus-4-5-20251101-v1:0",
    "claude-opus-5": "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-opus-5",
}
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "simulator-secret-key",
    "AWS_SESSION_TOKEN": "t0k3n",
}
# By row: hosts that say some of it otherwise.
HOSTS: dict[str, tuple[str, list[str]]] = {"mistral": ("/mistral/v1", ["mistral-medium-3-5"])}
_SERVED = [models for _, models in (*UPSTREAMS.values(), *HOSTS.values())]
FIRST_MODELS = [models[0] for models in _SERVED]
# These are told to think by a budget, and know no effort. The budget is as long as the effort: the words follow it.
BUDGETED = {"claude-haiku-4-5", "claude-opus-4-5", "command-a-plus-05-2026", "gemini-2.5-flash"}
# These do not say how much of what they generated was thought.
UNTOLD = {*UPSTREAMS["bedrock_converse"][1], *UPSTREAMS["cohere_chat"][1]}
ALL_MODELS = [model for models in _SERVED for model in models]

both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
to_each_dialect = pytest.mark.parametrize("model", FIRST_MODELS)
to_each_model = pytest.mark.parametrize("model", ALL_MODELS)


@dataclass(frozen=True)
class Crossing:
    """A gateway before the simulator, an SDK before the gateway, the same as OpenAI's before the simulator."""

    client: Official
    direct: Chat
    simulator: Simulator
    heard: dict[str, Said]

    def ask(self, model: str, question: Question, streamed: bool, turns: list[Any] | None = None) -> Said:
        ask = self.client.stream if streamed else self.client.whole
        return ask(model, question, self.client.turns(question) if turns is None else turns)

    def heard_directly(self, question: Question) -> Said:
        """What the simulator says to the same question without a gateway, to a model that takes everything."""
        return self.told_directly(question, self.direct.turns(question))

    def told_directly(self, question: Question, turns: list[Any]) -> Said:
        """What it says next in a conversation of the other client."""
        key = f"{question} {turns}"
        if key not in self.heard:
            self.heard[key] = self.direct.whole("any-model", question, turns)
        return self.heard[key]

    @property
    def seq(self) -> int:
        return self.simulator.get("/simulator/truth")["last_seq"]

    def truth(self, since: int) -> dict[str, Any]:
        """The log's one entry after `since`."""
        (entry,) = self.simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=5000")["entries"]
        return entry

    def vouched(self, since: int, said: Said) -> Counts:
        """What the log has for the tokens of an answer; of those thought only what the SDK tells, and what the
        provider does."""
        entry = self.truth(since)
        thought = None if said.counts.thought is None else 0 if said.model in UNTOLD else entry["reasoning_tokens"]
        return Counts(entry["prompt_tokens"], entry["cached_tokens"], entry["completion_tokens"], thought)


def settings_of(simulator: Simulator) -> str:
    """One provider for each dialect and each host, all of them the simulator."""
    return "\n".join(_settings_of(simulator, *served) for served in (UPSTREAMS | HOSTS).items())


def _settings_of(simulator: Simulator, name: str, served: tuple[str, list[str]]) -> str:
    path, models = served
    table = f'[providers.{name}]\nbase_url = "http://127.0.0.1:{simulator.port}{path}"\n'
    if name == "bedrock_converse":
        routes = [
            f'[[routes]]\nmodel = "{model}"\nprovider = "{name}"\nupstream_model = "{BEDROCK_MODELS[model]}"\n'
            for model in models
        ]
        return f'{table}kind = "bedrock"\nregion = "eu-west-1"\n' + "".join(routes)
    said = f'dialect = "{name}"\n' if name in UPSTREAMS else ""
    return f'{table}key = "simulator-key"\n{said}models = {json.dumps(models)}\n'
