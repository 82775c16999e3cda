"""A process that is stopped and goes on later, another beside it on the same data (F12, F19): no money is spent twice.

Nobody waits half a minute here for leases to end: they are made to end. The rest is as it happens, by SIGSTOP.
"""

import fcntl
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import pytest

from faregate.core.money import format_amount
from tests.running.client import DONE, Caller, Connection, eventually
from tests.running.processes import Gateway, Simulator

from .books import Customer, Reservation, cost_of, customer_of
from .conftest import priced
from .killing import check_books, check_sights
from .load import PROMPT_TOKENS, Crowd
from .reopening import Reopened, kill

PATIENT = "[limits]\nlongest_request_s = 60.0\n[deadlines]\nidle_timeout_s = 60.0"
TOKENS = 400
STREAM = {"output_tokens": TOKENS, "tokens_per_s": 100}
STREAM_COST = cost_of(PROMPT_TOKENS, TOKENS)
STOPS = 3
STOPPED_S = 0.5


def turn_of(gateway: Gateway) -> IO[bytes]:
    """The file whose lock is the turn to write."""
    return (gateway.data / "faregate.db.turn").open("r+b")


@contextmanager
def stopped(gateway: Gateway) -> Iterator[None]:
    """A process that is stopped, though not while it has the turn to write: all others would wait for it."""
    with turn_of(gateway) as turn:
        while True:
            gateway.popen.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, gateway.pid, os.WSTOPPED | os.WNOWAIT)
            try:
                fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                gateway.popen.send_signal(signal.SIGCONT)
        fcntl.flock(turn, fcntl.LOCK_UN)
    try:
        yield
    finally:
        gateway.popen.send_signal(signal.SIGCONT)


@contextmanager
def beside(gateway: Gateway) -> Iterator[Gateway]:
    """Another process on the same data."""
    another = Reopened(gateway)
    try:
        yield another
    finally:
        assert another.stop() == 0


@pytest.fixture
def buyer(session_folder: Path, simulator: Simulator) -> Iterator[Customer]:
    """A customer with a cent, of a gateway of the test's own."""
    gateway = Gateway(session_folder, priced(simulator, PATIENT))
    customer = customer_of(gateway, "of-a-zombie", "0.01", "test-model")
    yield customer
    gateway.popen.send_signal(signal.SIGCONT)
    assert gateway.stop() == 0
    assert customer.books.in_order().active_leases == 0
    assert customer.books.leased() == 0


@pytest.fixture
def stream(buyer: Customer) -> Iterator[Connection]:
    """A stream of it that has begun and been saved once; more than half of the cent is held for it."""
    with buyer.stream(STREAM, max_tokens=2000) as connection:
        eventually(lambda: [found for found in buyer.books.reservations().values() if found.checkpoint])
        yield connection


def only(customer: Customer, connection: Connection) -> Reservation:
    """The stream's reservation."""
    found = customer.books.reservation(connection.current.header("x-request-id") or "")
    assert found is not None
    return found


def test_f12_what_a_stopped_process_holds_is_not_taken_while_its_leases_last(
    buyer: Customer, stream: Connection
) -> None:
    with stopped(buyer.gateway), beside(buyer.gateway) as another:
        other = Caller(another, buyer.key)
        assert only(buyer, stream).state == "open"
        held = buyer.leased
        assert held >= only(buyer, stream).hold > buyer.balance // 2
        assert other.chat({"output_tokens": 5}, max_tokens=2000).status == 402
        assert other.chat({"output_tokens": 5}, max_tokens=1000).status == 200
        assert only(buyer, stream).state == "open"
        assert buyer.leased == held
    assert stream.rest().body.endswith(DONE)
    found = buyer.settled(stream.current.header("x-request-id"))
    assert (found.state, found.charged) == ("settled", STREAM_COST)
    with beside(buyer.gateway) as another:
        assert Caller(another, buyer.key).chat({"output_tokens": 5}, max_tokens=2000).status == 200


def end_leases(customer: Customer) -> None:
    """As if all of them had lasted for their half minute."""
    with closing(sqlite3.connect(customer.gateway.data / "faregate.db")) as writing, writing:
        writing.execute("UPDATE lease SET expires_at = 1.0 WHERE active = 1")


def reaped(customer: Customer, connection: Connection) -> Reservation:
    """The stream's reservation, which was charged its last checkpoint; all the rest is free."""
    found = only(customer, connection)
    assert (found.state, found.charged) == ("reaped", found.checkpoint)
    assert 0 < found.charged < STREAM_COST
    assert (customer.leased, customer.spent) == (0, found.charged)
    return found


def test_f12_who_wakes_after_he_was_reaped_is_charged_the_difference_once(buyer: Customer, stream: Connection) -> None:
    with stopped(buyer.gateway):
        end_leases(buyer)
        with beside(buyer.gateway) as another:
            reaped(buyer, stream)
            answer = Caller(another, buyer.key).chat({"output_tokens": 5}, max_tokens=2000)
            assert answer.status == 200  # of the money that came back
    assert stream.rest().body.endswith(DONE)
    found = buyer.settled(stream.current.header("x-request-id"))
    assert (found.state, found.charged, found.cost) == ("adjusted", STREAM_COST, STREAM_COST)
    assert buyer.spent == STREAM_COST + cost_of(PROMPT_TOKENS, 5)
    assert buyer.record(found.id)["cost"] == format_amount(STREAM_COST)
    assert buyer.books.written_off("crash") == 0
    eventually(
        lambda: buyer.chat({"output_tokens": 5}, max_tokens=2000).status == 200, 2.0
    )  # by leases of its own again


def test_f12_who_wakes_after_others_spent_his_money_takes_none_that_is_not_there(
    buyer: Customer, stream: Connection
) -> None:
    with stopped(buyer.gateway):
        end_leases(buyer)
        with beside(buyer.gateway):
            found = reaped(buyer, stream)
        rest = format_amount(buyer.balance)
        words = ("credits", "remove", buyer.organisation, rest, "--reason", "spent elsewhere")
        assert buyer.gateway.command(*words).returncode == 0
    assert stream.rest().body.endswith(DONE)
    late = buyer.settled(stream.current.header("x-request-id"))
    assert (late.state, late.charged, late.cost) == ("adjusted", found.charged, STREAM_COST)
    assert buyer.books.written_off("crash") == STREAM_COST - found.charged
    assert buyer.balance == 0
    assert buyer.chat().status == 402


def test_f12_who_wakes_after_his_charge_was_refunded_moves_it_no_more(buyer: Customer, stream: Connection) -> None:
    """What the reaper charged is given back by hand; the process was not dead, and says later what it really was."""
    with stopped(buyer.gateway):
        end_leases(buyer)
        with beside(buyer.gateway):
            found = reaped(buyer, stream)
            words = ("credits", "refund", stream.current.header("x-request-id") or "", "--reason", "cut off")
            assert buyer.gateway.command(*words).returncode == 0
            balance = buyer.balance
    assert stream.rest().body.endswith(DONE)
    late = buyer.settled(stream.current.header("x-request-id"))
    assert (late.state, late.charged, late.cost) == ("adjusted", found.charged, found.charged)
    assert buyer.balance == balance == 10_000_000
    assert buyer.books.written_off("crash") == 0


def test_f12_another_that_is_stopped_while_it_has_the_turn_holds_up_new_calls_alone(buyer: Customer) -> None:
    """They are told to come again, and load balancers to send none; a stream goes on and ends. Once the turn is free
    all is written, and exactly."""
    warm = buyer.chat({"output_tokens": 5}, max_tokens=100)
    with buyer.stream({"output_tokens": 50, "tokens_per_s": 50}, max_tokens=1000) as connection:
        connection.body_until(b'"content":', 3)
        with turn_of(buyer.gateway) as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            refused = buyer.chat({"output_tokens": 5}, max_tokens=100)
            eventually(lambda: buyer.get("/readyz").status == 503)
            assert buyer.get("/readyz").json()["problems"] == ["the ledger cannot be written"]
            again = buyer.chat({"output_tokens": 5}, max_tokens=100)  # at once, before a provider is asked
            assert (again.status, again.error["message"].partition(";")[0]) == (503, "The ledger cannot be written")
            streamed = connection.rest()  # O2 is waived after two seconds
    assert (refused.status, refused.error["code"], refused.header("retry-after")) == (503, "overloaded", "1")
    assert streamed.body.endswith(DONE)
    charged = [buyer.settled(answer.header("x-request-id")).charged for answer in (warm, streamed)]
    assert charged == [cost_of(PROMPT_TOKENS, 5), cost_of(PROMPT_TOKENS, 50)]
    assert buyer.get("/readyz").status == 200
    [told] = [line for line in buyer.gateway.log_lines() if line["event"].startswith("ledger_")]
    assert told["event"].startswith("ledger_held_up")
    assert buyer.chat({"output_tokens": 5}, max_tokens=100).status == 200
    assert buyer.spent == sum(charged) + cost_of(PROMPT_TOKENS, 5)


def test_the_record_of_an_error_is_there_while_nothing_can_be_written(buyer: Customer) -> None:
    """Nobody waits for the settlement of a call that failed; who has its id may ask at once, or a while later."""
    rich = customer_of(buyer.gateway, "rich", "1000", "test-model")
    for _ in range(2):  # the next call's hold is at hand
        rich.chat({"output_tokens": 5}, max_tokens=100)
    with turn_of(buyer.gateway) as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        failed = rich.chat({"malformed": "not_json"}, max_tokens=100)
        assert (failed.status, failed.error["code"]) == (503, "upstream_unavailable")
        until = time.monotonic() + 0.3  # the journal gives it out of its hands
        while time.monotonic() < until:
            answer = rich.get(f"/v1/requests/{failed.header('x-request-id')}")
            assert answer.status == 200, answer
            said = answer.json()
            assert (said["status"], said["error_kind"], said["cost"]) == (503, "upstream_unavailable", "0")
    assert rich.settled(failed.header("x-request-id")).charged == 0
    assert rich.record(failed.header("x-request-id")) == said


def test_f19_a_process_that_stands_still_under_load_spends_nothing_twice(
    session_folder: Path, simulator: Simulator
) -> None:
    """Again and again for half a second, another serving the same customer meanwhile."""
    gateway = Gateway(session_folder, priced(simulator, PATIENT))
    customer = customer_of(gateway, "stood-still", "1000", "test-model")
    balance = customer.balance
    another = Reopened(gateway)
    crowds = [Crowd(Caller(each, customer.key), seed, 4) for seed, each in enumerate((gateway, another))]
    for crowd in crowds:
        crowd.start()
    for _ in range(STOPS):
        eventually(lambda: min(len(crowd.sights) for crowd in crowds) > 5)
        with stopped(gateway):
            threading.Event().wait(STOPPED_S)
    kill(gateway)
    kill(another)
    sights = [sight for crowd in crowds for sight in crowd.join()]
    gateway = Reopened(gateway)
    try:
        after = check_books(customer, set(), balance)
        seen = {"whole": 0, "cut": 0, "reaped": 0, "settled unseen": 0}
        check_sights(sights, after, seen)
        assert seen["whole"] > 10
    finally:
        assert gateway.stop() == 0
    assert customer.books.leased() == 0
