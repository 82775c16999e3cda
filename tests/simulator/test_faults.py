"""Each fault does what its name says, on the wire."""

from __future__ import annotations

import gzip
import json
import select
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from faregate.simulator.faults import BOMB_BLOCKS, HUGE_LINE_BYTES

from .conftest import HELLO, START, Reply, Simulated, everything, frames, start, stop

USAGE = ("prompt_tokens", "completion_tokens", "total_tokens")


def ready(connection: Any, timeout_s: float) -> bool:
    """Whether there is something to read, or comes to be within `timeout_s`."""
    return bool(select.select([connection], [], [], timeout_s)[0])


def inflated_bytes(data: bytes) -> int:
    """How large `data` is, gunzipped and checked."""
    inflater = zlib.decompressobj(wbits=31)
    size_bytes = 0
    while not inflater.eof:
        size_bytes += len(inflater.decompress(data, 1024 * 1024))
        data = inflater.unconsumed_tail
    return size_bytes


@pytest.mark.parametrize("stream", [True, False])
def test_a_cut_at_any_byte(simulated: Simulated, since: int, stream: bool) -> None:
    ask = simulated.stream if stream else simulated.ask
    whole = ask({"output_tokens": 4}).body
    positions = [1, 2, 99, len(whole) // 2, len(whole) - 1, len(whole)]
    for position in positions:
        cut = ask({"output_tokens": 4, "cut_after_bytes": position})
        assert cut.body == whole[:position]
        assert not cut.ended
    assert ask({"output_tokens": 4, "cut_after_bytes": 0}).raw == b""
    beyond = ask({"output_tokens": 4, "cut_after_bytes": len(whole) + 1})
    assert beyond.body == whole
    assert beyond.ended
    entries = simulated.truth(since, len(positions) + 3)
    assert [entry["bytes_sent"] for entry in entries[1:-1]] == [*positions, 0]
    assert {entry["outcome"] for entry in entries[1:-1]} == {"cut"}
    assert entries[-1]["outcome"] == "complete"
    sent = [entry["tokens_sent"] for entry in entries[1:-2]]
    assert sent == sorted(sent)
    assert (sent[0], sent[-1]) == (0, 4)


def test_a_large_answer_is_cut_at_its_byte(simulated: Simulated) -> None:
    text = "x" * 1_200_000
    cut = simulated.ask({"text": text, "cut_after_bytes": 1_000_000})
    assert len(cut.body) == 1_000_000


@pytest.mark.parametrize("size", [1, 7])
def test_small_pieces(simulated: Simulated, size: int) -> None:
    for ask in (simulated.stream, simulated.ask):
        pieces = ask({"output_tokens": 3, "text": "größer 🥊", "chunk_bytes": size})
        assert pieces.ended
        assert max(len(chunk) for chunk in pieces.chunks) == size
        assert pieces.body == ask({"output_tokens": 3, "text": "größer 🥊"}).body


@pytest.mark.parametrize("after", [0, 3, 5])
def test_a_stall_in_a_stream(simulated: Simulated, since: int, after: int) -> None:
    plan = {"output_tokens": 5, "stall_after_tokens": after}
    body = {"model": "m", "messages": HELLO, "stream": True, "simulator": plan}
    with simulated.open(body) as connection:
        raw = connection.recv(1 << 16)
        while ready(connection, 0.1):
            piece = connection.recv(1 << 16)
            assert piece, "the socket is to stay open"
            raw += piece
    assert len(frames(Reply(raw).body)) == after + 1
    entry = simulated.truth(since)[0]
    assert entry["outcome"] == "client_gone"
    assert entry["client_gone_at"] >= entry["received_at"]
    assert entry["tokens_sent"] == after
    assert entry["completion_tokens"] == 5


def test_a_stall_in_a_whole_answer(simulated: Simulated, since: int) -> None:
    whole = simulated.ask({"output_tokens": 5}).body
    body = {"model": "gpt-4o", "messages": HELLO, "simulator": {"output_tokens": 5, "stall_after_tokens": 1}}
    with simulated.open(body) as connection:
        raw = connection.recv(1 << 16)
        assert not ready(connection, 0.1)
    assert Reply(raw).body == whole[: len(whole) // 2]
    assert simulated.truth(since, 2)[1]["outcome"] == "client_gone"


def test_a_client_that_leaves_before_the_head(simulated: Simulated, since: int) -> None:
    body = {"model": "m", "messages": HELLO, "simulator": {"stall_before_head_ms": 40_000}}
    with simulated.open(body) as connection:
        assert not ready(connection, 0.05)
        assert simulated.call("GET", "/simulator/truth").json()["in_flight"] == 1
    entry = simulated.truth(since)[0]
    assert (entry["outcome"], entry["bytes_sent"], entry["status"]) == ("client_gone", 0, 0)


def test_the_pace(simulated: Simulated) -> None:
    plan = {"first_token_ms": 60, "tokens_per_s": 200, "output_tokens": 11}
    for stream in (True, False):
        body = {"model": "m", "messages": HELLO, "stream": stream, "simulator": plan}
        started_s = time.monotonic()
        with simulated.open(body) as connection:
            first = connection.recv(1 << 16)
            first_s = time.monotonic() - started_s
            while piece := connection.recv(1 << 16):
                first += piece
        took_s = time.monotonic() - started_s
        assert 0.105 <= took_s < 1
        assert (first_s < 0.06) == stream  # a stream's head comes at once
        assert Reply(first).ended


def test_a_late_head(simulated: Simulated) -> None:
    started_s = time.monotonic()
    assert simulated.stream({"stall_before_head_ms": 80}).ended
    assert time.monotonic() - started_s >= 0.075


def test_absurd_usage_in_whole_answers(simulated: Simulated, since: int) -> None:
    def usage(fault: str) -> Any:
        return simulated.ask({"usage": fault, "output_tokens": 5}).json()["usage"]

    assert "usage" not in simulated.ask({"usage": "absent"}).json()
    assert usage("null") is None
    assert [usage("negative")[name] for name in USAGE] == [-4, -5, -9]
    assert [usage("absurd")[name] for name in USAGE] == [10**18, 10**18, 2 * 10**18]
    assert [usage("string")[name] for name in USAGE] == ["4", "5", "9"]
    assert [usage("float")[name] for name in USAGE] == [4.5, 5.5, 9.5]
    assert usage("cached_over_prompt")["prompt_tokens_details"]["cached_tokens"] > 4
    assert {entry["completion_tokens"] for entry in simulated.truth(since, 8)[1:]} == {5}


def test_absurd_usage_in_streams(simulated: Simulated) -> None:
    def usages(fault: str) -> list[Any]:
        *chunks, done = frames(simulated.stream({"usage": fault, "output_tokens": 5}).body)
        assert done == "[DONE]"
        return [chunk["usage"] for chunk in chunks if "usage" in chunk]

    assert usages("absent") == []
    assert set(usages("null")) == {None}
    assert usages("negative")[-1]["completion_tokens"] == -5
    assert usages("twice")[-1] == usages("twice")[-2]
    assert usages("twice")[-3] is None
    counts = [usage["completion_tokens"] for usage in usages("cumulative") if usage]
    assert counts == [1, 2, 3, 4, 5, 5, 5]


@pytest.mark.parametrize(
    ("malformed", "mark"),
    [
        ("cr_only", b"}\r\rdata"),
        ("crlf", b"\r\n\r\n"),
        ("comments", b": keep-alive"),
        ("multi_line_data", b'data: {\ndata:  "id"'),
        ("event_id_retry", b"event: message\nid: 0\nretry: 3000\n"),
        ("bom", b"\xef\xbb\xbfdata"),
        ("no_space", b"data:{"),
    ],
)
def test_odd_streams_that_hold_every_event(simulated: Simulated, malformed: str, mark: bytes) -> None:
    odd, honest = simulated.stream({"malformed": malformed}), simulated.stream()
    assert mark in odd.body
    assert mark not in honest.body
    assert frames(odd.body) == frames(honest.body)
    if malformed == "cr_only":
        assert b"\n" not in odd.body


def test_streams_without_an_end(simulated: Simulated) -> None:
    honest = frames(simulated.stream().body)
    assert simulated.stream({"malformed": "no_last_blank_line"}).body == simulated.stream().body[:-1]
    no_done = simulated.stream({"malformed": "no_done"})
    assert no_done.ended
    assert frames(no_done.body) == honest[:-1]
    no_finish = frames(simulated.stream({"malformed": "no_finish"}).body)
    assert no_finish == [*honest[:-3], *honest[-2:]]
    assert simulated.ask({"malformed": "no_finish"}).json()["choices"][0]["finish_reason"] is None


def test_spoiled_streams(simulated: Simulated, since: int) -> None:
    honest = frames(simulated.stream().body)
    joined = simulated.stream({"malformed": "no_blank_line"}).body
    assert b"\n\n" not in joined
    assert joined.count(b"data: ") == len(honest)
    broken = simulated.stream({"malformed": "not_json"}).body.split(b"\n\n")
    assert broken[3] == b'data: {"id":"chatcmpl-'
    assert len(broken) == len(honest) + 2
    *before, error = frames(simulated.stream({"malformed": "error_event"}).body)
    assert before == honest[:3]
    assert error["error"]["type"] == "server_error"
    lines = simulated.stream({"malformed": "huge_line"}).body.split(b"\n\n")
    assert max(map(len, lines)) > HUGE_LINE_BYTES
    assert json.loads(lines[3].removeprefix(b"data: "))["choices"] == []
    assert [entry["outcome"] for entry in simulated.truth(since, 5)] == ["complete"] + ["fault"] * 4


def test_answers_that_are_something_else(simulated: Simulated) -> None:
    for ask in (simulated.ask, simulated.stream):
        html = ask({"malformed": "html"})
        assert (html.status, html.field("content-type")) == (200, "text/html")
        assert html.body.startswith(b"<html>")
        assert ask({"malformed": "empty"}).body == b""
        error = ask({"malformed": "error_json"})
        assert error.status == 200
        assert error.json()["error"]["message"]
    with pytest.raises(json.JSONDecodeError):
        simulated.ask({"malformed": "not_json"}).json()
    assert simulated.ask({"malformed": "bom"}).body.startswith(b"\xef\xbb\xbf{")
    assert len(simulated.ask({"malformed": "huge_line"}).json()["padding"]) == HUGE_LINE_BYTES
    assert simulated.ask({"status": 502, "malformed": "html"}).body.startswith(b"<html>")


def test_nothing_but_pings(simulated: Simulated, since: int) -> None:
    plan = {"malformed": "pings_only", "tokens_per_s": 500}
    body = {"model": "m", "messages": HELLO, "stream": True, "simulator": plan}
    with simulated.open(body) as connection:
        raw = b""
        while raw.count(b": ping\n\n") < 5:
            raw += connection.recv(1 << 16)
    assert frames(Reply(raw).body) == []
    assert simulated.truth(since)[0]["outcome"] == "client_gone"


def test_fields_of_the_head(simulated: Simulated) -> None:
    headers = {"set-cookie": ["a=1", "b=2"], "X-RateLimit-Remaining": "3", "Content-Type": "text/plain"}
    for ask in (simulated.ask, simulated.stream):
        fields = ask({"headers": headers}).fields
        assert [value for name, value in fields if name == "set-cookie"] == ["a=1", "b=2"]
        assert ("x-ratelimit-remaining", "3") in fields
        assert [value for name, value in fields if name == "content-type"] == ["text/plain"]


def test_redirects_and_echoes(simulated: Simulated) -> None:
    redirect = simulated.ask({"redirect_to": "http://169.254.169.254/"})
    assert (redirect.status, redirect.field("location")) == (302, "http://169.254.169.254/")
    assert simulated.ask({"redirect_to": "/x", "status": 308}).status == 308
    echo = simulated.ask({"status": 401, "echo_authorization": True}).json()["error"]
    assert "Bearer sk-test" in echo["message"]
    assert echo["code"] == "invalid_api_key"


def test_compression(simulated: Simulated) -> None:
    whole = simulated.ask({"gzip": True})
    assert whole.field("content-encoding") == "gzip"
    assert gzip.decompress(whole.body) == simulated.ask().body
    stream = simulated.stream({"gzip": True})
    inflater = zlib.decompressobj(wbits=31)
    honest = simulated.stream().body
    assert honest.startswith(inflater.decompress(stream.chunks[0]))  # each event can be read when it comes
    assert gzip.decompress(stream.body) == honest
    bomb = simulated.ask({"gzip_bomb": True})
    assert len(bomb.body) < 300_000
    assert inflated_bytes(bomb.body) > BOMB_BLOCKS * 1024 * 1024


def test_faults_for_some_requests_only(simulated: Simulated) -> None:
    plan = {"status": 503, "when_model": "a", "text": "well"}
    assert simulated.ask(plan, model="a").status == 503
    answer = simulated.ask(plan, model="b")
    assert answer.json()["choices"][0]["message"]["content"] == "well"
    twice = {"status": 500, "times": 2, "text": f"{time.time_ns()}"}
    assert [simulated.ask(twice).status for _ in range(4)] == [500, 500, 200, 200]


def test_a_slow_reader_holds_the_answer_back(simulated: Simulated, since: int) -> None:
    body = {"model": "m", "messages": HELLO, "stream": True, "simulator": {"output_tokens": 40_000}}
    with simulated.open(body) as connection:
        assert ready(connection, 5)
        log = simulated.call("GET", "/simulator/truth").json()
        assert (log["last_seq"], log["in_flight"]) == (since, 1)
        raw = everything(connection)
    assert raw.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert raw.count(b'"content":') == 40_001
    assert simulated.truth(since)[0]["tokens_sent"] == 40_000


def test_the_log_and_the_last_request(simulated: Simulated, since: int) -> None:
    simulated.ask({"text": "x"}, user="me")
    last = simulated.call("GET", "/simulator/last_request").json()
    assert last["headers"]["authorization"] == "Bearer sk-test"
    assert last["body"] == {"model": "gpt-4o", "messages": HELLO, "user": "me", "simulator": {"text": "x"}}
    (entry,) = simulated.truth(since)
    assert entry["body_members"] == ["model", "messages", "user", "simulator"]
    assert simulated.call("GET", "/simulator/truth?since=x").status == 400
    assert simulated.call("DELETE", "/simulator/truth").status == 200
    log = simulated.call("GET", "/simulator/truth").json()
    assert log["entries"] == []
    assert log["last_seq"] == entry["seq"]
    assert simulated.call("GET", "/simulator/last_request").json() is None


def test_sigterm_ends_it_and_the_log_is_whole(tmp_path: Path) -> None:
    process, port = start(tmp_path / "truth.jsonl")
    simulated = Simulated(port)
    simulated.ask()
    body = {"model": "m", "messages": HELLO, "stream": True, "simulator": {"stall_after_tokens": 1}}
    with simulated.open(body) as connection:
        assert ready(connection, 5)
        assert stop(process) == 0
        while connection.recv(1 << 16):
            pass
    entries = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [entry["outcome"] for entry in entries] == ["complete", "client_gone"]
    assert [entry["seq"] for entry in entries] == [1, 2]


def test_it_ends_with_its_parent() -> None:
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys, time\n"
            f"subprocess.Popen([sys.executable, '-c', {START!r}, '', 'with parent'])\n"
            "time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline())
    assert Simulated(port).ask().status == 200
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert parent.stdout.read() == ""  # the other end of the pipe is closed once the simulator is gone
    parent.stdout.close()
    with pytest.raises(ConnectionRefusedError):
        Simulated(port).ask()
