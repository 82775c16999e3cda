"""Vectors of texts, through the whole gateway: every client's form to every provider's."""

import base64
import json
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from openai import BadRequestError, OpenAI

from faregate.simulator import vectors
from tests.running.client import Caller, last_entry
from tests.running.processes import CLEAN, Gateway, Simulator
from tests.running.upstreams import Upstream

from .embedding import EMBEDDINGS, MODELS, TEXTS, content, embed, embed_content, given_by, gives

ROOT = Path(__file__).parents[2]
PREVIOUS = """
import json, sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
found = client.embeddings.create(model=sys.argv[3], input=json.loads(sys.argv[4]))
print(json.dumps([each.embedding for each in found.data]))
"""


@pytest.fixture
def openai(embedder: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=embedder.base_url, api_key=embedder.key, max_retries=0) as client:
        yield client


@pytest.fixture
def google(embedder: Gateway) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{embedder.port}")
    with genai.Client(api_key=embedder.key, http_options=options) as client:
        yield client


def width_of(model: str) -> int:
    return 3072 if model == "gemini" else 1536


def asked_last(simulator: Simulator) -> dict[str, Any]:
    """What the provider was asked last."""
    return simulator.get("/simulator/last_request")["body"]


# Each client's form to each provider's


@pytest.mark.contract("1.2")
@pytest.mark.parametrize("model", MODELS)
def test_openais_sdk_has_texts_embedded_by_every_provider(openai: OpenAI, model: str) -> None:
    expected = [vectors.values(text, width_of(model)) for text in TEXTS]
    for more in ({}, {"encoding_format": "float"}):
        found = openai.embeddings.create(model=model, input=TEXTS, **more)  # type: ignore[arg-type]
        assert [each.embedding for each in found.data] == expected
        assert [(each.index, each.object) for each in found.data] == [(at, "embedding") for at in range(3)]
        assert (found.object, found.model) == ("list", model)
        assert found.usage.prompt_tokens == found.usage.total_tokens > 0
    [one] = openai.embeddings.create(model=model, input=TEXTS[1], dimensions=256).data
    assert one.embedding == vectors.values(TEXTS[1], 256)


@pytest.mark.contract("1.2")
@pytest.mark.parametrize("model", MODELS)
def test_the_encoding_is_always_the_one_that_was_asked_for(embeds: Caller, model: str) -> None:
    """Bit for bit; floats where nothing is said."""
    answers = [embed(embeds, model).json(), embed(embeds, model, encoding_format="float").json()]
    packed = embed(embeds, model, encoding_format="base64").json()
    for index, text in enumerate(TEXTS):
        floats = vectors.values(text, width_of(model))
        assert [each["data"][index]["embedding"] for each in answers] == [floats, floats]
        assert base64.b64decode(packed["data"][index]["embedding"]) == struct.pack(f"<{len(floats)}f", *floats)


@pytest.mark.contract("1.2")
def test_openais_previous_sdk_too(embedder: Gateway) -> None:
    python = ROOT / ".venv-openai-previous" / "bin" / "python"
    words = [python, "-c", PREVIOUS, embedder.base_url, embedder.key, "cohere", json.dumps(TEXTS)]
    done = subprocess.run(words, capture_output=True, env=CLEAN, check=True, timeout=60)
    assert json.loads(done.stdout) == [vectors.values(text, 1536) for text in TEXTS]


@pytest.mark.contract("1.10")
@pytest.mark.parametrize("model", MODELS)
def test_googles_sdk_has_texts_embedded_by_every_provider(google: genai.Client, model: str) -> None:
    config = types.EmbedContentConfig(task_type="CLUSTERING", output_dimensionality=256)
    contents: Any = [types.Content(parts=[types.Part(text=text)]) for text in TEXTS]
    found = google.models.embed_content(model=model, contents=contents, config=config)
    assert [each.values for each in found.embeddings or ()] == [vectors.values(text, 256) for text in TEXTS]


@pytest.mark.contract("1.10")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("prefix", ["/v1beta", "/v1", "/api/v1"])
def test_one_content_of_geminis(embeds: Caller, model: str, prefix: str) -> None:
    """Asked in either spelling."""
    for more in ({"outputDimensionality": 256}, {"output_dimensionality": 256}):
        answer = embeds.ask("POST", f"{prefix}/models/{model}:embedContent", content("hello", **more))
        assert (answer.status, answer.json()["embedding"]) == (200, {"values": vectors.values("hello", 256)})
    answer = embed_content(embeds, model, *TEXTS)
    assert [each["values"][:3] for each in answer.json()["embeddings"]] == [
        vectors.values(text, width_of(model))[:3] for text in TEXTS
    ]


@pytest.mark.contract("1.2")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("given", [[11, 22, 33], [[11, 22], [33]]])
def test_tokens_in_place_of_texts(embeds: Caller, simulator: Simulator, model: str, given: Any) -> None:
    since = last_entry(simulator)
    answer = embed(embeds, model, given)
    if model in {"exact", "compatible"}:
        prompts = given if isinstance(given[0], list) else [given]
        assert [each["embedding"] for each in answer.json()["data"]] == [vectors.values(each, 1536) for each in prompts]
        assert answer.json()["usage"]["prompt_tokens"] == 3
    else:
        assert (answer.status, answer.error["param"], answer.error["code"]) == (400, "input", "unsupported_parameter")
        assert last_entry(simulator) == since, "the provider heard of it"


# What is said to providers


@pytest.mark.contract("1.2")
@pytest.mark.parametrize(
    ("model", "more", "dropped", "adjusted"),
    [
        ("exact", {"user": "me", "input_type": "query"}, None, None),
        ("gemini", {"user": "me", "input_type": "query"}, "user", None),
        ("gemini", {"input_type": "odd"}, "input_type", None),
        ("cohere", {"input_type": "query"}, None, None),
        ("cohere", {}, None, "input_type=search_document"),
        ("cohere", {"user": "me", "input_type": "odd"}, "user, input_type", "input_type=search_document"),
    ],
)
def test_what_is_dropped_is_said(
    embeds: Caller, simulator: Simulator, model: str, more: dict[str, Any], dropped: str | None, adjusted: str | None
) -> None:
    answer = embed(embeds, model, **more)
    assert answer.status == 200, answer.body
    assert answer.header("x-faregate-dropped") == dropped
    assert answer.header("x-faregate-adjusted") == adjusted
    since = last_entry(simulator)
    strict = embed(embeds, model, headers={"x-faregate-strict": "true"}, **more)
    if dropped is None:
        assert strict.status == 200
    else:
        assert (strict.status, strict.error["param"]) == (400, dropped.split(", ")[0])
        assert last_entry(simulator) == since, "the provider heard of it"


@pytest.mark.contract("1.10")
def test_what_of_geminis_is_dropped_is_said(embeds: Caller, simulator: Simulator) -> None:
    answer = embed_content(embeds, "exact", "hello", taskType="CLUSTERING", title="t")
    assert (answer.status, answer.header("x-faregate-dropped")) == (200, "title, taskType")
    answer = embed_content(embeds, "cohere", "hello", taskType="RETRIEVAL_QUERY")
    assert asked_last(simulator)["input_type"] == "search_query"
    assert "x-faregate-dropped" not in answer.names
    answer = embed_content(embeds, "exact", "hello", headers={"x-faregate-strict": "true"}, title="t")
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    assert "title" in answer.error["message"]


@pytest.mark.parametrize("name", ["renamed", "nick/name", "openai/renamed"])
def test_the_model_is_called_what_it_was_asked_for(embeds: Caller, simulator: Simulator, name: str) -> None:
    answer = embed(embeds, name)
    assert answer.json()["model"] in {name, "renamed"}
    assert answer.json()["model"] == embeds.chat(model=name).json()["model"]
    assert embed(embeds, name).status == 200
    assert asked_last(simulator)["model"] == "upstream-name"
    assert embed_content(embeds, "old-gemini", *TEXTS).status == 200
    assert {each["model"] for each in asked_last(simulator)["requests"]} == {"models/gemini-embedding-001"}


def test_what_is_said_to_a_target_is_said_of_that_alone(embeds: Caller) -> None:
    """Tokens that one target cannot be told go to the other, as do those who want nothing dropped."""
    assert embed(embeds, "either", [1, 2]).status == 200
    answer = embed(embeds, "either", headers={"x-faregate-strict": "true"}, user="me")
    assert (answer.status, answer.names & {"x-faregate-dropped", "x-faregate-adjusted"}) == (200, set())


# What goes wrong


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "a"}, "model"),
        ({"model": "exact"}, "input"),
        ({"model": "exact", "input": ""}, "input"),
        ({"model": "exact", "input": ["a", 1]}, "input"),
        ({"model": "exact", "input": "a", "encoding_format": "int8"}, "encoding_format"),
        ({"model": "exact", "input": "a", "dimensions": 0}, "dimensions"),
    ],
)
def test_errors_of_openais_clients(embeds: Caller, body: dict[str, Any], param: str) -> None:
    answer = embeds.ask("POST", EMBEDDINGS, body)
    assert (answer.status, answer.error["type"], answer.error["param"]) == (400, "invalid_request_error", param)


def test_providers_errors_are_told_in_the_clients_dialect(embeds: Caller, openai: OpenAI, google: genai.Client) -> None:
    for model in MODELS:
        plan = json.dumps({"status": 429, "retry_after_s": 7})
        answer = embed(embeds, model, f"hello #simulator {plan}")
        assert (answer.status, answer.error["code"]) == (503, "upstream_rate_limited")
        assert answer.header("retry-after") == "7"
    for model in ("gemini", "cohere"):
        with pytest.raises(BadRequestError) as refused:
            openai.embeddings.create(model=model, input=["a"] * 101)  # more than either takes
        assert refused.value.status_code == 400
    with pytest.raises(errors.ClientError) as failed:
        google.models.embed_content(model="cohere", contents=["a"] * 97)
    assert (failed.value.code, failed.value.status) == (400, "INVALID_ARGUMENT")
    assert embeds.ask("GET", EMBEDDINGS).status == 405


@pytest.mark.parametrize("model", [f"raw-{name}" for name in MODELS])
@pytest.mark.parametrize(
    "vectors_given",
    [[[1.0, 2.0]], [[1.0, 2.0]] * 4, [[]] * 3, [[1.0, 2.0], [1.0], [1.0, 2.0]], [["a"]] * 3, [None] * 3],
)
def test_what_is_no_answer_is_503(embeds: Caller, scripted: Upstream, model: str, vectors_given: list[Any]) -> None:
    scripted.play(gives(given_by(model, vectors_given)))
    for answer in (embed(embeds, model), embed_content(embeds, model, *TEXTS)):
        assert answer.status == 503, answer.body


@pytest.mark.parametrize("model", [f"raw-{name}" for name in MODELS])
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b"{", b'{"data":[]}', b'{"error":{"message":"x"}}'])
def test_garbage_is_503(embeds: Caller, scripted: Upstream, model: str, body: bytes) -> None:
    scripted.play(gives(body))
    assert embed(embeds, model).status == 503
    assert embed_content(embeds, model, *TEXTS).status == 503


@pytest.mark.contract("1.2")
@pytest.mark.parametrize("model", [f"raw-{name}" for name in MODELS])
def test_another_width_than_was_asked_for_is_no_answer(embeds: Caller, scripted: Upstream, model: str) -> None:
    visits = scripted.play(gives(given_by(model, [[1.0, 2.0]] * 3)))
    answer = embed(embeds, model, dimensions=8)
    assert (answer.status, answer.error["param"]) == (400, "dimensions")
    assert "2 dimensions" in answer.error["message"]
    answer = embed_content(embeds, model, *TEXTS, outputDimensionality=8)
    assert (answer.status, answer.error["status"]) == (400, "INVALID_ARGUMENT")
    assert len(visits) == 2, "nobody else is asked, nor the same again"


def test_vectors_out_of_order_are_put_in_order(embeds: Caller, scripted: Upstream) -> None:
    said = json.loads(given_by("raw-exact", [[1.0], [2.0], [3.0]]))
    said["data"].reverse()
    scripted.play(gives(json.dumps(said).encode()))
    for model in ("raw-exact", "raw-compatible"):
        assert [each["embedding"] for each in embed(embeds, model).json()["data"]] == [[1.0], [2.0], [3.0]]
        assert embed_content(embeds, model, *TEXTS).json()["embeddings"][2] == {"values": [3.0]}
