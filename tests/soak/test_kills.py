"""F10 at its full size: two hundred kills under load, and forty of single workers."""

from pathlib import Path

import pytest

from tests.money.killing import kill_again_and_again
from tests.money.killing_workers import kill_workers
from tests.running.processes import Simulator

pytestmark = pytest.mark.soak

KILLS = 200


def test_f10_two_hundred_kills_break_no_invariant(session_folder: Path, simulator: Simulator) -> None:
    seen = kill_again_and_again(session_folder, simulator, KILLS, seed=7)
    assert seen["whole"] > 10 * KILLS
    assert min(seen["cut"], seen["reaped"]) > KILLS / 4


def test_f10_forty_kills_of_single_workers_break_no_invariant(session_folder: Path, simulator: Simulator) -> None:
    assert kill_workers(session_folder, simulator, 4, KILLS // 5, seed=3) > 2 * KILLS
