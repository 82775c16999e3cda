"""Errors: those a plan asks for, and those that a bad request gets."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from .conftest import HELLO, Simulated


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_errors_on_request(client: OpenAI, status: int, expected: type[openai.APIStatusError]) -> None:
    plan = {"status": status, "error_message": "so be it", "retry_after_s": 7}
    for stream in (False, True):
        with pytest.raises(expected) as caught:
            client.chat.completions.create(model="m", messages=HELLO, stream=stream, extra_body={"simulator": plan})
        error = caught.value
        assert error.status_code == status
        assert error.type
        assert "so be it" in error.message
        assert error.response.headers["retry-after"] == "7"
        assert error.request_id
        assert set(error.response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (b"{", 400, None),
        (b"[" * 100_000, 400, None),
        (b"\xff\xfe", 400, None),
        ({"messages": HELLO}, 400, "model"),
        ({"model": "m"}, 400, "messages"),
        ({"model": "m", "messages": []}, 400, "messages"),
        ({"model": "m", "messages": [{"role": "boss", "content": ""}]}, 400, "messages[0].role"),
        ({"model": "m", "messages": [{"role": "user", "content": [{}]}]}, 400, "messages[0].content[0]"),
        ({"model": "m", "messages": HELLO, "n": 0}, 400, "n"),
        ({"model": "m", "messages": HELLO, "top_logprobs": 2}, 400, "top_logprobs"),
        ({"model": "m", "messages": HELLO, "simulator": {"statuss": 1}}, 400, "simulator.statuss"),
        ({"model": "m", "messages": HELLO, "simulator": {"malformed": "crlf"}}, 400, "simulator.malformed"),
    ],
)
def test_bad_requests(simulated: Simulated, since: int, body: Any, status: int, param: str | None) -> None:
    reply = simulated.post(body)
    assert reply.status == status
    assert reply.json()["error"]["param"] == param
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert simulated.truth(since)[0]["outcome"] == "refused"


def test_keys_paths_and_methods(simulated: Simulated) -> None:
    body = {"model": "m", "messages": HELLO}
    assert simulated.post(body, key=None).json()["error"]["code"] == "invalid_api_key"
    assert simulated.post(body, key=None).status == 401
    assert simulated.call("GET", "/v1/models").status == 401
    assert simulated.post(body, "/v1/nothing").status == 404
    assert simulated.call("GET", "/v1/chat/completions", "sk").status == 405
    assert simulated.call("GET", "/v1/models/a%2Fb", "sk").json()["id"] == "a/b"


CALLS = {
    "role": "assistant",
    "tool_calls": [
        {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}} for name in ("call_1", "call_2")
    ],
}
RESULTS = [{"role": "tool", "tool_call_id": name, "content": "fine"} for name in ("call_1", "call_2")]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([CALLS, RESULTS[0]], "call_2"),
        ([CALLS, RESULTS[0], {"role": "user", "content": "x"}, RESULTS[1]], "call_2"),
        ([RESULTS[0]], "must be a response to a preceeding message"),
        ([CALLS, *RESULTS, {**RESULTS[0], "tool_call_id": "call_3"}], "must be a response to a preceeding message"),
        ([CALLS, *RESULTS, {"role": "tool", "content": "x"}], "must have a 'tool_call_id'"),
    ],
)
def test_calls_and_results_that_do_not_fit(simulated: Simulated, messages: list[Any], words: str) -> None:
    start = [{"role": "user", "content": "hello"}]
    assert simulated.ask(messages=[*start, CALLS, *RESULTS]).status == 200
    refused = simulated.ask(messages=[*start, *messages])
    assert (refused.status, refused.json()["error"]["type"]) == (400, "invalid_request_error")
    assert words in refused.json()["error"]["message"]
