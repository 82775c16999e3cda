"""F98 at its full size: a hundred thousand bad keys of each kind."""

from pathlib import Path

import pytest

from tests.faults.timing import t_of, timings
from tests.running.processes import Gateway, Simulator, simulated

pytestmark = pytest.mark.soak

PAIRS = 100_000


def test_f98_an_id_cannot_be_guessed_by_timing(session_folder: Path, simulator: Simulator) -> None:
    gateway = Gateway(session_folder, simulated(simulator))
    try:
        assert abs(t_of(*timings(gateway, PAIRS))) < 4.5  # as for hardware that is tested for such leaks (TVLA)
    finally:
        gateway.stop()
