"""Answers that h11 writes are read as it wrote them, and what we accept as an answer, h11 reads the same."""

import asyncio
import gzip
import re
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.wire.client import ClientLimits, Exchange, Timeouts
from faregate.wire.strand import Strand
from faregate.wire.upstream import UpstreamConnection

from .splits import cut, damaged

REQUEST = b"GET / HTTP/1.1\r\nhost: upstream\r\n\r\n"


class FakeTransport:
    """Takes what is written, and knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = False
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class FakePool:
    """Notes what a connection tells its pool, and is its own client."""

    def __init__(self) -> None:
        self.deadlines = SimpleNamespace(now=0.0, watch=lambda item: None, forget=lambda item: None)
        self.limits = ClientLimits()
        self.outbox = SimpleNamespace(put=lambda transport, data: transport.write(data))
        self.client = self
        self.pooled = 0
        self.gone = 0

    def released(self, connection: UpstreamConnection) -> None:
        self.pooled += 1

    def left(self, connection: UpstreamConnection) -> None:
        self.gone += 1


@dataclass
class Read:
    """An answer as one of the two parsers read it."""

    status: int = 0
    headers: dict[bytes, bytes] | None = None
    body: bytes = b""
    complete: bool = False
    reusable: bool = False
    error: str = ""


def read_ours(pieces: list[bytes], *, closes: bool, broken: bool = False) -> Read:
    """The answer in `pieces`, after which the upstream closes or does not."""
    pool = FakePool()
    connection = UpstreamConnection(pool)  # type: ignore[arg-type]
    transport = FakeTransport()
    connection.connection_made(transport)  # type: ignore[arg-type]
    read = Read()

    class Gather:
        def feed(self, data: bytes) -> None:
            read.body += data

        def end(self) -> None:
            assert not read.complete
            assert not read.error
            read.complete = True

        def fail(self, error: Exception) -> None:
            assert not read.complete
            read.error = type(error).__name__

    async def call() -> None:
        exchange = Exchange(pool=pool, head=REQUEST, body=b"", timeouts=Timeouts())  # type: ignore[arg-type]
        connection.begin(exchange)
        response = await exchange
        assert response.head is not None
        read.status = response.status
        read.headers = response.head.fields()
        response.pour(Gather())

    def crashed(error: BaseException) -> None:
        read.error = type(error).__name__

    strand = Strand(call(), crashed)
    assert transport.written == REQUEST
    for piece in pieces:
        if not transport.closed and not pool.pooled:
            connection.data_received(piece)
    read.reusable = bool(pool.pooled)
    if closes or transport.closed:
        connection.connection_lost(ConnectionResetError() if broken else None)
        assert pool.gone == 1
    elif not read.complete and not read.error:
        strand.cancel(asyncio.CancelledError())
        read.error = "waits"
    return read


@st.composite
def answer(draw: st.DrawFn) -> tuple[bytes, Read, bool]:
    """Bytes of an answer as h11 writes it, what it says, and whether its end is the connection's."""
    http_11 = draw(st.integers(0, 3)) > 0
    writer = h11.Connection(h11.SERVER)
    keep = b"" if draw(st.integers(0, 3)) else b"connection: close\r\n"
    writer.receive_data(b"GET / HTTP/1.%d\r\nhost: a\r\n%b\r\n" % (http_11, keep))
    while writer.next_event() not in (h11.NEED_DATA, h11.PAUSED):
        pass
    out = b""
    if http_11:
        for status in draw(st.lists(st.sampled_from([100, 102, 103]), max_size=2)):
            fields = [("link", "</a>")] if draw(st.booleans()) else []
            out += writer.send(h11.InformationalResponse(status_code=status, headers=fields, reason=b"Wait"))
    status = draw(st.sampled_from([200, 200, 200, 201, 204, 302, 304, 400, 404, 429, 500, 529]))
    body = draw(st.binary(max_size=80) | st.just(b"HTTP/1.1 200 OK\r\n\r\n" * 3))
    bodiless = status in (204, 304)
    wire_body = b"" if bodiless else body
    fields = [("x-a", "1"), ("Content-Type", 'text/plain; x="y"')][: draw(st.integers(0, 2))]
    zipped = not bodiless and draw(st.integers(0, 3)) == 0
    if zipped:
        wire_body = gzip.compress(body, mtime=0)
        fields.append(("Content-Encoding", draw(st.sampled_from(["gzip", "GZip"]))))
    sized = bool(draw(st.booleans())) and not bodiless
    if sized:
        fields.append(("Content-Length", str(len(wire_body))))
    out += writer.send(
        h11.Response(status_code=status, headers=fields, reason=draw(st.sampled_from([b"", b"OK", b"Not So"])))
    )
    for piece in draw(cut(wire_body)):
        if piece:
            out += writer.send(h11.Data(data=piece))
    trailers = [("x-t", "1")] if http_11 and not sized and not bodiless and draw(st.booleans()) else []
    out += writer.send(h11.EndOfMessage(headers=trailers))
    until_close = not http_11 and not sized and not bodiless
    wanted = Read(status, None, b"" if bodiless else body, complete=True)
    wanted.reusable = http_11 and not keep
    wanted.headers = {name.lower().encode(): value.encode() for name, value in fields}
    return out, wanted, until_close


@settings(max_examples=400, deadline=None)
@given(answer(), st.data())
def test_what_h11_writes_is_read(case: tuple[bytes, Read, bool], draws: st.DataObject) -> None:
    data, wanted, until_close = case
    pieces = draws.draw(cut(data))
    read = read_ours(pieces, closes=until_close)
    assert read.error == ""
    assert (read.status, read.body, read.complete) == (wanted.status, wanted.body, True)
    assert wanted.headers is not None
    assert wanted.headers.items() <= (read.headers or {}).items()
    assert read.reusable == wanted.reusable


@settings(max_examples=200, deadline=None)
@given(answer(), st.data())
def test_an_answer_that_is_cut_off_is_never_taken_for_whole(
    case: tuple[bytes, Read, bool], draws: st.DataObject
) -> None:
    data, wanted, until_close = case
    at = draws.draw(st.integers(0, len(data) - 1))
    read = read_ours(draws.draw(cut(data[:at])), closes=True, broken=until_close)
    assert not read.complete or read.body == wanted.body
    assert read.complete or read.error in ("ConnectionLost", "BadMessage")
    if not until_close and wanted.status not in (204, 304) and b"content-length: 0" not in data.lower():
        assert not read.complete


def read_h11(data: bytes, *, closes: bool) -> Read:
    reader = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    reader.send(h11.Request(method="GET", target="/", headers=[("host", "upstream")]))
    reader.send(h11.EndOfMessage())
    read = Read(headers={})
    if data:
        reader.receive_data(data)
    if closes:
        reader.receive_data(b"")
    try:
        while True:
            event = reader.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                return read
            if isinstance(event, h11.Response):
                read.status = event.status_code
                for name, value in event.headers:
                    read.headers[name] = value  # type: ignore[index]
            elif isinstance(event, h11.Data):
                read.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                read.complete = True
                read.reusable = reader.their_state is h11.DONE
                return read
    except h11.RemoteProtocolError as error:
        read.error = str(error)
        return read


@settings(max_examples=600, deadline=None)
@given(answer(), st.data())
def test_what_we_accept_h11_reads_the_same(case: tuple[bytes, Read, bool], draws: st.DataObject) -> None:
    data = draws.draw(damaged(case[0]))
    closes = draws.draw(st.booleans())
    whole = read_ours([data], closes=closes)
    split = read_ours(draws.draw(cut(data)), closes=closes)
    assert (whole.complete, bool(whole.error)) == (split.complete, bool(split.error))
    if not whole.complete:
        return
    assert (whole.status, whole.headers, whole.body) == (split.status, split.headers, split.body)
    theirs = read_h11(data, closes=closes)
    if re.match(r"illegal status line: bytearray\(b['\"]HTTP/1\.[01] \d{3} ", theirs.error):
        return  # a control in the reason phrase, which nobody reads
    assert theirs.complete, f"only we accept it: {theirs.error}"
    assert whole.status == theirs.status
    assert meaning(whole) == meaning(theirs)
    assert whole.reusable <= theirs.reusable


def meaning(read: Read) -> tuple[Any, ...]:
    headers = dict(read.headers or {})
    if b"transfer-encoding" in headers:
        headers[b"transfer-encoding"] = headers[b"transfer-encoding"].lower()
    body = read.body
    if headers.get(b"content-encoding", b"").lower() == b"gzip" and body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    return headers, body
