"""Idempotency-Key: one run and one charge under a key, whoever asks how often; joined, repeated, or refused by name."""

import random
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.edge.conftest import command_json
from tests.running.client import CHAT, DONE, Answer, Caller, Connection, eventually
from tests.running.processes import Gateway, Process, Simulator, simulated
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

REPLAYED = "x-faregate-replayed"
BOUND = 200_000


@pytest.fixture
def key() -> dict[str, str]:
    """A fresh key, as headers."""
    return {"idempotency-key": f"order-{uuid.uuid4()}"}


@pytest.fixture
def customer(tenant: Callable[..., Caller]) -> Caller:
    """A caller of its own, whose records can be counted."""
    return tenant()


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


def rows_of(gateway: Gateway, query: str, *values: object) -> list[dict[str, Any]]:
    [path] = gateway.data.glob("*.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query, values).fetchall()]


def records_of(caller: Caller, count: int) -> list[dict[str, Any]]:
    """The records of a customer's requests, once there are so many."""
    key_id = caller.key.removeprefix("sk-fg-")[:12]
    query = "SELECT * FROM usage WHERE key_id = ? AND operation = 'chat' ORDER BY received_at, id"
    return eventually(lambda: len(rows := rows_of(caller.gateway, query, key_id)) >= count and rows)


def seen(simulator: Simulator, since: int, count: int = 1) -> list[dict[str, Any]]:
    """What the simulator was asked, once it has answered so much; more would show."""
    wait = f"/simulator/truth?since={since}&until={since + count}&wait_ms=10000"
    entries = simulator.get(wait)["entries"]
    eventually(lambda: simulator.get("/simulator/truth")["in_flight"] == 0)
    assert simulator.get("/simulator/truth")["last_seq"] == since + count, "it was asked more often"
    return entries


def assert_replay(answer: Answer, first: Answer) -> None:
    """The same answer, and said to be."""
    assert (answer.status, bytes(answer.body)) == (first.status, bytes(first.body))
    assert answer.header(REPLAYED) == "true"
    assert first.header(REPLAYED) is None
    assert [field for field in answer.fields if field[0] != REPLAYED] == first.fields


# Again, when it is over


@pytest.mark.parametrize("stream", [False, True])
def test_same_key_is_one_run_and_one_charge(
    stream: bool, customer: Caller, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    ask = customer.streamed if stream else customer.chat
    first = ask({"output_tokens": 40}, key)
    again = [ask({"output_tokens": 40}, key) for _ in range(3)]
    assert first.status == 200
    for answer in again:
        assert_replay(answer, first)
    [entry] = seen(simulator, since)
    records = records_of(customer, 4)
    assert [bool(record["cost"]) for record in records] == [True, False, False, False]
    assert (records[0]["id"].hex(), records[0]["output"]) == (
        (first.header("x-request-id") or "").replace("-", ""),
        entry["completion_tokens"],
    )
    for replay in records[1:]:
        assert (replay["status"], replay["attempts"], replay["hold"], replay["output"]) == (200, 0, 0, 0)
        assert (replay["model"], replay["bytes_out"], replay["stream"]) == ("test-model", len(first.body), stream)


def test_on_one_connection(caller: Caller, simulator: Simulator, since: int, key: dict[str, str]) -> None:
    """Pipelined: the second is answered after the first, with the same."""
    request = caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 5}), key)
    with caller.open() as connection:
        connection.send(request * 2)
        first, second = connection.answer(), connection.answer()
    assert_replay(second, first)
    seen(simulator, since)


def test_no_key_is_no_promise(caller: Caller, simulator: Simulator, since: int) -> None:
    assert caller.chat().header("x-request-id") != caller.chat().header("x-request-id")
    seen(simulator, since, 2)


@pytest.mark.contract("4.6")
def test_trailer_for_whoever_wants_it(caller: Caller, key: dict[str, str]) -> None:
    """It is remembered, though the first client did not ask for it."""
    caller.streamed(None, key)
    with caller.open() as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body(stream=True), key | {"te": "trailers"}))
        connection.head()
        connection.body_until(DONE)
        connection.socket.settimeout(10)
        end = b""
        while not end.endswith(b"\r\n\r\n"):
            end += connection.socket.recv(65536) if not connection._buffer else connection._take(1)
    assert b"x-credits-used: " in end


def test_origin_is_the_repeats_own(special_caller: Caller, key: dict[str, str]) -> None:
    first = special_caller.chat(None, key)
    again = special_caller.chat(None, key | {"origin": "https://app.example.com"})
    assert "access-control-allow-origin" not in first.names
    assert again.header("access-control-allow-origin") == "https://app.example.com"
    assert REPLAYED in (again.header("access-control-expose-headers") or "")
    assert again.body == first.body


def test_providers_refusal_is_kept(customer: Caller, simulator: Simulator, since: int, key: dict[str, str]) -> None:
    """What a provider was asked and refused for good it would refuse again."""
    first = customer.chat({"status": 422}, key)
    assert first.status == 422
    assert_replay(customer.chat({"status": 422}, key), first)
    seen(simulator, since)


# Together


def test_many_at_once_are_one_run(customer: Caller, simulator: Simulator, since: int, key: dict[str, str]) -> None:
    def ask(number: int) -> Answer:
        plan = {"output_tokens": 20, "stall_before_head_ms": 400}
        return customer.streamed(plan, key) if number < 20 else customer.chat(plan, key)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(20)))
    assert {answer.status for answer in answers} == {200}
    assert len({bytes(answer.body) for answer in answers}) == 1
    assert len({answer.header("x-request-id") for answer in answers}) == 1
    assert sorted(answer.header(REPLAYED) or "" for answer in answers) == [""] + ["true"] * 19
    seen(simulator, since)
    records = records_of(customer, 20)
    assert len([record for record in records if record["cost"]]) == 1


@pytest.mark.parametrize("seed", range(4))
def test_joined_in_mid_stream(seed: int, special_caller: Caller, scripted: Upstream, key: dict[str, str]) -> None:
    """Two clients join a stream at moments of chance; all three get the same bytes, whatever pieces it comes in."""
    dice = random.Random(seed)
    texts = [said("word " * dice.randrange(1, 40)) for _ in range(60)]
    data = b"".join([ROLE, *texts, FINISH, USAGE_EVENT, DONE])
    cuts = sorted(dice.sample(range(1, len(data)), 40))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    join_at = sorted(dice.sample(range(5, len(pieces) - 2), 2))
    gates: list[Callable[[int], bool]] = []

    def script(visit: Visit) -> None:
        visit.stream(*pieces[:5])
        for number, piece in enumerate(pieces[5:], 5):
            eventually(lambda number=number: gates[0](number))
            visit.pieces(piece)
        visit.end()

    joined = 0
    gates.append(lambda number: joined >= sum(at <= number for at in join_at))
    visits = scripted.play(script)
    wanted = {"model": "scripted", "stream_options": {"include_usage": True}}
    with ExitStack() as stack:
        clients = [stack.enter_context(special_caller.stream(None, key, **wanted))]
        for number in range(2):
            clients.append(stack.enter_context(special_caller.stream(None, key, **wanted)))
            clients[-1].body_until(b"word")
            joined = number + 1
        answers = [client.rest() for client in clients]
    assert bytes(answers[0].body) == data
    for answer in answers[1:]:
        assert_replay(answer, answers[0])
    assert len(visits) == 1


def test_slow_joiner_holds_nobody_up(special_caller: Caller, scripted: Upstream, key: dict[str, str]) -> None:
    """It reads on from where it is, when the others are long through."""
    texts = [said("x" * 30_000) for _ in range(150)]
    go: list[bool] = []

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("first"))
        eventually(lambda: go)
        visit.pieces(*texts, FINISH, USAGE_EVENT, DONE)
        visit.end()

    scripted.play(script)
    body = special_caller.body(model="scripted", stream=True)
    with special_caller.stream(None, key, model="scripted") as first:
        first.body_until(b"first")
        with special_caller.open(receive_buffer_bytes=4096) as slow:
            slow.send(special_caller.bytes_of("POST", CHAT, body, key))
            slow.head()
            slow.body_until(b"first")
            go.append(True)
            whole = first.rest()
            assert whole.events[-1] == "[DONE]"
            assert_replay(slow.rest(), whole)


# Leaving and coming back


@pytest.mark.parametrize("stream", [False, True])
def test_client_leaves_and_comes_back(
    stream: bool, customer: Caller, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """The call drains, is charged, and its answer is there to be fetched."""
    plan = {"output_tokens": 20, "tokens_per_s": 40} if stream else {"stall_before_head_ms": 600}
    body = customer.body(plan, stream=stream)
    with customer.open() as connection:
        connection.send(customer.bytes_of("POST", CHAT, body, key))
        if stream:
            connection.head()
            connection.body_until(b"data: ", 3)
        else:
            eventually(lambda: simulator.get("/simulator/truth")["in_flight"] == 1)
        connection.reset()
    answer = customer.streamed(plan, key) if stream else customer.chat(plan, key, stream=False)
    assert (answer.status, answer.header(REPLAYED)) == (200, "true")
    if stream:
        assert len(answer.events) == 20 + 3
    [entry] = seen(simulator, since)
    assert entry["outcome"] == "complete"
    record = customer.record(answer.header("x-request-id"))
    assert (record["status"], record["usage"]["source"]) == (200, "provider")
    assert record["usage"]["output"] == entry["completion_tokens"]
    assert len([each for each in records_of(customer, 2) if each["cost"]]) == 1


def test_joiner_leaves_and_nothing_ends(
    customer: Caller, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    plan = {"output_tokens": 30, "tokens_per_s": 60}
    with customer.stream(plan, key) as first:
        with customer.stream(plan, key) as joiner:
            joiner.body_until(b"data: ", 3)
        assert first.rest().events[-1] == "[DONE]"
    [entry] = seen(simulator, since)
    assert entry["outcome"] == "complete"
    statuses = sorted(record["status"] for record in records_of(customer, 2))
    assert statuses == [200, 499]


def test_stop_waits_for_a_call_whose_client_left(
    session_folder: Path, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    gateway = Gateway(session_folder, simulated(simulator))
    caller = Caller(gateway)
    with caller.stream({"output_tokens": 30, "tokens_per_s": 40}, key) as connection:
        connection.body_until(b"data: ", 3)
    assert gateway.stop() == 0
    assert gateway.log_lines()[-1]["finished"] is True
    [entry] = seen(simulator, since)
    assert entry["outcome"] == "complete"
    [record] = rows_of(gateway, "SELECT * FROM usage WHERE operation = 'chat'")
    assert (record["status"], record["output"]) == (200, 30)
    [row] = rows_of(gateway, "SELECT * FROM idempotency_key")
    assert row["running_until"] is None


def test_stop_cuts_what_takes_too_long(
    session_folder: Path, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """It is charged what was delivered, and its key stays used."""
    gateway = Gateway(session_folder, simulated(simulator, more="[server]\ndrain_timeout_s = 0.5"))
    with Caller(gateway).stream({"output_tokens": 10_000, "tokens_per_s": 50}, key) as connection:
        connection.body_until(b"data: ", 5)
    assert gateway.stop() == 0
    assert gateway.log_lines()[-1]["finished"] is False
    [record] = rows_of(gateway, "SELECT * FROM usage WHERE operation = 'chat'")
    assert (record["status"], record["cost"] > 0) == (499, True)
    [row] = rows_of(gateway, "SELECT * FROM idempotency_key")
    assert row["running_until"] is None
    seen(simulator, since)


# Refused


def assert_taken(answer: Answer, code: str) -> None:
    assert (answer.status, answer.error["type"], answer.error["code"]) == (409, "invalid_request_error", code)
    if code == "idempotency_in_progress":
        assert int(answer.header("retry-after") or 0) >= 1
        assert "x-should-retry" not in answer.names
    else:
        assert answer.header("x-should-retry") == "false"
        assert "retry-after" not in answer.names


@pytest.mark.contract("9")
def test_another_body_is_a_conflict(caller: Caller, simulator: Simulator, since: int, key: dict[str, str]) -> None:
    first = caller.chat({"output_tokens": 3}, key)
    for other in (
        caller.chat({"output_tokens": 4}, key),
        caller.chat({"output_tokens": 3}, key, temperature=0.5),
        caller.streamed({"output_tokens": 3}, key),
        caller.ask("POST", "/v1/completions", {"model": "test-model", "prompt": "hello"}, key),
    ):
        assert_taken(other, "idempotency_conflict")
    second = {"idempotency-key": f"second-{uuid.uuid4()}"}
    with caller.stream({"output_tokens": 20, "tokens_per_s": 50}, second) as running:
        assert_taken(caller.chat({"output_tokens": 4}, second), "idempotency_conflict")
        assert running.rest().events[-1] == "[DONE]"
    assert_replay(caller.chat({"output_tokens": 3}, key), first)
    seen(simulator, since, 2)


def test_projects_do_not_share_keys(
    customer: Caller, tenant: Callable[..., Caller], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    stranger = tenant(apart=True)
    first, other = customer.chat(None, key), stranger.chat(None, key)
    assert other.header(REPLAYED) is None
    assert other.header("x-request-id") != first.header("x-request-id")
    seen(simulator, since, 2)


def test_keys_of_a_project_share_them_within_what_they_may_call(
    customer: Caller, tenant: Callable[..., Caller], key: dict[str, str]
) -> None:
    first = customer.chat(None, key)
    assert_replay(tenant().chat(None, key), first)
    assert_replay(tenant("--model", "test-model").chat(None, key), first)
    refused = tenant("--model", "gpt-4o").chat(None, key)
    assert (refused.status, refused.error["code"]) == (403, "model_not_available")


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "tab\there"])
def test_bad_keys_are_refused_by_name(bad: str, caller: Caller, simulator: Simulator, since: int) -> None:
    answer = caller.chat(None, {"idempotency-key": bad})
    assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")
    assert "Idempotency-Key" in answer.error["message"]
    assert simulator.get("/simulator/truth")["last_seq"] == since


@pytest.mark.parametrize("good", ["x", "x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!~"])
def test_good_keys(good: str, tenant: Callable[..., Caller]) -> None:
    customer = tenant(apart=True)
    first = customer.chat(None, {"idempotency-key": good})
    assert_replay(customer.chat(None, {"idempotency-key": good}), first)


def test_key_that_came_twice_is_none(caller: Caller) -> None:
    with caller.open() as connection:
        request = caller.bytes_of("POST", CHAT, caller.body(), {"idempotency-key": "one"})
        connection.send(request.replace(b"idempotency-key: one", b"idempotency-key: one\r\nidempotency-key: two"))
        assert connection.answer().status == 400


def test_what_needs_no_key_ignores_it(caller: Caller, key: dict[str, str]) -> None:
    ids = {caller.get("/v1/models", key).header("x-request-id") for _ in range(2)}
    assert len(ids) == 2
    assert caller.ask("POST", "/v1/nowhere", {}, key).status == 404
    assert Caller(caller.gateway, key="sk-fg-wrong").chat(None, key).status == 401


# Not kept


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_failures_are_not_kept(
    status: int, stream: bool, customer: Caller, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """The next request under the key is run again, at once."""
    plan = {"status": status, "times": 1, "output_tokens": 5}
    ask = customer.streamed if stream else customer.chat
    failed, first, again = [ask(plan, key) for _ in range(3)]
    assert (failed.status, failed.header("retry-after") is not None) == (503, True)
    assert (first.status, first.header(REPLAYED)) == (200, None)
    assert_replay(again, first)
    seen(simulator, since, 2)


def test_refusals_before_a_provider_was_asked_are_not_kept(caller: Caller, key: dict[str, str]) -> None:
    for _ in range(2):
        assert caller.chat(None, key, temperature=9).status == 400
        assert caller.chat(None, key, model="no-such-model").status == 404
    assert caller.chat(None, key).status == 200


def test_no_credit_is_not_kept(gateway: Gateway, simulator: Simulator, key: dict[str, str]) -> None:
    """Who tops up may ask again."""
    name = f"poor-{uuid.uuid4()}"
    command_json(gateway, "orgs", "create", name)
    [project] = command_json(gateway, "projects", "create", "project", "--org", name)
    poor = Caller(gateway, command_json(gateway, "keys", "create", name, "--project", project["id"])["key"])
    assert poor.chat(None, key).status == 402
    command_json(gateway, "credits", "add", name, "1.00", "--reason", "test")
    assert eventually(lambda: (answer := poor.chat(None, key)).status == 200 and answer).header(REPLAYED) is None


@pytest.mark.parametrize("charged", [False, True])
def test_stream_that_breaks_is_charged_once(
    charged: bool, special_caller: Caller, scripted: Upstream, key: dict[str, str]
) -> None:
    """What was delivered was charged: the broken answer is the answer. What broke before was not, and is run again."""

    def script(visit: Visit) -> None:
        if charged:
            visit.stream(ROLE, said("half an answer"))
        visit.reset()

    visits = scripted.play(script)
    first, again = (special_caller.streamed(None, key, model="scripted") for _ in range(2))
    if charged:
        assert first.events[-2]["error"]["code"] == "upstream_unavailable"
        assert_replay(again, first)
        assert len(visits) == 1
    else:
        assert (first.status, again.status) == (503, 503)
        assert again.header(REPLAYED) is None
        assert len(visits) > 1


def test_revoked_key_ends_its_run(gateway: Gateway, tenant: Callable[..., Caller], key: dict[str, str]) -> None:
    caller = tenant()
    with caller.stream({"output_tokens": 10_000, "tokens_per_s": 50}, key) as connection:
        connection.body_until(b"data: ", 3)
        gateway.command("keys", "revoke", caller.key.removeprefix("sk-fg-")[:12])
        answer = connection.rest()
    assert answer.events[-2]["error"]["code"] == "invalid_api_key"
    record = Caller(gateway).get("/v1/models")
    assert record.status == 200
    assert eventually(lambda: Caller(gateway).gauge("faregate_in_flight") == 0)


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


class Another:
    """Another process of a gateway's, on its data, with its settings."""

    def __init__(self, gateway: Gateway) -> None:
        words = ["-m", "faregate", "serve", "--json", "--port", "0", "--config", str(gateway.config)]
        log = gateway.folder / f"another-{uuid.uuid4()}.log"
        self.process = Process([*words, "--data", str(gateway.data)], {}, log)
        self.port = int(self.process.ready["base_url"].rsplit(":", 1)[1].partition("/")[0])

    def ask(self, caller: Caller, plan: Mapping[str, Any], key: dict[str, str], **members: Any) -> Answer:
        with Connection(self.port) as connection:
            connection.send(caller.bytes_of("POST", CHAT, caller.body(dict(plan), **members), key))
            return connection.answer()


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
