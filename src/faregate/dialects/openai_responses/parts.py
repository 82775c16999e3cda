"""The content of items: texts, refusals, pictures and files, as parts of a Conversation and back."""

from typing import Any

import msgspec

from ...core.conversation import Citation, Foreign, Media, Part, Refusal, Text
from ...core.errors import MalformedRequest
from .. import media
from ..bodies import Extra, decode, keep_unknown
from .proofs import NAME

_STRING = b'"'[0]
_NULL = msgspec.Raw(b"null")


class Annotation(msgspec.Struct):
    """What a text rests on; only addresses of pages have a place among Citations."""

    type: str = ""
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None


class _Sound(msgspec.Struct):
    data: str
    format: str


class ContentPart(msgspec.Struct):
    """A part of an item's content, of any type."""

    type: str
    text: str | None = None
    refusal: str | None = None
    annotations: list[Annotation] | None = None
    logprobs: msgspec.Raw = _NULL
    image_url: str | None = None
    detail: str | None = None
    file_id: str | None = None
    file_url: str | None = None
    file_data: str | None = None
    filename: str | None = None
    input_audio: _Sound | None = None
    data: str | None = None
    transcript: str | None = None


_string_decoder = msgspec.json.Decoder(str)
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_part_decoder = msgspec.json.Decoder(ContentPart)
_TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")
# The types of parts that are understood, and their members.
_KNOWN = {
    **{name: frozenset({"type", "text"}) for name in _TEXTS},
    "output_text": frozenset({"type", "text", "annotations", "logprobs"}),
    "refusal": frozenset({"type", "refusal"}),
    "input_image": frozenset({"type", "image_url", "file_id", "detail"}),
    "input_file": frozenset({"type", "file_id", "file_url", "file_data", "filename"}),
    "input_audio": frozenset({"type", "input_audio"}),
}


def parts_of(raw: msgspec.Raw, within: str, extra: Extra) -> tuple[Part, ...]:
    """The parts of a `content` or `output`: a string, or a list. What has no place goes to `extra`. MalformedRequest
    names what does not fit."""
    if memoryview(raw)[0] == _STRING:
        return (Text(decode(_string_decoder, raw, within)),)
    raws = decode(_raws_decoder, raw, within)
    return tuple(_part(each, f"{within}[{index}]", extra) for index, each in enumerate(raws))


def _part(raw: msgspec.Raw, within: str, extra: Extra) -> Part:
    part: ContentPart = decode(_part_decoder, raw, within)
    if part.type not in _KNOWN:
        return Foreign(dialect=NAME, name=part.type, raw=raw, path=within)
    members = keep_unknown(raw, _KNOWN[part.type], within, extra)
    if part.type in _TEXTS:
        citations = citations_of(part.annotations)
        if len(citations) < len(part.annotations or ()):
            extra[f"{within}.annotations"] = members["annotations"]
        return Text(_needed(part.text, within, "text"), citations=citations)
    if part.type == "refusal":
        return Refusal(_needed(part.refusal, within, "refusal"))
    if part.type == "input_image":
        if part.file_id is not None:
            return Media(kind="image", file_id=part.file_id, detail=part.detail or "")
        return _picture(_needed(part.image_url, within, "image_url"), f"{within}.image_url", part.detail or "")
    if part.type == "input_file":
        return _file(part, within)
    sound = part.input_audio
    if sound is None:
        raise _missing(f"{within}.input_audio")
    keep_unknown(members["input_audio"], frozenset(_Sound.__struct_fields__), f"{within}.input_audio", extra)
    media.seen_in(sound.data, f"{within}.input_audio.data")
    return Media(kind="audio", media_type=f"audio/{sound.format}", data=sound.data)


def _file(part: ContentPart, within: str) -> Media:
    name = part.filename or ""
    if part.file_id is not None:
        return Media(kind="document", file_id=part.file_id, name=name)
    if part.file_url is not None:
        return Media(kind="document", url=media.fetched_from(part.file_url, f"{within}.file_url"), name=name)
    given, at = _needed(part.file_data, within, "file_data"), f"{within}.file_data"
    found = media.read_data_uri(given) or media.DataUri("", given)  # the bytes of files come as bare base64 too
    media.seen_in(found.data, at, found.media_type)
    return Media(kind="document", media_type=found.media_type, data=found.data, name=name)


def _picture(given: str, at: str, detail: str) -> Media:
    found = media.read_data_uri(given)
    if found is None:
        return Media(kind="image", url=media.fetched_from(given, at), detail=detail)
    media.seen_in(found.data, at, found.media_type, is_picture=True)
    return Media(kind="image", media_type=found.media_type, data=found.data, detail=detail)


def citations_of(annotations: list[Annotation] | None) -> tuple[Citation, ...]:
    """The pages that a text rests on."""
    return tuple(citation_of(each) for each in annotations or () if each.type == "url_citation" and each.url)


def citation_of(each: Annotation) -> Citation:
    """One page."""
    start = -1 if each.start_index is None else each.start_index
    end = -1 if each.end_index is None else each.end_index
    return Citation(url=each.url or "", title=each.title or "", start=start, end=end)


def annotation_of(citation: Citation, length: int) -> dict[str, object]:
    """A page that a text rests on, for a client: all of the text's `length`, where it does not say what of it."""
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title,
        "start_index": max(0, citation.start),
        "end_index": length if citation.end < 0 else citation.end,
    }


def placed(citation: Citation, offset: int, length: int) -> Citation:
    """A citation of a text of that length, in what is said in one with the texts before it."""
    start, end = (0, length) if citation.start < 0 else (citation.start, max(citation.end, citation.start))
    return msgspec.structs.replace(citation, start=start + offset, end=end + offset)


def write_part(part: Text | Media | Refusal, *, is_answer: bool) -> dict[str, Any] | None:
    """A part for an upstream; None for what the API does not take; documents that are words alone are text."""
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text} if is_answer else {"type": "input_text", "text": part.text}
    if isinstance(part, Text):
        if is_answer:
            return {"type": "output_text", "text": part.text, "annotations": []}
        return {"type": "input_text", "text": part.text}
    if part.text:
        return {"type": "input_text", "text": part.text}
    uri = media.data_uri(part.media_type, part.data) if part.data else ""
    if part.kind == "image":
        source = {"file_id": part.file_id} if part.file_id else {"image_url": part.url or uri}
        return {"type": "input_image", **source, **({"detail": part.detail} if part.detail else {})}
    if part.kind == "document":
        named = {"filename": part.name or "document"} if part.data else {}
        source = {"file_id": part.file_id} if part.file_id else {"file_url": part.url}
        return {"type": "input_file", **({"file_data": uri} if part.data else source), **named}
    if part.kind == "audio" and part.data:  # the SDK's ResponseInputAudio
        sound = {"data": part.data, "format": part.media_type.partition("/")[2]}
        return {"type": "input_audio", "input_audio": sound}
    return None


def _needed(value: str | None, within: str, member: str) -> str:
    if value is None:
        raise _missing(f"{within}.{member}")
    return value


def _missing(param: str) -> MalformedRequest:
    return MalformedRequest(f"Missing required parameter: '{param}'.", param=param)
