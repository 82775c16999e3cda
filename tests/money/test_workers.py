"""Several workers on one file: what holds for one process holds for all of them together, and through their deaths."""

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from faregate.core.money import format_amount, parse_amount
from tests.edge.conftest import command_json
from tests.running.client import CHAT, Caller, Connection, eventually
from tests.running.processes import CLEAN, Gateway, Process, Simulator

from .books import Books, Customer, cost_of, customer_of
from .crew import DEAR_NANO, connected_to_each, crew_config, is_alive, worker_behind, workers_of
from .killing_workers import kill_workers, stopped_in_order
from .load import PROMPT_TOKENS, each_in_a_thread
from .test_refusals import AT_ONCE, all_at_once

WORKERS = 4
KILLS = 5
STARTS = 4
USD = 1_000_000_000
REFUSED_WITHIN_S = 2.0  # 0.25 and what this machine does beside it


@pytest.fixture(scope="module")
def crew(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """Four workers. In the end nothing is leased and the books are in order."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gateway = Gateway(session_folder, crew_config(simulator, WORKERS))
    yield gateway
    stopped_in_order(gateway)


def chat_over(connection: Connection, caller: Caller, tokens: int = 1, max_tokens: int = 10) -> int:
    """The status of a chat over a connection that stays open."""
    body = caller.body({"output_tokens": tokens}, max_tokens=max_tokens)
    connection.send(caller.bytes_of("POST", CHAT, body))
    return connection.answer().status


def spread(stack: ExitStack, customer: Customer, hold_nano: int) -> dict[int, Connection]:
    """Slices in every worker, of which nothing is held; a connection to each. The first lease is for one request, the
    second for what was spent of late too."""
    connections = connected_to_each(stack, customer)
    for connection in connections.values():
        for _ in range(3):
            assert chat_over(connection, customer, 1, hold_nano // DEAR_NANO) == 200
    query = (
        "SELECT count(DISTINCT epoch_id) FROM lease AS l JOIN account AS a ON a.id = l.account_id "
        "WHERE l.active = 1 AND a.organisation_id = ?"
    )
    assert customer.books.number(query, customer.organisation) >= 2
    return connections


@pytest.mark.parametrize("stream", [False, True])
def test_f34_a_thousand_requests_at_once_on_a_cent(crew: Gateway, simulator: Simulator, stream: bool) -> None:
    poor = customer_of(crew, f"cent-{stream}", "0.01", "flat")
    with ExitStack() as stack:
        connected_to_each(stack, poor)
    since = simulator.get("/simulator/truth")["last_seq"]
    body = poor.body({"output_tokens": 3}, stream=stream)
    request = poor.bytes_of("POST", CHAT, body, {"connection": "close"})
    answers = asyncio.run(all_at_once(crew.port, request, AT_ONCE))
    passed = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200 ")]
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 402 ")]
    assert (len(passed), len(refused)) == (11, 989)
    assert all(b"[DONE]" in answer for answer in passed) or not stream
    assert (poor.balance, poor.spent) == (100_000, 9_900_000)
    assert len(simulator.get(f"/simulator/truth?since={since}")["entries"]) == 11
    eventually(lambda: poor.leased == 0)
    poor.books.in_order()


def test_f36_f38_a_balance_that_lies_in_the_slices_of_others_is_no_refusal(crew: Gateway) -> None:
    rich = customer_of(crew, "spread", "20", "dear")
    with ExitStack() as stack:
        connections = spread(stack, rich, USD // 2)
        for connection in connections.values():
            left = rich.balance // DEAR_NANO
            assert chat_over(connection, rich, 1, left + 1) == 402
            assert chat_over(connection, rich, 1, left) == 200  # every nano-dollar of it
            assert chat_over(connection, rich, 1, USD // 2 // DEAR_NANO) == 200
    rich.books.in_order()


def test_who_waits_in_vain_is_told_soon(crew: Gateway) -> None:
    poor = customer_of(crew, "waiting", "0.5", "dear")
    with ExitStack() as stack:
        for connection in connected_to_each(stack, poor).values():
            began = time.monotonic()
            assert chat_over(connection, poor, 1, USD // DEAR_NANO) == 402
            assert time.monotonic() - began < REFUSED_WITHIN_S


def test_credit_is_found_wherever_it_was_spent_last(crew: Gateway) -> None:
    """One worker after the other, with as much as there is: each finds what the last one had leased."""
    buyer = customer_of(crew, "round", "3", "dear")
    with ExitStack() as stack:
        connections = list(spread(stack, buyer, USD // 10).values())
        for number in range(20):
            left = buyer.balance // DEAR_NANO
            assert chat_over(connections[number % WORKERS], buyer, 1, left) == 200
            assert buyer.balance == (left - 1) * DEAR_NANO


def test_what_lies_in_slices_can_be_taken_back_by_hand(crew: Gateway) -> None:
    """Credit removed, a promotion ended, a budget moved and one lowered, while every worker has slices of it."""
    buyer = customer_of(crew, "operated", "20", "dear")
    buyer.grant("5", time.time() + 3600)
    command_json(crew, "budgets", "set", "operated", "total", "30")
    command_json(crew, "projects", "create", "operated-more", "--org", "operated")
    command_json(crew, "budgets", "set", "operated-more", "total", "1")
    with ExitStack() as stack:
        spread(stack, buyer, USD // 2)
        spent = buyer.spent
        [budget] = command_json(crew, "budgets", "list", "operated")
        assert parse_amount(budget["held"]) > USD
        left = format_amount(30 * USD - spent - 1)
        command_json(crew, "budgets", "move", "operated", "operated-more", "total", left)
        [budget] = command_json(crew, "budgets", "list", "operated")
        assert parse_amount(budget["left"]) == 1
        accounts = command_json(crew, "credits", "show", "operated")
        [promotion] = [account["account"] for account in accounts if account["kind"] == "promo"]
        ended = crew.command("credits", "expire", promotion, "--reason", "over")
        assert ended.returncode == 0
        assert buyer.balance == 20 * USD
        command_json(crew, "budgets", "set", "operated", "total", "30")
        spread(stack, buyer, USD // 2)
        assert crew.command("credits", "remove", "operated", "20", "--reason", "too much").returncode == 1
        left = format_amount(buyer.balance)
        assert crew.command("credits", "remove", "operated", left, "--reason", "back").returncode == 0
        assert buyer.balance == 0
        command_json(crew, "budgets", "set", "operated", "total", "0")
        [budget] = command_json(crew, "budgets", "list", "operated")
        assert (budget["held"], budget["left"]) == ("0", "0")
    buyer.books.in_order()


@pytest.mark.contract("2.3")
def test_a_revoked_key_is_refused_by_each_within_a_second(crew: Gateway) -> None:
    leaving = customer_of(crew, "leaving", "1", "test-model")
    with ExitStack() as stack:
        connections = connected_to_each(stack, leaving)
        for connection in connections.values():
            assert chat_over(connection, leaving) == 200
        assert crew.command("keys", "revoke", leaving.key_id).returncode == 0
        revoked_at = time.monotonic()
        for connection in connections.values():
            while chat_over(connection, leaving) != 401:
                assert time.monotonic() - revoked_at < 1.0


def test_a_record_is_found_by_each(crew: Gateway) -> None:
    caller = customer_of(crew, "recorded", "1", "test-model")
    with ExitStack() as stack:
        connections = connected_to_each(stack, caller)
        for connection in connections.values():
            connection.send(caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 3})))
            told = connection.answer()
            for other in connections.values():
                record = found_record(other, caller, told.header("x-request-id") or "")
                assert record["cost"] == told.header("x-credits-used")


def found_record(connection: Connection, caller: Caller, request_id: str) -> dict[str, str]:
    def look() -> dict[str, str] | None:
        connection.send(caller.bytes_of("GET", f"/v1/requests/{request_id}"))
        answer = connection.answer()
        return answer.json() if answer.status == 200 else None

    found = eventually(look, 2.0)
    assert found is not None
    return found


def test_f57_one_run_and_one_charge_under_a_key_whoever_is_asked(crew: Gateway, simulator: Simulator) -> None:
    caller = customer_of(crew, "keyed", "1", "test-model")
    since = simulator.get("/simulator/truth")["last_seq"]
    body = caller.body({"output_tokens": 5, "stall_before_head_ms": 1000})
    request = caller.bytes_of("POST", CHAT, body, {"idempotency-key": "once"})
    with ExitStack() as stack:
        connections = connected_to_each(stack, caller)
        first_pid, first = connections.popitem()
        same = stack.enter_context(connected_to(caller, first_pid))
        first.send(request)
        eventually(lambda: simulator.get("/simulator/truth")["in_flight"])
        same.send(request)
        for other in connections.values():
            other.send(request)
        for other in connections.values():
            answer = other.answer()
            assert (answer.status, answer.error["code"]) == (409, "idempotency_in_progress")
            assert int(answer.header("retry-after") or 0) >= 1
        told, joined = first.answer(), same.answer()
        assert (told.status, joined.status) == (200, 200)
        assert (joined.body, joined.header("x-faregate-replayed")) == (told.body, "true")

        def is_over(connection: Connection) -> bool:
            connection.send(request)
            return connection.answer().error["code"] == "idempotency_answer_gone"

        for other in connections.values():
            eventually(lambda other=other: is_over(other))
    [entry] = simulator.get(f"/simulator/truth?since={since}")["entries"]
    assert caller.spent == cost_of(entry["prompt_tokens"], entry["completion_tokens"])


def connected_to(caller: Caller, pid: int) -> Connection:
    """One more connection to this worker."""
    found: list[Connection] = []

    def look() -> bool:
        found.append(caller.open())
        return worker_behind(caller.gateway, found[-1]) == pid

    eventually(look, 20.0)
    for other in found[:-1]:
        other.close()
    return found[-1]


# Deaths


def test_f37_a_worker_that_is_killed_loses_nothing_and_is_replaced(crew: Gateway) -> None:
    buyer = customer_of(crew, "bereft", "20", "dear")
    with ExitStack() as stack:
        connections = spread(stack, buyer, USD // 2)
        before = workers_of(crew)
        place, killed = random.Random(1).choice(list(before.items()))
        victim, others = connections.pop(killed), list(connections.values())
        balance = buyer.balance
        plan = {"output_tokens": 1000, "tokens_per_s": 50}
        victim.send(buyer.bytes_of("POST", CHAT, buyer.body(plan, stream=True, max_tokens=5000)))
        victim.head()
        victim.body_until(b"data: ", 20)
        os.kill(killed, signal.SIGKILL)
        with pytest.raises((ConnectionError, TimeoutError)):
            victim.rest()
        eventually(lambda: not is_alive(killed))
        for other in others:  # all but what the dead one's call may be charged, although nobody has looked yet
            assert chat_over(other, buyer, 1, buyer.balance // DEAR_NANO - 1000) == 200
        eventually(lambda: workers_of(crew)[place] != killed, 20.0)
        received = victim.current.body.count(b'"content"')
        request_id = victim.current.header("x-request-id")
        found = buyer.settled(request_id)
        assert (found.state, found.charged) == ("reaped", found.checkpoint)
        assert found.charged <= (received + 1) * DEAR_NANO
        assert buyer.balance == balance - len(others) * DEAR_NANO - found.charged
        fresh = stack.enter_context(connected_to(buyer, workers_of(crew)[place]))
        assert chat_over(fresh, buyer, 1, buyer.balance // DEAR_NANO) == 200
    died = [line for line in crew.log_lines() if line.get("event") == "worker_died"]
    assert [(line["worker"], line["code"]) for line in died] == [(place, -signal.SIGKILL)]


def test_f10_workers_killed_at_random_moments_break_no_invariant(session_folder: Path, simulator: Simulator) -> None:
    assert kill_workers(session_folder, simulator, WORKERS, KILLS, seed=7) > 50


@pytest.fixture
def start(session_folder: Path, simulator: Simulator) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways of a test's own; none is left running."""
    with ExitStack() as stack:

        def begin(workers: int = 2, more: str = "") -> Gateway:
            gateway = Gateway(session_folder, crew_config(simulator, workers, more))
            stack.callback(lambda: gateway.popen.poll() is None and gateway.stop(signal.SIGKILL))
            return gateway

        yield begin


def test_sigterm_lets_all_finish(start: Callable[..., Gateway], tmp_path: Path) -> None:
    """Over the port and over the unix socket that the workers share."""
    path = tmp_path / "gate.sock"
    gateway = start(3, f'unix_socket = "{path}"')
    caller = customer_of(gateway, "draining", "1", "test-model")
    with ExitStack() as stack:
        connections = list(connected_to_each(stack, caller).values())
        for _ in range(4):
            connections.append(stack.enter_context(caller.open()))
            connections[-1].socket.close()
            connections[-1].socket = socket.socket(socket.AF_UNIX)
            connections[-1].socket.settimeout(30)
            connections[-1].socket.connect(str(path))
        plan = {"output_tokens": 30, "tokens_per_s": 30}
        for connection in connections:
            connection.send(caller.bytes_of("POST", CHAT, caller.body(plan, stream=True)))
            connection.head()
        gateway.popen.send_signal(signal.SIGTERM)
        eventually(lambda: len([line for line in gateway.log_lines() if line["event"] == "draining"]) == 3)
        with pytest.raises(ConnectionError):
            caller.open().close()
        for connection in connections:
            assert connection.rest().events[-1] == "[DONE]"
    assert gateway.popen.wait(30) == 0
    stopped_in_order(gateway)
    assert caller.spent == len(connections) * cost_of(PROMPT_TOKENS, 30)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_stops_all_at_once(number: int, start: Callable[..., Gateway]) -> None:
    gateway = start()
    with Caller(gateway).stream({"output_tokens": 10_000, "tokens_per_s": 20}):
        gateway.popen.send_signal(number)
        eventually(lambda: [line for line in gateway.log_lines() if line["event"] == "draining"])
        gateway.popen.send_signal(number)
        assert gateway.popen.wait(10) == 1
    gateway.stop()
    eventually(lambda: not any(map(is_alive, workers_of(gateway).values())))


def test_no_worker_outlives_its_parent(start: Callable[..., Gateway]) -> None:
    gateway = start()
    answer = Caller(gateway).streamed({"output_tokens": 3})
    assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    eventually(lambda: not any(map(is_alive, workers_of(gateway).values())))
    books = Books(gateway.data)
    found = books.reservation(answer.header("x-request-id") or "")
    assert found is not None
    assert found.state == "settled"
    assert books.leased() == 0  # they drained
    books.in_order()


def test_a_worker_that_cannot_start_is_a_start_that_fails(start: Callable[..., Gateway], tmp_path: Path) -> None:
    gateway = start()
    (tmp_path / "pepper").write_text("none")
    (tmp_path / "pepper").chmod(0o600)
    words = [sys.executable, "-m", "faregate", "serve", "--workers", "2", "--port", "0", "--data", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, env=CLEAN, timeout=30, check=False)
    assert done.returncode == 1
    assert "holds no pepper" in done.stderr
    assert "a worker did not start" in done.stderr
    assert "Traceback" not in done.stderr
    for workers in ("1", "2"):
        done = gateway.command("serve", "--workers", workers, "--port", str(gateway.port))
        assert done.returncode == 1
        assert f"cannot listen on 127.0.0.1:{gateway.port}" in done.stderr
    assert gateway.command("serve", "--workers", "0").returncode == 2
    assert "Traceback" not in done.stderr


def test_f20_starts_at_once_on_a_new_folder(session_folder: Path, simulator: Simulator, tmp_path: Path) -> None:
    """Gateways of one process and one of several workers: all serve, on one schema, one pepper, one epoch each."""
    config = tmp_path / "faregate.toml"
    config.write_text(crew_config(simulator, 1), "utf-8")
    data = tmp_path / "data"
    started: list[Process] = []

    def begin(number: int) -> None:
        words = ["-m", "faregate", "serve" if number else "up", "--json", "--port", "0", "--workers"]
        words += ["1" if number else "2", "--config", str(config), "--data", str(data)]
        started.append(Process(words, {}, tmp_path / f"{number}.log"))

    try:
        each_in_a_thread(STARTS, begin)
        [key] = [process.ready["key"] for process in started if process.ready["key"]]
        for process in started:
            port = int(process.ready["base_url"].rsplit(":", 1)[1].partition("/")[0])
            with contextlib.closing(Connection(port)) as connection:
                body = json.dumps({"model": "test-model", "messages": [{"role": "user", "content": "hello"}]}).encode()
                head = f"POST {CHAT} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {key}\r\n"
                head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
                connection.send(head.encode() + body)
                assert connection.answer().status == 200
    finally:
        codes = [process.stop() for process in started]
    assert codes == [0] * STARTS
    books = Books(data)
    assert books.number("SELECT count(*) FROM epoch") == STARTS + 1
    assert books.number("SELECT count(*) FROM organisation") == 1
    assert books.leased() == 0
    books.in_order()


def test_the_demo_is_made_once(start: Callable[..., Gateway]) -> None:
    gateway = start(3)
    books = Books(gateway.data)
    for table in ("organisation", "project", "api_key"):
        assert books.number(f"SELECT count(*) FROM {table}") == 1
    accounts = json.loads(gateway.command("credits", "show", "demo", "--json").stdout)
    assert [account["credited"] for account in accounts if account["kind"] == "promo"] == [format_amount(100 * USD)]
    assert gateway.ready["pid"] == gateway.pid
    assert gateway.stop() == 0
