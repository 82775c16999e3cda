"""Idempotency-Key: answers that were forgotten, other processes, days later, and the official SDK."""

import signal
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.running.client import CHAT, DONE, Caller, eventually
from tests.running.processes import Gateway, Simulator, simulated
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

from .repeats import REPLAYED, Another, assert_replay, assert_taken, records_of, rows_of, seen

BOUND = 200_000


@pytest.fixture(scope="module")
def small(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """A gateway that remembers little."""
    raw = f'[providers.raw]\nbase_url = "{scripted.base_url}"\nkey = "raw-key"\nwire = "exact"\nmodels = ["scripted"]'
    more = f"[limits]\nidempotency_bytes_max = {BOUND}\nkeep_alive_comment_s = 60.0\n\n{raw}"
    process = Gateway(session_folder, simulated(simulator, more=more))
    yield process
    process.stop()


@pytest.fixture
def small_caller(small: Gateway) -> Caller:
    return Caller(small)


# Forgotten, elsewhere, long ago


def test_answer_that_was_forgotten_is_named(small_caller: Caller, simulator: Simulator, since: int) -> None:
    """The oldest goes first; it is not run again, and says which request it was."""
    keys = [{"idempotency-key": f"large-{number}-{uuid.uuid4()}"} for number in range(4)]
    plan = {"text": "x" * 60_000}
    answers = [small_caller.chat(plan, each) for each in keys]
    assert small_caller.gauge("faregate_idempotency_bytes") <= BOUND
    assert_replay(small_caller.chat(plan, keys[3]), answers[3])
    forgotten = small_caller.chat(plan, keys[0])
    assert_taken(forgotten, "idempotency_answer_gone")
    request_id = answers[0].header("x-request-id") or "none"
    assert f"GET /v1/requests/{request_id}" in forgotten.error["message"]
    assert forgotten.error["request_id"] != request_id
    assert small_caller.record(request_id)["status"] == 200
    assert_taken(small_caller.chat({"text": "y"}, keys[0]), "idempotency_conflict")
    seen(simulator, since, 4)


def test_answer_that_outgrows_memory(small_caller: Caller, scripted: Upstream, key: dict[str, str]) -> None:
    """Its first client gets all of it, however slow; a joiner that is behind is cut, later ones are told."""
    texts = [said("x" * 20_000) for _ in range(200)]
    go: list[bool] = []

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("first"))
        eventually(lambda: go)
        visit.pieces(*texts, FINISH, USAGE_EVENT, DONE)
        visit.end()

    visits = scripted.play(script)
    body = small_caller.body(model="scripted", stream=True)
    request = small_caller.bytes_of("POST", CHAT, body, key)
    with ExitStack() as stack:
        clients = [stack.enter_context(small_caller.open(receive_buffer_bytes=4096)) for _ in range(2)]
        for client in clients:
            client.send(request)
            client.head()
            client.body_until(b"first")
        go.append(True)
        first, slow = clients
        first.body_until(b'"content"', 100)
        assert_taken(small_caller.ask("POST", CHAT, body, key), "idempotency_answer_gone")
        assert small_caller.gauge("faregate_idempotency_bytes") < 2 * BOUND
        whole, cut = first.rest(), slow.rest()
    assert whole.text == "first" + "x" * 20_000 * 200
    assert whole.events[-1] == "[DONE]"
    assert len(cut.body) < len(whole.body)
    assert cut.events[-2]["error"]["code"] == "idempotency_answer_gone"
    assert_taken(small_caller.streamed(None, key, model="scripted"), "idempotency_answer_gone")
    assert len(visits) == 1
    assert small_caller.gauge("faregate_idempotency_bytes") <= BOUND


def test_outgrown_answer_drains_without_its_client(
    small_caller: Caller, scripted: Upstream, key: dict[str, str]
) -> None:
    """The first client held it up, and left."""
    ended: list[bool] = []

    def script(visit: Visit) -> None:
        visit.stream(ROLE, *(said("x" * 20_000) for _ in range(300)), FINISH, USAGE_EVENT, DONE)
        visit.end()
        ended.append(True)

    scripted.play(script)
    request = small_caller.bytes_of("POST", CHAT, small_caller.body(model="scripted", stream=True), key)
    with small_caller.open(receive_buffer_bytes=4096) as connection:
        connection.send(request)
        connection.head()
        request_id = connection.current.header("x-request-id")
    record = small_caller.record(request_id)
    assert (record["status"], record["usage"]["source"]) == (200, "provider")
    assert ended


def test_another_process_and_a_restart(
    session_folder: Path, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """Under way elsewhere: wait. Over, elsewhere or before the restart: the request is named. Never run again."""
    gateway = Gateway(session_folder, simulated(simulator))
    caller = Caller(gateway)
    another = Another(gateway)
    plan = {"output_tokens": 40, "tokens_per_s": 40}
    try:
        with caller.stream(plan, key) as connection:
            assert_taken(another.ask(caller, plan, key, stream=True), "idempotency_in_progress")
            assert_taken(another.ask(caller, plan, key), "idempotency_conflict")
            first = connection.rest()
        request_id = first.header("x-request-id") or "none"
        answer = eventually(
            lambda: (told := another.ask(caller, plan, key, stream=True)).header("retry-after") is None and told
        )
        assert_taken(answer, "idempotency_answer_gone")
        assert request_id in answer.error["message"]
        assert_replay(caller.streamed(plan, key), first)
    finally:
        assert another.process.stop() == 0
    assert gateway.stop() == 0
    another = Another(gateway)
    try:
        answer = another.ask(caller, plan, key, stream=True)
        assert_taken(answer, "idempotency_answer_gone")
        assert request_id in answer.error["message"]
        seen(simulator, since)
    finally:
        assert another.process.stop() == 0


def test_process_that_died_is_not_waited_for(
    session_folder: Path, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """Its calls count as ended, and are not run again: a provider may have been asked."""
    gateway = Gateway(session_folder, simulated(simulator))
    caller = Caller(gateway)
    plan = {"output_tokens": 400, "tokens_per_s": 40}
    with caller.stream(plan, key) as connection:
        connection.body_until(b"data: ", 3)
        request_id = connection.current.header("x-request-id") or "none"
        gateway.stop(signal.SIGKILL)
    another = Another(gateway)
    try:
        answer = another.ask(caller, plan, key, stream=True)
        assert_taken(answer, "idempotency_answer_gone")
        assert request_id in answer.error["message"]
        seen(simulator, since)
    finally:
        assert another.process.stop() == 0


def test_key_is_free_after_a_day(session_folder: Path, simulator: Simulator, since: int, key: dict[str, str]) -> None:
    """The row's time is moved on behind the gateway's back; the next start deletes it."""
    gateway = Gateway(session_folder, simulated(simulator))
    caller = Caller(gateway)
    caller.chat({}, key)
    assert gateway.stop() == 0
    [path] = gateway.data.glob("*.db")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE idempotency_key SET expires_at = expires_at - 86400, created_at = created_at - 86400")
    another = Another(gateway)
    try:
        eventually(lambda: not rows_of(gateway, "SELECT 1 FROM idempotency_key"))
        answer = another.ask(caller, {}, key)
        assert (answer.status, answer.header(REPLAYED)) == (200, None)
        seen(simulator, since, 2)
    finally:
        assert another.process.stop() == 0


# The official SDK


def test_official_sdk_retries_under_its_key(customer: Caller, simulator: Simulator, since: int) -> None:
    """It sends no key of its own. With one, what it retries is run once, and a conflict is not retried."""
    client = openai.OpenAI(base_url=customer.gateway.base_url, api_key=customer.key, max_retries=2)
    key = {"Idempotency-Key": f"sdk-{uuid.uuid4()}"}
    plan = {"simulator": {"status": 500, "times": 1, "output_tokens": 5}}

    def ask(text: str) -> str:
        messages: Any = [{"role": "user", "content": text}]
        made = client.chat.completions.create(model="gpt-4o", messages=messages, extra_headers=key, extra_body=plan)
        return made.id

    with client:
        assert ask("hello") == ask("hello")
        seen(simulator, since, 2)
        before = len(records_of(customer, 3))
        with pytest.raises(openai.ConflictError) as refused:
            ask("something else")
        assert refused.value.code == "idempotency_conflict"
    assert len(records_of(customer, before + 1)) == before + 1
