"""The official SDKs of OpenAI, Google and Cohere have texts embedded by the simulator."""

from __future__ import annotations

import array
import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any

import cohere
import httpx
import openai
import pytest
from cohere.errors import BadRequestError, TooManyRequestsError, UnprocessableEntityError
from google import genai
from google.genai import errors, types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import OpenAI

from faregate.simulator import tokens, vectors

from .conftest import Simulated

EMBEDDINGS, EMBED = "/v1/embeddings", "/v2/embed"
SMALL = "text-embedding-3-small"
GEMINI, NEWER = "gemini-embedding-001", "gemini-embedding-2"
TEXTS = ["the first text", "größer 🥊", "the last"]
TEXT_TOKENS = sum(map(tokens.count, TEXTS))
ONE = f"/v1beta/models/{NEWER}:embedContent"
BATCH = f"/v1beta/models/{NEWER}:batchEmbedContents"


def content(text: str) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}}


def batch(*texts: str) -> dict[str, Any]:
    return {"requests": [{"model": f"models/{NEWER}", **content(text)} for text in texts]}


def is_sound(vector: Sequence[float], width: int) -> bool:
    return len(vector) == width and math.isclose(math.hypot(*vector), 1, abs_tol=1e-6)


@given(st.one_of(st.text(), st.lists(st.integers(0, 200_000), min_size=1)), st.integers(1, 3072))
@settings(deadline=None, max_examples=50)
def test_any_text_has_a_vector_of_unit_length(prompt: str | list[int], width: int) -> None:
    vector = vectors.values(prompt, width)
    assert is_sound(vector, width)
    assert vector == vectors.values(prompt, width)
    assert array.array("f", vector).tolist() == vector


# OpenAI.


def test_floats_and_bytes_are_the_same(client: OpenAI, simulated: Simulated) -> None:
    by_default = client.embeddings.create(model=SMALL, input=TEXTS)
    assert simulated.call("GET", "/simulator/last_request").json()["body"]["encoding_format"] == "base64"
    floats = client.embeddings.create(model=SMALL, input=TEXTS, encoding_format="float")
    assert [each.embedding for each in floats.data] == [each.embedding for each in by_default.data]
    assert [(each.index, each.object) for each in floats.data] == [(at, "embedding") for at in range(3)]
    assert all(is_sound(each.embedding, 1536) for each in floats.data)
    assert len({tuple(each.embedding) for each in floats.data}) == 3
    assert (floats.object, floats.model) == ("list", SMALL)
    raw = client.embeddings.create(model=SMALL, input=TEXTS[0], encoding_format="base64").data[0].embedding
    data = base64.b64decode(str(raw))
    assert len(data) == 4 * 1536
    assert array.array("f", data).tolist() == floats.data[0].embedding


def test_one_text_and_many_have_the_same_vectors(client: OpenAI) -> None:
    many = client.embeddings.create(model=SMALL, input=TEXTS).data
    for text, each in zip(TEXTS, many, strict=True):
        assert client.embeddings.create(model="any-other", input=text).data[0].embedding == each.embedding


def test_lists_of_tokens(client: OpenAI, simulated: Simulated, since: int) -> None:
    one = client.embeddings.create(model=SMALL, input=[11, 22, 33])
    two = client.embeddings.create(model=SMALL, input=[[11, 22, 33], [44]])
    assert (len(one.data), one.usage.prompt_tokens) == (1, 3)
    assert (len(two.data), two.usage.prompt_tokens) == (2, 4)
    assert one.data[0].embedding == two.data[0].embedding != two.data[1].embedding
    assert [entry["prompt_tokens"] for entry in simulated.truth(since, 2)] == [3, 4]


@pytest.mark.parametrize(
    ("model", "dimensions", "width"),
    [
        (SMALL, None, 1536),
        (SMALL, 1, 1),
        (SMALL, 256, 256),
        (SMALL, 1536, 1536),
        ("text-embedding-3-large", None, 3072),
        ("text-embedding-3-large", 1024, 1024),
        ("text-embedding-ada-002", None, 1536),
        ("any-other", 3072, 3072),
    ],
)
def test_dimensions(client: OpenAI, model: str, dimensions: int | None, width: int) -> None:
    given: Any = {} if dimensions is None else {"dimensions": dimensions}
    (embedded,) = client.embeddings.create(model=model, input="hello", **given).data
    assert is_sound(embedded.embedding, width)


@pytest.mark.parametrize(
    ("members", "param", "words"),
    [
        ({"input": None}, "input", "Please submit an `input`."),
        ({"input": ""}, "input", "cannot be an empty string"),
        ({"input": ["a", ""]}, "input", "cannot be an empty string"),
        ({"input": []}, "input", "cannot be an empty array"),
        ({"input": ["a"] * 2049}, "input", "array length must be 2048 or less"),
        ({"input": 1}, "input", "expected a string or token array"),
        ({"input": {}}, "input", "expected a string or token array"),
        ({"input": ["a", 1]}, "input", "expected a string or token array"),
        ({"input": [1, "a"]}, "input", "expected a string or token array"),
        ({"input": [[1], []]}, "input", "expected a string or token array"),
        ({"input": [1, -1]}, "input", "expected a string or token array"),
        ({"input": [1.5]}, "input", "expected a string or token array"),
        ({"input": [True]}, "input", "expected a string or token array"),
        ({"input": [["a"]]}, "input", "expected a string or token array"),
        ({"encoding_format": "int8"}, "encoding_format", "Supported values: ['float', 'base64']"),
        ({"dimensions": 0}, "dimensions", "greater than 0"),
        ({"dimensions": 1537}, "dimensions", "less than or equal to 1536"),
        ({"dimensions": 3073, "model": "any-other"}, "dimensions", "less than or equal to 3072"),
        ({"dimensions": 256, "model": "text-embedding-ada-002"}, None, "does not support specifying dimensions"),
        ({"dimensions": "many"}, "dimensions", "Expected `int"),
        ({"model": None}, "model", "Expected `str`"),
    ],
)
def test_what_openai_refuses(
    simulated: Simulated, since: int, members: dict[str, Any], param: str | None, words: str
) -> None:
    refused = simulated.post({"model": SMALL, "input": "hello", **members}, EMBEDDINGS)
    error = refused.json()["error"]
    assert (refused.status, error["type"], error["param"]) == (400, "invalid_request_error", param)
    assert words in error["message"]
    assert simulated.truth(since)[0]["outcome"] == "refused"


def test_an_input_that_is_missing(simulated: Simulated) -> None:
    refused = simulated.post({"model": SMALL}, EMBEDDINGS)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "input")
    assert simulated.post({"model": SMALL, "input": "hello"}, EMBEDDINGS, None).status == 401
    assert simulated.call("GET", EMBEDDINGS, "sk").status == 405


def test_the_most_inputs(simulated: Simulated, since: int) -> None:
    reply = simulated.post({"model": SMALL, "input": ["a b"] * 2048, "dimensions": 2}, EMBEDDINGS)
    assert [each["index"] for each in reply.json()["data"]] == list(range(2048))
    assert simulated.truth(since)[0]["prompt_tokens"] == 2 * 2048


def test_the_name_in_the_answer(client: OpenAI) -> None:
    plan = {"simulator": {"answer_model": "text-embedding-3-small-v2"}}
    assert client.embeddings.create(model=SMALL, input="hello", extra_body=plan).model == "text-embedding-3-small-v2"


def test_openais_errors_are_the_sdks(client: OpenAI) -> None:
    with pytest.raises(openai.RateLimitError, match="so be it"):
        plan = {"simulator": {"status": 429, "error_message": "so be it"}}
        client.embeddings.create(model=SMALL, input="hello", extra_body=plan)


# Google.


@pytest.fixture(scope="module")
def google(simulated: Simulated) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{simulated.port}")
    with genai.Client(api_key="key", http_options=options) as client:
        yield client


def embed(client: genai.Client, model: str, contents: Any, plan: Any = None, **members: Any) -> Any:
    options = types.HttpOptions(extra_body={"simulator": plan or {}})
    config = types.EmbedContentConfig(http_options=options, **members)
    return client.models.embed_content(model=model, contents=contents, config=config)


def test_googles_batches(google: genai.Client, simulated: Simulated, since: int) -> None:
    said = embed(google, GEMINI, TEXTS, task_type="RETRIEVAL_DOCUMENT", title="a title")
    assert [each.values for each in said.embeddings] == [vectors.values(text, 3072) for text in TEXTS]
    assert said.usage_metadata is None
    narrow = embed(google, GEMINI, TEXTS, output_dimensionality=64)
    assert all(is_sound(each.values, 64) for each in narrow.embeddings)
    entries = simulated.truth(since, 2)
    assert {(entry["wire"], entry["model"]) for entry in entries} == {("gemini_embeddings", GEMINI)}
    assert [entry["prompt_tokens"] for entry in entries] == [TEXT_TOKENS, TEXT_TOKENS]


def test_the_newer_ones_say_how_many_tokens_it_was(google: genai.Client, simulated: Simulated, since: int) -> None:
    said = embed(google, NEWER, [types.Content(parts=[types.Part(text=text)]) for text in TEXTS])
    assert said.usage_metadata.prompt_token_count == TEXT_TOKENS
    assert len(said.embeddings) == 3
    raw = simulated.post(batch(TEXTS[0]), BATCH).json()["usageMetadata"]
    detail = {"modality": "TEXT", "tokenCount": tokens.count(TEXTS[0])}
    assert raw == {"promptTokenCount": detail["tokenCount"], "promptTokenDetails": [detail]}
    assert simulated.truth(since, 2)[0]["prompt_tokens"] == TEXT_TOKENS


def test_one_content(simulated: Simulated) -> None:
    path = f"/v1beta/models/{GEMINI}:embedContent"
    said = simulated.post({**content("hello"), "task_type": "clustering", "output_dimensionality": 8}, path).json()
    assert said == {"embedding": {"values": vectors.values("hello", 8)}}
    config = {"taskType": "CLUSTERING", "outputDimensionality": 8, "autoTruncate": True}
    assert simulated.post({**content("hello"), "embedContentConfig": config}, path).json() == said
    parts = {"content": {"role": "user", "parts": [{"text": "hel"}, {"text": "lo"}]}, "outputDimensionality": 8}
    assert simulated.post(parts, path).json() == said


@pytest.mark.parametrize(
    ("path", "members", "words"),
    [
        (ONE, {"content": None}, "* EmbedContentRequest.content: content is not specified"),
        (ONE, content(""), "contains an empty Part"),
        (ONE, {"content": {"parts": []}}, "contains an empty Part"),
        (ONE, {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}]}}, "but text"),
        (ONE, {"contents": []}, 'Unknown name "contents": Cannot find field.'),
        (ONE, {"taskType": "COOKING"}, "Invalid value at 'task_type'"),
        (ONE, {"outputDimensionality": 0}, "between 1 and 3072"),
        (ONE, {"outputDimensionality": 3073}, "between 1 and 3072"),
        (BATCH, {"requests": []}, "* BatchEmbedContentsRequest.requests: requests is not specified"),
        (BATCH, {"requests": [content("x")]}, "requests[0].model: unexpected model name format"),
        (BATCH, {"requests": [{"model": "models/other", **content("x")}]}, "requests[0].model: must be"),
        (BATCH, {"requests": [{"model": f"models/{NEWER}"}]}, "requests[0].content: content is not"),
        (BATCH, batch(*["x"] * 101), "at most 100 requests can be in one batch"),
    ],
)
def test_what_google_refuses(simulated: Simulated, path: str, members: dict[str, Any], words: str) -> None:
    body = content("hello") if path == ONE else batch("hello")
    refused = simulated.post({**body, **members}, path)
    error = refused.json()["error"]
    assert (refused.status, error["status"]) == (400, "INVALID_ARGUMENT")
    assert words in error["message"]


def test_googles_errors_are_the_sdks(google: genai.Client) -> None:
    with pytest.raises(errors.ClientError, match="so be it") as failed:
        embed(google, GEMINI, "hello", {"status": 429, "error_message": "so be it"})
    assert (failed.value.code, failed.value.status) == (429, "RESOURCE_EXHAUSTED")


# Cohere.


@pytest.fixture(scope="module")
def co(simulated: Simulated) -> Iterator[cohere.ClientV2]:
    base_url = f"http://127.0.0.1:{simulated.port}"
    with httpx.Client() as http:
        yield cohere.ClientV2(
            api_key="co-key", base_url=base_url, httpx_client=http, log_warning_experimental_features=False
        )


def embed_texts(co: cohere.ClientV2, plan: Any = None, **members: Any) -> Any:
    asked = {"model": "embed-v4.0", "texts": TEXTS, "input_type": "search_document", **members}
    options: Any = {"max_retries": 0, "additional_body_parameters": {"simulator": plan or {}}}
    return co.embed(**asked, request_options=options)


def test_coheres_embeddings(co: cohere.ClientV2, simulated: Simulated, since: int) -> None:
    said = embed_texts(co, embedding_types=["float"])
    assert (said.texts, said.response_type) == (TEXTS, "embeddings_by_type")
    assert said.embeddings.float_ == [vectors.values(text, 1536) for text in TEXTS]
    assert (said.meta.api_version.version, said.meta.billed_units.input_tokens) == ("2", TEXT_TOKENS)
    (entry,) = simulated.truth(since)
    assert (entry["wire"], entry["id"], entry["prompt_tokens"]) == ("cohere_embeddings", said.id, TEXT_TOKENS)
    assert embed_texts(co).embeddings == said.embeddings


@pytest.mark.parametrize(
    ("members", "width"),
    [
        ({"output_dimension": 256}, 256),
        ({"model": "embed-english-v3.0"}, 1024),
        ({"model": "embed-multilingual-light-v3.0"}, 384),
    ],
)
def test_coheres_widths(co: cohere.ClientV2, members: dict[str, Any], width: int) -> None:
    assert all(is_sound(vector, width) for vector in embed_texts(co, **members).embeddings.float_)


def test_coheres_other_forms(co: cohere.ClientV2) -> None:
    forms = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    said = embed_texts(co, texts=["hello"], embedding_types=forms, output_dimension=256).embeddings
    floats = said.float_[0]
    assert array.array("f", base64.b64decode(said.base64[0])).tolist() == floats
    assert [each + 128 for each in said.int8[0]] == said.uint8[0]
    assert all(abs(whole - 127 * each) <= 0.5 for whole, each in zip(said.int8[0], floats, strict=True))
    assert [each + 128 for each in said.binary[0]] == said.ubinary[0]
    bits = "".join(f"{each:08b}" for each in said.ubinary[0])
    assert [bit == "1" for bit in bits] == [each > 0 for each in floats]


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"texts": []}, "must not be empty"),
        ({"texts": ["a"] * 97}, "total number of texts must be at most 96 - received 97"),
        ({"input_type": None}, "valid input_type must be provided"),
        ({"input_type": "cooking"}, "input_type must be"),
        ({"embedding_types": ["int4"]}, "embedding_types.0 must be"),
        ({"output_dimension": 256, "model": "embed-english-v3.0"}, "output_dimension"),
    ],
)
def test_what_cohere_refuses(co: cohere.ClientV2, members: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        embed_texts(co, **members)
    assert words in refused.value.body["message"]


def test_a_width_that_cohere_does_not_have(co: cohere.ClientV2) -> None:
    with pytest.raises(UnprocessableEntityError) as refused:
        embed_texts(co, output_dimension=768)
    assert "768 is not a valid output_dimension value" in str(refused.value.body)


def test_the_oldest_need_no_purpose(simulated: Simulated) -> None:
    body = {"model": "embed-english-v2.0", "texts": ["hello"]}
    assert simulated.post(body, EMBED).status == 200
    assert simulated.post({**body, "model": "embed-v4.0"}, EMBED).status == 400
    assert simulated.post({"model": "embed-english-v2.0"}, EMBED).status == 400


def test_coheres_errors_are_the_sdks(co: cohere.ClientV2) -> None:
    with pytest.raises(TooManyRequestsError) as failed:
        embed_texts(co, {"status": 429, "error_message": "so be it"})
    assert failed.value.body["message"] == "so be it"
