"""The platform document on errors, on the wire of a gateway that wears this house."""

import sys
from typing import Any

import openai
import pytest

from tests.e2e.processes import LineProcess
from tests.money.books import Customer
from tests.running.client import HELLO, Caller, eventually, last_entry
from tests.running.processes import Simulator

from ..front import Front, unquoted
from .house import CHATS, DOCUMENT, PRINTED, chat, run, sdk_of


def test_every_test_quotes_the_document() -> None:
    """'API Reference' is its first line."""
    assert not unquoted(sys.modules[__name__], DOCUMENT)


# Errors


@pytest.mark.contract("9", "2.6")
@pytest.mark.parametrize("client", ["curl", "python", "node"])
def test_the_printed_error(front: Front, node: LineProcess, client: str) -> None:
    """'Invalid API key provided.'"""
    printed = PRINTED["error"]["error"]
    if client == "curl":
        answer = run(front, "chat", "sk-fg-nothing")
        assert (answer.status, answer.json()) == (401, PRINTED["error"])
        assert list(answer.error) == list(printed)
        assert run(front, "auth", "sk-fg-nothing").json() == PRINTED["error"]
    elif client == "python":
        with sdk_of(front, "sk-fg-nothing") as sdk, pytest.raises(openai.AuthenticationError) as caught:
            sdk.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
        assert caught.value.body == printed
    else:
        options = {"base_url": f"{front.origin}/api/v1", "api_key": "sk-fg-nothing"}
        params = {"model": "gpt-4o", "messages": HELLO}
        error = node.ask({"operation": "create", "client": options, "params": params})["error"]
        assert (error["class"], error["status"], error["type"]) == ("AuthenticationError", 401, printed["type"])


ROWS: list[tuple[int, str, str | None, dict[str, Any]]] = [
    (400, "invalid_request_error", None, {"temperature": 3}),
    (404, "not_found_error", "model_not_found", {"model": "no-such-model"}),
    (503, "service_unavailable_error", "upstream_unavailable", {"simulator": {"status": 500}}),
    (503, "service_unavailable_error", "upstream_unavailable", {"simulator": {"status": 401}}),
    (503, "service_unavailable_error", "upstream_unavailable", {"simulator": {"malformed": "html"}}),
    (503, "service_unavailable_error", "upstream_rate_limited", {"simulator": {"status": 429, "retry_after_s": 2}}),
]


@pytest.mark.contract("9", "3.6")
@pytest.mark.parametrize(("status", "error_type", "code", "members"), ROWS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_table_of_errors(
    payer: Customer, status: int, error_type: str, code: str | None, members: dict[str, Any], stream: bool
) -> None:
    """'All errors follow the OpenAI error shape: { error: { message, type, code } }.'"""
    answer = chat(payer, **{"stream": stream, **members})
    assert (answer.status, answer.error["type"], answer.error["code"]) == (status, error_type, code)
    assert list(answer.error) == ["message", "type", "code"]
    assert ("retry-after" in answer.names) == (status == 503)


@pytest.mark.contract("9")
def test_resources_that_are_not(payer: Customer) -> None:
    """'The requested resource or model does not exist.'"""
    for path in ("/api/v1/nothing", "/api/v1/requests/nothing", "/api/v1/models/nothing", "/v1/models"):
        answer = payer.get(path)
        assert (answer.status, answer.error["type"]) == (404, "not_found_error")


@pytest.mark.contract("2.6", "9")
def test_a_disabled_account(front: Front) -> None:
    """'API access is disabled for your account'"""
    customer = front.customer()
    assert chat(customer).status == 200
    front.disable(customer)
    answer = eventually(lambda: (found := chat(customer)).status == 403 and found)
    assert answer and (answer.error["type"], answer.error["code"]) == ("permission_error", "account_disabled")


@pytest.mark.contract("3.7", "9")
def test_the_longest_request(front: Front) -> None:
    """'The upstream model provider is temporarily unavailable.'"""
    customer = front.customer()
    assert front.gateway.command("keys", "set", customer.key_id, "--longest-request", "1s").returncode == 0
    answer = chat(customer, {"stall_before_head_ms": 4_000})
    assert (answer.status, answer.error["type"]) == (503, "service_unavailable_error")
    assert answer.error["code"] == "request_timeout"


@pytest.mark.contract("9")
def test_the_first_refusal_wins(front: Front, simulator: Simulator) -> None:
    """'HTTP Code | Error Type | Description'"""
    customer = front.customer("free", bought=None)
    since = last_entry(simulator)
    assert Caller(front.gateway, "sk-fg-nothing").ask("PUT", "/api/v1/nowhere", {}).status == 401
    assert customer.ask("PUT", "/api/v1/nowhere", {}).status == 404
    foreign = {"x-faregate-project-id": "another"}
    assert customer.ask("PUT", CHATS, {}, foreign).status == 405
    assert customer.ask("POST", CHATS, {}, foreign).status == 403
    steps = [({"model": "nothing"}, 400), ({"model": "nothing", "messages": HELLO}, 404)]
    for body, status in steps:
        assert customer.ask("POST", CHATS, body).status == status
    # Ten are counted and cannot be paid for; then the limit is what is told
    statuses = [chat(customer).status for _ in range(12)]
    assert statuses == [402] * 10 + [429] * 2
    assert last_entry(simulator) == since
