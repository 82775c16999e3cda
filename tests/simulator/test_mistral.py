"""Mistral's own SDK talks to the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, MistralError

from .conftest import HELLO, Simulated

MODEL = "mistral-medium-3-5"
PATH = "/mistral/v1/chat/completions"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"type": "function", "function": {"name": "weather", "description": "how it is", "parameters": PARAMETERS}}
OTHER = {"type": "function", "function": {"name": "clock", "parameters": PARAMETERS}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture(scope="module")
def mistral(simulated: Simulated) -> Iterator[Mistral]:
    with Mistral(api_key="key", server_url=f"http://127.0.0.1:{simulated.port}/mistral") as client:
        yield client


def hello(plan: dict[str, Any]) -> list[Any]:
    return [{"role": "user", "content": f"hello #simulator {json.dumps(plan)}"}]


def ask(mistral: Mistral, plan: dict[str, Any] | None = None, **members: Any) -> Any:
    return mistral.chat.complete(**{"model": MODEL, "messages": hello(plan or {}), **members})


def said(message: Any) -> tuple[str, str]:
    """What a message, or a piece of one, says and thinks."""
    content = message.content
    if not isinstance(content, list):
        return content or "", ""
    words = "".join(chunk.text for chunk in content if chunk.type == "text")
    return words, "".join(each.text for chunk in content if chunk.type == "thinking" for each in chunk.thinking)


def streamed(mistral: Mistral, plan: dict[str, Any] | None = None, **members: Any) -> Any:
    """What a stream comes to: words, thoughts, calls, its end, its usage."""
    words, thoughts, calls, end, usage = "", "", {}, None, None
    with mistral.chat.stream(**{"model": MODEL, "messages": hello(plan or {}), **members}) as stream:
        for event in stream:
            (choice,) = event.data.choices
            more, thought = said(choice.delta)
            words, thoughts, usage = words + more, thoughts + thought, event.data.usage or usage
            end = choice.finish_reason or end
            for call in choice.delta.tool_calls or ():
                known = calls.setdefault(call.index, [call.id, call.function.name, ""])
                known[2] += call.function.arguments
    return words, thoughts, list(calls.values()), end, usage


@pytest.mark.parametrize(
    ("members", "plan", "end"),
    [
        ({}, {}, "stop"),
        ({"random_seed": 7, "safe_prompt": True, "temperature": 0.5}, {}, "stop"),
        ({"tools": [TOOL, OTHER]}, {"opening": "Let me see. "}, "tool_calls"),
        ({"tools": [TOOL], "tool_choice": "any"}, {}, "tool_calls"),
        ({"reasoning_effort": "high"}, {}, "stop"),
        ({"reasoning_effort": "high", "tools": [TOOL]}, {}, "tool_calls"),
        ({"max_tokens": 3}, {}, "length"),
    ],
)
def test_a_stream_and_a_whole_answer_say_the_same(
    mistral: Mistral, members: dict[str, Any], plan: dict[str, Any], end: str
) -> None:
    answer = ask(mistral, plan, **members)
    (choice,) = answer.choices
    calls = [[call.id, call.function.name, call.function.arguments] for call in choice.message.tool_calls or ()]
    assert streamed(mistral, plan, **members) == (*said(choice.message), calls, choice.finish_reason, answer.usage)
    assert choice.finish_reason == end
    assert bool(said(choice.message)[1]) is ("reasoning_effort" in members)
    assert all(len(call[0]) == 9 and call[0].isalnum() for call in calls)


def test_tools_and_their_results(mistral: Mistral) -> None:
    message = ask(mistral, tools=[TOOL, OTHER], reasoning_effort="high").choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in message.tool_calls]
    assert said(ask(mistral, tools=[TOOL, OTHER], messages=[*HELLO, message, *results]).choices[0].message)[0]
    for call_id in ("call_1", "123456789a"):
        odd = [
            *HELLO,
            {
                **json.loads(message.model_dump_json()),
                "tool_calls": [{"id": call_id, "function": {"name": "x", "arguments": "{}"}}],
            },
        ]
        with pytest.raises(MistralError, match="with a length of 9"):
            ask(mistral, messages=[*odd, {"role": "tool", "tool_call_id": call_id, "content": "fine"}])


def test_an_answer_that_was_begun(mistral: Mistral) -> None:
    begun = {"role": "assistant", "content": "I am"}
    assert said(ask(mistral, messages=[*HELLO, {**begun, "prefix": True}]).choices[0].message)[0]
    with pytest.raises(MistralError, match="Expected last role User"):
        ask(mistral, messages=[*HELLO, begun])


def test_pictures_and_forms(mistral: Mistral) -> None:
    content = [{"type": "text", "text": "this"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    assert said(ask(mistral, messages=[{"role": "user", "content": content}]).choices[0].message)[0].startswith(
        "I see 1"
    )
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": PARAMETERS}}
    assert "city" in json.loads(said(ask(mistral, response_format=form).choices[0].message)[0])


@pytest.mark.parametrize("name", ["seed", "user", "stream_options", "max_completion_tokens", "logit_bias"])
def test_members_of_openais_are_refused(simulated: Simulated, name: str) -> None:
    refused = simulated.post({"model": MODEL, "messages": HELLO, name: 1 if name != "stream_options" else {}}, PATH)
    assert (refused.status, refused.json()["error"]["code"]) == (422, "extra_forbidden")


@pytest.mark.parametrize(
    "message", [{"role": "developer", "content": "x"}, {"role": "user", "content": "x", "name": "y"}]
)
def test_messages_of_openais_are_refused(simulated: Simulated, message: dict[str, str]) -> None:
    assert simulated.post({"model": MODEL, "messages": [message]}, PATH).status == 422


@pytest.mark.parametrize(
    ("status", "error"), [(401, MistralError), (422, HTTPValidationError), (429, MistralError), (500, MistralError)]
)
def test_failures(mistral: Mistral, status: int, error: type[MistralError]) -> None:
    for asking in (ask, streamed):
        with pytest.raises(error) as failed:
            asking(mistral, {"status": status, "error_message": "so be it"})
        assert failed.value.status_code == status
        assert "so be it" in failed.value.body


def test_a_stream_that_is_cut(mistral: Mistral, simulated: Simulated, since: int) -> None:
    with pytest.raises(Exception, match=r"peer closed|incomplete"):
        streamed(mistral, {"cut_after_bytes": 1500})
    assert simulated.truth(since)[0]["outcome"] == "cut"
