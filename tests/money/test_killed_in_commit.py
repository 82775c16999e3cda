"""A gateway that is killed in one of its commits, of a call's first to its last (F02, F03, F05, F07, F08).

The log has the commit by then, and nobody has heard of it: neither the gateway nor its client.
"""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.client import CHAT, DONE, Answer, Caller, eventually, last_entry
from tests.running.processes import Gateway, Simulator

from .books import Customer, Reservation, cost_of, customer_of
from .conftest import priced
from .load import PROMPT_TOKENS
from .reopening import Reopened, kill
from .tracing import faulty_syncs

CREDIT_NANO = 50_000_000
TOKENS = 20
LEASE, OPEN, SETTLE = 1, 2, 3  # the commits of a call that takes longer than they do


@pytest.fixture
def buyer(session_folder: Path, simulator: Simulator) -> Iterator[Customer]:
    """A customer of a gateway that has nothing to write but his calls, and knows the price of the model."""
    gateway = Gateway(session_folder, priced(simulator))
    assert Caller(gateway).chat().status == 200
    customer = customer_of(gateway, "cut-off", "0.05", "test-model")
    eventually(lambda: customer.books.rows("SELECT 1 FROM usage") and not customer.books.leased())
    yield customer
    if gateway.popen.poll() is None:
        gateway.stop()


def killed_in(customer: Customer, commit: int, *, stream: bool = False) -> Answer:
    """What came of a call whose gateway was killed in that commit of it."""
    body = customer.body({"output_tokens": TOKENS, "first_token_ms": 300}, max_tokens=100, stream=stream)
    with faulty_syncs(customer.gateway, f"signal=SIGKILL:when={commit}"), customer.open() as connection:
        connection.send(customer.bytes_of("POST", CHAT, body))
        with pytest.raises(ConnectionError):
            connection.answer()
        assert customer.gateway.stop() == -signal.SIGKILL
        return connection.current


def after_the_start(customer: Customer) -> list[Reservation]:
    """What became of the customer's calls once the next process is there, which he can go on with."""
    gateway = Reopened(customer.gateway)
    try:
        proof = customer.books.in_order()
        assert (proof.open_reservations, proof.active_leases, customer.leased) == (0, 0, 0)
        payer = "SELECT id FROM account WHERE organisation_id = ?"
        rows = customer.books.rows(
            f"SELECT lower(hex(id)) FROM reservation WHERE payer_id IN ({payer})", customer.organisation
        )
        found = [customer.books.reservations()[identity] for (identity,) in rows]
        assert customer.balance == CREDIT_NANO - sum(each.charged for each in found)
        assert Caller(gateway, customer.key).chat(max_tokens=100).status == 200
        return found
    finally:
        assert gateway.stop() == 0


def test_f08_in_the_grant_of_a_lease(buyer: Customer, simulator: Simulator) -> None:
    """No provider was asked, and the lease is free at once."""
    asked = last_entry(simulator)
    assert killed_in(buyer, LEASE).status == 0
    assert last_entry(simulator) == asked
    assert buyer.leased > 0
    assert after_the_start(buyer) == []


@pytest.mark.parametrize("stream", [False, True])
def test_f02_f03_in_the_commit_of_its_hold(buyer: Customer, stream: bool) -> None:
    """Not a byte has left (O1): it costs nothing, though a provider may have been asked."""
    assert killed_in(buyer, OPEN, stream=stream).status == 0
    [found] = after_the_start(buyer)
    assert (found.state, found.charged) == ("reaped", 0)


@pytest.mark.parametrize("stream", [False, True])
def test_f05_f07_in_the_commit_of_its_settlement(buyer: Customer, stream: bool) -> None:
    """Its end has not left (O2), its charge is on the disk: exactly what it cost."""
    answer = killed_in(buyer, SETTLE, stream=stream)
    assert DONE not in answer.body
    assert answer.status == (200 if stream else 0)
    [found] = after_the_start(buyer)
    assert (found.state, found.charged) == ("settled", cost_of(PROMPT_TOKENS, TOKENS))


def test_f03_while_its_provider_thinks(buyer: Customer) -> None:
    """Its hold is on the disk, nothing has come: it costs nothing."""
    with buyer.open() as connection:
        body = buyer.body({"stall_before_head_ms": 20_000}, max_tokens=100, stream=True)
        connection.send(buyer.bytes_of("POST", CHAT, body))
        eventually(lambda: buyer.books.rows("SELECT 1 FROM reservation WHERE state = 'open'"))
        kill(buyer.gateway)
        assert connection.ended() == b""
    [found] = after_the_start(buyer)
    assert (found.state, found.charged) == ("reaped", 0)
