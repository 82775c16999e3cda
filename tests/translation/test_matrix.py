"""Every client before every provider: see matrix.py."""

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import DIALECTS, UPSTREAMS, Case
from .judging import wrongs_of
from .matrix import WANTS, matrix_cases

CASES = matrix_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, crossing: Gateway, player: Upstream) -> None:
    wrongs = wrongs_of(case, crossing, player)
    assert not wrongs, "\n".join(wrongs)


def test_every_pair_has_every_want() -> None:
    """What a client or a provider cannot say at all is left out on one side; no pair is left out by mistake."""
    pairs = {(case.client, case.upstream) for case in CASES}
    assert pairs == {(client, upstream) for client in DIALECTS for upstream in UPSTREAMS}
    assert len(CASES) > 16 * len(WANTS)
