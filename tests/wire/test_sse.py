"""The event stream parser against the standard's algorithm, written out; its bounds; its bytes. (F79, F80, F81)"""

import time
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faregate.wire import sse
from faregate.wire.messages import BadMessage
from faregate.wire.sse import DONE, Frame, FrameParser, comment, data_frame, parse_frame

from .splits import cut

BOM = b"\xef\xbb\xbf"


def reference(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Type and data of the events of `stream`: HTML standard, 9.2.6, step by step. One thing is ours: an event that
    the stream's end left unfinished counts too."""
    if stream.startswith(BOM):
        stream = stream[len(BOM) :]
    lines = []
    line = b""
    at = 0
    while at < len(stream):
        byte = stream[at : at + 1]
        at += 1
        if byte == b"\r":
            if stream[at : at + 1] == b"\n":
                at += 1
            lines.append(line)
            line = b""
        elif byte == b"\n":
            lines.append(line)
            line = b""
        else:
            line += byte
    lines += [line, b""]
    events = []
    data_buffer = b""
    event_type = b""
    for line in lines:
        if not line:
            if data_buffer:
                events.append((event_type, data_buffer.removesuffix(b"\n")))
            data_buffer = b""
            event_type = b""
        elif line[0:1] == b":":
            continue
        else:
            name, colon, value = line.partition(b":")
            if colon and value[0:1] == b" ":
                value = value[1:]
            if name == b"event":
                event_type = value
            elif name == b"data":
                data_buffer += value + b"\n"
    return events


def parse(pieces: list[bytes]) -> tuple[list[Frame], bytes]:
    """All frames, and what no frame took."""
    parser = FrameParser()
    frames = [frame for piece in pieces for frame in parser.feed(piece)]
    left = bytes(parser._buffer)
    assert parser.empty == (not left)
    last = parser.close()
    assert parser.empty
    if last is not None:
        assert last.raw == left
        frames.append(last)
        left = b""
    return frames, left


def events(frames: list[Frame]) -> list[tuple[bytes, bytes]]:
    return [(frame.event, frame.data) for frame in frames if frame.data is not None]


WORDS = [
    b"data",
    b"event",
    b"id",
    b"retry",
    b":",
    b": ",
    b" ",
    b"x",
    b"{}",
    b"\n",
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n",
    b"\x00",
]
STREAMS = st.lists(
    st.sampled_from([*WORDS, BOM, b"[DONE]", "é".encode(), b"\n\n", b"\r\r", b"\n\r\n", b"\xff"]), max_size=40
)
FRAMES = st.lists(
    st.tuples(
        st.lists(
            st.sampled_from([b"data: a", b"data:b", b"data", b"event: e", b"event", b": c", b"id: 1", b"data:  d"])
        ),
        st.sampled_from([b"\n", b"\r", b"\r\n"]),
    ),
    max_size=6,
)


@settings(max_examples=800, deadline=None)
@given(STREAMS.map(b"".join) | st.binary(max_size=60), st.data())
@example(b"data: a\r\n\r\ndata: b\r\r", None)
@example(BOM + b"data: a\n\n" + BOM + b"data: b\n\n", None)
@example(b"data: a\r\r\ndata: b\n\n", None)
def test_it_is_the_standard(stream: bytes, draws: st.DataObject | None) -> None:
    frames, left = parse([stream])
    assert events(frames) == reference(stream)
    pieces = draws.draw(cut(stream)) if draws else [stream[at : at + 1] for at in range(len(stream))]
    split_frames, split_left = parse(pieces)
    assert events(split_frames) == reference(stream)
    raw = b"".join(frame.raw for frame in frames)
    assert b"".join(frame.raw for frame in split_frames) + split_left == raw + left == stream.removeprefix(BOM)


@settings(max_examples=300, deadline=None)
@given(FRAMES, st.data())
def test_frames_with_any_line_end(frames: list[tuple[list[bytes], bytes]], draws: st.DataObject) -> None:
    stream = b"".join(end.join([*lines, b"", b""]) for lines, end in frames)
    parsed, _ = parse(draws.draw(cut(stream)))
    assert events(parsed) == reference(stream)


WHOLE = [b"data: a\n\n", b"event: e\ndata: b\n\n", b"data: c\r\n\r\n", b": d\n\n", "data: é\n\n".encode()]
NEARLY = [
    b"data: f\r\r",
    b"data: g\ndata: h\r\n\r\n",
    b"data: i\n\n\n\n",
    b"data: j\n\ndata: k\n\n",
    b"\r\n\r\n",
    b"\n\n",
    BOM,
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([*WHOLE, *WHOLE, *NEARLY]) | STREAMS.map(b"".join), max_size=12), st.data())
def test_a_read_that_is_one_frame_is_read_as_any_other(reads: list[bytes], draws: st.DataObject) -> None:
    """With the way for single frames and without it, each read gives the same frames, however the stream was cut."""
    for pieces in (reads, draws.draw(cut(b"".join(reads)))):
        quick, slow = FrameParser(), FrameParser()
        for piece in pieces:
            with mock.patch.object(sse, "_is_one_frame", return_value=False):
                wanted = slow.feed(piece)
            assert quick.feed(piece) == wanted
            assert quick.empty == slow.empty
        assert quick.close() == slow.close()


@pytest.mark.parametrize("frame", WHOLE)
def test_a_read_that_is_one_frame_is_not_searched(frame: bytes) -> None:
    parser = FrameParser()
    parser.feed(b"data: first\n\n")
    with mock.patch.object(FrameParser, "_frame_ends", side_effect=AssertionError):
        assert parser.feed(frame) == [parse_frame(frame)]


def test_each_frame_comes_as_soon_as_it_is_complete() -> None:
    parser = FrameParser()
    assert parser.feed(b"data: a\n") == []
    assert parser.feed(b"\n") == [Frame(b"a", b"", b"data: a\n\n")]
    assert parser.feed(b"data: b\r\n\r") == []  # its line feed may still come
    assert parser.feed(b"\n") == [Frame(b"b", b"", b"data: b\r\n\r\n")]
    assert parser.feed(b"data: c\r\r") == []
    assert parser.feed(b"d") == [Frame(b"c", b"", b"data: c\r\r")]
    assert parser.feed(b"ata: d\n\ndata: e\n\n: f\n\n") == [
        Frame(b"d", b"", b"data: d\n\n"),
        Frame(b"e", b"", b"data: e\n\n"),
        Frame(None, b"", b": f\n\n"),
    ]
    assert parser.empty


def test_fields() -> None:
    assert parse_frame(b"event: e\nid: 7\nretry: 9\ndata: a\ndata:  b\ndata\nother: x\n\n")[:2] == (b"a\n b\n", b"e")
    assert parse_frame(b"data:\n\n").data == b""
    assert parse_frame(b"event: e\n\n").data is None
    assert parse_frame(b"DATA: a\n\n").data is None


def test_what_we_write_we_read() -> None:
    stream = data_frame(b'{"a": "b\\n\\ndata: [DONE]"}') + comment(b"keep-alive") + DONE
    frames, left = parse([stream])
    assert [frame.data for frame in frames] == [b'{"a": "b\\n\\ndata: [DONE]"}', None, b"[DONE]"]
    assert not left


def test_the_mark_in_pieces_and_half_a_mark() -> None:
    assert events(parse([b"\xef", b"\xbb", b"\xbf", b"data: a\n\n"])[0]) == [(b"", b"a")]
    assert events(parse([b"\xef\xbb", b"data: a\n\n"])[0]) == []
    assert parse([b"\xef\xbb"]) == ([], b"\xef\xbb")


@pytest.mark.parametrize("piece_bytes", [1, 100, 4096, 1 << 20])
@pytest.mark.parametrize("line", [b"data: " + b"x" * 300_000, b"data: x\n" * 40_000, b": " + b"y" * 300_000])
def test_f80_a_frame_without_end_is_bounded(line: bytes, piece_bytes: int) -> None:
    parser = FrameParser(100_000)
    held_bytes = 0
    with pytest.raises(BadMessage):
        for at in range(0, len(line), piece_bytes):
            parser.feed(line[at : at + piece_bytes])
            held_bytes = max(held_bytes, len(parser._buffer))
    assert held_bytes <= 100_000


def test_a_frame_just_under_the_cap() -> None:
    parser = FrameParser(1000)
    frame = b"data: " + b"x" * 992 + b"\n\n"
    assert len(frame) == 1000
    for _ in range(5):
        assert [len(one.raw) for at in range(0, 1000, 7) for one in parser.feed(frame[at : at + 7])] == [1000]


def seconds(feed: bytes, piece_bytes: int) -> float:
    best_s = 1e9
    for _ in range(3):
        parser = FrameParser(64 << 20)
        began_at = time.process_time()
        for at in range(0, len(feed), piece_bytes):
            parser.feed(feed[at : at + piece_bytes])
        best_s = min(best_s, time.process_time() - began_at)
    return best_s


@pytest.mark.parametrize("unit", [b"x", b"data: x\n", b"\r", b"data: {}\n\n", b":\r\n"])
@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_f81_time_grows_with_the_bytes_and_no_faster(unit: bytes, piece_bytes: int) -> None:
    size = 30_000 if piece_bytes == 1 else 150_000
    small = seconds(unit * (size // len(unit)), piece_bytes)
    large = seconds(unit * (4 * size // len(unit)), piece_bytes)
    assert large < 10 * small + 0.02  # four times as much; quadratic would be sixteen
