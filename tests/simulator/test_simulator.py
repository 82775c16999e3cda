"""The simulator's honest answers, judged by the official SDK, and its own counts."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI

from faregate.simulator import tokens
from faregate.simulator.dice import Dice

from .conftest import HELLO, Simulated, frames, start, stop

TOOL = {"type": "function", "function": {"name": "act", "parameters": {"type": "object"}}}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def test_a_plain_answer_and_its_truth(simulated: Simulated, client: OpenAI, since: int) -> None:
    answer = client.chat.completions.create(model="any/model:x", messages=HELLO)
    assert answer.model == "any/model:x"
    assert answer.object == "chat.completion"
    assert answer.service_tier == "default"
    assert answer.system_fingerprint
    assert answer._request_id
    choice = answer.choices[0]
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert answer.usage.completion_tokens == tokens.count(choice.message.content or "") > 0
    assert answer.usage.prompt_tokens == tokens.count("hello") + tokens.MESSAGE_TOKENS
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    entry = simulated.truth(since)[0]
    assert entry["id"] == answer.id
    assert entry["request_id"] == answer._request_id
    assert (entry["outcome"], entry["status"], entry["stream"]) == ("complete", 200, False)
    assert entry["completion_tokens"] == entry["tokens_sent"] == answer.usage.completion_tokens
    assert entry["prompt_tokens"] == answer.usage.prompt_tokens
    assert "authorization" in entry["header_names"]
    assert sorted(entry["body_members"]) == ["messages", "model"]
    assert entry["received_at"] <= entry["ended_at"]


def test_a_stream_says_what_a_plain_answer_says(simulated: Simulated, client: OpenAI, since: int) -> None:
    plain = client.chat.completions.create(model="m", messages=HELLO)
    with client.chat.completions.stream(model="m", messages=HELLO, stream_options={"include_usage": True}) as stream:
        streamed = stream.get_final_completion()
    assert streamed.choices[0].message.content == plain.choices[0].message.content
    assert streamed.choices[0].message.role == "assistant"
    assert streamed.choices[0].finish_reason == "stop"
    assert streamed.usage == plain.usage
    assert streamed.id == plain.id
    plain_entry, stream_entry = simulated.truth(since, 2)
    for member in ("prompt_tokens", "completion_tokens", "tokens_sent", "outcome"):
        assert plain_entry[member] == stream_entry[member]


def test_the_frames_of_a_stream(simulated: Simulated) -> None:
    reply = simulated.stream()
    assert reply.ended
    assert reply.field("content-type") == "text/event-stream; charset=utf-8"
    *chunks, done = frames(reply.body)
    assert done == "[DONE]"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert [chunk["usage"] for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == len(chunks) - 3  # a frame each; role, finish and usage
    assert chunks[-2]["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert all(set(chunk["choices"][0]["delta"]) == {"content"} for chunk in chunks[1:-2])


def test_no_usage_in_a_stream_unless_asked(simulated: Simulated) -> None:
    *chunks, _ = frames(simulated.ask(stream=True).body)
    assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)


def test_answers_are_the_same_in_another_process(simulated: Simulated) -> None:
    process, port = start(PYTHONHASHSEED="1")
    other = Simulated(port)
    requests: list[dict[str, Any]] = [{}, {"tools": [TOOL]}, {"n": 2, "logprobs": True, "top_logprobs": 2}]
    try:
        for members in requests:
            assert simulated.ask(**members).body == other.ask(**members).body
            assert simulated.stream(**members).body == other.stream(**members).body
    finally:
        assert stop(process) == 0
    parts = [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]
    assert simulated.ask(messages=parts).body == simulated.ask().body
    other_words = [{"role": "user", "content": "hello!"}]
    assert simulated.ask(messages=other_words).json()["choices"] != simulated.ask().json()["choices"]


def test_images_are_seen_and_counted(simulated: Simulated, client: OpenAI, since: int) -> None:
    answer = client.chat.completions.create(
        model="m",
        messages=[
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "hello"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
                ],
            }
        ],
    )
    assert (answer.choices[0].message.content or "").startswith("I see 2 images. ")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 1 + tokens.MESSAGE_TOKENS + 2 * tokens.IMAGE_TOKENS
    assert simulated.truth(since)[0]["prompt_tokens"] == answer.usage.prompt_tokens


def test_log_probabilities(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=HELLO, logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert "".join(entry.token for entry in logprobs.content) == answer.choices[0].message.content
    for entry in logprobs.content:
        assert bytes(entry.bytes or []).decode() == entry.token
        assert len(entry.top_logprobs) == 3
        assert entry.top_logprobs[0].token == entry.token
        assert [top.logprob for top in entry.top_logprobs] == sorted(
            (top.logprob for top in entry.top_logprobs), reverse=True
        )
        assert entry.logprob < 0
    with client.chat.completions.stream(model="m", messages=HELLO, logprobs=True, top_logprobs=3) as stream:
        streamed = stream.get_final_completion().choices[0].logprobs
    assert streamed is not None
    assert streamed.content == logprobs.content


def test_several_choices(client: OpenAI) -> None:
    plain = client.chat.completions.create(model="m", messages=HELLO, n=3)
    texts = [choice.message.content for choice in plain.choices]
    assert len(set(texts)) == 3
    with client.chat.completions.stream(model="m", messages=HELLO, n=3) as stream:
        streamed = stream.get_final_completion()
    assert [choice.message.content for choice in streamed.choices] == texts
    assert [choice.index for choice in streamed.choices] == [0, 1, 2]


def test_reasoning_is_counted_and_shown_if_asked(simulated: Simulated, client: OpenAI, since: int) -> None:
    hidden = client.chat.completions.create(model="m", messages=HELLO, reasoning_effort="low")
    assert hidden.usage is not None
    assert hidden.usage.completion_tokens_details is not None
    assert hidden.usage.completion_tokens_details.reasoning_tokens == 32
    assert hidden.usage.completion_tokens == 32 + tokens.count(hidden.choices[0].message.content or "")
    assert not hasattr(hidden.choices[0].message, "reasoning_content")
    *chunks, _ = frames(simulated.stream({"reasoning": True}, reasoning_effort="low").body)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    reasoning = "".join(delta.get("reasoning_content", "") for delta in deltas)
    assert tokens.count(reasoning) == 32
    assert "".join(delta.get("content", "") for delta in deltas) == hidden.choices[0].message.content
    simulated.stream(reasoning_effort="low")
    for entry in simulated.truth(since, 3):
        assert entry["reasoning_tokens"] == 32
        assert entry["tokens_sent"] == entry["completion_tokens"]


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_the_callers_limit(simulated: Simulated, limit: str) -> None:
    answer = simulated.ask({"output_tokens": 9}, **{limit: 5}).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == tokens.count(answer["choices"][0]["message"]["content"]) == 5
    past = simulated.ask({"output_tokens": 9, "ignore_max_tokens": True}, **{limit: 5}).json()
    assert past["usage"]["completion_tokens"] == 9


def test_what_the_plan_says_is_said(simulated: Simulated) -> None:
    text = "Zwölf Boxkämpfer 🥊\n\ndata: [DONE]\n\n jagen  Eva\u2028quer."
    plan = {"text": text, "cached_tokens": 2, "answer_model": "m-2026-01-01"}
    answer = simulated.ask(plan).json()
    assert answer["choices"][0]["message"]["content"] == text
    assert answer["model"] == "m-2026-01-01"
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    *chunks, _ = frames(simulated.stream(plan).body)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1]) == text
    assert chunks[-1]["usage"] == answer["usage"]
    stopped = simulated.ask({"text": text}, stop=["Eva", "jagen"]).json()["choices"][0]
    assert stopped["message"]["content"] == text.partition("jagen")[0]
    assert stopped["finish_reason"] == "stop"


def test_legacy_completions(client: OpenAI) -> None:
    plain = client.completions.create(model="m", prompt=["one", "two"], n=2, max_tokens=20, logprobs=2)
    assert plain.object == "text_completion"
    assert [choice.index for choice in plain.choices] == [0, 1, 2, 3]
    assert plain.usage is not None
    assert plain.usage.completion_tokens == sum(tokens.count(choice.text) for choice in plain.choices)
    logprobs = plain.choices[0].logprobs
    assert logprobs is not None
    assert "".join(logprobs.tokens or []) == plain.choices[0].text
    texts: dict[int, str] = defaultdict(str)
    offsets: list[int] = []
    for chunk in client.completions.create(
        model="m", prompt=["one", "two"], n=2, max_tokens=20, logprobs=2, stream=True
    ):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            if choice.index == 0 and choice.logprobs is not None:
                offsets += choice.logprobs.text_offset or []
    assert texts == {choice.index: choice.text for choice in plain.choices}
    assert offsets == logprobs.text_offset
    numbers = client.completions.create(model="m", prompt=[11, 22, 33])
    assert numbers.usage is not None
    assert numbers.usage.prompt_tokens == 3
    assert numbers.usage.completion_tokens <= 16


def test_models(client: OpenAI) -> None:
    models = client.models.list().data
    assert len(models) > 200
    assert all(model.object == "model" and model.created > 0 and model.owned_by for model in models)
    assert client.models.retrieve(models[0].id) == models[0]
    assert client.models.retrieve("some/one:else").id == "some/one:else"


@given(st.text(), st.integers(0, 40))
def test_tokens_of_a_beginning(text: str, size: int) -> None:
    pieces = tokens.split(text)
    assert "".join(pieces) == text
    assert tokens.split("".join(pieces[:size])) == pieces[:size]


@given(st.integers(0, 200), st.integers())
def test_words_of_our_own_are_a_token_each(count: int, seed: int) -> None:
    said = Dice(seed).tokens(count)
    assert tokens.split("".join(said)) == said
    assert len(said) == count
