"""Exactness (I12): headers, trailer, record, books, log and the provider's own tokens agree to the nano-dollar."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from faregate.core.money import format_amount
from tests.edge.conftest import command_json
from tests.running.client import CHAT, Answer, eventually
from tests.running.processes import Simulator

from .books import Customer, cost_of_entry

COMPLETIONS = "/v1/completions"
PIXEL = "data:image/png;base64," + "iVBORw0KGgo" * 500
IMAGES = [
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": PIXEL}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ],
    }
]
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": f"act_{number}",
            "parameters": {"type": "object", "properties": {"how": {"type": "string"}}, "required": ["how"]},
        },
    }
    for number in range(2)
]
ASKED = {"stream_options": {"include_usage": True}}


class Kind(NamedTuple):
    """A request of the matrix: what the simulator is to do, and what else is in the body."""

    plan: dict[str, Any]
    members: Mapping[str, Any] = MappingProxyType({})
    path: str = CHAT
    model: str = "test-model"


KINDS = {
    "plain": Kind({"output_tokens": 7}),
    "long": Kind({"output_tokens": 1500}, {"max_tokens": 2000}),
    "cut by max_tokens": Kind({"output_tokens": 50}, {"max_tokens": 3}),
    "cached": Kind(
        {"output_tokens": 20, "cached_tokens": 150}, {"messages": [{"role": "user", "content": "Ab " * 200}]}
    ),
    "reasoning": Kind({"reasoning": True, "output_tokens": 11}, {"reasoning_effort": "high"}),
    "hidden reasoning": Kind({"output_tokens": 11}, {"reasoning_effort": "low"}),
    "three answers": Kind({"output_tokens": 9}, {"n": 3}),
    "tools": Kind({}, {"tools": TOOLS}),
    "images": Kind({"output_tokens": 13}, {"messages": IMAGES}),
    "wide": Kind({"output_tokens": 5}, {"messages": [{"role": "user", "content": "汉字 и \U0001f600 " * 50}]}),
    "completion": Kind({"output_tokens": 12}, {"prompt": "Say something"}, COMPLETIONS),
    "completions of three prompts": Kind(
        {"output_tokens": 12}, {"prompt": ["one", "two", "three"], "max_tokens": 20}, COMPLETIONS
    ),
    "repaired": Kind({"output_tokens": 17, "cached_tokens": 2}, {}, model="repaired"),
    "repaired tools": Kind({}, {"tools": TOOLS}, model="repaired"),
    "nothing to say": Kind({"output_tokens": 0}),
}


def body_of(kind: Kind, **members: Any) -> dict[str, Any]:
    """The body of a request of the matrix."""
    said = {} if kind.path == COMPLETIONS else {"messages": [{"role": "user", "content": "hello"}]}
    return {"model": kind.model, **said, **kind.members, **members, "simulator": kind.plan}


def trailer_of(customer: Customer, kind: Kind, **members: Any) -> Answer:
    """A stream's head, with the trailer among its fields, read from the bytes of the wire."""
    with customer.open() as connection:
        headers = {"te": "trailers", "connection": "close", "x-request-id": "trailed"}
        connection.send(customer.bytes_of("POST", kind.path, body_of(kind, stream=True, **members), headers))
        answer = connection.head()
        raw = connection.ended()
    body, zero, trailer = raw.rpartition(b"\r\n0\r\n")
    assert zero
    assert b"data: [DONE]\n\n" in body
    assert trailer.endswith(b"\r\n\r\n")
    for line in trailer.decode().split("\r\n")[:-2]:
        name, _, value = line.partition(":")
        answer.fields.append((name.lower(), value.strip()))
    return answer


def check(customer: Customer, simulator: Simulator, since: int, answer: Answer, before: int) -> int:
    """All witnesses of one request agree; its cost."""
    assert answer.status == 200
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=5000")["entries"]
    cost = cost_of_entry(entry)
    request_id = answer.header("x-request-id")
    record = customer.record(request_id)
    held = customer.settled(request_id)
    assert (held.state, held.cost, held.charged) == ("settled", cost, cost)
    assert cost <= held.hold
    assert (record["cost"], record["held"]) == (format_amount(cost), format_amount(held.hold))
    assert record["price_version"]
    usage = record["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (entry["prompt_tokens"], entry["completion_tokens"])
    assert (usage["cache_read"], usage["reasoning"]) == (entry["cached_tokens"], entry["reasoning_tokens"])
    assert (usage["source"], usage["suspect"]) == ("provider", False)
    assert before - customer.balance == cost
    [line] = eventually(lambda: [line for line in customer.gateway.log_lines() if line.get("id") == request_id])
    assert (line["cost_nano"], line["hold_nano"]) == (cost, held.hold)
    assert line["price_version"] == record["price_version"]
    return cost


@pytest.fixture(scope="module")
def buyer(customer: Callable[..., Customer]) -> Customer:
    return customer()


@pytest.mark.contract("7.1")
@pytest.mark.parametrize("name", KINDS)
def test_a_whole_answer_costs_its_tokens(buyer: Customer, simulator: Simulator, since: int, name: str) -> None:
    before = buyer.balance
    kind = KINDS[name]
    answer = buyer.ask("POST", kind.path, body_of(kind))
    cost = check(buyer, simulator, since, answer, before)
    assert answer.header("x-credits-used") == format_amount(cost)


@pytest.mark.contract("7.1")
@pytest.mark.parametrize("asked", [{}, ASKED], ids=["usage not asked for", "usage asked for"])
@pytest.mark.parametrize("name", KINDS)
def test_a_stream_costs_its_tokens(
    buyer: Customer, simulator: Simulator, since: int, name: str, asked: dict[str, Any]
) -> None:
    before = buyer.balance
    answer = trailer_of(buyer, KINDS[name], **asked)
    cost = check(buyer, simulator, since, answer, before)
    assert answer.header("x-credits-used") == format_amount(cost)


def test_a_price_per_request_is_charged_once(
    customer: Callable[..., Customer], simulator: Simulator, since: int
) -> None:
    flat = customer("1", "flat")
    for answer in (flat.chat({"output_tokens": 9}, n=3), flat.streamed({"output_tokens": 9})):
        held = flat.settled(answer.header("x-request-id"))
        assert (held.hold, held.charged) == (900_000, 900_000)
    assert flat.spent == 1_800_000
    assert len(simulator.get(f"/simulator/truth?since={since}")["entries"]) == 2


def test_f50_one_token_at_four_thousandths_of_a_dollar_a_million_is_four_nano_dollars(
    buyer: Customer, simulator: Simulator, since: int
) -> None:
    """The same with figures that do not divide: rounded up once a request, so a thousand calls differ by no more."""
    before = buyer.balance
    with buyer.open() as connection:
        for _ in range(50):
            connection.send(buyer.bytes_of("POST", CHAT, buyer.body({"output_tokens": 1})))
            assert connection.answer().status == 200
    entries = simulator.get(f"/simulator/truth?since={since}")["entries"]
    assert len(entries) == 50
    assert before - buyer.balance == sum(cost_of_entry(entry) for entry in entries)


def test_the_command_line_shows_what_was_charged(customer: Callable[..., Customer]) -> None:
    buyer = customer("2.5")
    answers = [buyer.chat({"output_tokens": 5}), buyer.streamed({"output_tokens": 50})]
    costs = [buyer.settled(answer.header("x-request-id")).charged for answer in answers]
    assert min(costs) > 0
    [account] = command_json(buyer.gateway, "credits", "show", buyer.organisation)
    left = 2_500_000_000 - sum(costs)
    assert (account["credited"], account["spent"]) == ("2.5", format_amount(sum(costs)))
    assert buyer.balance == left
    lines = command_json(buyer.gateway, "credits", "statement", buyer.organisation)
    assert [line["amount"] for line in lines] == ["2.5", *(format_amount(-cost) for cost in costs)]
    assert lines[-1]["balance"] == format_amount(left)
    done = buyer.gateway.command("ledger", "verify", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["findings"] == []
