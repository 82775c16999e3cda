"""F64, F70, F74 and F75 over a real socket: what two parsers could read differently is 400 and the end."""

import pytest

from faregate.wire.exchange import IncomingRequest, OutgoingResponse

from .rig import Rig, get, on_loop, post

SECOND = b"GET /smuggled HTTP/1.1\r\nhost: here\r\n\r\n"


def head(*fields: str, line: str = "POST /first HTTP/1.1") -> bytes:
    return "\r\n".join([line, "host: here", *fields, "", ""]).encode("latin-1")


BROKEN = {
    "negative length": head("content-length: -1") + b"x",
    "signed length": head("content-length: +1") + b"x",
    "length in hexadecimal": head("content-length: 0x1") + b"x",
    "length with a space inside": head("content-length: 1 1") + b"x" * 11,
    "length with a list": head("content-length: 1, 1") + b"x",
    "length of 30 digits": head("content-length: " + "9" * 30) + b"x",
    "empty length": head("content-length:") + b"x",
    "two different lengths": head("content-length: 1", "content-length: 40") + b"x",
    "two equal lengths": head("content-length: 1", "content-length: 1") + b"x",
    "length, then chunked (CL.TE)": head("content-length: 5", "transfer-encoding: chunked") + b"0\r\n\r\n",
    "chunked, then length (TE.CL)": head("transfer-encoding: chunked", "content-length: 5") + b"0\r\n\r\n",
    "chunked twice (TE.TE)": head("transfer-encoding: chunked", "transfer-encoding: chunked") + b"0\r\n\r\n",
    "chunked and identity": head("transfer-encoding: chunked", "transfer-encoding: identity") + b"0\r\n\r\n",
    "identity": head("transfer-encoding: identity"),
    "list of codings": head("transfer-encoding: gzip, chunked") + b"0\r\n\r\n",
    "chunked listed twice": head("transfer-encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked with a vertical tab": head("transfer-encoding: chunked\x0b") + b"0\r\n\r\n",
    "a vertical tab before chunked": head("transfer-encoding: \x0bchunked") + b"0\r\n\r\n",
    "chunked with a form feed": head("transfer-encoding: chunked\x0c") + b"0\r\n\r\n",
    "chunked with a no-break space": head("transfer-encoding: chunked\xa0") + b"0\r\n\r\n",
    "chunked in quotes": head('transfer-encoding: "chunked"') + b"0\r\n\r\n",
    "chunked with a parameter": head("transfer-encoding: chunked;q=1") + b"0\r\n\r\n",
    "xchunked": head("transfer-encoding: xchunked") + b"0\r\n\r\n",
    "chunked and 1.0": head("transfer-encoding: chunked", line="POST /first HTTP/1.0") + b"0\r\n\r\n",
    "a space before the colon": head("content-length : 1") + b"x",
    "a space before the colon of chunked": head("transfer-encoding : chunked") + b"0\r\n\r\n",
    "a tab before the colon": head("transfer-encoding\t: chunked") + b"0\r\n\r\n",
    "a folded field": head("x-a: 1", " content-length: 5"),
    "a folded transfer coding": head("transfer-encoding:", " chunked") + b"0\r\n\r\n",
    "a field that begins with a space": head(" content-length: 1") + b"x",
    "a field without a colon": head("content-length 1") + b"x",
    "a field without a name": head(": 1"),
    "NUL in a value": head("x-a: a\x00b"),
    "NUL in a name": head("x-\x00a: b"),
    "a control in a value": head("x-a: a\x01b"),
    "DEL in a value": head("x-a: a\x7fb"),
    "a bare CR in a value": head("x-a: a\rtransfer-encoding: chunked"),
    "a bare LF in a value": head("x-a: a\ntransfer-encoding: chunked"),
    "only LF": head("x-a: b").replace(b"\r\n", b"\n"),
    "LF at the end of the first line": head("x-a: b").replace(b"1.1\r\n", b"1.1\n"),
    "LF at the head's end": head("x-a: b")[:-2] + b"\n",
    "Unicode in a value": head("x-a: \N{PILE OF POO}".encode().decode("latin-1")),
    "Latin-1 in a value": head("x-a: \xe9"),
    "Unicode in a name": head("x-\xe9: a"),
    "no host": b"POST /first HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    "two hosts": head("host: other"),
    "two spaces behind the method": head(line="POST  /first HTTP/1.1"),
    "two spaces before the version": head(line="POST /first  HTTP/1.1"),
    "a tab behind the method": head(line="POST\t/first HTTP/1.1"),
    "a space behind the version": head(line="POST /first HTTP/1.1 "),
    "a space in the target": head(line="POST /fi rst HTTP/1.1"),
    "Unicode in the target": head(line="POST /f\xc3\xa9 HTTP/1.1"),
    "a control in the target": head(line="POST /f\x01 HTTP/1.1"),
    "a small method": head(line="post /first HTTP/1.1"),
    "an unknown method": head(line="SMUGGLE /first HTTP/1.1"),
    "no target": head(line="POST HTTP/1.1"),
    "no version": head(line="POST /first"),
    "version 0.9": head(line="POST /first HTTP/0.9"),
    "version 1.2": head(line="POST /first HTTP/1.2"),
    "version 2.0": head(line="POST /first HTTP/2.0"),
    "version 1.1 with more digits": head(line="POST /first HTTP/1.10"),
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "an empty line before it": b"\r\n" + head(),
    "a space before it": b" " + head(),
    "WebSocket": head("connection: upgrade", "upgrade: websocket", line="GET /first HTTP/1.1"),
    "h2c and WebSocket": head("connection: upgrade", "upgrade: h2c, websocket", line="GET /first HTTP/1.1"),
    "CONNECT": head(line="CONNECT here:443 HTTP/1.1"),
    "CONNECT with a path": head(line="CONNECT /first HTTP/1.1"),
    "a relative target": head(line="POST first HTTP/1.1"),
    "* of one method": head(line="POST * HTTP/1.1"),
    "* and more": head(line="OPTIONS *?a HTTP/1.1"),
    "a target with an authority alone": head(line="POST here:80 HTTP/1.1"),
    "another scheme": head(line="POST ftp://here/first HTTP/1.1"),
    "a scheme alone": head(line="POST http: HTTP/1.1"),
    "one slash behind the scheme": head(line="POST http:/here/first HTTP/1.1"),
    "a URL without an authority": head(line="POST http:///first HTTP/1.1"),
    "a URL with an authority of a port": head(line="POST http://:80/first HTTP/1.1"),
    "a URL with a user": head(line="POST http://me@here/first HTTP/1.1"),
    "a URL with a user and a password": head(line="POST http://me:pw@here/first HTTP/1.1"),
    "a URL with a port that is none": head(line="POST http://here:8x/first HTTP/1.1"),
    "a URL with an open bracket": head(line="POST http://[::1/first HTTP/1.1"),
    "a URL with a backslash": head(line="POST http://here\\first HTTP/1.1"),
    "a URL with a comma in its host": head(line="POST http://here,there/first HTTP/1.1"),
    "a URL with a fragment": head(line="POST http://here/first#second HTTP/1.1"),
    "a URL without a Host": b"POST http://here/first HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    "a URL with two Hosts": head("host: here", line="POST http://here/first HTTP/1.1"),
    "a URL with two lengths": head("content-length: 1", "content-length: 2", line="POST http://here/ HTTP/1.1") + b"x",
}

CHUNKED = head("transfer-encoding: chunked")
BROKEN_BODIES = {
    "signed chunk size": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative chunk size": b"-5\r\nhello\r\n0\r\n\r\n",
    "chunk size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "chunk size with an underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "empty chunk size": b"\r\nhello\r\n0\r\n\r\n",
    "chunk size that overflows": b"1" + b"0" * 16 + b"5\r\nhello\r\n0\r\n\r\n",
    "chunk size without sense": b"xyz\r\nhello\r\n0\r\n\r\n",
    "LF behind the chunk size": b"5\nhello\r\n0\r\n\r\n",
    "CR alone behind the chunk size": b"5\rhello\r\n0\r\n\r\n",
    "LF in a chunk extension": b"5;a\nhello\r\n0\r\n\r\n",
    "CR in a chunk extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in a chunk extension": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "no CRLF behind the chunk": b"5\r\nhello0\r\n\r\n",
    "LF behind the chunk": b"5\r\nhello\n0\r\n\r\n",
    "more in the chunk than it says": b"3\r\nhello\r\n0\r\n\r\n",
    "a folded trailer": b"5\r\nhello\r\n0\r\nx-t: 1\r\n fold\r\n\r\n",
    "LF behind the last chunk": b"5\r\nhello\r\n0\n\n",
    "a length in the trailer": b"5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n",
    "a transfer coding in the trailer": b"5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a trailer without a colon": b"5\r\nhello\r\n0\r\nGET /x HTTP/1.1\r\n\r\n",
}


async def refused(rig: Rig, *pieces: bytes) -> None:
    peer = await rig.connect()
    await peer.send(*pieces)
    answer = await peer.answer()
    assert answer.status == 400
    assert answer.headers["connection"] == "close"
    assert await peer.ended() == b""
    await peer.close()


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@on_loop
async def test_f64_heads() -> None:
    for name, data in BROKEN.items():
        async with Rig() as rig:
            await refused(rig, data + SECOND)
            await refused(rig, *bytewise(data)[:-1], data[-1:] + SECOND)
            assert not rig.seen.requests, name


@on_loop
async def test_f64_heads_behind_a_good_request() -> None:
    """The good one is answered, and what follows it is not."""
    for name, data in BROKEN.items():
        async with Rig() as rig:
            peer = await rig.connect()
            await peer.send(post(b"good") + data + SECOND)
            assert (await peer.answer()).body == b"good", name
            assert (await peer.answer()).status == 400, name
            assert await peer.ended() == b""
            assert len(rig.seen.requests) == 1, name


@pytest.mark.parametrize("before", [b"", get("/before")])
@on_loop
async def test_f64_bodies(before: bytes) -> None:
    for name, body in BROKEN_BODIES.items():
        for split in (False, True):
            async with Rig() as rig:
                peer = await rig.connect()
                pieces = [before + CHUNKED, *bytewise(body + SECOND)] if split else [before + CHUNKED + body + SECOND]
                await peer.send(*pieces)
                if before:
                    assert (await peer.answer()).status == 200, name
                assert (await peer.answer()).status == 400, name
                assert await peer.ended() == b"", name
                assert b"/smuggled" not in [request.path for request in rig.seen.requests], name
                assert not rig.seen.bodies or rig.seen.bodies == [b""], name


@on_loop
async def test_a_body_that_looks_like_a_request_is_a_body() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        await peer.send(post(SECOND * 3) + post(b"last"))
        assert (await peer.answer()).body == SECOND * 3
        assert (await peer.answer()).body == b"last"
        chunked = b"%x;x=y\r\n%b\r\n0\r\nx-t: 1\r\n\r\n" % (len(SECOND), SECOND)
        await peer.send(CHUNKED + chunked + CHUNKED, *bytewise(chunked), get("/end"))
        assert (await peer.answer()).body == SECOND
        assert (await peer.answer()).body == SECOND
        assert (await peer.answer()).body == b"/end"


@on_loop
async def test_a_broken_body_behind_a_request_that_is_slow_to_answer() -> None:
    """The broken one is never handled: its refusal waits for the answer before it."""
    release: list[OutgoingResponse] = []

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        release.append(response)

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get("/slow") + CHUNKED + b"zz\r\n")
        await peer.send(SECOND)
        other = await rig.connect()
        await other.send(get("/other"))
        while len(release) < 2:
            await rig.deadlines_tick()
        release[0].send(200, b"", b"slow")
        assert (await peer.answer()).body == b"slow"
        assert (await peer.answer()).status == 400
        assert await peer.ended() == b""
        release[1].send(200, b"", b"")
        assert len(rig.seen.requests) == 2


@on_loop
async def test_f70_large_heads() -> None:
    async with Rig() as rig:
        for data in (
            get("/", "x-long: " + "x" * 65536),
            get("/", *[f"x-{number}: v" for number in range(1000)]),
            get("/" + "x" * 9000),
        ):
            peer = await rig.connect()
            await peer.send(data)
            assert (await peer.answer()).status == 431
            assert await peer.ended() == b""
        assert not rig.seen.requests


@on_loop
async def test_f74_a_hundred_pipelined_are_answered_in_order() -> None:
    async with Rig() as rig:
        data = b"".join(post(b"body %d" % number, f"/{number}") for number in range(100))
        for pieces in ([data], [data[at : at + 777] for at in range(0, len(data), 777)]):
            peer = await rig.connect()
            await peer.send(*pieces)
            for number in range(100):
                answer = await peer.answer()
                assert (answer.headers["x-path"], answer.body) == (f"/{number}", b"body %d" % number)
        assert len(rig.seen.requests) == 200


@on_loop
async def test_f75_trace_and_options_reach_the_handler() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        await peer.send(get().replace(b"GET", b"TRACE") + get("*").replace(b"GET", b"OPTIONS"))
        assert (await peer.answer()).status == 200
        assert (await peer.answer()).body == b"*"
        assert [request.method for request in rig.seen.requests] == [b"TRACE", b"OPTIONS"]
