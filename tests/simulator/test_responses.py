"""OpenAI's own SDK talks to the simulator over the Responses wire."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai import OpenAI

from .conftest import Simulated, frames

PATH = "/v1/responses"
THINKS = "gpt-5.5"
PLAIN = "gpt-4o"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
OTHER = {**TOOL, "name": "clock"}
ENCRYPTED = {"include": ["reasoning.encrypted_content"], "store": False}


def ask(client: OpenAI, plan: dict[str, Any] | None = None, **members: Any) -> Any:
    return client.responses.create(
        **{"model": THINKS, "input": "hello", **members}, extra_body={"simulator": plan or {}}
    )


def streamed(client: OpenAI, plan: dict[str, Any] | None = None, **members: Any) -> list[Any]:
    asked = {"model": THINKS, "input": "hello", **members}
    return list(client.responses.create(**asked, stream=True, extra_body={"simulator": plan or {}}))


@pytest.mark.parametrize(
    "members",
    [
        {"model": PLAIN},
        {"tools": [TOOL, OTHER]},
        {"reasoning": {"effort": "low"}},
        {"reasoning": {"effort": "low", "summary": "auto"}, "tools": [TOOL], **ENCRYPTED},
        {"max_output_tokens": 16, "reasoning": {"effort": "medium"}},
    ],
)
def test_a_stream_and_a_whole_answer_say_the_same(client: OpenAI, members: dict[str, Any]) -> None:
    events = streamed(client, {"cached_tokens": 2}, **members)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events[:2]] == ["response.created", "response.in_progress"]
    whole = ask(client, {"cached_tokens": 2}, **members)
    assert events[-1].response.to_dict() == whole.to_dict()
    assert events[-1].type == f"response.{whole.status}"
    announced = {event.item.id for event in events if event.type == "response.output_item.added"}
    assert announced == {item.id for item in whole.output}
    assert {event.item_id for event in events if event.type.endswith(".delta")} <= announced
    said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert said == whole.output_text


def test_the_streaming_helper(client: OpenAI) -> None:
    with client.responses.stream(model=THINKS, input="hello", tools=[TOOL]) as stream:
        final = stream.get_final_response()
    assert final.output[0].parsed_arguments["city"]


def test_usage_is_what_the_log_vouches_for(client: OpenAI, simulated: Simulated, since: int) -> None:
    usage = ask(client, {"cached_tokens": 2, "cache_write_tokens": 1}, reasoning={"effort": "low"}).usage
    entry = simulated.truth(since)[0]
    assert entry["wire"] == "responses"
    assert usage.input_tokens == entry["prompt_tokens"]
    assert usage.input_tokens_details.cached_tokens == entry["cached_tokens"] == 2
    assert usage.input_tokens_details.cache_write_tokens == entry["cache_write_tokens"] == 1
    assert usage.output_tokens == entry["completion_tokens"]
    assert usage.output_tokens_details.reasoning_tokens == entry["reasoning_tokens"] == 32
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_calls_and_thoughts_come_back(client: OpenAI) -> None:
    said = ask(client, reasoning={"effort": "low"}, tools=[TOOL, OTHER], **ENCRYPTED)
    assert [item.type for item in said.output] == ["reasoning", "function_call", "function_call"]
    items = [item.to_dict() for item in said.output]
    outputs = [{"type": "function_call_output", "call_id": item["call_id"], "output": "fine"} for item in items[1:]]

    def go_on(*given: Any) -> Any:
        return ask(client, tools=[TOOL, OTHER], input=[{"role": "user", "content": "hello"}, *given], **ENCRYPTED)

    assert go_on(*items, *outputs).output_text
    for given, words in (
        ((*items, outputs[0]), "No tool output found"),
        ((*items[:2], *outputs), "No tool call found"),
        (({**items[0], "encrypted_content": "bm9uZQ=="}, *items[1:], *outputs), "could not be verified"),
        ((items[0],), "required following item"),
    ):
        with pytest.raises(openai.BadRequestError, match=words):
            go_on(*given)


def test_counts(client: OpenAI) -> None:
    counted = client.responses.input_tokens.count(model=PLAIN, input="hello").input_tokens
    assert counted == ask(client, model=PLAIN).usage.input_tokens


def test_a_schema_answer(client: OpenAI) -> None:
    form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
    assert json.loads(ask(client, text={"format": form}).output_text)["city"]
    loose = {**form, "schema": {"type": "object", "properties": {}}}
    with pytest.raises(openai.BadRequestError, match="additionalProperties"):
        ask(client, text={"format": loose})


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"model": None}, "model", "invalid_type"),
        ({"input": None}, "input", "invalid_type"),
        ({"messages": []}, "messages", "unknown_parameter"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        (
            {"input": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
            "input[0].content[0].type",
            "invalid_value",
        ),
        ({"input": [{"role": "user", "content": "x", "name": "y"}]}, "input[0].name", "unknown_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools[0].function", "unknown_parameter"),
        ({"temperature": 0.5}, "temperature", "unsupported_parameter"),
        ({"model": PLAIN, "reasoning": {"effort": "low"}}, "reasoning.effort", "unsupported_parameter"),
        ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_not_found"),
        ({"tool_choice": "required"}, "tool_choice", "invalid_value"),
        ({"max_output_tokens": "many"}, "max_output_tokens", "invalid_type"),
        ({"simulator": {"usage": "twice"}}, "simulator.usage", "invalid_value"),
    ],
)
def test_refusals(simulated: Simulated, members: dict[str, Any], param: str, code: str) -> None:
    refused = simulated.post({"model": THINKS, "input": "hello", **members}, PATH)
    error = refused.json()["error"]
    assert (refused.status, error["param"], error["code"]) == (400, param, code)
    assert error["type"] == "invalid_request_error"


def test_an_error_in_a_stream(client: OpenAI, simulated: Simulated) -> None:
    told = streamed(client, {"malformed": "error_event"})[-1]
    assert (told.type, told.code) == ("error", "server_error")
    body = {"model": THINKS, "input": "hello", "stream": True, "reasoning": {"effort": "low"}}
    events = frames(simulated.post({**body, "simulator": {"malformed": "error_event"}}, PATH).body)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "error"


def test_a_response_may_fail(client: OpenAI) -> None:
    failed = streamed(client, {"finish_reason": "failed"})[-1]
    assert (failed.type, failed.response.error.code) == ("response.failed", "server_error")
    filtered = ask(client, {"finish_reason": "content_filter"})
    assert (filtered.status, filtered.incomplete_details.reason) == ("incomplete", "content_filter")


def test_a_stream_without_its_end(simulated: Simulated) -> None:
    body = {"model": THINKS, "input": "hello", "stream": True}
    whole = frames(simulated.post(body, PATH).body)
    assert whole[-1]["type"] == "response.completed"
    assert frames(simulated.post({**body, "simulator": {"malformed": "no_done"}}, PATH).body) == whole[:-1]
    cut = simulated.post({**body, "simulator": {"cut_after_bytes": 900}}, PATH)
    assert (len(cut.body), cut.ended) == (900, False)
