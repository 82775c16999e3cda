"""Fixtures that every test may use: real processes, one of each a session, and more where a test wants its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway, Simulator, simulated
from tests.running.upstreams import Upstream


@pytest.fixture(scope="session")
def session_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="session")
def simulator(session_folder: Path) -> Iterator[Simulator]:
    """A simulator for the session."""
    process = Simulator(session_folder)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def scripted() -> Iterator[Upstream]:
    """An upstream that follows a script."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def gateway(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """A gateway in front of the simulator, whose wire it takes as exact."""
    process = Gateway(session_folder, simulated(simulator))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def compatible_gateway(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """A gateway in front of the simulator, whose wire it parses and repairs."""
    process = Gateway(session_folder, simulated(simulator, wire="compatible"))
    yield process
    process.stop()
