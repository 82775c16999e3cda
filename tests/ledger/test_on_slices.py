"""The real slices and holds of a process, put to the model's runs, over the model's store and over the real ledger on
SQLite; and broken on purpose, so that it is known that they would show. LEDGER_SEEDS asks for more seeds."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from faregate.ledger.holds import Hold, Slice
from faregate.ledger.records import Leg, Settled
from faregate.ledger.slices import Slices
from faregate.ledger.verify import verify

from . import test_model_cases as cases
from .model import Violation
from .model_run import play
from .on_slices import SlicedProcess
from .on_sqlite import SqliteStore

SEEDS = int(os.environ.get("LEDGER_SEEDS", "320"))
BLOCKS = 8
SQLITE_SEEDS = SEEDS // 5
SQLITE_STEPS = 250
MUTANT_SEEDS = 12
MUTANT_STEPS = 1600
# What forty seeds and more must have met, or they prove nothing
MET = ("done", "crashed", "aborted", "refused", "lost", "settled", "reaped", "adjusted", "kills", "ghosts", "pauses")


def play_all(seeds: range, *, frozen: bool = False) -> None:
    """These runs, one after the other; what they met, all together, is everything."""
    tally: Counter[str] = Counter()
    for seed in seeds:
        tally += play(seed, make_process=SlicedProcess, frozen=frozen)
    assert len(seeds) < 40 or not [name for name in MET if not tally[name]]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_fault_breaks_an_invariant(block: int) -> None:
    play_all(range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS))


def test_safety_does_not_rest_on_clocks() -> None:
    """The clock of every process stands still: none stops using a slice on its own account."""
    play_all(range(SEEDS // 4), frozen=True)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_fault_breaks_an_invariant_of_the_real_ledger(block: int, tmp_path: Path) -> None:
    for seed in range(block * SQLITE_SEEDS // BLOCKS, (block + 1) * SQLITE_SEEDS // BLOCKS):
        stores: list[SqliteStore] = []

        def make_store(clock: Callable[[], int], file: Path = tmp_path / f"{seed}.db") -> SqliteStore:
            stores.append(SqliteStore(clock, file))  # noqa: B023  called in this very turn
            return stores[-1]  # noqa: B023

        try:
            is_frozen = seed % 4 == 0
            play(seed, steps=SQLITE_STEPS, make_store=make_store, make_process=SlicedProcess, frozen=is_frozen)
            for store in stores:  # what an operator would be told
                assert not store.read(verify).findings, store.read(verify).findings[:3]
        finally:
            for store in stores:
                store.close()


# The cases in small, which a random run meets rarely


@pytest.fixture
def sliced_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases, "Process", partial(SlicedProcess, clock=lambda: 0, surprises=0.0))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.usefixtures("sliced_cases")
def test_nobody_is_refused_what_is_there_in_the_end(seed: int) -> None:
    cases.test_nobody_is_refused_what_is_there_in_the_end(seed)


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.usefixtures("sliced_cases")
def test_as_many_pass_as_balance_and_budget_cover(seed: int) -> None:
    cases.test_as_many_pass_as_balance_and_budget_cover(seed, ())
    cases.test_as_many_pass_as_balance_and_budget_cover(seed, ("budget:key:k1:0",))


@pytest.mark.usefixtures("sliced_cases")
def test_slices_that_are_spread_are_not_a_refusal() -> None:
    world = cases.World(700, 8)
    for _ in range(2):  # the first leases are for one request; that there are more is known from then on
        for process in range(8):
            world.request(20, process)
        world.rounds(cost=0)
    assert world.available() < 690
    whole = world.request(690)
    world.rounds(cost=0)
    assert whole.state == "done"


@pytest.mark.usefixtures("sliced_cases")
def test_the_cases_of_holds_and_leases_are_as_in_the_model() -> None:
    for processes in (1, 8):
        cases.test_f34_f35_as_many_pass_as_the_balance_covers(processes)
    cases.test_f36_a_hold_of_the_whole_balance_passes_and_of_one_more_does_not()
    cases.test_a_hold_takes_every_leg_or_none()
    cases.test_promotional_credit_is_spent_first_by_its_end()
    cases.test_f55_a_disputed_payment_that_was_spent_is_owed()
    cases.test_a_late_settlement_posts_the_difference_either_way()


# Deliberate errors


def legs_apart(patch: pytest.MonkeyPatch) -> None:
    """A hold goes ahead without the budgets it cannot have."""
    reserve, parts = Slices.reserve, Slices._parts
    payers: list[int] = []

    def note(self: Slices, hold: Hold) -> bool:
        payers[:] = [hold.payer]
        return reserve(self, hold)

    def lax(self: Slices, group: int, amount: int, now: float) -> list[tuple[Slice, int]] | None:
        found = parts(self, group, amount, now)
        return [] if found is None and group not in payers else found

    patch.setattr(Slices, "reserve", note)
    patch.setattr(Slices, "_parts", lax)


def short_legs(patch: pytest.MonkeyPatch) -> None:
    """A hold goes ahead with as much as there is."""

    def lax(self: Slices, group: int, amount: int, now: float) -> list[tuple[Slice, int]] | None:
        return [(one, min(one.free, amount)) for one in self._usable(group, now)][:1] or None

    patch.setattr(Slices, "_parts", lax)


def holds_are_not_subtracted(patch: pytest.MonkeyPatch) -> None:
    reserve = Slices.reserve

    def whole(self: Slices, hold: Hold) -> bool:
        done = reserve(self, hold)
        for leg in hold.legs:
            self._slices[leg.lease].free += leg.amount
        return done

    patch.setattr(Slices, "reserve", whole)


def a_settlement_frees_the_whole_hold(patch: pytest.MonkeyPatch) -> None:
    settle = Slices.settle

    def whole(self: Slices, hold: Hold, cost: int) -> None:
        is_first = hold.cost is None
        settle(self, hold, cost)
        for leg, share in zip(hold.legs, hold.settling, strict=False):
            if is_first:
                self._free(leg.lease, share, is_over=False)

    patch.setattr(Slices, "settle", whole)


def settled_twice(patch: pytest.MonkeyPatch) -> None:
    settle = Slices.settle

    def again(self: Slices, hold: Hold, cost: int) -> None:
        hold.cost = None
        settle(self, hold, cost)

    patch.setattr(Slices, "settle", again)


def settled_while_it_waits_and_served(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slices, "withdraw", lambda self, hold: None)


def delivered_though_refused(patch: pytest.MonkeyPatch) -> None:
    learn = Slices._learn_open
    patch.setattr(Slices, "_learn_open", lambda self, hold, done: learn(self, hold, True))


def used_after_it_was_returned(patch: pytest.MonkeyPatch) -> None:
    give_back = Slices._return

    def keep(self: Slices, one: Slice) -> None:
        free = one.free
        one.holds += 1  # so that it stays
        give_back(self, one)
        one.holds -= 1
        one.free = free

    patch.setattr(Slices, "_return", keep)


def returned_without_what_is_held_in_mind(patch: pytest.MonkeyPatch) -> None:
    """What holds have of a slice is returned as well."""
    give_back = Slices._return

    def whole(self: Slices, one: Slice) -> None:
        if one.free:
            one.free += sum(leg.amount for hold in self.holds.values() for leg in hold.legs if leg.lease == one.lease)
        give_back(self, one)

    patch.setattr(Slices, "_return", whole)


def offers_are_not_subtracted(patch: pytest.MonkeyPatch) -> None:
    offer = Slices._offer

    def lend(self: Slices, group: int, above: int) -> Iterable[Leg]:
        for leg in offer(self, group, above):
            self._slices[leg.lease].free += leg.amount
            yield leg

    patch.setattr(Slices, "_offer", lend)


def drawn_offers_are_free_again(patch: pytest.MonkeyPatch) -> None:
    learn = Slices._learn_settle
    patch.setattr(
        Slices, "_learn_settle", lambda self, hold, result: learn(self, hold, Settled(result.known, result.charged))
    )


def a_refused_hold_is_lost_money(patch: pytest.MonkeyPatch) -> None:
    """What an Open that was refused had of slices that live is forgotten."""
    learn = Slices._learn_open

    def forget(self: Slices, hold: Hold, done: bool) -> None:
        before = {lease: one.free for lease, one in self._slices.items()}
        learn(self, hold, done)
        for lease, one in self._slices.items():
            one.free = before[lease]

    patch.setattr(Slices, "_learn_open", forget)


def slices_with_holds_are_dropped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Slices, "_drop_if_empty", lambda self, one: None if one.free else self._drop(one))


MUTANTS: list[Any] = [
    legs_apart,
    short_legs,
    holds_are_not_subtracted,
    a_settlement_frees_the_whole_hold,
    settled_twice,
    settled_while_it_waits_and_served,
    delivered_though_refused,
    used_after_it_was_returned,
    returned_without_what_is_held_in_mind,
    offers_are_not_subtracted,
    drawn_offers_are_free_again,
    a_refused_hold_is_lost_money,
    slices_with_holds_are_dropped,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_deliberate_error_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    said = []
    for seed in range(MUTANT_SEEDS):
        try:
            play(seed, steps=MUTANT_STEPS, make_process=partial(SlicedProcess, surprises=0.15))
        except Violation as violation:
            said.append(str(violation))
    assert len(said) >= MUTANT_SEEDS // 2
