"""What a request may ask of the simulator: what to say, at which pace, and what shall go wrong.

`Plan` is the extra top-level member `simulator` of a request's body, on every wire (plans.py has another way to say
it). framing.py writes streams with or without a malformation, `whole_bytes` a whole answer.
"""

import functools
import struct
import zlib
from typing import Annotated, Any, Literal

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
    # Endings that are missing ([DONE], message_stop, response.completed, the array's bracket); every token was sent.
    "no_done",
    "no_last_blank_line",
    # Spoiled streams.
    "no_blank_line",
    "not_json",
    "error_event",
    "no_finish",
    "huge_line",
    "pings_only",
    "bad_checksum",
    # 200 with something else for a body.
    "html",
    "empty",
    "error_json",
]

REPLACED = frozenset({"html", "empty", "error_json"})
SPOILED = REPLACED | {
    "no_blank_line",
    "not_json",
    "error_event",
    "no_finish",
    "huge_line",
    "pings_only",
    "bad_checksum",
}
OF_WHOLE_ANSWERS = REPLACED | {"not_json", "no_finish", "huge_line", "bom"}

HUGE_LINE_BYTES = 10 * 1024 * 1024
BOMB_BLOCKS = 256

_BOMB_BLOCK_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_HTML = b"<html>\n<body><h1>502 Bad Gateway</h1></body>\n</html>\n"
ERROR_MESSAGE = "The server had an error while processing your request."


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that a request may set. Without it the simulator answers well and at once."""

    # What to say. These hold even where the faults do not apply.
    text: str | None = None  # exactly this, tools or not
    opening: str | None = None  # this before what else is said, or called
    output_tokens: Count | None = None  # this many of its own
    reasoning: bool = False  # show the reasoning, a little of it where none was asked for
    redacted: bool = False  # the reasoning is shown as nobody can read it, where the wire has that
    finish_reason: str | None = None  # as the wire names it
    cached_tokens: Count = 0  # of the prompt, read from a cache
    cache_write_tokens: Count = 0  # of the prompt, put into a cache
    answer_model: str | None = None  # the name in the answer
    service_tier: Any = None  # what the answer names as the tier that served it
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
            opening=self.opening,
            output_tokens=self.output_tokens,
            reasoning=self.reasoning,
            redacted=self.redacted,
            finish_reason=self.finish_reason,
            cached_tokens=self.cached_tokens,
            cache_write_tokens=self.cache_write_tokens,
            answer_model=self.answer_model,
            service_tier=self.service_tier,
            ignore_max_tokens=self.ignore_max_tokens,
            first_token_ms=self.first_token_ms,
            tokens_per_s=self.tokens_per_s,
        )

    @property
    def in_pieces(self) -> bool:
        """Whether a whole answer is written piece by piece instead of with its length."""
        return self.chunk_bytes is not None or self.cut_after_bytes is not None or self.stall_after_tokens is not None


def whole_bytes(body: bytes, malformed: Malformation | None, error: bytes) -> tuple[bytes, str]:
    """The body of a whole answer, and its content type; `error` is the wire's error body."""
    kind = "application/json"
    if malformed == "html":
        return _HTML, "text/html"
    if malformed == "empty":
        return b"", kind
    if malformed == "error_json":
        return error, kind
    if malformed == "not_json":
        return body[: len(body) // 2], kind
    if malformed == "huge_line":
        return padded(body), kind
    return (_BOM if malformed == "bom" else b"") + body, kind


def padded(body: bytes) -> bytes:
    """A JSON object with a member that is far too long."""
    return b'{"padding":"%b",%b' % (b"x" * HUGE_LINE_BYTES, body[1:])


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
