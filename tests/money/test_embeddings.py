"""Vectors of texts cost the tokens of their inputs, as the provider says them, or as they are counted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faregate.core.money import format_amount
from tests.edge.embedding import EMBEDDINGS, MODELS, TEXTS, embed, embed_content, given_by, gives, providers
from tests.running.client import eventually, last_entry
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, Visit

from .books import RATES, Customer, cost_of, customer_of
from .killing_workers import stopped_in_order

RAW = [f"raw-{model}" for model in MODELS]
VECTORS = [[1.0, 2.0]] * 3
BYTES = sum(len(text.encode()) for text in TEXTS)
COUNTED = -(-BYTES // 4)  # the test's own arithmetic


@pytest.fixture(scope="module")
def embedding(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Gateway]:
    """A model of each provider, all at RATES; its books are in order in the end."""
    prices = "\n".join(f'[models."{model}"]\nprice = {{ {RATES} }}' for model in (*MODELS, *RAW, "down"))
    gateway = Gateway(session_folder, f'[ledger]\ndemo_credit = "1"\n{prices}\n{providers(simulator, scripted)}')
    yield gateway
    assert not [line for line in gateway.log_lines() if line.get("event") == "crash"]
    stopped_in_order(gateway)


@pytest.fixture
def buyer(embedding: Gateway, request: pytest.FixtureRequest) -> Customer:
    """Who has spent nothing yet."""
    return customer_of(embedding, request.node.name, "10", "exact")


def usage_of(buyer: Customer, request_id: str | None) -> dict[str, Any]:
    return buyer.record(request_id)["usage"]


@pytest.mark.contract("1.2")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("is_geminis", [False, True])
def test_the_tokens_of_the_input_are_charged(
    buyer: Customer, simulator: Simulator, model: str, is_geminis: bool
) -> None:
    """By the provider's own truth, to the nano-dollar; the vectors, however wide, cost nothing."""
    since = last_entry(simulator)
    answer = embed_content(buyer, model, *TEXTS) if is_geminis else embed(buyer, model)
    [truth] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    charged = cost_of(truth["prompt_tokens"], 0)
    assert answer.header("x-credits-used") == format_amount(charged)
    settled = buyer.settled(answer.header("x-request-id"))
    assert (settled.charged, buyer.spent) == (charged, charged)
    assert settled.hold >= charged > 0
    assert buyer.record(answer.header("x-request-id"))["cost"] == format_amount(charged)


@pytest.mark.parametrize("model", RAW)
@pytest.mark.parametrize("is_geminis", [False, True])
@pytest.mark.parametrize("usage", [None, 0], ids=["silent", "nothing"])
def test_where_nobody_counts_the_texts_are_counted(
    buyer: Customer, scripted: Upstream, model: str, is_geminis: bool, usage: int | None
) -> None:
    """The same in every form: the JSON around them is nobody's text. The client is told what it is charged for."""
    scripted.play(gives(given_by(model, VECTORS, usage)))
    answer = embed_content(buyer, model, *TEXTS) if is_geminis else embed(buyer, model)
    assert answer.status == 200
    found = usage_of(buyer, answer.header("x-request-id"))
    assert (found["prompt_tokens"], found["completion_tokens"], found["source"]) == (COUNTED, 0, "counted")
    assert buyer.settled(answer.header("x-request-id")).charged == cost_of(COUNTED, 0) == buyer.spent
    if not is_geminis and model != "raw-exact":
        assert answer.json()["usage"] == {"prompt_tokens": COUNTED, "total_tokens": COUNTED}


def test_tokens_are_counted_as_what_they_are(buyer: Customer, scripted: Upstream) -> None:
    scripted.play(gives(given_by("raw-compatible", [[1.0]], None)))
    answer = embed(buyer, "raw-compatible", [100_000 + each for each in range(50)])
    assert answer.json()["usage"]["prompt_tokens"] == 50
    assert buyer.spent == cost_of(50, 0)


@pytest.mark.parametrize("model", RAW)
@pytest.mark.parametrize("usage", [-5, 10**9, 10**18, 2.5, "7", {"a": 1}], ids=str)
def test_what_cannot_be_true_is_not_believed(buyer: Customer, scripted: Upstream, model: str, usage: Any) -> None:
    """The vectors are given all the same, and the texts counted."""
    scripted.play(gives(given_by(model, VECTORS, usage)))
    answer = embed(buyer, model)
    assert answer.status == 200
    found = usage_of(buyer, answer.header("x-request-id"))
    assert (found["prompt_tokens"], found["source"], found["suspect"]) == (COUNTED, "counted", True)
    assert buyer.settled(answer.header("x-request-id")).charged == cost_of(COUNTED, 0)
    if model in {"raw-gemini", "raw-cohere"}:
        assert answer.json()["usage"]["prompt_tokens"] == COUNTED


def test_pictures_that_are_more_than_the_whole(buyer: Customer, scripted: Upstream) -> None:
    details = [{"modality": "IMAGE", "tokenCount": 90_000}]
    said = {"usageMetadata": {"promptTokenCount": 80_000, "promptTokenDetails": details}}
    scripted.play(gives(json.dumps({"embedding": {"values": [1.0]}, **said}).encode()))
    assert embed_content(buyer, "raw-gemini", "12345678").status == 200
    assert buyer.spent == cost_of(2, 0)


@pytest.mark.parametrize(
    "given", [TEXTS, ["a"] * 2000, [1] * 2000, [[1]] * 2000, "🥊" * 500, "\x01" * 500, "x" * 50_000]
)
def test_the_hold_covers_every_input(buyer: Customer, given: Any) -> None:
    answer = embed(buyer, "exact", given, dimensions=1)
    assert answer.status == 200
    settled = buyer.settled(answer.header("x-request-id"))
    assert settled.hold >= settled.cost == settled.charged > 0
    assert settled.hold < cost_of(20 * len(json.dumps(given)), 0), "held for words of an answer"


def test_who_has_too_little_is_refused_before_anybody_hears_of_it(
    embedding: Gateway, buyer: Customer, simulator: Simulator
) -> None:
    """The hold is exactly enough."""
    hold = buyer.settled(embed(buyer, "cohere").header("x-request-id")).hold
    short = customer_of(embedding, "short of embeddings", format_amount(hold - 1), "cohere")
    exact = customer_of(embedding, "exact for embeddings", format_amount(hold), "cohere")
    none = customer_of(embedding, "without credit for embeddings", None, "cohere")
    since = last_entry(simulator)
    for poor in (short, none):
        answer = embed(poor, "cohere")
        assert (answer.status, answer.error["code"]) == (402, "insufficient_funds")
        assert embed_content(poor, "cohere", *TEXTS, title="t" * 99).status == 402
        assert (poor.spent, poor.leased) == (0, 0)
    assert last_entry(simulator) == since
    assert embed(exact, "cohere").status == 200


@pytest.mark.parametrize("model", RAW)
def test_an_answer_of_another_width_costs_nothing(buyer: Customer, scripted: Upstream, model: str) -> None:
    scripted.play(gives(given_by(model, VECTORS)))
    for answer, status in (
        (embed(buyer, model, dimensions=8), 400),
        (embed_content(buyer, model, *TEXTS, outputDimensionality=8), 400),
        (embed(buyer, model, "one"), 503),  # three vectors for it
    ):
        assert answer.status == status
        assert buyer.record(answer.header("x-request-id"))["cost"] == "0"
        assert buyer.settled(answer.header("x-request-id")).charged == 0
    assert buyer.spent == 0


@pytest.mark.parametrize("model", ["down", "raw-cohere"])
def test_what_fails_costs_nothing(buyer: Customer, scripted: Upstream, model: str) -> None:
    scripted.play(gives(b'{"message":"no"}', 500))
    answer = embed(buyer, model)
    assert answer.status == 503
    assert buyer.settled(answer.header("x-request-id")).charged == 0
    assert buyer.spent == 0


@pytest.mark.parametrize("model", ["raw-exact", "raw-gemini"])
def test_who_leaves_before_the_answer(buyer: Customer, scripted: Upstream, model: str) -> None:
    """Nothing came, so nothing is charged; the provider is told by the end of the connection."""

    def script(visit: Visit) -> None:
        visit.until_gone()

    visits = scripted.play(script)
    request = json.dumps({"model": model, "input": TEXTS}).encode()
    with buyer.open() as connection:
        connection.send(buyer.bytes_of("POST", EMBEDDINGS, request, {"x-request-id": buyer.organisation}))
        eventually(lambda: visits)
    line = buyer.log_line(buyer.organisation)
    assert line["status"] == 499
    assert buyer.settled(line["id"]).charged == 0
    eventually(lambda: visits[0].gone_at)
    assert buyer.spent == 0
