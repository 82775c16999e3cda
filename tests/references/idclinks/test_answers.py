"""The idclinks reference on what answers say, on limits, keys and traces, statement by statement."""

import json
import re
import uuid
from decimal import Decimal
from typing import Any

import openai
import pytest

from tests.running.client import Answer, Caller, eventually
from tests.running.processes import Gateway

from ..examples import sdk
from ..ladder import climb
from ..tenants import command, tenant_of
from .house import MEMBERS, MODEL, ROUTING, assert_error, streamed_head

# What every answer says


def answers_of_all_kinds(caller: Caller) -> list[Answer]:
    return [
        caller.chat(),
        streamed_head(caller),
        caller.get("/v1/models"),
        caller.chat(temperature=9),
        caller.chat({"status": 500}, model="phi-4"),
        Caller(caller.gateway, "no-key").chat(),
        caller.get("/v1/nowhere"),
    ]


@pytest.mark.contract("4.1", "4.2")
def test_response_headers(caller: Caller) -> None:
    """ "Every response includes routing metadata": all names of the table, in their formats, errors too."""
    ids = []
    for answer in answers_of_all_kinds(caller):
        assert set(ROUTING) <= answer.names
        ids.append(answer.header("idc-request-id"))
        assert answer.header("x-request-id") == ids[-1]
        if answer.status != 200:
            assert answer.error["request_id"] == ids[-1]
        assert re.fullmatch(r"\d+", answer.header("idc-latency-ms") or "")
        assert answer.header("idc-failover") == "false"
        assert not [name for name in answer.names if name.startswith("x-faregate-")]
    assert [uuid.UUID(each).version for each in ids] == [7] * len(ids)
    assert len(set(ids)) == len(ids)
    reached_none = caller.get("/v1/nowhere")
    assert (reached_none.header("idc-region"), reached_none.header("idc-replica")) == ("default", "none")


@pytest.mark.contract("4.2", "7.2", "7.1")
def test_the_token_rate(caller: Caller) -> None:
    """ "idc-token-rate | Per-million-token rate applied to this request.": and the request costs just that."""
    answer = caller.chat({"cached_tokens": 4, "output_tokens": 20})
    assert answer.header("idc-token-rate") == "input=3;cached=0.3;output=15"
    usage = answer.json()["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached == 4 and usage["completion_tokens"] == 20
    cost = (usage["prompt_tokens"] - cached) * 3 + cached * Decimal("0.3") + usage["completion_tokens"] * 15
    assert Decimal(answer.header("x-credits-used") or "") == cost / 1_000_000


@pytest.mark.contract("4.2")
def test_latency_is_end_to_end(caller: Caller) -> None:
    """ "idc-latency-ms | End-to-end latency, including upstream."."""
    assert int(caller.chat({"stall_before_head_ms": 120}).header("idc-latency-ms") or 0) >= 120


@pytest.mark.contract("3.5", "4.2", "4.4")
def test_failover(idclinks: Gateway) -> None:
    """ "Upstream failovers are automatic and don't count against your retry budget."; idc-failover tells."""
    caller = tenant_of(idclinks, "failing-over", "--metered").key("--requests-per-minute", "50", model=MODEL)
    before = caller.chat()
    failed = caller.chat({"status": 500, "when_model": "claude-sonnet-4-6-us-east"})
    assert (failed.status, failed.json()["model"]) == (200, MODEL)
    assert (failed.header("idc-failover"), before.header("idc-failover")) == ("true", "false")
    assert failed.header("idc-region") in ("eu-fra", "ap-sg")
    left = [int(answer.header("x-ratelimit-remaining-requests") or "") for answer in (before, failed)]
    assert left == [49, 48]
    head = streamed_head(caller, plan={"status": 503, "when_model": "claude-sonnet-4-6-us-east"})
    assert (head.status, head.header("idc-failover")) == (200, "true")


@pytest.mark.contract("4.5", "3.6", "9")
def test_retry_after(idclinks: Gateway) -> None:
    """ "429 and 5xx responses include a Retry-After header": whole seconds, at least one; no other answer has it."""
    caller = tenant_of(idclinks, "hasty", "--metered").key("--requests-per-minute", "3", model=MODEL)
    limited = caller.chat({"status": 429, "retry_after_s": 7.2})
    assert_error(limited, 503, "service_unavailable_error", "upstream_rate_limited")
    assert limited.header("retry-after") == "8"
    assert_error(caller.chat({"status": 500}), 503, "service_unavailable_error", "upstream_unavailable")
    assert caller.chat().status == 200
    answer = caller.chat()
    assert_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
    assert 1 <= int(answer.header("retry-after") or "") <= 60
    with sdk(idclinks, caller.key) as client, pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.contract("9", "5.1")
def test_a_stream_that_fails(caller: Caller) -> None:
    """ "The gateway returns standard HTTP status codes.": too late for one, the stream says it, and is [DONE]."""
    answer = caller.streamed({"cut_after_bytes": 1500})
    *_, error, done = answer.events
    assert list(error["error"]) == MEMBERS
    assert (error["error"]["code"], done) == ("upstream_unavailable", "[DONE]")
    assert not any(choice["finish_reason"] for event in answer.events[:-2] for choice in event["choices"])


@pytest.mark.contract("9")
def test_the_order_of_checks(idclinks: Gateway) -> None:
    """ "The gateway returns standard HTTP status codes.": of a request with many flaws the first in the order."""
    bad = "invalid_request_error"
    assert {
        step: (answer.status, answer.error["type"], answer.error["code"]) for step, answer in climbed(idclinks)
    } == {
        "key": (401, "authentication_error", "invalid_api_key"),
        "account": (403, "permission_error", "account_disabled"),
        "route": (404, "not_found_error", "not_found"),
        "method": (405, bad, None),
        "project": (403, "permission_error", "project_not_allowed"),
        "body": (400, bad, None),
        "model": (404, "not_found_error", "model_not_found"),
        "plan": (403, "permission_error", "model_not_available"),
        "capability": (400, bad, "vision_not_supported_by_model"),
        "retention": (400, bad, "no_retention_unavailable"),
        "context": (413, bad, "context_length_exceeded"),
        "rate": (429, "rate_limit_error", "rate_limit_exceeded"),
        "funds": (402, "insufficient_quota", "insufficient_funds"),
    }


def climbed(gateway: Gateway) -> Any:
    return climb(gateway, "idc-project-id", "idc-no-retention").items()


# Limits


@pytest.mark.contract("6.1", "6.8", "4.4")
def test_the_ceiling_is_of_the_project(idclinks: Gateway) -> None:
    """ "Default Developer-tier ceiling is 10,000 requests/min per project.": its figure; and, small, what it counts."""
    tenant = tenant_of(idclinks, "developers", "--metered")
    first, second = tenant.key(model=MODEL), tenant.key(model=MODEL)
    answers = [first.chat(), second.chat(), tenant.another_project("other").key(model=MODEL).chat()]
    assert {answer.header("x-ratelimit-limit-requests") for answer in answers} == {"10000"}
    assert [answer.header("x-ratelimit-remaining-requests") for answer in answers] == ["9999", "9998", "9999"]
    shown = command(idclinks, "keys", "limits", command(idclinks, "keys", "list", "--project", tenant.project)[0]["id"])
    assert shown["plan"] == "developer"
    command(idclinks, "plans", "create", "small", "--project-requests-per-minute", "5")
    command(idclinks, "orgs", "plan", tenant.organisation, "small")
    eventually(lambda: first.chat().header("x-ratelimit-limit-requests") == "5")
    refused = eventually(lambda: (answer := second.chat()).status == 429 and answer)
    assert_error(refused, 429, "rate_limit_error", "rate_limit_exceeded")
    assert "5 requests a minute for this project" in refused.error["message"]
    assert first.chat().status == 429


@pytest.mark.contract("6.6")
def test_reserved_budgets(idclinks: Gateway) -> None:
    """ "Scale and Enterprise plans get reservable per-tenant budgets that you can rebalance": in one step."""
    tenant = tenant_of(idclinks, "enterprise", "--metered")
    other = tenant.another_project("enterprise-other")
    command(idclinks, "orgs", "plan", tenant.organisation, "enterprise")
    command(idclinks, "throughput", "set", tenant.organisation, "--requests", "4")
    for project in (tenant.project, other.project):
        command(idclinks, "throughput", "share", project, "--requests", "2")
    caller = tenant.key(model=MODEL)
    assert [caller.chat().status for _ in range(3)] == [200, 200, 429]
    too_much = idclinks.command("throughput", "share", tenant.project, "--requests", "3")
    assert too_much.returncode != 0
    command(idclinks, "throughput", "move", other.project, tenant.project, "--requests", "2")
    assert eventually(lambda: (answer := caller.chat()).status == 200 and answer)


@pytest.mark.contract("6.2")
def test_the_net_of_addresses(netted: Gateway) -> None:
    """ "Default Developer-tier ceiling is 10,000 requests/min per project.": no address has another one, but for keys
    that are none."""
    from_there = {"x-forwarded-for": "192.0.2.1"}
    good, bad = Caller(netted, model="gpt-4o"), Caller(netted, "idc_live_guess", "gpt-4o")
    assert good.get("/v1/models", from_there).status == 200
    answers = [bad.get("/v1/models", from_there | {"authorization": f"Bearer guess-{n}"}) for n in range(40)]
    statuses = [answer.status for answer in answers]
    assert statuses[:20] == [401] * 20 and statuses[-1] == 429
    assert 1 <= int(answers[-1].header("retry-after") or "") <= 60
    assert good.get("/v1/models", from_there).status == 200
    assert bad.get("/v1/models", {"x-forwarded-for": "192.0.2.2"}).status == 401
    shown = netted.command("house", "show", "idclinks").stdout
    assert 'requests = 5000\nwindow_s = 600.0\ncounts = "without_key"' in shown


# Keys, traces


@pytest.mark.contract("2.2", "2.3", "2.5")
def test_keys_are_rotated_on_their_own(idclinks: Gateway) -> None:
    """ "API keys are scoped to a project; project-scoped keys can be rotated independently"."""
    tenant = tenant_of(idclinks, "rotating", "--metered")
    made = command(idclinks, "keys", "create", "key", "--project", tenant.project)
    old, neighbour = Caller(idclinks, made["key"], MODEL), tenant.key(model=MODEL)
    assert old.chat().status == 200
    new = Caller(idclinks, command(idclinks, "keys", "rotate", made["id"])["key"], MODEL)
    assert new.key.startswith("idc_live_")
    eventually(lambda: old.chat().status == 401)
    answer = new.chat()
    assert new.record(answer.header("idc-request-id"))["key_id"] == made["id"]
    assert neighbour.chat().status == 200


@pytest.mark.contract("4.6", "7.6")
def test_the_trace_of_a_request(idclinks: Gateway, caller: Caller) -> None:
    """ "Per-request traces": the record of each request, by the id that every answer has, without its content."""
    answer = caller.chat(headers={"idc-region-hint": "eu-fra", "x-request-id": "mine-1"})
    with sdk(idclinks) as client:
        record: Any = client.get(f"/requests/{answer.header('idc-request-id')}", cast_to=object)
    assert (record["status"], record["operation"], record["model_asked"]) == (200, "chat", MODEL)
    assert (record["target"]["region"], record["target"]["replica"]) == ("eu-fra", "eu-fra-1")
    assert record["usage"]["prompt_tokens"] == answer.json()["usage"]["prompt_tokens"]
    assert record["cost"] == answer.header("x-credits-used")
    assert (record["attempts"], record["client_request_id"]) == (1, "mine-1")
    assert record["first_byte_ms"] <= record["total_ms"]
    assert answer.json()["choices"][0]["message"]["content"] not in json.dumps(record)


@pytest.mark.contract("1.14", "9")
def test_what_is_off(caller: Caller) -> None:
    """ "Every request goes to https://api.idclinks.com/v1.": there is no other prefix."""
    for path in ("/api/v1/models", "/models", "/v2/models"):
        assert_error(caller.get(path), 404, "not_found_error", "not_found")
