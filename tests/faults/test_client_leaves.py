"""F60: the client goes away, at every stage. The slot is free within 1 s, the upstream closed within 100 ms."""

import json
import uuid
from collections.abc import Callable
from typing import Any

from tests.running.client import CHAT, Caller, Connection, eventually, last_entry, request_bytes
from tests.running.processes import Simulator
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

FREED_WITHIN_S = 1.0
CLOSED_WITHIN_S = 0.1
SLOW = {"output_tokens": 10_000, "tokens_per_s": 50}


def assert_slot_free(caller: Caller) -> None:
    """Only the asking connection is left, and nothing is under way."""
    for gauge, left in (("faregate_in_flight", 0), ("faregate_bodies_bytes", 0), ("faregate_connections", 1)):
        eventually(lambda gauge=gauge, left=left: caller.gauge(gauge) == left, FREED_WITHIN_S)


def leave(caller: Caller, simulator: Simulator, go: Callable[[str], float]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the simulator saw and what was logged of a client that leaves as `go` does, which says when it left.

    A machine that is busy elsewhere may be late once; three times in a row it is the gateway.
    """
    for attempt in range(3):
        since = last_entry(simulator)
        client_id = f"leaving-{uuid.uuid4()}"
        left_at = go(client_id)
        assert_slot_free(caller)
        [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
        line = caller.log_line(client_id)
        assert entry["outcome"] == "client_gone"
        assert (line["status"], line["error_kind"]) == (499, "client_gone")
        if entry["client_gone_at"] - left_at <= CLOSED_WITHIN_S:
            return entry, line
        assert attempt < 2, f"closed {entry['client_gone_at'] - left_at} s after"
    raise AssertionError


def in_flight(simulator: Simulator) -> bool:
    return simulator.get("/simulator/truth")["in_flight"] == 1


def test_f60a_during_the_upload(caller: Caller, simulator: Simulator, since: int) -> None:
    head = request_bytes("POST", CHAT, b"", {"content-length": "100000", "x-request-id": "f60a"}, caller.key)
    with caller.open() as connection:
        connection.send(head + b'{"model": "test-model"')
        eventually(lambda: caller.gauge("faregate_bodies_bytes") > 0)
    assert_slot_free(caller)
    line = caller.log_line("f60a")
    assert (line["status"], line["error_kind"], line["attempts"]) == (499, "client_gone", 0)
    assert simulator.get("/simulator/truth")["last_seq"] == since


def test_f60b_before_the_answers_head(caller: Caller, simulator: Simulator) -> None:
    def go(client_id: str, *, stream: bool) -> float:
        body = caller.body({"stall_before_head_ms": 30_000}, stream=stream)
        with caller.open() as connection:
            connection.send(caller.bytes_of("POST", CHAT, body, {"x-request-id": client_id}))
            eventually(lambda: in_flight(simulator))
            return connection.close()

    for stream in (False, True):
        entry, line = leave(caller, simulator, lambda client_id, stream=stream: go(client_id, stream=stream))
        assert entry["bytes_sent"] == 0
        assert line["usage"] == {}  # what is nothing is left out


def test_f60b_while_a_whole_answer_arrives(caller: Caller, simulator: Simulator) -> None:
    def go(client_id: str) -> float:
        body = caller.body({"stall_after_tokens": 1, "output_tokens": 50})
        with caller.open() as connection:
            connection.send(caller.bytes_of("POST", CHAT, body, {"x-request-id": client_id}))
            eventually(lambda: in_flight(simulator))
            return connection.reset()

    leave(caller, simulator, go)


def test_f60c_after_the_head(caller: Caller, simulator: Simulator) -> None:
    def go(client_id: str) -> float:
        with caller.stream(SLOW, {"x-request-id": client_id}) as connection:
            return connection.close()

    _, line = leave(caller, simulator, go)
    assert line["usage"]["source"] == "counted"


def test_f60d_in_mid_stream(caller: Caller, simulator: Simulator) -> None:
    def go(client_id: str, end: Callable[[Connection], float]) -> float:
        with caller.stream(SLOW, {"x-request-id": client_id}) as connection:
            connection.body_until(b'"content":', 10)
            return end(connection)

    for end in (Connection.close, Connection.reset):
        entry, line = leave(caller, simulator, lambda client_id, end=end: go(client_id, end))
        assert line["usage"]["source"] == "counted"
        assert 9 <= line["usage"]["output"] <= entry["tokens_sent"]
        assert line["usage"]["input"] > 0


def test_f60e_one_byte_before_done(caller: Caller, scripted: Upstream) -> None:
    """All was said and reported; only the end mark is not complete."""
    waiting: list[Visit] = []

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("all"), FINISH, USAGE_EVENT, b"data: [DONE]\n")
        waiting.append(visit)
        visit.until_gone()

    scripted.play(script)
    with caller.stream(None, {"x-request-id": "f60e"}, model="scripted") as connection:
        connection.body_until(b'"finish_reason":"stop"')
        left_at = connection.close()
    assert_slot_free(caller)
    eventually(lambda: waiting[0].gone_at)
    assert (waiting[0].gone_at or 0) - left_at < FREED_WITHIN_S
    line = caller.log_line("f60e")
    assert line["status"] == 499
    assert (line["usage"]["input"], line["usage"]["output"], line["usage"]["source"]) == (9, 2, "early")


def test_f60f_between_requests(caller: Caller) -> None:
    with caller.open() as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 1})))
        assert connection.answer().status == 200
        assert caller.gauge("faregate_connections") == 2
    assert_slot_free(caller)


def test_f60_pipelined_behind_one_that_leaves(caller: Caller, simulator: Simulator, since: int) -> None:
    """What waits behind the answer under way is not begun for a client that is gone."""
    first = caller.bytes_of("POST", CHAT, caller.body({"stall_before_head_ms": 30_000}))
    second = caller.bytes_of("POST", CHAT, json.dumps(caller.body()).encode())
    with caller.open() as connection:
        connection.send(first + second)
        eventually(lambda: in_flight(simulator))
    assert_slot_free(caller)
    entries = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    assert [entry["outcome"] for entry in entries] == ["client_gone"]
