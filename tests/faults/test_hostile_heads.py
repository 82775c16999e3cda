"""F64, F70, F74, F75, F95, F97: heads that no honest client sends."""

import pytest

from tests.running.client import CHAT, Answer, Caller, eventually
from tests.running.processes import Gateway, Simulator

SMUGGLED = "GET /v1/models HTTP/1.1\r\nhost: smuggled\r\nauthorization: Bearer {key}\r\nx-request-id: smuggled\r\n\r\n"


def assert_malformed(answer: Answer, status: int = 400) -> None:
    assert answer.status == status
    assert answer.error["type"] == "invalid_request_error"
    assert answer.error["code"] is None
    assert answer.error["request_id"] == answer.header("x-request-id")
    assert answer.header("connection") == "close"


def smuggle(caller: Caller, fields: str, body: str = "", line: str = f"POST {CHAT} HTTP/1.1") -> Answer:
    """Send a head and body with a further request behind it; the only answer, after which the connection ends."""
    smuggled = SMUGGLED.format(key=caller.key)
    head = f"{line}\r\nhost: gateway\r\nauthorization: Bearer {caller.key}\r\n{fields}\r\n\r\n{body}{smuggled}"
    with caller.open() as connection:
        connection.send(head.encode("latin-1"))
        answer = connection.answer()
        assert connection.ended() == b""
    return answer


FRAMING = {
    "negative-length": ("content-length: -1", ""),
    "signed-length": ("content-length: +5", "hello"),
    "hexadecimal-length": ("content-length: 0x5", "hello"),
    "empty-length": ("content-length: ", ""),
    "huge-length": ("content-length: 18446744073709551617", ""),
    "two-lengths": ("content-length: 5\r\ncontent-length: 6", "hello!"),
    "same-length-twice": ("content-length: 5\r\ncontent-length: 5", "hello"),
    "list-of-lengths": ("content-length: 5, 5", "hello"),
    "length-then-chunked": ("content-length: 5\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
    "chunked-then-length": ("transfer-encoding: chunked\r\ncontent-length: 5", "0\r\n\r\n"),
    "two-codings": ("transfer-encoding: chunked\r\ntransfer-encoding: identity", "0\r\n\r\n"),
    "chunked-twice": ("transfer-encoding: chunked, chunked", "0\r\n\r\n"),
    "vertical-tab": ("transfer-encoding: chunked\x0b", "0\r\n\r\n"),
    "vertical-tab-before": ("transfer-encoding: \x0bchunked", "0\r\n\r\n"),
    "unknown-coding": ("transfer-encoding: xchunked", "0\r\n\r\n"),
    "gzip-chunked": ("transfer-encoding: gzip, chunked", "0\r\n\r\n"),
    "space-before-colon": ("transfer-encoding : chunked", "0\r\n\r\n"),
    "length-space-before-colon": ("content-length : 5", "hello"),
    "folded-field": ("x-folded: a\r\n content-length: 5", ""),
    "bare-line-feed": ("x-a: b\ncontent-length: 5", "hello"),
    "bare-carriage-return": ("x-a: b\rcontent-length: 5", "hello"),
    "second-host": ("host: other", ""),
    "chunk-size-signed": ("transfer-encoding: chunked", "+5\r\nhello\r\n0\r\n\r\n"),
    "chunk-size-hexadecimal": ("transfer-encoding: chunked", "0x5\r\nhello\r\n0\r\n\r\n"),
    "chunk-size-negative": ("transfer-encoding: chunked", "-1\r\n\r\n0\r\n\r\n"),
    "chunk-size-huge": ("transfer-encoding: chunked", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "chunk-extension-line-feed": ("transfer-encoding: chunked", "5;a\nhello\r\n0\r\n\r\n"),
    "chunk-extension-carriage-return": ("transfer-encoding: chunked", "5;a\rb\r\nhello\r\n0\r\n\r\n"),
    "chunk-line-feed": ("transfer-encoding: chunked", "5\nhello\n0\n\n"),
    "chunk-longer-than-said": ("transfer-encoding: chunked", "3\r\nhello\r\n0\r\n\r\n"),
    "chunk-without-end": ("transfer-encoding: chunked", "5\r\nhello0\r\n\r\n"),
}


@pytest.mark.parametrize("case", FRAMING)
def test_f64_framing(case: str, caller: Caller, scaled: Gateway, simulator: Simulator, since: int) -> None:
    fields, body = FRAMING[case]
    assert_malformed(smuggle(caller, fields, body))
    assert simulator.get("/simulator/truth")["last_seq"] == since
    assert not [line for line in scaled.log_lines() if line.get("client_request_id") == "smuggled"]


@pytest.mark.parametrize(
    "line",
    [
        f"POST {CHAT} HTTP/1.1 ",
        f"POST  {CHAT} HTTP/1.1",
        f"POST {CHAT}  HTTP/1.1",
        f"POST {CHAT} HTTP/2.0",
        f"POST {CHAT} HTTP/1.9",
        f"POST {CHAT} HTP/1.1",
        f"POST {CHAT}",
        f"P\x00ST {CHAT} HTTP/1.1",
        f"POST {CHAT}\x01 HTTP/1.1",
        "PRI * HTTP/2.0",
    ],
)
def test_f64_request_line(line: str, caller: Caller) -> None:
    assert_malformed(smuggle(caller, "content-length: 0", line=line))


def test_f64_chunked_with_1_0(caller: Caller) -> None:
    assert_malformed(smuggle(caller, "transfer-encoding: chunked", "0\r\n\r\n", line=f"POST {CHAT} HTTP/1.0"))


def test_f64_good_request_before_a_bad_one_is_answered(caller: Caller) -> None:
    with caller.open() as connection:
        connection.send(caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 2})) + b"BAD\r\n\r\n")
        assert connection.answer().status == 200
        assert_malformed(connection.answer())
        assert connection.ended() == b""


@pytest.mark.parametrize("value", [b"caf\xc3\xa9", "\N{ROCKET}".encode(), b"a\xffb", b"a\0b", b"a\x07b"])
def test_f70_header_values(value: bytes, caller: Caller) -> None:
    request = caller.bytes_of("GET", "/v1/models", headers={"x-odd": "@"}).replace(b"@", value)
    with caller.open() as connection:
        connection.send(request)
        assert_malformed(connection.answer())
        assert connection.ended() == b""


def test_f70_header_of_64_kilobytes(caller: Caller) -> None:
    with caller.open() as connection:
        connection.send(caller.bytes_of("GET", "/v1/models", headers={"x-long": "x" * 65536}))
        assert_malformed(connection.answer(), 431)
        assert connection.ended() == b""


def test_f70_thousand_headers(caller: Caller) -> None:
    headers = {f"x-{number}": "v" for number in range(1000)}
    answer = caller.ask("GET", "/v1/models", headers=headers)
    assert_malformed(answer, 431)


def test_f70_long_target(caller: Caller) -> None:
    assert_malformed(caller.get("/v1/models?" + "x" * 9000), 431)


def test_f74_pipelining_a_hundred(caller: Caller, scaled: Gateway) -> None:
    """Each is answered, in order, and each is on record."""
    bodies = [caller.body({"text": f"answer {number}"}) for number in range(100)]
    requests = [
        caller.bytes_of("POST", CHAT, body, {"x-request-id": f"f74-{number}"}) for number, body in enumerate(bodies)
    ]
    with caller.open() as connection:
        connection.send(b"".join(requests))
        answers = [connection.answer() for _ in requests]
    said = [answer.json()["choices"][0]["message"]["content"] for answer in answers]
    assert said == [f"answer {number}" for number in range(100)]
    assert len({answer.header("x-request-id") for answer in answers}) == 100

    def on_record() -> bool:
        lines = [line for line in scaled.log_lines() if str(line.get("client_request_id")).startswith("f74-")]
        return len(lines) == 100 and all(line["status"] == 200 for line in lines)

    eventually(on_record)


def test_f75_websocket(caller: Caller) -> None:
    headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    answer = caller.ask("GET", "/v1/models", headers=headers | {"sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="})
    assert_malformed(answer)


def test_f75_connect(caller: Caller) -> None:
    assert_malformed(smuggle(caller, "x-a: b", line="CONNECT example.org:443 HTTP/1.1"))


@pytest.mark.parametrize("method", ["TRACE", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_f75_other_methods(method: str, caller: Caller) -> None:
    answer = caller.ask(method, CHAT)
    assert (answer.status, answer.header("allow")) == (405, "POST, OPTIONS")
    assert caller.key.encode() not in answer.body


@pytest.mark.contract("2.1")
@pytest.mark.parametrize("name", ["key", "api_key", "api-key", "access_token", "api%5Fkey"])
def test_f95_key_in_the_url(name: str, caller: Caller, scaled: Gateway) -> None:
    """Refused even beside a good header, with a word of warning, and written down nowhere."""
    answer = caller.get(f"/v1/models?{name}={caller.key}")
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert "URL" in answer.error["message"]
    without = Caller(scaled, key="")
    path = f"/v1/models?{name}={caller.key}"
    assert without.ask("GET", path, headers={"authorization": ""}).status == 401
    eventually(lambda: caller.gauge("faregate_records_waiting") == 0)
    secret = caller.key.rpartition("-")[2]
    assert secret not in scaled.log.read_text()


ODD_KEYS = {
    "quote": "' OR '1'='1",
    "comment": 'x"; DROP TABLE api_key; --',
    "percent": "%",
    "prefix-only": "sk-fg-",
    "right-form-wrong-checksum": "sk-fg-000000000000-0000000000000000000000000000000000000000000000000",
    "long": "k" * 5000,
}


@pytest.mark.parametrize("case", ODD_KEYS)
@pytest.mark.parametrize("field", ["authorization", "x-api-key"])
def test_f97_odd_keys(case: str, field: str, caller: Caller, scaled: Gateway) -> None:
    key = ODD_KEYS[case]
    value = f"Bearer {key}" if field == "authorization" else key
    answer = Caller(scaled, key="").ask("GET", "/v1/models", headers={"authorization": ""} | {field: value})
    assert answer.status == 401
    assert answer.error["message"] == "Invalid API key provided."
    assert (answer.error["type"], answer.error["code"]) == ("authentication_error", "invalid_api_key")


def test_f97_changed_key(caller: Caller, scaled: Gateway) -> None:
    """A key of ours with one character changed, or none at all."""
    changed = caller.key[:-1] + ("0" if caller.key[-1] != "0" else "1")
    for key in (changed, caller.key + "x", caller.key[1:], caller.key.upper()):
        assert Caller(scaled, key).get("/v1/models").status == 401


def test_f97_key_of_a_megabyte(caller: Caller, scaled: Gateway) -> None:
    with caller.open() as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ")
        connection.send(b"k" * 1024 * 1024)
        assert_malformed(connection.answer(), 431)


@pytest.mark.parametrize("key", [b"sk-fg-\xc3\xa9", b"sk\0fg"])
def test_f97_key_that_no_header_can_carry(key: bytes, caller: Caller) -> None:
    with caller.open() as connection:
        connection.send(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %b\r\n\r\n" % key)
        answer = connection.answer()
    assert answer.status in (400, 401)
    assert key not in answer.body
