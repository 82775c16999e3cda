"""Cohere's own SDK talks to the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError
from cohere.errors import BadRequestError, InternalServerError, TooManyRequestsError, UnauthorizedError

from .conftest import HELLO, Simulated

PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "how it is", "parameters": PARAMETERS}}
OTHER = {"type": "function", "function": {"name": "clock", "parameters": PARAMETERS}}
ONCE: Any = {"max_retries": 0}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def co(simulated: Simulated) -> Iterator[cohere.ClientV2]:
    yield cohere.ClientV2(
        api_key="co-key", base_url=f"http://127.0.0.1:{simulated.port}", log_warning_experimental_features=False
    )


def options(plan: dict[str, Any] | None) -> Any:
    return {**ONCE, "additional_body_parameters": {"simulator": plan}} if plan else ONCE


def ask(co: cohere.ClientV2, plan: dict[str, Any] | None = None, **members: Any) -> Any:
    return co.chat(**{"model": "command-a", "messages": HELLO, **members}, request_options=options(plan))


def events_of(co: cohere.ClientV2, plan: dict[str, Any] | None = None, **members: Any) -> list[Any]:
    return list(co.chat_stream(**{"model": "command-a", "messages": HELLO, **members}, request_options=options(plan)))


def told(events: list[Any]) -> dict[str, Any]:
    """What a stream comes to, as the members of a whole message."""
    found: dict[str, Any] = {"content": [], "plan": "", "calls": []}
    for event in events:
        if event.type == "content-start":
            found["content"].append([event.delta.message.content.type, ""])
        elif event.type == "content-delta":
            content = event.delta.message.content
            found["content"][event.index][1] += content.text or content.thinking or ""
        elif event.type == "tool-plan-delta":
            found["plan"] += event.delta.message.tool_plan
        elif event.type == "tool-call-start":
            call = event.delta.message.tool_calls
            found["calls"].append([call.id, call.function.name, call.function.arguments])
        elif event.type == "tool-call-delta":
            found["calls"][event.index][2] += event.delta.message.tool_calls.function.arguments
    assert [events[0].type, events[-1].type] == ["message-start", "message-end"]
    return {**found, "id": events[0].id, "end": events[-1].delta.finish_reason, "usage": events[-1].delta.usage}


def whole(answer: Any) -> dict[str, Any]:
    message = answer.message
    return {
        "content": [[part.type, part.text if part.type == "text" else part.thinking] for part in message.content or ()],
        "plan": message.tool_plan or "",
        "calls": [[call.id, call.function.name, call.function.arguments] for call in message.tool_calls or ()],
        "id": answer.id,
        "end": answer.finish_reason,
        "usage": answer.usage,
    }


@pytest.mark.parametrize(
    ("members", "plan", "end"),
    [
        ({}, {"cached_tokens": 2}, "COMPLETE"),
        ({"tools": [TOOL]}, {"opening": "Let me see. "}, "TOOL_CALL"),
        ({"tools": [TOOL, OTHER]}, {"reasoning": True}, "TOOL_CALL"),
        ({"tools": [TOOL, OTHER], "tool_choice": "NONE"}, {}, "COMPLETE"),
        ({"thinking": {"type": "enabled", "token_budget": 1024}}, {}, "COMPLETE"),
        ({"thinking": {"type": "enabled"}, "tools": [TOOL]}, {}, "TOOL_CALL"),
        ({"stop_sequences": ["a"]}, {"output_tokens": 60}, "STOP_SEQUENCE"),
        ({"max_tokens": 3}, {}, "MAX_TOKENS"),
    ],
)
def test_a_stream_and_a_whole_answer_say_the_same(
    co: cohere.ClientV2, members: dict[str, Any], plan: dict[str, Any], end: str
) -> None:
    said = whole(ask(co, plan, **members))
    assert said == told(events_of(co, plan, **members))
    assert said["end"] == end
    assert said["usage"].billed_units.output_tokens > 0


def test_usage_is_what_the_log_vouches_for(co: cohere.ClientV2, simulated: Simulated, since: int) -> None:
    usage = ask(co, {"cached_tokens": 2}, thinking={"type": "enabled", "token_budget": 1024}).usage
    entry = simulated.truth(since)[0]
    assert entry["wire"] == "cohere"
    assert (usage.billed_units.input_tokens, usage.cached_tokens) == (entry["prompt_tokens"], 2)
    assert usage.billed_units.output_tokens == entry["completion_tokens"] > entry["reasoning_tokens"] > 0
    assert usage.tokens.input_tokens > usage.billed_units.input_tokens


def test_tools_and_their_results(co: cohere.ClientV2) -> None:
    said = ask(co, {"reasoning": True}, tools=[TOOL, OTHER])
    calls = said.message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "clock"]
    assert said.message.tool_plan
    assert isinstance(json.loads(calls[0].function.arguments)["city"], str)
    found = {"type": "document", "document": {"data": {"degrees": 12}}}
    results = [{"role": "tool", "tool_call_id": call.id, "content": [found]} for call in calls]
    turns = [*HELLO, said.message]
    assert ask(co, tools=[TOOL, OTHER], messages=[*turns, *results]).message.content[0].text
    for few, words in ((results[:1], "no tool results"), ([{**results[0], "tool_call_id": "x"}], "not found")):
        with pytest.raises(BadRequestError, match=words):
            ask(co, tools=[TOOL, OTHER], messages=[*turns, *few])


def test_thoughts_may_come_back(co: cohere.ClientV2) -> None:
    said = ask(co, thinking={"type": "enabled", "token_budget": 1024}, tools=[TOOL])
    assert said.message.content[0].thinking and not said.message.tool_plan
    result = {"role": "tool", "tool_call_id": said.message.tool_calls[0].id, "content": "fine"}
    assert ask(co, tools=[TOOL], messages=[*HELLO, said.message, result]).message.content[0].text


def test_pictures(co: cohere.ClientV2) -> None:
    content = [{"type": "text", "text": "this"}, {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}}]
    said = ask(co, messages=[{"role": "user", "content": content}])
    assert said.message.content[0].text.startswith("I see 1 image.")


def test_a_schema_answer(co: cohere.ClientV2) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    said = ask(co, response_format={"type": "json_object", "json_schema": schema})
    assert isinstance(json.loads(said.message.content[0].text)["n"], int)
    assert isinstance(json.loads(ask(co, response_format={"type": "json_object"}).message.content[0].text), dict)


def test_log_probabilities(co: cohere.ClientV2) -> None:
    said = ask(co, logprobs=True)
    assert "".join(item.text for item in said.logprobs) == said.message.content[0].text
    streamed = [event.logprobs for event in events_of(co, logprobs=True) if event.type == "content-delta"]
    assert streamed == said.logprobs


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"messages": []}, "messages must be at least 1 item"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": ""}]}, "must not be empty"),
        ({"messages": [*HELLO, {"role": "system", "content": "x"}]}, "system turn must be the first"),
        ({"messages": [{"role": "system", "content": "x"}]}, "at least 1 token"),
        ({"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages.0.name' is not a valid field"),
        ({"max_tokens": 0}, "max_tokens must be greater"),
        ({"temperature": 1.5}, "temperature must be less than"),
        ({"p": 1.0}, "p must be less than"),
        ({"k": 501}, "k must be less than"),
        ({"frequency_penalty": -1.0}, "frequency_penalty must be"),
        ({"frequency_penalty": 0.5, "presence_penalty": 0.5}, "cannot specify both"),
        ({"stop_sequences": ["a"] * 6}, "stop_sequences must be at most 5"),
        ({"tool_choice": "REQUIRED"}, "needs tools"),
        ({"tool_choice": "auto", "tools": [TOOL]}, "tool_choice must be"),
        ({"thinking": {"type": "enabled", "token_budget": 0}}, "token_budget must be"),
        ({"response_format": {"type": "json_object"}, "tools": [TOOL]}, "not supported with tools"),
        ({"response_format": {"type": "json_object", "json_schema": {"type": "array"}}}, "must be object"),
        ({"response_format": {"type": "json_object", "json_schema": {"type": "object"}}}, "one required field"),
        (
            {"response_format": {"type": "json_object", "json_schema": {**PARAMETERS, "additionalProperties": False}}},
            "'additionalProperties' is not supported",
        ),
    ],
)
def test_what_is_refused(co: cohere.ClientV2, members: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        ask(co, **members)
    assert words in refused.value.body["message"]


def test_members_that_nobody_knows(simulated: Simulated) -> None:
    refused = simulated.post({"model": "m", "messages": HELLO, "user": "x"}, "/v2/chat")
    assert (refused.status, refused.json()["message"]) == (
        400,
        "unknown field: parameter 'user' is not a valid field",
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, BadRequestError), (401, UnauthorizedError), (429, TooManyRequestsError), (500, InternalServerError)],
)
def test_failures(co: cohere.ClientV2, status: int, error: type[ApiError]) -> None:
    for asking in (ask, events_of):
        with pytest.raises(error) as failed:
            asking(co, {"status": status, "error_message": "so be it"})
        assert failed.value.status_code == status
        assert failed.value.body["message"] == "so be it"


def test_streams_that_break(co: cohere.ClientV2, simulated: Simulated, since: int) -> None:
    failed = events_of(co, {"malformed": "error_event"})
    assert failed[-1].delta.finish_reason == "ERROR" and failed[-1].delta.error
    with pytest.raises(httpx.RemoteProtocolError):
        events_of(co, {"cut_after_bytes": 1500})
    outcomes = [entry["outcome"] for entry in simulated.truth(since, 2)]
    assert outcomes == ["fault", "cut"]
