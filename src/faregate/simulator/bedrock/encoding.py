"""Frames as messages of application/vnd.amazon.eventstream. Source: Smithy 2.0, "Amazon Event Stream Specification"."""

import zlib

from ..faults import Malformation
from ..framing import Frame, Framing

_STRING = b"\x07"
_OF_TEXT_STREAMS: tuple[Malformation, ...] = (
    "cr_only",
    "crlf",
    "comments",
    "multi_line_data",
    "event_id_retry",
    "bom",
    "no_space",
    "no_last_blank_line",
    "no_blank_line",
)


def message(headers: dict[str, str], payload: bytes) -> bytes:
    """One message."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    size = 4 + 4 + 4 + len(head) + len(payload) + 4
    prelude = size.to_bytes(4, "big") + len(head).to_bytes(4, "big")
    body = prelude + zlib.crc32(prelude).to_bytes(4, "big") + head + payload
    return body + zlib.crc32(body).to_bytes(4, "big")


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    return bytes([len(name)]) + name.encode() + _STRING + len(text).to_bytes(2, "big") + text


def _event(name: str, payload: bytes) -> bytes:
    kind = "exception" if name.endswith("Exception") else "event"
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return message(headers, payload)


def _write(frame: Frame, _serial: int, malformed: Malformation | None) -> bytes:
    data = _event(frame.event.decode(), frame.data)
    if malformed == "bad_checksum" and frame.kind == "spoiler":
        return data[:-1] + bytes([data[-1] ^ 1])
    return data


EVENTS = Framing(
    content_type="application/vnd.amazon.eventstream",
    write=_write,
    ping=_event("ping", b"{}"),
    without=frozenset(_OF_TEXT_STREAMS),
)
