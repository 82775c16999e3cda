"""A gateway whose prices the tests know, in front of the simulator and of an upstream that follows a script."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running.client import last_entry
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, refused_port

from .books import RATES, Books, Customer, customer_of

LIMITS = """
[limits]
longest_request_s = 5.0
unauthenticated_per_address_max = 2000

[deadlines]
connect_timeout_s = 1.0
idle_timeout_s = 10.0
first_byte_timeout_s = 10.0
"""


def priced(simulator: Simulator, more: str = LIMITS, models: str = "") -> str:
    """`test-model` costs RATES and `flat` $0.0009 a call; nobody has priced `unpriced`."""
    return f"""
{more}

[ledger]
demo_credit = "100"

[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["test-model", "flat", "unpriced"]

[models."test-model"]
price = {{ {RATES} }}

[models."flat"]
price = {{ input = "0", output = "0", request = "0.0009" }}
{models}
"""


def more_models(simulator: Simulator, scripted: Upstream) -> str:
    """The same price by other ways: repaired, scripted, with a second target, and with a small answer at most."""
    return f"""
[models."short"]
max_output_tokens = 100
price = {{ {RATES} }}

[models."long"]
max_output_tokens = 50000
price = {{ {RATES} }}

[models."repaired"]
price = {{ {RATES} }}

[models."scripted"]
price = {{ {RATES} }}

[models."second-try"]
price = {{ {RATES} }}

[providers.more]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["short", "long"]

[providers.compat]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
models = ["repaired"]

[providers.raw]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["scripted"]

[providers.dead]
base_url = "http://127.0.0.1:{refused_port()}/v1"
key = "dead-secret-key"
wire = "exact"
models = ["dead"]

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
"""


@pytest.fixture(scope="session")
def till(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """The gateway. In the end its books are in order and nothing is leased."""
    gateway = Gateway(session_folder, priced(simulator, models=more_models(simulator, scripted)))
    yield gateway
    assert gateway.stop() == 0
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0


@pytest.fixture(scope="session")
def customer(till: Gateway) -> Callable[..., Customer]:
    """Makes customers of the gateway."""
    numbers = itertools.count()

    def make(credit: str | None = "100", model: str = "test-model", *, metered: bool = False) -> Customer:
        return customer_of(till, f"customer-{next(numbers)}", credit, model, metered=metered)

    return make


@pytest.fixture
def since(simulator: Simulator) -> int:
    """The truth log's last entry before the test."""
    return last_entry(simulator)
