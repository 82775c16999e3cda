"""Amazon's event stream encoding (application/vnd.amazon.eventstream): bytes to messages, incremental and bounded.

A message is a prelude (its length, that of its headers, a CRC-32 of the two), the headers, the payload, and a CRC-32 of
all before it; numbers are big-endian (Smithy 2.0, "Amazon Event Stream Specification").
"""

import struct
import zlib
from typing import NamedTuple

from .messages import BadMessage

MESSAGE_BYTES_MAX = 32 * 1024 * 1024

_PRELUDE = struct.Struct(">II")
_CHECKSUM = struct.Struct(">I")
_HEAD_BYTES = _PRELUDE.size + _CHECKSUM.size
_BYTES_MIN = _HEAD_BYTES + _CHECKSUM.size
_HEADERS_BYTES_MAX = 128 * 1024
_STRING = 7
# How long the values of the other types are; two of them say so themselves.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_SIZED = frozenset({6, _STRING})


class Message(NamedTuple):
    """One message: its headers that are text, and its payload."""

    headers: dict[str, str]
    payload: bytes


class MessageParser:
    """Feed bytes, get the messages they complete. BadMessage for what is none, or over `bytes_max`: what was complete
    before it is given first, and the next call raises."""

    __slots__ = ("_buffer", "_bytes_max", "_failure")

    def __init__(self, bytes_max: int = MESSAGE_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._bytes_max = bytes_max
        self._failure: BadMessage | None = None

    @property
    def empty(self) -> bool:
        """Whether every byte that was fed has left in a message."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes."""
        if self._failure is not None:
            raise self._failure
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        at = 0
        try:
            while (size := self._size(at)) is not None and len(buffer) - at >= size:
                messages.append(_message(bytes(buffer[at : at + size])))
                at += size
        except BadMessage as failure:
            self._failure = failure
            if not messages:
                raise
        del buffer[:at]
        return messages

    def _size(self, at: int) -> int | None:
        """How long the message is that begins there; None where too little of it has come."""
        buffer = self._buffer
        if len(buffer) - at < _HEAD_BYTES:
            return None
        size, headers_size = _PRELUDE.unpack_from(buffer, at)
        (checksum,) = _CHECKSUM.unpack_from(buffer, at + _PRELUDE.size)
        if zlib.crc32(buffer[at : at + _PRELUDE.size]) != checksum:
            raise BadMessage("the checksum of a message's prelude is wrong")
        if size > self._bytes_max or headers_size > _HEADERS_BYTES_MAX:
            raise BadMessage("a message of the stream is too large")
        if size < _BYTES_MIN + headers_size:
            raise BadMessage("a message of the stream is shorter than its parts")
        return size


def _message(raw: bytes) -> Message:
    """A whole message, whose prelude was checked."""
    _, headers_size = _PRELUDE.unpack_from(raw)
    end = len(raw) - _CHECKSUM.size
    if zlib.crc32(raw[:end]) != _CHECKSUM.unpack_from(raw, end)[0]:
        raise BadMessage("the checksum of a message is wrong")
    payload_at = _HEAD_BYTES + headers_size
    return Message(_headers(raw[_HEAD_BYTES:payload_at]), raw[payload_at:end])


def _headers(raw: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(raw):
            value_at = at + 2 + raw[at]
            name, kind = raw[at + 1 : value_at - 1].decode(), raw[value_at - 1]
            size = _SIZES.get(kind)
            if size is None:
                if kind not in _SIZED:
                    raise BadMessage("a header of a message has an unknown type")
                size = int.from_bytes(raw[value_at : value_at + 2], "big")
                value_at += 2
            at = value_at + size
            if at > len(raw):
                raise BadMessage("a header of a message is cut off")
            if kind == _STRING:
                headers[name] = raw[value_at:at].decode()
    except (IndexError, UnicodeDecodeError):
        raise BadMessage("a header of a message is malformed") from None
    return headers
