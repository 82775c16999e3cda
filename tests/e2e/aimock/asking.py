"""A gateway before aimock on four wires, and official SDKs before the gateway.

aimock was written by others, who read the providers' documents for themselves: a mistake that the simulator shares with
the gateway is none that it shares too. It says what replies.json has for a prompt. Its Responses leave out members of
`usage`, its Gemini the model's name, and ends calls with a reason that Gemini does not have: neither is `exact`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from tests.e2e.official.gemini import Gemini
from tests.e2e.official.question import Official, Question, Said, Tool
from tests.e2e.processes import Aimock


class Served(NamedTuple):
    """How a model is served."""

    path: str
    dialect: str
    wire: str
    model: str
    thinks: str


UPSTREAMS = {
    "chat": Served("/v1", "openai_chat", "exact", "gpt-5.4", "effort"),
    "chat-compatible": Served("/v1", "openai_chat", "compatible", "o3", "effort"),
    "responses": Served("/v1", "openai_responses", "compatible", "gpt-5.4-mini", "effort"),
    "messages": Served("/v1", "anthropic_messages", "exact", "claude-haiku-4-5", "budget"),
    "gemini": Served("/v1beta", "gemini_generate", "compatible", "gemini-2.5-flash", "budget"),
}
to_each = pytest.mark.parametrize("upstream", UPSTREAMS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])

WEATHER = Tool(
    "get_weather",
    "The weather of a city",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["city", "unit"],
        "additionalProperties": False,
    },
)
TIME = Tool("get_time", "The time in a city", {"type": "object", "properties": {"city": {"type": "string"}}})
BELL = Tool("ring_bell", "Rings", {"type": "object", "properties": {}})


@dataclass(frozen=True)
class Asking:
    """An SDK, aimock behind the gateway, and what it says."""

    client: Official
    aimock: Aimock
    replies: dict[str, Any]

    def ask(self, upstream: str, question: Question, streamed: bool, turns: list[Any] | None = None) -> Said:
        ask = self.client.stream if streamed else self.client.whole
        turns = self.client.turns(question) if turns is None else turns
        return ask(UPSTREAMS[upstream].model, question, turns)

    def is_believed(self, upstream: str) -> bool:
        """Whether what aimock's Gemini gets wrong goes through: to Gemini's own clients, as it came."""
        return upstream == "gemini" and isinstance(self.client, Gemini)

    def question(self, name: str, **more: Any) -> Question:
        """The question whose reply has a name."""
        return Question(words=self.replies[name]["prompt"], **more)

    def messages(self) -> list[dict[str, Any]]:
        """The turns that reached aimock last, in OpenAI's form, into which it brings those of every wire."""
        return self.aimock.last_body()["messages"]

    def assert_counted(self, said: Said, name: str) -> None:
        """The SDK hears the tokens that the reply has."""
        usage = self.replies[name]["usage"]
        assert (said.counts.prompt, said.counts.generated) == (usage["prompt_tokens"], usage["completion_tokens"])
