"""From a question to the answer it gets: pure, and the same each time.

What is said follows from the turns alone (their roles, texts, calls and numbers of images), so the same question
gets the same words streamed or whole, from any model and over any wire.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec

from . import tokens
from .dice import Dice
from .question import Function, Question, Turn
from .schema_instance import instance

_EPOCH_S = 1_790_000_000
_REASONING_TOKENS = 16
_LEGACY_LIMIT_TOKENS = 16


class Piece(NamedTuple):
    """What one frame of a stream adds to a choice. `call` is the index of the tool call it belongs to."""

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    tokens: int
    call: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON text. A wire makes its id of `key`."""

    key: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several answers, as far as it was said. `finish_reason` is `stop`, `length`, `tool_calls`, or what the
    plan has in its place; `stopped_by` is the stop sequence that ended it."""

    index: int
    pieces: tuple[Piece, ...]
    calls: tuple[ToolCall, ...]
    finish_reason: str
    stopped_by: str | None = None

    def said(self, kind: str, call: int = 0) -> str:
        """All pieces of one kind, joined."""
        return "".join(piece.text for piece in self.pieces if piece.kind == kind and piece.call == call)

    @property
    def reasoning_tokens(self) -> int:
        """How long it was thought, shown or not."""
        return sum(piece.tokens for piece in self.pieces if piece.kind == "reasoning")

    @property
    def calls_said(self) -> list[ToolCall]:
        """The tool calls, with as much of their arguments as was said."""
        begun = [piece.call for piece in self.pieces if piece.kind == "call"]
        return [ToolCall(self.calls[at].key, self.calls[at].name, self.said("arguments", at)) for at in begun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and the counts the simulator vouches for. Of the prompt's tokens, `cached_tokens` were read from a
    cache and `written_tokens` put into one; the others are fresh."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int
    written_tokens: int
    written_for_an_hour: bool = False

    @property
    def completion_tokens(self) -> int:
        """All that was generated, hidden reasoning included."""
        return sum(piece.tokens for choice in self.choices for piece in choice.pieces)

    @property
    def reasoning_tokens(self) -> int:
        """The reasoning within completion_tokens."""
        return sum(choice.reasoning_tokens for choice in self.choices)

    @property
    def fresh_tokens(self) -> int:
        """What of the prompt no cache had to do with."""
        return self.prompt_tokens - self.cached_tokens - self.written_tokens


def prompt_tokens(question: Question) -> int:
    """How many tokens a question is."""
    prompts = sum(tokens.count(prompt) if isinstance(prompt, str) else len(prompt) for prompt in question.prompts)
    return prompts + sum(_turn_tokens(turn) for turn in question.turns)


def answer_chat(question: Question) -> Answer:
    """The answer to a conversation."""
    seed = [(turn.role, turn.text, turn.images, list(turn.calls)) for turn in question.turns]
    choices = []
    for index in range(question.choices):
        dice = Dice("chat", seed, index)
        calls = _tool_calls(question, dice) if question.plan.text is None else ()
        pieces, stopped_by = _chat_pieces(question, dice, calls)
        choices.append(_choice(index, question, question.limit, pieces, calls, stopped_by))
    return _answer(question, Dice("chat", seed), choices)


def answer_completion(question: Question) -> Answer:
    """The answer to a legacy completion: several choices for each prompt."""
    limit = question.limit
    if limit is None and question.plan.output_tokens is None:
        limit = _LEGACY_LIMIT_TOKENS
    choices: list[Choice] = []
    for prompt in question.prompts:
        for _ in range(question.choices):
            said, stopped_by = _words(question, Dice("completion", prompt, len(choices)), "")
            choices.append(_choice(len(choices), question, limit, said, (), stopped_by))
    return _answer(question, Dice("completion", list(question.prompts)), choices)


def answer_embeddings(question: Question) -> Answer:
    """What the embeddings of texts come to: nothing is said, and no cache has to do with them."""
    answer = _answer(question, Dice("embeddings", list(question.prompts)), [])
    return replace(answer, cached_tokens=0, written_tokens=0)


def _answer(question: Question, dice: Dice, choices: list[Choice]) -> Answer:
    plan = question.plan
    prompt = prompt_tokens(question)
    cached = min(plan.cached_tokens, prompt)
    return Answer(
        id=f"{question.id_start}{dice.hex(32)}",
        created=_EPOCH_S + dice.roll(1_000_000),
        model=plan.answer_model or question.model,
        choices=tuple(choices),
        prompt_tokens=prompt,
        cached_tokens=cached,
        written_tokens=min(plan.cache_write_tokens, prompt - cached),
        written_for_an_hour=question.writes_for_an_hour,
    )


def _turn_tokens(turn: Turn) -> int:
    called = sum(tokens.count(name) + tokens.count(arguments) for name, arguments in turn.calls)
    return tokens.MESSAGE_TOKENS + tokens.count(turn.text) + tokens.IMAGE_TOKENS * turn.images + called


def _choice(
    index: int,
    question: Question,
    limit: int | None,
    pieces: list[Piece],
    calls: tuple[ToolCall, ...],
    stopped_by: str | None,
) -> Choice:
    """`pieces` up to the caller's limit."""
    plan = question.plan
    if limit is not None and not plan.ignore_max_tokens:
        said = 0
        for position, piece in enumerate(pieces):
            said += piece.tokens
            if said > limit:
                return Choice(index, tuple(pieces[:position]), calls, plan.finish_reason or "length")
    reason = "tool_calls" if calls else "stop"
    return Choice(index, tuple(pieces), calls, plan.finish_reason or reason, stopped_by)


def _chat_pieces(question: Question, dice: Dice, calls: tuple[ToolCall, ...]) -> tuple[list[Piece], str | None]:
    """What is said, and the stop sequence that ended it."""
    plan = question.plan
    thought = question.thought_tokens or (_REASONING_TOKENS if plan.reasoning else 0)
    pieces = [Piece("reasoning", token, 1) for token in dice.tokens(thought)]
    pieces += [Piece("text", token, 1) for token in tokens.split(plan.opening or "")]
    if not calls:
        said, stopped_by = _text_pieces(question, dice)
        return pieces + said, stopped_by
    for at, call in enumerate(calls):
        pieces.append(Piece("call", "", tokens.count(call.name), at))
        pieces += [Piece("arguments", token, 1, at) for token in tokens.split(call.arguments)]
    return pieces, None


def _text_pieces(question: Question, dice: Dice) -> tuple[list[Piece], str | None]:
    if question.plan.text is None and question.form is not None:
        value: Any = {"answer": dice.word(), "count": dice.roll(100), "certain": dice.roll(2) == 1}
        if question.form != {}:
            value = instance(question.form, dice)
        return [Piece("text", token, 1) for token in tokens.split(msgspec.json.encode(value).decode())], None
    images = sum(turn.images for turn in question.turns)
    opening = f"I see {images} image{'s' if images > 1 else ''}." if images else ""
    return _words(question, dice, opening)


def _words(question: Question, dice: Dice, opening: str) -> tuple[list[Piece], str | None]:
    """The text: the plan's, or words of our own after `opening`, up to the first stop sequence; and which it was."""
    plan = question.plan
    if plan.text is not None:
        said = tokens.split(plan.text)
    else:
        first = tokens.split(opening)
        size = 8 + dice.roll(56) if plan.output_tokens is None else plan.output_tokens
        words = dice.tokens(max(0, size - len(first)))
        if first and words:
            words[0] = f" {words[0]}"
        said = (first + words)[:size]
    whole = "".join(said)
    stops = [(found, stop) for stop in question.stops if stop and (found := whole.find(stop)) >= 0]
    end, stopped_by = min(stops, default=(len(whole), None))
    if stopped_by is not None:
        said = tokens.split(whole[:end])
    return [Piece("text", token, 1) for token in said], stopped_by


def _tool_calls(question: Question, dice: Dice) -> tuple[ToolCall, ...]:
    functions = question.functions
    if not functions or question.tools == "none":
        return ()
    if question.named is not None:
        functions = tuple(function for function in functions if function.name == question.named)
    elif question.tools != "required" and question.turns[-1].role in ("tool", "function"):
        return ()
    count = 1 if question.named is not None or not question.parallel else 2
    return tuple(_call(function, dice) for function in functions[:count])


def _call(function: Function, dice: Dice) -> ToolCall:
    key = dice.hex(24)
    arguments = instance(function.parameters or {"type": "object"}, dice)
    return ToolCall(key, function.name, msgspec.json.encode(arguments).decode())
