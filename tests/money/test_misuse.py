"""What a customer or an operator does twice, or in another's name, or while the price changes (F51, F53, F54, F57)."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faregate.core.money import format_amount
from tests.edge.conftest import command_json
from tests.running.client import CHAT, DONE, Answer, Caller, eventually, last_entry
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

from .books import PICO, Customer, cost_of, customer_of, nano
from .conftest import priced
from .reopening import Reopened

ASKED_AT_ONCE = 20
PROJECT = "x-faregate-project-id"


def aging(folder: Path, scripted: Upstream, simulator: Simulator) -> tuple[Gateway, int]:
    """A gateway with a model whose price rises tenfold at a moment, unix seconds, that is still to come."""
    wait_s = 4.0
    while True:
        changes_at = int(time.time() + wait_s)
        changes = datetime.fromtimestamp(changes_at, UTC).isoformat().replace("+00:00", "Z")
        models = f"""
[[models."aging".prices]]
until = {changes}
input = "1"
output = "2"

[[models."aging".prices]]
from = {changes}
input = "10"
output = "20"

[providers.raw]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["aging"]
"""
        gateway = Gateway(folder, priced(simulator, "[limits]\nlongest_request_s = 60.0", models))
        if time.time() < changes_at - 1:
            return gateway, changes_at
        assert gateway.stop() == 0  # a busy machine
        wait_s *= 2


def test_f51_a_stream_costs_what_it_did_when_it_was_admitted(
    session_folder: Path, simulator: Simulator, scripted: Upstream
) -> None:
    """The price rises in the middle of it; the next call costs that."""
    gateway, changes_at = aging(session_folder, scripted, simulator)
    buyer = customer_of(gateway, "of-two-days", "100", "aging")

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("a"))
        eventually(lambda: time.time() > changes_at, 60.0)
        visit.pieces(said("b"), FINISH, USAGE_EVENT, DONE)
        visit.end()

    scripted.play(script)
    try:
        answers = [buyer.streamed() for _ in range(2)]
        costs = [buyer.settled(answer.header("x-request-id")).charged for answer in answers]
        assert costs == [9 * 1000 + 2 * 2000, 9 * 10_000 + 2 * 20_000]
        records = [buyer.record(answer.header("x-request-id")) for answer in answers]
        assert records[0]["created"] < changes_at < time.time()
        assert [record["cost"] for record in records] == [format_amount(cost) for cost in costs]
        assert [record["prices"][0]["output"] for record in records] == ["2", "20"]
        assert gateway.command("ledger", "verify").returncode == 0
    finally:
        assert gateway.stop() == 0


@pytest.mark.contract("2.4")
def test_f53_anothers_project_is_not_billed(
    till: Gateway, customer: Callable[..., Customer], simulator: Simulator, since: int
) -> None:
    """Whether it exists or not: the same refusal, no provider is asked, and nobody has anything held."""
    thief, victim = customer("10"), customer("10")
    keys = command_json(till, "keys", "list")
    project = next(key["project_id"] for key in keys if key["id"] == victim.key_id)
    reservations = len(victim.books.reservations())
    answers = [
        thief.ask("POST", path, thief.body(stream=stream), {header: name})
        for name in (project, "00000000-0000-7000-8000-000000000000")
        for header in (PROJECT, "idc-project-id")
        for path in (CHAT, "/v1/completions")
        for stream in (False, True)
    ]
    assert {(answer.status, answer.error["code"]) for answer in answers} == {(403, "project_not_allowed")}
    assert len({answer.error["message"] for answer in answers}) == 1
    assert thief.ask("POST", CHAT, thief.body(), {PROJECT: project, "idempotency-key": "k"}).status == 403
    served = victim.chat({"output_tokens": 3})
    look_up = f"/v1/requests/{served.header('x-request-id')}"
    victim.record(served.header("x-request-id"))
    assert thief.get(look_up).status == 404
    assert thief.get(look_up, {PROJECT: project}).status == 403
    assert (thief.spent, thief.leased) == (0, 0)
    charged = victim.settled(served.header("x-request-id")).charged
    assert victim.spent == charged == cost_of(4, 3)
    assert len(victim.books.reservations()) == reservations + 1
    assert last_entry(simulator) == since + 1


def test_f54_of_refunds_at_once_no_more_goes_back_than_was_charged(customer: Callable[..., Customer]) -> None:
    """By several operators, each in a process of his own."""
    buyer = customer("10")
    answer = buyer.chat({"output_tokens": 50})
    request = answer.header("x-request-id") or ""
    charged = buyer.settled(request).charged
    half = format_amount(charged // 2 + 1)  # so that two of them are too much

    def refund(words: tuple[str, ...]) -> int:
        return buyer.gateway.command("credits", "refund", request, *words, "--reason", "bad answer").returncode

    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(refund, [(half, "--once", f"ticket-{number}") for number in range(4)]))
    assert sorted(codes) == [0, 1, 1, 1]
    assert buyer.spent - charged == 0
    refunded = "SELECT coalesce(sum(amount), 0) FROM transfer WHERE kind = 'refund' AND reference = ?"
    identity = bytes.fromhex(request.replace("-", ""))
    assert buyer.books.number(refunded, identity) == charged // 2 + 1
    with ThreadPoolExecutor(4) as pool:
        codes = list(pool.map(refund, [("--once", "the-rest")] * 4))
    assert codes == [0] * 4  # one move, said four times
    assert buyer.books.number(refunded, identity) == charged
    assert buyer.balance == 10_000_000_000
    assert refund(("0.000000001",)) == 1
    buyer.books.in_order()


def test_f54_a_refunds_key_is_of_that_charge_alone(customer: Callable[..., Customer]) -> None:
    """A ticket's number on another charge is a mistake that is said, not a refund that seems to be made."""
    buyer = customer("10")
    requests = [buyer.chat({"output_tokens": 50}).header("x-request-id") or "" for _ in range(2)]
    for request in requests:
        buyer.settled(request)
    balance = buyer.balance
    words = ("--once", f"ticket of {buyer.organisation}", "--reason", "bad answer")
    assert buyer.gateway.command("credits", "refund", requests[0], "0.00001", *words).returncode == 0
    done = buyer.gateway.command("credits", "refund", requests[1], "0.00001", *words)
    assert done.returncode == 1
    assert "belongs to another move" in done.stderr
    assert buyer.balance == balance + 10_000
    buyer.books.in_order()


def test_f57_one_key_at_once_from_all_sides_is_one_charge(
    session_folder: Path, simulator: Simulator, since: int
) -> None:
    """Twenty at once, streamed, at each of two processes: one process has the key and gives all of its own the same
    answer; the other says that it is under way, and when to come again. Booked is one call."""
    gateway = Gateway(session_folder, priced(simulator))
    buyer = customer_of(gateway, "says-it-twice", "10", "test-model")
    another = Caller(Reopened(gateway), buyer.key)
    plan = {"output_tokens": 100, "tokens_per_s": 50}

    def ask(number: int) -> Answer:
        caller = another if number % 2 else buyer
        return caller.ask("POST", CHAT, buyer.body(plan, stream=True), {"idempotency-key": "the-same"})

    try:
        with ThreadPoolExecutor(2 * ASKED_AT_ONCE) as pool:
            answers = list(pool.map(ask, range(2 * ASKED_AT_ONCE)))
        whole = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 409]
        assert (len(whole), len(refused)) == (ASKED_AT_ONCE, ASKED_AT_ONCE)
        assert len({bytes(answer.body) for answer in whole}) == 1
        assert whole[0].body.endswith(DONE)
        assert {(answer.error["code"], answer.header("retry-after")) for answer in refused} == {
            ("idempotency_in_progress", "1")
        }
        found = buyer.settled(whole[0].header("x-request-id"))
        assert buyer.spent == found.charged == nano(4 * PICO["input"] + 100 * PICO["output"])
        assert list(buyer.books.reservations().values()) == [found]
        assert last_entry(simulator) == since + 1
    finally:
        assert another.gateway.stop() == 0
        assert gateway.stop() == 0
    assert buyer.books.leased() == 0
