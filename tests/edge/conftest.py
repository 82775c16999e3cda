"""Callers of the session's gateways, and a gateway that has what the others leave off."""

import itertools
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.edge import embedding
from tests.running.client import Caller, last_entry
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, refused_port

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="session")
def special(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """Origins, a proxy that is believed, quick comments, records that stay in memory, and renamed models."""
    process = Gateway(
        session_folder,
        f"""
[server]
cors_origins = ["{ORIGIN}"]
trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
region = "eu-test"

[limits]
keep_alive_comment_s = 0.3
longest_request_s = 3.0

[usage]
flush_interval_s = 10.0

[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["test-model"]
region = "eu-sim"
replica = "pool-a"

[providers.raw]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["scripted", "vendor/scripted-2"]

[[routes]]
model = "renamed"
provider = "sim"
upstream_model = "upstream-name"

[[routes]]
model = "renamed-raw"
provider = "raw"
upstream_model = "scripted-upstream"

[aliases]
"nick/name" = "test-model"
""",
    )
    yield process
    process.stop()


@pytest.fixture(scope="session")
def limited(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """The simulator on each of its wires, a provider that is down, and one that follows a script."""
    wires = "".join(
        f"""
[providers.{dialect}]
base_url = "http://127.0.0.1:{simulator.port}{path}"
key = "simulator-secret-key"
dialect = "{dialect}"
wire = "exact"
models = ["{dialect}"]
"""
        for dialect, path in (
            ("openai_chat", "/v1"),
            ("anthropic_messages", "/v1"),
            ("gemini_generate", "/v1beta"),
            ("openai_responses", "/v1"),
        )
    )
    process = Gateway(
        session_folder,
        f"""
[limits]
unauthenticated_per_address_max = 2000

{wires}
[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
models = ["test-model", "strange-model"]

[providers.raw]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["scripted"]

[providers.down]
base_url = "http://127.0.0.1:{refused_port()}/v1"
key = "down-secret-key"
models = ["down-model"]

[models.hasty]
longest_request_s = 0.5

[[routes]]
model = "hasty"
provider = "sim"
upstream_model = "test-model"

[[routes]]
model = "second-try"
provider = "down"
upstream_model = "down-model"
weight = 1000000

[[routes]]
model = "second-try"
provider = "sim"
upstream_model = "test-model"
weight = 0
""",
    )
    yield process
    process.stop()


@pytest.fixture(scope="session")
def embedder(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """Has texts embedded, by a provider of each kind."""
    process = Gateway(session_folder, embedding.configuration(simulator, scripted))
    yield process
    assert not [line for line in process.log_lines() if line.get("event") == "crash"]
    process.stop()


@pytest.fixture
def embeds(embedder: Gateway) -> Caller:
    return Caller(embedder)


@pytest.fixture
def caller(gateway: Gateway) -> Caller:
    """The session's gateway, whose settings are the defaults."""
    return Caller(gateway)


@pytest.fixture
def special_caller(special: Gateway) -> Caller:
    return Caller(special)


@pytest.fixture
def since(simulator: Simulator) -> int:
    """The truth log's last entry before the test."""
    return last_entry(simulator)


def command_json(gateway: Gateway, *arguments: str) -> Any:
    """What a command answers with `--json`."""
    done = gateway.command(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def tenant(gateway: Gateway) -> Callable[..., Caller]:
    """Makes a key and gives its caller: in a project that all tests share, or in an organisation `apart`."""
    numbers = itertools.count()

    def project_of(organisation: str) -> str:
        command_json(gateway, "orgs", "create", organisation, "--metered")
        return command_json(gateway, "projects", "create", "project", "--org", organisation)[0]["id"]

    shared = project_of("shared")

    def make(*arguments: str, apart: bool = False) -> Caller:
        name = f"tenant-{next(numbers)}"
        project = project_of(name) if apart else shared
        return Caller(gateway, command_json(gateway, "keys", "create", name, "--project", project, *arguments)["key"])

    return make


@pytest.fixture
def key() -> dict[str, str]:
    """A fresh idempotency key, as headers."""
    return {"idempotency-key": f"order-{uuid.uuid4()}"}


@pytest.fixture
def customer(tenant: Callable[..., Caller]) -> Caller:
    """A caller of its own, whose records can be counted."""
    return tenant()
