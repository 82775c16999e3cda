"""SIGTERM: what is under way ends well, what is new is not taken, nothing that was answered is missing afterwards."""

import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import CHAT, Caller, eventually
from tests.running.processes import Gateway, Process, Simulator, simulated
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

Start = Callable[..., Gateway]


@pytest.fixture
def start(session_folder: Path, simulator: Simulator) -> Iterator[Start]:
    """Starts gateways of the test's own; stops what it has left running."""
    with ExitStack() as stack:

        def begin(more: str = "") -> Gateway:
            process = Gateway(session_folder, simulated(simulator, more=more))
            stack.callback(lambda: process.popen.poll() is None and process.stop(signal.SIGKILL))
            return process

        yield begin


def usage_rows(gateway: Gateway) -> list[dict[str, Any]]:
    """What the journal has written."""
    [path] = gateway.data.glob("*.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM usage").fetchall()
    return [dict(row) for row in rows]


def terminate(gateway: Gateway) -> None:
    gateway.popen.send_signal(signal.SIGTERM)
    eventually(lambda: [line for line in gateway.log_lines() if line["event"] == "draining"])


def ended(gateway: Gateway, within_s: float = 30.0) -> int:
    """The exit code, once there is one."""
    code = gateway.popen.wait(within_s)
    assert gateway.popen.stdout is not None
    gateway.popen.stdout.close()
    return code


def test_running_streams_finish_and_new_connections_are_refused(start: Start) -> None:
    gateway = start()
    caller = Caller(gateway)
    with ExitStack() as stack:
        plan = {"output_tokens": 40, "tokens_per_s": 20}
        streams = [stack.enter_context(caller.stream(plan)) for _ in range(5)]
        idle = stack.enter_context(caller.open())
        idle.send(caller.bytes_of("GET", "/v1/models"))
        assert idle.answer().status == 200
        terminate(gateway)
        assert idle.ended() == b""
        with pytest.raises(ConnectionError):
            caller.open().close()
        for connection in streams:
            answer = connection.rest()
            assert len(answer.events) == 40 + 3
            assert answer.events[-1] == "[DONE]"
            assert connection.ended() == b""  # it was said to stay open; it is closed once it is idle
    start_s = time.monotonic()
    assert ended(gateway) == 0
    assert time.monotonic() - start_s < 10
    stopped = gateway.log_lines()[-1]
    assert (stopped["event"], stopped["finished"], stopped["records_written"]) == ("stopped", True, True)
    assert [row["status"] for row in usage_rows(gateway) if row["stream"]] == [200] * 5


@pytest.mark.contract("1.15")
def test_what_is_asked_while_it_stops(start: Start) -> None:
    """A connection with an answer under way may ask on: it is not ready any more, and says that it closes."""
    gateway = start()
    caller = Caller(gateway)
    with caller.open() as connection:
        body = caller.body({"output_tokens": 20, "tokens_per_s": 20}, stream=True)
        connection.send(caller.bytes_of("POST", CHAT, body) + caller.bytes_of("GET", "/readyz"))
        connection.head()
        terminate(gateway)
        assert connection.rest().events[-1] == "[DONE]"
        ready = connection.answer()
        assert (ready.status, ready.json()["problems"]) == (503, ["the gateway is stopping"])
        assert (ready.header("connection"), ready.header("retry-after")) == ("close", "1")
        assert connection.ended() == b""
    assert ended(gateway) == 0


def test_whole_answers_finish_too(start: Start) -> None:
    gateway = start()
    caller = Caller(gateway)
    with caller.open() as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body({"stall_before_head_ms": 1500})))
        eventually(lambda: caller.gauge("faregate_in_flight") == 1)
        terminate(gateway)
        answer = connection.answer()
        assert (answer.status, answer.header("connection")) == (200, "close")
    assert ended(gateway) == 0


def test_what_does_not_finish_is_cut(start: Start, simulator: Simulator, since: int) -> None:
    """After the drain timeout; it is on record, with what was delivered."""
    gateway = start("[server]\ndrain_timeout_s = 1.0")
    caller = Caller(gateway)
    with caller.stream({"output_tokens": 10_000, "tokens_per_s": 20}) as connection:
        request_id = connection.current.header("x-request-id") or ""
        terminate(gateway)
        with pytest.raises(ConnectionError):
            connection.rest()  # no end mark: the client must see that it is incomplete
    assert ended(gateway) == 0
    assert not gateway.log_lines()[-1]["finished"]
    [row] = usage_rows(gateway)
    assert row["id"].hex() == request_id.replace("-", "")
    assert (row["status"], row["error_kind"], row["source"]) == (499, "client_gone", "counted")
    assert row["output"] > 0
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    assert entry["outcome"] == "client_gone"


def test_client_that_never_reads_does_not_hold_it_up(start: Start) -> None:
    gateway = start("[server]\ndrain_timeout_s = 1.0")
    caller = Caller(gateway)
    with caller.open(receive_buffer_bytes=4096) as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 100_000}, stream=True)))
        eventually(lambda: caller.gauge("faregate_in_flight") == 1)
        terminate(gateway)
        assert ended(gateway, 20.0) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_stops_at_once(number: int, start: Start) -> None:
    gateway = start()
    with Caller(gateway).stream({"output_tokens": 10_000, "tokens_per_s": 20}):
        terminate(gateway)
        second_at = time.monotonic()
        gateway.popen.send_signal(number)
        assert ended(gateway) == 1
        assert time.monotonic() - second_at < 5


def test_journal_is_complete_after_a_stop(start: Start) -> None:
    """Every request with a key has its row, though the journal was to be written long after."""
    gateway = start("[usage]\nflush_interval_s = 10.0")
    caller = Caller(gateway)
    ids = []
    with caller.open() as connection:
        requests = [caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 1})) for _ in range(150)]
        connection.send(b"".join(requests))
        ids += [connection.answer().header("x-request-id") for _ in requests]
    ids += [caller.streamed({"output_tokens": 2}).header("x-request-id") for _ in range(10)]
    ids += [caller.chat(temperature=9).header("x-request-id") for _ in range(5)]
    ids += [caller.chat({"status": 500}).header("x-request-id") for _ in range(5)]
    ids += [caller.get("/v1/models").header("x-request-id") for _ in range(5)]
    strangers = [Caller(gateway, key="wrong").get("/v1/models").header("x-request-id") for _ in range(5)]
    assert gateway.stop() == 0
    rows = {row["id"].hex(): row for row in usage_rows(gateway)}
    assert rows.keys() == {str(request_id).replace("-", "") for request_id in ids}
    assert sum(row["output"] for row in rows.values()) == 150 + 20
    logged = [line["id"] for line in gateway.log_lines() if line["event"] == "request"]
    assert sorted(logged) == sorted(map(str, ids + strangers))
    statuses = sorted(row["status"] for row in rows.values())
    assert statuses == sorted([200] * 165 + [400] * 5 + [503] * 5)


def test_a_gateway_starts_again_on_its_data(start: Start) -> None:
    """Keys and records are there after a restart."""
    gateway = start()
    request_id = Caller(gateway).chat().header("x-request-id")
    assert gateway.stop() == 0
    words = ["-m", "faregate", "serve", "--json", "--port", "0", "--config", str(gateway.config)]
    again = Process([*words, "--data", str(gateway.data)], {}, gateway.folder / "again.log")
    try:
        gateway.port = int(again.ready["base_url"].rsplit(":", 1)[1].partition("/")[0])
        assert Caller(gateway).record(request_id)["status"] == 200
        assert Caller(gateway).chat().status == 200
    finally:
        assert again.stop() == 0


def test_port_in_use_is_said(start: Start) -> None:
    gateway = start()
    done = gateway.command("serve", "--port", str(gateway.port))
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{gateway.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_stream_that_ended_while_unread_is_delivered(start: Start) -> None:
    """An upstream's stream that is over, but not yet with the client, is not lost to the drain."""
    told: list[Visit] = []

    def script(visit: Visit) -> None:
        visit.stream(ROLE, *(said("x" * 900) for _ in range(100)), FINISH, USAGE_EVENT, b"data: [DONE]\n\n")
        visit.end()
        told.append(visit)

    with Upstream(script) as upstream:
        more = (
            f'[providers.raw]\nbase_url = "{upstream.base_url}"\nkey = "raw-key"\nwire = "exact"\nmodels = ["scripted"]'
        )
        gateway = start(more)
        caller = Caller(gateway)
        with caller.open(receive_buffer_bytes=4096) as connection:
            connection.send(caller.bytes_of("POST", CHAT, caller.body(model="scripted", stream=True)))
            eventually(lambda: told)
            terminate(gateway)
            assert connection.answer().text == "x" * 90_000
        assert ended(gateway) == 0
