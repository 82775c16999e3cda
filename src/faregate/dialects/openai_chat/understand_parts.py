"""The content parts of a client's messages (openai-openapi, ChatCompletionRequest*MessageContentPart; conformance 2.1).

Beside OpenAI's own parts those are read that clients of compatible servers send: `video_url`, and `cache_control` marks
on any part. A part of a type that is not known is Foreign.
"""

import msgspec

from ...core.conversation import CacheLifetime, Foreign, Media, Part, Refusal, Text
from .. import bodies, media
from ..bodies import NULL, Extra, keep_unknown, missing

DIALECT = "openai_chat"

# What `input_audio.format` says, as media types; the first of each is how it is said.
AUDIO_FORMATS = {"wav": "audio/wav", "mp3": "audio/mpeg", "flac": "audio/flac", "ogg": "audio/ogg"}


class CacheMark(msgspec.Struct):
    """Anthropic's `cache_control`, which its users send in this dialect too."""

    type: str = ""
    ttl: CacheLifetime | None = None


class _Address(msgspec.Struct):
    url: str
    detail: str | None = None


class _Sound(msgspec.Struct):
    data: str
    format: str = ""


class _File(msgspec.Struct):
    file_data: str | None = None
    file_id: str | None = None
    filename: str | None = None


class _Part(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Address | str | None = None
    video_url: _Address | str | None = None
    input_audio: _Sound | None = None
    file: _File | None = None
    cache_control: CacheMark | None = None
    prompt_cache_breakpoint: msgspec.Raw = NULL


# The types of parts that are understood, each with its one member and what is known inside it.
_KNOWN: dict[str, tuple[str, frozenset[str]]] = {
    "text": ("text", frozenset()),
    "refusal": ("refusal", frozenset()),
    "image_url": ("image_url", frozenset({"url", "detail"})),
    "video_url": ("video_url", frozenset({"url", "detail"})),
    "input_audio": ("input_audio", frozenset({"data", "format"})),
    "file": ("file", frozenset({"file_data", "file_id", "filename"})),
}
_MARKS = frozenset({"type", "cache_control", "prompt_cache_breakpoint"})
_OBJECT = b"{"[0]

_parts_decoder = msgspec.json.Decoder(list[_Part])
_raw_parts_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def understand_content(raw: msgspec.Raw, path: str, extra: Extra) -> tuple[Part, ...]:
    """The parts of a message's `content`, which stands at `path`: a string, a list of parts, or null. What has no
    place goes to `extra`. MalformedRequest names what is wrong."""
    first = memoryview(raw)[:1]
    if first == b"n":
        return ()
    if first == b'"':
        return (Text(msgspec.json.decode(raw)),)
    parts = bodies.decode(_parts_decoder, raw, path)
    raws = _raw_parts_decoder.decode(raw)
    return tuple(
        _part(part, each, f"{path}[{index}]", extra) for index, (part, each) in enumerate(zip(parts, raws, strict=True))
    )


def cache_of(mark: CacheMark | None, end: msgspec.Raw = NULL) -> CacheLifetime:
    """How long a mark asks for: five minutes where it does not say."""
    if mark is not None and mark.type:
        return mark.ttl or "5m"
    return "" if bytes(end) == b"null" else "5m"


def _part(part: _Part, raw: msgspec.Raw, path: str, extra: Extra) -> Part:
    if part.type not in _KNOWN:
        return Foreign(dialect=DIALECT, name=part.type, raw=msgspec.Raw(bytes(raw)), path=path)
    member, inside = _KNOWN[part.type]
    members = keep_unknown(raw, _MARKS | {member}, path, extra)
    value = getattr(part, member)
    if value is None:
        raise missing(f"{path}.{member}")
    if inside and memoryview(members[member])[0] == _OBJECT:
        keep_unknown(members[member], inside, f"{path}.{member}", extra)
    cache = cache_of(part.cache_control, part.prompt_cache_breakpoint)
    at = f"{path}.{member}"
    if part.type == "text":
        return Text(value, cache=cache)
    if part.type == "refusal":
        return Refusal(value)
    if part.type == "input_audio":
        return _sound(value, at, cache)
    if part.type == "file":
        return _file(value, at, cache)
    return _seen(part.type, value, at, cache)


def _seen(type_: str, value: _Address | str, path: str, cache: CacheLifetime) -> Media:
    """A picture or film. Some clients give the address without an object around it."""
    url, detail = (value, None) if isinstance(value, str) else (value.url, value.detail)
    at = path if isinstance(value, str) else f"{path}.url"
    kind = "image" if type_ == "image_url" else "video"
    found = media.read_data_uri(url)
    if found is None:
        return Media(kind=kind, url=media.fetched_from(url, at), detail=detail or "", cache=cache)
    media.seen_in(found.data, at, found.media_type, is_picture=kind == "image")
    return Media(kind=kind, media_type=found.media_type, data=found.data, detail=detail or "", cache=cache)


def _sound(sound: _Sound, path: str, cache: CacheLifetime) -> Media:
    found = media.read_data_uri(sound.data)
    data = sound.data if found is None else found.data
    sniffed = media.seen_in(data, f"{path}.data")
    stated = AUDIO_FORMATS.get(sound.format, f"audio/{sound.format}") if sound.format else ""
    return Media(kind="audio", media_type=stated or sniffed, data=data, cache=cache)


def _file(file: _File, path: str, cache: CacheLifetime) -> Media:
    name = file.filename or ""
    if file.file_id:
        return Media(kind="document", file_id=file.file_id, name=name, cache=cache)
    given = file.file_data
    if given is None:
        raise missing(f"{path}.file_data")
    if given.startswith(("http://", "https://")):
        return Media(kind="document", url=given, name=name, cache=cache)
    found = media.read_data_uri(given)
    data = given if found is None else found.data
    stated = "" if found is None else found.media_type
    sniffed = media.seen_in(data, f"{path}.file_data", stated)
    media_type = sniffed if found is None else stated
    return Media(kind=media.kind_of(media_type), media_type=media_type, data=data, name=name, cache=cache)
