"""Answers under idempotency keys that the operator has stored: had after a restart, by every process on the data."""

import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.edge.conftest import command_json
from tests.edge.repeats import assert_replay, assert_taken, rows_of, seen
from tests.running.client import CHAT, DONE, Caller, eventually
from tests.running.processes import Gateway, Simulator

from .stored import CANARIES, CANARY, STORED, another, assert_books, assert_nowhere, written

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
