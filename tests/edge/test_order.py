"""The first refusal wins, in the order of contract.md section 9; HEAD and OPTIONS; prefixes; keep-alive."""

from collections.abc import Callable

import pytest

from tests.running.client import CHAT, Answer, Caller
from tests.running.processes import Gateway, Simulator


def refusal(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.error["code"]


@pytest.mark.contract("9")
def test_key_before_route(gateway: Gateway) -> None:
    stranger = Caller(gateway, key="sk-fg-wrong")
    for method, path in (("GET", "/nowhere"), ("POST", "/v1/models"), ("TRACE", CHAT), ("OPTIONS", CHAT)):
        assert refusal(stranger.ask(method, path)) == (401, "invalid_api_key")


def test_key_before_body(gateway: Gateway) -> None:
    """Before it is even read: a stranger's upload is not waited for."""
    stranger = Caller(gateway, key="sk-fg-wrong")
    for headers in ({"content-length": "1000000000"}, {"content-encoding": "gzip"}, {"expect": "100-continue"}):
        with stranger.open() as connection:
            connection.send(stranger.bytes_of("POST", CHAT, b"", {"content-length": "5"} | headers))
            assert refusal(connection.answer()) == (401, "invalid_api_key")


@pytest.mark.contract("9")
def test_account_before_route_and_body(gateway: Gateway, tenant: Callable[..., Caller]) -> None:
    caller = tenant("--address", "192.0.2.1")
    assert refusal(caller.get("/nowhere")) == (403, "address_not_allowed")
    assert refusal(caller.ask("POST", CHAT, b"{")) == (403, "address_not_allowed")


def test_route_and_method_before_body(caller: Caller) -> None:
    assert refusal(caller.ask("POST", "/v1/nowhere", b"{")) == (404, "not_found")
    assert refusal(caller.ask("PUT", CHAT, b"{")) == (405, None)
    assert refusal(caller.ask("PUT", CHAT, b"x", {"content-encoding": "gzip"})) == (405, None)


def test_method_before_project_before_body(caller: Caller) -> None:
    for headers, after in (({"x-faregate-project-id": "another's"}, 403), ({"x-faregate-no-retention": "maybe"}, 400)):
        assert refusal(caller.ask("PUT", CHAT, b"{", headers)) == (405, None)
        assert caller.ask("POST", CHAT, b"{", headers).status == after


@pytest.mark.contract("9")
def test_body_before_model(caller: Caller) -> None:
    assert refusal(caller.chat(model="no-such-model", temperature=9)) == (400, None)
    assert refusal(caller.chat(model="no-such-model", messages=[])) == (400, None)
    assert refusal(caller.chat(model="no-such-model")) == (404, "model_not_found")


def test_model_before_permission(tenant: Callable[..., Caller]) -> None:
    caller = tenant("--model", "gpt-4o")
    assert refusal(caller.chat(model="no-such-model")) == (404, "model_not_found")
    assert refusal(caller.chat(model="test-model")) == (403, "model_not_available")


def test_large_body_is_refused_before_it_is_sent(caller: Caller) -> None:
    """Who waits for 100 Continue is told 413 instead."""
    with caller.open() as connection:
        headers = {"expect": "100-continue", "content-length": str(1 << 30)}
        connection.send(caller.bytes_of("POST", CHAT, b"", headers))
        assert refusal(connection.answer()) == (413, "request_too_large")


def test_expect_continue(caller: Caller) -> None:
    body = caller.bytes_of("POST", CHAT, caller.body(), {"expect": "100-continue"})
    head, _, data = body.partition(b"\r\n\r\n")
    with caller.open() as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.head().status == 100
        connection.send(data)
        assert connection.answer().status == 200


def test_head(caller: Caller) -> None:
    for path in ("/v1/models", "/v1/models/gpt-4o", "/healthz", "/nowhere"):
        with caller.open() as connection:
            connection.send(caller.bytes_of("HEAD", path) + caller.bytes_of("GET", path))
            head = connection.answer(bodiless=True)
            whole = connection.answer()
        assert head.status == whole.status
        if path != "/nowhere":
            assert head.header("content-length") == str(len(whole.body))
        assert head.header("content-type") == whole.header("content-type")


def test_options(caller: Caller) -> None:
    for path, allow in ((CHAT, "POST, OPTIONS"), ("/v1/models", "GET, HEAD, OPTIONS")):
        answer = caller.ask("OPTIONS", path)
        assert (answer.status, answer.body, answer.header("allow")) == (204, b"", allow)
        assert "content-length" not in answer.names
    assert caller.ask("OPTIONS", "/nowhere").status == 404


@pytest.mark.contract("1.14", "5.8")
@pytest.mark.parametrize("prefix", ["/v1", "/api/v1", "/v1/v1", "/api/v1/v1"])
def test_prefixes(prefix: str, caller: Caller) -> None:
    assert caller.ask("POST", f"{prefix}/chat/completions", caller.body()).json()["object"] == "chat.completion"
    assert caller.ask("POST", f"{prefix}/completions", {"model": "test-model", "prompt": "x"}).status == 200
    assert caller.get(f"{prefix}/models").json()["object"] == "list"
    assert caller.get(f"{prefix}/models/gpt-4o").json()["id"] == "gpt-4o"


def test_trailing_slash_and_query(caller: Caller) -> None:
    assert caller.get("/v1/models/?limit=5&after=x").status == 200
    assert caller.ask("POST", f"{CHAT}/?api-version=2024-02-01", caller.body()).status == 200


def test_connection_goes_on_after_errors(caller: Caller) -> None:
    """Wherever HTTP lets it, one connection takes any number of refusals."""
    with caller.open() as connection:
        for request, status in (
            (caller.bytes_of("POST", CHAT, b"{"), 400),
            (caller.bytes_of("GET", "/nowhere"), 404),
            (caller.bytes_of("PUT", CHAT, b"x" * 1000), 405),
            (caller.bytes_of("POST", CHAT, caller.body(model="no-such-model")), 404),
            (caller.bytes_of("POST", CHAT, caller.body({"status": 500})), 503),
            (caller.bytes_of("POST", CHAT, b"x" * 100_000, {"content-encoding": "gzip"}), 415),
            (caller.bytes_of("POST", CHAT, caller.body(), {"authorization": "Bearer wrong"}), 401),
            (caller.bytes_of("POST", CHAT, caller.body({"cut_after_bytes": 0})), 503),
            (caller.bytes_of("POST", CHAT, caller.body()), 200),
        ):
            connection.send(request)
            assert connection.answer().status == status


def test_streams_one_after_the_other_on_a_connection(caller: Caller) -> None:
    with caller.open() as connection:
        for number in range(5):
            connection.send(caller.bytes_of("POST", CHAT, caller.body({"text": f"answer {number}"}, stream=True)))
            assert connection.answer().text == f"answer {number}"


def test_http_1_0(caller: Caller) -> None:
    """No chunks, and the end of the body is the end of the connection, unless it asked to keep it."""
    request = caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 3}, stream=True))
    with caller.open() as connection:
        connection.send(request.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        answer = connection.head()
        assert "transfer-encoding" not in answer.names
        assert connection.ended().endswith(b"data: [DONE]\n\n")
    with caller.open() as connection:
        models = caller.bytes_of("GET", "/v1/models", headers={"connection": "keep-alive"})
        for _ in range(2):
            connection.send(models.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            assert connection.answer().status == 200


def test_connection_close_is_honoured(caller: Caller) -> None:
    for stream in (False, True):
        with caller.open() as connection:
            body = caller.body({"output_tokens": 3}, stream=stream)
            connection.send(caller.bytes_of("POST", CHAT, body, {"connection": "close"}))
            answer = connection.answer()
            assert (answer.status, answer.header("connection")) == (200, "close")
            assert connection.ended() == b""


def test_chunked_upload(caller: Caller, simulator: Simulator) -> None:
    data = caller.bytes_of("POST", CHAT, caller.body(user="in chunks")).partition(b"\r\n\r\n")[2]
    head = caller.bytes_of("POST", CHAT, b"", {"transfer-encoding": "chunked", "content-length": "@"})
    chunks = b"".join(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in (data[:7], data[7:8], data[8:]))
    with caller.open() as connection:
        connection.send(head.replace(b"content-length: @\r\n", b"") + chunks + b"0\r\nx-trailer: 1\r\n\r\n")
        assert connection.answer().status == 200
    assert simulator.get("/simulator/last_request")["body"]["user"] == "in chunks"
