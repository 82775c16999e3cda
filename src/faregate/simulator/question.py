"""What was asked, in no wire's terms: what an answer follows from."""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec

from .faults import Plan

# How long each effort thinks, in tokens; a budget is used up to a part of it, as models do.
EFFORT_TOKENS = {"none": 0, "minimal": 8, "low": 32, "medium": 64, "high": 128, "xhigh": 256, "max": 512}
_BUDGET_PART = 32


class Turn(NamedTuple):
    """One message, or the result of one tool. `calls` are names and arguments as JSON text."""

    role: Literal["system", "user", "assistant", "tool", "function"]
    text: str
    images: int = 0
    calls: tuple[tuple[str, str], ...] = ()


class Function(NamedTuple):
    """A tool that may be called, and the JSON Schema of its arguments."""

    name: str
    parameters: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request understood. `named` is the one function the caller insists on; `form` is the JSON Schema of the
    answer, or `{}` for any JSON object; `thought_tokens` is how long the model thinks first. A legacy completion and
    embeddings have `prompts`, each a text or a list of tokens, and no turns."""

    model: str
    id_start: str
    stream: bool = False
    turns: tuple[Turn, ...] = ()
    prompts: tuple[str | list[int], ...] = ()
    plan: Plan = field(default_factory=Plan)
    choices: int = 1
    limit: int | None = None
    stops: tuple[str, ...] = ()
    functions: tuple[Function, ...] = ()
    tools: Literal["auto", "none", "required"] = "auto"
    named: str | None = None
    parallel: bool = True
    form: Any = None
    thought_tokens: int = 0
    writes_for_an_hour: bool = False


def budget_tokens(budget: int) -> int:
    """How long a model with a budget of that many tokens thinks."""
    return min(EFFORT_TOKENS["max"], budget // _BUDGET_PART)


def arguments_text(arguments: Any) -> str:
    """The arguments of a call as JSON text, whichever way they came: an object, or a text that may be none."""
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except (msgspec.DecodeError, RecursionError):
            return arguments
    return msgspec.json.encode(arguments).decode()
