"""What we accept as a request, h11 reads the same, however the bytes were split. One way: h11 is laxer in places."""

import re
import tracemalloc
from dataclasses import dataclass
from typing import Any

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from faregate.wire.exchange import IncomingRequest
from faregate.wire.heads import HeadBounds, Heads, RequestHead
from faregate.wire.messages import BadMessage
from faregate.wire.reading import RequestReader

from .splits import cut, damaged

BOUNDS = HeadBounds(16 * 1024, 100, 8 * 1024)


@dataclass
class Read:
    """A request as one of the two parsers read it."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    body: bytes
    complete: bool
    keep_alive: bool
    http_11: bool

    @property
    def meaning(self) -> tuple[Any, ...]:
        headers = dict(self.headers)
        if b"transfer-encoding" in headers:  # h11 writes it small
            headers[b"transfer-encoding"] = headers[b"transfer-encoding"].lower()
        if b"content-length" in headers:
            headers[b"content-length"] = b"%d" % int(headers[b"content-length"])
        target = self.target
        if target.startswith(b"http://h/"):  # h11 leaves a URL to its user
            headers[b"host"], target = b"h", target[8:]
        return self.method, target.removesuffix(b"?"), headers, self.body, self.http_11


def make_request(head: RequestHead, length: int | None, keep_alive: bool, expects_continue: bool) -> IncomingRequest:
    return IncomingRequest(None, head, length, keep_alive, expects_continue)  # type: ignore[arg-type]


def read_ours(pieces: list[bytes]) -> tuple[list[Read], bool]:
    """The requests in `pieces`, and whether something was refused."""
    reader = RequestReader(make_request, Heads(BOUNDS))
    refused = False
    body_bytes = 0
    try:
        for piece in pieces:
            try:
                reader.feed(piece)
            finally:
                body_bytes += reader.body_bytes
    except BadMessage:
        refused = True
    read = [read_as(one) for one in reader.queue]
    assert body_bytes == sum(request.body_bytes for request in reader.queue) == sum(len(one.body) for one in read)
    assert not [one for one in read[:-1] if not one.complete]
    return read, refused


def read_as(request: IncomingRequest) -> Read:
    head = request.head
    headers = dict(head.headers)
    if request.content_length is not None:  # a head that is kept says another request's
        assert b"content-length" in headers
        headers[b"content-length"] = b"%d" % request.content_length
    target = head.path + b"?" + head.query if head.query else head.path
    return Read(
        head.method, target, headers, b"".join(request.pieces), request.complete, request.keep_alive, head.http_11
    )


def read_h11(data: bytes) -> list[Read]:
    """The requests that h11 finds in `data`, up to what it refuses or the last that it would take."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    read: list[Read] = []
    if not data:
        return read  # to h11 that would be the end
    connection.receive_data(data)
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return read
            if isinstance(event, h11.Request):
                headers: dict[bytes, bytes] = {}
                for name, value in event.headers:
                    headers[name] = headers[name] + b", " + value if name in headers else value
                read.append(Read(event.method, event.target, headers, b"", False, True, event.http_version == b"1.1"))
            elif isinstance(event, h11.Data):
                read[-1].body += event.data
            elif isinstance(event, h11.EndOfMessage):
                read[-1].complete = True
                connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                read[-1].keep_alive = connection.their_state is h11.DONE
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return read
                connection.start_next_cycle()
    except h11.RemoteProtocolError:
        return read


def compare(data: bytes, pieces: list[bytes]) -> list[Read]:
    ours, refused = read_ours([data])
    split, split_refused = read_ours(pieces)
    assert refused == split_refused
    assert [one for one in ours if one.complete] == [one for one in split if one.complete]
    theirs = read_h11(data)
    for at, one in enumerate(ours):
        if at and not ours[at - 1].keep_alive:
            break  # nobody reads on behind an end
        if at and not ours[at - 1].http_11:
            break  # h11 never keeps HTTP/1.0 alive
        if not one.complete and refused:
            break  # its head was good, its body is not
        assert at < len(theirs), f"only we accept {one}"
        if one.complete:
            assert theirs[at].complete
            assert one.meaning == theirs[at].meaning
            if one.http_11:
                assert one.keep_alive <= theirs[at].keep_alive
        else:
            assert one.meaning[:3] == theirs[at].meaning[:3]
            assert not theirs[at].complete
    return ours


TOKENS = st.sampled_from(["x-a", "X-Mixed-Case", "cookie", "accept", "user-agent", "x_under", "x!#$%&'*+.^`|~", "te"])
VALUES = st.sampled_from(["", "1", "a b", "a,b", '"q,\\"x"', "a: b", "x" * 50, "; ; ;", "\tv\t", " lead", "trail  "])
ODD_FIELDS = st.sampled_from(
    [
        "Host: again",
        "content-length: 3",
        "Content-Length: 03",
        "content-length: +3",
        "content-length: 3, 3",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "transfer-encoding: chunked",
        "Transfer-Encoding: Chunked",
        "transfer-encoding: identity",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: chunked\x0b",
        "transfer-encoding : chunked",
        " folded: yes",
        "\tfolded",
        "no colon",
        ": no name",
        "connection: close",
        "connection: Keep-Alive",
        "connection: keep-alive, close",
        "connection: upgrade",
        "connection: upgrade, close",
        "upgrade: h2c",
        "upgrade: websocket",
        "expect: 100-continue",
        "x-\xe9: 1",
        "x-y: \xff\xfe",
        "x-z: \x00",
        "x-z: \x01\x02",
    ]
)
TARGETS = st.sampled_from(
    ["/", "/a/b?c=d&e", "/?", "*", "http://h/x", "/%20", "/a?b?c#d", "/\xe9", "/a b", "", "//", "a"]
)
METHODS = st.sampled_from(
    ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "TRACE", "CONNECT", "get", "FOO"]
)
VERSIONS = st.sampled_from(
    ["HTTP/1.1"] * 12 + ["HTTP/1.0", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "http/1.1", ""]
)
BLANKS = st.sampled_from([""] * 12 + ["\r\n", "\n", "\r\n\r\n", " "])
EXTENSIONS = st.sampled_from(["", "", "", ";a", ";a=b", ';a="b;c"', "; a", ";", " ;a", ";a=\x01"])


@st.composite
def chunked_body(draw: st.DrawFn) -> bytes:
    out = b""
    for piece in draw(
        st.lists(st.binary(min_size=1, max_size=20) | st.just(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), max_size=4)
    ):
        size = draw(st.sampled_from(["%x", "%X", "0%x", "00%X"])) % len(piece)
        out += (size + draw(EXTENSIONS)).encode("latin-1") + b"\r\n" + piece + b"\r\n"
    trailers = draw(
        st.sampled_from(["", "", "", "x-t: 1\r\n", "x-t: 1\r\nx-u:\r\n", " fold\r\n", "content-length: 9\r\n"])
    )
    return out + b"0" + draw(EXTENSIONS).encode("latin-1") + b"\r\n" + trailers.encode() + b"\r\n"


@st.composite
def message(draw: st.DrawFn) -> bytes:
    """One request, in order more often than not."""
    framing = draw(st.sampled_from(["none", "sized", "chunked"]))
    fields = ["Host: here"] if draw(st.integers(0, 20)) else []
    fields += [
        f"{draw(TOKENS)}:{draw(st.sampled_from([' ', '', '  ']))}{draw(VALUES)}" for _ in range(draw(st.integers(0, 5)))
    ]
    body = b""
    if framing == "sized":
        body = draw(st.binary(max_size=40) | st.just(b"GET /smuggled HTTP/1.1\r\nhost: b\r\n\r\n"))
        fields.append(f"Content-Length: {len(body)}")
    elif framing == "chunked":
        body = draw(chunked_body())
        fields.append("Transfer-Encoding: chunked")
    if draw(st.integers(0, 3)) == 0:
        fields.insert(draw(st.integers(0, len(fields))), draw(ODD_FIELDS))
    space = draw(st.sampled_from([" "] * 20 + ["  ", "\t"]))
    line = f"{draw(BLANKS)}{draw(METHODS)}{space}{draw(TARGETS)} {draw(VERSIONS)}"
    end = draw(st.sampled_from(["\r\n"] * 20 + ["\n"]))
    return (line + "\r\n" + "".join(field + end for field in fields) + "\r\n").encode("latin-1") + body


@st.composite
def conversation(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    messages = draw(st.lists(message(), min_size=1, max_size=4))
    if draw(st.integers(0, 3)) == 0:  # most connections say the same again, with a body of another length
        body = draw(st.binary(max_size=30))
        head = messages[-1].partition(b"\r\n\r\n")[0]
        again, sized = re.subn(rb"(?i)(?<=content-length: )\d+", b"%d" % len(body), head)
        messages.append(again + b"\r\n\r\n" + body * bool(sized))
    data = b"".join(messages)
    if draw(st.booleans()):
        data = draw(damaged(data))
    return data, draw(cut(data))


@settings(max_examples=600, deadline=None)
@given(conversation())
@example(
    (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", [])
)
@example(
    (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nx: y\r\n\r\nbodyGET  /two HTTP/1.1\r\nhost: a\r\n\r\n", [])
)
def test_what_we_accept_h11_reads_the_same(case: tuple[bytes, list[bytes]]) -> None:
    data, pieces = case
    compare(data, pieces or [data])


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_good_conversations_are_accepted_whole(draws: st.DataObject) -> None:
    """Without damage, every request of a pipeline is read, byte-split or not."""
    bodies = draws.draw(
        st.lists(
            st.none() | st.binary(max_size=60) | st.lists(st.binary(min_size=1, max_size=30)), min_size=1, max_size=4
        )
    )
    data = b""
    for body in bodies:
        if body is None:
            data += b"GET /a?b HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\n\r\n"
        elif isinstance(body, bytes):
            data += b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        else:
            chunks = b"".join(b"%x;e=1\r\n%b\r\n" % (len(piece), piece) for piece in body)
            data += b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\nt: 1\r\n\r\n" % chunks
    read = compare(data, draws.draw(cut(data)))
    wanted = [b"" if body is None else body if isinstance(body, bytes) else b"".join(body) for body in bodies]
    assert [one.body for one in read] == wanted
    assert all(one.complete and one.keep_alive for one in read)
    for one, body in zip(read, bodies, strict=True):
        if body is None:
            assert one.headers[b"x-a"] == b"1, 2"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_noise_is_read_the_same_or_refused(noise: bytes, draws: st.DataObject) -> None:
    data = draws.draw(st.sampled_from([b"", b"GET ", b"GET / HTTP/1.1\r\nhost: a\r\n"])) + noise
    compare(data, draws.draw(cut(data)))


def test_tiny_chunks_do_not_weigh_many_times_their_bytes() -> None:
    chunks = b"2\r\nab\r\n" * 100_000
    head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    reader = RequestReader(make_request, Heads(BOUNDS))
    reader.feed(head + chunks)
    request = reader.queue[0]
    assert request.body_bytes == 200_000
    assert len(request.pieces) < 200
    assert b"".join(request.pieces) == b"ab" * 100_000


def test_trailers_without_end_are_not_kept() -> None:
    reader = RequestReader(make_request, Heads(BOUNDS))
    reader.feed(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    tracemalloc.start()
    try:
        reader.feed(b"x-endless: ")
        with pytest.raises(BadMessage):
            for _ in range(1000):
                reader.feed(b"v" * 10_000)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 100_000
    assert not reader.queue[0].complete


def test_a_partial_head_behind_a_large_body_is_no_large_head() -> None:
    reader = RequestReader(make_request, Heads(BOUNDS))
    reader.feed(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 200000\r\n\r\n" + b"x" * 200_000 + b"GET / HT")
    reader.feed(b"TP/1.1\r\nhost: a\r\n\r\n")
    assert [request.complete for request in reader.queue] == [True, True]


LENGTHS = st.sampled_from(
    ["0", "3", "03", "17", "1200", "", "+3", "3 ", " 3", "3\t", "-1", "9" * 19, "3\r", "3\n", "3, 3"]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(LENGTHS, st.sampled_from([b"", b"abc", b"x" * 17])), max_size=5), st.data())
def test_one_head_again_and_again_with_other_lengths(requests: list[tuple[str, bytes]], data: st.DataObject) -> None:
    head = b"POST /v1 HTTP/1.1\r\nHost: a\r\nContent-Length: %b\r\nX-After: 1\r\n\r\n"
    sent = b"".join(head % length.encode() + body for length, body in [("3", b"abc"), *requests])
    compare(sent, data.draw(cut(sent)))
