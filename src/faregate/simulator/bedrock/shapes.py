"""Converse answers: whole, in events, errors."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import msgspec

from ..answer import Answer, Choice, Piece
from ..anthropic.history import REDACTED, THOUGHT
from ..counts import counts
from ..dice import Dice
from ..faults import ERROR_MESSAGE, Malformation, Usage
from ..framing import Frame
from ..refused import Refused
from ..signatures import signature
from ..wires import Asked, Fields

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_EXCEPTIONS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_LATENCY_MS = 1


def fields(request_id: str) -> Fields:
    """The header fields of every answer."""
    return [("x-amzn-requestid", request_id)]


def error(refused: Refused, _request_id: str) -> dict[str, Any]:
    """An error's body; its kind is in the head."""
    return {"message": refused.message}


def error_fields(refused: Refused) -> Fields:
    """The header field that says what kind of an error it is."""
    return [("x-amzn-errortype", refused.code or _EXCEPTIONS.get(refused.status, "InternalServerException"))]


def spoiler(malformed: Malformation, _serial: int) -> Frame:
    """The frame that spoils a stream."""
    if malformed == "error_event":
        return Frame(msgspec.json.encode({"message": ERROR_MESSAGE}), 0, "spoiler", b"modelStreamErrorException")
    if malformed == "not_json":
        return Frame(b'{"contentBlockIndex":0,"del', 0, "spoiler", b"contentBlockDelta")
    return Frame(b'{"p":"abc"}', 0, "spoiler", b"ping")


def message(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A whole answer."""
    choice = answer.choices[0]
    content = [_whole_block(asked, answer, choice, list(pieces)) for _, pieces in _grouped(asked, choice)]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        **_stop(asked, choice),
        **_usage(answer, asked.question.plan.usage),
        **_tier(asked),
        "metrics": {"latencyMs": _LATENCY_MS},
    }


def _tier(asked: Asked) -> dict[str, Any]:
    tier = asked.question.plan.service_tier or (asked.body.get("serviceTier") or {}).get("type")
    return {} if tier is None else {"serviceTier": {"type": tier}}


def _stop(asked: Asked, choice: Choice) -> dict[str, Any]:
    if asked.question.plan.malformed == "no_finish":
        return {}
    reason = _STOP_REASONS.get(choice.finish_reason, choice.finish_reason)
    if choice.stopped_by is None or reason != "end_turn":
        return {"stopReason": reason}
    stop: dict[str, Any] = {"stopReason": "stop_sequence"}
    if "/stop_sequence" in asked.body.get("additionalModelResponseFieldPaths", ()):
        stop["additionalModelResponseFields"] = {"stop_sequence": choice.stopped_by}
    return stop


def _usage(answer: Answer, fault: Usage | None) -> dict[str, Any]:
    """Usage; the three parts of the input exclude each other."""
    if fault in ("absent", "null"):
        return {} if fault == "absent" else {"usage": None}
    counted = counts(answer, fault)
    form = counted.form
    used = {
        "inputTokens": form(counted.fresh),
        "outputTokens": form(counted.completion),
        "totalTokens": form(counted.prompt + counted.completion),
        "cacheReadInputTokens": form(counted.cached),
        "cacheWriteInputTokens": form(counted.written),
    }
    if counted.written:
        ttl = "1h" if answer.written_for_an_hour else "5m"
        used["cacheDetails"] = [{"ttl": ttl, "inputTokens": form(counted.written)}]
    return {"usage": used}


# Blocks.


def _grouped(asked: Asked, choice: Choice) -> Iterator[tuple[tuple[str, int], Iterator[Piece]]]:
    """The pieces of each block; hidden thoughts are in none."""
    pieces = [piece for piece in choice.pieces if piece.kind != "reasoning" or _thinks(asked)]
    return groupby(pieces, lambda piece: ("call" if piece.kind == "arguments" else piece.kind, piece.call))


def _thinks(asked: Asked) -> bool:
    plan = asked.question.plan
    return bool(asked.question.thought_tokens) or plan.reasoning or plan.redacted


def _thought(asked: Asked, answer: Answer, pieces: list[Piece]) -> dict[str, Any]:
    dice = Dice(answer.id, "thought")
    if asked.question.plan.redacted:
        return {"redactedContent": signature(dice, REDACTED)}
    said = "".join(piece.text for piece in pieces)
    return {"reasoningText": {"text": said, "signature": signature(dice, THOUGHT, said)}}


def _call(choice: Choice, piece: Piece) -> dict[str, Any]:
    call = choice.calls[piece.call]
    return {"toolUseId": f"tooluse_{call.key}", "name": call.name}


def _whole_block(asked: Asked, answer: Answer, choice: Choice, pieces: list[Piece]) -> dict[str, Any]:
    said = "".join(piece.text for piece in pieces)
    if pieces[0].kind == "reasoning":
        return {"reasoningContent": _thought(asked, answer, pieces)}
    if pieces[0].kind == "text":
        return {"text": said}
    try:
        arguments = msgspec.json.decode(said or "{}")
    except msgspec.DecodeError:  # cut off by maxTokens
        arguments = {}
    return {"toolUse": {**_call(choice, pieces[0]), "input": arguments}}


# Streams.


def _frame(name: str, event: dict[str, Any], tokens: int = 0, kind: Any = "token") -> Frame:
    padding = "abcdefghijklmnopqrstuvwxyz"[: 1 + len(name) % 26]  # so that lengths tell nothing
    return Frame(msgspec.json.encode({**event, "p": padding}), tokens, kind, name.encode())


def frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The events of a streamed answer."""
    choice = answer.choices[0]
    yield _frame("messageStart", {"role": "assistant"}, kind="opening")
    if not _thinks(asked):
        yield Frame(b"", choice.reasoning_tokens, "token")
    for index, (_, grouped) in enumerate(_grouped(asked, choice)):
        yield from _block_frames(asked, answer, choice, index, list(grouped))
    stop = _stop(asked, choice)
    if stop:
        yield _frame("messageStop", stop, kind="finish")
    metadata = {**_usage(answer, asked.question.plan.usage), **_tier(asked), "metrics": {"latencyMs": _LATENCY_MS}}
    yield _frame("metadata", metadata, kind="end")


def _block_frames(asked: Asked, answer: Answer, choice: Choice, index: int, pieces: list[Piece]) -> Iterator[Frame]:
    """One block: its start, where it is a call, what is added to it, its end."""

    def added(delta: dict[str, Any], tokens: int = 0) -> Frame:
        return _frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}, tokens)

    kind = pieces[0].kind
    thought = _thought(asked, answer, pieces) if kind == "reasoning" else {}
    if kind not in ("reasoning", "text"):
        start = {"toolUse": _call(choice, pieces[0])}
        yield _frame("contentBlockStart", {"contentBlockIndex": index, "start": start})
    for piece in pieces:
        if piece.kind == "text":
            yield added({"text": piece.text}, piece.tokens)
        elif piece.kind in ("call", "arguments"):
            yield added({"toolUse": {"input": piece.text}}, piece.tokens)
        elif "reasoningText" in thought:
            yield added({"reasoningContent": {"text": piece.text}}, piece.tokens)
        else:
            yield Frame(b"", piece.tokens, "token")
    if "reasoningText" in thought:
        yield added({"reasoningContent": {"signature": thought["reasoningText"]["signature"]}})
    elif thought:
        yield added({"reasoningContent": thought})
    yield _frame("contentBlockStop", {"contentBlockIndex": index})
