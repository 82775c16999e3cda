"""What holds for embeddings on every wire: the same vectors, the same faults, the same truth."""

from __future__ import annotations

from typing import Any

import pytest

from faregate.simulator import vectors

from .conftest import Reply, Simulated

SMALL = "text-embedding-3-small"
NEWER = "gemini-embedding-2"
PATHS = {
    "openai": "/v1/embeddings",
    "gemini": f"/v1beta/models/{NEWER}:embedContent",
    "gemini_batch": f"/v1beta/models/{NEWER}:batchEmbedContents",
    "cohere": "/v2/embed",
}


def content(text: str) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}}


def body_of(wire: str, text: str) -> dict[str, Any]:
    return {
        "openai": {"model": SMALL, "input": text},
        "gemini": content(text),
        "gemini_batch": {"requests": [{"model": f"models/{NEWER}", **content(text)}]},
        "cohere": {"model": "embed-v4.0", "texts": [text], "input_type": "search_query"},
    }[wire]


def vector_of(wire: str, said: Any) -> list[float]:
    if wire == "openai":
        return said["data"][0]["embedding"]
    if wire == "cohere":
        return said["embeddings"]["float"][0]
    return said["embedding"]["values"] if wire == "gemini" else said["embeddings"][0]["values"]


def counted(wire: str, said: Any) -> Any:
    if wire == "openai":
        return said["usage"]["prompt_tokens"]
    if wire == "cohere":
        return said["meta"]["billed_units"]["input_tokens"]
    return said["usageMetadata"]["promptTokenCount"]


def ask(simulated: Simulated, wire: str, text: str = "hello there", plan: Any = None) -> Reply:
    body = body_of(wire, text)
    return simulated.post(body if plan is None else {**body, "simulator": plan}, PATHS[wire])


def test_every_wire_has_the_same_vectors(simulated: Simulated) -> None:
    widest = {wire: vector_of(wire, ask(simulated, wire).json()) for wire in PATHS}
    assert [len(widest[wire]) for wire in PATHS] == [1536, 3072, 3072, 1536]
    assert widest["openai"] == widest["cohere"] == vectors.values("hello there", 1536)
    assert widest["gemini"] == widest["gemini_batch"] == vectors.values("hello there", 3072)


@pytest.mark.parametrize("wire", PATHS)
def test_the_truth_of_what_was_embedded(simulated: Simulated, since: int, wire: str) -> None:
    reply = ask(simulated, wire, plan={"cached_tokens": 1})
    (entry,) = simulated.truth(since)
    assert entry["prompt_tokens"] == entry["fresh_tokens"] == counted(wire, reply.json()) == 2
    assert (entry["completion_tokens"], entry["cached_tokens"], entry["reasoning_tokens"]) == (0, 0, 0)
    assert (entry["outcome"], entry["status"], entry["stream"]) == ("complete", 200, False)
    assert entry["bytes_sent"] == len(reply.body)
    assert entry["path"] == PATHS[wire]
    assert entry["model"] == (NEWER if wire.startswith("gemini") else body_of(wire, "")["model"])


@pytest.mark.parametrize("wire", PATHS)
def test_faults_of_embeddings(simulated: Simulated, since: int, wire: str) -> None:
    whole = ask(simulated, wire).body
    failed = ask(simulated, wire, plan={"status": 503, "retry_after_s": 7, "error_message": "so be it"})
    assert (failed.status, failed.field("retry-after")) == (503, "7")
    assert b"so be it" in failed.body
    cut = ask(simulated, wire, plan={"cut_after_bytes": 99})
    assert (cut.body, cut.ended) == (whole[:99], False)
    assert ask(simulated, wire, plan={"cut_after_bytes": 0}).raw == b""
    assert ask(simulated, wire, plan={"chunk_bytes": 4096}).body == whole
    assert ask(simulated, wire, plan={"malformed": "not_json"}).body == whole[: len(whole) // 2]
    assert ask(simulated, wire, plan={"malformed": "html"}).body.startswith(b"<html>")
    assert ask(simulated, wire, plan={"headers": {"X-Odd": "yes"}}).field("x-odd") == "yes"
    for malformed in ("no_finish", "crlf"):
        assert ask(simulated, wire, plan={"malformed": malformed}).status == 400
    assert ask(simulated, wire, plan={"usage": "twice"}).status == 400
    outcomes = [entry["outcome"] for entry in simulated.truth(since, 11)]
    expected = ["complete", "fault", "cut", "cut", "complete", "fault", "fault", "complete"]
    assert outcomes == [*expected, *["refused"] * 3]


@pytest.mark.parametrize("wire", PATHS)
def test_usage_that_is_wrong(simulated: Simulated, since: int, wire: str) -> None:
    for fault, said in (("negative", -2), ("absurd", 10**18), ("string", "2"), ("float", 2.5)):
        assert counted(wire, ask(simulated, wire, plan={"usage": fault}).json()) == said
    for fault in ("absent", "null"):
        with pytest.raises((KeyError, TypeError)):
            counted(wire, ask(simulated, wire, plan={"usage": fault}).json())
    assert {entry["prompt_tokens"] for entry in simulated.truth(since, 6)} == {2}


@pytest.mark.parametrize("wire", PATHS)
def test_a_plan_in_the_last_text(simulated: Simulated, wire: str) -> None:
    assert ask(simulated, wire, 'hello #simulator {"status": 418}').status == 418


@pytest.mark.parametrize("wire", PATHS)
def test_an_answer_that_stalls_half_way(simulated: Simulated, since: int, wire: str) -> None:
    whole = ask(simulated, wire).body
    stalled = {**body_of(wire, "hello there"), "simulator": {"stall_after_tokens": 0}}
    with simulated.open(stalled, PATHS[wire]) as connection:
        raw = b""
        while len(Reply(raw).raw.partition(b"\r\n\r\n")[2]) < len(whole) // 2:
            raw += connection.recv(1 << 16)
    entry = simulated.truth(since, 2)[1]
    assert (entry["outcome"], entry["prompt_tokens"], entry["bytes_sent"]) == ("client_gone", 2, len(whole) // 2)
