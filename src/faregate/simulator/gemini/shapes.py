"""Answers of generateContent, whole and streamed; errors, counts and models in Google's shapes."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.json import encode

from ..answer import Answer, Choice, Piece
from ..counts import counts
from ..dice import Dice
from ..faults import ERROR_MESSAGE, Malformation
from ..framing import JSON_ARRAY, Frame
from ..models import Model, Models
from ..refused import Refused
from ..signatures import signature
from ..traits import traits_of
from ..wires import Asked, Fields
from .history import CALL, TEXT

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "PERMISSION_DENIED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FINISH_REASONS = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}
_WINDOW_TOKENS, _OUTPUT_TOKENS = 1_048_576, 65_536


def error(refused: Refused, _request_id: str) -> dict[str, Any]:
    """The body of a refusal."""
    status = refused.status
    name = _STATUSES.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    details = {"details": refused.details} if refused.details else {}
    return {"error": {"code": status, "message": refused.message, "status": name, **details}}


def fields(request_id: str) -> Fields:
    """The header fields of every answer; Google's have no request id, this one is for the log."""
    return [("x-request-id", request_id), ("vary", "Origin, X-Origin, Referer")]


def count(tokens: int) -> dict[str, Any]:
    """The answer of countTokens."""
    return {"totalTokens": tokens, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": tokens}]}


def models(known: Models, name: str, _query: dict[str, str]) -> dict[str, Any]:
    """The model `name`, or all of Google's."""
    return _model(known.one(name)) if name else {"models": [_model(model) for model in known.of("google")]}


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": f"models/{model.id}",
        "version": "001",
        "displayName": model.id,
        "inputTokenLimit": model.context_window or _WINDOW_TOKENS,
        "outputTokenLimit": model.max_output_tokens or _OUTPUT_TOKENS,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def spoiler(malformed: Malformation, _serial: int) -> Frame:
    """The frame that spoils a stream."""
    if malformed == "error_event":
        return Frame(encode(error(Refused(ERROR_MESSAGE, status=500), "")), 0, "spoiler")
    return Frame(b'{"candidates":[]}' if malformed == "huge_line" else b'{"candidates":[{"con', 0, "spoiler")


def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """A whole answer: what is said in one part of each kind."""
    candidates = []
    for choice in answer.choices:
        parts: list[dict[str, Any]] = []
        for piece in choice.pieces:
            part = _part(asked, answer, choice, piece)
            last = parts[-1] if parts else {}
            if part is None:
                continue
            if "text" in part and "text" in last and part.get("thought") == last.get("thought"):
                last["text"] += part["text"]
            else:
                parts.append(part)
        _sign_text(asked, answer, choice, parts)
        candidates.append(_candidate(choice, parts, _finish_reason(asked, choice)))
    return {"candidates": candidates, **_used(asked, answer, answer.completion_tokens), **_tail(answer)}


def _candidate(choice: Choice, parts: list[dict[str, Any]], reason: str | None) -> dict[str, Any]:
    content: dict[str, Any] = {"role": "model"}
    if parts:
        content["parts"] = parts
    ended = {} if reason is None else {"finishReason": reason}
    return {"content": content, **ended, "index": choice.index}


def _tail(answer: Answer) -> dict[str, Any]:
    return {"modelVersion": answer.model, "responseId": answer.id}


def _finish_reason(asked: Asked, choice: Choice) -> str | None:
    if asked.question.plan.malformed == "no_finish":
        return None
    return _FINISH_REASONS.get(choice.finish_reason, choice.finish_reason)


def _part(asked: Asked, answer: Answer, choice: Choice, piece: Piece) -> dict[str, Any] | None:
    """The part that a piece is, or None: calls come whole, with the last of their arguments; thoughts may be hidden."""
    if piece.kind == "text":
        return {"text": piece.text}
    if piece.kind == "reasoning":
        config = asked.body.get("generationConfig", {}).get("thinkingConfig", {})
        shown = config.get("includeThoughts") or asked.question.plan.reasoning
        return {"text": piece.text, "thought": True} if shown else None
    pieces = [each for each in choice.pieces if each.kind in ("call", "arguments") and each.call == piece.call]
    call = choice.calls[piece.call]
    if piece is not pieces[-1] or choice.said("arguments", piece.call) != call.arguments:
        return None
    named = {"id": call.key} if traits_of(asked.question.model).call_ids else {}
    part: dict[str, Any] = {"functionCall": {**named, "name": call.name, "args": msgspec.json.decode(call.arguments)}}
    if piece.call == 0 and _signs(asked, choice):
        part["thoughtSignature"] = signature(Dice(answer.id, choice.index), CALL, call.name)
    return part


def _signs(asked: Asked, choice: Choice) -> bool:
    """Whether answers are signed: those that were thought of, and every call of a model that insists on it."""
    return bool(choice.reasoning_tokens) or traits_of(asked.question.model).signed_calls


def _sign_text(asked: Asked, answer: Answer, choice: Choice, parts: list[dict[str, Any]]) -> None:
    """An answer in words has the signature at its end."""
    if parts and not choice.calls and choice.reasoning_tokens and "text" in parts[-1]:
        parts[-1]["thoughtSignature"] = signature(Dice(answer.id, choice.index), TEXT)


def _used(asked: Asked, answer: Answer, said: int) -> dict[str, Any]:
    """usageMetadata; the thoughts are beside the candidates' tokens, the cached ones within the prompt's."""
    fault = asked.question.plan.usage
    if fault in ("absent", "null"):
        return {} if fault == "absent" else {"usageMetadata": None}
    counted = counts(answer, fault, said)
    form = counted.form
    used = {
        "promptTokenCount": form(counted.prompt),
        "candidatesTokenCount": form(counted.completion - counted.reasoning),
        "totalTokenCount": form(counted.prompt + counted.completion),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": form(counted.prompt)}],
    }
    if asked.question.plan.service_tier is not None:
        used["serviceTier"] = asked.question.plan.service_tier
    if counted.cached:
        used["cachedContentTokenCount"] = form(counted.cached)
    if counted.reasoning:
        used["thoughtsTokenCount"] = form(counted.reasoning)
    return {"usageMetadata": used}


def frames(asked: Asked, answer: Answer) -> Iterator[Frame]:
    """The chunks of a streamed answer: the candidates' parts by turns, usage so far in each, the ends in the last."""
    said = 0
    fault = asked.question.plan.usage
    left = [(choice, iter(choice.pieces)) for choice in answer.choices]
    while left:
        still = []
        for choice, pieces in left:
            piece = next(pieces, None)
            if piece is None:
                continue
            still.append((choice, pieces))
            said += piece.tokens
            part = _part(asked, answer, choice, piece)
            if part is None:
                yield Frame(b"", piece.tokens, "token")
                continue
            used = _used(asked, answer, said) if fault in (None, "cumulative") else {}
            yield Frame(
                encode({"candidates": [_candidate(choice, [part], None)], **used, **_tail(answer)}),
                piece.tokens,
                "token",
            )
        left = still
    yield from _ends(asked, answer)


def _ends(asked: Asked, answer: Answer) -> Iterator[Frame]:
    candidates = []
    for choice in answer.choices:
        parts: list[dict[str, Any]] = [{"text": ""}]  # after calls too: envoyproxy/ai-gateway#2399
        _sign_text(asked, answer, choice, parts)
        candidates.append(_candidate(choice, parts, _finish_reason(asked, choice)))
    used = _used(asked, answer, answer.completion_tokens)
    is_array = asked.framing is JSON_ARRAY
    last = Frame(encode({"candidates": candidates, **used, **_tail(answer)}), 0, "usage" if is_array else "end")
    if asked.question.plan.usage == "twice":
        yield last._replace(kind="usage")
        last = last._replace(data=encode({**used, **_tail(answer)}))
    yield last
    if is_array:
        yield Frame(b"]", 0, "end")
