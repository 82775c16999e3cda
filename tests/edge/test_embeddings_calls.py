"""Vectors of texts as calls like any: targets, limits, records, keys, houses."""

import uuid

import pytest

from faregate.simulator import vectors
from tests.running.client import HELLO, Caller, last_entry
from tests.running.processes import Gateway, Simulator

from .conftest import command_json
from .embedding import EMBEDDINGS, MODELS, TEXTS, embed, embed_content
from .limiting import Tenants
from .repeats import assert_replay, rows_of

# Targets, fallbacks, and who has none


def test_a_provider_that_is_down(embeds: Caller) -> None:
    answer = embed(embeds, "down")
    assert (answer.status, answer.header("x-faregate-failover")) == (503, "false")
    answer = embed(embeds, "second-try")
    assert answer.status == 200
    assert answer.json()["data"][0]["embedding"] == vectors.values(TEXTS[0], 1536)
    assert answer.json()["model"] == "second-try"
    record = embeds.record(answer.header("x-request-id"))
    assert (record["target"]["provider"], record["attempts"]) == ("cohere", 2)


def test_no_other_model_stands_in(embeds: Caller, simulator: Simulator) -> None:
    """Its vectors would mean something else; a chat falls back."""
    since = last_entry(simulator)
    assert embed(embeds, "falling").status == 503
    assert embed_content(embeds, "falling", "hello").status == 503
    assert last_entry(simulator) == since
    assert embeds.chat(model="falling").json()["model"] == "exact"


def test_a_provider_without_embeddings(embeds: Caller, simulator: Simulator) -> None:
    since = last_entry(simulator)
    answer = embed(embeds, "claude")
    assert (answer.status, answer.error["param"]) == (400, "model")
    assert "no embeddings" in answer.error["message"]
    answer = embed_content(embeds, "claude", "hello")
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    assert last_entry(simulator) == since
    assert embeds.ask("POST", "/v1/chat/completions", {"model": "claude", "messages": HELLO}).status == 200


# What goes with every call


@pytest.mark.parametrize("model", MODELS)
def test_the_record_of_embeddings(embeds: Caller, simulator: Simulator, model: str) -> None:
    since = last_entry(simulator)
    answer = embed(embeds, model)
    [truth] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    record = embeds.record(answer.header("x-request-id"))
    assert (record["operation"], record["model"], record["status"]) == ("embeddings", model, 200)
    assert (record["stream"], record["attempts"], record["target"]["provider"]) == (False, 1, model)
    usage = record["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (truth["prompt_tokens"], 0)
    assert (usage["source"], usage["suspect"]) == ("provider", False)
    assert answer.json()["usage"]["prompt_tokens"] == truth["prompt_tokens"]
    body = {"model": model, "input": TEXTS}
    quote = embeds.ask("POST", "/v1/quote", {"path": EMBEDDINGS, "body": body}).json()
    assert (quote["held"], quote["would_be"]["status"]) == (record["held"], 200)


@pytest.mark.parametrize("model", ["exact", "cohere"])
def test_one_run_under_a_key(embeds: Caller, simulator: Simulator, model: str) -> None:
    since = last_entry(simulator)
    key = {"idempotency-key": str(uuid.uuid4())}
    first, again = (embed(embeds, model, headers=key) for _ in range(2))
    assert first.status == 200
    assert_replay(again, first)
    assert last_entry(simulator) == since + 1
    assert embed(embeds, model, "another", key).status == 409
    ids = [bytes.fromhex((each.header("x-request-id") or "").replace("-", "")) for each in (first, again)]
    rows = rows_of(embeds.gateway, "SELECT count(*) AS charged FROM reservation WHERE id IN (?, ?)", *ids)
    assert rows == [{"charged": 1}]


def test_no_retention(embeds: Caller) -> None:
    headers = {"x-faregate-no-retention": "true"}
    assert embed(embeds, "exact", headers=headers).status == 200
    answer = embed(embeds, "cohere", headers=headers)
    assert (answer.status, answer.error["code"]) == (400, "no_retention_unavailable")


@pytest.mark.contract("6.1")
def test_embeddings_are_counted_apart_from_chats(embedder: Gateway) -> None:
    tenants = Tenants(embedder)
    organisation = tenants.organisation()
    command_json(embedder, "orgs", "plan", organisation, "tight")
    caller = tenants.key(tenants.project(organisation))
    assert [caller.chat(model="exact").status for _ in range(2)] == [200, 200]
    first, second = embed(caller, "exact"), embed_content(caller, "gemini", "hello")
    assert (first.status, first.header("x-ratelimit-limit-requests")) == (200, "1")
    assert (second.status, second.error["status"]) == (429, "RESOURCE_EXHAUSTED")
    assert caller.chat(model="exact").status == 429


def test_the_context_of_a_plan_is_not_that_of_embeddings(embedder: Gateway) -> None:
    """Each input is one of its own."""
    tenants = Tenants(embedder)
    organisation = tenants.organisation()
    command_json(embedder, "orgs", "plan", organisation, "small")
    caller = tenants.key(tenants.project(organisation))
    assert embed(caller, "exact", ["a text"] * 100).status == 200
    assert caller.chat(model="exact", messages=HELLO * 20).status == 413


def test_a_house_without_embeddings(embedder: Gateway) -> None:
    made = command_json(embedder, "keys", "create", "links", "--project", "demo", "--house", "apilink")
    caller = Caller(embedder, made["key"])
    host = {"host": "apilink.example.com"}
    assert caller.get("/v1/models", host).status == 200
    assert embed(caller, "exact", headers=host).status == 404
    assert embed_content(caller, "exact", "hello", headers=host).status == 404
    assert embed_content(caller, "exact", *TEXTS, headers=host).status == 404
