"""Pictures, documents, sounds and films as Converse takes them: by their bytes, or by an address in S3 (API reference,
ImageBlock, DocumentBlock, AudioBlock, VideoBlock)."""

import base64
import re

from ...core.conversation import Media
from ...core.errors import Inexpressible
from ..media import sniffed
from .blocks import Written

_FORMATS: dict[str, dict[str, str]] = {
    "image": {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"},
    "document": {
        "application/pdf": "pdf",
        "text/csv": "csv",
        "application/msword": "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
        "application/vnd.ms-excel": "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
        "text/html": "html",
        "text/markdown": "md",
        "application/json": "txt",
        "application/xml": "txt",
    },
    "audio": {
        "audio/mpeg": "mp3",
        "audio/mp3": "mp3",
        "audio/wav": "wav",
        "audio/x-wav": "wav",
        "audio/wave": "wav",
        "audio/flac": "flac",
        "audio/ogg": "ogg",
        "audio/opus": "opus",
        "audio/aac": "aac",
        "audio/mp4": "mp4",
        "audio/m4a": "m4a",
        "audio/x-m4a": "m4a",
        "audio/webm": "webm",
        "audio/pcm": "pcm",
    },
    "video": {
        "video/mp4": "mp4",
        "video/quicktime": "mov",
        "video/webm": "webm",
        "video/x-matroska": "mkv",
        "video/x-flv": "flv",
        "video/mpeg": "mpeg",
        "video/x-ms-wmv": "wmv",
        "video/3gpp": "three_gp",
    },
}
_ENDINGS = {ending: ending for ending in ("pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md")}
_ENDING = re.compile(r"\.([A-Za-z0-9]{1,5})\Z")
# DocumentBlock.name: letters, digits, single spaces, hyphens, parentheses and square brackets.
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_NAME_CHARACTERS_MAX = 190  # of 200, so that a number fits


class Attachments:
    """Writes those of one request. `dropped` and `adjusted` gather what they do not say, or say otherwise."""

    def __init__(self) -> None:
        self.dropped: list[str] = []
        self.adjusted: list[str] = []
        self._names: set[str] = set()

    def block(self, part: Media) -> Written:
        """The block of a picture and its like. Inexpressible for what cannot be taken."""
        if part.detail and part.detail != "auto":
            self.dropped.append("detail")
        kind = "document" if part.text else part.kind
        written: Written = {"format": "txt" if part.text else _format(part), "source": _source(part)}
        if kind == "document":
            written = {"name": self._name(part.name), **written}
        elif part.name:
            self.dropped.append("filename")
        return {kind: written}

    def _name(self, given: str) -> str:
        """A document's name as Converse takes it, one of its own for each."""
        bare = _UNNAMEABLE.sub(" ", _ENDING.sub("", given)).strip()[:_NAME_CHARACTERS_MAX].strip() or "document"
        name, number = bare, 1
        while name.lower() in self._names:
            number += 1
            name = f"{bare} {number}"
        self._names.add(name.lower())
        if given and name != given:
            self.adjusted.append(f"filename={name}")
        return name


def _format(part: Media) -> str:
    formats = _FORMATS[part.kind]
    stated = part.media_type.partition(";")[0].strip().lower()
    try:
        shown = sniffed(part.data)
    except ValueError:
        raise Inexpressible("This is no base64.", param="messages") from None
    found = formats.get(shown) or formats.get(stated)
    ending = _ENDING.search(part.name or part.url)
    if found is None and part.kind == "document":
        found = _ENDINGS.get(ending[1].lower()) if ending else None
        found = found or ("txt" if stated.startswith("text/") else None)
    elif found is None and part.url and ending:
        found = {"jpg": "jpeg"}.get(ending[1].lower(), ending[1].lower())
        found = found if found in formats.values() else None
    if found is None:
        raise Inexpressible(
            f"The provider of this model takes no '{shown or stated or 'bytes of an unknown type'}'.",
            param="messages",
            kind="unsupported_image_type" if part.kind == "image" else None,
        )
    return found


def _source(part: Media) -> Written:
    if part.text:
        return {"bytes": base64.b64encode(part.text.encode()).decode()}
    if part.data:
        return {"bytes": part.data}
    if part.url.startswith("s3://"):
        return {"s3Location": {"uri": part.url}}
    what = f"'{part.url[:200]}'" if part.url else f"the file '{part.file_id[:200]}'"
    raise Inexpressible(f"The provider of this model cannot fetch {what}: give its bytes.", param="messages")
