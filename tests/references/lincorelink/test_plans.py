"""The lincorelink document on models, plans and money, on the wire of a gateway that wears this house."""

import sys
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.money.books import Customer
from tests.running.client import CHAT, HELLO, eventually
from tests.running.processes import Simulator

from ..front import Front, unquoted
from .house import CAPS, DOCUMENT, FLASH, PRO, id_of, limits_of, sdk_of, sent


def test_every_test_quotes_the_document() -> None:
    """'API documentation' is its first line."""
    assert not unquoted(sys.modules[__name__], DOCUMENT)


# Models and plans


@pytest.mark.contract("1.9", "6.5")
@pytest.mark.parametrize(("plan", "models"), [("basic", [FLASH]), ("pro", [FLASH, PRO]), ("max", [FLASH, PRO])])
def test_models(front: Front, plan: str, models: list[str]) -> None:
    """'List the model IDs available to your account.'"""
    customer = front.customer(plan)
    with sdk_of(customer) as sdk:
        listed = list(sdk.models.list())
    assert [model.id for model in listed] == models
    assert {model.owned_by for model in listed} == {"deepseek"}
    for model in (FLASH, PRO):
        answer = customer.chat(model=model)
        if model in models:
            assert answer.status == 200
        else:
            assert (answer.status, answer.error["code"]) == (403, "model_not_available")


@pytest.mark.contract("6.8")
@pytest.mark.parametrize("bought", [None, "5"])
def test_the_default_plan(front: Front, bought: str | None) -> None:
    """'Available on every plan, including Basic.'"""
    customer = front.customer(bought=bought, promo="5")
    assert customer.chat().status == 200  # Free is the plan's fee, not its usage
    assert customer.chat(model=PRO).error["code"] == "model_not_available"
    assert limits_of(front, customer)["plan"] == "basic"


@pytest.mark.contract("6.3")
@pytest.mark.parametrize(
    ("plan", "concurrency", "daily"), [("basic", 10, 100_000_000), ("pro", 20, None), ("max", 20, None)]
)
def test_the_table_of_plans(front: Front, plan: str, concurrency: int, daily: int | None) -> None:
    """'Plan | Context | Max output | Concurrency | Daily tokens'"""
    shown = limits_of(front, front.customer(plan))
    assert (shown["context_tokens_max"], shown["output_tokens_max"]) == CAPS[plan]
    bounds = {(each["counted"], each["subject"]): each["limit"] for each in shown["bounds"]}
    expected = {("concurrency", "organisation"): concurrency}
    assert bounds == (expected if daily is None else {**expected, ("daily_tokens", "organisation"): daily})


@pytest.mark.contract("6.4", "9")
@pytest.mark.parametrize("stream", [False, True])
def test_input_over_the_context_cap(basic: Customer, heard: Callable[[], list[dict[str, Any]]], stream: bool) -> None:
    """'A request whose input exceeds the context cap is rejected before it reaches the provider'"""
    balance = basic.balance
    messages = [{"role": "user", "content": "word " * 1_000_000}]
    answer = basic.ask("POST", CHAT, basic.body(messages=messages, stream=stream))
    assert (answer.status, answer.error["code"]) == (413, "context_length_exceeded")
    assert answer.error["type"] == "invalid_request_error"
    assert not heard() and basic.balance == balance


@pytest.mark.contract("6.3", "6.4")
def test_a_larger_plan_takes_more_input(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'Per-request context and output caps, concurrency, and any daily token cap depend on your plan.'"""
    messages = [{"role": "user", "content": "word " * 170_000}]  # more than Basic's, less than Pro's
    statuses = {plan: front.customer(plan).chat({"output_tokens": 1}, messages=messages).status for plan in CAPS}
    assert statuses == {"basic": 413, "pro": 200, "max": 200}
    assert len(heard()) == 2


@pytest.mark.contract("6.4", "4.7")
@pytest.mark.parametrize("plan", CAPS)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_output_is_clamped(front: Front, simulator: Simulator, plan: str, name: str) -> None:
    """'max_tokens is clamped to your output cap'"""
    customer = front.customer(plan)
    cap = CAPS[plan][1]
    answer = customer.chat({"output_tokens": 3}, **{name: 200_000})
    assert (answer.status, sent(simulator)[name]) == (200, cap)
    assert answer.header("x-faregate-adjusted") == f"{name}={cap}"
    answer = customer.chat({"output_tokens": 3}, **{name: cap})
    assert sent(simulator)[name] == cap and "x-faregate-adjusted" not in answer.names
    customer.chat({"output_tokens": 3})
    said = sent(simulator)
    assert [said[each] for each in ("max_tokens", "max_completion_tokens") if each in said] == [cap]


@pytest.mark.contract("6.4")
def test_both_members_are_clamped(basic: Customer, simulator: Simulator) -> None:
    """'Clamped to your plan's output cap (see Rate limits & tiers).'"""
    basic.chat({"output_tokens": 3}, max_completion_tokens=5, max_tokens=200_000)
    told = sent(simulator)
    assert (told["max_completion_tokens"], told["max_tokens"]) == (5, 32_768)


@pytest.mark.contract("6.3", "4.5", "9")
@pytest.mark.parametrize(("plan", "most"), [("basic", 10), ("pro", 20)])
def test_concurrency(front: Front, plan: str, most: int) -> None:
    """'Too many requests / concurrency or daily cap reached. Honour Retry-After.'"""
    customer = front.customer(plan)
    running = [customer.stream({"stall_after_tokens": 1}, max_tokens=10) for _ in range(most)]
    try:
        assert {each.current.status for each in running} == {200}
        answer = customer.chat(max_tokens=10)
        assert (answer.status, answer.error["type"], answer.error["code"]) == (429, *["rate_limit_error"] * 2)
        assert int(answer.header("retry-after") or 0) >= 1
        with sdk_of(customer) as sdk, pytest.raises(openai.RateLimitError):
            sdk.chat.completions.create(model=FLASH, messages=HELLO, max_tokens=10)  # type: ignore[arg-type]
        running.pop().close()
        eventually(lambda: customer.chat(max_tokens=10).status == 200)
    finally:
        for each in running:
            each.close()


@pytest.mark.contract("6.3", "4.5")
def test_daily_tokens(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'When you exceed a limit you receive 429 with a Retry-After header'"""
    customer = front.customer()
    # The plan's 100M are shown above; a smaller number for this one is reached sooner
    assert front.gateway.command("orgs", "set", customer.organisation, "--tokens-per-day", "1000").returncode == 0
    # Noticed within 0.2 s; a call that the small limit has no room for shows it
    eventually(lambda: customer.chat({"output_tokens": 1}, max_tokens=5000).status == 429)
    assert customer.chat({"output_tokens": 600}, max_tokens=800).status == 200
    calls = len(heard())
    answer = customer.chat({"output_tokens": 600}, max_tokens=800)
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_error")
    assert 1 <= int(answer.header("retry-after") or 0) <= 86_400
    assert customer.chat({"output_tokens": 1}, max_tokens=100).status == 200  # there is room for that
    assert len(heard()) == calls + 1


# Money


@pytest.mark.contract("7.5", "7.1", "5.3")
@pytest.mark.parametrize(("model", "rates"), [(FLASH, (160, 4, 300)), (PRO, (600, 5, 1200))])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("cached", "output"), [(0, 7), (3, 1), (1, 333)])
def test_prices(
    pro: Customer, simulator: Simulator, model: str, rates: tuple[int, int, int], stream: bool, cached: int, output: int
) -> None:
    """'Rates per 1M tokens (USD)'"""
    plan = {"cached_tokens": cached, "output_tokens": output, "tokens_per_s": 10_000}
    answer = pro.ask("POST", CHAT, pro.body(plan, model=model, stream=stream, max_tokens=400))
    record = pro.record(answer.header("x-request-id"))
    [entry] = [each for each in simulator.get("/simulator/truth?since=0")["entries"] if each["id"] == id_of(answer)][
        -1:
    ]
    counts = (entry["fresh_tokens"], entry["cached_tokens"], entry["completion_tokens"])
    assert counts[1:] == (cached, output)
    nano = sum(rate * count for rate, count in zip(rates, counts, strict=True))  # $0.16 a million is 160 nano each
    assert record["cost"] == f"{nano / 1e9:.9f}".rstrip("0")
    assert pro.settled(answer.header("x-request-id")).charged == nano


@pytest.mark.contract("7.1")
def test_the_hold(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'Each request reserves an estimated maximum from your balance, then settles to the actual metered cost'"""
    customer = front.customer(bought="0.01")
    first = customer.chat({"output_tokens": 3}, max_tokens=20_000)
    reservation = customer.settled(first.header("x-request-id"))
    assert reservation.hold >= 20_000 * 300 > reservation.charged > 0
    answer = customer.chat(max_tokens=32_768, model=FLASH, messages=[{"role": "user", "content": "word " * 5_000}])
    assert answer.status == 402
    assert len(heard()) == 1 and customer.spent == reservation.charged
