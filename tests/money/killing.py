"""Kill -9 at random moments under load, over and over, and what must be true after each restart (F01 to F10)."""

import random
import threading
from pathlib import Path

from tests.running.client import Caller
from tests.running.processes import Gateway, Simulator

from .books import Customer, Reservation, customer_of
from .conftest import priced
from .load import Crowd, Sight
from .reopening import Reopened, kill

LIVES_S = 0.3  # at most, under load


def kill_again_and_again(folder: Path, simulator: Simulator, kills: int, seed: int) -> dict[str, int]:
    """So many lives of one gateway, each ended by SIGKILL; how often what was seen."""
    gateway: Gateway = Gateway(folder, priced(simulator))
    customer = customer_of(gateway, "survivor", "1000", "test-model")
    dice = random.Random(seed)
    seen = {"whole": 0, "cut": 0, "reaped": 0, "settled unseen": 0}
    known: set[str] = set()
    balance = customer.balance
    try:
        for life in range(kills):
            crowd = Crowd(Caller(gateway, customer.key, customer.model), seed * 10_000 + life)
            crowd.start()
            threading.Event().wait(dice.uniform(0.01, LIVES_S))
            kill(gateway)
            sights = crowd.join()
            gateway = Reopened(gateway)
            after = check_books(customer, known, balance)
            check_sights(sights, after, seen)
            known |= after.keys()
            balance = customer.balance
    finally:
        gateway.stop()
    assert customer.books.leased() == 0
    return seen


def check_books(customer: Customer, known: set[str], balance: int) -> dict[str, Reservation]:
    """The books are in order, nothing is held and all that was spent was charged; the reservations of the last life."""
    books = customer.books
    proof = books.in_order()
    assert proof.open_reservations == 0  # the dead process's were reaped before the new one was ready
    assert customer.leased == 0
    fresh = {identity: found for identity, found in books.reservations().items() if identity not in known}
    assert {found.state for found in fresh.values()} <= {"settled", "reaped"}
    assert balance - customer.balance == sum(found.charged for found in fresh.values())
    assert all(found.charged == found.checkpoint for found in fresh.values() if found.state == "reaped")
    return fresh


def check_sights(sights: list[Sight], after: dict[str, Reservation], seen: dict[str, int]) -> None:
    """What arrived whole is charged exactly (O2), what was cut for no more than arrived, and what nobody saw not at
    all, unless its charge was on the disk already (K6)."""
    for sight in sights:
        found = after.get(sight.request_id)
        assert found is not None, f"given, but held for by nobody: {sight}"  # O1
        if sight.whole:
            seen["whole"] += 1
            assert (found.state, found.charged) == ("settled", sight.full_cost), (sight, found)
        else:
            seen["cut"] += 1
            assert found.charged <= sight.cost_max, (sight, found)
    their_ids = {sight.request_id for sight in sights}
    for identity, found in after.items():
        if identity not in their_ids:
            if found.state == "reaped":
                assert found.charged == 0, found
            else:
                seen["settled unseen"] += 1  # K6: on the disk, not on the wire yet
        seen["reaped"] += found.state == "reaped"
