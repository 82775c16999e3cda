"""F76, F77, F82, F85, F86, F88, F89: providers that cannot be reached, or answer with what is no answer."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.running.client import Answer, Caller, eventually
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, Visit, refused_port

CERTIFICATES = Path(__file__).parent / "certificates"
FAILOVER_WITHIN_S = 3.0
WAYS = ("refused", "unknown-name", "expired", "misnamed", "unknown-authority", "no-tls", "black-hole", "silent-tls")


def assert_unavailable(answer: Answer, code: str = "upstream_unavailable") -> None:
    assert answer.status == 503, answer.body
    assert (answer.error["type"], answer.error["code"]) == ("service_unavailable_error", code)
    assert int(answer.header("retry-after") or 0) >= 1
    assert answer.error["request_id"] == answer.header("x-request-id")


def secured(listener: socket.socket, certificate: str) -> threading.Thread:
    """Handshakes with whoever comes, then ends the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem", CERTIFICATES / "key.pem")

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                context.wrap_socket(connection, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


def black_hole(stack: ExitStack) -> int:
    """A port whose queue of connections is full, so that the next one gets no answer."""
    listener = stack.enter_context(closing(socket.socket()))
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        filler = stack.enter_context(closing(socket.socket()))
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
    return listener.getsockname()[1]


@pytest.fixture(scope="module")
def unreachable(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """A gateway with a model for each way of being unreachable, and one more for each whose second target serves."""
    with ExitStack() as stack:
        urls = {
            "refused": f"http://127.0.0.1:{refused_port()}/v1",
            "unknown-name": "http://nowhere.invalid/v1",
            "black-hole": f"http://127.0.0.1:{black_hole(stack)}/v1",
        }
        for way, certificate in (
            ("expired", "expired"),
            ("misnamed", "misnamed"),
            ("unknown-authority", "good"),
        ):
            listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
            secured(listener, certificate)
            stack.callback(listener.shutdown, socket.SHUT_RDWR)
            urls[way] = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        plain = stack.enter_context(Upstream(lambda visit: visit.whole(200, b"{}")))
        urls["no-tls"] = f"https://127.0.0.1:{plain.port}/v1"
        silent = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        urls["silent-tls"] = f"https://127.0.0.1:{silent.getsockname()[1]}/v1"
        tables = ['[deadlines]\nconnect_timeout_s = 0.5\n[providers.sim]\nkey = "k-simulator"\nwire = "exact"']
        tables.append(f'base_url = "{simulator.base_url}"\nmodels = ["test-model"]')
        for way in WAYS:
            authority = f'ca_file = "{CERTIFICATES / way}.pem"' if way in ("expired", "misnamed") else ""
            tables.append(
                f'[providers.{way}]\nbase_url = "{urls[way]}"\nkey = "k-{way}"\nmodels = ["{way}"]\n{authority}'
            )
            route = f'[[routes]]\nmodel = "{way}-first"\n'
            tables.append(f'{route}provider = "{way}"\nweight = 1000000\n{route}provider = "sim"\nweight = 0')
        process = Gateway(session_folder, "\n".join(tables))
        yield process
        process.stop()


@pytest.mark.parametrize("way", WAYS)
def test_f76_no_connection(way: str, unreachable: Gateway) -> None:
    caller = Caller(unreachable)
    start = time.monotonic()
    assert_unavailable(caller.chat(model=way))
    assert_unavailable(caller.streamed(model=way))
    assert time.monotonic() - start < 2 * FAILOVER_WITHIN_S


@pytest.mark.contract("3.5", "4.2")
@pytest.mark.parametrize("way", WAYS)
def test_f76_second_target_serves(way: str, unreachable: Gateway) -> None:
    caller = Caller(unreachable)
    start = time.monotonic()
    for answer in (caller.chat(model=f"{way}-first"), caller.streamed(model=f"{way}-first")):
        assert answer.status == 200, answer.body
        assert answer.header("x-faregate-failover") == "true"
        record = caller.record(answer.header("x-request-id"))
        assert (record["attempts"], record["target"]["provider"]) == (2, "sim")
    assert time.monotonic() - start < 2 * FAILOVER_WITHIN_S


REASONS = {"refused": "ConnectionRefusedError", "unknown-name": "gaierror", "expired": "certificate has expired"}


@pytest.mark.parametrize("way", REASONS)
def test_f76_the_log_says_why(way: str, unreachable: Gateway) -> None:
    """Also where another target served: the operator is to mend the first."""
    caller = Caller(unreachable)
    for name in (way, f"{way}-first"):
        caller.chat(model=name, headers={"x-request-id": name})
        assert REASONS[way] in caller.log_line(name)["upstream_error"]


@pytest.mark.contract("4.2")
def test_f76_a_first_target_that_serves_is_no_failover(caller: Caller) -> None:
    answer = caller.chat(model="second-try", headers={"x-request-id": "first-serves"})
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "false")
    assert caller.log_line("first-serves")["upstream_error"] is None


def test_f77_first_byte_just_in_time(caller: Caller) -> None:
    """A tenth of 29 s would leave a busy machine no room: two thirds of the deadline."""
    answer = caller.streamed({"stall_before_head_ms": 2000}, model="second-try")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "false")


def test_f77_first_byte_too_late(caller: Caller, simulator: Simulator, since: int) -> None:
    answer = caller.streamed({"stall_before_head_ms": 20_000, "when_model": "troubled"}, model="second-try")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "true")
    assert answer.events[-1] == "[DONE]"
    entries = simulator.get(f"/simulator/truth?since={since}&until={since + 2}&wait_ms=10000")["entries"]
    assert sorted(entry["outcome"] for entry in entries) == ["client_gone", "complete"]


def test_f77_silence_after_the_head(caller: Caller) -> None:
    """The head alone commits nobody: before the first content a second target may still serve."""
    answer = caller.streamed({"stall_after_tokens": 0, "when_model": "troubled"}, model="second-try")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "true")
    assert answer.events[-1] == "[DONE]"


def test_f77_a_whole_answer_may_take_its_time(caller: Caller) -> None:
    """The first-byte deadline is for streams: what is not streamed thinks for as long as it must."""
    answer = caller.chat({"stall_before_head_ms": 3500}, model="second-try")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "false")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("malformed", ["html", "empty", "error_json"])
def test_f82_what_is_no_answer(malformed: str, stream: bool, caller: Caller) -> None:
    ask = caller.streamed if stream else caller.chat
    answer = ask({"malformed": malformed, "when_model": "troubled"}, model="second-try")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "true"), answer.body
    for model in ("test-model", "compat-model"):
        assert_unavailable(ask({"malformed": malformed}, model=model))


@pytest.mark.parametrize("body", [b"[]", b"1", b'"text"', b"null", b"{}", b'{"choices":[]}', b'{"choices":{}}', b"{"])
@pytest.mark.parametrize("model", ["scripted", "repaired"])
def test_f82_whole_answers_of_other_shapes(body: bytes, model: str, caller: Caller, scripted: Upstream) -> None:
    scripted.play(lambda visit: visit.whole(200, body))
    assert_unavailable(caller.chat(model=model))


@pytest.mark.parametrize("status", [201, 204, 299, 301, 304, 400, 404, 500, 502, 503, 529, 599])
def test_f82_other_statuses_without_words(status: int, caller: Caller, scripted: Upstream) -> None:
    scripted.play(lambda visit: visit.whole(status, b"" if status in (204, 304) else b"<p>no</p>", "text/html"))
    for stream in (False, True):
        answer = caller.chat(model="scripted", stream=stream)
        assert_unavailable(answer)


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1", b"garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", b"\x16\x03\x01\x02"],
)
def test_f82_what_is_no_http(answer: bytes, caller: Caller, scripted: Upstream) -> None:
    scripted.play(lambda visit: visit.send(answer))
    assert_unavailable(caller.chat(model="scripted"))
    reply = caller.chat(model="script-first")
    assert (reply.status, reply.header("x-faregate-failover")) == (200, "true")


def test_f82_head_without_end(caller: Caller, scripted: Upstream) -> None:
    def script(visit: object) -> None:
        visit.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            visit.send(b"x-%d: %b\r\n" % (number, b"v" * 1000))

    scripted.play(script)
    assert_unavailable(caller.chat(model="scripted"))


HEADERS = {
    "set-cookie": "session=upstream",
    "location": "http://evil.test/",
    "keep-alive": "timeout=5",
    "proxy-authenticate": "Basic",
    "trailer": "x-after",
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "0",
    "server": "upstream",
    "openai-organization": "org-upstream",
    "openai-processing-ms": "12",
    "x-request-id": "req_upstream",
    "strict-transport-security": "max-age=1",
    "access-control-allow-origin": "*",
    "retry-after": "77",
    "x-should-retry": "true",
}


@pytest.mark.parametrize("status", [None, 400, 429, 500])
@pytest.mark.parametrize("stream", [False, True])
def test_f85_headers_are_not_forwarded(status: int | None, stream: bool, caller: Caller) -> None:
    plan = {"headers": HEADERS, **({"status": status} if status else {})}
    answer = (caller.streamed if stream else caller.chat)(plan)
    ours = {"x-request-id", "retry-after"}
    assert not answer.names & (HEADERS.keys() - ours)
    assert answer.header("x-request-id") != "req_upstream"
    assert (answer.header("retry-after") == "77") == (status in (429, 500))
    assert caller.record(answer.header("x-request-id"))["upstream_request_id"] == "req_upstream"


@pytest.mark.parametrize("status", [None, 301, 303, 307, 308])
def test_f86_redirects_are_not_followed(status: int | None, caller: Caller) -> None:
    with Upstream(lambda visit: visit.whole(200, b"{}")) as metadata:
        for where in (f"http://127.0.0.1:{metadata.port}/latest/meta-data", "http://169.254.169.254/latest/meta-data"):
            plan = {"redirect_to": where, **({"status": status} if status else {})}
            for answer in (caller.chat(plan), caller.streamed(plan)):
                assert_unavailable(answer)
                assert b"169.254" not in answer.body
                assert "location" not in answer.names
        assert metadata.visits == []


def test_f88_all_down_is_said_fast(caller: Caller) -> None:
    taken = []
    for _ in range(20):
        start = time.monotonic()
        assert_unavailable(caller.chat(model="dead-model"))
        taken.append(time.monotonic() - start)
    assert min(taken) < 0.1
    assert caller.gauge("faregate_in_flight") == 0


@pytest.mark.contract("3.6", "9")
def test_f88_where_all_limit_us_the_shortest_wait_counts(caller: Caller, scripted: Upstream) -> None:
    scripted.play(lambda visit: visit.whole(429, b'{"error":{"message":"slow"}}', fields=b"retry-after: 7\r\n"))
    answer = caller.chat({"status": 429, "retry_after_s": 30}, model="script-first")
    assert_unavailable(answer, "upstream_rate_limited")
    assert answer.header("retry-after") == "7"


@pytest.mark.parametrize("first", [429, 500])
def test_f88_one_that_limits_us_and_one_that_is_down(first: int, caller: Caller, scripted: Upstream) -> None:
    """`upstream_rate_limited` is said only where every target limits us."""
    second = 500 if first == 429 else 429
    scripted.play(lambda visit: visit.whole(first, b'{"error":{"message":"no"}}'))
    assert_unavailable(caller.chat({"status": second}, model="script-first"))


SECRET = "scripted-secret-key"


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [
        (401, {"message": f"Incorrect API key: {SECRET}", "code": "invalid_api_key"}, "status 401: invalid_api_key"),
        (404, {"message": "no such model", "type": "not_found_error"}, "status 404: not_found_error"),
        (429, {"message": "You exceeded your quota", "code": "insufficient_quota"}, "status 429: insufficient_quota"),
        (500, {"message": "oops", "code": f"key-{SECRET}"}, "status 500"),
        (403, {"message": "no", "code": "what the client\nsaid"}, "status 403"),
        (502, None, "status 502"),
    ],
)
def test_f89_the_log_has_their_status_and_code_alone(
    status: int, error: dict[str, str] | None, said: str, caller: Caller, scripted: Upstream
) -> None:
    body = b"<html>" if error is None else json.dumps({"error": error}).encode()
    scripted.play(lambda visit: visit.whole(status, body))
    answer = caller.chat(model="scripted", headers={"x-request-id": f"reason-{status}"})
    assert answer.status == 503
    assert b"upstream_error" not in answer.body
    assert caller.log_line(f"reason-{status}")["upstream_error"] == said


def test_f89_the_log_says_that_a_stream_failed_and_not_its_words(caller: Caller, scripted: Upstream) -> None:
    begun = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'

    def script(visit: Visit) -> None:
        visit.stream(begun, b'data: {"error":{"message":"the words"}}\n\n')
        visit.end()

    scripted.play(script)
    caller.streamed(model="scripted", headers={"x-request-id": "reason-stream"})
    assert caller.log_line("reason-stream")["upstream_error"] == "an error in the answer"


@pytest.mark.parametrize("place", ["message", "type", "code", "param"])
@pytest.mark.parametrize("model", ["scripted", "repaired"])
def test_f89_our_key_in_their_error(place: str, model: str, caller: Caller, scripted: Upstream) -> None:
    error = {"message": "no", "type": "invalid_request_error", "code": None, "param": None}
    error[place] = f"bad key {SECRET} and sk-proj-0123456789abcdef, and so on"
    for body in ({"error": error}, {"error": error[place]}, {"detail": error[place]}, {"message": error[place]}):
        scripted.play(lambda visit, body=body: visit.whole(400, json.dumps(body).encode()))
        answer = caller.chat(model=model)
        assert answer.status == 400
        assert SECRET.encode() not in answer.body
        assert b"0123456789abcdef" not in answer.body
        assert b"***" in answer.body


@pytest.mark.parametrize("before", range(3980, 4001, 4))
def test_f89_our_key_where_their_message_is_cut(before: int, caller: Caller, scripted: Upstream) -> None:
    message = "x" * before + SECRET + "y" * 1000
    scripted.play(lambda visit: visit.whole(400, json.dumps({"error": {"message": message}}).encode()))
    shown = caller.chat(model="scripted").error["message"]
    assert SECRET[:6] not in shown
    assert len(shown) < 4100


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500])
def test_f89_echoed_authorization(status: int, caller: Caller) -> None:
    for stream in (False, True):
        answer = caller.chat({"status": status, "echo_authorization": True}, stream=stream)
        assert b"simulator-secret-key" not in answer.body


def test_f89_our_key_in_a_streams_error(caller: Caller, scripted: Upstream) -> None:
    error = b'data: {"error":{"message":"bad key %b"}}\n\n' % SECRET.encode()
    for before in ((), (b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n',)):

        def script(visit: object, before: tuple[bytes, ...] = before) -> None:
            visit.stream(*before, error)
            visit.end()

        scripted.play(script)
        answer = caller.chat(model="scripted", stream=True)
        assert SECRET.encode() not in answer.body
        assert b"upstream_unavailable" in answer.body
    eventually(lambda: caller.gauge("faregate_records_waiting") == 0)
    assert SECRET not in caller.gateway.log.read_text()
