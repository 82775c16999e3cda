"""The listening side, as its clients see it: connections, bodies, answers."""

import asyncio

import pytest

from faregate.wire.exchange import BodyTooLarge, IncomingRequest, OutgoingResponse
from faregate.wire.server import ServerLimits
from faregate.wire.strand import Signal

from .rig import Rig, get, on_loop, post, until


def chunked(*pieces: bytes, path: str = "/") -> bytes:
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return f"POST {path} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n".encode() + body + b"0\r\n\r\n"


@on_loop
async def test_keep_alive() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        for number in range(5):
            await peer.send(post(b"%d" % number))
            answer = await peer.answer()
            assert (answer.status, answer.body) == (200, b"%d" % number)
            assert "connection" not in answer.headers
        assert len(rig.server.connections) == 1


@on_loop
async def test_the_client_asks_for_the_end() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        await peer.send(get("/a", "connection: close") + get("/b"))
        answer = await peer.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/a", "close")
        assert await peer.ended() == b""
        assert len(rig.seen.requests) == 1


@on_loop
async def test_http_1_0() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        await peer.send(b"GET /old HTTP/1.0\r\n\r\n")
        answer = await peer.answer()
        assert (answer.body, answer.headers["connection"]) == (b"/old", "close")
        assert await peer.ended() == b""
        peer = await rig.connect()
        for _ in range(2):
            await peer.send(b"GET /old HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
            answer = await peer.answer()
            assert (answer.body, answer.headers["connection"]) == (b"/old", "keep-alive")


async def streaming(request: IncomingRequest, response: OutgoingResponse) -> None:
    response.start(200, b"content-type: text/plain\r\n")
    response.write(b"one,")
    response.write(b"")
    response.write(b"two,")
    response.finish(b"three", b"x-sum: 3\r\n")
    response.write(b"too late")
    response.finish(b"too late")


@on_loop
async def test_streams_and_trailers() -> None:
    async with Rig(streaming) as rig:
        peer = await rig.connect()
        await peer.send(get() * 2)
        for _ in range(2):
            answer = await peer.answer()
            assert (answer.headers["transfer-encoding"], answer.body) == ("chunked", b"one,two,three")
            assert answer.trailers == {"x-sum": "3"}


@on_loop
async def test_streams_to_http_1_0_end_with_the_connection() -> None:
    async with Rig(streaming) as rig:
        peer = await rig.connect()
        await peer.send(b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
        answer = await peer.answer()
        assert "transfer-encoding" not in answer.headers
        assert (answer.headers["connection"], answer.body) == ("close", b"one,two,three")


@pytest.mark.parametrize("handler", [None, streaming])
@on_loop
async def test_head_has_no_body(handler: None) -> None:
    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get("/path").replace(b"GET", b"HEAD") * 2)
        for _ in range(2):
            answer = await peer.answer(bodiless=True)
            assert answer.status == 200
            if handler is None:
                assert answer.headers["content-length"] == "5"
            else:
                assert answer.headers["transfer-encoding"] == "chunked"
        await peer.send(get("/path", "connection: close"))
        assert (await peer.answer()).status == 200
        assert await peer.ended() == b""


@on_loop
async def test_no_content_has_no_length() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        response.send(204, b"", b"")

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get() + get())
        for _ in range(2):
            answer = await peer.answer()
            assert (answer.status, answer.headers) == (204, {})


@on_loop
async def test_bodies_sized_and_chunked_in_any_pieces() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        for data, body in (
            (post(b"abc" * 100), b"abc" * 100),
            (chunked(b"a", b"bc" * 50, b"d" * 300), b"a" + b"bc" * 50 + b"d" * 300),
            (post(b""), b"/"),
            (chunked(), b"/"),
        ):
            for size in (1, 7, 100, len(data)):
                await peer.send(*[data[at : at + size] for at in range(0, len(data), size)])
                assert (await peer.answer()).body == body


@on_loop
async def test_bodies_of_ten_megabytes() -> None:
    body = bytes(range(256)) * 40 * 1024
    async with Rig() as rig:
        peer = await rig.connect()
        for data in (post(body), chunked(*[body[at : at + 60_000] for at in range(0, len(body), 60_000)])):
            sending = asyncio.ensure_future(peer.send(data))
            assert (await peer.answer()).body == body
            await sending


@on_loop
async def test_pipelining_behind_a_slow_answer() -> None:
    turns: list[tuple[IncomingRequest, OutgoingResponse, Signal[None]]] = []

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        turn: Signal[None] = Signal()
        turns.append((request, response, turn))
        await turn
        response.send(200, b"", await request.body(100))

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(post(b"one"), post(b"two") + chunked(b"three"), post(b"four"))
        for number, body in enumerate((b"one", b"two", b"three", b"four")):
            await until(lambda number=number: len(turns) == number + 1)
            await rig.deadlines_tick()
            assert len(turns) == number + 1  # one at a time
            turns[number][2].set(None)
            assert (await peer.answer()).body == body


@on_loop
async def test_expect_continue() -> None:
    async with Rig() as rig:
        peer = await rig.connect()
        request = post(b"hello", "/", "expect: 100-continue")
        for _ in range(2):
            await peer.send(request[:-5])
            assert (await peer.answer()).status == 100
            await peer.send(b"hello")
            assert (await peer.answer()).body == b"hello"
        await peer.send(request)  # one that does not wait needs no word
        assert (await peer.answer()).body == b"hello"


@on_loop
async def test_expect_continue_is_refused_before_the_body_is_sent() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        try:
            await request.body(10)
        except BodyTooLarge:
            response.send(413, b"", b"too large")

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(post(b"x" * 11, "/", "expect: 100-continue")[:-11])
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        assert await peer.ended() == b""


@on_loop
async def test_early_refusal_reaches_a_client_that_is_still_sending() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        try:
            await request.body(1000)
        except BodyTooLarge:
            response.send(413, b"", b"too large")

    async with Rig(handler, ServerLimits(linger_timeout_s=5.0)) as rig:
        for data in (post(b"x" * 8_000_000), chunked(*[b"x" * 100_000] * 80)):
            peer = await rig.connect()
            sending = asyncio.ensure_future(peer.send(*[data[at : at + 50_000] for at in range(0, len(data), 50_000)]))
            answer = await peer.answer()
            assert (answer.status, answer.body, answer.headers["connection"]) == (413, b"too large", "close")
            assert await peer.ended() == b""
            await sending
            await peer.close()
        assert rig.server.bodies_bytes == 0


@on_loop
async def test_an_unread_body_is_read_over() -> None:
    """An answer that did not need the small body keeps the connection; a large one costs it."""

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        response.send(401, b"", request.path)

    async with Rig(handler) as rig:
        peer = await rig.connect()
        data = post(b"GET /smuggled HTTP/1.1\r\n\r\n" * 100, "/first")
        await peer.send(data[:200])
        assert (await peer.answer()).body == b"/first"
        await peer.send(data[200:])
        await peer.send(get("/second"))
        assert (await peer.answer()).body == b"/second"
        await peer.send(post(b"x" * 1_000_000, "/third")[:200])
        assert (await peer.answer()).headers["connection"] == "close"
        assert await peer.ended() == b""


@on_loop
async def test_h2c_is_read_as_the_plain_request_it_also_is() -> None:
    fields = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQAAP__")
    async with Rig() as rig:
        for split in (False, True):
            peer = await rig.connect()
            data = post(b"hello", "/a", *fields) + get("/b", *fields) + chunked(b"x", path="/c") + get("/d")
            await peer.send(*([data[at : at + 1] for at in range(len(data))] if split else [data]))
            for body in (b"hello", b"/b", b"x", b"/d"):
                assert (await peer.answer()).body == body


@on_loop
async def test_a_handler_that_crashes_cuts_its_connection_and_no_other() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        if request.path == b"/crash":
            raise ZeroDivisionError
        response.send(200, b"", b"well")

    async with Rig(handler) as rig:
        peer, other = await rig.connect(), await rig.connect()
        await peer.send(get("/crash"))
        assert await peer.ended() == b""
        await other.send(get())
        assert (await other.answer()).body == b"well"
        assert [type(crash) for crash in rig.crashes] == [ZeroDivisionError]
        rig.crashes.clear()


@on_loop
async def test_an_aborted_stream_is_seen_as_cut() -> None:
    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        response.start(200, b"")
        response.write(b"half")
        await rig.deadlines_tick_signal()
        response.abort()

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get())
        await peer.head()
        assert await peer.ended() == b"4\r\nhalf\r\n"


@on_loop
async def test_the_handler_can_be_cancelled_from_outside() -> None:
    responses: list[OutgoingResponse] = []

    async def handler(request: IncomingRequest, response: OutgoingResponse) -> None:
        responses.append(response)
        try:
            await Signal()
        except LookupError as error:
            response.send(401, b"", str(error).encode())

    async with Rig(handler) as rig:
        peer = await rig.connect()
        await peer.send(get())
        await until(lambda: responses)
        responses[0].cancel(LookupError("revoked"))
        responses[0].cancel(LookupError("again"))
        assert (await peer.answer()).body == b"revoked"
        await peer.send(get())
        await until(lambda: len(responses) == 2)
        responses[0].cancel(LookupError("an answer that is over"))
        responses[1].cancel(LookupError("second"))
        assert (await peer.answer()).body == b"second"
