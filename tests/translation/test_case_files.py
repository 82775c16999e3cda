"""Every line of the case files is a test."""

import pytest

from tests.fixtures.translation_cases_check import lint
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import CASE_FILES, Case, cases_of
from .judging import wrongs_of
from .pending import PENDING

CASES = [case for path in CASE_FILES if path.exists() for case in cases_of(path)]
CUTTINGS = 2  # how often a stream is played, cut elsewhere each time


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, crossing: Gateway, player: Upstream) -> None:
    seeds = range(CUTTINGS if "upstream_stream" in case.said else 1)
    for seed in seeds:
        wrongs = wrongs_of(case, crossing, player, seed)
        if case.name in PENDING:
            assert wrongs, f"it passes: take it out of pending.py ({PENDING[case.name]})"
        else:
            assert not wrongs, "\n".join(wrongs)


def test_files_are_well_formed() -> None:
    for path in CASE_FILES:
        if path.exists():
            assert lint(str(path)) == 0


def test_pending_cases_exist() -> None:
    assert set(PENDING) <= {case.name for case in CASES}
