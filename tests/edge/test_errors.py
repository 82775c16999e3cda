"""Every kind of error of contract.md section 9 that can be had: status, type, code, members, id, Retry-After."""

import re
import uuid

import pytest

from tests.running.client import CHAT, HELLO, Answer, Caller
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

MEMBERS = ["message", "type", "param", "code", "request_id"]


def assert_error(answer: Answer, status: int, error_type: str, code: str | None, param: str | None = None) -> None:
    """The default house's form, in full."""
    assert answer.status == status, answer.body
    assert answer.header("content-type") == "application/json"
    assert list(answer.json()) == ["error"]
    error = answer.error
    assert list(error) == MEMBERS
    assert (error["type"], error["code"], error["param"]) == (error_type, code, param)
    assert error["request_id"] == answer.header("x-request-id")
    assert uuid.UUID(error["request_id"]).version == 7
    assert re.fullmatch(r"[ -~]{5,300}", error["message"])
    assert ("retry-after" in answer.names) == (status == 429 or status >= 500)
    if "retry-after" in answer.names:
        assert int(answer.header("retry-after") or 0) >= 1
    assert b"Traceback" not in answer.body


BAD_PARAMETERS = [
    ("model", {"model": None}),
    ("model", {"model": 5}),
    ("model", {"model": ["gpt-4o"]}),
    ("messages", {"messages": None}),
    ("messages", {"messages": []}),
    ("messages", {"messages": {}}),
    ("messages", {"messages": "hello"}),
    ("messages[0]", {"messages": ["hello"]}),
    ("messages[0]", {"messages": [{"content": "no role"}]}),
    ("messages[1].role", {"messages": [*HELLO, {"role": "robot", "content": "x"}]}),
    ("messages[0].role", {"messages": [{"role": 1, "content": "x"}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": 5}]}),
    ("messages[0].content", {"messages": [{"role": "user", "content": {}}]}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": ["x"]}]}),
    ("messages[0].content[0]", {"messages": [{"role": "user", "content": [{"text": "x"}]}]}),
    ("stream", {"stream": "yes"}),
    ("stream", {"stream": 1}),
    ("stream_options", {"stream": True, "stream_options": 1}),
    ("stream_options.include_usage", {"stream": True, "stream_options": {"include_usage": "yes"}}),
    ("temperature", {"temperature": 2.1}),
    ("temperature", {"temperature": -0.1}),
    ("temperature", {"temperature": "hot"}),
    ("top_p", {"top_p": 1.5}),
    ("presence_penalty", {"presence_penalty": -2.5}),
    ("frequency_penalty", {"frequency_penalty": 3}),
    ("n", {"n": 0}),
    ("n", {"n": -1}),
    ("n", {"n": 129}),
    ("n", {"n": 1.5}),
    ("max_tokens", {"max_tokens": 0}),
    ("max_tokens", {"max_tokens": -1}),
    ("max_tokens", {"max_tokens": 10**12}),
    ("max_completion_tokens", {"max_completion_tokens": "many"}),
    ("stop", {"stop": ["a", "b", "c", "d", "e"]}),
    ("stop", {"stop": 5}),
    ("stop[1]", {"stop": ["a", 1]}),
    ("top_logprobs", {"top_logprobs": 3}),
    ("top_logprobs", {"logprobs": True, "top_logprobs": 21}),
    ("tools", {"tools": "none"}),
    ("tools[0]", {"tools": [{}]}),
]


@pytest.mark.contract("5.6", "9")
@pytest.mark.parametrize(("param", "members"), BAD_PARAMETERS)
def test_malformed_request_names_the_parameter(param: str, members: dict[str, object], caller: Caller) -> None:
    body = {name: value for name, value in (caller.body() | members).items() if value is not None}
    answer = caller.ask("POST", CHAT, body)
    assert_error(answer, 400, "invalid_request_error", None, answer.error["param"])
    assert answer.error["param"].startswith(param)
    assert param.partition("[")[0] in answer.error["message"]


@pytest.mark.contract("9")
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nonsense"])
def test_malformed_json(body: bytes, caller: Caller) -> None:
    assert_error(caller.ask("POST", CHAT, body), 400, "invalid_request_error", None)


@pytest.mark.parametrize("prompt", [None, 5, {}, [1.5], [[]], [{}]])
def test_completions_prompt(prompt: object, caller: Caller) -> None:
    body = {"model": "test-model", **({} if prompt is None else {"prompt": prompt})}
    answer = caller.ask("POST", "/v1/completions", body)
    if prompt == [[]]:
        assert answer.status == 200  # a list of token lists, one of them empty: the provider's to judge
        return
    assert_error(answer, 400, "invalid_request_error", None, answer.error["param"])
    assert answer.error["param"].startswith("prompt")


@pytest.mark.contract("2.6", "9")
def test_missing_and_bad_key(gateway: Gateway) -> None:
    for headers in (
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Basic {gateway.key}"},
        {"authorization": gateway.key},
        {"authorization": "Bearer sk-wrong"},
        {"authorization": f"Bearer {gateway.key} {gateway.key}"},
    ):
        answer = Caller(gateway, key="").ask("POST", CHAT, {}, headers)
        assert_error(answer, 401, "authentication_error", "invalid_api_key")
        assert answer.error["message"] == "Invalid API key provided."


@pytest.mark.contract("2.1")
@pytest.mark.parametrize("name", ["Authorization", "AUTHORIZATION", "x-api-key", "X-API-Key", "x-goog-api-key"])
def test_headers_that_carry_a_key(name: str, gateway: Gateway) -> None:
    with Caller(gateway).open() as connection:
        value = gateway.key if name.lower().startswith("x-") else f"bearer  {gateway.key}"
        connection.send(f"GET /v1/models HTTP/1.1\r\nhost: x\r\n{name}: {value}\r\n\r\n".encode())
        assert connection.answer().status == 200


@pytest.mark.contract("9")
def test_model_unknown(caller: Caller) -> None:
    assert_error(caller.chat(model="no-such-model"), 404, "not_found_error", "model_not_found", "model")
    answer = caller.get("/v1/models/no-such-model")
    assert_error(answer, 404, "not_found_error", "model_not_found", "model")
    assert "no-such-model" in answer.error["message"]


@pytest.mark.contract("3.1", "9")
def test_retired_model_names_its_successor(caller: Caller) -> None:
    answer = caller.chat(model="dall-e-2")
    assert_error(answer, 404, "not_found_error", "model_not_found", "model")


@pytest.mark.contract("9")
@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2/models", "/v1/nothing", "/v1/chat", "/favicon.ico", "/v1/requests/"]
)
def test_resource_unknown(path: str, caller: Caller) -> None:
    assert_error(caller.get(path), 404, "not_found_error", "not_found")


@pytest.mark.contract("9")
@pytest.mark.parametrize(
    ("path", "name"), [("/v1/messages/batches", "anthropic-version"), ("/v1beta/files", "x-goog-api-key")]
)
def test_what_is_not_there_is_told_in_the_clients_dialect(path: str, name: str, caller: Caller) -> None:
    """Where the path says nothing, its fields do: Anthropic's and Google's SDKs send these with every request."""
    body = caller.ask("GET", path, None, {name: caller.key if "key" in name else "2023-06-01"}).json()
    if name == "anthropic-version":
        assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    else:
        assert (body["error"]["code"], body["error"]["status"]) == (404, "NOT_FOUND")


def test_request_unknown(caller: Caller) -> None:
    for name in (str(uuid.uuid4()), "nonsense", "%00", "x" * 1000, "'; --"):
        assert_error(caller.get(f"/v1/requests/{name.replace(' ', '%20')}"), 404, "not_found_error", "not_found", "id")


@pytest.mark.contract("9")
def test_body_too_large(caller: Caller) -> None:
    with caller.open() as connection:
        connection.send(caller.bytes_of("POST", CHAT, headers={"content-length": str(33 * 1024 * 1024)}))
        assert_error(connection.answer(), 413, "invalid_request_error", "request_too_large")
        assert connection.ended() == b""


def test_method_not_allowed(caller: Caller) -> None:
    for method, path, allow in (
        ("GET", CHAT, "POST, OPTIONS"),
        ("DELETE", "/v1/completions", "POST, OPTIONS"),
        ("POST", "/v1/models", "GET, HEAD, OPTIONS"),
        ("PUT", "/v1/models/gpt-4o", "GET, HEAD, OPTIONS"),
        ("PATCH", "/v1/requests/x", "GET, HEAD, OPTIONS"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ):
        answer = caller.ask(method, path)
        assert_error(answer, 405, "invalid_request_error", None)
        assert answer.header("allow") == allow


@pytest.mark.contract("9")
def test_media_type(caller: Caller) -> None:
    answer = caller.ask("POST", CHAT, b"x", {"content-encoding": "gzip"})
    assert_error(answer, 415, "invalid_request_error", None)


def test_head_too_large_and_malformed(caller: Caller) -> None:
    """What never becomes a request is refused in the client's form too."""
    for request, status in (
        (caller.bytes_of("GET", "/v1/models", headers={"x-long": "x" * 20_000}), 431),
        (b"nonsense\r\n\r\n", 400),
    ):
        with caller.open() as connection:
            connection.send(request)
            assert_error(connection.answer(), status, "invalid_request_error", None)


@pytest.mark.contract("3.6", "4.5", "9")
def test_upstreams_unavailable(caller: Caller) -> None:
    for status in (401, 402, 403, 404, 407, 408, 500, 502, 503, 529):
        for stream in (False, True):
            answer = caller.chat({"status": status}, stream=stream)
            assert_error(answer, 503, "service_unavailable_error", "upstream_unavailable")
    assert caller.chat({"status": 503, "retry_after_s": 9}).header("retry-after") == "9"


@pytest.mark.contract("3.6", "9")
@pytest.mark.parametrize(
    ("given", "said"), [(None, "1"), (0, "1"), (0.2, "1"), (12, "12"), (12.5, "13"), (1e9, "3600")]
)
def test_upstreams_limit_us(given: float | None, said: str, caller: Caller) -> None:
    answer = caller.chat({"status": 429} | ({} if given is None else {"retry_after_s": given}))
    assert_error(answer, 503, "service_unavailable_error", "upstream_rate_limited")
    assert answer.header("retry-after") == said


def test_retry_after_that_is_no_number(special_caller: Caller, scripted: Upstream) -> None:
    for value in (b"Wed, 21 Oct 2065 07:28:00 GMT", b"nan", b"-5", b"inf", b"soon", b""):
        fields = b"retry-after: %b\r\n" % value
        scripted.play(lambda visit, fields=fields: visit.whole(429, b"{}", fields=fields))
        answer = special_caller.chat(model="scripted")
        assert_error(answer, 503, "service_unavailable_error", "upstream_rate_limited")
        assert 1 <= int(answer.header("retry-after") or 0) <= 3600


@pytest.mark.contract("3.7", "9")
def test_longest_request_over_before_the_head(special_caller: Caller) -> None:
    answer = special_caller.chat({"stall_before_head_ms": 30_000})
    assert_error(answer, 504, "timeout_error", "request_timeout")


@pytest.mark.parametrize("status", [400, 405, 409, 410, 413, 415, 422, 451])
def test_an_upstreams_own_refusal_is_passed_on(status: int, caller: Caller) -> None:
    for stream in (False, True):
        answer = caller.chat({"status": status, "error_message": "That is not what I want."}, stream=stream)
        assert_error(answer, status, "invalid_request_error", None)
        assert answer.error["message"] == "That is not what I want."


def test_an_upstreams_words_in_full(special_caller: Caller, scripted: Upstream) -> None:
    words = b'{"error":{"message":"Too long.","type":"odd_error","param":"messages","code":"context_length_exceeded"}}'
    scripted.play(lambda visit: visit.whole(400, words))
    answer = special_caller.chat(model="scripted")
    assert_error(answer, 400, "odd_error", "context_length_exceeded", "messages")
    assert answer.error["message"] == "Too long."
