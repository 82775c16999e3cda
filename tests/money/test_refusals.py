"""Who has too little is refused before any provider hears of it; who has just enough is served."""

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faregate.core.money import format_amount
from tests.edge.conftest import command_json
from tests.running.client import CHAT, Answer, Caller, eventually, last_entry
from tests.running.processes import Gateway, Simulator

from .books import PICO, Customer, cost_of_entry, nano
from .conftest import priced

AT_ONCE = 1000


def assert_refused(answer: Answer, status: int = 402, code: str = "insufficient_funds") -> None:
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.header("x-credits-used") is None


@pytest.mark.contract("7.1", "9")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("credit", [None, "0.000001"])
def test_without_enough_credit_no_provider_is_asked(
    customer: Callable[..., Customer], simulator: Simulator, since: int, credit: str | None, stream: bool
) -> None:
    poor = customer(credit)
    answer = poor.ask("POST", CHAT, poor.body(stream=stream))
    assert_refused(answer)
    record = poor.record(answer.header("x-request-id"))
    assert (record["status"], record["error_kind"], record["cost"], record["attempts"]) == (
        402,
        "insufficient_funds",
        "0",
        0,
    )
    assert last_entry(simulator) == since
    assert (poor.spent, poor.leased) == (0, 0)
    assert poor.books.reservation(answer.header("x-request-id") or "") is None
    poor.books.in_order()


@pytest.mark.contract("7.1")
def test_f36_a_balance_of_exactly_the_hold_is_enough_and_one_nano_dollar_less_is_not(
    customer: Callable[..., Customer],
) -> None:
    rich = customer("10")
    plan = {"output_tokens": 5}
    hold = rich.settled(rich.chat(plan, max_tokens=10).header("x-request-id")).hold
    assert hold >= nano(10 * PICO["reasoning"])
    exact = customer(format_amount(hold))
    short = customer(format_amount(hold - 1))
    assert_refused(short.chat(plan, max_tokens=10))
    answer = exact.chat(plan, max_tokens=10)
    assert answer.status == 200
    held = exact.settled(answer.header("x-request-id"))
    assert (held.hold, exact.spent) == (hold, held.charged)
    eventually(lambda: exact.leased == 0)
    assert_refused(exact.chat(plan, max_tokens=10))  # the rest no longer covers it


def test_credit_given_while_the_gateway_runs_is_usable_within_a_second(
    customer: Callable[..., Customer], simulator: Simulator
) -> None:
    for first in (None, "0.000001"):
        poor = customer(first)
        assert_refused(poor.chat())
        poor.give("1")
        answer = poor.served(1.0)
        assert poor.spent == poor.settled(answer.header("x-request-id")).charged > 0


def test_metered_organisations_need_no_credit_and_their_use_is_counted(customer: Callable[..., Customer]) -> None:
    """Five: what they are allowed is together more than 64 bits hold, and the books are in order still."""
    for metered in [customer(None, metered=True) for _ in range(5)]:
        answer = metered.chat({"output_tokens": 30})
        assert answer.status == 200
        held = metered.settled(answer.header("x-request-id"))
        assert answer.header("x-credits-used") == format_amount(held.charged)
        assert metered.spent == held.charged > 0


def test_who_is_created_metered_needs_no_credit(till: Gateway) -> None:
    name = "created-metered"
    command_json(till, "orgs", "create", name, "--metered")
    [project] = command_json(till, "projects", "create", name, "--org", name)
    key = command_json(till, "keys", "create", name, "--project", project["id"])["key"]
    assert Caller(till, key).chat({"output_tokens": 2}).status == 200
    assert till.command("ledger", "verify").returncode == 0


def test_billing_changes_both_ways_while_the_gateway_runs(customer: Callable[..., Customer]) -> None:
    changing = customer(None)
    assert_refused(changing.chat())
    assert changing.gateway.command("orgs", "billing", changing.organisation, "metered").returncode == 0
    answer = changing.served(1.0)
    spent = changing.settled(answer.header("x-request-id")).charged
    assert changing.gateway.command("orgs", "billing", changing.organisation, "prepaid").returncode == 0
    eventually(lambda: changing.chat().status == 402, 1.0)
    assert changing.spent >= spent > 0


def test_a_model_without_a_price_is_not_served(
    customer: Callable[..., Customer], simulator: Simulator, since: int
) -> None:
    for metered in (False, True):
        rich = customer(None if metered else "100", "unpriced", metered=metered)
        assert_refused(rich.chat(), 503, "model_not_priced")
        assert_refused(rich.ask("POST", CHAT, rich.body(stream=True)), 503, "model_not_priced")
        assert (rich.spent, rich.leased) == (0, 0)
    assert last_entry(simulator) == since


def test_with_a_default_price_it_is_served(session_folder: Path, simulator: Simulator) -> None:
    default = '[prices]\ndefault = { input = "1", output = "2" }'
    gateway = Gateway(session_folder, priced(simulator, models=default))
    try:
        caller = Caller(gateway, model="unpriced")
        answer = caller.chat({"output_tokens": 10})
        usage = answer.json()["usage"]
        assert answer.header("x-credits-used") == format_amount(
            usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000
        )
    finally:
        assert gateway.stop() == 0


def test_who_named_no_maximum_gets_a_shorter_answer_for_little_money(
    customer: Callable[..., Customer], simulator: Simulator
) -> None:
    """Half of what is free is held for, and the provider is told."""
    credit = 40_000_000  # of a hold of about $0.15
    poor = customer(format_amount(credit), "long")
    for stream in (False, True):
        free = poor.balance
        since = last_entry(simulator)
        answer = poor.streamed({"output_tokens": 9}) if stream else poor.chat({"output_tokens": 9})
        assert answer.status == 200
        name, _, said = (answer.header("x-faregate-adjusted") or "").partition("=")
        tokens = int(said)
        assert name == "max_tokens"
        assert 4096 <= tokens < 50_000
        body = simulator.get("/simulator/last_request")["body"]
        assert tokens in (body.get("max_tokens"), body.get("max_completion_tokens"))
        held = poor.settled(answer.header("x-request-id"))
        assert nano(tokens * PICO["reasoning"]) <= held.hold <= free // 2
        assert len(simulator.get(f"/simulator/truth?since={since}")["entries"]) == 1
        eventually(lambda: poor.leased == 0)


def test_who_named_a_maximum_is_refused_rather_than_cut(customer: Callable[..., Customer]) -> None:
    poor = customer("0.04", "long")
    assert_refused(poor.chat(max_tokens=50_000))
    assert poor.chat({"output_tokens": 2}, max_tokens=5_000).status == 200


def test_what_would_be_too_short_is_refused(customer: Callable[..., Customer]) -> None:
    assert_refused(customer("0.02", "long").chat())


def test_f52_a_maximum_beyond_the_models_own_is_lowered_and_said(
    customer: Callable[..., Customer], simulator: Simulator
) -> None:
    rich = customer("100", "short")
    for given in (2**31, 101):
        answer = rich.chat({"output_tokens": 200}, max_tokens=given)
        assert answer.status == 200
        assert answer.header("x-faregate-adjusted") == "max_tokens=100"
        assert simulator.get("/simulator/last_request")["body"]["max_tokens"] == 100
        assert answer.json()["usage"]["completion_tokens"] == 100
    assert rich.chat({"output_tokens": 2}, max_tokens=100).header("x-faregate-adjusted") is None
    for given in (-1, 0, 10**12):
        assert rich.chat(max_tokens=given).status == 400


@pytest.mark.parametrize("members", [{"prompt": ["a", "b"] * 10}, {"prompt": [[1, 2]] * 7, "n": 3}, {"prompt": [1, 2]}])
def test_f52_the_hold_covers_every_answer_to_every_prompt(
    customer: Callable[..., Customer], simulator: Simulator, members: dict[str, Any]
) -> None:
    body = {"model": "test-model", "max_tokens": 100, "simulator": {"output_tokens": 100}, **members}
    rich = customer("10")
    since = last_entry(simulator)
    answer = rich.ask("POST", "/v1/completions", body)
    assert answer.status == 200
    held = rich.settled(answer.header("x-request-id"))
    [entry] = simulator.get(f"/simulator/truth?since={since}")["entries"]
    assert held.charged == cost_of_entry(entry) <= held.hold
    assert held.hold < 3 * held.charged
    poor = customer(format_amount(held.hold - 1))
    assert_refused(poor.ask("POST", "/v1/completions", body))


@pytest.mark.parametrize("count", [{"n": 4}, {"n": 2, "best_of": 4}])
def test_f52_the_hold_covers_every_choice(customer: Callable[..., Customer], count: dict[str, Any]) -> None:
    rich = customer("10")
    answer = rich.chat({"output_tokens": 50}, max_tokens=50, **count)
    held = rich.settled(answer.header("x-request-id"))
    assert held.hold >= nano(4 * 50 * PICO["reasoning"])
    assert held.charged < held.hold
    assert rich.chat(n=1000).status == 400


async def all_at_once(port: int, request: bytes, count: int) -> list[bytes]:
    """The heads and bodies of `count` answers to requests that are sent together, a connection each."""
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    for _, writer in streams:
        writer.write(request)
    answers = await asyncio.gather(*(reader.read() for reader, _ in streams))
    for _, writer in streams:
        writer.close()
    return answers


@pytest.mark.parametrize("stream", [False, True])
def test_f34_a_thousand_requests_at_once_on_a_cent(
    customer: Callable[..., Customer], simulator: Simulator, since: int, stream: bool
) -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    poor = customer("0.01", "flat")
    body = poor.body({"output_tokens": 3}, stream=stream)
    request = poor.bytes_of("POST", CHAT, body, {"connection": "close"})
    assert poor.get("/v1/models").status == 200  # the key is known
    answers = asyncio.run(all_at_once(poor.gateway.port, request, AT_ONCE))
    passed = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200 ")]
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 402 ")]
    assert (len(passed), len(refused)) == (11, 989)
    assert all(b"[DONE]" in answer for answer in passed) or not stream
    assert (poor.balance, poor.spent) == (100_000, 9_900_000)
    assert len(simulator.get(f"/simulator/truth?since={since}")["entries"]) == 11
    eventually(lambda: poor.leased == 0)
    poor.books.in_order()
