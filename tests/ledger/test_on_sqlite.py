"""The real ledger on SQLite, put to the model's runs: the same faults from the same seeds, the same checks; and broken
on purpose, so that it is known that they would show. LEDGER_SEEDS asks for more seeds."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from faregate.ledger import commit, reaper
from faregate.ledger.books import Books
from faregate.ledger.commit import Batch, Tab
from faregate.ledger.records import Leg, Record, Result
from faregate.ledger.verify import verify
from faregate.stores.database import Transaction

from .model import Violation
from .model_run import play
from .on_sqlite import SqliteStore

SEEDS = int(os.environ.get("LEDGER_SEEDS", "304"))
BLOCKS = 8
STEPS = 250
MUTANT_STEPS = 400
MUTANT_SEEDS = 12


def run(seed: int, folder: Path, *, steps: int = STEPS, frozen: bool = False) -> None:
    """One run on a file of its own."""
    stores: list[SqliteStore] = []

    def make_store(clock: Callable[[], int]) -> SqliteStore:
        stores.append(SqliteStore(clock, folder / f"{seed}.db"))
        return stores[-1]

    try:
        play(seed, steps=steps, make_store=make_store, frozen=frozen)
        for store in stores:  # what an operator would be told
            assert not store.read(verify).findings, store.read(verify).findings[:3]
    finally:
        for store in stores:
            store.close()


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_fault_breaks_an_invariant(block: int, tmp_path: Path) -> None:
    for seed in range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS):
        run(seed, tmp_path)


def test_safety_does_not_rest_on_clocks(tmp_path: Path) -> None:
    for seed in range(SEEDS // 10):
        run(seed, tmp_path, frozen=True)


def no_fencing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "_alive", lambda self, legs: True)
    patch.setattr(Books, "is_alive", lambda self, legs: True)


def no_batch_id(patch: pytest.MonkeyPatch) -> None:
    def apply_again(
        writing: Transaction, epoch: int, seq: int, records: Sequence[Record], now: float, **how: Any
    ) -> list[Result]:
        batch = Batch(writing, epoch, now, **how)
        return batch.apply_all(records)

    patch.setattr(commit, "commit", apply_again)


def refund_on_reap(patch: pytest.MonkeyPatch) -> None:
    whole = reaper._charge

    def nothing(writing: Transaction, now: float, epoch: int) -> int:
        writing.run("UPDATE reservation SET checkpoint = 0 WHERE epoch_id = ? AND state = 'open'", (epoch,))
        return whole(writing, now, epoch)

    patch.setattr(reaper, "_charge", nothing)


def reaped_one_by_one(patch: pytest.MonkeyPatch) -> None:
    whole = reaper._reap
    patch.setattr(reaper, "_reap", lambda writing, now, leases, open_ones: whole(writing, now, leases[:1], open_ones))


def budgets_not_charged(patch: pytest.MonkeyPatch) -> None:
    whole = Batch.charge_legs

    def payer_alone(self: Batch, tab: Tab, legs: Sequence[Leg], cost: int) -> tuple[Leg, ...]:
        return whole(self, tab, [leg for leg in legs if leg.group == tab.payer], cost)

    patch.setattr(Batch, "charge_legs", payer_alone)


def unguarded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batch, "_room", lambda self, group: 10**9)


def whole_late_settlement(patch: pytest.MonkeyPatch) -> None:
    charge = Batch._charge_available

    def twice(self: Batch, tab: Tab, due: int) -> int:
        return charge(self, tab, due + tab.charged)

    patch.setattr(Batch, "_charge_available", twice)


MUTANTS: list[Any] = [
    no_fencing,
    no_batch_id,
    refund_on_reap,
    reaped_one_by_one,
    budgets_not_charged,
    unguarded,
    whole_late_settlement,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_deliberate_error_is_caught(
    mutant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    caught = 0
    for seed in range(MUTANT_SEEDS):
        try:
            run(seed, tmp_path, steps=MUTANT_STEPS)
        except Violation:
            caught += 1
    assert caught >= MUTANT_SEEDS // 2, f"{caught} of {MUTANT_SEEDS}"
