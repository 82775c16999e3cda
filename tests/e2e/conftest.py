"""The matrix: every SDK against every upstream."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway, Simulator

from .processes import COMMANDS, Aimock, LineProcess, Upstream, aimock_config, require_tools
from .scenarios import Sdk

SDKS = list(COMMANDS)
ASYNC_SDKS = ["python-newest-async", "python-previous-async"]
SIMULATED = ["simulator-exact", "simulator-compatible"]
UPSTREAMS = [*SIMULATED, "aimock-exact", "aimock-compatible"]


@pytest.fixture(scope="session", autouse=True)
def tools() -> None:
    """All that these tests drive is installed."""
    require_tools()


@pytest.fixture(scope="session")
def sdk_process(tools: None) -> Iterator[Callable[[str], LineProcess]]:
    """The process of an SDK by name; each is started once."""
    started: dict[str, LineProcess] = {}

    def process(name: str) -> LineProcess:
        if name not in started:
            started[name] = LineProcess(COMMANDS[name], name)
        return started[name]

    yield process
    for each in started.values():
        each.stop()


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest, sdk_process: Callable[[str], LineProcess]) -> Sdk:
    """Each SDK in turn."""
    return Sdk(request.param, sdk_process(request.param))


@pytest.fixture(params=[*SDKS, *ASYNC_SDKS])
def any_client(request: pytest.FixtureRequest, sdk_process: Callable[[str], LineProcess]) -> Sdk:
    """Each SDK in turn, and the asynchronous clients of Python's."""
    name = request.param.removesuffix("-async")
    return Sdk(request.param, sdk_process(name), is_async=name != request.param)


@pytest.fixture(params=[*ASYNC_SDKS, "node-newest", "node-previous"])
def async_client(request: pytest.FixtureRequest, sdk_process: Callable[[str], LineProcess]) -> Sdk:
    """Each client that does many things at once."""
    name = request.param.removesuffix("-async")
    return Sdk(request.param, sdk_process(name), is_async=name != request.param)


@pytest.fixture(scope="session")
def aimock(tools: None) -> Iterator[Aimock]:
    """The second upstream."""
    process = Aimock()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def aimock_gateways(session_folder: Path, aimock: Aimock) -> Iterator[dict[str, Gateway]]:
    """Gateways in front of aimock, by what they take its wire for."""
    processes = {wire: Gateway(session_folder, aimock_config(aimock, wire)) for wire in ("exact", "compatible")}
    yield processes
    for process in processes.values():
        process.stop()


@pytest.fixture(scope="session")
def upstreams(
    simulator: Simulator,
    gateway: Gateway,
    compatible_gateway: Gateway,
    aimock: Aimock,
    aimock_gateways: dict[str, Gateway],
) -> dict[str, Upstream]:
    """All four."""
    return {
        "simulator-exact": Upstream("simulator", "exact", gateway, simulator),
        "simulator-compatible": Upstream("simulator", "compatible", compatible_gateway, simulator),
        "aimock-exact": Upstream("aimock", "exact", aimock_gateways["exact"], aimock),
        "aimock-compatible": Upstream("aimock", "compatible", aimock_gateways["compatible"], aimock),
    }


@pytest.fixture(params=UPSTREAMS)
def upstream(request: pytest.FixtureRequest, upstreams: dict[str, Upstream]) -> Upstream:
    """Each upstream in turn."""
    return upstreams[request.param]


@pytest.fixture(params=SIMULATED)
def simulated_upstream(request: pytest.FixtureRequest, upstreams: dict[str, Upstream]) -> Upstream:
    """The simulator, both ways: what only it can do."""
    return upstreams[request.param]


@pytest.fixture
def exact(upstreams: dict[str, Upstream]) -> Upstream:
    """The simulator taken as exact: what does not depend on the upstream."""
    return upstreams["simulator-exact"]
