"""Prices of service tiers: what a call asks for when it is admitted is what it is held for and charged (money.md 1)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.processes import Gateway, Simulator

from .books import Customer, customer_of
from .conftest import priced
from .killing_workers import stopped_in_order

CHAT = "/v1/chat/completions"
TIERED = """
[models."tiered"]
prices = [
    { input = "1", output = "4" },
    { tier = "priority", input = "2", output = "8" },
    { tier = "flex", input = "0.5", output = "2" },
]

[models."translated"]
prices = [{ input = "1", output = "4" }, { tier = "flex", input = "0.5", output = "2" }]

[providers.translated]
base_url = "SIMULATOR"
key = "simulator-secret-key"
dialect = "anthropic_messages"
models = ["translated"]

[providers.tiers]
base_url = "SIMULATOR"
key = "simulator-secret-key"
wire = "exact"
models = ["tiered"]
"""
TIMES = {"priority": 4, "flex": 1, "default": 2, "auto": 2, None: 2}  # of half of the plain price


@pytest.fixture(scope="module")
def tiered(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    gateway = Gateway(session_folder, priced(simulator, models=TIERED.replace("SIMULATOR", simulator.base_url)))
    yield gateway
    stopped_in_order(gateway)


@pytest.fixture(scope="module")
def buyer(tiered: Gateway) -> Customer:
    return customer_of(tiered, "tiers", "10", "tiered")


@pytest.mark.parametrize("tier", TIMES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tier_is_held_for_and_charged(buyer: Customer, tier: str | None, stream: bool) -> None:
    asked = {} if tier is None else {"service_tier": tier}
    body = buyer.body({"output_tokens": 7}, stream=stream, max_tokens=100, **asked)
    quoted = buyer.ask("POST", "/v1/quote", {"path": CHAT, "body": body}).json()
    before = buyer.spent
    answer = buyer.ask("POST", CHAT, body)
    assert answer.status == 200
    record = buyer.record(answer.header("x-request-id"))
    usage = record["usage"]
    half_nano = 500 * usage["prompt_tokens"] + 2_000 * usage["completion_tokens"]
    assert buyer.spent - before == half_nano * TIMES[tier]
    [entry] = record["prices"]
    assert float(entry["output"]) == 2 * TIMES[tier]
    assert record["price_version"].endswith(f"@{tier}") == (tier in ("priority", "flex"))
    assert quoted["price_version"] == record["price_version"]


def test_a_tier_that_the_provider_is_not_told_is_not_charged(tiered: Gateway) -> None:
    buyer = customer_of(tiered, "untold", "10", "translated")
    answer = buyer.ask("POST", CHAT, buyer.body({"output_tokens": 7}, max_tokens=100, service_tier="flex"))
    assert answer.status == 200 and "service_tier" in (answer.header("x-faregate-dropped") or "")
    record = buyer.record(answer.header("x-request-id"))
    usage = record["usage"]
    assert buyer.spent == 1_000 * usage["prompt_tokens"] + 4_000 * usage["completion_tokens"]
    assert "@" not in record["price_version"]
