"""Anthropic's own SDK talks to the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from .conftest import HELLO, Simulated, frames

NEW = "claude-opus-4-8"
OLD = "claude-haiku-4-5"
TOOL = {
    "name": "weather",
    "description": "the weather somewhere",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
OTHER = {**TOOL, "name": "clock"}
EARLIER = {"anthropic-version": "2023-06-01"}


@pytest.fixture(scope="module")
def claude(simulated: Simulated) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=f"http://127.0.0.1:{simulated.port}", api_key="sk-ant", max_retries=0) as client:
        yield client


def ask(claude: anthropic.Anthropic, plan: dict[str, Any] | None = None, **members: Any) -> Any:
    asked = {"model": OLD, "max_tokens": 4096, "messages": HELLO, **members}
    return claude.messages.create(**asked, extra_body={"simulator": plan} if plan else {})


def streamed(claude: anthropic.Anthropic, plan: dict[str, Any] | None = None, **members: Any) -> Any:
    asked = {"model": OLD, "max_tokens": 4096, "messages": HELLO, **members}
    with claude.messages.stream(**asked, extra_body={"simulator": plan} if plan else {}) as stream:
        return stream.get_final_message()


def essence(message: Any) -> dict[str, Any]:
    """A message without what a stream's accumulation leaves out."""
    found = message.model_dump(exclude={"content"})
    blocks = [
        {name: member for name, member in block.model_dump().items() if name not in ("citations", "parsed_output")}
        for block in message.content
    ]
    return {"id": found["id"], "stop": found["stop_reason"], "usage": found["usage"], "blocks": blocks}


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"tools": [TOOL, OTHER]},
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        {"thinking": {"type": "adaptive"}, "model": NEW, "tools": [TOOL]},
        {"stop_sequences": ["a"]},
        {"max_tokens": 3},
    ],
)
def test_a_stream_and_a_whole_answer_say_the_same(claude: anthropic.Anthropic, members: dict[str, Any]) -> None:
    plan = {"cached_tokens": 2, "cache_write_tokens": 1}
    assert essence(streamed(claude, plan, **members)) == essence(ask(claude, plan, **members))


def test_usage_is_what_the_log_vouches_for(claude: anthropic.Anthropic, simulated: Simulated, since: int) -> None:
    usage = ask(claude, {"cached_tokens": 2, "cache_write_tokens": 1}, thinking={"type": "adaptive"}, model=NEW).usage
    entry = simulated.truth(since)[0]
    assert entry["wire"] == "anthropic"
    assert usage.cache_read_input_tokens == entry["cached_tokens"] == 2
    assert usage.cache_creation_input_tokens == entry["cache_write_tokens"] == 1
    assert usage.input_tokens == entry["fresh_tokens"] == entry["prompt_tokens"] - 3
    assert usage.output_tokens == entry["completion_tokens"]
    assert usage.output_tokens_details is not None
    assert usage.output_tokens_details.thinking_tokens == entry["reasoning_tokens"] > 0


def test_tools_and_their_results(claude: anthropic.Anthropic) -> None:
    said = ask(claude, tools=[TOOL, OTHER])
    assert said.stop_reason == "tool_use"
    assert [block.name for block in said.content] == ["weather", "clock"]
    assert isinstance(said.content[0].input["city"], str)
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "fine"} for block in said.content]
    turns = [*HELLO, {"role": "assistant", "content": said.content}]
    assert ask(claude, tools=[TOOL, OTHER], messages=[*turns, {"role": "user", "content": results}]).content[0].text
    for few, words in (
        (results[:1], "without `tool_result`"),
        ([*results, {**results[0], "tool_use_id": "x"}], "unexpected"),
    ):
        with pytest.raises(anthropic.BadRequestError, match=words):
            ask(claude, tools=[TOOL, OTHER], messages=[*turns, {"role": "user", "content": few}])


@pytest.mark.parametrize("plan", [{"reasoning": True}, {"redacted": True}])
def test_thoughts_come_back_as_they_were(claude: anthropic.Anthropic, plan: dict[str, Any]) -> None:
    thinking = {"type": "enabled", "budget_tokens": 2048}
    said = ask(claude, plan, thinking=thinking, tools=[TOOL])
    blocks = [block.model_dump(exclude_none=True) for block in said.content]
    result = {"type": "tool_result", "tool_use_id": blocks[-1]["id"], "content": "fine"}

    def go_on(content: list[Any]) -> Any:
        turns = [*HELLO, {"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
        return ask(claude, thinking=thinking, tools=[TOOL], messages=turns)

    assert go_on(blocks).stop_reason == "end_turn"
    name = "data" if "redacted" in plan else "thinking"
    with pytest.raises(anthropic.BadRequestError, match="Invalid `"):
        go_on([{**blocks[0], name: "other"}, blocks[1]])
    with pytest.raises(anthropic.BadRequestError, match="Expected `thinking`"):
        go_on(blocks[1:])


def test_counts(claude: anthropic.Anthropic, simulated: Simulated, since: int) -> None:
    counted = claude.messages.count_tokens(model=OLD, messages=HELLO)
    assert counted.input_tokens == ask(claude).usage.input_tokens
    assert simulated.truth(since)[0]["prompt_tokens"] == counted.input_tokens


def test_a_schema_answer(claude: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    closed = {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}
    said = ask(claude, output_config={"format": closed})
    assert isinstance(json.loads(said.content[0].text)["n"], int)
    with pytest.raises(anthropic.BadRequestError, match="additionalProperties"):
        ask(claude, output_config={"format": {"type": "json_schema", "schema": schema}})


def test_models(claude: anthropic.Anthropic) -> None:
    listed = claude.models.list()
    assert listed.data
    assert claude.models.retrieve(listed.data[0].id) == listed.data[0]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"messages": []}, "at least one message"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role: Input should be"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text.text: Field req"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages.0.name: Extra inputs"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "first message"),
        ({"extra_body": {"seed": 1}}, "seed: Extra inputs"),
        ({"tools": [{"name": "x y", "input_schema": {"type": "object"}}]}, "tools.0.custom.name: String should match"),
        ({"tools": [{"name": "x", "input_schema": {}}]}, "tools.0.custom.input_schema.type: Field required"),
        ({"tool_choice": {"type": "any"}}, "while providing tools"),
        ({"extra_body": {"temperature": 1}}, "temperature: Extra inputs"),
        ({"extra_body": {"temperature": 0.5}, "extra_headers": EARLIER, "model": NEW}, "`temperature` is deprecated"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "must be greater than"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "model": NEW}, "adaptive"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "x"}], "model": NEW}, "prefill"),
        ({"extra_headers": {"anthropic-version": "1999-01-01"}}, "not a valid version"),
    ],
)
def test_refusals(claude: anthropic.Anthropic, members: dict[str, Any], words: str) -> None:
    asked = {"model": OLD, "max_tokens": 4096, "messages": HELLO, **members}
    with pytest.raises(anthropic.BadRequestError) as refused:
        claude.messages.create(**asked)
    assert words in str(refused.value)
    assert refused.value.type == "invalid_request_error"
    assert refused.value.request_id


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "authentication_error"), (429, "rate_limit_error"), (500, "api_error"), (529, "overloaded_error")],
)
def test_planned_errors(claude: anthropic.Anthropic, status: int, kind: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as failed:
        ask(claude, {"status": status, "error_message": "so be it"})
    assert (failed.value.status_code, failed.value.type) == (status, kind)
    assert "so be it" in str(failed.value)


def test_an_error_in_a_stream(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="had an error"):
        streamed(claude, {"malformed": "error_event"})


@pytest.mark.parametrize("malformed", ["crlf", "comments", "multi_line_data", "event_id_retry", "no_space"])
def test_odd_streams_say_the_same(claude: anthropic.Anthropic, malformed: str) -> None:
    assert essence(streamed(claude, {"malformed": malformed})) == essence(ask(claude))


def test_a_stream_without_its_end(simulated: Simulated) -> None:
    body = {"model": OLD, "max_tokens": 64, "messages": HELLO, "stream": True}
    fields = {"anthropic-version": "2023-06-01"}

    def types(plan: dict[str, Any]) -> list[str]:
        reply = simulated.post({**body, "simulator": plan}, "/v1/messages", fields=fields)
        return [event["type"] for event in frames(reply.body)]

    whole = types({})
    assert whole[:3] == ["message_start", "content_block_start", "ping"]
    assert whole[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert types({"malformed": "no_done"}) == whole[:-1]
    cut = simulated.post({**body, "simulator": {"cut_after_bytes": 700}}, "/v1/messages", fields=fields)
    assert (len(cut.body), cut.ended) == (700, False)


def test_both_keys_are_taken_and_none_is_refused(simulated: Simulated) -> None:
    body = {"model": OLD, "max_tokens": 64, "messages": HELLO}
    fields = {"anthropic-version": "2023-06-01"}
    assert simulated.post(body, "/v1/messages", None, fields={**fields, "x-api-key": "k"}).status == 200
    refused = simulated.post(body, "/v1/messages", None, fields=fields)
    assert (refused.status, refused.json()["error"]["type"]) == (401, "authentication_error")
