"""A gateway with its deadlines at a tenth, in front of the simulator and of an upstream that follows a script."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults import wards
from tests.running.client import Caller, last_entry
from tests.running.processes import Gateway, Simulator, simulated
from tests.running.upstreams import Upstream, refused_port

BODY_BYTES_MAX = 4 * 1024 * 1024
LONGEST_S = 6.0
TENTHS = f"""
[limits]
head_timeout_s = 1.0
body_progress_timeout_s = 3.0
keep_alive_timeout_s = 7.5
write_timeout_s = 3.0
linger_timeout_s = 0.5
longest_request_s = {LONGEST_S}
json_body_bytes_max = {BODY_BYTES_MAX}

[deadlines]
connect_timeout_s = 0.5
first_byte_timeout_s = 3.0
idle_timeout_s = 3.0
"""


def providers(simulator: Simulator, scripted: Upstream) -> str:
    """`test-model` is the simulator's; `scripted` and `repaired` follow the script, as exact and as compatible wire;
    `first-dead` and `second-try` have two targets, of which the first fails or is asked to."""
    return f"""
[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["test-model"]

[providers.compat]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
models = ["compat-model"]

[providers.raw]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["scripted"]

[providers.raw-compatible]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
models = ["repaired"]

[providers.dead]
base_url = "http://127.0.0.1:{refused_port()}/v1"
key = "dead-secret-key"
wire = "exact"
models = ["dead-model"]

[[routes]]
model = "first-dead"
provider = "dead"
weight = 1000000

[[routes]]
model = "first-dead"
provider = "sim"
upstream_model = "test-model"
weight = 0

[[routes]]
model = "second-try"
provider = "sim"
upstream_model = "troubled"
weight = 1000000

[[routes]]
model = "second-try"
provider = "sim"
upstream_model = "healthy"
weight = 0

[[routes]]
model = "script-first"
provider = "raw"
weight = 1000000

[[routes]]
model = "script-first"
provider = "sim"
upstream_model = "healthy"
weight = 0
"""


@pytest.fixture(scope="session")
def scaled(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """The gateway with deadlines at a tenth."""
    process = Gateway(session_folder, TENTHS + providers(simulator, scripted))
    yield process
    process.stop()


@pytest.fixture
def patient(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Caller]:
    """The same, but for the longest request, which a busy machine would come to first. Its demo key, known to it."""
    patience = TENTHS.replace(f"longest_request_s = {LONGEST_S}", "longest_request_s = 60.0")
    process = Gateway(session_folder, patience + providers(simulator, scripted))
    known = Caller(process)
    assert known.get("/v1/models").status == 200
    yield known
    process.stop()


@pytest.fixture
def bodies_gateway(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """A gateway that holds two megabytes of bodies."""
    process = Gateway(session_folder, simulated(simulator, more="[limits]\nbodies_bytes_max = 2097152"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def failing() -> Iterator[Upstream]:
    """All providers of the two gateways that leave failing targets alone, but for the simulator."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def steady_gateway(session_folder: Path, simulator: Simulator, failing: Upstream) -> Iterator[Gateway]:
    """A gateway that tries nobody again that is ejected."""
    process = Gateway(session_folder, wards.tables(simulator, failing), wards.STEADY)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def swift_gateway(session_folder: Path, simulator: Simulator, failing: Upstream) -> Iterator[Gateway]:
    """A gateway that soon tries again whoever is ejected."""
    process = Gateway(session_folder, wards.tables(simulator, failing), wards.SWIFT)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def unused() -> list[str]:
    """Providers that no test has had."""
    return wards.PROVIDERS[2:]


@pytest.fixture
def steady(steady_gateway: Gateway, unused: list[str], failing: Upstream) -> wards.Ward:
    return wards.Ward(steady_gateway, unused.pop(), failing)


@pytest.fixture
def swift(swift_gateway: Gateway, unused: list[str], failing: Upstream) -> wards.Ward:
    return wards.Ward(swift_gateway, unused.pop(), failing)


@pytest.fixture
def caller(scaled: Gateway) -> Caller:
    """Its demo key, known to the gateway."""
    known = Caller(scaled)
    assert known.get("/v1/models").status == 200
    return known


@pytest.fixture
def since(simulator: Simulator) -> int:
    """The truth log's last entry before the test."""
    return last_entry(simulator)


def rss_bytes(pid: int) -> int:
    """The resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_rss_bytes(pid: int) -> int:
    """The most resident memory that a process has had since `forget_peak`."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def forget_peak(pid: int) -> int:
    """Start the peak anew; the present resident memory."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return rss_bytes(pid)


def cpu_s(pid: int) -> float:
    """The CPU time that a process has used, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
