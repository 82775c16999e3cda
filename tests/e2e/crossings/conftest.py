"""One gateway for all crossings, and each SDK in turn."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.official import CLIENTS
from tests.e2e.official.chat import Chat
from tests.e2e.official.question import Said
from tests.running.processes import Gateway, Simulator

from .crossing import AWS, Crossing, settings_of


@pytest.fixture(scope="session")
def crossing_gateway(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """One provider for each dialect, all of them the simulator."""
    process = Gateway(session_folder, settings_of(simulator), AWS)
    yield process
    process.stop()
    crashes = [line for line in process.log_lines() if line.get("event") == "crash"]
    assert not crashes, f"{len(crashes)} crashes, the first of them: {crashes[0]}"


@pytest.fixture(scope="session")
def origin(crossing_gateway: Gateway) -> str:
    """Where the gateway is."""
    return crossing_gateway.base_url.removesuffix("/v1")


@pytest.fixture(scope="session")
def direct(simulator: Simulator) -> Iterator[Chat]:
    """OpenAI's SDK before the simulator."""
    client = Chat(simulator.base_url.removesuffix("/v1"), "key")
    yield client
    client.close()


@pytest.fixture(scope="session")
def heard() -> dict[str, Said]:
    """What the simulator has said to it; it says the same each time."""
    return {}


@pytest.fixture(scope="session", params=CLIENTS)
def crossing(
    request: pytest.FixtureRequest,
    crossing_gateway: Gateway,
    origin: str,
    simulator: Simulator,
    direct: Chat,
    heard: dict[str, Said],
) -> Iterator[Crossing]:
    """Each SDK in turn."""
    client = CLIENTS[request.param](origin, crossing_gateway.key)
    yield Crossing(client, direct, simulator, heard)
    client.close()
