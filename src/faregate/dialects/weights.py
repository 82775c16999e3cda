"""What a prompt weighs before anybody is asked: its text by the byte, a picture by the piece, a file by its bytes.

Only what stands where its dialect has pictures and files is one of them. The same bytes in a text, in a call's
arguments or in a tool's schema are words to the model, and paid for as words.

A body may be megabytes of one picture, so it is gone through as seldom as can be: whoever checks a message's parts
decodes them once, as Part, and has them weighed; nothing is searched for.
"""

from collections.abc import Iterable

import msgspec

from .bodies import NULL

DEPTH_MAX = 4  # of lists within lists: messages, their parts, and what a call's result holds
_LIST, _STRING, _OBJECT = b"["[0], b'"'[0], b"{"[0]
_DATA = b'"data:'
_PICTURES = frozenset({"image_url", "input_image", "computer_screenshot"})
_FILES = frozenset({"file", "input_file", "video_url"})


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
    input_audio: msgspec.Raw = NULL
    file: msgspec.Raw = NULL
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
            weight.take(_embedded(part.image_url), is_picture=True)
        elif kind == "image_generation_call":
            weight.take(_length(part.result), is_picture=True)
        elif kind == "input_audio":
            weight.has_audio = True
            weight.take(_embedded(part.input_audio), is_picture=False)
        elif kind in _FILES:
            _weigh_file(part, weight)
        elif depth < DEPTH_MAX:
            if kind == "computer_call_output":
                weigh(parts_of(b"[%b]" % bytes(part.output)), weight, depth + 1)  # one picture
            for inner in (part.content, part.output):
                if inner is not NULL:
                    weigh(parts_of(inner), weight, depth + 1)


def _weigh_file(part: Part | TypedPart, weight: Weight) -> None:
    embedded = _length(part.file_data) or _embedded(part.file) or _embedded(part.video_url)
    if embedded:
        weight.take(embedded, is_picture=False)
    else:
        weight.refer()


def _embedded(raw: msgspec.Raw) -> int:
    """How long the base64 is that a part holds; 0 where it only says where to find it."""
    first = memoryview(raw)[0]
    if first == _STRING:
        return _length(raw) if memoryview(raw)[: len(_DATA)] == _DATA else 0
    if first != _OBJECT:
        return 0
    held = _bytes_decoder.decode(raw)
    return _embedded(held.url) or _length(held.data) or _length(held.file_data)


def _length(raw: msgspec.Raw) -> int:
    view = memoryview(raw)
    return len(view) if view[0] == _STRING else 0
