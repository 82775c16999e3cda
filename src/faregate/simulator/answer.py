"""From a request to the answer it gets: pure, and the same each time.

What is said follows from the messages alone (their roles, texts, calls and numbers of images), so the same
question gets the same words streamed or whole, and from any model.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import msgspec

from . import tokens
from .dice import Dice
from .request import Body, ChatBody, CompletionBody
from .schema_instance import instance

_EPOCH_S = 1_790_000_000
_EFFORT_TOKENS = {"none": 0, "minimal": 8, "low": 32, "medium": 64, "high": 128, "xhigh": 256, "max": 512}
_REASONING_TOKENS = 16
_TIERS = {"auto": "default", "fast": "priority"}


class Piece(NamedTuple):
    """What one frame of a stream adds to a choice. `call` is the index of the tool call it belongs to."""

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    tokens: int
    call: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function; `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the `n` answers, as far as it was said."""

    index: int
    pieces: tuple[Piece, ...]
    calls: tuple[ToolCall, ...]
    finish_reason: str

    def said(self, kind: str, call: int = 0) -> str:
        """All pieces of one kind, joined."""
        return "".join(piece.text for piece in self.pieces if piece.kind == kind and piece.call == call)

    @property
    def calls_said(self) -> list[ToolCall]:
        """The tool calls, with as much of their arguments as was said."""
        begun = [piece.call for piece in self.pieces if piece.kind == "call"]
        return [ToolCall(self.calls[at].id, self.calls[at].name, self.said("arguments", at)) for at in begun]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer and the counts the simulator vouches for."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    prompt_tokens: int
    cached_tokens: int
    shows_reasoning: bool = False
    top_logprobs: int | None = None  # None: no log probabilities at all
    service_tier: str = "default"

    @property
    def completion_tokens(self) -> int:
        """All that was generated, hidden reasoning included."""
        return sum(piece.tokens for choice in self.choices for piece in choice.pieces)

    @property
    def reasoning_tokens(self) -> int:
        """The reasoning within completion_tokens."""
        return sum(piece.tokens for choice in self.choices for piece in choice.pieces if piece.kind == "reasoning")


def answer_chat(body: ChatBody) -> Answer:
    """The answer to a chat."""
    plan = body.simulator
    seed = [
        (
            "system" if message.role == "developer" else message.role,
            message.text,
            message.images,
            message.calls,
        )
        for message in body.messages
    ]
    limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
    prompt_tokens = sum(_message_tokens(role, text, images, calls) for role, text, images, calls in seed)
    dice = Dice("chat", seed)
    return Answer(
        id=f"chatcmpl-{dice.hex(32)}",
        created=_EPOCH_S + dice.roll(1_000_000),
        model=plan.answer_model or body.model,
        choices=tuple(
            _choice(index, body, limit, *_chat_pieces(body, Dice("chat", seed, index))) for index in range(body.n or 1)
        ),
        prompt_tokens=prompt_tokens,
        cached_tokens=min(plan.cached_tokens, prompt_tokens),
        shows_reasoning=plan.reasoning,
        top_logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        service_tier=_TIERS.get(body.service_tier or "auto", body.service_tier or "default"),
    )


def answer_completion(body: CompletionBody) -> Answer:
    """The answer to a legacy completion: `n` choices for each prompt."""
    plan = body.simulator
    prompts = body.prompts
    dice = Dice("completion", prompts)
    prompt_tokens = sum(tokens.count(prompt) if isinstance(prompt, str) else len(prompt) for prompt in prompts)
    limit = 16 if body.max_tokens is None and plan.output_tokens is None else body.max_tokens
    choices = []
    for prompt in prompts:
        for _ in range(body.n or 1):
            said = _words(body, Dice("completion", prompt, len(choices)), "")
            choices.append(_choice(len(choices), body, limit, said, ()))
    return Answer(
        id=f"cmpl-{dice.hex(32)}",
        created=_EPOCH_S + dice.roll(1_000_000),
        model=plan.answer_model or body.model,
        choices=tuple(choices),
        prompt_tokens=prompt_tokens,
        cached_tokens=min(plan.cached_tokens, prompt_tokens),
        top_logprobs=body.logprobs,
    )


def _message_tokens(_role: str, text: str, images: int, calls: list[tuple[str, str]]) -> int:
    called = sum(tokens.count(name) + tokens.count(arguments) for name, arguments in calls)
    return tokens.MESSAGE_TOKENS + tokens.count(text) + tokens.IMAGE_TOKENS * images + called


def _choice(index: int, body: Body, limit: int | None, pieces: list[Piece], calls: tuple[ToolCall, ...]) -> Choice:
    """`pieces` up to the caller's limit."""
    reason = "tool_calls" if calls and not _named_function(body) else "stop"
    if limit is not None and not body.simulator.ignore_max_tokens:
        said = 0
        for position, piece in enumerate(pieces):
            said += piece.tokens
            if said > limit:
                return Choice(index, tuple(pieces[:position]), calls, "length")
    return Choice(index, tuple(pieces), calls, reason)


def _chat_pieces(body: ChatBody, dice: Dice) -> tuple[list[Piece], tuple[ToolCall, ...]]:
    plan = body.simulator
    thought = _EFFORT_TOKENS.get(body.reasoning_effort or "none", 0)
    if plan.reasoning and not thought:
        thought = _REASONING_TOKENS
    pieces = [Piece("reasoning", token, 1) for token in dice.tokens(thought)]
    calls = _tool_calls(body, dice) if plan.text is None else ()
    for at, call in enumerate(calls):
        pieces.append(Piece("call", "", tokens.count(call.name), at))
        pieces += [Piece("arguments", token, 1, at) for token in tokens.split(call.arguments)]
    if not calls:
        pieces += _text_pieces(body, dice)
    return pieces, calls


def _text_pieces(body: ChatBody, dice: Dice) -> list[Piece]:
    form = body.response_format or {}
    kind = form.get("type")
    if body.simulator.text is None and kind in ("json_object", "json_schema"):
        value: Any = {"answer": dice.word(), "count": dice.roll(100), "certain": dice.roll(2) == 1}
        if kind == "json_schema":
            value = instance((form.get("json_schema") or {}).get("schema"), dice)
        return [Piece("text", token, 1) for token in tokens.split(msgspec.json.encode(value).decode())]
    images = sum(message.images for message in body.messages)
    opening = f"I see {images} image{'s' if images > 1 else ''}." if images else ""
    return _words(body, dice, opening)


def _words(body: Body, dice: Dice, opening: str) -> list[Piece]:
    """The text: the plan's, or words of our own after `opening`, up to the first stop sequence."""
    plan = body.simulator
    if plan.text is not None:
        said = tokens.split(plan.text)
    else:
        first = tokens.split(opening)
        size = 8 + dice.roll(56) if plan.output_tokens is None else plan.output_tokens
        words = dice.tokens(max(0, size - len(first)))
        if first and words:
            words[0] = f" {words[0]}"
        said = (first + words)[:size]
    stops = [found for stop in body.stops if stop and (found := "".join(said).find(stop)) >= 0]
    if stops:
        said = tokens.split("".join(said)[: min(stops)])
    return [Piece("text", token, 1) for token in said]


def _named_function(body: Body) -> str | None:
    """The one function that the caller insists on. Such an answer ends with `stop`, as OpenAI's does."""
    choice = body.tool_choice if isinstance(body, ChatBody) else None
    if isinstance(choice, dict) and choice.get("type") == "function":
        return (choice.get("function") or {}).get("name")
    return None


def _tool_calls(body: ChatBody, dice: Dice) -> tuple[ToolCall, ...]:
    functions = [tool["function"] for tool in body.tools or () if isinstance(tool.get("function"), dict)]
    choice = body.tool_choice
    if not functions or choice == "none":
        return ()
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("allowed_tools") or {}
        names = {(tool.get("function") or {}).get("name") for tool in allowed.get("tools") or ()}
        functions = [function for function in functions if function.get("name") in names]
        choice = allowed.get("mode")
    named = _named_function(body)
    if named is not None:
        functions = [function for function in functions if function.get("name") == named]
    elif choice != "required" and body.messages[-1].role in ("tool", "function"):
        return ()
    count = 1 if named is not None or body.parallel_tool_calls is False else 2
    return tuple(
        ToolCall(
            f"call_{dice.hex(24)}",
            str(function.get("name", "")),
            msgspec.json.encode(instance(function.get("parameters") or {"type": "object"}, dice)).decode(),
        )
        for function in functions[:count]
    )
