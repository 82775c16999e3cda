"""What the client sends arrives, and what the upstream sends leaves: unchanged but for what contract.md 5.2 names."""

import json
from typing import Any

import pytest

from tests.running.client import CHAT, DONE, HELLO, Caller, Connection, request_bytes
from tests.running.processes import Simulator
from tests.running.upstreams import Upstream, Visit

# What an upstream sends, with `@` where it would say `,"usage":null` if it was asked for usage.
EVENTS = [
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"scripted","choices":[{"index":0,"delta":'
    b'{"role":"assistant","content":""},"finish_reason":null}]@}\n\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"caf\xc3\xa9 \\u00e9 \\"usage\\":null"}}],'
    b'"model":"scripted"@}\n\n',
    b'data: { "model" : "scripted", "choices" : [ {"delta":{"content":"spaced"}, "index":0 } ] @}\n\n',
    b'data: {"id":"c"@,"model":"scripted","odd":[1.0,2e3,{"usage":{"x":1}}],"choices":[{"index":0,"delta":{"content":"'
    b'a\\nb"}}]}\n\n',
    b": a comment\n\n",
    b'data:{"model":"scripted","choices":[{"index":0,"delta":{"content":"no space"}}]@}\n\n',
    b'event: message\nid: 7\ndata: {"model":"scripted","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,'
    b'"id":"t","type":"function","function":{"name":"usage","arguments":""}}]}}]@}\n\n',
    b'data: {"model":"scripted","choices":[{"index":0,"delta":{"reasoning_content":"hm","odd":{"a":[]}}}]@}\r\n\r\n',
    b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"model":"scripted"@}\n\n',
]
USAGE_EVENT = (
    b'data: {"id":"c","model":"scripted","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,'
    b'"total_tokens":13}}\n\n'
)


def bytes_sent(*, with_usage: bool) -> bytes:
    mark = b',"usage":null' if with_usage else b""
    return b"".join(event.replace(b"@", mark) for event in EVENTS) + (USAGE_EVENT if with_usage else b"") + DONE


def honest_script(visit: Visit, piece_bytes: int) -> None:
    """An upstream that says usage only where it is asked for."""
    asked = (visit.json().get("stream_options") or {}).get("include_usage") is True
    data = bytes_sent(with_usage=asked)
    visit.stream(*(data[start : start + piece_bytes] for start in range(0, len(data), piece_bytes)))
    visit.end()


@pytest.mark.contract("5.2")
@pytest.mark.parametrize("piece_bytes", [1, 13, 100, 997, 100_000])
@pytest.mark.parametrize(
    "options", [None, {}, {"include_usage": False}, {"include_usage": None}, {"include_usage": True}]
)
def test_stream_byte_for_byte(
    options: dict[str, Any] | None, piece_bytes: int, special_caller: Caller, scripted: Upstream
) -> None:
    """As it would have been without the gateway, although the gateway always asks for usage."""
    visits = scripted.play(lambda visit: honest_script(visit, piece_bytes))
    members = {} if options is None else {"stream_options": options}
    answer = special_caller.streamed(model="scripted", **members)
    assert answer.body == bytes_sent(with_usage=bool(options and options["include_usage"]) if options else False)
    assert visits[0].json()["stream_options"] == {"include_usage": True}
    record = special_caller.record(answer.header("x-request-id"))
    assert (record["usage"]["source"], record["usage"]["prompt_tokens"]) == ("provider", 9)


def direct(simulator: Simulator, body: dict[str, Any]) -> bytes:
    """What the simulator itself answers."""
    with Connection(simulator.port) as connection:
        connection.send(request_bytes("POST", CHAT, json.dumps(body).encode(), key="direct"))
        return bytes(connection.answer().body)


SAID = {"output_tokens": 40}
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "several": {"n": 3},
    "tools": {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
        "tool_choice": "required",
    },
    "logprobs": {"logprobs": True, "top_logprobs": 3},
    "reasoning": {"simulator": SAID | {"reasoning": True}},
    "json": {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "json please"}]},
}


@pytest.mark.contract("5.2")
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("options", [None, {"include_usage": True}])
def test_simulated_stream_byte_for_byte(
    options: dict[str, Any] | None, variant: str, caller: Caller, simulator: Simulator
) -> None:
    body = {"stream": True, **caller.body(SAID), **VARIANTS[variant]}
    body |= {"stream_options": options} if options else {}
    assert caller.ask("POST", CHAT, body).body == direct(simulator, body)


@pytest.mark.parametrize("variant", VARIANTS)
def test_simulated_answer_byte_for_byte(variant: str, caller: Caller, simulator: Simulator) -> None:
    body = {**caller.body(SAID), **VARIANTS[variant]}
    assert caller.ask("POST", CHAT, body).body == direct(simulator, body)


@pytest.mark.parametrize("stream", [False, True])
def test_simulated_completion_byte_for_byte(stream: bool, caller: Caller, simulator: Simulator) -> None:
    body = {"model": "test-model", "prompt": ["one", "two"], "stream": stream, "simulator": SAID}
    answer = caller.ask("POST", "/v1/completions", body)
    with Connection(simulator.port) as connection:
        connection.send(request_bytes("POST", "/v1/completions", json.dumps(body).encode(), key="direct"))
        assert answer.body == connection.answer().body


# Requests

ODD_MEMBERS = (
    b'{"unknown":{"deep":[1,2.50,1e2,-0.0,"\\u00e9\\/"],"n":null},"model":"test-model",  "messages" : [ {"role":"user",'
    b'"content":[{"type":"text","text":"a"},{"type":"odd_part","odd":1}],"name":"x","cache_control":{"type":"e"}} ],'
    b'"seed":12345678901234567890,"metadata":{"a":"b"},"n":1,"logit_bias":{"1":-100},"reasoning_effort":"low","store":false}'
)


@pytest.mark.contract("1.1", "5.2")
def test_members_arrive_as_they_were_sent(special_caller: Caller, scripted: Upstream) -> None:
    """Known and unknown ones, in their order, each to the byte."""
    answer = {"id": "x", "object": "chat.completion", "model": "scripted", "choices": [{"index": 0, "message": {}}]}
    visits = scripted.play(lambda visit: visit.whole(200, json.dumps(answer).encode()))
    body = ODD_MEMBERS.replace(b"test-model", b"scripted")
    assert special_caller.ask("POST", CHAT, body).status == 200
    arrived = visits[0].body
    assert json.loads(arrived) == json.loads(body)
    assert list(json.loads(arrived)) == list(json.loads(body))
    for literal in (b"[1,2.50,1e2,-0.0,", b"\\u00e9\\/", b"12345678901234567890", b"-100"):
        assert literal in arrived


def test_of_a_member_that_comes_twice_the_checked_one_is_sent(special_caller: Caller, scripted: Upstream) -> None:
    visits = scripted.play(lambda visit: visit.whole(500, b""))
    earlier = b'"model":"nobody","mess\\u0061ges":[{"role":"system","content":"y"}],"n":2,'
    body = b'{%b"model":"scripted","messages":[{"role":"user","content":"x"}],"n":1}'
    assert special_caller.ask("POST", CHAT, body % earlier).status == 503
    assert visits[0].body.count(b'"model"') == visits[0].body.count(b'"messages"') == visits[0].body.count(b'"n"') == 1
    assert visits[0].json() == {"model": "scripted", "messages": [{"role": "user", "content": "x"}], "n": 1}
    refused = special_caller.ask("POST", CHAT, body % b'"n":9999,')
    assert (refused.status, refused.json()["error"]["param"]) == (400, "n")


def test_upstream_model_name(special_caller: Caller, simulator: Simulator) -> None:
    special_caller.chat(model="renamed")
    assert simulator.get("/simulator/last_request")["body"]["model"] == "upstream-name"


def test_headers_to_the_upstream(caller: Caller, special_caller: Caller, scripted: Upstream) -> None:
    """Our own only: nothing that the client sent, least of all its key."""
    visits = scripted.play(lambda visit: visit.whole(500, b""))
    sent = {"cookie": "a=b", "x-stainless-lang": "python", "openai-organization": "org", "accept-encoding": "gzip, br"}
    special_caller.chat(headers=sent | {"x-forwarded-for": "192.0.2.1", "te": "trailers"}, model="scripted")
    lines = visits[0].head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/chat/completions http/1.1"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields.keys() == {
        "host", "user-agent", "accept", "accept-encoding", "authorization", "content-type", "content-length",
    }  # fmt: skip
    assert fields["authorization"] == "bearer scripted-secret-key"
    assert fields["host"] == f"127.0.0.1:{scripted.port}"
    assert fields["content-length"] == str(len(visits[0].body))


# Stream options


@pytest.mark.parametrize(
    ("given", "arrives"),
    [
        ({}, {"include_usage": True}),
        ({"stream_options": None}, {"include_usage": True}),
        ({"stream_options": {}}, {"include_usage": True}),
        ({"stream_options": {"include_usage": False}}, {"include_usage": True}),
        ({"stream_options": {"include_usage": True}}, {"include_usage": True}),
        ({"stream_options": {"include_obfuscation": False}}, {"include_obfuscation": False, "include_usage": True}),
        ({"stream_options": {"include_usage": None, "odd": 1}}, {"include_usage": True, "odd": 1}),
    ],
)
def test_stream_options(given: dict[str, Any], arrives: dict[str, Any], caller: Caller, simulator: Simulator) -> None:
    answer = caller.streamed({"output_tokens": 3}, **given)
    asked = bool((given.get("stream_options") or {}).get("include_usage"))
    assert simulator.get("/simulator/last_request")["body"]["stream_options"] == arrives
    usages = [event["usage"] for event in answer.events[:-1] if "usage" in event]
    assert (b'"usage"' in answer.body) == asked
    assert [usage for usage in usages if usage] == ([usages[-1]] if asked else [])
    assert len(usages) == (len(answer.events) - 1 if asked else 0)


def test_no_stream_options_where_nothing_is_streamed(caller: Caller, simulator: Simulator) -> None:
    for members in ({}, {"stream": False}, {"stream": None}):
        assert caller.chat(**members).status == 200
        assert "stream_options" not in simulator.get("/simulator/last_request")["body"]
    caller.chat(stream=False, stream_options={"include_usage": True})
    assert simulator.get("/simulator/last_request")["body"]["stream_options"] == {"include_usage": True}


# Model names in answers


@pytest.mark.contract("3.1")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("asked", "written", "shown"),
    [
        ("test-model", "test-model", "test-model"),
        ("test-model", "test-model-2024-08-06", "test-model-2024-08-06"),
        ("test-model", "test-model-0613", "test-model-0613"),
        ("test-model", "test-model-mini", "test-model"),
        ("test-model", "other", "test-model"),
        ("nick/name", "test-model", "nick/name"),
        ("renamed", "upstream-name", "renamed"),
        ("renamed", "renamed-2024-08-06", "renamed-2024-08-06"),
    ],
)
def test_model_in_the_answer(asked: str, written: str, shown: str, stream: bool, special_caller: Caller) -> None:
    """As the upstream wrote it where that is the asked name or a dated form of it, else the asked one, everywhere."""
    plan = {"answer_model": written, "output_tokens": 20}
    if stream:
        events = special_caller.streamed(plan, model=asked, stream_options={"include_usage": True}).events
        assert [event["model"] for event in events[:-1]] == [shown] * (len(events) - 1)
    else:
        assert special_caller.chat(plan, model=asked).json()["model"] == shown


@pytest.mark.contract("3.1")
def test_a_renamed_stream_is_else_unchanged(special_caller: Caller, simulator: Simulator) -> None:
    text = 'it says "model":"upstream-name" and {"model":"upstream-name"}'
    plan = {"answer_model": "upstream-name", "text": text}
    body = {"stream": True, **special_caller.body(plan), "model": "renamed"}
    expected = direct(simulator, body | {"simulator": plan}).replace(b'"model":"upstream-name"', b'"model":"renamed"')
    assert special_caller.ask("POST", CHAT, body).body == expected
    assert special_caller.ask("POST", CHAT, body).text == text


# Keep-alive comments


def test_comments_while_nothing_is_said(special_caller: Caller) -> None:
    """The head leaves, so that nobody on the way takes the silence for death; the stream is whole nevertheless."""
    with special_caller.stream({"stall_before_head_ms": 1500, "output_tokens": 3}) as connection:
        assert connection.current.status == 200
        connection.body_until(b": keep-alive\n\n", 2)
        assert b"data:" not in connection.current.body
        answer = connection.rest()
    assert answer.body.count(b"data: {") == 5
    assert answer.body.endswith(DONE)


def test_comments_in_a_pause(special_caller: Caller, scripted: Upstream) -> None:
    """Between events, never inside one."""
    begun = b"".join(EVENTS[:2]).replace(b"@", b"")

    def script(visit: Visit) -> None:
        visit.stream(begun + EVENTS[3].replace(b"@", b"")[:60])
        visit.until_gone()

    scripted.play(script)
    with special_caller.stream(model="scripted") as connection:
        connection.body_until(b": keep-alive\n\n", 2)
        body = bytes(connection.current.body)
    assert body == begun + b": keep-alive\n\n" * body.count(b": keep-alive\n\n")


def test_no_comments_while_it_speaks(special_caller: Caller) -> None:
    answers = (special_caller.streamed({"output_tokens": 40, "tokens_per_s": 40}) for _ in range(3))
    assert any(b"keep-alive" not in answer.body for answer in answers)  # unless the machine held all three up


def test_error_after_the_head_left_with_a_comment(special_caller: Caller) -> None:
    """The 200 has gone: the failure is told in-band."""
    answer = special_caller.streamed({"stall_before_head_ms": 1000, "status": 500})
    assert answer.status == 200
    comment, _, rest = answer.body.rpartition(b": keep-alive\n\n")
    assert b"data:" not in comment
    assert rest.startswith(b'data: {"error":{')
    assert rest.endswith(DONE)
    assert b"upstream_unavailable" in rest


def test_no_comments_in_a_whole_answer(special_caller: Caller) -> None:
    answer = special_caller.chat({"stall_before_head_ms": 1000})
    assert answer.json()["object"] == "chat.completion"


def test_small_events_are_not_held_back(caller: Caller) -> None:
    """Each event leaves when it comes: no buffering for the sake of larger packets."""
    with caller.stream({"output_tokens": 5, "tokens_per_s": 2}, messages=HELLO) as connection:
        connection.body_until(b'"content":"', 2)
        assert b'"finish_reason":"stop"' not in connection.current.body
