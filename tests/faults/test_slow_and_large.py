"""F61 to F63: clients that read or send slowly, and bodies that never end."""

import json
import select
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from tests.faults.conftest import BODY_BYTES_MAX, forget_peak, peak_rss_bytes, rss_bytes
from tests.running.client import CHAT, HELLO, Caller, Connection, eventually, request_bytes
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream

MEGABYTE = 1024 * 1024


def drip(connection: Connection, data: bytes, every_s: float, for_s: float) -> None:
    """Send `data` a byte at a time until the other side has something to say."""
    deadline = time.monotonic() + for_s
    for position in range(len(data)):
        readable, _, _ = select.select([connection.socket], [], [], every_s)
        if readable or time.monotonic() > deadline:
            return
        connection.send(data[position : position + 1])


# F61


def test_f61_slow_reader_of_a_stream(patient: Caller, simulator: Simulator, since: int) -> None:
    caller, gateway = patient, patient.gateway
    before = rss_bytes(gateway.pid)

    def is_over() -> bool:
        assert rss_bytes(gateway.pid) - before < 16 * MEGABYTE
        with suppress(ConnectionError):
            connection.socket.recv(1)
        time.sleep(0.2)  # the pace of this reader
        return any(line.get("client_request_id") == "f61" for line in gateway.log_lines())

    with caller.open(receive_buffer_bytes=4096) as connection:
        body = caller.body({"output_tokens": 400_000}, stream=True)
        connection.send(caller.bytes_of("POST", CHAT, body, {"x-request-id": "f61"}))
        eventually(is_over, 60.0)
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    assert entry["outcome"] == "client_gone"
    line = caller.log_line("f61")
    assert (line["status"], line["error_kind"]) == (499, "client_gone")
    assert line["usage"]["source"] == "counted"
    assert 0 < line["usage"]["output"] <= entry["tokens_sent"]


def test_f61_reader_that_stops_before_a_whole_answer_ends(caller: Caller, scripted: Upstream) -> None:
    """What is written and not read must not be held for ever once the answer is over."""
    answer = {"id": "x", "object": "chat.completion", "created": 1, "model": "scripted"}
    message = {"role": "assistant", "content": "x" * 24 * MEGABYTE}
    body = json.dumps({**answer, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    scripted.play(lambda visit: visit.whole(200, body))
    with caller.open(receive_buffer_bytes=4096) as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body(model="scripted"), {"x-request-id": "f61-whole"}))
        caller.log_line("f61-whole")
        eventually(lambda: caller.gauge("faregate_connections") == 1, 15.0)


def test_f61_reader_that_is_slow_but_reads(caller: Caller) -> None:
    """Pauses shorter than the write timeout lose nothing."""
    with caller.open(receive_buffer_bytes=65536) as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 20_000}, stream=True)))
        connection.head()
        for number in range(1, 5):
            time.sleep(0.5)  # the pace of this reader
            connection.body_of(number * MEGABYTE)
        answer = connection.rest()
    assert answer.events[-1] == "[DONE]"
    assert len(answer.events) == 20_000 + 3


# F62


def test_f62_slow_head(caller: Caller) -> None:
    with caller.open() as connection:
        drip(connection, b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-slow: " + b"x" * 1000, 0.05, 9.0)
        answer = connection.answer()
        assert connection.ended() == b""
    assert answer.status == 408
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["request_id"] == answer.header("x-request-id")


def test_f62_slow_second_head(caller: Caller) -> None:
    with caller.open() as connection:
        connection.send(caller.bytes_of("GET", "/v1/models"))
        assert connection.answer().status == 200
        drip(connection, b"GET /v1/models HTTP/1.1\r\nx-slow: " + b"x" * 1000, 0.05, 9.0)
        assert connection.answer().status == 408
        assert connection.ended() == b""


def test_f62_silence_from_the_start_is_closed(caller: Caller) -> None:
    with caller.open() as connection:
        assert connection.ended() == b""


def test_f62_slow_body(caller: Caller, simulator: Simulator, since: int) -> None:
    head = request_bytes("POST", CHAT, b"", {"content-length": "100000"}, caller.key)
    with caller.open() as connection:
        connection.send(head)
        drip(connection, b" " * 1000, 0.05, 25.0)
        answer = connection.answer()
        assert connection.ended() == b""
    assert answer.status == 408
    assert answer.error["request_id"] == answer.header("x-request-id")
    assert simulator.get("/simulator/truth")["last_seq"] == since


@pytest.fixture
def slowloris(caller: Caller) -> Iterator[list[Connection]]:
    """Half heads from more sockets than one address may have without a key."""
    with ExitStack() as stack:
        connections = [stack.enter_context(caller.open()) for _ in range(300)]
        for connection in connections:
            connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-slow: ")
        yield connections


def test_f62_good_traffic_beside_slow_heads(caller: Caller, slowloris: list[Connection]) -> None:
    def latencies() -> list[float]:
        taken = []
        for _ in range(50):
            start = time.perf_counter()
            assert caller.chat({"output_tokens": 1}).status == 200
            taken.append(time.perf_counter() - start)
        return taken

    beside = latencies()
    eventually(lambda: caller.gauge("faregate_connections") == 1, 15.0)
    alone = latencies()
    assert statistics.median(beside) < 5 * statistics.median(alone) + 0.02  # sanity; `make soak` measures


# F63


def assert_too_large(connection: Connection, caller: Caller) -> None:
    answer = connection.answer()
    assert answer.status == 413
    assert (answer.error["type"], answer.error["code"]) == ("invalid_request_error", "request_too_large")
    assert connection.ended() == b""
    assert caller.gauge("faregate_bodies_bytes") == 0


def test_f63_stated_length_of_a_gigabyte(caller: Caller, scaled: Gateway) -> None:
    before = forget_peak(scaled.pid)
    with caller.open() as connection:
        connection.send(request_bytes("POST", CHAT, b"", {"content-length": str(1 << 30)}, caller.key))
        assert_too_large(connection, caller)
    assert peak_rss_bytes(scaled.pid) - before < 2 * BODY_BYTES_MAX


def test_f63_chunked_gigabyte(caller: Caller, scaled: Gateway, simulator: Simulator, since: int) -> None:
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\ntransfer-encoding: chunked\r\n\r\n"
    before = forget_peak(scaled.pid)
    sent = 0
    with caller.open() as connection:
        connection.send(head % (CHAT.encode(), caller.key.encode()))
        while not select.select([connection.socket], [], [], 0)[0] and sent < 1 << 30:
            connection.send(b"40000\r\n%b\r\n" % (b" " * 0x40000))
            sent += 0x40000
        assert sent < 16 * BODY_BYTES_MAX
        assert_too_large(connection, caller)
    assert peak_rss_bytes(scaled.pid) - before < 2 * BODY_BYTES_MAX
    assert simulator.get("/simulator/truth")["last_seq"] == since


def test_f63_body_just_within_the_limit(caller: Caller, simulator: Simulator) -> None:
    body = {"model": "test-model", "messages": HELLO, "padding": ""}
    body["padding"] = "x" * (BODY_BYTES_MAX - len(json.dumps(body)))
    assert caller.ask("POST", CHAT, body).status == 200
    body["padding"] += "x"
    assert caller.ask("POST", CHAT, body).status == 413


def test_f63_many_large_bodies_at_once_are_refused(
    session_folder: object, simulator: Simulator, bodies_gateway: Gateway
) -> None:
    """All bodies in flight together are bounded: the one too many is 503, and room comes back."""
    caller = Caller(bodies_gateway)
    head = request_bytes("POST", CHAT, b"", {"content-length": str(MEGABYTE)}, caller.key)
    with ExitStack() as stack:
        held = [stack.enter_context(caller.open()) for _ in range(2)]
        for connection in held:
            connection.send(head + b" " * (900 * 1024))
        eventually(lambda: caller.gauge("faregate_bodies_bytes") == 2 * 900 * 1024)
        with caller.open() as connection:
            connection.send(head + b" " * (900 * 1024))
            answer = connection.answer()
        assert answer.status == 503
        assert answer.error["code"] == "overloaded"
        assert int(answer.header("retry-after") or 0) >= 1
    eventually(lambda: caller.gauge("faregate_bodies_bytes") == 0)
    assert caller.chat().status == 200
