"""Amazon's binary event streams: whatever the split, the same messages; what is corrupt is told."""

import random
import struct
import zlib
from collections.abc import Iterable

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.simulator.bedrock.encoding import message
from faregate.wire.eventstream import Message, MessageParser
from faregate.wire.messages import BadMessage

names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
values = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
messages = st.tuples(st.dictionaries(names, values, max_size=4), st.binary(max_size=300))
HEADERS = {":event-type": "contentBlockDelta", ":message-type": "event"}


def parsed(pieces: Iterable[bytes]) -> list[Message]:
    parser = MessageParser()
    found = [each for piece in pieces for each in parser.feed(piece)]
    assert parser.empty
    return found


def cut(raw: bytes, dice: random.Random) -> list[bytes]:
    pieces = []
    while raw:
        size = dice.choice((1, 3, 11, 40, 200))
        pieces.append(raw[:size])
        raw = raw[size:]
    return pieces


@settings(deadline=None)
@given(st.lists(messages, max_size=6), st.randoms(use_true_random=False))
def test_whatever_the_split(said: list[tuple[dict[str, str], bytes]], dice: random.Random) -> None:
    raw = b"".join(message(headers, payload) for headers, payload in said)
    assert parsed(cut(raw, dice)) == [Message(headers, payload) for headers, payload in said]


@settings(deadline=None)
@given(st.lists(messages, min_size=1, max_size=4))
def test_botocore_reads_the_same(said: list[tuple[dict[str, str], bytes]]) -> None:
    raw = b"".join(message(headers, payload) for headers, payload in said)
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    assert parsed([raw]) == [Message(each.headers, each.payload) for each in buffer]


def with_headers(headers: bytes, payload: bytes = b"{}") -> bytes:
    """A message with these bytes for its headers."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def test_headers_of_every_type() -> None:
    """Smithy's types 0 to 9; those that are text are kept."""
    others = [b"\x00", b"\x01", b"\x02\x07", b"\x03\x00\x07", b"\x04" + bytes(4), b"\x05" + bytes(8)]
    others += [b"\x06\x00\x03abc", b"\x08" + bytes(8), b"\x09" + bytes(16)]
    raw = b"".join(b"\x01" + bytes([97 + at]) + value for at, value in enumerate(others)) + b"\x01z\x07\x00\x02hi"
    assert parsed([with_headers(raw)]) == [Message({"z": "hi"}, b"{}")]


@pytest.mark.parametrize(
    "headers",
    [b"\x01", b"\x05ab", b"\x01a\x0a", b"\x01a\x07", b"\x01a\x07\x00\x09hi", b"\x01a\x05\x00", b"\x01\xff\x00x"],
)
def test_headers_that_are_none(headers: bytes) -> None:
    with pytest.raises(BadMessage):
        MessageParser().feed(with_headers(headers))


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=100), st.data())
def test_any_flipped_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    """What was whole before it is given first."""
    good, bad = message(HEADERS, b"{}"), bytearray(message(HEADERS, payload))
    at = data.draw(st.integers(0, len(bad) * 8 - 1))
    bad[at // 8] ^= 1 << at % 8
    parser = MessageParser()
    assert parser.feed(good + bytes(bad)) == [Message(HEADERS, b"{}")]
    with pytest.raises(BadMessage):
        parser.feed(b"")


def test_what_is_no_such_stream() -> None:
    with pytest.raises(BadMessage):
        MessageParser().feed(b"event: message_start\ndata: {}\n\n")


@pytest.mark.parametrize(("size", "headers_size"), [(2**31, 0), (1_000_000, 500_000), (15, 0), (40, 30)])
def test_lengths_that_cannot_be(size: int, headers_size: int) -> None:
    """Refused by the prelude, before the rest is waited for."""
    prelude = struct.pack(">II", size, headers_size)
    with pytest.raises(BadMessage):
        MessageParser(2_000_000).feed(prelude + struct.pack(">I", zlib.crc32(prelude)))
