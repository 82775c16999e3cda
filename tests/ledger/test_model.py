"""The protocol of the ledger, simulated: seeded runs with every fault keep all invariants, and deliberate errors are
caught. FAREGATE_LEDGER_SEEDS=100000 asks for more seeds than the usual."""

import os
from collections import Counter

import pytest

from .model import Mutant, Violation
from .model_run import play

SEEDS = int(os.environ.get("FAREGATE_LEDGER_SEEDS", "320"))
BLOCKS = 8
FROZEN_SEEDS = max(100, SEEDS // 4)
MUTANT_SEEDS = 40
MUTANT_STEPS = 1500


def total(seeds: range, **how: bool) -> Counter[str]:
    """What happened in these runs, all together."""
    tally: Counter[str] = Counter()
    for seed in seeds:
        tally += play(seed, **how)
    return tally


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_fault_breaks_an_invariant(block: int) -> None:
    tally = total(range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS))
    print(dict(tally))


def test_safety_does_not_rest_on_clocks() -> None:
    print(dict(total(range(FROZEN_SEEDS), frozen=True)))


def test_a_seed_replays_exactly() -> None:
    assert play(7) == play(7)
    said = []
    for _ in range(2):
        with pytest.raises(Violation, match=r"^seed 7, 400 steps, step \d+, ") as raised:
            play(7, mutant=Mutant.UNGUARDED_BALANCE)
        said.append(str(raised.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("mutant", Mutant, ids=lambda mutant: mutant.name.lower())
def test_a_deliberate_error_is_caught(mutant: Mutant) -> None:
    caught: Counter[str] = Counter()
    for seed in range(MUTANT_SEEDS):
        try:
            play(seed, steps=MUTANT_STEPS, mutant=mutant)
        except Violation as error:
            caught[str(error).partition("}")[2] or str(error).split(": ")[1]] += 1
    print(mutant.name, sum(caught.values()), "of", MUTANT_SEEDS, dict(caught))
    assert sum(caught.values()) >= MUTANT_SEEDS // 2
