"""How the frames of a stream become bytes: server-sent events, or one JSON array; well formed or not. What is binary
is its wire's own (bedrock/encoding.py)."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec

from .faults import Malformation, padded

_SPOIL_AFTER_TOKENS = 2
_OF_BINARY_STREAMS: frozenset[Malformation] = frozenset({"bad_checksum"})
_BOM = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """One event of a stream: its JSON (none for hidden tokens), how many tokens are said with it, and its name where
    the wire has one. An `opening` is sent even by a plan that stalls at once; an `end` says that all was said."""

    data: bytes
    tokens: int
    kind: Literal["opening", "token", "finish", "usage", "end", "spoiler"]
    event: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """A form of streams. `write` makes bytes of a frame, its serial number and the malformation; `ping` is what says
    that the provider is still there; `without` are the malformations that it has no place for."""

    content_type: str
    write: Callable[[Frame, int, Malformation | None], bytes]
    ping: bytes
    without: frozenset[Malformation] = frozenset()


Spoiler = Callable[[Malformation, int], Frame]


def stream_bytes(
    frames: Iterable[Frame], malformed: Malformation | None, framing: Framing, spoiler: Spoiler
) -> Iterator[tuple[bytes, Frame]]:
    """What to write for each frame, with the frame it stands for. `spoiler` makes the frame that spoils a stream, by
    the number of frames before it."""
    if malformed in ("not_json", "error_event", "huge_line", "bad_checksum"):
        frames = _spoiled(frames, malformed, spoiler)
    opening = _BOM if malformed == "bom" else b""
    serial = 0
    for frame in frames:
        if malformed == "no_done" and frame.kind == "end":
            continue
        if not frame.data:
            yield b"", frame
            continue
        yield opening + framing.write(frame, serial, malformed), frame
        opening = b""
        serial += 1


def _spoiled(frames: Iterable[Frame], malformed: Malformation, spoiler: Spoiler) -> Iterator[Frame]:
    """`frames` with a spoiler after a few tokens, and nothing more if it tells of an error."""
    tokens = serial = 0
    spoilt = False
    for frame in frames:
        if not spoilt and (tokens >= _SPOIL_AFTER_TOKENS or frame.kind in ("finish", "usage", "end")):
            spoiled = spoiler(malformed, serial)
            yield spoiled._replace(data=padded(spoiled.data)) if malformed == "huge_line" else spoiled
            spoilt = True
            if malformed == "error_event":
                return
        yield frame
        tokens += frame.tokens
        serial += bool(frame.data)


# Server-sent events.


def _event(frame: Frame, _serial: int, line: bytes) -> bytes:
    name = b"event: %b%b" % (frame.event, line) if frame.event else b""
    return b"%bdata: %b%b%b" % (name, frame.data, line, line)


def _no_blank_line(frame: Frame, serial: int, line: bytes) -> bytes:
    return _event(frame, serial, line).removesuffix(line)


def _no_last_blank_line(frame: Frame, serial: int, line: bytes) -> bytes:
    return _no_blank_line(frame, serial, line) if frame.kind == "end" else _event(frame, serial, line)


def _no_space(frame: Frame, serial: int, line: bytes) -> bytes:
    return _event(frame, serial, line).replace(b"data: ", b"data:", 1)


def _multi_line(frame: Frame, serial: int, line: bytes) -> bytes:
    if not frame.data.startswith(b"{"):
        return _event(frame, serial, line)
    lines = msgspec.json.format(frame.data, indent=1).split(b"\n")
    name = b"event: %b%b" % (frame.event, line) if frame.event else b""
    return name + b"".join(b"data: %b%b" % (each, line) for each in lines) + line


def _with_comments(frame: Frame, serial: int, line: bytes) -> bytes:
    name = b"event: %b%b" % (frame.event, line) if frame.event else b""
    start = b": keep-alive %d%b%b: before the data%b" % (serial, line, line, line)
    return start + b"%bdata: %b%b:%b%b" % (name, frame.data, line, line, line)


def _with_id_and_retry(frame: Frame, serial: int, line: bytes) -> bytes:
    name = frame.event or b"message"
    parts = (b"event: %b" % name, b"id: %d" % serial, b"retry: 3000", b"data: %b" % frame.data, b"", b"")
    return line.join(parts)


_FORMS: dict[Malformation, Callable[[Frame, int, bytes], bytes]] = {
    "no_blank_line": _no_blank_line,
    "no_last_blank_line": _no_last_blank_line,
    "cr_only": lambda frame, serial, _line: _event(frame, serial, b"\r"),
    "crlf": lambda frame, serial, _line: _event(frame, serial, b"\r\n"),
    "no_space": _no_space,
    "comments": _with_comments,
    "multi_line_data": _multi_line,
    "event_id_retry": _with_id_and_retry,
}


def event_stream(*, line: bytes = b"\n", ping: bytes, without: frozenset[Malformation] = frozenset()) -> Framing:
    """Server-sent events whose lines end with `line`."""

    def write(frame: Frame, serial: int, malformed: Malformation | None) -> bytes:
        form = _event if malformed is None else _FORMS.get(malformed, _event)
        return form(frame, serial, line)

    kind = "text/event-stream; charset=utf-8"
    return Framing(content_type=kind, write=write, ping=ping, without=without | _OF_BINARY_STREAMS)


# One JSON array, an item for each frame; the frame `]` ends it.


def _item(frame: Frame, serial: int, _malformed: Malformation | None) -> bytes:
    if frame.kind == "end":
        return b"\n]"
    return (b"[" if serial == 0 else b",\r\n") + frame.data


JSON_ARRAY = Framing(
    content_type="application/json; charset=UTF-8",
    write=_item,
    ping=b"\n",
    without=frozenset({*_FORMS, *_OF_BINARY_STREAMS}),
)
