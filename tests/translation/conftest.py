"""One gateway for all cases, in front of a provider that plays them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from .cases import CASE_FILES, cases_of
from .matrix import matrix_cases
from .serving import settings_for


@pytest.fixture(scope="session")
def player() -> Iterator[Upstream]:
    """The provider that plays the cases."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def crossing(session_folder: Path, player: Upstream) -> Iterator[Gateway]:
    """The gateway that all cases are put to."""
    cases = [case for path in CASE_FILES if path.exists() for case in cases_of(path)]
    process = Gateway(session_folder, settings_for(cases + matrix_cases(), player))
    yield process
    process.stop()
    crashes = [line for line in process.log_lines() if line.get("event") == "crash"]
    assert not crashes, f"{len(crashes)} crashes, the first of them: {crashes[0]}"
