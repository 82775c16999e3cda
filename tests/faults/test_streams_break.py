"""F78 to F81, F83, F84: streams that break, that are odd, that never end, that swell."""

import json
import threading
import time
from typing import Any

import pytest

from tests.faults.conftest import LONGEST_S, cpu_s, forget_peak, peak_rss_bytes
from tests.running.client import Answer, Caller
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import (
    DONE,
    FINISH,
    ROLE,
    STREAM_HEAD,
    USAGE,
    USAGE_EVENT,
    Upstream,
    Visit,
    chunk_of,
    event_of,
    said,
)

MEGABYTE = 1024 * 1024
ROCKET = "\N{ROCKET}".encode()
MODELS = ["scripted", "repaired"]


def assert_failed_in_band(answer: Answer, caller: Caller, code: str = "upstream_unavailable") -> dict[str, Any]:
    """The stream ended with one error and the end mark, without a finish; its record."""
    *events, error, done = answer.events
    assert done == "[DONE]"
    request_id = answer.header("x-request-id")
    assert (error["error"]["code"], error["error"]["request_id"]) == (code, request_id)
    assert list(error) == ["error"]
    assert all("error" not in event for event in events)
    assert not [event for event in events for choice in event["choices"] if choice["finish_reason"]]
    record = caller.record(request_id)
    assert record["error_kind"] == {"upstream_unavailable": code, "request_timeout": code}[code]
    return record


def assert_succeeded(answer: Answer, caller: Caller, text: str) -> dict[str, Any]:
    assert answer.text == text
    assert answer.events.count("[DONE]") == 1
    assert answer.events[-1] == "[DONE]"
    record = caller.record(answer.header("x-request-id"))
    assert (record["status"], record["error_kind"]) == (200, None)
    return record


ENDINGS = {
    "mid-chunk": b"400\r\n" + said("three")[:60],
    "mid-event": chunk_of(said("three")[:60]),
    "mid-utf-8": chunk_of(b'data: {"choices":[{"a":"' + ROCKET[:2]),
    "mid-json": chunk_of(b'data: {"choices":[{"index":0,"del'),
    "after-an-event": b"",
    "clean-end": b"0\r\n\r\n",
    "mid-size": b"4",
    "bad-size": b"zz\r\n",
}


def streamed_with_end(caller: Caller, scripted: Upstream, model: str, end: bytes) -> Answer:
    """The answer to a stream of which two events are with the client before `end` comes in one piece."""
    relayed = threading.Event()

    def script(visit: Visit) -> None:
        visit.stream(ROLE + said("one"), said("two"))
        relayed.wait(30)
        visit.send(end)

    scripted.play(script)
    with caller.stream(model=model) as connection:
        connection.body_until(b'"two"')
        relayed.set()
        return connection.rest()


@pytest.mark.contract("5.1")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ENDINGS)
def test_f78_cut(case: str, model: str, caller: Caller, scripted: Upstream) -> None:
    """What came whole is relayed and counted, then the stream says that it failed."""
    answer = streamed_with_end(caller, scripted, model, ENDINGS[case])
    assert answer.text == "onetwo"
    record = assert_failed_in_band(answer, caller)
    usage = record["usage"]
    assert (usage["source"], usage["output"]) == ("counted", 2)
    assert usage["input"] > 0


@pytest.mark.parametrize("model", MODELS)
def test_f78_cut_with_usage_so_far(model: str, caller: Caller, scripted: Upstream) -> None:
    """Usage on every event does not mean that the last one has come."""
    so_far = [event_of({"content": word}, usage=USAGE | {"completion_tokens": 1}) for word in ("one", "two")]

    def script(visit: Visit) -> None:
        visit.stream(ROLE, *so_far)
        visit.end()

    scripted.play(script)
    answer = caller.streamed(model=model)
    assert answer.text == "onetwo"
    assert_failed_in_band(answer, caller)


@pytest.mark.parametrize("model", MODELS)
def test_f78_cut_with_a_reset(model: str, caller: Caller, scripted: Upstream) -> None:
    """The bytes before a reset may be lost on the way; nothing else may be."""

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("one"))
        visit.reset()

    scripted.play(script)
    answer = caller.chat(model=model, stream=True)
    if answer.status == 200:
        assert_failed_in_band(answer, caller)
    else:
        assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("end", [b"", b"0\r\n\r\n", b"10\r\n", chunk_of(b"data: [DO")])
@pytest.mark.parametrize("with_usage", [False, True])
def test_f78_cut_after_usage(end: bytes, with_usage: bool, model: str, caller: Caller, scripted: Upstream) -> None:
    """All was said and reported: success, whatever happens to the end mark."""
    said_all = STREAM_HEAD + chunk_of(ROLE + said("one") + said("two") + FINISH + USAGE_EVENT)
    scripted.play(lambda visit: visit.send(said_all + end))
    options = {"stream_options": {"include_usage": True}} if with_usage else {}
    answer = caller.streamed(model=model, **options)
    record = assert_succeeded(answer, caller, "onetwo")
    assert (record["usage"]["source"], record["usage"]["prompt_tokens"]) == ("provider", USAGE["prompt_tokens"])
    usages = [event["usage"] for event in answer.events[:-1] if event.get("usage")]
    assert [usage["total_tokens"] for usage in usages] == ([USAGE["total_tokens"]] if with_usage else [])


@pytest.mark.parametrize("model", ["test-model", "compat-model"])
def test_f78_cut_anywhere(model: str, caller: Caller, simulator: Simulator) -> None:
    """A cut at any byte leaves the beginning of what an uncut stream says, and says so."""
    whole = caller.streamed({"text": "A caf\u00e9 \N{ROCKET} b c"}, model=model)
    for cut in range(0, 1600, 97):
        plan = {"text": "A caf\u00e9 \N{ROCKET} b c", "cut_after_bytes": cut}
        answer = caller.chat(plan, model=model, stream=True)
        if answer.status == 503:
            assert cut < 700
            continue
        assert whole.text.startswith(answer.text)
        if answer.text != whole.text:
            assert_failed_in_band(answer, caller)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "spoiler", [b'data: {"id":\n\n', b'data: {"error":{"message":"overloaded"}}\n\n', b"data: hello\n\n"]
)
@pytest.mark.parametrize("then", [b"", DONE, said("lost") + FINISH + DONE])
def test_f78_a_bad_event_among_good_ones(
    spoiler: bytes, then: bytes, model: str, caller: Caller, scripted: Upstream
) -> None:
    """In one piece: what came before it is relayed, what comes after it is not believed."""
    answer = streamed_with_end(caller, scripted, model, chunk_of(said("three") + spoiler + then))
    assert answer.text == "onetwothree"
    record = assert_failed_in_band(answer, caller)
    assert record["usage"]["output"] == 3


@pytest.mark.parametrize(
    "spoiler", [b'data: {"error":{"message":"overloaded"}}\n\n' + DONE, b"data: hello\n\n", b"", DONE[:8]]
)
def test_f78_bad_before_the_first_content(spoiler: bytes, caller: Caller, scripted: Upstream) -> None:
    """Nothing was said yet: another target answers."""

    def script(visit: Visit) -> None:
        visit.stream(ROLE + spoiler)
        visit.end()

    scripted.play(script)
    answer = caller.streamed(model="script-first")
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "true")
    assert_succeeded(answer, caller, answer.text)


ODD = ["cr_only", "crlf", "comments", "multi_line_data", "event_id_retry", "bom", "no_space"]


def standard_events(body: bytes) -> list[str]:
    """The data of events as the standard reads them, without the fast ways of the gateway's own parser."""
    lines = body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    events, data = [], []
    for line in lines:
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            events.append(b"\n".join(data).decode())
            data = []
    return events


@pytest.mark.parametrize("chunk_bytes", [None, 1, 7])
@pytest.mark.parametrize("model", ["test-model", "compat-model"])
@pytest.mark.parametrize("malformed", ODD)
def test_f79_odd_event_streams(malformed: str, model: str, chunk_bytes: int | None, caller: Caller) -> None:
    pieces = {"chunk_bytes": chunk_bytes} if chunk_bytes else {}
    plain = caller.streamed({"output_tokens": 3}, model=model)
    odd = caller.streamed({"output_tokens": 3, "malformed": malformed, **pieces}, model=model)
    *events, done = standard_events(odd.body)
    assert done == "[DONE]"
    assert [json.loads(event) for event in events] == plain.events[:-1]
    record = caller.record(odd.header("x-request-id"))
    assert (record["status"], record["usage"]["source"], record["usage"]["output"]) == (200, "provider", 3)


@pytest.mark.parametrize("model", ["test-model", "compat-model"])
@pytest.mark.parametrize("malformed", ["no_done", "no_last_blank_line"])
def test_f79_missing_endings(malformed: str, model: str, caller: Caller) -> None:
    answer = caller.streamed({"output_tokens": 3, "malformed": malformed}, model=model)
    assert_succeeded(answer, caller, answer.text)


@pytest.mark.parametrize("model", ["test-model", "compat-model"])
def test_f79_no_blank_lines(model: str, caller: Caller) -> None:
    """All lines are one event then, which is no JSON."""
    answer = caller.chat({"output_tokens": 3, "malformed": "no_blank_line"}, model=model, stream=True)
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")


@pytest.mark.parametrize("model", ["test-model", "compat-model"])
def test_f80_line_of_ten_megabytes(model: str, caller: Caller, scaled: Gateway) -> None:
    before = forget_peak(scaled.pid)
    spent = cpu_s(scaled.pid)
    answer = caller.streamed({"output_tokens": 5, "malformed": "huge_line"}, model=model)
    assert_failed_in_band(answer, caller)
    assert peak_rss_bytes(scaled.pid) - before < 10 * MEGABYTE
    assert cpu_s(scaled.pid) - spent < 2.0


def test_f80_line_of_ten_megabytes_in_small_pieces(caller: Caller, scripted: Upstream, scaled: Gateway) -> None:
    """No quadratic buffering: 1 MB of one line, 100 bytes a chunk."""

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("one"), b'data: {"padding":"')
        visit.send(chunk_of(b"x" * 100) * (10 * MEGABYTE // 100))

    scripted.play(script)
    spent = cpu_s(scaled.pid)
    assert_failed_in_band(caller.streamed(model="scripted"), caller)
    assert cpu_s(scaled.pid) - spent < 5.0


@pytest.mark.parametrize("model", MODELS)
def test_a_character_cut_in_two_reaches_the_client(model: str, caller: Caller, scripted: Upstream) -> None:
    """An upstream in JavaScript cuts a string between the halves of a surrogate pair."""

    def half(escape: bytes) -> bytes:
        return said("HALF").replace(b"HALF", escape)

    parts = (ROLE, said("go "), half(b"\\ud83d"), half(b"\\uDE80"), half(b"\\\\ud83d"), FINISH, USAGE_EVENT, DONE)
    scripted.play(lambda visit: visit.stream(*parts))
    answer = caller.streamed(model=model)
    assert_succeeded(answer, caller, "go \ud83d\ude80\\ud83d")
    assert answer.text.encode("utf-16", "surrogatepass").decode("utf-16") == "go \N{ROCKET}\\ud83d"


@pytest.mark.parametrize("model", MODELS)
def test_f81_one_byte_chunks(model: str, caller: Caller, scripted: Upstream, scaled: Gateway) -> None:
    """A quarter of a megabyte, a byte a chunk: all of it arrives, in linear time."""
    events = [said("x" * 100) for _ in range(1000)]
    stream = b"".join([ROLE, *events, FINISH, DONE])

    def script(visit: Visit) -> None:
        visit.send(STREAM_HEAD + b"".join(b"1\r\n%c\r\n" % byte for byte in stream) + b"0\r\n\r\n")

    scripted.play(script)
    spent = cpu_s(scaled.pid)
    answer = caller.streamed(model=model)
    assert cpu_s(scaled.pid) - spent < 2.0
    assert_succeeded(answer, caller, "x" * 100_000)


def test_f83_pings_only(caller: Caller, simulator: Simulator, since: int) -> None:
    """Alive, but silent: cut when the longest request is over; nothing is charged."""
    start = time.monotonic()
    answer = caller.chat({"malformed": "pings_only"}, stream=True)
    assert LONGEST_S - 0.5 < time.monotonic() - start < LONGEST_S + 5
    assert (answer.status, answer.error["type"], answer.error["code"]) == (504, "timeout_error", "request_timeout")
    record = caller.record(answer.header("x-request-id"))
    assert (record["usage"]["source"], record["usage"]["total_tokens"]) == ("none", 0)
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=10000")["entries"]
    assert entry["outcome"] == "client_gone"
    assert caller.gauge("faregate_in_flight") == 0


def test_f83_tokens_without_end(caller: Caller) -> None:
    answer = caller.streamed({"output_tokens": 10_000, "tokens_per_s": 20})
    record = assert_failed_in_band(answer, caller, "request_timeout")
    assert (record["status"], record["usage"]["source"]) == (504, "counted")


def test_f83_silence_in_mid_stream(caller: Caller) -> None:
    start = time.monotonic()
    answer = caller.streamed({"output_tokens": 10, "stall_after_tokens": 3})
    assert time.monotonic() - start < LONGEST_S
    record = assert_failed_in_band(answer, caller)
    assert record["usage"]["output"] == 3


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "flood", [b": " + b"p" * 1000 + b"\n\n", event_of({"role": "assistant"})], ids=["pings", "roles"]
)
def test_f83_flood_that_says_nothing(
    flood: bytes, model: str, caller: Caller, scripted: Upstream, scaled: Gateway
) -> None:
    """What is held back before the first content is bounded."""

    def script(visit: Visit) -> None:
        visit.send(STREAM_HEAD)
        for _ in range(16):
            visit.send(chunk_of(flood * 1024))

    scripted.play(script)
    before = forget_peak(scaled.pid)
    answer = caller.chat(model=model, stream=True)
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert peak_rss_bytes(scaled.pid) - before < 10 * MEGABYTE


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["test-model", "compat-model"])
def test_f84_gzip_bomb(stream: bool, model: str, caller: Caller, scaled: Gateway) -> None:
    before = forget_peak(scaled.pid)
    answer = caller.chat({"gzip_bomb": True}, model=model, stream=stream)
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert peak_rss_bytes(scaled.pid) - before < 64 * MEGABYTE


@pytest.mark.parametrize("model", ["test-model", "compat-model"])
def test_f84_honest_gzip_is_read(model: str, caller: Caller) -> None:
    """Not asked for, but understood."""
    plain, packed = (caller.streamed({"output_tokens": 5, **gzip}, model=model) for gzip in ({}, {"gzip": True}))
    assert packed.body == plain.body
    assert "content-encoding" not in packed.names
    assert caller.chat({"gzip": True}, model=model).body == caller.chat(model=model).body


def test_whole_answer_over_the_cap(caller: Caller, scripted: Upstream, scaled: Gateway) -> None:
    """An answer that is not streamed is bounded too, whether it says its length or not."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"

    def script(visit: Visit) -> None:
        visit.send(head)
        for _ in range(100):
            visit.send(chunk_of(b" " * MEGABYTE))

    scripted.play(script)
    before = forget_peak(scaled.pid)
    answer = caller.chat(model="scripted")
    assert (answer.status, answer.error["code"]) == (503, "upstream_unavailable")
    assert peak_rss_bytes(scaled.pid) - before < 100 * MEGABYTE
