"""Idempotency-Key: one run and one charge under a key, whoever asks how often, together or after."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.running.client import CHAT, DONE, Answer, Caller, eventually
from tests.running.processes import Gateway, Simulator, simulated
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

from .repeats import REPLAYED, assert_replay, records_of, rows_of, seen

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
            eventually(lambda: simulator.get("/simulator/truth")["last_seq"] > since)
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
