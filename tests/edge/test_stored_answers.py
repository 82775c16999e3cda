"""Answers under idempotency keys that the operator has stored: had after a restart, after kill -9, by every process on
the data; unreadable without the pepper; and nothing of them anywhere while the setting is off."""

import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.edge.conftest import command_json
from tests.edge.test_idempotency import Another, assert_replay, assert_taken, rows_of, seen
from tests.running.client import CHAT, DONE, Answer, Caller, eventually
from tests.running.processes import CLEAN, Gateway, Simulator, simulated

BOUND = 100_000
STORED = f"[idempotency]\nstored = true\nstored_answer_bytes_max = {BOUND}\n"
CANARY = "canary-5b1e-answer"
CANARIES = (CANARY, "canary", "prompt-5b1e", '"finish_reason"', "chat.completion")  # a stream cuts words in pieces
GONE = "idempotency_answer_gone"


@pytest.fixture
def key() -> dict[str, str]:
    """A fresh key, as headers."""
    return {"idempotency-key": f"order-{uuid.uuid4()}"}


@pytest.fixture
def start(session_folder: Path, simulator: Simulator) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways that store answers, or are set up otherwise."""
    started: list[Gateway] = []

    def begin(more: str = STORED) -> Gateway:
        started.append(Gateway(session_folder, simulated(simulator, more=more)))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.stop()


class Process(Another):
    """Another process on a gateway's data: `serve`, which leaves the keys as they are."""

    def caller(self, caller: Caller) -> Caller:
        """The same key, asking here."""
        return Caller(self, caller.key)  # type: ignore[arg-type]


@contextmanager
def another(gateway: Gateway) -> Iterator[Process]:
    process = Process(gateway)
    try:
        yield process
    finally:
        assert process.process.stop() == 0


def written(gateway: Gateway, count: int = 1) -> list[dict[str, Any]]:
    """The rows of stored answers, once so many keys' rows have ended; more would show."""
    query = (
        "SELECT key, running_until, length(sealed) AS size FROM idempotency_key"
        " LEFT JOIN idempotency_answer ON key_row_id = id WHERE running_until IS NULL ORDER BY id"
    )
    rows = eventually(lambda: len(found := rows_of(gateway, query)) >= count and found)
    assert len(rows) == count
    return [row for row in rows if row["size"] is not None]


def change(gateway: Gateway, statement: str) -> None:
    """Something done behind the gateway's back."""
    [path] = gateway.data.glob("*.db")
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.create_function(
            "with_a_bit_changed", 1, lambda sealed: bytes([*sealed[:-50], sealed[-50] ^ 4, *sealed[-49:]])
        )
        assert database.execute(statement).rowcount > 0


def assert_nowhere(gateway: Gateway, *needles: str) -> None:
    """No file of the data, and no line of the log, has any of these in it."""
    files = {path: path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file()}
    assert {path.name for path in files} >= {"faregate.db", "gateway.log"}
    for needle in needles:
        assert not [str(path) for path, data in files.items() if needle.encode() in data], needle


def assert_books(gateway: Gateway, charges: int) -> None:
    """The ledger is in order, and so many calls were charged."""
    done = gateway.command("ledger", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT" not in done.stdout
    assert len(rows_of(gateway, "SELECT 1 FROM usage WHERE cost > 0")) == charges


def test_library_is_not_loaded_where_nothing_is_stored() -> None:
    """It takes longer to load than the rest of the start is worth."""
    code = "import sys, faregate.app, faregate.cli.serve; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=CLEAN, check=False).returncode == 0


# Had again


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stop", "kill"])
@pytest.mark.parametrize("stream", [False, True])
def test_after_a_restart(
    stream: bool, number: int, start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """Each of many at once has the answer, no provider is asked, nothing is charged, nothing is readable."""
    gateway = start()
    caller = Caller(gateway)
    plan = {"text": f"{CANARY} " * 50}
    messages = [{"role": "user", "content": "prompt-5b1e"}]
    first = caller.chat(plan, key, messages=messages, stream=stream)
    assert CANARY in (first.text if stream else first.body.decode())
    assert len(written(gateway)) == 1
    assert_nowhere(gateway, *CANARIES)
    gateway.stop(number)
    assert_nowhere(gateway, *CANARIES)
    with another(gateway) as process:
        later = process.caller(caller)
        with ThreadPoolExecutor(12) as pool:
            asked = [pool.submit(later.chat, plan, key, messages=messages, stream=stream) for _ in range(12)]
        for each in asked:
            assert_replay(each.result(), first)
        assert_taken(later.chat(plan, key, stream=stream), "idempotency_conflict")
        assert_replay(later.chat(plan, key, messages=messages, stream=stream), first)
        seen(simulator, since)
        query = "SELECT * FROM usage WHERE operation = 'chat' AND status = 200 ORDER BY received_at, id"
        records = eventually(lambda: len(rows := rows_of(gateway, query)) == 14 and rows)
    for replay in records[1:]:
        assert (replay["status"], replay["attempts"], replay["hold"], replay["output"]) == (200, 0, 0, 0)
        assert (replay["model"], replay["model_asked"]) == ("test-model", "test-model")
        assert (replay["bytes_out"], replay["stream"], replay["cost"]) == (len(first.body), stream, 0)
    assert_books(gateway, 1)
    assert_nowhere(gateway, *CANARIES)


def test_two_processes_on_one_data_directory(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """While it runs the other one is told to wait; from then on both have the answer."""
    gateway = start()
    caller = Caller(gateway)
    plan = {"output_tokens": 30, "tokens_per_s": 40}
    with another(gateway) as process:
        there = process.caller(caller)
        with caller.stream(plan, key) as connection:
            assert_taken(there.streamed(plan, key), "idempotency_in_progress")
            first = connection.rest()
        answer = eventually(lambda: (told := there.streamed(plan, key)).status == 200 and told)
        for each in (answer, there.streamed(plan, key), caller.streamed(plan, key)):
            assert_replay(each, first)
        seen(simulator, since)
    assert_books(gateway, 1)


def test_every_worker_has_it(start: Callable[..., Gateway], simulator: Simulator, since: int) -> None:
    """The kernel gives each connection to any of them: whoever it is, no key is refused for good, or run again."""
    caller = Caller(start(f"{STORED}\n[server]\nworkers = 2\n"))
    keys = [{"idempotency-key": f"k-{number}"} for number in range(6)]
    firsts = [caller.chat({"text": name["idempotency-key"]}, name) for name in keys]
    written(caller.gateway, 6)
    with ThreadPoolExecutor(6) as pool:
        for key, first in zip(keys, firsts, strict=True):
            asked = [pool.submit(caller.chat, {"text": key["idempotency-key"]}, key) for _ in range(12)]
            for each in asked:
                assert_replay(each.result(), first)
    seen(simulator, since, 6)
    assert_books(caller.gateway, 6)


def test_what_memory_has_no_room_for(start: Callable[..., Gateway], simulator: Simulator, since: int) -> None:
    """Forgotten answers come from the store, and a restored one counts like any other."""
    gateway = start(f"{STORED}\n[limits]\nidempotency_bytes_max = 50000\n")
    caller = Caller(gateway)
    keys = [{"idempotency-key": f"k-{number}"} for number in range(12)]
    plans = [{"text": f"{number} " * 5000} for number in range(12)]
    firsts = [caller.chat(plan, key) for plan, key in zip(plans, keys, strict=True)]
    for _ in range(2):
        for plan, key, first in zip(plans, keys, firsts, strict=True):
            assert_replay(caller.chat(plan, key), first)
            assert 10_000 < caller.gauge("faregate_idempotency_bytes") <= 50_000
    seen(simulator, since, 12)
    assert_books(gateway, 12)


def test_answer_larger_than_memory_may_be_is_still_had(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """The operator lowered the bound: it is given, and not remembered."""
    gateway = start()
    caller = Caller(gateway)
    plan = {"text": "word " * 8000}
    first = caller.chat(plan, key, stream=False)
    assert len(written(gateway)) == 1
    assert gateway.stop() == 0
    settings = gateway.config.read_text().replace(STORED, f"{STORED}\n[limits]\nidempotency_bytes_max = 20000\n")
    gateway.config.write_text(settings)
    with another(gateway) as process:
        for _ in range(3):
            assert_replay(process.caller(caller).chat(plan, key, stream=False), first)
            assert process.caller(caller).gauge("faregate_idempotency_bytes") == 0
        seen(simulator, since)


def test_trailer_and_refusal_of_a_provider(start: Callable[..., Gateway], simulator: Simulator, since: int) -> None:
    gateway = start()
    caller = Caller(gateway)
    refused, streamed = {"idempotency-key": "refused"}, {"idempotency-key": "streamed"}
    first = caller.chat({"status": 422, "error_message": CANARY}, refused)
    assert first.status == 422
    caller.streamed(None, streamed)
    assert len(written(gateway, 2)) == 2
    assert gateway.stop() == 0
    with another(gateway) as process:
        later = process.caller(caller)
        assert_replay(later.chat({"status": 422, "error_message": CANARY}, refused), first)
        with later.open() as connection:
            connection.send(caller.bytes_of("POST", CHAT, caller.body(stream=True), streamed | {"te": "trailers"}))
            connection.head()
            connection.body_until(DONE)
            connection.socket.settimeout(10)
            end = bytes(connection._buffer)
            while not end.endswith(b"\r\n\r\n"):
                end += connection.socket.recv(65536)
        assert b"x-credits-used: " in end
        seen(simulator, since, 2)
    assert_nowhere(gateway, CANARY)


def test_key_that_may_not_call_the_model(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """After a restart as before it; whoever may have the answer still has it."""
    gateway = start()
    caller = Caller(gateway)
    [project] = command_json(gateway, "projects", "list")
    made = [
        command_json(gateway, "keys", "create", model, "--project", project["id"], "--model", model)["key"]
        for model in ("gpt-4o", "test-model")
    ]
    first = caller.chat(None, key)
    assert len(written(gateway)) == 1
    assert gateway.stop() == 0
    with another(gateway) as process:
        barred, allowed = [Caller(process, text) for text in made]  # type: ignore[arg-type]
        answer = barred.chat(None, key)
        assert (answer.status, answer.error["code"]) == (403, "model_not_available")
        assert_replay(allowed.chat(None, key), first)
        assert_replay(process.caller(caller).chat(None, key), first)
        assert barred.chat(None, key).status == 403
        seen(simulator, since)


def test_client_leaves_before_it_is_restored(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """Its record is there all the same, and costs nothing."""
    gateway = start()
    caller = Caller(gateway)
    first = caller.streamed(None, key)
    assert len(written(gateway)) == 1
    assert gateway.stop() == 0
    [path] = gateway.data.glob("*.db")
    with another(gateway) as process:
        later = process.caller(caller)
        later.chat({"output_tokens": 1})  # the key is proven, from here on nothing but the claim waits for the disk
        with closing(sqlite3.connect(path, isolation_level=None)) as blocking, later.open() as connection:
            blocking.execute("BEGIN IMMEDIATE")
            connection.send(caller.bytes_of("POST", CHAT, caller.body(stream=True), key))
            eventually(lambda: later.gauge("faregate_in_flight") >= 1)
            connection.reset()
            time.sleep(0.1)
            blocking.execute("ROLLBACK")
        assert_replay(later.streamed(None, key), first)
        query = "SELECT * FROM usage WHERE operation = 'chat' AND cost = 0"
        records = eventually(lambda: len(rows := rows_of(gateway, query)) == 2 and rows)
        assert [record["attempts"] for record in records] == [0, 0]
        seen(simulator, since, 2)


# Not had


def test_too_large_is_gone(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    gateway = start()
    caller = Caller(gateway)
    plan = {"text": "x" * (BOUND + 1)}
    first = caller.chat(plan, key)
    assert_replay(caller.chat(plan, key), first)
    assert written(gateway) == []
    assert gateway.stop() == 0
    with another(gateway) as process:
        assert_taken(process.caller(caller).chat(plan, key), GONE)
        seen(simulator, since)


def test_failures_and_what_was_broken_off(start: Callable[..., Gateway], key: dict[str, str]) -> None:
    """A freed key has no answer; a stream that broke was charged, and is had again as it was."""
    gateway = start()
    caller = Caller(gateway)
    assert caller.chat({"status": 500}, {"idempotency-key": "failed"}).status == 503
    eventually(lambda: not rows_of(gateway, "SELECT 1 FROM idempotency_key"))
    broken = caller.streamed({"output_tokens": 50, "cut_after_bytes": 3000}, key)
    assert "error" in broken.events[-2]
    assert len(written(gateway)) == 1
    gateway.stop(signal.SIGKILL)
    with another(gateway) as process:
        for _ in range(2):
            assert_replay(process.caller(caller).streamed({"output_tokens": 50, "cut_after_bytes": 3000}, key), broken)
        query = "SELECT status, error_kind FROM usage WHERE cost = 0 AND attempts = 0"
        records = eventually(lambda: len(rows := rows_of(gateway, query)) == 2 and rows)
    [original] = rows_of(gateway, "SELECT status, error_kind FROM usage WHERE cost > 0")
    assert records == [original] * 2


@pytest.mark.parametrize("how", ["a bit", "cut", "another row's", "pepper"])
def test_what_does_not_open_is_gone(
    how: str, start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """It is said in the log, without content; the provider is not asked again."""
    gateway = start()
    caller = Caller(gateway)
    plan = {"text": CANARY}
    first = caller.chat(plan, key)
    caller.chat(plan, {"idempotency-key": "other"})
    assert len(written(gateway, 2)) == 2
    assert gateway.stop() == 0
    if how == "a bit":
        change(gateway, "UPDATE idempotency_answer SET sealed = with_a_bit_changed(sealed)")
    elif how == "cut":
        change(gateway, "UPDATE idempotency_answer SET sealed = substr(sealed, 1, 5)")
    elif how == "another row's":
        swapped = "(SELECT sealed FROM idempotency_answer AS o WHERE o.key_row_id <> idempotency_answer.key_row_id)"
        change(gateway, f"UPDATE idempotency_answer SET sealed = {swapped}")
    else:
        (gateway.data / "pepper").write_text(f"v2:{'5a' * 32}\n")
        [project] = command_json(gateway, "projects", "list")
        caller.key = command_json(gateway, "keys", "create", "under-v2", "--project", project["id"])["key"]
    with another(gateway) as process:
        answer = process.caller(caller).chat(plan, key)
        assert_taken(answer, GONE)
        request_id = first.header("x-request-id") or "none"
        assert request_id in answer.error["message"]
        seen(simulator, since, 2)
        lines = [line for line in process.process.log_lines() if line["event"] == "idempotency_answer_unreadable"]
        assert [set(line) for line in lines] == [{"at", "level", "event", "request_id"}]
        assert lines[0]["request_id"] == request_id
    assert_nowhere(gateway, CANARY)
    assert_books(gateway, 2)


def test_a_day_later_it_is_deleted(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    gateway = start()
    caller = Caller(gateway)
    first = caller.chat(None, key)
    assert len(written(gateway)) == 1
    assert gateway.stop() == 0
    change(gateway, "UPDATE idempotency_key SET expires_at = expires_at - 86400")
    with another(gateway) as process:
        eventually(lambda: not rows_of(gateway, "SELECT 1 FROM idempotency_answer"))
        answer = process.caller(caller).chat(None, key)
        assert (answer.status, answer.header("x-faregate-replayed")) == (200, None)
        assert answer.header("x-request-id") != first.header("x-request-id")
        seen(simulator, since, 2)


@pytest.mark.contract("7.6")
def test_off_there_is_nothing_of_it(
    start: Callable[..., Gateway], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """Off is the default; and what was stored while it was on is not read."""
    gateway = start("")
    caller = Caller(gateway)
    for stream in (False, True):
        caller.chat({"text": CANARY}, {"idempotency-key": f"off-{stream}"}, stream=stream)
    assert written(gateway, 2) == []
    assert gateway.stop() == 0
    assert_nowhere(gateway, CANARY)
    on = start()
    first = Caller(on)
    first.chat({"text": CANARY}, key)
    assert len(written(on)) == 1
    assert on.stop() == 0
    on.config.write_text(on.config.read_text().replace("stored = true", "stored = false"))
    with another(on) as process:
        assert_taken(process.caller(first).chat({"text": CANARY}, key), GONE)
        seen(simulator, since, 3)


# Killed


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(seed: int, start: Callable[..., Gateway], simulator: Simulator, since: int) -> None:
    """A row that has ended has its answer and no other has; a repeat gives what was given, or says that it is gone, or
    is the first that a provider hears of. No key is charged twice."""
    dice = random.Random(seed)
    gateway = start()
    caller = Caller(gateway)
    plan = {"output_tokens": 15, "tokens_per_s": 400}
    given: dict[str, Answer] = {}
    dead = threading.Event()

    def ask(worker: int) -> None:
        for number in range(10_000):
            name = f"w{worker}-{number}"
            try:
                answer = caller.chat(plan, {"idempotency-key": name}, stream=bool(number % 2))
            except OSError:
                given.setdefault(name, Answer(0, []))
                return
            given[name] = answer
            if dead.is_set():
                return

    with ThreadPoolExecutor(8) as pool:
        for worker in range(8):
            pool.submit(ask, worker)
        eventually(lambda: len(given) > 20)
        time.sleep(dice.random() / 5)
        gateway.stop(signal.SIGKILL)
        dead.set()
    query = "SELECT running_until IS NULL AS ended, sealed IS NOT NULL AS kept, count(*) AS rows FROM idempotency_key"
    join = " LEFT JOIN idempotency_answer ON key_row_id = id GROUP BY 1, 2"
    assert {(row["ended"], row["kept"]) for row in rows_of(gateway, query + join)} <= {(1, 1), (0, 0)}
    before = len(simulator.get(f"/simulator/truth?since={since}")["entries"])
    outcomes = {"replayed": 0, "gone": 0, "run": 0}
    with another(gateway) as process:
        later = process.caller(caller)
        for name, first in given.items():
            number = int(name.rpartition("-")[2])
            answer = later.chat(plan, {"idempotency-key": name}, stream=bool(number % 2))
            if answer.status == 409:
                assert_taken(answer, GONE)
                outcomes["gone"] += 1
            elif answer.header("x-faregate-replayed") == "true":
                assert first.status == 0 or bytes(first.body) == bytes(answer.body)
                outcomes["replayed"] += 1
            else:
                assert first.status == 0, "an answer that was given whole is never run again"
                outcomes["run"] += 1
    assert outcomes["replayed"] >= 10
    assert outcomes["gone"] + outcomes["run"] <= 16  # one of each worker's under way, and one whose end was not written
    after = len(simulator.get(f"/simulator/truth?since={since}")["entries"])
    assert after == before + outcomes["run"]
    done = gateway.command("ledger", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(rows_of(gateway, "SELECT 1 FROM usage WHERE cost > 0")) <= len(given)
