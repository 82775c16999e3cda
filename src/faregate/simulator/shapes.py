"""Answers in OpenAI's shapes: chat and legacy completions, whole and streamed, models, errors, usage."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .answer import Answer, Choice, Piece, ToolCall
from .dice import Dice
from .faults import Frame, Usage

_ABSURD_TOKENS = 10**18
_OVER_PROMPT_TOKENS = 1000
_COUNT_FORMS: dict[str, Callable[[int], Any]] = {"string": str, "float": lambda tokens: tokens + 0.5}


def encode(value: Any) -> bytes:
    """JSON."""
    return msgspec.json.encode(value)


def error(message: str, kind: str, param: str | None = None, code: str | None = None) -> bytes:
    """An error body."""
    return encode({"error": {"message": message, "type": kind, "param": param, "code": code}})


def fingerprint(model: str) -> str:
    """The system_fingerprint of a model."""
    return f"fp_{hashlib.blake2b(model.encode(), digest_size=5).hexdigest()}"


def usage(answer: Answer, fault: Usage | None, said: int | None = None) -> dict[str, Any] | None:
    """The usage object, or what a fault makes of it; `said`, completion tokens so far where not all."""
    prompt, cached = answer.prompt_tokens, answer.cached_tokens
    completion = answer.completion_tokens if said is None else said
    reasoning = min(answer.reasoning_tokens, completion)
    if fault == "null":
        return None
    if fault == "cached_over_prompt":
        cached = prompt + _OVER_PROMPT_TOKENS
    elif fault == "negative":
        prompt, completion = -prompt, -completion
    elif fault == "absurd":
        prompt = completion = _ABSURD_TOKENS
    form = _COUNT_FORMS.get(fault or "", int)
    return {
        "prompt_tokens": form(prompt),
        "completion_tokens": form(completion),
        "total_tokens": form(prompt + completion),
        "prompt_tokens_details": {"cached_tokens": form(cached), "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": form(reasoning),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def model(name: str, created_s: int, owner: str) -> dict[str, Any]:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": created_s, "owned_by": owner}


# Whole answers.


def chat_completion(answer: Answer, fault: Usage | None, *, finish: bool = True) -> dict[str, Any]:
    """A chat.completion."""
    return {
        "id": answer.id,
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {
                "index": choice.index,
                "message": _message(answer, choice),
                "logprobs": _chat_logprobs(answer, choice, [p for p in choice.pieces if p.kind == "text"]),
                "finish_reason": choice.finish_reason if finish else None,
            }
            for choice in answer.choices
        ],
        **({} if fault == "absent" else {"usage": usage(answer, fault)}),
        "service_tier": answer.service_tier,
        "system_fingerprint": fingerprint(answer.model),
    }


def text_completion(answer: Answer, fault: Usage | None, *, finish: bool = True) -> dict[str, Any]:
    """A text_completion."""
    return {
        "id": answer.id,
        "object": "text_completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            _text_choice(answer, choice, list(choice.pieces), 0, choice.finish_reason if finish else None)
            for choice in answer.choices
        ],
        **({} if fault == "absent" else {"usage": usage(answer, fault)}),
        "system_fingerprint": fingerprint(answer.model),
    }


def _message(answer: Answer, choice: Choice) -> dict[str, Any]:
    calls = [_call(call, call.arguments) for call in choice.calls_said]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": None if calls else choice.said("text"),
        "refusal": None,
        "annotations": [],
    }
    if answer.shows_reasoning:
        message["reasoning_content"] = choice.said("reasoning")
    if calls:
        message["tool_calls"] = calls
    return message


def _call(call: ToolCall, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


# Log probabilities: made up, but never above zero, and the token said is the likeliest.


def _logprob(answer: Answer, choice: Choice, token: str, rank: int) -> float:
    return -round((Dice(answer.id, choice.index, token).roll(1000) + 1) / 4000 + rank * 1.25, 6)


def _alternatives(answer: Answer, choice: Choice, token: str) -> list[tuple[str, float]]:
    dice = Dice(answer.id, choice.index, token, "others")
    others = [f" {dice.word()}{rank}" for rank in range(1, answer.top_logprobs or 0)]
    return [
        (other, _logprob(answer, choice, token, rank))
        for rank, other in enumerate([token, *others][: answer.top_logprobs or 0])
    ]


def _chat_logprobs(answer: Answer, choice: Choice, pieces: list[Piece]) -> dict[str, Any] | None:
    if answer.top_logprobs is None or not pieces:
        return None

    def entry(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    content = [
        {
            **entry(piece.text, _logprob(answer, choice, piece.text, 0)),
            "top_logprobs": [entry(*other) for other in _alternatives(answer, choice, piece.text)],
        }
        for piece in pieces
    ]
    return {"content": content, "refusal": None}


def _text_choice(
    answer: Answer, choice: Choice, pieces: list[Piece], offset: int, finish_reason: str | None
) -> dict[str, Any]:
    """One choice of a legacy completion; `offset` is where in the text its pieces begin."""
    logprobs = None
    if answer.top_logprobs is not None and pieces:
        offsets = itertools.accumulate((len(piece.text) for piece in pieces[:-1]), initial=offset)
        logprobs = {
            "tokens": [piece.text for piece in pieces],
            "token_logprobs": [_logprob(answer, choice, piece.text, 0) for piece in pieces],
            "top_logprobs": [dict(_alternatives(answer, choice, piece.text)) for piece in pieces],
            "text_offset": list(offsets),
        }
    return {
        "text": "".join(piece.text for piece in pieces),
        "index": choice.index,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }


# Streams.


class _Chunks:
    """Makes the frames of one stream; `with_usage` says whether the caller asked for it."""

    def __init__(self, answer: Answer, kind: str, *, with_usage: bool, fault: Usage | None) -> None:
        self._answer = answer
        self._fault: Usage | None = fault
        self._said = 0
        self._with_usage = with_usage and fault != "absent"
        self._head: dict[str, Any] = {
            "id": answer.id,
            "object": kind,
            "created": answer.created,
            "model": answer.model,
            "system_fingerprint": fingerprint(answer.model),
        }
        if kind == "chat.completion.chunk":
            self._head["service_tier"] = answer.service_tier

    def frame(self, kind: Any, choice: dict[str, Any], tokens: int = 0) -> Frame:
        """A frame of one choice."""
        self._said += tokens
        chunk = {**self._head, "choices": [choice]}
        if self._with_usage:
            cumulative = self._fault == "cumulative" and kind != "role"
            chunk["usage"] = usage(self._answer, None, self._said) if cumulative else None
        return Frame(encode(chunk), tokens, kind)

    def hidden(self, tokens: int) -> Frame:
        """Tokens that take their time and are not shown."""
        self._said += tokens
        return Frame(b"", tokens, "token")

    def usages(self) -> Iterator[Frame]:
        """What is said of usage at the end."""
        if self._with_usage:
            chunk = {**self._head, "choices": [], "usage": usage(self._answer, self._fault)}
            for _ in range(2 if self._fault == "twice" else 1):
                yield Frame(encode(chunk), 0, "usage")


def chat_frames(answer: Answer, *, with_usage: bool, fault: Usage | None) -> Iterator[Frame]:
    """The frames of a streamed chat: roles first, then the choices' pieces by turns."""
    chunks = _Chunks(answer, "chat.completion.chunk", with_usage=with_usage, fault=fault)

    def choice(of: Choice, delta: dict[str, Any], pieces: list[Piece], reason: str | None) -> dict[str, Any]:
        logprobs = _chat_logprobs(answer, of, pieces)
        return {"index": of.index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    for each in answer.choices:
        content = None if each.calls else ""
        delta = {"role": "assistant", "content": content, "refusal": None}
        yield chunks.frame("role", choice(each, delta, [], None))
    for each, piece in _by_turns(answer):
        if piece is None:
            yield chunks.frame("finish", choice(each, {}, [], each.finish_reason))
        elif piece.kind == "reasoning" and not answer.shows_reasoning:
            yield chunks.hidden(piece.tokens)
        else:
            said = [piece] if piece.kind == "text" else []
            yield chunks.frame("token", choice(each, _delta(each, piece), said, None), piece.tokens)
    yield from chunks.usages()


def completion_frames(answer: Answer, *, with_usage: bool, fault: Usage | None) -> Iterator[Frame]:
    """The frames of a streamed legacy completion."""
    chunks = _Chunks(answer, "text_completion", with_usage=with_usage, fault=fault)
    offsets = [0] * len(answer.choices)
    for each, piece in _by_turns(answer):
        if piece is None:
            yield chunks.frame("finish", _text_choice(answer, each, [], 0, each.finish_reason))
        else:
            choice = _text_choice(answer, each, [piece], offsets[each.index], None)
            offsets[each.index] += len(piece.text)
            yield chunks.frame("token", choice, piece.tokens)
    yield from chunks.usages()


def _by_turns(answer: Answer) -> Iterator[tuple[Choice, Piece | None]]:
    """A piece of each choice in turn; None where a choice has ended."""
    left = [(choice, iter(choice.pieces)) for choice in answer.choices]
    while left:
        still = []
        for choice, pieces in left:
            piece = next(pieces, None)
            yield choice, piece
            if piece is not None:
                still.append((choice, pieces))
        left = still


def _delta(choice: Choice, piece: Piece) -> dict[str, Any]:
    if piece.kind == "text":
        return {"content": piece.text}
    if piece.kind == "reasoning":
        return {"reasoning_content": piece.text}
    if piece.kind == "call":
        return {"tool_calls": [{"index": piece.call, **_call(choice.calls[piece.call], "")}]}
    return {"tool_calls": [{"index": piece.call, "function": {"arguments": piece.text}}]}
