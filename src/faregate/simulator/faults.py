"""What a request may ask of the simulator: what to say, at which pace, and what shall go wrong.

`Plan` is the extra top-level member `simulator` of a request's body. `stream_bytes` writes a stream's frames
with or without a malformation, `whole_bytes` a whole answer.
"""

import functools
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Literal, NamedTuple

import msgspec

Count = Annotated[int, msgspec.Meta(ge=0)]
Millis = Annotated[float, msgspec.Meta(ge=0)]

Usage = Literal[
    "absent",
    "negative",
    "absurd",
    "string",
    "float",
    "null",
    "cached_over_prompt",
    "twice",
    "cumulative",
]
Malformation = Literal[
    # Legal event streams, if odd ones; the bytes of the events are whole.
    "cr_only",
    "crlf",
    "comments",
    "multi_line_data",
    "event_id_retry",
    "bom",
    "no_space",
    # Endings that are missing; every token was sent.
    "no_done",
    "no_last_blank_line",
    # Spoiled streams.
    "no_blank_line",
    "not_json",
    "error_event",
    "no_finish",
    "huge_line",
    "pings_only",
    # 200 with something else for a body.
    "html",
    "empty",
    "error_json",
]

REPLACED = frozenset({"html", "empty", "error_json"})
SPOILED = REPLACED | {"no_blank_line", "not_json", "error_event", "no_finish", "huge_line", "pings_only"}
OF_WHOLE_ANSWERS = REPLACED | {"not_json", "no_finish", "huge_line", "bom"}

HUGE_LINE_BYTES = 10 * 1024 * 1024
BOMB_BLOCKS = 256

_BOMB_BLOCK_BYTES = 1024 * 1024
_SPOIL_AFTER_TOKENS = 2
_BOM = b"\xef\xbb\xbf"
_HTML = b"<html>\n<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
_ERROR = (
    b'{"error":{"message":"The server had an error while processing your request.",'
    b'"type":"server_error","param":null,"code":null}}'
)
_BROKEN = b'{"id":"chatcmpl-'


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a request may set. Without it the simulator answers well and at once."""

    # What to say. These hold even where the faults do not apply.
    text: str | None = None  # exactly this, tools or not
    output_tokens: Count | None = None  # this many of its own
    reasoning: bool = False  # show reasoning_content
    cached_tokens: Count = 0  # of the prompt
    answer_model: str | None = None  # the name in the answer
    ignore_max_tokens: bool = False

    # At which pace. A stream's head leaves at once; stall_before_head_ms delays it.
    first_token_ms: Millis = 0
    tokens_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    stall_before_head_ms: Millis = 0

    # Which requests have the faults below: those for this model (after the gateway's renaming), and of those
    # with the same body only the first so many.
    when_model: str | None = None
    times: Count | None = None

    # What goes wrong.
    status: Annotated[int, msgspec.Meta(ge=300, le=599)] | None = None
    error_message: str | None = None
    echo_authorization: bool = False
    retry_after_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    redirect_to: str | None = None
    stall_after_tokens: Count | None = None  # then silence; a whole answer stalls half-way
    cut_after_bytes: Count | None = None  # of the body as sent; 0: before the head
    usage: Usage | None = None
    malformed: Malformation | None = None
    chunk_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    headers: dict[str, str | list[str]] = {}
    gzip: bool = False
    gzip_bomb: bool = False

    def without_faults(self) -> "Plan":
        """The same words at the same pace, and nothing goes wrong."""
        return Plan(
            text=self.text,
            output_tokens=self.output_tokens,
            reasoning=self.reasoning,
            cached_tokens=self.cached_tokens,
            answer_model=self.answer_model,
            ignore_max_tokens=self.ignore_max_tokens,
            first_token_ms=self.first_token_ms,
            tokens_per_s=self.tokens_per_s,
        )

    @property
    def in_pieces(self) -> bool:
        """Whether a whole answer is written piece by piece instead of with its length."""
        return self.chunk_bytes is not None or self.cut_after_bytes is not None or self.stall_after_tokens is not None


class Frame(NamedTuple):
    """One event of a stream: its JSON (none for hidden tokens), and how many tokens are said with it."""

    data: bytes
    tokens: int
    kind: Literal["role", "token", "finish", "usage", "spoiler"]


def stream_bytes(frames: Iterable[Frame], malformed: Malformation | None) -> Iterator[tuple[bytes, Frame]]:
    """What to write for each frame, `[DONE]` included, with the frame it stands for."""
    write = _FORMS.get(malformed or "", _plain)
    if malformed == "no_finish":
        frames = (frame for frame in frames if frame.kind != "finish")
    spoiler = _SPOILERS.get(malformed or "")
    if spoiler is not None:
        frames = _spoiled(frames, Frame(spoiler(), 0, "spoiler"), last=malformed == "error_event")
    opening = _BOM if malformed == "bom" else b""
    serial = 0
    for frame in frames:
        yield opening + write(frame.data, serial) if frame.data else b"", frame
        opening = opening if not frame.data else b""
        serial += 1
    if malformed in ("no_done", "error_event"):
        return
    done = b"data: [DONE]\n" if malformed == "no_last_blank_line" else write(b"[DONE]", serial)
    yield done, Frame(b"[DONE]", 0, "finish")


def whole_bytes(body: bytes, malformed: Malformation | None) -> tuple[bytes, str]:
    """The body of a whole answer, and its content type."""
    kind = "application/json"
    if malformed == "html":
        return _HTML, "text/html"
    if malformed == "empty":
        return b"", kind
    if malformed == "error_json":
        return _ERROR, kind
    if malformed == "not_json":
        return body[: len(body) // 2], kind
    if malformed == "huge_line":
        return _padded(body), kind
    return (_BOM if malformed == "bom" else b"") + body, kind


@functools.cache
def gzip_bomb() -> bytes:
    """A quarter of a megabyte that is a JSON string of 256 MiB."""
    block = b"a" * _BOMB_BLOCK_BYTES
    opening, closing = b'{"padding":"', b'"}'
    checksum = zlib.crc32(opening)
    for _ in range(BOMB_BLOCKS):
        checksum = zlib.crc32(block, checksum)
    checksum = zlib.crc32(closing, checksum)
    compressor = zlib.compressobj(9, wbits=-15)
    deflated = [compressor.compress(opening), compressor.flush(zlib.Z_FULL_FLUSH)]
    # After a full flush nothing refers back, so one block's bytes serve for all.
    deflated += [b"".join((compressor.compress(block), compressor.flush(zlib.Z_FULL_FLUSH)))] * BOMB_BLOCKS
    deflated += [compressor.compress(closing), compressor.flush()]
    size_bytes = len(opening) + BOMB_BLOCKS * len(block) + len(closing)
    head = b"\x1f\x8b\x08\0\0\0\0\0\x02\xff"
    return b"".join([head, *deflated, struct.pack("<II", checksum, size_bytes)])


def _spoiled(frames: Iterable[Frame], spoiler: Frame, *, last: bool) -> Iterator[Frame]:
    """`frames` with `spoiler` after a few tokens, and nothing more if it is the `last`."""
    tokens = 0
    spoilt = False
    for frame in frames:
        if not spoilt and (tokens >= _SPOIL_AFTER_TOKENS or frame.kind in ("finish", "usage")):
            yield spoiler
            spoilt = True
            if last:
                return
        yield frame
        tokens += frame.tokens


def _padded(body: bytes) -> bytes:
    return b'{"padding":"%b",%b' % (b"x" * HUGE_LINE_BYTES, body[1:])


_SPOILERS: dict[str, Callable[[], bytes]] = {
    "not_json": lambda: _BROKEN,
    "error_event": lambda: _ERROR,
    "huge_line": lambda: _padded(b'{"object":"chat.completion.chunk","choices":[]}'),
}


def _plain(data: bytes, _serial: int) -> bytes:
    return b"data: %b\n\n" % data


def _multi_line(data: bytes, serial: int) -> bytes:
    if not data.startswith(b"{"):
        return _plain(data, serial)
    lines = msgspec.json.format(data, indent=1).split(b"\n")
    return b"".join(b"data: %b\n" % line for line in lines) + b"\n"


def _with_comments(data: bytes, serial: int) -> bytes:
    return b": keep-alive %d\n\n: before the data\ndata: %b\n:\n\n" % (serial, data)


_FORMS: dict[str, Callable[[bytes, int], bytes]] = {
    "no_blank_line": lambda data, _serial: b"data: %b\n" % data,
    "cr_only": lambda data, _serial: b"data: %b\r\r" % data,
    "crlf": lambda data, _serial: b"data: %b\r\n\r\n" % data,
    "no_space": lambda data, _serial: b"data:%b\n\n" % data,
    "comments": _with_comments,
    "multi_line_data": _multi_line,
    "event_id_retry": lambda data, serial: b"event: message\nid: %d\nretry: 3000\ndata: %b\n\n" % (serial, data),
}
