"""What a prompt weighs before anybody is asked: its text by the byte, a picture by the piece, a file by its bytes.

Only what stands where its dialect has pictures and files is one of them. The same bytes in a text, in a call's
arguments or in a tool's schema are words to the model, and paid for as words.
"""

import msgspec

from .bodies import NULL

DEPTH_MAX = 4  # of lists within lists: messages, their parts, and what a call's result holds
_LIST, _STRING, _OBJECT = b"["[0], b'"'[0], b"{"[0]
_DATA = b'"data:'


class Weight(msgspec.Struct):
    """Of a body: the bytes that are text, how many pictures and files it has, the bytes of those that are no pictures;
    `is_open` where it names what is not in it, of which nobody knows how much that is."""

    text_bytes: int
    images: int = 0
    media_bytes: int = 0
    is_open: bool = False

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


class _Part(msgspec.Struct):
    """An item, a message, or a part of one, of chat or of the Responses API."""

    type: str | None = None
    content: msgspec.Raw = NULL
    output: msgspec.Raw = NULL
    image_url: msgspec.Raw = NULL
    video_url: msgspec.Raw = NULL
    input_audio: msgspec.Raw = NULL
    file: msgspec.Raw = NULL
    file_data: msgspec.Raw = NULL
    result: msgspec.Raw = NULL


class _Bytes(msgspec.Struct):
    """What holds the bytes of a file, whatever its kind."""

    url: msgspec.Raw = NULL
    data: msgspec.Raw = NULL
    file_data: msgspec.Raw = NULL


_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_part_decoder = msgspec.json.Decoder(_Part)
_bytes_decoder = msgspec.json.Decoder(_Bytes)


def weigh(body: bytes, said: bytes | msgspec.Raw) -> Weight:
    """The weight of a body of OpenAI's dialects, of which `said` are its messages or items."""
    weight = Weight(len(body))
    if (
        b'"image_url"' in body
        or b'file"' in body
        or b'"input_audio"' in body
        or b'"video_url"' in body
        or b'_image"' in body
        or b'"image_generation_call"' in body
    ):
        _walk(said, weight)
    return weight


def elements_of(raw: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of a list; none of what is no list."""
    return _list_decoder.decode(raw) if memoryview(raw)[0] == _LIST else []


def _walk(raw: bytes | msgspec.Raw, weight: Weight, depth: int = 0) -> None:
    for each in elements_of(raw) if depth < DEPTH_MAX else ():
        try:
            part = _part_decoder.decode(each)
        except msgspec.ValidationError:
            continue  # whoever reads it says what is wrong with it
        if part.type in ("image_url", "input_image"):
            weight.take(_embedded(part.image_url), is_picture=True)
        elif part.type == "image_generation_call":
            weight.take(_length(part.result), is_picture=True)
        elif part.type == "input_audio":
            weight.take(_embedded(part.input_audio), is_picture=False)
        elif part.type in ("file", "input_file", "video_url"):
            _weigh_file(part, weight)
        elif part.type == "computer_call_output":
            _walk(b"[%b]" % bytes(part.output), weight, depth + 1)  # one picture
        else:
            _walk(part.content, weight, depth + 1)
            _walk(part.output, weight, depth + 1)


def _weigh_file(part: _Part, weight: Weight) -> None:
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
