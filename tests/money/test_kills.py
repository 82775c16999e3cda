"""SIGKILL: nobody is charged for more than came, whole answers are charged exactly, no hold outlives its process."""

from pathlib import Path

from tests.running.processes import Simulator

from .killing import kill_again_and_again

KILLS = 20


def test_f10_kills_at_random_moments_break_no_invariant(session_folder: Path, simulator: Simulator) -> None:
    seen = kill_again_and_again(session_folder, simulator, KILLS, seed=1)
    assert seen["whole"] > KILLS
    assert seen["cut"] > 0
    assert seen["reaped"] > 0
