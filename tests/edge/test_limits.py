"""Requests a minute: whose they are, what every answer says of them, and what takes none."""

import json
import time
from pathlib import Path

import pytest

from tests.running.client import CHAT, Answer, Caller
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream

from .limiting import LIMIT, REMAINING, RESET, SHAPES, Hold, Shape, Tenants, chat_bytes, daily_left, rate

SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object", "required": ["x"]}, "strict": True},
}


@pytest.fixture
def tenants(limited: Gateway) -> Tenants:
    return Tenants(limited)


@pytest.mark.parametrize("subject", ["key", "project", "organisation"])
def test_a_limit_holds_for_its_subject_and_for_all_of_it(subject: str, tenants: Tenants) -> None:
    organisation = tenants.organisation()
    first, second = tenants.project(organisation), tenants.project(organisation)
    words = ("--requests-per-minute", "2")
    if subject == "project":
        tenants.set("projects", first, *words)
    if subject == "organisation":
        tenants.set("orgs", organisation, *words)
    caller = tenants.key(first, *(words if subject == "key" else ()))
    beside, apart = tenants.key(first), tenants.key(second)
    assert [rate(caller.chat()) for _ in range(2)] == [(2, 1), (2, 0)]
    refused = caller.chat()
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert f"2 requests a minute for this {subject}" in refused.error["message"]
    assert beside.chat().status == (200 if subject == "key" else 429)
    assert apart.chat().status == (429 if subject == "organisation" else 200)


def test_classes_are_counted_apart_and_looking_is_not_counted(tenants: Tenants) -> None:
    caller = tenants.key("demo", "--requests-per-minute", "chat=2", "--requests-per-minute", "images=1")
    legacy = {"model": "test-model", "prompt": "hello"}
    assert rate(caller.ask("POST", "/v1/completions", legacy)) == (2, 1)
    counted = SHAPES["anthropic_messages"].body("test-model")
    del counted["max_tokens"]
    for answer in (caller.get("/v1/models"), caller.ask("POST", "/v1/messages/count_tokens", counted)):
        assert answer.status == 200
        assert not answer.names & {LIMIT, REMAINING, RESET}
    assert rate(SHAPES["openai_responses"].ask(caller, "test-model")) == (2, 0)
    assert caller.chat().status == 429


def told(answer: Answer, limit: int, remaining: int) -> None:
    """The limit's headers are there, and say this; the whole is free within the minute."""
    assert rate(answer) == (limit, remaining), (answer.status, answer.fields)
    reset = answer.header(RESET) or ""
    assert reset.isdecimal() and time.time() - 1 <= int(reset) <= time.time() + 62


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_answer_says_what_is_left(shape: Shape, stream: bool, tenants: Tenants) -> None:
    """Those that were counted, one less; and those that were refused before."""
    caller = tenants.key("demo", "--requests-per-minute", "3", "--context-tokens", "200")
    good = shape.ask(caller, "test-model", stream=stream)
    assert good.status == 200
    told(good, 3, 2)
    bad = caller.ask("POST", shape.path("test-model", stream=stream), b"{")
    assert bad.status == 400
    told(bad, 3, 2)
    long = shape.ask(caller, "test-model", stream=stream, text="long " * 2000)
    assert long.status == 413
    told(long, 3, 2)
    unknown = shape.ask(caller, "nobody-has-this", stream=stream)
    assert unknown.status == 404
    told(unknown, 3, 2)
    down = shape.ask(caller, "down-model", stream=stream)
    assert down.status == 503
    told(down, 3, 1)
    told(shape.ask(caller, "test-model", stream=stream), 3, 0)
    refused = shape.ask(caller, "test-model", stream=stream)
    assert refused.status == 429
    told(refused, 3, 0)
    seconds, millis = int(refused.header("retry-after") or 0), int(refused.header("retry-after-ms") or 0)
    assert 1 <= seconds <= 60
    assert (seconds - 1) * 1000 < millis <= seconds * 1000


def test_what_was_tried_in_vain_says_what_is_left_too(tenants: Tenants) -> None:
    """402, and 422 after the model was asked again, which is no second request."""
    poor = tenants.key(tenants.project(tenants.organisation(metered=False)), "--requests-per-minute", "3")
    for remaining in (2, 1):
        answer = poor.chat()
        assert answer.status == 402
        told(answer, 3, remaining)
    caller = tenants.key("demo", "--requests-per-minute", "3")
    missed = caller.chat({"text": "no json"}, response_format=SCHEMA)
    assert (missed.status, missed.error["code"]) == (422, "schema_validation_failed")
    told(missed, 3, 2)


def test_each_dialect_has_its_own_form_of_refusal(tenants: Tenants) -> None:
    caller = tenants.key("demo", "--requests-per-minute", "1")
    assert caller.chat().status == 200
    errors = {name: shape.ask(caller, "test-model").json() for name, shape in SHAPES.items()}
    assert errors["openai_chat"]["error"]["type"] == errors["openai_responses"]["error"]["type"] == "rate_limit_error"
    assert errors["anthropic_messages"]["type"] == "error"
    assert errors["anthropic_messages"]["error"]["type"] == "rate_limit_error"
    gemini = errors["gemini_generate"]["error"]
    assert (gemini["code"], gemini["status"], gemini["reason"]) == (429, "RESOURCE_EXHAUSTED", "rate_limit_exceeded")


def test_what_one_limit_refuses_takes_nothing_of_the_others(tenants: Tenants, scripted: Upstream) -> None:
    words = ("--requests-per-minute", "5", "--tokens-per-day", "50000", "--concurrency", "1")
    caller = tenants.key("demo", *words)
    hold = Hold()
    scripted.play(hold)
    with caller.open() as connection:
        connection.send(chat_bytes(caller, model="scripted", max_tokens=100))
        hold.until(1)
        refusals = [caller.chat() for _ in range(4)]
        hold.let_go()
        assert rate(connection.answer()) == (5, 4)
    assert [(each.status, rate(each)) for each in refusals] == [(429, (5, 4))] * 4
    assert "1 requests at the same time" in refusals[0].error["message"]
    left = daily_left(caller)
    too_much = caller.chat(max_tokens=left + 1)
    assert (too_much.status, rate(too_much)) == (429, (5, 4))
    assert too_much.header("x-should-retry") == "false"
    assert daily_left(caller) == left
    assert rate(caller.chat()) == (5, 3)


def test_402_gives_back_its_place_and_its_tokens(tenants: Tenants) -> None:
    project = tenants.project(tenants.organisation(metered=False))
    caller = tenants.key(
        project,
        "--requests-per-minute",
        "9",
        "--concurrency",
        "1",
        "--tokens-per-day",
        "150",
        "--tokens-per-minute",
        "90",
    )
    answers = [caller.chat(max_tokens=60) for _ in range(5)]
    assert [(each.status, rate(each)) for each in answers] == [(402, (9, left)) for left in (8, 7, 6, 5, 4)]


def test_a_replay_takes_none(tenants: Tenants) -> None:
    caller = tenants.key("demo", "--requests-per-minute", "2")
    headers = {"idempotency-key": "limits-1"}
    answers = [caller.chat(headers=headers) for _ in range(4)]
    assert [each.status for each in answers] == [200] * 4
    assert [each.header("x-faregate-replayed") for each in answers] == [None, "true", "true", "true"]
    assert rate(caller.chat()) == (2, 0)
    conflict = caller.chat(headers=headers, temperature=0.5)
    assert (conflict.status, rate(conflict)) == (409, (2, 0))


@pytest.mark.parametrize("keyed", [False, True])
def test_a_call_that_fails_upstream_counts_as_a_request_and_uses_no_tokens(keyed: bool, tenants: Tenants) -> None:
    caller = tenants.key("demo", "--requests-per-minute", "9", "--tokens-per-day", "20000")
    left = daily_left(caller)
    headers = {"idempotency-key": "limits-2"} if keyed else {}
    failed = caller.chat(headers=headers, model="down-model", max_tokens=1000)
    assert (failed.status, rate(failed)) == (503, (9, 8))
    assert daily_left(caller) == left


def test_retries_of_the_gateways_own_are_no_requests_of_the_client(tenants: Tenants, simulator: Simulator) -> None:
    """Failover is not the caller's (contract.md 3.5)."""
    caller = tenants.key("demo", "--requests-per-minute", "9")
    answer = caller.chat(model="second-try")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "true")
    assert rate(answer) == (9, 8)


def test_houses_say_it_in_their_own_way(session_folder: Path, simulator: Simulator) -> None:
    """A house may send none of these."""
    house = session_folder / "quiet-house.toml"
    house.write_text('name = "quiet-house"\n[rate_headers]\nlimit = ""\nremaining = ""\nreset = ""\n')
    config = f"""
default_plan = "p"
house = {json.dumps(str(house))}
[plans.p.key]
requests_per_minute = {{ all = 1 }}
[providers.sim]
base_url = "{simulator.base_url}"
key = "k"
models = ["test-model"]
"""
    gateway = Gateway(session_folder, config)
    try:
        caller = Caller(gateway)
        answers = [caller.chat(), caller.chat(), caller.ask("POST", CHAT, b"{")]
        assert [each.status for each in answers] == [200, 429, 400]
        assert not any(name.startswith("x-ratelimit") for each in answers for name in each.names)
        assert answers[1].header("retry-after") is not None
    finally:
        gateway.stop()
