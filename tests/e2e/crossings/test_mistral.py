"""Mistral's SDK before the gateway: its chat is OpenAI's, but for streamed calls of tools, which it wants whole."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import MistralError

from tests.e2e.official.chat import Chat
from tests.e2e.official.question import Question, Tool
from tests.running.processes import Gateway

from .crossing import to_each_dialect
from .test_tools import WEATHER

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


CLOCK = Tool(
    "get_time", "The time", {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
)


@pytest.fixture(scope="module")
def mistral(origin: str, crossing_gateway: Gateway) -> Iterator[Mistral]:
    with Mistral(api_key=crossing_gateway.key, server_url=origin) as client:
        yield client


def ask(mistral: Mistral, model: str, question: Question, **members: Any) -> Any:
    turns: list[Any] = [{"role": "user", "content": question.prompt}]
    return mistral.chat.complete(**{"model": model, "messages": turns, "max_tokens": 4000, **members})


@to_each_dialect
def test_words(mistral: Mistral, direct: Chat, model: str) -> None:
    question = Question(words="Grüße")
    wanted = direct.whole("any-model", question, direct.turns(question))
    answer = ask(mistral, model, question)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (wanted.text, "stop")
    assert answer.usage.completion_tokens == wanted.counts.generated
    turns: list[Any] = [{"role": "user", "content": question.prompt}]
    with mistral.chat.stream(model=model, messages=turns, max_tokens=4000) as stream:
        deltas = [event.data.choices[0].delta.content or "" for event in stream if event.data.choices]
    assert "".join(map(str, deltas)) == wanted.text


@to_each_dialect
def test_tools_and_their_results(mistral: Mistral, model: str) -> None:
    tools = [{"type": "function", "function": tool._asdict()} for tool in (WEATHER, CLOCK)]
    question = Question(words="How is the weather?")
    message = ask(mistral, model, question, tools=tools, tool_choice="required").choices[0].message
    calls = message.tool_calls
    assert [call.function.name for call in calls] == ["get_weather", "get_time"]
    assert json.loads(calls[0].function.arguments).keys() == {"city", "unit", "days"}
    results = [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
    turns = [{"role": "user", "content": question.prompt}, message, *results]
    assert ask(mistral, model, question, tools=tools, messages=turns).choices[0].message.content


@to_each_dialect
def test_a_picture(mistral: Mistral, model: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    turns = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, picture]}]
    assert "I see 1 image." in ask(mistral, model, Question(), messages=turns).choices[0].message.content


@to_each_dialect
def test_failures(mistral: Mistral, model: str) -> None:
    for status, shown in ((400, 400), (500, 503)):
        with pytest.raises(MistralError) as failed:
            ask(mistral, model, Question(plan={"status": status, "error_message": "so be it"}))
        assert failed.value.status_code == shown
