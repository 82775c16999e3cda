"""Messages, whole and streamed; errors, counts and models in Anthropic's shapes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import msgspec
from msgspec.json import encode

from ..answer import Answer, Choice, Piece
from ..counts import counts
from ..dice import Dice
from ..faults import ERROR_MESSAGE, Malformation
from ..framing import Frame
from ..models import Model, Models
from ..refused import Refused
from ..signatures import signature
from ..traits import traits_of
from ..wires import Asked, Fields
from .history import REDACTED, THOUGHT

_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_REFUSAL = {"type": "refusal", "category": None, "explanation": "The simulator refuses, as asked."}


def error(refused: Refused, request_id: str) -> dict[str, Any]:
    """The body of a refusal."""
    kind = _KINDS.get(refused.status, "api_error" if refused.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": request_id or None}


def fields(request_id: str) -> Fields:
    """The header fields of every answer."""
    return [("request-id", request_id), ("anthropic-organization-id", "org-simulator")]


def count(tokens: int) -> dict[str, Any]:
    """The answer of count_tokens."""
    return {"input_tokens": tokens}


def models(known: Models, name: str, _query: dict[str, str]) -> dict[str, Any]:
    """The model `name`, or all of Anthropic's."""
    if name:
        return _model(known.one(name))
    data = [_model(model) for model in known.of("anthropic")]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"data": data, "has_more": False, **ends}


def _model(model: Model) -> dict[str, Any]:
    created = datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": model.id, "display_name": model.id, "created_at": created}


def spoiler(malformed: Malformation, _serial: int) -> Frame:
    """The frame that spoils a stream."""
    if malformed == "error_event":
        return Frame(encode(error(Refused(ERROR_MESSAGE, status=500), "")), 0, "spoiler", b"error")
    if malformed == "huge_line":
        return Frame(b'{"type":"ping"}', 0, "spoiler", b"ping")
    return Frame(b'{"type":"content_block_delta","ind', 0, "spoiler", b"content_block_delta")


def message(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A whole message."""
    choice = answer.choices[0]
    content = [_whole_block(asked, answer, choice, list(pieces)) for _, pieces in _grouped(asked, choice)]
    used = {} if asked.question.plan.usage == "absent" else {"usage": _usage(asked, answer)}
    return {**_head(answer), "content": content, **_stop(asked, choice), **used}


def _head(answer: Answer) -> dict[str, Any]:
    return {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model, "container": None}


def _stop(asked: Asked, choice: Choice) -> dict[str, Any]:
    reason: str | None = _STOP_REASONS.get(choice.finish_reason, choice.finish_reason)
    if choice.stopped_by is not None and reason == "end_turn":
        reason = "stop_sequence"
    if asked.question.plan.malformed == "no_finish":
        reason = None
    return {
        "stop_reason": reason,
        "stop_sequence": choice.stopped_by if reason == "stop_sequence" else None,
        "stop_details": _REFUSAL if reason == "refusal" else None,
    }


def _usage(asked: Asked, answer: Answer, said: int | None = None) -> dict[str, Any] | None:
    """Usage; the three parts of the input exclude each other (conformance 2.4)."""
    fault = asked.question.plan.usage
    if fault == "null":
        return None
    counted = counts(answer, fault, said)
    form = counted.form
    written = form(counted.written)
    hour = answer.written_for_an_hour
    return {
        "input_tokens": form(counted.fresh),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": form(counted.cached),
        "cache_creation": {
            "ephemeral_5m_input_tokens": form(0) if hour else written,
            "ephemeral_1h_input_tokens": written if hour else form(0),
        },
        "output_tokens": form(counted.completion),
        "output_tokens_details": {"thinking_tokens": form(counted.reasoning)},
        "service_tier": asked.question.plan.service_tier or "standard",
    }


# Blocks.


def _grouped(asked: Asked, choice: Choice) -> Iterator[tuple[tuple[str, int], Iterator[Piece]]]:
    """The pieces of each block; hidden thoughts are in none."""
    pieces = [piece for piece in choice.pieces if piece.kind != "reasoning" or _thinks(asked)]
    return groupby(pieces, lambda piece: ("call" if piece.kind == "arguments" else piece.kind, piece.call))


def _thinks(asked: Asked) -> bool:
    kind = (asked.body.get("thinking") or {}).get("type")
    return kind in ("enabled", "adaptive") or asked.question.plan.reasoning or asked.question.plan.redacted


def _omits(asked: Asked) -> bool:
    """Whether thoughts come as their signature only."""
    display = (asked.body.get("thinking") or {}).get("display")
    if asked.question.plan.reasoning:
        return False
    return display == "omitted" or (display is None and traits_of(asked.question.model).omits_thoughts)


def _thought(asked: Asked, answer: Answer, pieces: list[Piece]) -> dict[str, Any]:
    dice = Dice(answer.id, "thought")
    if asked.question.plan.redacted:
        return {"type": "redacted_thinking", "data": signature(dice, REDACTED)}
    said = "" if _omits(asked) else "".join(piece.text for piece in pieces)
    return {"type": "thinking", "thinking": said, "signature": signature(dice, THOUGHT, said)}


def _call(choice: Choice, piece: Piece) -> dict[str, Any]:
    call = choice.calls[piece.call]
    return {"type": "tool_use", "id": f"toolu_{call.key}", "name": call.name, "input": {}}


def _whole_block(asked: Asked, answer: Answer, choice: Choice, pieces: list[Piece]) -> dict[str, Any]:
    kind = pieces[0].kind
    said = "".join(piece.text for piece in pieces)
    if kind == "reasoning":
        return _thought(asked, answer, pieces)
    if kind == "text":
        return {"type": "text", "text": said, "citations": None}
    try:
        arguments = msgspec.json.decode(said or "{}")
    except msgspec.DecodeError:  # cut off by max_tokens
        arguments = {}
    return {**_call(choice, pieces[0]), "input": arguments}


# Streams.


def _frame(event: dict[str, Any], tokens: int = 0, kind: Any = "token") -> Frame:
    return Frame(encode(event), tokens, kind, event["type"].encode())


def frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The events of a streamed message."""
    choice, fault = answer.choices[0], asked.question.plan.usage
    start = {**_head(answer), "content": [], "stop_reason": None, "stop_sequence": None, "stop_details": None}
    if fault != "absent":
        start["usage"] = _usage(asked, answer, said=min(1, answer.completion_tokens))
    yield _frame({"type": "message_start", "message": start}, kind="opening")
    if not _thinks(asked):
        yield Frame(b"", choice.reasoning_tokens, "token")
    for index, (_, grouped) in enumerate(_grouped(asked, choice)):
        for frame in _block_frames(asked, answer, choice, index, list(grouped)):
            yield frame
            if index == 0 and frame.event == b"content_block_start":
                yield _frame({"type": "ping"})
    delta: dict[str, Any] = {"type": "message_delta", "delta": {**_stop(asked, choice), "container": None}}
    if fault != "absent":
        delta["usage"] = _usage(asked, answer)
    for _ in range(2 if fault == "twice" else 1):
        yield _frame(delta, kind="usage")
    yield _frame({"type": "message_stop"}, kind="end")


def _block_frames(asked: Asked, answer: Answer, choice: Choice, index: int, pieces: list[Piece]) -> Iterator[Frame]:
    """One block: its start, what is added to it, its end."""

    def added(delta: dict[str, Any], tokens: int = 0) -> Frame:
        return _frame({"type": "content_block_delta", "index": index, "delta": delta}, tokens)

    kind = pieces[0].kind
    thought = _thought(asked, answer, pieces) if kind == "reasoning" else {}
    opening = {"reasoning": {"type": "thinking", "thinking": "", "signature": ""}, "text": {"type": "text", "text": ""}}
    start = opening.get(kind) or _call(choice, pieces[0])
    if thought.get("type") == "redacted_thinking":
        start = thought
    yield _frame({"type": "content_block_start", "index": index, "content_block": start})
    for piece in pieces:
        if piece.kind == "text":
            yield added({"type": "text_delta", "text": piece.text}, piece.tokens)
        elif piece.kind in ("call", "arguments"):
            yield added({"type": "input_json_delta", "partial_json": piece.text}, piece.tokens)
        elif thought.get("thinking"):
            yield added({"type": "thinking_delta", "thinking": piece.text}, piece.tokens)
        else:
            yield Frame(b"", piece.tokens, "token")
    if "signature" in thought:
        yield added({"type": "signature_delta", "signature": thought["signature"]})
    yield _frame({"type": "content_block_stop", "index": index})
