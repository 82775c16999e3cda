"""Cases as data, in the form of fixtures/translation_cases.jsonl: a client's request, what the provider is to be asked,
what it answers, what the client is to see.

Every case has a model of its own, so that one gateway serves them all: the `m` of a case's requests and expectations
stands for it. The form: fixtures/translation_cases_check.py is its matcher, and README.md beside this file tells more.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures"
CASE_FILES = (FIXTURES / "translation_cases.jsonl", FIXTURES / "more_translation_cases.jsonl")

# What the files call the dialects that clients speak, and what Faregate calls them.
DIALECTS = {
    "openai": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic": "anthropic_messages",
    "gemini": "gemini_generate",
}
# What providers speak beside them, and no client does.
UPSTREAMS = {**DIALECTS, "cohere": "cohere_chat", "bedrock": "bedrock_converse"}
# What a provider of each calls the model.
UPSTREAM_MODELS = {
    "openai": "gpt-up",
    "openai-responses": "gpt-up",
    "anthropic": "claude-up",
    "cohere": "command-up",
    "gemini": "gemini-up",
    "bedrock": "anthropic.claude-up",
}
# Facts of a model that are called otherwise in Faregate's settings.
_CAPABILITY_NAMES = {"max_tokens_field": "output_member"}
_CAPABILITY_VALUES = {("thought_signatures", "required"): True}
_MODEL_FACTS = ("max_output_tokens", "context_window")

_PLACEHOLDER = "m"


@dataclass(frozen=True)
class Case:
    """One case. `said` is what its file says of it; `wire` is how the provider's wire is taken."""

    said: dict[str, Any]
    wire: str = "compatible"

    @property
    def name(self) -> str:
        return self.said["name"] if self.wire == "compatible" else f"{self.said['name']}-{self.wire}"

    @property
    def client(self) -> str:
        return self.said["client_dialect"]

    @property
    def upstream(self) -> str:
        return self.said["upstream_dialect"]

    @property
    def is_translated(self) -> bool:
        return self.client != self.upstream

    @property
    def model(self) -> str:
        return f"m-{self.name}"

    @property
    def upstream_model(self) -> str:
        return UPSTREAM_MODELS[self.upstream]

    @property
    def request(self) -> dict[str, Any]:
        """The client's request, with the case's own model."""
        given = dict(self.said["request"])
        given["path"] = given["path"].replace(f"/models/{_PLACEHOLDER}:", f"/models/{self.model}:")
        return self._named(given)

    def expected(self, member: str) -> Any:
        """What is expected, with the case's own model; None where nothing is."""
        return self._named(self.said.get(member))

    @property
    def model_facts(self) -> dict[str, int]:
        """What the settings say of the model beside its capabilities."""
        return {name: value for name, value in self.said.get("model_caps", {}).items() if name in _MODEL_FACTS}

    @property
    def capabilities(self) -> dict[str, Any]:
        """The model's capabilities as the settings have them."""
        given = {name: value for name, value in self.said.get("model_caps", {}).items() if name not in _MODEL_FACTS}
        return {
            _CAPABILITY_NAMES.get(name, name): _CAPABILITY_VALUES.get((name, value), value)
            for name, value in given.items()
        }

    def _named(self, value: Any) -> Any:
        """`value` with the model's own name in the members that hold it."""
        if isinstance(value, list):
            return [self._named(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        names = {_PLACEHOLDER: self.model, f"models/{_PLACEHOLDER}": f"models/{self.model}"}
        return {
            name: names[member]
            if name in ("model", "modelVersion") and isinstance(member, str) and member in names
            else self._named(member)
            for name, member in value.items()
        }


def cases_of(path: Path, wire: str = "compatible") -> list[Case]:
    """The cases of a file, one a line."""
    return [_case_of(json.loads(line), wire) for line in path.read_text("utf-8").splitlines() if line]


def _case_of(said: dict[str, Any], wire: str) -> Case:
    """A case may say itself how the provider's wire is taken."""
    return Case(said, said.get("wire", wire))
