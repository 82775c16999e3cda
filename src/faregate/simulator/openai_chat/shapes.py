"""Chat and legacy completions, whole and streamed."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.json import encode

from ..answer import Answer, Choice, Piece, ToolCall
from ..counts import counts
from ..dice import Dice
from ..faults import ERROR_MESSAGE, Malformation, Usage
from ..framing import Frame
from ..openai import error, fingerprint
from ..refused import Refused
from ..wires import Asked
from . import mistral
from .request import Body, ChatBody, MistralBody

_BROKEN = b'{"id":"chatcmpl-'
_PADDABLE = b'{"object":"chat.completion.chunk","choices":[]}'


def spoiler(malformed: Malformation, _serial: int) -> Frame:
    """The frame that spoils a stream."""
    if malformed == "error_event":
        return Frame(encode(error(Refused(ERROR_MESSAGE, status=500), "")), 0, "spoiler")
    return Frame(_PADDABLE if malformed == "huge_line" else _BROKEN, 0, "spoiler")


def usage(answer: Answer, fault: Usage | None, said: int | None = None) -> dict[str, Any] | None:
    """The usage object, or what a fault makes of it; `said`, completion tokens so far where not all."""
    if fault == "null":
        return None
    counted = counts(answer, fault, said)
    form = counted.form
    details = {"cached_tokens": form(counted.cached), "audio_tokens": 0}
    if counted.written:
        details["cache_write_tokens"] = form(counted.written)
    return {
        "prompt_tokens": form(counted.prompt),
        "completion_tokens": form(counted.completion),
        "total_tokens": form(counted.prompt + counted.completion),
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": form(counted.reasoning),
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


# Whole answers.


def chat_completion(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A chat.completion."""
    return {
        **_head(asked, answer, "chat.completion"),
        "choices": [
            {
                "index": choice.index,
                "message": _message(asked, choice),
                "logprobs": _chat_logprobs(asked, answer, choice, [p for p in choice.pieces if p.kind == "text"]),
                "finish_reason": _finish_reason(asked, choice),
            }
            for choice in answer.choices
        ],
        **_whole_usage(asked, answer),
    }


def text_completion(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A text_completion."""
    return {
        **_head(asked, answer, "text_completion"),
        "choices": [
            _text_choice(asked, answer, choice, list(choice.pieces), 0, _finish_reason(asked, choice))
            for choice in answer.choices
        ],
        **_whole_usage(asked, answer),
    }


def _head(asked: Asked, answer: Answer, kind: str) -> dict[str, Any]:
    body: Body = asked.body
    return {
        "id": answer.id,
        "object": kind,
        "created": answer.created,
        "model": answer.model,
        "system_fingerprint": fingerprint(answer.model),
        **({"service_tier": asked.question.plan.service_tier or body.tier} if isinstance(body, ChatBody) else {}),
    }


def _whole_usage(asked: Asked, answer: Answer) -> dict[str, Any]:
    fault = asked.question.plan.usage
    return {} if fault == "absent" else {"usage": usage(answer, fault)}


def _finish_reason(asked: Asked, choice: Choice) -> str | None:
    """Why a choice ended. A call that the caller insisted on ends with `stop`, as OpenAI's does."""
    plan = asked.question.plan
    if plan.malformed == "no_finish":
        return None
    insisted = asked.question.named is not None and plan.finish_reason is None
    return "stop" if insisted and choice.finish_reason == "tool_calls" else choice.finish_reason


def _message(asked: Asked, choice: Choice) -> dict[str, Any]:
    calls = [_call(asked, call, call.arguments) for call in choice.calls_said]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": (choice.said("text") or None) if calls else choice.said("text"),
        "refusal": None,
        "annotations": [],
    }
    if _is_mistral(asked):
        message = {"role": "assistant", "content": mistral.content(choice)}
    elif asked.question.plan.reasoning:
        message["reasoning_content"] = choice.said("reasoning")
    if calls:
        message["tool_calls"] = calls
    return message


def _is_mistral(asked: Asked) -> bool:
    return isinstance(asked.body, MistralBody)


def _shows_thoughts(asked: Asked) -> bool:
    return asked.question.plan.reasoning or _is_mistral(asked)


def _call(asked: Asked, call: ToolCall, arguments: str) -> dict[str, Any]:
    call_id = call.key[:9] if _is_mistral(asked) else f"call_{call.key}"
    return {"id": call_id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


# Log probabilities: made up, but never above zero, and the token said is the likeliest.


def _logprob(answer: Answer, choice: Choice, token: str, rank: int) -> float:
    return -round((Dice(answer.id, choice.index, token).roll(1000) + 1) / 4000 + rank * 1.25, 6)


def _alternatives(shown: int, answer: Answer, choice: Choice, token: str) -> list[tuple[str, float]]:
    dice = Dice(answer.id, choice.index, token, "others")
    others = [f" {dice.word()}{rank}" for rank in range(1, shown)]
    return [(other, _logprob(answer, choice, token, rank)) for rank, other in enumerate([token, *others][:shown])]


def _chat_logprobs(asked: Asked, answer: Answer, choice: Choice, pieces: list[Piece]) -> dict[str, Any] | None:
    shown = asked.body.shown_logprobs
    if shown is None or not pieces:
        return None

    def entry(token: str, logprob: float) -> dict[str, Any]:
        return {"token": token, "logprob": logprob, "bytes": list(token.encode())}

    content = [
        {
            **entry(piece.text, _logprob(answer, choice, piece.text, 0)),
            "top_logprobs": [entry(*other) for other in _alternatives(shown, answer, choice, piece.text)],
        }
        for piece in pieces
    ]
    return {"content": content, "refusal": None}


def _text_choice(
    asked: Asked, answer: Answer, choice: Choice, pieces: list[Piece], offset: int, finish_reason: str | None
) -> dict[str, Any]:
    """One choice of a legacy completion; `offset` is where in the text its pieces begin."""
    logprobs = None
    shown = asked.body.shown_logprobs
    if shown is not None and pieces:
        offsets = itertools.accumulate((len(piece.text) for piece in pieces[:-1]), initial=offset)
        logprobs = {
            "tokens": [piece.text for piece in pieces],
            "token_logprobs": [_logprob(answer, choice, piece.text, 0) for piece in pieces],
            "top_logprobs": [dict(_alternatives(shown, answer, choice, piece.text)) for piece in pieces],
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
    """Makes the frames of one stream."""

    def __init__(self, asked: Asked, answer: Answer, kind: str) -> None:
        self._answer = answer
        self._fault: Usage | None = asked.question.plan.usage
        self._said = 0
        self._with_usage = asked.body.include_usage and self._fault != "absent"
        # Mistral says what was used with its last word.
        self._ends_with_usage = _is_mistral(asked) and self._fault != "absent"
        self._finishes = asked.question.plan.malformed != "no_finish"
        self._head = _head(asked, answer, kind)

    def frame(self, kind: Any, choice: dict[str, Any], tokens: int = 0) -> Frame:
        """A frame of one choice."""
        self._said += tokens
        chunk = {**self._head, "choices": [choice]}
        if self._with_usage:
            cumulative = self._fault == "cumulative" and kind != "opening"
            chunk["usage"] = usage(self._answer, None, self._said) if cumulative else None
        if self._ends_with_usage and kind == "finish":
            chunk["usage"] = usage(self._answer, self._fault)
        return Frame(encode(chunk), tokens, kind)

    def hidden(self, tokens: int) -> Frame:
        """Tokens that take their time and are not shown."""
        self._said += tokens
        return Frame(b"", tokens, "token")

    def finish(self, choice: dict[str, Any]) -> Iterator[Frame]:
        """The end of one choice."""
        if self._finishes:
            yield self.frame("finish", choice)

    def ends(self) -> Iterator[Frame]:
        """What is said of usage at the end, and the end."""
        if self._with_usage:
            chunk = {**self._head, "choices": [], "usage": usage(self._answer, self._fault)}
            for _ in range(2 if self._fault == "twice" else 1):
                yield Frame(encode(chunk), 0, "usage")
        yield Frame(b"[DONE]", 0, "end")


def chat_frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The frames of a streamed chat: roles first, then the choices' pieces by turns."""
    chunks = _Chunks(asked, answer, "chat.completion.chunk")

    def choice(of: Choice, delta: dict[str, Any], pieces: list[Piece], reason: str | None) -> dict[str, Any]:
        logprobs = _chat_logprobs(asked, answer, of, pieces)
        return {"index": of.index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}

    for each in answer.choices:
        content = None if each.calls else ""
        delta = {"role": "assistant", "content": content, "refusal": None}
        yield chunks.frame("opening", choice(each, delta, [], None))
    for each, piece in _by_turns(answer, mistral.with_whole_calls if _is_mistral(asked) else _pieces):
        if piece is None:
            yield from chunks.finish(choice(each, {}, [], _finish_reason(asked, each)))
        elif piece.kind == "reasoning" and not _shows_thoughts(asked):
            yield chunks.hidden(piece.tokens)
        else:
            said = [piece] if piece.kind == "text" else []
            yield chunks.frame("token", choice(each, _delta(asked, each, piece), said, None), piece.tokens)
    yield from chunks.ends()


def completion_frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The frames of a streamed legacy completion."""
    chunks = _Chunks(asked, answer, "text_completion")
    offsets = [0] * len(answer.choices)
    for each, piece in _by_turns(answer, _pieces):
        if piece is None:
            yield from chunks.finish(_text_choice(asked, answer, each, [], 0, _finish_reason(asked, each)))
        else:
            choice = _text_choice(asked, answer, each, [piece], offsets[each.index], None)
            offsets[each.index] += len(piece.text)
            yield chunks.frame("token", choice, piece.tokens)
    yield from chunks.ends()


def _pieces(choice: Choice) -> Sequence[Piece]:
    return choice.pieces


def _by_turns(answer: Answer, pieces_of: Callable[[Choice], Sequence[Piece]]) -> Iterator[tuple[Choice, Piece | None]]:
    """A piece of each choice in turn; None where a choice has ended."""
    left = [(choice, iter(pieces_of(choice))) for choice in answer.choices]
    while left:
        still = []
        for choice, pieces in left:
            piece = next(pieces, None)
            yield choice, piece
            if piece is not None:
                still.append((choice, pieces))
        left = still


def _delta(asked: Asked, choice: Choice, piece: Piece) -> dict[str, Any]:
    if piece.kind == "text":
        return {"content": piece.text}
    if piece.kind == "reasoning" and _is_mistral(asked):
        return {"content": [mistral.chunk(piece.text)]}
    if piece.kind == "reasoning":
        return {"reasoning_content": piece.text}
    if piece.kind == "call":
        return {"tool_calls": [{"index": piece.call, **_call(asked, choice.calls[piece.call], piece.text)}]}
    return {"tool_calls": [{"index": piece.call, "function": {"arguments": piece.text}}]}
