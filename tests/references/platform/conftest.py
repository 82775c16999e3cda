"""A gateway that wears the platform house, and who calls it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import COMMANDS, LineProcess
from tests.money.books import Customer
from tests.running.processes import ENOUGH, Gateway, Simulator

from ..front import Front


@pytest.fixture(scope="package")
def front(session_folder: Path, simulator: Simulator) -> Iterator[Front]:
    """The house before providers of three wires, with the models that the document names."""
    vendors = {
        "openai": ("openai_chat", "", ["gpt-4o", "gpt-4o-mini", "dall-e-3"]),
        "anthropic": ("anthropic_messages", "", ["claude-sonnet-4-20250514"]),
        "google": ("gemini_generate", "beta", ["gemini-2.5-pro", "gemini-2.5-flash"]),
        "deepseek": ("openai_chat", "", ["deepseek-v4-pro"]),
    }
    tables = [
        f"""
[providers.{name}]
base_url = "{simulator.base_url}{more}"
key = "simulator-secret-key"
dialect = "{dialect}"
models = {models}
"""
        for name, (dialect, more, models) in vendors.items()
    ]
    gateway = Gateway(session_folder, f'house = "platform"\n{ENOUGH}{"".join(tables)}')
    yield Front(gateway, "gpt-4o")
    gateway.stop()


@pytest.fixture(scope="package")
def payer(front: Front) -> Customer:
    """Of the plan without limits, so that no test is in another's way."""
    return front.customer("enterprise")


@pytest.fixture(scope="package")
def node() -> Iterator[LineProcess]:
    process = LineProcess(COMMANDS["node-newest"], "node-newest")
    yield process
    process.stop()
