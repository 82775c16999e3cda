"""Streams: chunk by chunk, and as the SDKs' accumulators put them together."""

from typing import Any

import pytest

from .processes import Upstream
from .scenarios import MODEL, REPLIES, Sdk, asks, text_of


def check_chunks(chunks: list[dict[str, Any]]) -> None:
    """The rules of conformance 1.2 for a stream of one choice."""
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk["model"] for chunk in chunks} == {MODEL}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert len({chunk["created"] for chunk in chunks}) == 1
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert {choice["index"] for choice in choices} == {0}
    assert [choice["delta"].get("role") for choice in choices] == ["assistant"] + [None] * (len(choices) - 1)
    finishes = [choice["finish_reason"] for choice in choices]
    assert finishes == [None] * (len(choices) - 1) + ["stop"]


@pytest.mark.contract("5.1")
def test_chunks(any_client: Sdk, upstream: Upstream) -> None:
    report = any_client.do("collect", upstream.client, asks("plain"))
    check_chunks(report["chunks"])
    assert text_of(report["chunks"]) == REPLIES["plain"]["content"]
    assert len(report["chunks"]) > 5


@pytest.mark.contract("5.2")
def test_usage_is_not_there_unasked(any_client: Sdk, upstream: Upstream) -> None:
    for options in ({}, {"stream_options": {"include_usage": False}}):
        chunks = any_client.do("collect", upstream.client, asks("plain", **options))["chunks"]
        assert all("usage" not in chunk and chunk["choices"] for chunk in chunks)
        asked = upstream.last_body()["stream_options"]
        assert asked == {"include_usage": True}, "what is not asked for is counted all the same"


@pytest.mark.contract("5.2")
def test_usage_comes_last_where_asked_for(any_client: Sdk, upstream: Upstream) -> None:
    params = asks("plain", stream_options={"include_usage": True})
    *chunks, last = any_client.do("collect", upstream.client, params)["chunks"]
    check_chunks(chunks)
    assert all(chunk.get("usage") is None for chunk in chunks)
    assert last["choices"] == []
    assert last["id"] == chunks[0]["id"]
    whole = any_client.do("create", upstream.client, asks("plain"))["answer"]
    assert last["usage"] == whole["usage"]


def test_the_accumulator(any_client: Sdk, upstream: Upstream) -> None:
    report = any_client.do("accumulate", upstream.client, asks("plain"))
    (choice,) = report["answer"]["choices"]
    assert choice["message"]["content"] == REPLIES["plain"]["content"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"
    assert report["answer"]["model"] == MODEL
    assert report["done"] == [REPLIES["plain"]["content"]]


def test_the_accumulator_gets_usage(sdk: Sdk, upstream: Upstream) -> None:
    params = asks("plain", stream_options={"include_usage": True})
    usage = sdk.do("accumulate", upstream.client, params)["answer"]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 1


def test_the_accumulator_with_choices(any_client: Sdk, simulated_upstream: Upstream) -> None:
    params = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "n": 2}
    whole = any_client.do("create", simulated_upstream.client, params)["answer"]["choices"]
    streamed = any_client.do("accumulate", simulated_upstream.client, params)["answer"]["choices"]
    for one, other in zip(whole, streamed, strict=True):
        assert one["index"] == other["index"]
        assert one["message"]["content"] == other["message"]["content"]
        assert one["finish_reason"] == other["finish_reason"] == "stop"


def test_the_accumulator_with_log_probabilities(sdk: Sdk, simulated_upstream: Upstream) -> None:
    params = asks("plain", logprobs=True, top_logprobs=2)
    whole = sdk.do("create", simulated_upstream.client, params)["answer"]["choices"][0]
    streamed = sdk.do("accumulate", simulated_upstream.client, params)["answer"]["choices"][0]
    assert streamed["logprobs"]["content"] == whole["logprobs"]["content"]


def test_reasoning_is_streamed(sdk: Sdk, upstream: Upstream) -> None:
    params = asks("thinks", simulator={"reasoning": True})
    chunks = sdk.do("collect", upstream.client, params)["chunks"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    thought = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    assert thought == sdk.do("create", upstream.client, params)["answer"]["choices"][0]["message"]["reasoning_content"]
    assert text_of(chunks) == REPLIES["thinks"]["content"]


def test_odd_but_legal_streams(sdk: Sdk, simulated_upstream: Upstream) -> None:
    for oddity in ("cr_only", "crlf", "comments", "multi_line_data", "event_id_retry", "bom", "no_space", "no_done"):
        if simulated_upstream.wire == "exact" and oddity in ("cr_only", "multi_line_data", "event_id_retry"):
            continue  # what no exact upstream sends is not mended
        params = asks("plain", simulator={"malformed": oddity})
        report = sdk.do("accumulate", simulated_upstream.client, params)
        assert report["answer"]["choices"][0]["message"]["content"] == REPLIES["plain"]["content"], oddity


def test_a_finish_that_was_forgotten(sdk: Sdk, upstreams: dict[str, Upstream]) -> None:
    params = asks("plain", simulator={"malformed": "no_finish"})
    answer = sdk.do("accumulate", upstreams["simulator-compatible"].client, params)["answer"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["content"] == REPLIES["plain"]["content"]


def test_a_stream_in_single_bytes(sdk: Sdk, simulated_upstream: Upstream) -> None:
    text = "Zoë 日本 🚀 e\u0301 \u2028 end"
    params = asks("plain", simulator={"chunk_bytes": 1, "text": text})
    chunks = sdk.do("collect", simulated_upstream.client, params)["chunks"]
    assert text_of(chunks) == text


def test_a_long_stream(sdk: Sdk, simulated_upstream: Upstream) -> None:
    text = "line after line, 日本 🚀 and on\n" * 500
    chunks = sdk.do("collect", simulated_upstream.client, asks("plain", simulator={"text": text}))["chunks"]
    assert text_of(chunks) == text
