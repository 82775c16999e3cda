"""A gateway whose providers are the simulator under Azure's paths and under Vertex's."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.client import Caller
from tests.running.processes import Gateway, Simulator

from .authority import CLIENT_SECRET, Authority, service_account

VERSION = "2024-10-21"


def entra(authority: Authority) -> str:
    """The keys of Entra ID's client credentials."""
    return (
        f'tenant = "tenant"\nclient_id = "client"\nclient_secret = "{CLIENT_SECRET}"\ntoken_url = "{authority.url}"\n'
    )


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture(scope="session")
def hosted(session_folder: Path, simulator: Simulator, authority: Authority) -> Iterator[Gateway]:
    """One provider for each form."""
    address = f"http://127.0.0.1:{simulator.port}"
    account = service_account(session_folder, authority.url)
    process = Gateway(
        session_folder,
        f"""
[providers.azure]
base_url = "{address}"
key = "azure-api-key"
api_version = "{VERSION}"
models = ["gpt-5.4", "late-async"]

[providers.azure-v1]
kind = "azure"
base_url = "{address}/openai/v1/"
{entra(authority)}
models = ["gpt-5.4-mini"]

[providers.vertex]
base_url = "{address}"
project = "acme.com:shop"
location = "europe-west4"
credentials_file = "{account}"
models = ["gemini-2.5-flash", "gemini-3-flash-preview"]

[[routes]]
model = "renamed"
provider = "azure"
upstream_model = "our gpt"

[[routes]]
model = "renamed-v1"
provider = "azure-v1"
upstream_model = "our-gpt"
""",
    )
    yield process
    process.stop()
    crashes = [line for line in process.log_lines() if line.get("event") in ("crash", "background_crash")]
    assert not crashes, crashes[0]


@pytest.fixture
def caller(hosted: Gateway) -> Caller:
    return Caller(hosted, model="gpt-5.4")
