"""Chats, whole and streamed, and errors in Cohere's shapes. Sources: its API reference, "Chat" (v2), and "A Guide to
Streaming Responses", "Streaming for tool use"."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from msgspec.json import encode

from ..answer import Answer, Choice, Piece
from ..counts import counts
from ..dice import Dice
from ..faults import ERROR_MESSAGE, Malformation
from ..framing import Frame
from ..refused import Refused
from ..wires import Asked, Fields

# What Cohere adds to a prompt and an answer by itself, and does not bill.
UNBILLED_PROMPT_TOKENS = 57
UNBILLED_ANSWER_TOKENS = 2

_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}


def error(refused: Refused, request_id: str) -> dict[str, Any]:
    """The body of a refusal."""
    return {"id": request_id, "message": refused.message}


def fields(request_id: str) -> Fields:
    """The header fields of every answer."""
    return [("x-debug-trace-id", request_id)]


def spoiler(malformed: Malformation, _serial: int) -> Frame:
    """The frame that spoils a stream."""
    if malformed == "error_event":
        ended = {"error": ERROR_MESSAGE, "finish_reason": "ERROR", "usage": None}
        return Frame(encode({"type": "message-end", "delta": ended}), 0, "spoiler", b"message-end")
    if malformed == "huge_line":
        return Frame(b'{"type":"debug"}', 0, "spoiler", b"debug")
    return Frame(b'{"type":"content-delta","ind', 0, "spoiler", b"content-delta")


def chat(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A whole chat."""
    choice = answer.choices[0]
    content: list[dict[str, Any]] = []
    message: dict[str, Any] = {"role": "assistant"}
    for kind, grouped in _blocks(asked, choice):
        said = "".join(piece.text for piece in grouped)
        if kind == "plan":
            message["tool_plan"] = said
        elif kind in ("thinking", "text"):
            content.append({"type": kind, kind: said})
    if content or not choice.calls_said:
        message["content"] = content
    if choice.calls_said:
        message["tool_calls"] = [_call(choice, at, each.arguments) for at, each in enumerate(choice.calls_said)]
    whole = {"id": answer.id, "message": message, **_end(asked, answer)}
    if asked.body.get("logprobs"):
        whole["logprobs"] = [_logprob(answer, piece) for piece in choice.pieces if piece.kind == "text"]
    return whole


def _end(asked: Asked, answer: Answer) -> dict[str, Any]:
    """Why it ended and what was used."""
    choice, plan = answer.choices[0], asked.question.plan
    reason: str | None = _REASONS.get(choice.finish_reason, choice.finish_reason)
    if choice.stopped_by is not None and reason == "COMPLETE":
        reason = "STOP_SEQUENCE"
    ended: dict[str, Any] = {} if plan.malformed == "no_finish" else {"finish_reason": reason}
    return ended if plan.usage == "absent" else {**ended, "usage": _usage(asked, answer)}


def _usage(asked: Asked, answer: Answer) -> dict[str, Any] | None:
    """Usage: what is billed, and what was read and written in all."""
    fault = asked.question.plan.usage
    if fault == "null":
        return None
    counted = counts(answer, fault)
    form = counted.form
    return {
        "billed_units": {"input_tokens": form(counted.prompt), "output_tokens": form(counted.completion)},
        "tokens": {
            "input_tokens": form(counted.prompt + UNBILLED_PROMPT_TOKENS),
            "output_tokens": form(counted.completion + UNBILLED_ANSWER_TOKENS),
        },
        "cached_tokens": form(counted.cached),
    }


def _blocks(asked: Asked, choice: Choice) -> Iterator[tuple[str, list[Piece]]]:
    """The pieces of each block. What was thought before calls is their plan, unless the model was told to think; where
    it is not shown it is in no block."""
    thinks = (asked.body.get("thinking") or {}).get("type") == "enabled"
    shown = thinks or asked.question.plan.reasoning
    thought = "plan" if choice.calls and not thinks else "thinking"
    names = {"reasoning": thought, "text": "text"}
    pieces = [piece for piece in choice.pieces if piece.kind != "reasoning" or shown]
    for _, grouped in groupby(pieces, lambda piece: (names.get(piece.kind, "call"), piece.call)):
        found = list(grouped)
        yield names.get(found[0].kind, "call"), found


def _call(choice: Choice, at: int, arguments: str) -> dict[str, Any]:
    call = choice.calls[at]
    function = {"name": call.name, "arguments": arguments}
    return {"id": f"{call.name}_{call.key[:12]}", "type": "function", "function": function}


def _logprob(answer: Answer, piece: Piece) -> dict[str, Any]:
    """Made up, but never above zero."""
    dice = Dice(answer.id, piece.text)
    return {
        "text": piece.text,
        "token_ids": [dice.roll(250_000)],
        "logprobs": [-round((dice.roll(1000) + 1) / 4000, 6)],
    }


# Streams.


def _frame(kind: str, tokens: int = 0, sent_as: Any = "token", **members: Any) -> Frame:
    return Frame(encode({"type": kind, **members}), tokens, sent_as, kind.encode())


def frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The events of a streamed chat."""
    choice = answer.choices[0]
    message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield _frame("message-start", sent_as="opening", id=answer.id, delta={"message": message})
    blocks = list(_blocks(asked, choice))
    if all(kind not in ("plan", "thinking") for kind, _ in blocks):
        yield Frame(b"", choice.reasoning_tokens, "token")
    contents = 0
    for kind, pieces in blocks:
        if kind == "plan":
            for piece in pieces:
                yield _frame("tool-plan-delta", piece.tokens, delta={"message": {"tool_plan": piece.text}})
        elif kind == "call":
            yield from _call_frames(choice, pieces)
        else:
            yield from _content_frames(asked, answer, kind, pieces, contents)
            contents += 1
    if not blocks:
        yield from _content_frames(asked, answer, "text", [], 0)
    yield _frame("message-end", sent_as="end", delta=_end(asked, answer))


def _content_frames(asked: Asked, answer: Answer, kind: str, pieces: list[Piece], index: int) -> Iterator[Frame]:
    """One content: its start, what is added to it, its end."""
    yield _frame("content-start", index=index, delta={"message": {"content": {"type": kind, kind: ""}}})
    for piece in pieces:
        likely = {"logprobs": _logprob(answer, piece)} if asked.body.get("logprobs") and kind == "text" else {}
        delta = {"message": {"content": {kind: piece.text}}}
        yield _frame("content-delta", piece.tokens, index=index, delta=delta, **likely)
    yield _frame("content-end", index=index)


def _call_frames(choice: Choice, pieces: list[Piece]) -> Iterator[Frame]:
    """One call: its start, its arguments, its end."""
    at = pieces[0].call
    start = {"message": {"tool_calls": _call(choice, at, "")}}
    yield _frame("tool-call-start", pieces[0].tokens, index=at, delta=start)
    for piece in pieces[1:]:
        delta = {"message": {"tool_calls": {"function": {"arguments": piece.text}}}}
        yield _frame("tool-call-delta", piece.tokens, index=at, delta=delta)
    yield _frame("tool-call-end", index=at)
