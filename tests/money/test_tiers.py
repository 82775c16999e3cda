"""Prices of service tiers: a call is held for by what it asks for and charged by what its answer names (money.md 1)."""

import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

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
models = ["tiered", "seen", "roomless"]
"""
# What clients speak, and what providers do: each of its wires, and all of them as clients of chat see them.
WIRES = {
    "openai_chat": ("/v1", 'dialect = "openai_chat"\nwire = "exact"'),
    "repaired": ("/v1", 'dialect = "openai_chat"'),
    "openai_responses": ("/v1", 'dialect = "openai_responses"\nwire = "exact"'),
    "anthropic_messages": ("/v1", 'dialect = "anthropic_messages"\nwire = "exact"'),
    "gemini_generate": ("/v1beta", 'dialect = "gemini_generate"\nwire = "exact"'),
    "bedrock": ("", 'kind = "bedrock"\nregion = "eu-west-1"'),
}
PRICES = """
[models."MODEL"]
prices = [
    { input = "1", output = "4" },
    { tier = "priority", input = "2", output = "8" },
    { tier = "flex", input = "0.5", output = "2" },
]
"""
OTHERS = (*WIRES, "seen", "roomless")
NATIVE = ("openai_chat", "openai_responses", "anthropic_messages", "gemini_generate")
TIMES = {"priority": 4, "flex": 1, "default": 2, "auto": 2, None: 2}  # of half of the plain price


@pytest.fixture(scope="module")
def tiered(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    tables = [TIERED.replace("SIMULATOR", simulator.base_url), *(PRICES.replace("MODEL", name) for name in OTHERS)]
    for name, (path, said) in WIRES.items():
        address = f"http://127.0.0.1:{simulator.port}{path}"
        tables.append(
            f'[providers."of-{name}"]\nkey = "secret-key"\nbase_url = "{address}"\nmodels = ["{name}"]\n{said}'
        )
    gateway = Gateway(session_folder, priced(simulator, models="\n".join(tables)))
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


@pytest.mark.parametrize(
    ("dialect", "asked", "tier"),
    [
        ("openai_chat", {"serviceTier": "flex"}, ""),
        ("openai_chat", {"serviceTier": "flex", "service_tier": "priority"}, "priority"),
        ("openai_responses", {"serviceTier": "flex"}, ""),
        ("anthropic_messages", {"serviceTier": "flex", "service_tier": "auto"}, ""),
        ("gemini_generate", {"serviceTier": "flex"}, "flex"),
        ("gemini_generate", {"service_tier": "flex"}, "flex"),
    ],
)
def test_what_another_dialect_calls_a_tier_asks_for_none(
    buyer: Customer, dialect: str, asked: dict[str, str], tier: str
) -> None:
    path, body = call_of(dialect, dialect, {}, stream=False)
    quoted = buyer.ask("POST", "/v1/quote", {"path": path, "body": body | asked}).json()
    assert quoted["price_version"].partition("@")[2] == tier


def half_nano(record: dict[str, Any]) -> int:
    """What a request costs at half of the plain price, by its own record."""
    usage = record["usage"]
    return 500 * usage["prompt_tokens"] + 2_000 * usage["completion_tokens"]


def call_of(dialect: str, model: str, plan: dict[str, Any], *, stream: bool) -> tuple[str, dict[str, Any]]:
    """A path and a body whose last words say what the simulator is to do."""
    words = f"hello #simulator {json.dumps(plan)}"
    if dialect == "gemini_generate":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        config = {"maxOutputTokens": 100}
        contents = [{"role": "user", "parts": [{"text": words}]}]
        return f"/v1beta/models/{model}:{verb}", {"contents": contents, "generationConfig": config}
    if dialect == "openai_responses":
        return "/v1/responses", {"model": model, "input": words, "stream": stream, "max_output_tokens": 100}
    path = "/v1/messages" if dialect == "anthropic_messages" else CHAT
    messages = [{"role": "user", "content": words}]
    return path, {"model": model, "messages": messages, "stream": stream, "max_tokens": 100}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("dialect", "model"), [*((name, name) for name in NATIVE), *(("openai_chat", name) for name in WIRES)]
)
def test_every_wire_tells_the_tier_that_served(buyer: Customer, dialect: str, model: str, stream: bool) -> None:
    dice = random.Random(f"{dialect} {model} {stream}")
    for tier, times in (
        ("priority", 4),
        ("flex", 1),
        ("default", 2),
        ("standard", 2),
        ("unheard-of", 2),
        (["flex"], 2),
    ):
        plan = {"output_tokens": 7, "service_tier": tier, "chunk_bytes": dice.randrange(1, 90)}
        before = buyer.spent
        answer = buyer.ask("POST", *call_of(dialect, model, plan, stream=stream))
        assert answer.status == 200, answer
        record = buyer.record(answer.header("x-request-id"))
        assert record["model"] == model and record["usage"]["source"] == "provider"
        assert buyer.spent - before == half_nano(record) * times, tier
        assert record["price_version"].partition("@")[2] == ("" if times == 2 else tier)
        assert [Decimal(entry["output"]) for entry in record["prices"]] == [2 * times]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "served", "times"),
    [
        ("flex", "default", 2),
        ("priority", "default", 2),
        ("priority", "flex", 1),
        ("priority", "ON_DEMAND_PRIORITY", 4),
        ("fast", "priority", 4),
        ("fast", "flex", 1),
        ("auto", "flex", 1),
        ("priority", "scale", 4),  # nobody has said what that costs
        ("priority", "auto", 4),
        ("flex", 7, 1),
        ("flex", {"name": "priority"}, 1),
        ("flex", "priority" * 100_000, 1),
        ("priority", 10**400, 4),
    ],
)
def test_what_the_answer_names_counts_and_what_it_does_not_changes_nothing(
    buyer: Customer, asked: str, served: object, times: int, stream: bool
) -> None:
    plan = {"output_tokens": 7, "service_tier": served}
    before = buyer.spent
    answer = buyer.ask("POST", CHAT, buyer.body(plan, stream=stream, max_tokens=100, service_tier=asked))
    record = buyer.record(answer.header("x-request-id"))
    assert answer.status == 200 and buyer.spent - before == half_nano(record) * times
    assert Decimal(record["cost"]) <= Decimal(record["held"])


def test_a_call_that_takes_any_tier_is_held_for_by_the_dearest(buyer: Customer) -> None:
    held = {
        tier: Decimal(buyer.ask("POST", "/v1/quote", {"path": CHAT, "body": {**body, **asked}}).json()["held"])
        for tier, asked in ((tier, {} if tier is None else {"service_tier": tier}) for tier in (*TIMES, "standard"))
        for body in [buyer.body(max_tokens=100)]
    }
    assert held["auto"] == 2 * held["flex"]  # names of one length: the bytes of a body are held for too
    assert held["priority"] == 2 * held["standard"]
    assert held["flex"] <= held["default"] <= held["standard"]  # a flex call may have to be served as any other


def test_what_a_provider_was_seen_to_serve_unasked_is_held_for_afterwards(tiered: Gateway) -> None:
    buyer = customer_of(tiered, "seen", "10", "seen")
    plan = {"output_tokens": 7, "service_tier": "priority"}
    first, second = (buyer.record(buyer.chat(plan, max_tokens=100).header("x-request-id")) for _ in range(2))
    assert Decimal(second["held"]) == 2 * Decimal(first["held"])
    strict = buyer.record(buyer.chat(plan, max_tokens=100, service_tier="default").header("x-request-id"))
    assert Decimal(strict["held"]) < Decimal("1.1") * Decimal(first["held"])
    assert first["cost"] == second["cost"] == strict["cost"]
    buyer.books.in_order()


def test_what_is_served_above_the_hold_takes_what_is_free_and_no_more(tiered: Gateway) -> None:
    buyer = customer_of(tiered, "roomless", "0.0006", "roomless")
    plan = {"output_tokens": 100, "service_tier": "priority", "ignore_max_tokens": True}
    answer = buyer.chat(plan, max_tokens=100)
    assert answer.status == 200
    reservation = buyer.settled(answer.header("x-request-id"))
    assert reservation.hold < 600_000 < reservation.cost
    assert reservation.charged == 600_000 and buyer.balance == 0


@pytest.mark.parametrize("stream", [False, True])
def test_the_head_of_a_gemini_answer_tells_it_too(buyer: Customer, stream: bool) -> None:
    plan = {"output_tokens": 7, "headers": {"x-gemini-service-tier": "flex"}}
    before = buyer.spent
    answer = buyer.ask("POST", *call_of("gemini_generate", "gemini_generate", plan, stream=stream))
    record = buyer.record(answer.header("x-request-id"))
    assert record["price_version"].endswith("@flex") and buyer.spent - before == half_nano(record)
