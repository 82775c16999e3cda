"""Responses, whole and streamed, and counts."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from msgspec.json import encode

from ..answer import Answer, Choice, Piece
from ..counts import counts
from ..dice import Dice
from ..faults import ERROR_MESSAGE, Malformation
from ..framing import Frame
from ..signatures import signature
from ..wires import Asked
from .request import REASONING

_ECHOED: dict[str, Any] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_TIERS = {"auto": "default", "fast": "priority"}
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}

Item = dict[str, Any]


def count(tokens: int) -> dict[str, Any]:
    """The answer of input_tokens."""
    return {"object": "response.input_tokens", "input_tokens": tokens}


def spoiler(malformed: Malformation, serial: int) -> Frame:
    """The frame that spoils a stream."""
    if malformed == "error_event":
        event = {"type": "error", "code": "server_error", "message": ERROR_MESSAGE, "param": None}
        return Frame(encode({**event, "sequence_number": serial}), 0, "spoiler", b"error")
    if malformed == "huge_line":
        padded = {"type": "response.padded", "sequence_number": serial}
        return Frame(encode(padded), 0, "spoiler", b"response.padded")
    return Frame(b'{"type":"response.output_text.delta","ite', 0, "spoiler", b"response.output_text.delta")


def response(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A whole response."""
    choice = answer.choices[0]
    items = [_done(asked, answer, choice, pieces) for pieces in _grouped(choice)]
    return _response(asked, answer, _status(asked, choice), items)


def _status(asked: Asked, choice: Choice) -> str | None:
    if asked.question.plan.malformed == "no_finish":
        return None
    if choice.finish_reason == "failed":
        return "failed"
    return "incomplete" if choice.finish_reason in _INCOMPLETE else "completed"


def _response(asked: Asked, answer: Answer, status: str | None, items: list[Item]) -> dict[str, Any]:
    body, choice = asked.body, answer.choices[0]
    echoed = {name: default if body.get(name) is None else body[name] for name, default in _ECHOED.items()}
    tier = body.get("service_tier") or "auto"
    ended = status in ("completed", "incomplete", "failed", None)
    reason = _INCOMPLETE.get(choice.finish_reason) if status == "incomplete" else None
    return {
        "id": answer.id,
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "completed_at": answer.created + 1 if status == "completed" else None,
        "error": {"code": "server_error", "message": ERROR_MESSAGE} if status == "failed" else None,
        "incomplete_details": None if reason is None else {"reason": reason},
        **echoed,
        "model": answer.model,
        "output": items,
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "service_tier": (asked.question.plan.service_tier if ended else None) or _TIERS.get(tier, tier),
        "text": {"format": {"type": "text"}, "verbosity": "medium", **body.get("text", {})},
        **(_usage(asked, answer) if ended else {"usage": None}),
    }


def _usage(asked: Asked, answer: Answer) -> dict[str, Any]:
    fault = asked.question.plan.usage
    if fault in ("absent", "null"):
        return {} if fault == "absent" else {"usage": None}
    counted = counts(answer, fault)
    form = counted.form
    return {
        "usage": {
            "input_tokens": form(counted.prompt),
            "input_tokens_details": {
                "cached_tokens": form(counted.cached),
                "cache_write_tokens": form(counted.written),
            },
            "output_tokens": form(counted.completion),
            "output_tokens_details": {"reasoning_tokens": form(counted.reasoning)},
            "total_tokens": form(counted.prompt + counted.completion),
        }
    }


# Items.


def _grouped(choice: Choice) -> list[list[Piece]]:
    """The pieces of each item."""
    groups = groupby(choice.pieces, lambda piece: ("call" if piece.kind == "arguments" else piece.kind, piece.call))
    return [list(pieces) for _, pieces in groups]


def _begun(answer: Answer, choice: Choice, piece: Piece) -> Item:
    """An item as it is announced."""
    key = Dice(answer.id, piece.kind, piece.call).hex(32)
    if piece.kind == "reasoning":
        return {"id": f"rs_{key}", "type": "reasoning", "summary": []}
    if piece.kind == "text":
        return {"id": f"msg_{key}", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    call = choice.calls[piece.call]
    return {
        "id": f"fc_{key}",
        "type": "function_call",
        "status": "in_progress",
        "call_id": f"call_{call.key}",
        "name": call.name,
        "arguments": "",
    }


def _text_part(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def _summary_part(words: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": words}


def _shows(asked: Asked) -> bool:
    return bool((asked.body.get("reasoning") or {}).get("summary")) or asked.question.plan.reasoning


def _done(asked: Asked, answer: Answer, choice: Choice, pieces: list[Piece]) -> Item:
    """An item as it ends."""
    item = _begun(answer, choice, pieces[0])
    said = "".join(piece.text for piece in pieces)
    cut = pieces[-1] is choice.pieces[-1] and _status(asked, choice) == "incomplete"
    if item["type"] == "reasoning":
        if "reasoning.encrypted_content" in (asked.body.get("include") or ()):
            item["encrypted_content"] = signature(Dice(answer.id, "reasoning"), REASONING, item["id"])
        return {**item, "summary": [_summary_part(said)] if _shows(asked) else []}
    ended = {"status": "incomplete" if cut else "completed"}
    if item["type"] == "message":
        return {**item, **ended, "content": [_text_part(said)]}
    return {**item, **ended, "arguments": said}


# Streams.


class _Events:
    """Makes the frames of one stream, numbered from 0."""

    def __init__(self) -> None:
        self._serial = 0

    def frame(self, kind: str, tokens: int = 0, frame_kind: Any = "token", **members: Any) -> Frame:
        """One event."""
        event = {"type": kind, "sequence_number": self._serial, **members}
        self._serial += 1
        return Frame(encode(event), tokens, frame_kind, kind.encode())


def frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The events of a streamed response."""
    choice, events = answer.choices[0], _Events()
    begun = _response(asked, answer, "in_progress", [])
    yield events.frame("response.created", 0, "opening", response=begun)
    yield events.frame("response.in_progress", 0, "opening", response=begun)
    items = []
    for index, pieces in enumerate(_grouped(choice)):
        item, done = _begun(answer, choice, pieces[0]), _done(asked, answer, choice, pieces)
        items.append(done)
        yield events.frame("response.output_item.added", output_index=index, item=item)
        place = {"item_id": item["id"], "output_index": index}
        yield from _ITEM_FRAMES[item["type"]](events, place, pieces, done)
        yield events.frame("response.output_item.done", output_index=index, item=done)
    status = _status(asked, choice)
    last = _response(asked, answer, status, items)
    yield events.frame(f"response.{status or 'completed'}", 0, "end", response=last)


def _text_frames(events: _Events, place: dict[str, Any], pieces: list[Piece], done: Item) -> Iterator[Frame]:
    part = done["content"][0]
    place = {**place, "content_index": 0}
    yield events.frame("response.content_part.added", **place, part=_text_part(""))
    for piece in pieces:
        yield events.frame("response.output_text.delta", piece.tokens, **place, delta=piece.text, logprobs=[])
    yield events.frame("response.output_text.done", **place, text=part["text"], logprobs=[])
    yield events.frame("response.content_part.done", **place, part=part)


def _call_frames(events: _Events, place: dict[str, Any], pieces: list[Piece], done: Item) -> Iterator[Frame]:
    for piece in pieces:
        if piece.kind == "call":
            yield Frame(b"", piece.tokens, "token")
        else:
            yield events.frame("response.function_call_arguments.delta", piece.tokens, **place, delta=piece.text)
    arguments = {"name": done["name"], "arguments": done["arguments"]}
    yield events.frame("response.function_call_arguments.done", **place, **arguments)


def _reasoning_frames(events: _Events, place: dict[str, Any], pieces: list[Piece], done: Item) -> Iterator[Frame]:
    if not done["summary"]:
        yield Frame(b"", sum(piece.tokens for piece in pieces), "token")
        return
    part = done["summary"][0]
    place = {**place, "summary_index": 0}
    yield events.frame("response.reasoning_summary_part.added", **place, part=_summary_part(""))
    for piece in pieces:
        yield events.frame("response.reasoning_summary_text.delta", piece.tokens, **place, delta=piece.text)
    yield events.frame("response.reasoning_summary_text.done", **place, text=part["text"])
    yield events.frame("response.reasoning_summary_part.done", **place, part=part)


_ITEM_FRAMES = {"message": _text_frames, "function_call": _call_frames, "reasoning": _reasoning_frames}
