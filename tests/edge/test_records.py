"""GET /v1/requests/{id}, the probes, and what every answer's head says (contract.md 1.15, 4)."""

import json
import re
import uuid
from collections.abc import Callable

import pytest

from tests.edge.conftest import command_json
from tests.running.client import CHAT, Answer, Caller, eventually
from tests.running.processes import Gateway, Simulator


def test_record_of_a_chat(caller: Caller, simulator: Simulator, since: int) -> None:
    headers = {"x-request-id": "my-own-id"}
    answer = caller.chat(
        {"output_tokens": 7, "cached_tokens": 3}, headers, messages=[{"role": "user", "content": "a b c d e"}]
    )
    [truth] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    record = caller.record(answer.header("x-request-id"))
    assert (record["id"], record["object"]) == (answer.header("x-request-id"), "request")
    assert (record["operation"], record["model_asked"], record["model"]) == ("chat", "test-model", "test-model")
    assert record["target"]["provider"] == "sim"
    assert (record["status"], record["error_kind"], record["stream"], record["attempts"]) == (200, None, False, 1)
    usage = record["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (truth["prompt_tokens"], 7)
    assert (usage["cache_read"], usage["source"], usage["suspect"]) == (3, "provider", False)
    assert (record["client_request_id"], record["upstream_request_id"]) == ("my-own-id", truth["request_id"])
    assert 0 < record["first_byte_ms"] <= record["total_ms"]
    assert record["bytes_out"] == len(answer.body)
    assert record["bytes_in"] > 0


@pytest.mark.contract("4.6")
def test_record_of_a_stream(caller: Caller) -> None:
    answer = caller.streamed({"output_tokens": 7})
    record = caller.record(answer.header("x-request-id"))
    assert (record["stream"], record["status"], record["bytes_out"]) == (True, 200, len(answer.body))
    assert (record["usage"]["output"], record["usage"]["source"]) == (7, "provider")


def test_records_of_errors(caller: Caller) -> None:
    for answer, kind in (
        (caller.chat(temperature=9), "malformed_request"),
        (caller.chat(model="no-such-model"), "model_not_found"),
        (caller.chat({"status": 500}), "upstream_unavailable"),
        (caller.chat({"status": 429}), "upstream_rate_limited"),
        (caller.chat({"status": 422}), "upstream_refused"),
        (caller.get("/v1/nowhere"), "not_found"),
        (caller.ask("PUT", CHAT), "method_not_allowed"),
    ):
        record = caller.record(answer.header("x-request-id"))
        assert (record["status"], record["error_kind"]) == (answer.status, kind)
        assert record["usage"]["total_tokens"] == 0


def test_record_before_it_is_written(special_caller: Caller) -> None:
    """This gateway writes every ten seconds; the record is there at once all the same."""

    def waits() -> bool:
        answer = special_caller.chat()
        found = special_caller.get(f"/v1/requests/{answer.header('x-request-id')}")
        assert (found.status, found.json()["usage"]["source"]) == (200, "provider")
        return special_caller.gauge("faregate_records_waiting") >= 2

    eventually(waits)


def test_record_after_it_is_written(caller: Caller) -> None:
    answer = caller.chat()
    eventually(lambda: caller.gauge("faregate_records_waiting") == 0)
    found = caller.get(f"/v1/requests/{answer.header('x-request-id')}")
    assert (found.status, found.json()["usage"]["source"]) == (200, "provider")


@pytest.mark.parametrize("written", [False, True])
def test_other_projects_records_are_not_there(
    written: bool, caller: Caller, special: Gateway, tenant: Callable[..., Caller]
) -> None:
    if written:
        own, other = caller, tenant()
    else:
        [project] = command_json(special, "projects", "create", f"p-{uuid.uuid4()}", "--org", "demo")
        key = command_json(special, "keys", "create", "k", "--project", project["id"])
        own, other = Caller(special), Caller(special, key["key"])
    request_id = own.chat().header("x-request-id")
    if written:
        eventually(lambda: own.gauge("faregate_records_waiting") == 0)
    answer = other.get(f"/v1/requests/{request_id}")
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    unknown = other.get(f"/v1/requests/{uuid.uuid4()}")
    assert answer.error["message"] == unknown.error["message"]
    assert own.get(f"/v1/requests/{request_id}").status == 200


def test_another_key_of_the_project_may_look(gateway: Gateway, caller: Caller) -> None:
    key = command_json(gateway, "keys", "create", "second", "--project", "demo")
    request_id = caller.chat().header("x-request-id")
    assert Caller(gateway, key["key"]).record(request_id)["id"] == request_id


# Probes


@pytest.mark.contract("1.15")
def test_probes_need_no_key(gateway: Gateway) -> None:
    stranger = Caller(gateway, key="")
    for path, body in (("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready", "problems": []})):
        answer = stranger.ask("GET", path, headers={"authorization": ""})
        assert (answer.status, answer.json()) == (200, body)
        assert answer.header("cache-control") == "no-store"


@pytest.mark.contract("1.15")
def test_metrics(caller: Caller) -> None:
    def requests() -> int:
        text = caller.get("/metrics").body.decode()
        found = re.search(
            r'^faregate_requests_total\{operation="chat",model="gpt-4o",.*status="200"\} (\d+)$', text, re.M
        )
        return int(found[1]) if found else 0

    before = requests()
    caller.chat(model="gpt-4o")
    eventually(lambda: requests() == before + 1)
    answer = caller.get("/metrics")
    assert (answer.header("content-type") or "").startswith("text/plain")
    lines = answer.body.decode().splitlines()
    assert all(re.fullmatch(r'# (HELP|TYPE) .*|[a-z_]+(\{([a-z_]+="[^"\n]*",?)*\})? \S+', line) for line in lines)
    assert caller.key not in answer.body.decode()
    assert not [line for line in lines if "key_id" in line]


@pytest.mark.contract("1.15")
def test_metrics_are_for_this_machine(special_caller: Caller) -> None:
    """Behind a proxy that says for whom it asks, everyone else is refused."""
    assert special_caller.get("/metrics", {"x-forwarded-for": "192.0.2.7"}).status == 403
    assert special_caller.get("/healthz", {"x-forwarded-for": "192.0.2.7"}).status == 200
    assert special_caller.get("/metrics").status == 200


# Heads


def assert_head(answer: Answer, region: str, replica: str, model: str | None) -> None:
    assert uuid.UUID(answer.header("x-request-id") or "").version == 7
    assert int(answer.header("x-faregate-latency-ms") or "-1") >= 0
    assert (answer.header("x-faregate-region"), answer.header("x-faregate-replica")) == (region, replica)
    assert answer.header("x-faregate-failover") == "false"
    assert answer.header("x-fallback-depth") == "0"
    assert answer.header("x-model-used") == model
    assert len(answer.fields) == len(answer.names)


@pytest.mark.contract("4.1", "4.2", "4.3")
def test_what_every_answer_says(special_caller: Caller) -> None:
    for plan in (None, {"status": 400}, {"status": 500}):
        assert_head(special_caller.chat(plan), "eu-sim", "pool-a", "test-model")
    assert_head(special_caller.streamed(), "eu-sim", "pool-a", "test-model")
    for answer in (special_caller.get("/v1/models"), special_caller.get("/nowhere"), special_caller.chat(messages=[])):
        assert_head(answer, "eu-test", "none", None)


@pytest.mark.contract("4.2", "4.3")
def test_a_model_that_nobody_was_asked_for_was_not_used(special: Gateway) -> None:
    """Refused when the model is known, `x-model-used` is not said: it is the one "that served the request"."""
    command_json(special, "orgs", "create", "poor")
    [project] = command_json(special, "projects", "create", "poor", "--org", "poor")
    poor = Caller(special, command_json(special, "keys", "create", "k", "--project", project["id"])["key"])
    for caller, headers, status in ((poor, {}, 402), (Caller(special), {"x-faregate-no-retention": "true"}, 400)):
        answer = caller.chat(headers=headers)
        assert answer.status == status
        assert caller.record(answer.header("x-request-id"))["model"] == "test-model"
        assert_head(answer, "eu-test", "none", None)


@pytest.mark.contract("4.2")
def test_latency_counts_the_upstream(caller: Caller) -> None:
    answer = caller.chat({"stall_before_head_ms": 300})
    assert 290 <= int(answer.header("x-faregate-latency-ms") or 0) < 10_000


@pytest.mark.contract("4.2")
def test_latency_of_a_stream_is_in_its_trailer(caller: Caller) -> None:
    """Its head says how long that took, its trailer how long the whole did."""
    with caller.open() as connection:
        asked = {"te": "trailers", "connection": "close"}
        plan = {"output_tokens": 4, "tokens_per_s": 10}
        connection.send(caller.bytes_of("POST", CHAT, caller.body(plan, stream=True), asked))
        head = int(connection.head().header("x-faregate-latency-ms") or "-1")
        trailer = re.search(rb"\r\n0\r\n.*x-faregate-latency-ms: (\d+)\r\n", connection.ended(), re.DOTALL)
    assert trailer is not None
    assert head + 200 <= int(trailer[1]) < 10_000


def test_heads_of_streams_and_whole_answers(caller: Caller) -> None:
    stream = caller.streamed()
    assert stream.header("content-type") == "text/event-stream; charset=utf-8"
    assert stream.header("cache-control") == "no-cache"
    assert stream.header("x-accel-buffering") == "no"
    assert stream.header("transfer-encoding") == "chunked"
    assert "content-length" not in stream.names
    assert "content-encoding" not in stream.names
    whole = caller.chat()
    assert whole.header("content-type") == "application/json"
    assert whole.header("content-length") == str(len(whole.body))


@pytest.mark.contract("4.1")
def test_request_ids_are_ours_and_never_repeat(caller: Caller) -> None:
    given = str(uuid.uuid4())
    answers = [caller.chat(headers={"x-request-id": given}) for _ in range(20)]
    ids = {answer.header("x-request-id") for answer in answers}
    assert len(ids) == 20
    assert given not in ids
    assert json.loads(answers[0].body)["object"] == "chat.completion"
