"""Pictures, sounds and documents as the dialects carry them: data URIs, and what bytes really are."""

import base64
import binascii
import contextlib
import re
from collections.abc import Sequence
from typing import NamedTuple

from ..core.conversation import MediaKind
from .bodies import wrong

_URI = re.compile(r"data:([A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+)?(?:;[A-Za-z0-9_=.+-]+)*?;base64,", re.IGNORECASE)
_HEAD_CHARACTERS = 64  # of base64, enough for every mark below
_MARKS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"\xff\xf1", "audio/aac"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
)
# Kinds of picture that show in their first bytes, whoever made them.
_MARKED = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
# Sound without a head, as models make it: 24 kHz, one channel, 16 bits, the lower byte first. OpenAI calls it "pcm16",
# Gemini so (Gemini API docs, "Speech generation").
PCM = "audio/L16;codec=pcm;rate=24000"
SOUND_FORMATS = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "pcm16": PCM,
}
_FORMATS = {media_type: name for name, media_type in reversed(SOUND_FORMATS.items())}
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}


class DataUri(NamedTuple):
    """A data URI's parts: its media type in lower case, "" where it has none, and its base64."""

    media_type: str
    data: str


def read_data_uri(uri: str) -> DataUri | None:
    """The parts of a base64 data URI; None for what is none."""
    found = _URI.match(uri)
    return None if found is None else DataUri((found[1] or "").lower(), uri[found.end() :])


def data_uri(media_type: str, data: str) -> str:
    """A base64 data URI."""
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"


def sniffed(data: str) -> str:
    """The media type that the first bytes of some base64 show; "" where they show none. ValueError where it is no
    base64."""
    try:
        head = base64.b64decode(data[:_HEAD_CHARACTERS] + "=" * (-len(data[:_HEAD_CHARACTERS]) % 4), validate=True)
    except binascii.Error:
        raise ValueError("no base64") from None
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12], "")
    return next((media_type for mark, media_type in _MARKS if head.startswith(mark)), "")


def seen_in(data: str, path: str, stated: str = "", *, is_picture: bool = False) -> str:
    """The media type that some base64 of a client's shows, "" where it shows none. MalformedRequest where it is no
    base64, where it is stated to be a picture of a kind that shows, and shows no picture, and where it stands where a
    picture stands (`is_picture`) and is neither: all providers refuse it, each in words of its own."""
    try:
        found = sniffed(data)
    except ValueError:
        raise wrong(path, "not base64") from None
    if not data:
        raise wrong(path, "it is empty")
    if stated.lower() in _MARKED and not found.startswith("image/"):
        raise wrong(path, f"its bytes are not those of a picture, let alone '{stated}'", kind="unsupported_image_type")
    if is_picture and not (found or stated).lower().startswith("image/"):
        raise wrong(path, f"it is no picture, but '{found or stated}'", kind="unsupported_image_type")
    return found


def fetched_from(url: str, path: str) -> str:
    """An address of a client's. MalformedRequest where a provider could not fetch anything from it."""
    if not url.startswith(("http://", "https://")):
        raise wrong(path, "it is no http(s) address, nor a base64 data URI")
    return url


def kind_of(media_type: str) -> MediaKind:
    """What a media type is a type of; all that is neither seen nor heard is a document."""
    first = media_type.partition("/")[0]
    return first if first in ("image", "audio", "video") else "document"  # type: ignore[return-value]


def sound_of(data: str, format_: object = None) -> str:
    """The media type of a sound that a model made: the one of its format, where that is said, or what its bytes show.
    ValueError where it is no base64."""
    shown = sniffed(data)
    stated = SOUND_FORMATS.get(format_, "") if isinstance(format_, str) else ""
    return stated or (shown if shown.startswith("audio/") else PCM)


def format_of(media_type: str) -> str:
    """What OpenAI calls a kind of sound; "" where it has no word for it."""
    if media_type.lower().startswith("audio/l16"):
        return "pcm16"
    return _FORMATS.get(media_type.partition(";")[0].strip().lower(), "")


def joined(pieces: Sequence[str]) -> str:
    """Pieces, each base64 by itself, as one; what is none is left as it is."""
    if any(piece.endswith("=") for piece in pieces[:-1]):
        with contextlib.suppress(binascii.Error):
            return base64.b64encode(b"".join([base64.b64decode(piece) for piece in pieces])).decode()
    return "".join(pieces)
