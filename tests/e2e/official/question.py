"""A question in no SDK's terms, and what was said to it."""

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import BaseModel


class Tool(NamedTuple):
    """A function that may be called."""

    name: str
    description: str
    parameters: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What to ask. `before` are turns that were said, the user's first; `plan` is for the simulator (faults.py), and
    stands in the user's words so that every translation carries it; `form` is what the answer shall be;
    `thinks` is how it is told to think, where the SDK has both ways."""

    words: str = "Hello"
    before: tuple[str, ...] = ()
    system: str | None = None
    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "none", "required"] | None = None
    form: type[BaseModel] | None = None
    thinks: Literal["", "effort", "budget"] = ""
    limit: int = 4000
    plan: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def prompt(self) -> str:
        """The user's words with the plan."""
        return f"{self.words} #simulator {json.dumps(self.plan)}" if self.plan else self.words


class Call(NamedTuple):
    """A call of a tool."""

    id: str
    name: str
    arguments: dict[str, Any]


class Counts(NamedTuple):
    """Tokens: all of the prompt, those of it from a cache, all that was generated, those of it that were thought."""

    prompt: int
    cached: int
    generated: int
    thought: int | None


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer. `pieces` is how many pieces of text a stream had; `end` is why it ended, in the SDK's word; `parsed`
    is the instance of the form that the SDK made; `turns` is the conversation with the answer, in the SDK's objects."""

    text: str
    end: str
    model: str
    counts: Counts
    turns: list[Any]
    thoughts: str = ""
    calls: tuple[Call, ...] = ()
    parsed: Any = None
    pieces: int = 0


class Official(Protocol):
    """An official SDK. `ends` are its words for an answer that is complete, that calls tools, that was cut short;
    `refusals` its exceptions by the status, `broken` the one of an answer that does not come, or not to its end;
    `nobodys` is a conversation that nobody takes, `blind` one with a picture that is none, and where it stands."""

    ends: ClassVar[tuple[str, str, str]]
    refusals: ClassVar[dict[int, type[Exception]]]
    broken: ClassVar[type[Exception]]
    nobodys: ClassVar[list[Any]]
    blind: ClassVar[tuple[list[Any], str]]

    def __init__(self, origin: str, key: str) -> None:
        """A client of what serves at `origin`, `http://host:port`."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...

    def turns(self, question: Question) -> list[Any]:
        """The conversation that a question begins."""
        ...

    def results(self, said: Said, results: dict[str, str]) -> list[Any]:
        """The conversation with what the called tools gave, by their names."""
        ...

    def whole(self, model: str, question: Question, turns: list[Any]) -> Said:
        """The next answer."""
        ...

    def stream(self, model: str, question: Question, turns: list[Any]) -> Said:
        """The next answer, streamed by the SDK's helper."""
        ...

    def count(self, model: str, question: Question) -> int | None:
        """How many tokens the question is; None where the SDK does not ask."""
        ...
