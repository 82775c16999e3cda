"""Gateways that store answers."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway, Simulator, simulated

from .stored import STORED


@pytest.fixture
def start(session_folder: Path, simulator: Simulator) -> Iterator[Callable[..., Gateway]]:
    """Starts gateways that store answers, or are set up otherwise."""
    started: list[Gateway] = []

    def begin(more: str = STORED) -> Gateway:
        started.append(Gateway(session_folder, simulated(simulator, more=more)))
        return started[-1]

    yield begin
    for gateway in started:
        gateway.stop()
