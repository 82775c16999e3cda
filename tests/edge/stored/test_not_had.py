"""Stored answers that cannot be had, are gone after a day, after kill -9, and are nowhere while the setting is off."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.edge.conftest import command_json
from tests.edge.repeats import assert_replay, assert_taken, rows_of, seen
from tests.running.client import Answer, Caller, eventually
from tests.running.processes import CLEAN, Gateway, Simulator

from .stored import BOUND, CANARY, GONE, another, assert_books, assert_nowhere, change, written


def test_library_is_not_loaded_where_nothing_is_stored() -> None:
    """It takes longer to load than the rest of the start is worth."""
    code = "import sys, faregate.app, faregate.cli.serve; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=CLEAN, check=False).returncode == 0


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
