"""What the gateway counts itself: where a provider says nothing yet, nothing at all, or what cannot be true."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import CHAT, Connection
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import DONE, FINISH, ROLE, Upstream, Visit, event_of, said

from .books import RATES, Customer, cost_of, customer_of
from .killing_workers import stopped_in_order

WIRES = {
    "openai_chat": "/v1",
    "openai_responses": "/v1",
    "anthropic_messages": "/v1",
    "gemini_generate": "/v1beta",
    "cohere_chat": "/v2",
}
PATHS = {CHAT: b'"content":"', "/v1/messages": b'"type":"text_delta"', "/v1/responses": b'output_text.delta"'}
WORDS = "word " * 5_000
NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 50_000


def config(simulator: Simulator, upstream: Upstream) -> str:
    """A model for each wire of the simulator, and two of the scripted upstream; all cost RATES."""
    here = f"http://127.0.0.1:{simulator.port}"
    providers = {wire: f'base_url = "{here}{path}"\ndialect = "{wire}"' for wire, path in WIRES.items()}
    providers["bedrock"] = f'base_url = "{here}"'
    providers |= {wire: f'base_url = "{upstream.base_url}"\nwire = "{wire}"' for wire in ("exact", "compatible")}
    tables = ['[ledger]\ndemo_credit = "1"']
    for name, said_of_it in providers.items():
        tables.append(f'[providers.{name}]\nkey = "secret-key"\nmodels = ["{name}"]\n{said_of_it}')
        tables.append(f'[models."{name}"]\nprice = {{ {RATES} }}')
    return "\n\n".join(tables)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as found:
        yield found


@pytest.fixture(scope="module")
def counting(session_folder: Path, simulator: Simulator, upstream: Upstream) -> Iterator[Gateway]:
    """The gateway; its books are in order in the end."""
    gateway = Gateway(session_folder, config(simulator, upstream))
    yield gateway
    stopped_in_order(gateway)


@pytest.fixture
def buyer(counting: Gateway, request: pytest.FixtureRequest) -> Customer:
    """Who has spent nothing yet."""
    return customer_of(counting, request.node.name, "10", "exact")


def left(buyer: Customer) -> dict[str, Any]:
    """The usage of a call whose client has left, for which it was charged just that."""
    line = buyer.log_line(buyer.organisation)
    assert line["status"] == 499
    usage = buyer.record(line["id"])["usage"]
    charged = buyer.settled(line["id"]).charged
    assert charged == cost_of(usage["prompt_tokens"], usage["completion_tokens"], reasoning=usage["reasoning"]) > 0
    return usage


def leave_after(connection: Connection, buyer: Customer, path: str, body: dict[str, Any], events: int) -> int:
    """Ask, and leave once so many events with words have come; how many did."""
    connection.send(buyer.bytes_of("POST", path, body, {"x-request-id": buyer.organisation}))
    connection.head()
    return connection.body_until(PATHS[path], events).count(PATHS[path])


@pytest.mark.parametrize("model", [*WIRES, "bedrock"])
@pytest.mark.parametrize("path", PATHS)
def test_who_leaves_in_the_middle_pays_for_what_came(buyer: Customer, path: str, model: str) -> None:
    """Whatever the provider said at the beginning: Anthropic's says there that the answer has one token."""
    plan = json.dumps({"output_tokens": 2_000, "tokens_per_s": 1_000})
    words = f"hello #simulator {plan}"
    body: dict[str, Any] = {"model": model, "stream": True}
    body |= {"input": words} if path == "/v1/responses" else {"messages": [{"role": "user", "content": words}]}
    body |= {"max_tokens": 4_000} if path == "/v1/messages" else {}
    with buyer.open() as connection:
        seen = leave_after(connection, buyer, path, body, 50)
    usage = left(buyer)
    assert seen - 3 <= usage["completion_tokens"] < 1_000
    assert 0 < usage["prompt_tokens"] < 100


@pytest.mark.parametrize("model", ["exact", "compatible"])
def test_many_words_in_one_event_are_more_than_a_token(buyer: Customer, upstream: Upstream, model: str) -> None:
    def script(visit: Visit) -> None:
        visit.stream(ROLE, said(WORDS), said(WORDS))
        visit.until_gone()

    upstream.play(script)
    with buyer.open() as connection:
        leave_after(connection, buyer, CHAT, buyer.body(model=model, stream=True), 3)
    assert 5_000 <= left(buyer)["completion_tokens"] <= 10_000


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["exact", "compatible"])
def test_an_answer_is_never_free_because_its_provider_counts_nothing(
    buyer: Customer, upstream: Upstream, model: str, stream: bool
) -> None:
    def script(visit: Visit) -> None:
        if stream:
            visit.stream(ROLE, *[said("a")] * 20, FINISH, event_of(None, usage=NOTHING), DONE)
            visit.end()
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "a" * 200}, "finish_reason": "stop"}
            visit.whole(200, json.dumps({"id": "x", "choices": [choice], "usage": NOTHING}).encode())

    upstream.play(script)
    answer = buyer.ask("POST", CHAT, buyer.body(model=model, stream=stream))
    usage = buyer.record(answer.header("x-request-id"))["usage"]
    assert (usage["source"], usage["suspect"]) == ("counted", True)
    assert usage["prompt_tokens"] > 0
    assert usage["completion_tokens"] >= 20
    assert buyer.spent == cost_of(usage["prompt_tokens"], usage["completion_tokens"])


@pytest.mark.parametrize("model", ["exact", "compatible"])
def test_a_picture_is_not_counted_by_its_bytes(buyer: Customer, upstream: Upstream, model: str) -> None:
    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("a"))
        visit.until_gone()

    upstream.play(script)
    content = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    body = buyer.body(model=model, stream=True, messages=[{"role": "user", "content": content}])
    with buyer.open() as connection:
        leave_after(connection, buyer, CHAT, body, 2)
    assert left(buyer)["prompt_tokens"] < 5_000


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("usage", [(500_000_000, 1), (9, 900_000_000)], ids=["prompt", "answer"])
def test_more_tokens_than_there_can_be_empty_no_account(
    buyer: Customer, upstream: Upstream, usage: tuple[int, int], stream: bool
) -> None:
    """A billion is not the only bound: what a prompt of a few bytes cannot be is counted instead."""
    stated = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}

    def script(visit: Visit) -> None:
        if stream:
            visit.stream(ROLE, said("a"), FINISH, event_of(None, usage=stated), DONE)
            visit.end()
        else:
            choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
            visit.whole(200, json.dumps({"id": "x", "choices": [choice], "usage": stated}).encode())

    upstream.play(script)
    answer = buyer.ask("POST", CHAT, buyer.body(stream=stream, max_tokens=10))
    found = buyer.record(answer.header("x-request-id"))["usage"]
    assert (found["source"], found["suspect"]) == ("counted", True)
    assert 0 < buyer.spent < cost_of(100, 100)
