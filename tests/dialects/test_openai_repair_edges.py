"""What a repaired stream keeps, what it shows of itself, and which failures stay failures."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_streams import ASKED, HI, NOW, STOP, USAGE, answer, call, calls, chunk, repair, run, says, sse

from faregate.core.chat import ChatRequest
from faregate.dialects.openai_chat.repair import Repair
from faregate.wire.messages import BadMessage

# What cannot be mended: failures stay failures.


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (sse(HI, '{"error": 1}\n\n', 'data: {"error": {"message": "boom", "code": 500}}\n\n'), "boom"),
        (sse(HI, 'event: error\ndata: {"message": "boom"}\n\n'), "boom"),
        (sse(HI, "event: error\ndata: boom\n\n"), "The provider's stream failed."),
        (sse(HI, STOP, chunk(says({"content": ""}, "error"), error={"message": "boom"})), "boom"),
        (sse(HI, chunk(says({}, "error"))), "The provider's stream failed."),
    ],
)
@given(cuts=st.lists(st.integers(0, 600), max_size=6))
@settings(max_examples=20, deadline=None)
def test_error_event_ends_the_stream_unfinished(raw: bytes, message: str, cuts: list[int]) -> None:
    outcome = run(raw, cuts, usage=True)
    assert outcome.observed.error is not None
    assert outcome.observed.error.message == message
    assert not outcome.observed.finished
    assert b"DONE" not in outcome.raw
    assert b'finish_reason":"' not in outcome.raw
    assert b'"content":"Hi"' in outcome.raw


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b": only\n\n",
        sse(),
        sse(HI, done=False),
        sse(HI, chunk(usage=USAGE), done=False),
        sse(HI, STOP, done=False)[:-30],
        sse(HI, done=False) + b"data: [DON",
        sse(chunk(says(calls(call(0, "c", "f", '{"a":')), "tool_calls")), HI, done=False),
        b"<html>busy</html>",
    ],
)
def test_unfinished_stream_is_not_finished(raw: bytes) -> None:
    outcome = run(raw)
    assert not outcome.failed
    assert not outcome.observed.finished
    assert b"DONE" not in outcome.raw
    assert b'finish_reason":"' not in outcome.raw


def test_two_choices_are_finished_when_both_are() -> None:
    first, second = chunk(says({"content": "a"}, "stop", 0)), chunk(says({"content": "b"}, "stop", 1))
    assert not run(sse(first, done=False), n=2).observed.finished
    assert run(sse(first, second, done=False), n=2).observed.finished


@pytest.mark.parametrize("bad", ["data: <html>\n\n", "data: [1]\n\n", "data: 7\n\n", 'data: {"a":\n\n'])
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=20, deadline=None)
def test_bad_event_raises_after_what_was_good(bad: str, cuts: list[int]) -> None:
    outcome = run(sse(HI, bad, STOP), cuts)
    assert outcome.failed
    assert outcome.raw == run(sse(HI, done=False)).raw != b""


def test_bad_event_alone_raises_at_once() -> None:
    with pytest.raises(BadMessage):
        Repair(ChatRequest(model=ASKED, members={})).feed(b"data: <html>\n\n")


def test_too_many_calls_raise() -> None:
    flood = [chunk(says(calls(call(number, f"c{number}", "f", "")))) for number in range(2000)]
    assert run(sse(*flood)).failed


def test_event_over_the_cap_raises() -> None:
    transform = Repair(ChatRequest(model=ASKED, members={}))
    with pytest.raises(BadMessage):
        for _ in range(40):
            transform.feed(b"data: " + b"x" * 65536)


# What is kept, and what is said.


def test_unknown_members_are_kept() -> None:
    delta = {
        "content": "a",
        "reasoning_content": "r",
        "reasoning": "r",
        "thinking_blocks": [{"signature": "s"}],
        "refusal": None,
        "extra": 1,
    }
    extra = {"google": {"thought_signature": "s"}}
    entry = call(0, "c", "f", '{"a":1}', extra_content=extra)
    logprobs = {"content": [{"token": "a", "logprob": -0.5, "bytes": None, "top_logprobs": []}]}
    raw = sse(
        chunk(says(delta, logprobs=logprobs, content_filter_results={}), obfuscation="xyz", service_tier="t"),
        chunk(says(calls(entry))),
        chunk(says(calls(call(0, None, None, "", extra_content=extra)))),
        chunk(says({"function_call": {"name": "f", "arguments": "{}"}})),
        chunk({"index": 0, "text": "legacy", "finish_reason": None}),
        chunk(says({}, "stop", stop_reason="</s>"), x_tail=1),
        chunk(usage={**USAGE, "cost": 0.1}, system_fingerprint="fp"),
    )
    first, header, later, function, legacy, finish, usage = run(raw, usage=True).chunks
    assert first["obfuscation"] == "xyz"
    assert first["service_tier"] == "t"
    assert first["choices"] == [
        {
            "index": 0,
            "delta": {"role": "assistant", **delta},
            "finish_reason": None,
            "logprobs": logprobs,
            "content_filter_results": {},
        }
    ]
    assert header["choices"][0]["delta"]["tool_calls"][0]["extra_content"] == extra
    assert later["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "function": {"arguments": ""}, "extra_content": extra}
    ]
    assert function["choices"][0]["delta"] == {"function_call": {"name": "f", "arguments": "{}"}}
    assert legacy["choices"][0]["text"] == "legacy"
    assert finish["x_tail"] == 1
    assert finish["choices"][0]["stop_reason"] == "</s>"
    assert usage["usage"] == {**USAGE, "cost": 0.1}
    assert usage["system_fingerprint"] == "fp"


def test_custom_calls_keep_their_kind() -> None:
    raw = sse(
        chunk(says(calls({"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}))),
        chunk(says(calls({"index": 0, "custom": {"input": "text"}}))),
        chunk(says({}, "tool_calls")),
    )
    deltas = [item["choices"][0]["delta"] for item in run(raw).chunks]
    assert deltas == [
        {
            "role": "assistant",
            **calls({"index": 0, "id": "c", "type": "custom", "custom": {"name": "f", "input": ""}}),
        },
        calls({"index": 0, "custom": {"input": "text"}}),
        {},
    ]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("m", "m"),
        ("m-2024-08-06", "m-2024-08-06"),
        ("m-20250514", "m-20250514"),
        ("m-0613", "m-0613"),
        ("m-2407", "m-2407"),
        ("m-mini", "m"),
        ("m-mini-2024-07-18", "m"),
        ("vendor/m", "m"),
        ("", "m"),
        (None, "m"),
        (7, "m"),
    ],
)
def test_model(written: object, shown: str) -> None:
    chunks = run(sse(chunk(says({"content": "Hi"}), model=written), STOP)).chunks
    assert {item["model"] for item in chunks} == {shown}
    assert repair(answer(model=written))["model"] == shown


def test_missing_head_is_made_up() -> None:
    chunks = run(sse({"choices": [says({"content": "Hi"}, "stop")]})).chunks
    assert {(item["id"], item["created"]) for item in chunks} == {("chatcmpl-" + "0" * 24, NOW)}


def test_missing_call_ids_are_made_up() -> None:
    (first, *_) = run(sse(chunk(says(calls(call(0, None, "f", '{"a":1}')), "stop")))).chunks
    assert re.fullmatch("call_[0-9a-f]{24}", first["choices"][0]["delta"]["tool_calls"][0]["id"])


@pytest.mark.parametrize(
    ("native", "shown"),
    [
        ("function_call", "function_call"),
        ("weird", "stop"),
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("SAFETY", "content_filter"),
        ("tool_use", "tool_calls"),
    ],
)
def test_changed_reason_is_told(native: str, shown: str) -> None:
    *_, last = run(sse(HI, chunk(says({}, native)))).chunks
    expected = {"index": 0, "delta": {}, "finish_reason": shown}
    assert last["choices"] == [expected if native == shown else {**expected, "native_finish_reason": native}]


def test_total_is_added_where_it_is_missing() -> None:
    last = run(sse(HI, STOP, chunk(usage={"prompt_tokens": 2, "completion_tokens": 3})), usage=True).chunks[-1]
    assert last["usage"] == {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def test_what_was_observed() -> None:
    observed = run(sse(chunk(says({"role": "assistant", "content": ""})), HI, HI, STOP, chunk(usage=USAGE))).observed
    assert (observed.deltas, observed.has_content, observed.finished, observed.done) == (2, True, True, True)
    assert observed.model == "gpt-up"
    assert observed.usage is not None
    silent = run(sse(chunk(says({"role": "assistant", "content": ""})), done=False)).observed
    assert (silent.deltas, silent.has_content, silent.finished) == (0, False, False)


def test_empty_arguments_are_said_before_the_next_call() -> None:
    raw = sse(chunk(says(calls(call(0, "c1", "f", "{}")))), chunk(says(calls(call(1, "c2", "g", '{"b":2}')))), STOP)
    _, second, finish = run(raw).chunks
    assert second["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "function": {"arguments": "{}"}},
        {"index": 1, "id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"b":2}'}},
    ]
    assert finish["choices"][0]["delta"] == {}
