"""A gateway for each reference, in its house, in front of the simulator."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream

PROVIDER = """
[providers.{name}]
base_url = "{base_url}"
key = "simulator-secret-key"
wire = "exact"
"""


@pytest.fixture(scope="session")
def house(session_folder: Path, simulator: Simulator) -> Iterator[Callable[..., Gateway]]:
    """Starts a gateway in a house, whose models the simulator serves, and stops it in the end."""
    started: list[Gateway] = []

    def start(name: str, models: list[str], more: str = "", environment: dict[str, str] | None = None) -> Gateway:
        provider = PROVIDER.format(name="sim", base_url=simulator.base_url)
        config = f'house = "{name}"\n{more}\n{provider}models = {models}\n'
        started.append(Gateway(session_folder, config, environment))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def idclinks(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """claude-sonnet-4-6 in three regions, of which eu-fra keeps nothing; everything else in us-east, but that ap-sg has
    qwen3-max too, from the scripted upstream."""
    regions = "".join(
        PROVIDER.format(name=region, base_url=simulator.base_url)
        + f'region = "{region}"\nreplica = "{region}-1"\nzero_retention = {"true" if region == "eu-fra" else "false"}\n'
        + (f"models = {IDCLINKS_MODELS}\n" if region == "us-east" else "models = []\n")
        for region in ("us-east", "eu-fra", "ap-sg")
    )
    routes = "".join(
        f'[[routes]]\nmodel = "claude-sonnet-4-6"\nprovider = "{region}"\nweight = {weight}\n'
        f'upstream_model = "claude-sonnet-4-6-{region}"\n'
        for region, weight in (("us-east", 1), ("eu-fra", 0), ("ap-sg", 0))
    )
    script = PROVIDER.format(name="scripted", base_url=scripted.base_url) + 'region = "ap-sg"\nmodels = []\n'
    routes += "".join(
        f'[[routes]]\nmodel = "qwen3-max"\nprovider = "{provider}"\nweight = {weight}\n'
        for provider, weight in (("us-east", 1), ("scripted", 0))
    )
    process = Gateway(session_folder, f'house = "idclinks"\n{regions}{script}{routes}')
    yield process
    process.stop()


IDCLINKS_MODELS = [
    "gemini-3.1-pro-preview",
    "gpt-5.5",
    "claude-opus-4-7",
    "gpt-5.4-mini",
    "gemini-3-flash-preview",
    "llama-4-maverick",
    "deepseek-v4-flash",
    "phi-4",
    "gpt-4o",
    "command-r-plus-08-2024",
    "mistral-large-2512",
]


@pytest.fixture(scope="session")
def multimodal(house: Callable[..., Gateway]) -> Gateway:
    """The multimodal house."""
    return house("multimodal", ["gpt-4o", "claude-sonnet-4-6", "phi-4"])


@pytest.fixture(scope="session")
def apilink(house: Callable[..., Gateway]) -> Gateway:
    """The apilink house."""
    return house("apilink", ["claude-sonnet-4-5", "gpt-4o", "gpt-4o-mini", "deepseek-v4-flash", "phi-4"])


@pytest.fixture(scope="session")
def netted(house: Callable[..., Gateway]) -> Gateway:
    """All three houses under one roof, with the nets that other tests do without; clients' addresses are what
    `x-forwarded-for` says."""
    more = """
[[houses]]
house = "multimodal"
base_path = "/multimodal"
[[houses]]
house = "apilink"
base_path = "/apilink"
[server]
trusted_proxies = ["127.0.0.1"]
"""
    return house("idclinks", ["gpt-4o"], more, {"FAREGATE_LIMITS_ADDRESS_NET": "true"})
