"""The official SDK uses the Messages API through a gateway, in front of a provider of it and of one of OpenAI's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import DONE, Upstream, Visit, event_of

WEATHER: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-up",
    "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Grüße"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5},
}
STREAM: tuple[dict[str, Any], ...] = (
    {"type": "message_start", "message": {**ANSWER, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Grü"}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "ße"}},
    {"type": "content_block_stop", "index": 1},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 5},
    },
    {"type": "message_stop"},
)


def speak(visit: Visit) -> None:
    """What a provider of the Messages API answers."""
    if b"/count_tokens" in visit.head:
        visit.whole(200, b'{"input_tokens":42}')
    elif visit.json().get("stream"):
        visit.stream(*(f"event: {said['type']}\ndata: {json.dumps(said)}\n\n".encode() for said in STREAM))
        visit.end()
    else:
        visit.whole(200, json.dumps(ANSWER).encode())


def call(visit: Visit) -> None:
    """What a provider of OpenAI's API answers: two calls whose arguments come mixed."""

    def calling(index: int, arguments: str, **more: Any) -> bytes:
        return event_of({"tool_calls": [{"index": index, "function": {"arguments": arguments}, **more}]})

    def opened(index: int) -> bytes:
        function = {"name": "weather", "arguments": ""}
        return event_of({"tool_calls": [{"index": index, "id": f"c{index}", "type": "function", "function": function}]})

    visit.stream(
        event_of({"role": "assistant", "content": "let me see"}),
        *(opened(0), opened(1), calling(1, '{"city":"Ro'), calling(0, '{"city":"Pa'), calling(1, 'me"}')),
        calling(0, 'ris"}'),
        event_of({}, "tool_calls"),
        event_of({}, None, usage={"prompt_tokens": 9, "completion_tokens": 8}),
        DONE,
    )
    visit.end()


@pytest.fixture(scope="module")
def native() -> Iterator[Upstream]:
    with Upstream(speak) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def foreign() -> Iterator[Upstream]:
    with Upstream(call) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def client(session_folder: Path, native: Upstream, foreign: Upstream) -> Iterator[anthropic.Anthropic]:
    config = f"""
[providers.native]
base_url = "{native.base_url}"
key = "native-secret"
wire = "exact"
dialect = "anthropic_messages"
models = ["claude-x"]

[providers.foreign]
base_url = "{foreign.base_url}"
key = "foreign-secret"
models = ["gpt-x"]
"""
    gateway = Gateway(session_folder, config)
    with anthropic.Anthropic(base_url=gateway.base_url.removesuffix("/v1"), api_key=gateway.key) as made:
        yield made.with_options(max_retries=0)
    gateway.stop()


@pytest.mark.contract("1.11")
def test_a_whole_answer_is_forwarded(client: anthropic.Anthropic, native: Upstream) -> None:
    visits = native.play(speak)
    message = client.messages.create(model="claude-x", max_tokens=50, messages=[{"role": "user", "content": "a"}])
    assert message.model == "claude-x"
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.usage.cache_read_input_tokens == 4
    assert b"anthropic-version: 2026-10-21" in visits[0].head  # the client's own
    assert visits[0].json() == {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "a"}]}


@pytest.mark.contract("1.11")
def test_a_stream_is_forwarded(client: anthropic.Anthropic, native: Upstream) -> None:
    native.play(speak)
    asked: Any = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "a"}]}
    with client.messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == "Grüße"
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert message.content[0].type == "thinking"
    assert message.content[0].signature == "s"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 5)


@pytest.mark.contract("1.11")
def test_tokens_are_counted_by_the_provider(client: anthropic.Anthropic, native: Upstream) -> None:
    visits = native.play(speak)
    counted = client.messages.count_tokens(model="claude-x", messages=[{"role": "user", "content": "a"}])
    assert counted.input_tokens == 42
    assert visits[0].head.startswith(b"POST /v1/messages/count_tokens ")


@pytest.mark.parametrize("counted", [b'{"input_tokens":-5}', b'{"input_tokens":"x"}', b"<html>"])
def test_what_is_no_count_is_not_believed(client: anthropic.Anthropic, native: Upstream, counted: bytes) -> None:
    native.play(lambda visit: visit.whole(200, counted))
    asked: Any = [{"role": "user", "content": "a"}]
    assert client.messages.count_tokens(model="claude-x", messages=asked).input_tokens > 0


def test_what_nobody_can_read_is_not_counted(client: anthropic.Anthropic) -> None:
    asked: Any = [{"role": "user", "content": [{"type": "text", "text": 5}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\].content\[0\].text"):
        client.messages.count_tokens(model="gpt-x", messages=asked)


def test_a_stream_of_another_dialect_is_translated(client: anthropic.Anthropic, foreign: Upstream) -> None:
    visits = foreign.play(call)
    asked: Any = {"model": "gpt-x", "max_tokens": 50, "messages": [{"role": "user", "content": "a"}]}
    with client.messages.stream(**asked, system="Be brief.", tools=[WEATHER]) as stream:
        message = stream.get_final_message()
    assert message.stop_reason == "tool_use"
    assert [block.input for block in message.content if block.type == "tool_use"] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]
    assert (message.usage.input_tokens, message.usage.output_tokens) == (9, 8)
    assert [said["role"] for said in visits[0].json()["messages"]] == ["system", "user"]


def test_an_error_is_the_sdks_own(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        client.messages.create(model="nobody", max_tokens=5, messages=[{"role": "user", "content": "a"}])
    body: Any = raised.value.body
    assert body["error"]["type"] == "not_found_error"
    assert raised.value.request_id == body["request_id"]
