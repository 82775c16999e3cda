"""What the Messages API's dialect forwards and renders, where a file of fixtures cannot say it."""

import json
import random
from typing import Any

import pytest

from faregate.core.chat import ChatRequest
from faregate.core.conversation import Choice, ToolCall
from faregate.core.events import (
    ArgumentsDelta,
    Completion,
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from faregate.core.usage import Usage
from faregate.dialects.table import DIALECTS

DIALECT = DIALECTS["anthropic_messages"]
ASKED = ChatRequest(model="m", members={}, stream=True)
START = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","model":"%b",'
    b'"usage":{"input_tokens":7,"output_tokens":1}}}\n\n'
)
DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Gr\xc3\xbc\xc3\x9f"}}\n\n'
)
REASON = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":9}}\n\n'
)
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def cut(raw: bytes, seed: int) -> list[bytes]:
    dice = random.Random(seed)
    pieces = []
    while raw:
        size = dice.choice((1, 3, 17, 200))
        pieces.append(raw[:size])
        raw = raw[size:]
    return pieces


def shown(events: list[Event]) -> list[dict[str, Any]]:
    """The events of a client's stream, each with the type that its event line says."""
    renderer = DIALECT.renderer(ASKED)
    raw = b"".join(map(renderer.render, events)) + b"".join(renderer.finish())
    found = []
    for frame in raw.decode().strip().split("\n\n"):
        event, data = frame.split("\n")
        said = json.loads(data.removeprefix("data: "))
        assert event == f"event: {said['type']}"
        found.append(said)
    return found


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("model", [b"m", b"m-2026-01-02", b"other"])
def test_a_stream_is_relayed_to_the_byte_but_for_the_models_name(seed: int, model: bytes) -> None:
    transform = DIALECT.forward_stream(ASKED, exact=True)
    raw = START % model + b": note\n\n" + DELTA * 5 + b'event: new\ndata: {"type":"new"}\n\n' + REASON + STOP
    out = b"".join([transform.feed(piece) for piece in cut(raw, seed)]) + transform.close()
    assert out + transform.observed.ending == (raw.replace(b'"other"', b'"m"') if model == b"other" else raw)
    assert transform.observed.finished
    usage = transform.observed.usage
    assert usage is not None
    assert (usage.input, usage.output) == (7, 9)


def test_an_end_mark_without_its_last_line_ends_the_clients_stream() -> None:
    transform = DIALECT.forward_stream(ASKED, exact=True)
    transform.feed(START % b"m" + DELTA + REASON + STOP.rstrip())
    transform.close()
    assert transform.observed.ending == STOP


def test_a_stream_that_breaks_off_is_not_finished() -> None:
    transform = DIALECT.forward_stream(ASKED, exact=True)
    transform.feed(START % b"m" + DELTA)
    transform.close()
    assert not transform.observed.finished
    assert not transform.observed.ending


def test_an_error_event_is_not_relayed() -> None:
    transform = DIALECT.forward_stream(ASKED, exact=True)
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    assert transform.feed(START % b"m" + DELTA + error) == START % b"m" + DELTA
    assert transform.observed.error is not None
    assert transform.observed.error.message == "Overloaded"


def test_an_event_cut_off_among_whole_ones_is_not_relayed() -> None:
    transform = DIALECT.forward_stream(ASKED, exact=True)
    assert transform.feed(START % b"m" + DELTA) == START % b"m" + DELTA
    assert transform.feed(DELTA + DELTA[:-20] + b"\n\n" + DELTA) == DELTA
    assert transform.observed.error is not None


def test_a_budget_for_thinking_stays_below_the_cap() -> None:
    thinking = {"type": "enabled", "budget_tokens": 8_000, "display": "summarized"}
    body = {"model": "m", "max_tokens": 9_000, "thinking": thinking, "messages": [{"role": "user", "content": "a"}]}
    request = DIALECT.parse_request(json.dumps(body).encode())
    request.output_tokens_cap = 4_000
    sent = json.loads(DIALECT.forward_request(request, "up"))
    assert sent == {**body, "model": "up", "max_tokens": 4_000, "thinking": {**thinking, "budget_tokens": 3_999}}


@pytest.mark.parametrize("arguments", ['{"city": "Par', "[1]"])
def test_arguments_that_were_cut_off_do_not_break_the_answer(arguments: str) -> None:
    call = ToolCall(id="toolu_1", name="f", arguments=arguments)
    body = DIALECT.render_result(Completion(choices=[Choice(parts=(call,), reason="length")]), ASKED)
    answer = json.loads(body)
    assert answer["content"][0]["input"] == {"arguments": arguments}
    assert answer["stop_reason"] == "max_tokens"


def test_blocks_are_dense_and_one_after_the_other() -> None:
    """Thoughts, words, and calls whose arguments come interleaved (conformance 1.10, 2.5)."""
    events = shown(
        [
            Started("x", "m"),
            ReasoningDelta("hm"),
            Signed(signature="s", signed_by="anthropic_messages"),
            TextDelta("a"),
            ToolCallStarted(call=0, id="c0", name="f"),
            ToolCallStarted(call=1, id="c1", name="g"),
            ArgumentsDelta(call=1, text='{"y":'),
            ArgumentsDelta(call=0, text='{"x":'),
            ArgumentsDelta(call=1, text="2}"),
            ArgumentsDelta(call=0, text="1}"),
            Finished(reason="tool_calls"),
            UsageReported(Usage(input=5, cache_read=2, cache_write=1, output=3)),
            Ended(),
        ][:-1]
    )
    index, is_open, arguments = -1, False, {}
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            index, is_open = index + 1, True
            assert event["index"] == index
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == index
            if event["delta"]["type"] == "input_json_delta":
                arguments[index] = arguments.get(index, "") + event["delta"]["partial_json"]
        elif event["type"] == "content_block_stop":
            assert is_open
            is_open = False
    assert {place: json.loads(text) for place, text in arguments.items()} == {2: {"x": 1}, 3: {"y": 2}}
    kinds = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert kinds == ["thinking", "text", "tool_use", "tool_use"]
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    usage = events[-2]["usage"]
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")
    assert [usage[name] for name in names] == [5, 2, 1, 3]


def test_a_proof_of_another_maker_is_not_shown() -> None:
    events = shown([Started(), ReasoningDelta("hm"), Signed(signature="secret", signed_by="gemini_generate")])
    assert "secret" not in json.dumps(events)
