"""A provider's whole answer, and the pieces of a stream, which have the same form (GenerateContentResponse)."""

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec

from ...core.conversation import Choice, Citation, Foreign, Media, Part, Text, ToolCall
from ...core.events import Completion
from ...core.usage import Usage
from ...wire.messages import BadMessage
from ..bodies import members_decoder
from ..media import kind_of
from . import body as wire
from .body import ABSENT
from .errors import words_of
from .logprobs import openai_logprobs
from .proofs import NAME, thinking_of, unsealed
from .reasons import is_reason, reason_of, went_wrong
from .usage import read_usage

_TALK = ("thoughtSignature", "thought", "text")
_CITATIONS_MAX = 1_000


class Feedback(msgspec.Struct, rename="camel"):
    """Why a prompt was not answered."""

    block_reason: str | None = None
    block_reason_message: str | None = None


class AnswerContent(msgspec.Struct):
    """What was said."""

    parts: list[msgspec.Raw] | None = None


class Candidate(msgspec.Struct, rename="camel"):
    """One answer, or the next piece of it."""

    content: AnswerContent | None = None
    finish_reason: str | None = None
    finish_message: str | None = None
    index: int = 0
    grounding_metadata: msgspec.Raw = ABSENT
    citation_metadata: msgspec.Raw = ABSENT
    logprobs_result: msgspec.Raw = ABSENT


class Answer(msgspec.Struct, rename="camel"):
    """A whole answer, or a piece of a stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Feedback | None = None
    usage_metadata: msgspec.Raw = ABSENT
    model_version: str | None = None
    response_id: str | None = None
    error: msgspec.Raw = ABSENT


class _Grounding(msgspec.Struct, rename="camel"):
    web_search_queries: list[str] | None = None


_answer_decoder = msgspec.json.Decoder(Answer)
_grounding_decoder = msgspec.json.Decoder(_Grounding)


def decode_answer(data: bytes) -> Answer:
    """An answer or a piece of one. BadMessage for what is none."""
    try:
        return _answer_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None


def blocked(feedback: Feedback | None) -> Choice | None:
    """The answer to a prompt that was blocked; None where it was not."""
    if feedback is None or not feedback.block_reason or feedback.block_reason == "BLOCK_REASON_UNSPECIFIED":
        return None
    word = feedback.block_reason
    words = feedback.block_reason_message or f"The provider blocked the prompt: {word}."
    return Choice(reason="content_filter", native_reason=word, explanation=words)


def parse_result(body: bytes) -> Completion:
    """An upstream's whole answer. BadMessage for what is none, and for an answer that went wrong with nothing said."""
    answer = decode_answer(body)
    if bytes(answer.error) != b"null" and words_of(msgspec.json.decode(body)) is not None:
        raise BadMessage("the answer is an error")
    choices = [_choice(candidate) for candidate in answer.candidates or ()]
    if not choices:
        choice = blocked(answer.prompt_feedback)
        if choice is None:
            raise BadMessage("the answer holds no candidates")
        choices = [choice]
    return Completion(
        id=answer.response_id or "",
        model=answer.model_version or "",
        choices=choices,
        usage=usage_of(answer, has_searched=has_searched(answer)),
    )


def usage_of(answer: Answer, *, has_searched: bool) -> Usage | None:
    """What an answer says that it used so far, and that it `has_searched`, which is paid for by the prompt (pricing,
    grounding with Google Search) and which its figures do not tell."""
    usage = read_usage(answer.usage_metadata)
    return msgspec.structs.replace(usage, searches=1) if has_searched and usage is not None else usage


def has_searched(answer: Answer) -> bool:
    """Whether a piece of an answer tells of a search in the web."""
    for candidate in answer.candidates or ():
        if candidate.grounding_metadata is not ABSENT:
            try:
                if _grounding_decoder.decode(candidate.grounding_metadata).web_search_queries:
                    return True
            except msgspec.DecodeError:
                continue
    return False


def _choice(candidate: Candidate) -> Choice:
    parts = list(parts_of(candidate))
    word = candidate.finish_reason or "STOP"
    if not is_reason(word):
        word = "STOP"
    if not parts and went_wrong(word):
        raise BadMessage(f"the answer went wrong: {word[:64]}")
    if not parts and candidate.finish_reason is None:
        raise BadMessage("the answer says nothing, and not why")
    reason, native = reason_of(word, has_calls=any(isinstance(part, ToolCall) for part in parts))
    citations = tuple(citations_of(candidate))
    spoken = [index for index, part in enumerate(parts) if isinstance(part, Text)]
    if citations and spoken:
        parts[spoken[-1]] = msgspec.structs.replace(parts[spoken[-1]], citations=citations)
    return Choice(
        parts=tuple(parts),
        reason=reason,
        native_reason=native,
        explanation=(candidate.finish_message or "") if reason == "content_filter" else "",
        logprobs=openai_logprobs(candidate.logprobs_result),
    )


def parts_of(candidate: Candidate) -> Iterator[Part]:
    """What a candidate says. BadMessage for a part that is none."""
    for raw in (candidate.content.parts if candidate.content is not None else None) or ():
        try:
            part = _part(wire.part_decoder.decode(raw), raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadMessage("a part is not what it should be") from None
        if part is not None:
            yield part


def _part(part: wire.Part, raw: msgspec.Raw) -> Part | None:
    """One part; None for one that says nothing. A signature does not make a thought of it: only `thought` does."""
    signature, signed_by, _ = unsealed(part.thought_signature) if part.thought_signature else ("", "", False)
    if part.function_call is not None:
        return ToolCall(
            id=part.function_call.id or f"call_{secrets.token_hex(12)}",
            name=part.function_call.name,
            arguments=msgspec.json.encode(part.function_call.args or {}).decode(),
            signature=signature,
            signed_by=signed_by,
        )
    if part.inline_data is not None:
        kind = kind_of(part.inline_data.mime_type)
        return Media(kind=kind, media_type=part.inline_data.mime_type, data=part.inline_data.data)
    if part.file_data is not None:
        about = part.file_data
        return Media(kind=kind_of(about.mime_type), media_type=about.mime_type, url=about.file_uri)
    if part.thought:
        return thinking_of(part.text or "", part.thought_signature or "") if part.text or signature else None
    if part.text or signature:
        return Text(part.text or "", signature=signature)
    name = next((name for name in members_decoder.decode(raw) if name not in _TALK), None)
    return None if name is None else Foreign(dialect=NAME, name=name, raw=raw)


def citations_of(candidate: Candidate) -> Iterator[Citation]:
    """What an answer rests on: pages of a search, and sources that it recites."""
    chunks = _list(candidate.grounding_metadata, "groundingChunks")
    for chunk in chunks[:_CITATIONS_MAX]:
        source = next((each for each in chunk.values() if isinstance(each, dict)), {})
        yield from _citation(source)
    for name in ("citationSources", "citations"):
        for source in _list(candidate.citation_metadata, name)[:_CITATIONS_MAX]:
            yield from _citation(source)


def _citation(source: dict[str, Any]) -> Iterator[Citation]:
    url, title = source.get("uri"), source.get("title")
    if isinstance(url, str) and url:
        yield Citation(url=url, title=title if isinstance(title, str) else "")


def _list(raw: msgspec.Raw, name: str) -> list[dict[str, Any]]:
    found = msgspec.json.decode(raw)
    items = found.get(name) if isinstance(found, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
