"""Idempotency-Key: what is refused by name, and what is not kept."""

import uuid
from collections.abc import Callable

import pytest

from tests.edge.conftest import command_json
from tests.running.client import CHAT, Caller, eventually
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import ROLE, Upstream, Visit, said

from .repeats import REPLAYED, assert_replay, assert_taken, seen

# Refused


@pytest.mark.contract("9")
def test_another_body_is_a_conflict(caller: Caller, simulator: Simulator, since: int, key: dict[str, str]) -> None:
    first = caller.chat({"output_tokens": 3}, key)
    for other in (
        caller.chat({"output_tokens": 4}, key),
        caller.chat({"output_tokens": 3}, key, temperature=0.5),
        caller.streamed({"output_tokens": 3}, key),
        caller.ask("POST", "/v1/completions", {"model": "test-model", "prompt": "hello"}, key),
    ):
        assert_taken(other, "idempotency_conflict")
    second = {"idempotency-key": f"second-{uuid.uuid4()}"}
    with caller.stream({"output_tokens": 20, "tokens_per_s": 50}, second) as running:
        assert_taken(caller.chat({"output_tokens": 4}, second), "idempotency_conflict")
        assert running.rest().events[-1] == "[DONE]"
    assert_replay(caller.chat({"output_tokens": 3}, key), first)
    seen(simulator, since, 2)


def test_projects_do_not_share_keys(
    customer: Caller, tenant: Callable[..., Caller], simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    stranger = tenant(apart=True)
    first, other = customer.chat(None, key), stranger.chat(None, key)
    assert other.header(REPLAYED) is None
    assert other.header("x-request-id") != first.header("x-request-id")
    seen(simulator, since, 2)


def test_keys_of_a_project_share_them_within_what_they_may_call(
    customer: Caller, tenant: Callable[..., Caller], key: dict[str, str]
) -> None:
    first = customer.chat(None, key)
    assert_replay(tenant().chat(None, key), first)
    assert_replay(tenant("--model", "test-model").chat(None, key), first)
    refused = tenant("--model", "gpt-4o").chat(None, key)
    assert (refused.status, refused.error["code"]) == (403, "model_not_available")


@pytest.mark.parametrize("bad", ["", "a b", "x" * 256, "tab\there"])
def test_bad_keys_are_refused_by_name(bad: str, caller: Caller, simulator: Simulator, since: int) -> None:
    answer = caller.chat(None, {"idempotency-key": bad})
    assert (answer.status, answer.error["param"]) == (400, "Idempotency-Key")
    assert "Idempotency-Key" in answer.error["message"]
    assert simulator.get("/simulator/truth")["last_seq"] == since


@pytest.mark.parametrize("good", ["x", "x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!~"])
def test_good_keys(good: str, tenant: Callable[..., Caller]) -> None:
    customer = tenant(apart=True)
    first = customer.chat(None, {"idempotency-key": good})
    assert_replay(customer.chat(None, {"idempotency-key": good}), first)


def test_key_that_came_twice_is_none(caller: Caller) -> None:
    with caller.open() as connection:
        request = caller.bytes_of("POST", CHAT, caller.body(), {"idempotency-key": "one"})
        connection.send(request.replace(b"idempotency-key: one", b"idempotency-key: one\r\nidempotency-key: two"))
        assert connection.answer().status == 400


def test_what_needs_no_key_ignores_it(caller: Caller, key: dict[str, str]) -> None:
    ids = {caller.get("/v1/models", key).header("x-request-id") for _ in range(2)}
    assert len(ids) == 2
    assert caller.ask("POST", "/v1/nowhere", {}, key).status == 404
    assert Caller(caller.gateway, key="sk-fg-wrong").chat(None, key).status == 401


# Not kept


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [500, 503, 429])
def test_failures_are_not_kept(
    status: int, stream: bool, customer: Caller, simulator: Simulator, since: int, key: dict[str, str]
) -> None:
    """The next request under the key is run again, at once."""
    plan = {"status": status, "times": 1, "output_tokens": 5}
    ask = customer.streamed if stream else customer.chat
    failed, first, again = [ask(plan, key) for _ in range(3)]
    assert (failed.status, failed.header("retry-after") is not None) == (503, True)
    assert (first.status, first.header(REPLAYED)) == (200, None)
    assert_replay(again, first)
    seen(simulator, since, 2)


def test_refusals_before_a_provider_was_asked_are_not_kept(caller: Caller, key: dict[str, str]) -> None:
    for _ in range(2):
        assert caller.chat(None, key, temperature=9).status == 400
        assert caller.chat(None, key, model="no-such-model").status == 404
    assert caller.chat(None, key).status == 200


def test_no_credit_is_not_kept(gateway: Gateway, simulator: Simulator, key: dict[str, str]) -> None:
    """Who tops up may ask again."""
    name = f"poor-{uuid.uuid4()}"
    command_json(gateway, "orgs", "create", name)
    [project] = command_json(gateway, "projects", "create", "project", "--org", name)
    poor = Caller(gateway, command_json(gateway, "keys", "create", name, "--project", project["id"])["key"])
    assert poor.chat(None, key).status == 402
    command_json(gateway, "credits", "add", name, "1.00", "--reason", "test")
    assert eventually(lambda: (answer := poor.chat(None, key)).status == 200 and answer).header(REPLAYED) is None


@pytest.mark.parametrize("charged", [False, True])
def test_stream_that_breaks_is_charged_once(
    charged: bool, special_caller: Caller, scripted: Upstream, key: dict[str, str]
) -> None:
    """What was delivered was charged: the broken answer is the answer. What broke before was not, and is run again."""

    def script(visit: Visit) -> None:
        if charged:
            visit.stream(ROLE, said("half an answer"))
        visit.reset()

    visits = scripted.play(script)
    first, again = (special_caller.streamed(None, key, model="scripted") for _ in range(2))
    if charged:
        assert first.events[-2]["error"]["code"] == "upstream_unavailable"
        assert_replay(again, first)
        assert len(visits) == 1
    else:
        assert (first.status, again.status) == (503, 503)
        assert again.header(REPLAYED) is None
        assert len(visits) > 1


def test_revoked_key_ends_its_run(gateway: Gateway, tenant: Callable[..., Caller], key: dict[str, str]) -> None:
    caller = tenant()
    with caller.stream({"output_tokens": 10_000, "tokens_per_s": 50}, key) as connection:
        connection.body_until(b"data: ", 3)
        gateway.command("keys", "revoke", caller.key.removeprefix("sk-fg-")[:12])
        answer = connection.rest()
    assert answer.events[-2]["error"]["code"] == "invalid_api_key"
    record = Caller(gateway).get("/v1/models")
    assert record.status == 200
    assert eventually(lambda: Caller(gateway).gauge("faregate_in_flight") == 0)
