"""One gateway before aimock on four wires, and each SDK in turn."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.official import CLIENTS
from tests.e2e.processes import Aimock
from tests.running.processes import Gateway

from .asking import UPSTREAMS, Asking

REPLIES = Path(__file__).parent / "replies.json"


@pytest.fixture(scope="session")
def strict_aimock(tools: None) -> Iterator[Aimock]:
    """aimock, strict."""
    process = Aimock(REPLIES, is_strict=True)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def strict_gateway(session_folder: Path, strict_aimock: Aimock) -> Iterator[Gateway]:
    """One provider for each dialect, all of them aimock; OpenAI's chat both as it is and as a host that may not be."""
    origin = strict_aimock.base_url.removesuffix("/v1")
    config = "\n".join(
        f'[providers.{name}]\nbase_url = "{origin}{each.path}"\nkey = "aimock-secret-key"\n'
        f'dialect = "{each.dialect}"\nwire = "{each.wire}"\nmodels = ["{each.model}"]\n'
        for name, each in UPSTREAMS.items()
    )
    process = Gateway(session_folder, config)
    yield process
    process.stop()
    crashes = [line for line in process.log_lines() if line.get("event") == "crash"]
    assert not crashes, f"{len(crashes)} crashes, the first of them: {crashes[0]}"


@pytest.fixture(scope="session", params=CLIENTS)
def asking(request: pytest.FixtureRequest, strict_gateway: Gateway, strict_aimock: Aimock) -> Iterator[Asking]:
    """Each SDK in turn."""
    client = CLIENTS[request.param](strict_gateway.base_url.removesuffix("/v1"), strict_gateway.key)
    yield Asking(client, strict_aimock, json.loads(REPLIES.read_bytes()))
    client.close()
