"""What a prompt weighs before anybody is asked: its text by the byte, a picture by the piece, a file by its bytes.

Only what stands where its dialect has pictures and files is one of them. The same bytes in a text, in a call's
arguments or in a tool's schema are words to the model, and paid for as words.

A body may be megabytes of one picture, so it is gone through as seldom as can be: whoever checks a message's parts
decodes them once, as Part, and has them weighed; nothing is searched for.
"""

import re
from collections.abc import Iterable

import msgspec

from .bodies import NULL

SEARCHES_USUAL = 10  # more than nearly all answers take, where the client does not bound them
SEARCHES_MAX = 100
DEPTH_MAX = 4  # of lists within lists: messages, their parts, and what a call's result holds
_LIST, _STRING, _OBJECT, _NULL = b"["[0], b'"'[0], b"{"[0], b"n"[0]
_DATA = b'"data:'
_PICTURES = frozenset({"image_url", "input_image", "computer_screenshot"})
_FILES = frozenset({"file", "input_file", "input_audio", "video_url", "audio_url", "document_url", "file_url", "video"})
# Where a part of these says which file it is, by an address or an id, and where it has the bytes. Hosts take addresses
# for bytes too: DashScope (Qwen-Omni) in `input_audio.data`, OpenRouter (PDF inputs) in `file_data`; "audio_url" is
# vLLM's (multimodal inputs), "document_url" Mistral's (API, chat completions), "video" DashScope's, a list of pictures.
_ADDRESSES = ("file", "file_id", "file_url", "video_url", "audio_url", "document_url", "video")
_CONTENTS = ("file_data", "input_audio")
_INNER_ADDRESSES = ("url", "file_id", "file_url")
_INNER_CONTENTS = ("data", "file_data")
_BACKSLASH = b"\\"[0]
_SCHEME_CHARACTERS = 16  # an address has its "://" within them
_ESCAPED_BYTES = 6
_ESCAPED = re.compile(rb"\\u00([0-7][0-9a-fA-F])")


class Weight(msgspec.Struct):
    """Of a body: the bytes that are text, how many pictures and files it has, the bytes of those that are no pictures;
    `is_open` where it names what is not in it, of which nobody knows how much that is; what is to be seen and heard."""

    text_bytes: int
    images: int = 0
    media_bytes: int = 0
    is_open: bool = False
    has_images: bool = False
    has_audio: bool = False

    def take(self, data_bytes: int, *, is_picture: bool) -> None:
        """A picture or file whose base64 is so long."""
        self.images += 1
        self.text_bytes -= data_bytes
        if not is_picture:
            self.media_bytes += data_bytes

    def refer(self) -> None:
        """A file that is elsewhere."""
        self.images += 1
        self.is_open = True


class _Holding(msgspec.Struct, kw_only=True):
    content: msgspec.Raw = NULL
    output: msgspec.Raw = NULL
    image_url: msgspec.Raw = NULL
    video_url: msgspec.Raw = NULL
    audio_url: msgspec.Raw = NULL
    document_url: msgspec.Raw = NULL
    video: msgspec.Raw = NULL
    input_audio: msgspec.Raw = NULL
    file: msgspec.Raw = NULL
    file_id: msgspec.Raw = NULL
    file_url: msgspec.Raw = NULL
    file_data: msgspec.Raw = NULL
    result: msgspec.Raw = NULL


class Part(_Holding, kw_only=True):
    """An item, a message, or a part of one, of chat or of the Responses API."""

    type: str | None = None


class TypedPart(_Holding, kw_only=True):
    """One that must say what it is."""

    type: str


class _Bytes(msgspec.Struct):
    """What holds the bytes of a file, whatever its kind."""

    url: msgspec.Raw = NULL
    data: msgspec.Raw = NULL
    file_id: msgspec.Raw = NULL
    file_url: msgspec.Raw = NULL
    file_data: msgspec.Raw = NULL


_elements_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_parts_decoder = msgspec.json.Decoder(list[Part])
_part_decoder = msgspec.json.Decoder(Part)
_bytes_decoder = msgspec.json.Decoder(_Bytes)


def parts_of(raw: bytes | msgspec.Raw) -> list[Part]:
    """The parts in a list; none of what is no list, nor what is no part: whoever reads it says what is wrong."""
    if memoryview(raw)[0] != _LIST:
        return []
    try:
        return _parts_decoder.decode(raw)
    except msgspec.ValidationError:
        return [part for each in _elements_decoder.decode(raw) if (part := _part_of(each)) is not None]


def _part_of(raw: msgspec.Raw) -> Part | None:
    if memoryview(raw)[0] != _OBJECT:
        return None  # a list may have a million numbers, and an error takes ten times as long as a look
    try:
        return _part_decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def weigh(parts: Iterable[Part | TypedPart], weight: Weight, depth: int = 0) -> None:
    """Add what parts of OpenAI's dialects weigh, and what is in them."""
    for part in parts:
        kind = part.type
        if kind in _PICTURES:
            weight.has_images = True
            weight.take(_held(part, ("image_url",), ())[0], is_picture=True)
        elif kind == "image_generation_call":
            weight.take(_length(part.result), is_picture=True)
        elif kind in _FILES:
            weight.has_audio = weight.has_audio or kind == "input_audio"
            _weigh_file(part, weight)
        elif depth < DEPTH_MAX:
            if kind == "computer_call_output":
                weigh(parts_of(b"[%b]" % bytes(part.output)), weight, depth + 1)  # one picture
            for inner in (part.content, part.output):
                if inner is not NULL:
                    weigh(parts_of(inner), weight, depth + 1)


def _weigh_file(part: Part | TypedPart, weight: Weight) -> None:
    """Which of several a provider takes is not known: all that are there count."""
    embedded, is_elsewhere = _held(part, _ADDRESSES, _CONTENTS)
    if embedded:
        weight.take(embedded, is_picture=False)
    if is_elsewhere or not embedded:
        weight.refer()


def _held(said: msgspec.Struct, addresses: tuple[str, ...], contents: tuple[str, ...]) -> tuple[int, bool]:
    """How long the base64 is that a part holds, in its members or one level below, and whether any of them only says
    where to find it."""
    embedded, is_elsewhere = 0, False
    for name in addresses + contents:
        raw = getattr(said, name)
        if raw is NULL:
            continue
        first = memoryview(raw)[0]
        if first == _STRING:
            is_address = memoryview(raw)[: len(_DATA)] != _DATA if name in addresses else _is_address(raw)
            embedded += 0 if is_address else _length(raw)
            is_elsewhere = is_elsewhere or is_address
        elif first == _OBJECT and not isinstance(said, _Bytes):
            inner, is_outside = _held(_bytes_decoder.decode(raw), _INNER_ADDRESSES, _INNER_CONTENTS)
            embedded += inner
            is_elsewhere = is_elsewhere or is_outside
        elif first != _NULL:
            is_elsewhere = True  # a list of pictures, say
    return embedded, is_elsewhere


def _is_address(raw: msgspec.Raw) -> bool:
    """Whether a string begins as an address does, in whatever escapes; base64 has no colon."""
    head = bytes(memoryview(raw)[1 : 1 + _SCHEME_CHARACTERS])
    if _BACKSLASH in head:
        head = bytes(memoryview(raw)[1 : 1 + _SCHEME_CHARACTERS * _ESCAPED_BYTES])
        head = _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), head).replace(b"\\/", b"/")
    return b"://" in head


def _length(raw: msgspec.Raw) -> int:
    view = memoryview(raw)
    return len(view) if view[0] == _STRING else 0
