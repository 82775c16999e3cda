"""Whole answers: texts, roles, parts, parameters, and what else an answer may hold."""

from typing import Any

import pytest

from .processes import Upstream
from .scenarios import MODEL, REPLIES, Sdk, asks

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA"
    "AABJRU5ErkJggg=="
)


def say(answer: dict[str, Any]) -> str:
    """The text of an answer with one choice, whose other members are checked."""
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    assert answer["model"] == MODEL
    assert isinstance(answer["created"], int)
    (choice,) = answer["choices"]
    assert choice["index"] == 0
    assert choice["finish_reason"] == "stop"
    assert choice["logprobs"] is None
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["refusal"] is None
    assert "tool_calls" not in choice["message"]
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 1
    return choice["message"]["content"]


def test_plain(any_client: Sdk, upstream: Upstream) -> None:
    report = any_client.do("create", upstream.client, asks("plain"))
    assert say(report["answer"]) == REPLIES["plain"]["content"]


def test_every_role(sdk: Sdk, upstream: Upstream) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be exact."}]},
        {"role": "user", "content": "What time is it?", "name": "anna"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "noon"},
        {"role": "assistant", "content": [{"type": "text", "text": "It is noon."}]},
        {"role": "user", "content": [{"type": "text", "text": REPLIES["parts"]["prompt"]}]},
    ]
    report = sdk.do("create", upstream.client, asks("parts", messages=messages))
    assert say(report["answer"]) == REPLIES["parts"]["content"]
    assert upstream.last_body()["messages"] == messages


@pytest.mark.contract("1.1", "5.5")
def test_images_by_address_and_as_data(sdk: Sdk, upstream: Upstream) -> None:
    content = [
        {"type": "text", "text": REPLIES["looks"]["prompt"]},
        {"type": "image_url", "image_url": {"url": "https://example.com/square.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    messages = [{"role": "user", "content": content}]
    report = sdk.do("create", upstream.client, asks("looks", messages=messages))
    assert say(report["answer"]) == REPLIES["looks"]["content"]
    assert upstream.last_body()["messages"] == messages


def test_a_large_image_as_data(sdk: Sdk, simulated_upstream: Upstream) -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "QUJD" * 500_000}}
    messages = [{"role": "user", "content": [part]}]
    report = sdk.do("create", simulated_upstream.client, asks("looks", messages=messages))
    assert say(report["answer"]) == REPLIES["looks"]["content"]
    is_whole = simulated_upstream.last_body()["messages"] == messages
    assert is_whole


def test_images_are_seen(sdk: Sdk, simulated_upstream: Upstream) -> None:
    part = {"type": "image_url", "image_url": {"url": PIXEL}}
    params = {"model": MODEL, "messages": [{"role": "user", "content": [part, part]}]}
    report = sdk.do("create", simulated_upstream.client, params)
    assert say(report["answer"]).startswith("I see 2 images.")


def test_a_file_part(sdk: Sdk, upstream: Upstream) -> None:
    file = {"filename": "note.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjQK"}
    content = [{"type": "file", "file": file}, {"type": "text", "text": REPLIES["file"]["prompt"]}]
    messages = [{"role": "user", "content": content}]
    report = sdk.do("create", upstream.client, asks("file", messages=messages))
    assert say(report["answer"]) == REPLIES["file"]["content"]
    assert upstream.last_body()["messages"] == messages


@pytest.mark.contract("1.1")
def test_parameters_pass_and_unknown_ones_too(sdk: Sdk, upstream: Upstream) -> None:
    params = asks(
        "plain",
        temperature=0.5,
        top_p=0.9,
        max_completion_tokens=400,
        seed=7,
        stop=["@@", "##"],
        presence_penalty=-1.5,
        frequency_penalty=1.5,
        logit_bias={"50256": -100},
        metadata={"team": "search"},
        reasoning_effort="none",
        service_tier="flex",
        store=False,
        user="anna",
        prompt_cache_key="k",
        prediction={"type": "content", "content": "The capital"},
        a_new_parameter={"deep": [1, None, {"er": "日本"}]},
    )
    report = sdk.do("create", upstream.client, params)
    assert say(report["answer"]) == REPLIES["plain"]["content"]
    assert upstream.last_body() == params


def test_reasoning_is_shown(sdk: Sdk, upstream: Upstream) -> None:
    params = asks("thinks", simulator={"reasoning": True})
    message = sdk.do("create", upstream.client, params)["answer"]["choices"][0]["message"]
    assert message["content"] == REPLIES["thinks"]["content"]
    assert message["reasoning_content"]


def test_several_choices(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "n": 3}
    choices = sdk.do("create", simulated_upstream.client, params)["answer"]["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 3


def test_the_limit_of_tokens(sdk: Sdk, simulated_upstream: Upstream) -> None:
    answer = sdk.do("create", simulated_upstream.client, asks("story", max_tokens=5))["answer"]
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


def test_log_probabilities(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = asks("plain", logprobs=True, top_logprobs=3)
    choice = sdk.do("create", simulated_upstream.client, params)["answer"]["choices"][0]
    tokens = choice["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == choice["message"]["content"]
    assert all(token["logprob"] < 0 and len(token["top_logprobs"]) == 3 for token in tokens)


@pytest.mark.contract("5.3")
def test_usage_tells_cached_and_reasoning_tokens(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = asks("plain", simulator={"cached_tokens": 4}, reasoning_effort="minimal")
    usage = sdk.do("create", simulated_upstream.client, params)["answer"]["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 8
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_many_at_once(async_client: Sdk, upstream: Upstream) -> None:
    report = async_client.do("concurrently", upstream.client, asks("plain"), count=20)
    assert report["said"] == [REPLIES["plain"]["content"]] * 40


@pytest.mark.contract("1.13")
def test_legacy_completions(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = {"model": MODEL, "prompt": ["One", "Two"], "max_tokens": 12, "n": 2, "logprobs": 1}
    answer = sdk.do("complete", simulated_upstream.client, params)["answer"]
    assert answer["object"] == "text_completion"
    assert answer["model"] == MODEL
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    for choice in answer["choices"]:
        assert "".join(choice["logprobs"]["tokens"]) == choice["text"]
    assert answer["usage"]["total_tokens"] > 4


@pytest.mark.contract("1.13")
def test_legacy_completions_streamed(sdk: Sdk, simulated_upstream: Upstream) -> None:
    # The SDK's type wants a finish_reason in every chunk, which OpenAI's own streams do not have.
    client = {**simulated_upstream.client, "_strict_response_validation": False}
    params = {"model": MODEL, "prompt": "One", "max_tokens": 12}
    whole = sdk.do("complete", client, params)["answer"]
    chunks = sdk.do("complete", client, {**params, "stream": True})["chunks"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["text"] for choice in choices) == whole["choices"][0]["text"]
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert not any(chunk.get("usage") for chunk in chunks)

    asking = {**params, "stream": True, "stream_options": {"include_usage": True}}
    chunks = sdk.do("complete", client, asking)["chunks"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]
