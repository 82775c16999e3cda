"""The lincorelink document on errors, on the wire of a gateway that wears this house."""

import sys
from collections.abc import Callable
from typing import Any

import openai
import pytest

from tests.e2e.processes import LineProcess
from tests.money.books import Customer
from tests.running.client import CHAT, HELLO, Caller, eventually

from ..front import Front, curl, printed_commands, printed_json, unquoted
from .house import BASE_URL, DOCUMENT, FLASH, PRO, sdk_of


def test_every_test_quotes_the_document() -> None:
    """'API documentation' is its first line."""
    assert not unquoted(sys.modules[__name__], DOCUMENT)


# Errors


@pytest.mark.contract("9")
@pytest.mark.parametrize("client", ["curl", "python", "node"])
def test_the_printed_error(front: Front, node: LineProcess, client: str) -> None:
    """'Insufficient balance. Top up to continue.'"""
    poor = front.customer(bought=None)
    printed = printed_json(DOCUMENT)[1]
    if client == "curl":
        [command] = printed_commands(DOCUMENT)
        command = command.replace(BASE_URL, front.gateway.base_url).replace(PRO, FLASH)
        answer = curl(command, LINCORELINK_API_KEY=poor.key)
        assert (answer.status, answer.json()) == (402, printed)
        assert list(answer.error) == list(printed["error"])
    elif client == "python":
        with sdk_of(poor) as sdk, pytest.raises(openai.APIStatusError) as caught:
            sdk.chat.completions.create(model=FLASH, messages=HELLO)  # type: ignore[arg-type]
        assert (caught.value.status_code, caught.value.body) == (402, printed["error"])
    else:
        params = {"model": FLASH, "messages": HELLO}
        options = {"base_url": poor.gateway.base_url, "api_key": poor.key}
        error = node.ask({"operation": "create", "client": options, "params": params})["error"]
        assert (error["status"], error["type"], error["code"]) == (402, "insufficient_quota", "insufficient_funds")


ROWS: list[tuple[int, str, str | None, dict[str, Any]]] = [
    (400, "invalid_request_error", "model_not_found", {"model": "gpt-4o"}),
    (400, "invalid_request_error", "model_not_found", {"model": "no-such-model"}),
    (400, "invalid_request_error", None, {"temperature": 3}),
    (403, "permission_error", "model_not_available", {"model": PRO}),
    (503, "api_error", "api_error", {"simulator": {"status": 500}}),
    (503, "api_error", "api_error", {"simulator": {"status": 429, "retry_after_s": 2}}),
    (503, "api_error", "api_error", {"simulator": {"status": 401}}),
    (503, "api_error", "api_error", {"simulator": {"malformed": "html"}}),
]


@pytest.mark.contract("9", "3.6")
@pytest.mark.parametrize(("status", "error_type", "code", "members"), ROWS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_table_of_errors(
    basic: Customer, status: int, error_type: str, code: str | None, members: dict[str, Any], stream: bool
) -> None:
    """'Errors use the OpenAI shape, so existing error handling works unchanged'"""
    answer = basic.ask("POST", CHAT, basic.body(**members, stream=stream))
    assert (answer.status, answer.error["type"], answer.error["code"]) == (status, error_type, code)
    assert list(answer.error) == ["message", "type", "param", "code"]
    assert ("retry-after" in answer.names) == (status >= 500)


@pytest.mark.contract("5.1", "9")
def test_a_stream_that_fails(basic: Customer) -> None:
    """'Upstream/provider error. Safe to retry with backoff.'"""
    answer = basic.streamed({"output_tokens": 20, "malformed": "error_event"})
    error, last = answer.events[-2:]
    assert (answer.status, last) == (200, "[DONE]")
    assert list(error["error"]) == ["message", "type", "param", "code"]
    assert (error["error"]["type"], error["error"]["code"]) == ("api_error", "api_error")


@pytest.mark.contract("3.7", "9")
def test_the_longest_request(front: Front) -> None:
    """'Retry on 429 and 5xx with exponential backoff, and honour the'"""
    customer = front.customer()
    assert front.gateway.command("keys", "set", customer.key_id, "--longest-request", "1s").returncode == 0
    answer = eventually(
        lambda: (found := customer.chat({"stall_before_head_ms": 3_000})).status == 504 and found, within_s=15
    )
    assert answer and (answer.error["type"], answer.error["code"]) == ("api_error", "api_error")
    assert "retry-after" in answer.names


@pytest.mark.contract("9")
def test_the_first_refusal_wins(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'Status | code | Meaning'"""
    customer = front.customer(bought=None)
    long = [{"role": "user", "content": "word " * 1_000_000}]
    steps = [  # each mends what the one before was refused for
        ({"model": "nothing", "messages": [], "stream": 3}, 400, None),
        ({"model": "nothing", "messages": long}, 400, "model_not_found"),
        ({"model": PRO, "messages": long}, 403, "model_not_available"),
        ({"model": FLASH, "messages": long}, 413, "context_length_exceeded"),
        ({"model": FLASH, "messages": HELLO}, 402, "insufficient_funds"),
    ]
    stranger = Caller(front.gateway, "sk-lcl-nothing")
    assert stranger.ask("POST", CHAT, steps[0][0]).status == 401
    for body, status, code in steps:
        answer = customer.ask("POST", CHAT, body)
        assert (answer.status, answer.error["code"]) == (status, code)
    front.disable(customer)
    eventually(lambda: customer.ask("POST", "/v1/nowhere", {}).status == 403)
    assert not heard()


@pytest.mark.contract("9")
def test_limits_before_funds(front: Front) -> None:
    """'Balance cannot cover the request. Top up to continue.'"""
    customer = front.customer(bought="0.05")
    running = [customer.stream({"stall_after_tokens": 1}, max_tokens=10) for _ in range(10)]
    try:
        dear = customer.body(max_tokens=32_768, n=20)
        assert customer.ask("POST", CHAT, dear).status == 429
        running.pop().close()
        eventually(lambda: customer.ask("POST", CHAT, dear).status == 402)
    finally:
        for each in running:
            each.close()
