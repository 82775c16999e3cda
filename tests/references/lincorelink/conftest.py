"""A gateway that wears the lincorelink house, and who calls it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import COMMANDS, LineProcess
from tests.money.books import Customer
from tests.running.client import last_entry
from tests.running.processes import Gateway, Simulator

from ..front import Front
from .house import FLASH, PRO


@pytest.fixture(scope="package")
def front(session_folder: Path, simulator: Simulator) -> Iterator[Front]:
    """The house before a host that speaks as OpenAI does, to the byte."""
    config = f"""
house = "lincorelink"

[ledger]
demo_credit = "1"

[providers.host]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["{FLASH}", "{PRO}"]
"""
    gateway = Gateway(session_folder, config)
    yield Front(gateway, FLASH)
    gateway.stop()


@pytest.fixture(scope="package")
def basic(front: Front) -> Customer:
    return front.customer()


@pytest.fixture(scope="package")
def pro(front: Front) -> Customer:
    return front.customer("pro")


@pytest.fixture(scope="package")
def node() -> Iterator[LineProcess]:
    process = LineProcess(COMMANDS["node-newest"], "node-newest")
    yield process
    process.stop()


@pytest.fixture
def heard(simulator: Simulator) -> Callable[[], list[dict[str, Any]]]:
    """What the provider has heard of since the test began."""
    since = last_entry(simulator)
    return lambda: simulator.get(f"/simulator/truth?since={since}")["entries"]
