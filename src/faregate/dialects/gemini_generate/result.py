"""A whole answer for a client: what was said, as candidates."""

import secrets
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.conversation import Choice, Citation, Foreign, Media, Part, Refusal, Text, Thinking, ToolCall
from ...core.events import Completion
from .logprobs import logprobs_result
from .proofs import NAME, sealed
from .reasons import word_of
from .usage import usage_metadata

_MALFORMED = "MALFORMED_FUNCTION_CALL"
_object_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def new_id() -> str:
    """A `responseId` for an answer whose provider gave none."""
    return secrets.token_urlsafe(16)


def render_result(completion: Completion, request: ChatRequest) -> bytes:
    """See Dialect."""
    answer: dict[str, Any] = {
        "candidates": [
            _candidate(choice, index, request.hides_thoughts) for index, choice in enumerate(completion.choices)
        ]
    }
    if completion.usage is not None:
        answer["usageMetadata"] = usage_metadata(completion.usage)
    answer["modelVersion"] = model_shown(completion.model, request.model)
    answer["responseId"] = completion.id or new_id()
    return msgspec.json.encode(answer)


def _candidate(choice: Choice, index: int, hides_thoughts: bool) -> dict[str, Any]:
    citations: list[Citation] = []
    broken = [part for part in choice.parts if isinstance(part, ToolCall) and object_of(part.arguments) is None]
    parts = [
        rendered
        for part in choice.parts
        if part not in broken and not (hides_thoughts and isinstance(part, Thinking))
        for rendered in render_part(part)
    ]
    for part in choice.parts:
        if isinstance(part, Text):
            citations += part.citations
    word, message = word_of(choice.reason, choice.native_reason), choice.explanation
    if broken:
        word, message = _MALFORMED, f"Malformed function call: {broken[0].name}({broken[0].arguments[:1000]})"
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "finishReason": word, "index": index}
    return candidate | ending(message, citations, choice.logprobs)


def ending(message: str, citations: Iterable[Citation], logprobs: msgspec.Raw | None = None) -> dict[str, Any]:
    """What a candidate says beside its content and its reason."""
    said: dict[str, Any] = {}
    if message:
        said["finishMessage"] = message
    chunks = [{"web": {"uri": each.url, "title": each.title or each.url}} for each in citations if each.url]
    if chunks:
        said["groundingMetadata"] = {"groundingChunks": chunks}
    result = None if logprobs is None else logprobs_result(logprobs)
    if result is not None:
        said["logprobsResult"] = result
    return said


def render_part(part: Part) -> Iterator[dict[str, Any] | msgspec.Raw]:
    """A part as the client sees it; nothing for what it has no place for."""
    if isinstance(part, Text):
        if part.text or part.signature:
            yield {"text": part.text} | _signed(part.signature)
    elif isinstance(part, Refusal):
        yield {"text": part.text}
    elif isinstance(part, Thinking):
        is_redacted = bool(part.redacted)
        signature = sealed(part.redacted or part.signature, part.signed_by, is_redacted=is_redacted)
        yield {"text": part.text, "thought": True} | _signed(signature)
    elif isinstance(part, ToolCall):
        yield function_call(part.id, part.name, part.arguments) | _signed(sealed(part.signature, part.signed_by))
    elif isinstance(part, Media) and part.data:
        yield {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    elif isinstance(part, Media) and part.url:
        yield {"fileData": {"mimeType": part.media_type, "fileUri": part.url}}
    elif isinstance(part, Foreign) and part.dialect == NAME:
        yield part.raw


def function_call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A `functionCall` part; arguments that are no object must have been looked for."""
    return {"functionCall": {"id": call_id, "name": name, "args": object_of(arguments) or {}}}


def object_of(text: str) -> dict[str, msgspec.Raw] | None:
    """The members of a JSON object; no text at all is an empty one, None is for what is none."""
    if not text.strip():
        return {}
    try:
        return _object_decoder.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None


def _signed(signature: str) -> dict[str, Any]:
    return {"thoughtSignature": signature} if signature else {}
