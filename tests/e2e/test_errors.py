"""Errors as the SDKs show them: the class, and what is in it."""

from typing import Any

import pytest

from tests.running.processes import Gateway

from .processes import Upstream
from .scenarios import MODEL, REPLIES, WEATHER, Sdk, asks

HELLO = [{"role": "user", "content": "Hello"}]


def check(error: dict[str, Any], kind: str, status: int, **members: Any) -> None:
    """The error is of this class and status and has these members."""
    assert error["class"] == kind, error
    assert error["status"] == status
    assert error["message"]
    assert error["request_id"]
    assert {name: error[name] for name in members} == members


@pytest.fixture(scope="module")
def restricted(gateway: Gateway) -> dict[str, dict[str, Any]]:
    """Clients that may not do all: one model only; of a disabled project; of no key of ours."""

    def key(*words: str) -> dict[str, Any]:
        made = gateway.command("keys", "create", *words)
        assert made.returncode == 0, made.stderr
        return {"base_url": gateway.base_url, "api_key": made.stdout.strip()}

    clients = {"one model": key("one-model", "--project", "demo", "--model", "gpt-4o-mini")}
    for verb in ("create", "disable"):
        more = ("--org", "demo") if verb == "create" else ()
        done = gateway.command("projects", verb, "closed", *more)
        assert done.returncode == 0, done.stderr
        if verb == "create":
            clients["disabled"] = key("closed", "--project", "closed")
    clients["unknown"] = {"base_url": gateway.base_url, "api_key": gateway.key[:-4] + "AAAA"}
    clients["foreign"] = {"base_url": gateway.base_url, "api_key": "sk-proj-1234567890"}
    return clients


@pytest.mark.parametrize("operation", ["create", "collect", "accumulate"])
def test_unknown_model(any_client: Sdk, exact: Upstream, operation: str) -> None:
    params = {"model": "gpt-nothing", "messages": HELLO}
    error = any_client.fail(operation, exact.client, params)
    check(error, "NotFoundError", 404, code="model_not_found", param="model", type="not_found_error")
    assert "gpt-nothing" in error["message"]


@pytest.mark.contract("2.6")
@pytest.mark.parametrize("whose", ["unknown", "foreign"])
@pytest.mark.parametrize("operation", ["create", "collect", "list_models"])
def test_bad_key(any_client: Sdk, restricted: dict[str, Any], operation: str, whose: str) -> None:
    if any_client.is_async and operation == "list_models":
        operation = "accumulate"
    error = any_client.fail(operation, restricted[whose], {"model": MODEL, "messages": HELLO})
    check(error, "AuthenticationError", 401, code="invalid_api_key", type="authentication_error")
    assert restricted[whose]["api_key"] not in error["message"]


@pytest.mark.parametrize(
    ("param", "members"),
    [
        ("temperature", {"temperature": 2.5}),
        ("top_p", {"top_p": "high"}),
        ("n", {"n": 0}),
        ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
        ("messages", {"messages": []}),
        ("messages[0].role", {"messages": [{"role": "narrator", "content": "Hello"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 7}]}),
        ("messages[0].content[0].type", {"messages": [{"role": "user", "content": [{"type": 1}]}]}),
        ("top_logprobs", {"top_logprobs": 3}),
        ("max_tokens", {"max_tokens": 0}),
        ("tools", {"tools": "all of them"}),
        ("model", {"model": ""}),
    ],
)
def test_bad_parameters_are_named(sdk: Sdk, exact: Upstream, param: str, members: dict[str, Any]) -> None:
    error = sdk.fail("create", exact.client, {"model": MODEL, "messages": HELLO, **members})
    check(error, "BadRequestError", 400, param=param, type="invalid_request_error", code=None)
    assert param in error["message"]


def test_what_only_the_upstream_knows_to_be_bad(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = {"model": MODEL, "messages": HELLO, "service_tier": "golden"}
    error = sdk.fail("create", simulated_upstream.client, params)
    check(error, "BadRequestError", 400, param="service_tier", type="invalid_request_error")


@pytest.mark.parametrize("operation", ["create", "collect", "accumulate"])
def test_model_that_the_key_may_not_use(sdk: Sdk, restricted: dict[str, Any], operation: str) -> None:
    error = sdk.fail(operation, restricted["one model"], {"model": MODEL, "messages": HELLO})
    check(error, "PermissionDeniedError", 403, code="model_not_available", type="permission_error", param="model")


def test_account_disabled(sdk: Sdk, restricted: dict[str, Any]) -> None:
    error = sdk.fail("create", restricted["disabled"], {"model": MODEL, "messages": HELLO})
    check(error, "PermissionDeniedError", 403, code="account_disabled", type="permission_error")


def test_unknown_path(sdk: Sdk, exact: Upstream) -> None:
    error = sdk.fail("get", exact.client, {}, path="/nothing/here")
    check(error, "NotFoundError", 404, code="not_found", type="not_found_error")


@pytest.mark.parametrize("operation", ["create", "collect"])
def test_the_upstreams_own_refusal(any_client: Sdk, upstream: Upstream, operation: str) -> None:
    error = any_client.fail(operation, upstream.client, asks("refused"))
    check(error, "UnprocessableEntityError", 422, type="invalid_request_error", code=None, param=None)
    assert REPLIES["refused"]["error"]["message"] in error["message"]


def test_the_upstreams_secrets_stay(sdk: Sdk, simulated_upstream: Upstream) -> None:
    fault = {"status": 422, "error_message": "No such key.", "echo_authorization": True}
    error = sdk.fail("create", simulated_upstream.client, asks("plain", simulator=fault))
    assert error["status"] == 422
    assert "No such key." in error["message"]
    assert "simulator-secret-key" not in error["message"]


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_refusals_of_the_gateway_are_not_the_clients_fault(sdk: Sdk, simulated_upstream: Upstream, status: int) -> None:
    fault = {"status": status, "error_message": "Incorrect API key provided."}
    error = sdk.fail("create", simulated_upstream.client, asks("plain", simulator=fault))
    check(error, "InternalServerError", 503, code="upstream_unavailable", type="service_unavailable_error")
    assert "Incorrect" not in error["message"]


@pytest.mark.parametrize("operation", ["create", "collect", "accumulate"])
def test_the_upstreams_limit_is_no_limit_of_ours(any_client: Sdk, upstream: Upstream, operation: str) -> None:
    error = any_client.fail(operation, upstream.client, asks("limited"))
    check(error, "InternalServerError", 503, code="upstream_rate_limited", type="service_unavailable_error")
    assert error["retry_after"] == "7"


@pytest.mark.parametrize("operation", ["create", "collect"])
def test_the_upstream_is_down(any_client: Sdk, upstream: Upstream, operation: str) -> None:
    error = any_client.fail(operation, upstream.client, asks("down"))
    check(error, "InternalServerError", 503, code="upstream_unavailable", type="service_unavailable_error")
    assert int(error["retry_after"]) >= 1


@pytest.mark.parametrize("malformed", ["html", "empty", "error_json", "not_json"])
def test_garbage_for_an_answer(sdk: Sdk, simulated_upstream: Upstream, malformed: str) -> None:
    error = sdk.fail("create", simulated_upstream.client, asks("plain", simulator={"malformed": malformed}))
    check(error, "InternalServerError", 503, code="upstream_unavailable")


@pytest.mark.contract("5.1")
def test_a_stream_that_breaks(any_client: Sdk, upstream: Upstream) -> None:
    report = any_client.report("collect", upstream.client, asks("breaks"))
    error = report["error"]
    assert error["class"] == "APIError", error
    assert (error["code"], error["type"]) == ("upstream_unavailable", "service_unavailable_error")
    assert report["chunks"]
    assert not any(choice["finish_reason"] for chunk in report["chunks"] for choice in chunk["choices"])


def test_a_stream_that_breaks_under_the_accumulator(any_client: Sdk, upstream: Upstream) -> None:
    report = any_client.report("accumulate", upstream.client, asks("breaks"))
    assert report["error"]["class"] == "APIError", report
    assert report["error"]["code"] == "upstream_unavailable"
    assert "answer" not in report


@pytest.mark.parametrize(
    "fault", [{"cut_after_bytes": 1500}, {"malformed": "not_json"}, {"malformed": "huge_line"}], ids=str
)
def test_every_broken_stream_is_seen_to_be_broken(
    sdk: Sdk, simulated_upstream: Upstream, fault: dict[str, Any]
) -> None:
    report = sdk.report("collect", simulated_upstream.client, asks("story", simulator=fault))
    assert report["error"]["class"] == "APIError", report
    assert report["error"]["code"] == "upstream_unavailable"
    assert report["chunks"]


def test_a_tool_call_that_breaks_is_no_tool_call(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = asks("weather", tools=[WEATHER], simulator={"cut_after_bytes": 900})
    report = sdk.report("accumulate", simulated_upstream.client, params)
    assert report["error"]["class"] == "APIError", report
    assert "answer" not in report


def test_a_stream_that_is_none(sdk: Sdk, simulated_upstream: Upstream) -> None:
    for malformed in ("html", "empty", "error_json"):
        params = asks("plain", simulator={"malformed": malformed})
        error = sdk.fail("collect", simulated_upstream.client, params)
        check(error, "InternalServerError", 503, code="upstream_unavailable")
