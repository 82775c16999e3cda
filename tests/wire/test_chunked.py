"""Chunked bodies against h11, on random splits of valid and broken bytes; and what they cost."""

import time

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.wire.chunked import Chunks

from .splits import cut, damaged
from .test_reading_oracle import chunked_body


def read_ours(pieces: list[bytes]) -> tuple[bytes, bool, bool, bytes]:
    """The body, whether it ended, whether it is broken, and what is behind it."""
    chunks = Chunks()
    body = b""
    for at, piece in enumerate(pieces):
        body += chunks.feed(piece)
        if chunks.settled:
            behind = chunks.rest + b"".join(pieces[at + 1 :]) if chunks.ended else b""
            return body, chunks.ended, chunks.broken is not None, behind
    return body, False, False, b""


def read_h11(data: bytes) -> tuple[bytes, bool]:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + data)
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return body, True
            elif event is h11.NEED_DATA or event is h11.PAUSED:
                return body, False
    except h11.RemoteProtocolError:
        return body, False


@settings(max_examples=500, deadline=None)
@given(chunked_body(), st.booleans(), st.binary(max_size=12), st.data())
def test_what_we_accept_h11_reads_the_same(data: bytes, is_damaged: bool, behind: bytes, draws: st.DataObject) -> None:
    data += behind
    if is_damaged:
        data = draws.draw(damaged(data))
    whole = read_ours([data])
    split = read_ours(draws.draw(cut(data)))
    assert whole == split
    body, ended, _, rest = whole
    theirs, their_end = read_h11(data)
    if ended:
        assert (theirs, their_end) == (body, True)
        assert data.endswith(rest)
    else:
        assert theirs.startswith(body) or body.startswith(theirs)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_good_bodies_are_read_whole(pieces: list[bytes], draws: st.DataObject) -> None:
    data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\nbehind"
    assert read_ours(draws.draw(cut(data))) == (b"".join(pieces), True, False, b"behind")


def test_f81_tiny_chunks_cost_by_their_number_alone() -> None:
    """A megabyte of one-byte chunks, 64 KB at a time."""
    data = b"1\r\nx\r\n" * 1_000_000
    chunks = Chunks()
    began_s = time.process_time()
    read = sum(len(chunks.feed(data[at : at + 65536])) for at in range(0, len(data), 65536))
    assert read == 1_000_000
    assert time.process_time() - began_s < 5.0  # 0.3 s, or far more where a buffer is copied for each
