"""The numbers of an answer's usage, honest or as a fault has them; a wire gives them its own names."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .answer import Answer
from .faults import Usage

_ABSURD_TOKENS = 10**18
_OVER_PROMPT_TOKENS = 1000
_FORMS: dict[str, Callable[[int], Any]] = {"string": str, "float": lambda tokens: tokens + 0.5}


class Counts(NamedTuple):
    """What is said of usage. `prompt` is all of the input, of which `fresh`, `cached` and `written` are the parts;
    `reasoning` is part of `completion`. `form` makes of each number what is written."""

    prompt: int
    fresh: int
    cached: int
    written: int
    completion: int
    reasoning: int
    form: Callable[[int], Any]


def counts(answer: Answer, fault: Usage | None, said: int | None = None) -> Counts:
    """The numbers of `answer`, or what a fault makes of them; `said`, completion tokens so far where not all."""
    prompt, fresh, cached = answer.prompt_tokens, answer.fresh_tokens, answer.cached_tokens
    completion = answer.completion_tokens if said is None else said
    reasoning = min(answer.reasoning_tokens, completion)
    if fault == "cached_over_prompt":
        cached = prompt + _OVER_PROMPT_TOKENS
    elif fault == "negative":
        prompt, fresh, completion = -prompt, -fresh, -completion
    elif fault == "absurd":
        prompt = fresh = completion = _ABSURD_TOKENS
    return Counts(prompt, fresh, cached, answer.written_tokens, completion, reasoning, _FORMS.get(fault or "", int))
