"""Embeddings in each form: what clients send, and what providers are sent."""

import json
from typing import Any

import pytest
from embedding import BATCH, COHERE, FORMS, GEMINI, ONE, OPENAI, TEXTS, batch, bytes_of, content, openai

from faregate.core.errors import Inexpressible, MalformedRequest
from faregate.core.media import EmbeddingRequest
from faregate.dialects import Asked
from faregate.dialects.embeddings import ClientForm, Form

# What clients send


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("a", ("a",)),
        (["a", "b"], ("a", "b")),
        ([1, 2, 3], ([1, 2, 3],)),
        ([[1, 2], [3]], ([1, 2], [3])),
        ([""], ("",)),
    ],
)
def test_inputs_of_openais_clients(given: Any, inputs: tuple[Any, ...]) -> None:
    request = openai(input=given)
    assert (request.model, request.messages, request.output_tokens_max) == ("m", len(inputs), 0)
    assert OPENAI.read_request(request).inputs == inputs


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 1}, "model"),
        ({"input": None}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": {}}, "input"),
        ({"input": 1}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"input": [1, [1]]}, "input"),
        ({"input": [True]}, "input[0]"),
        ({"input": [1.5]}, "input[0]"),
        ({"input": [["a"]]}, "input[0][0]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": "8"}, "dimensions"),
        ({"dimensions": 100_001}, "dimensions"),
        ({"input_type": 1}, "input_type"),
    ],
)
def test_what_openais_clients_may_not_send(members: dict[str, Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        openai(**members)
    assert refused.value.param == param


@pytest.mark.parametrize("missing", ["model", "input"])
def test_what_openais_clients_must_send(missing: str) -> None:
    body = {"model": "m", "input": "a"}
    del body[missing]
    with pytest.raises(MalformedRequest, match="Missing required") as refused:
        OPENAI.parse_request(bytes_of(body))
    assert refused.value.param == missing


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"a"', b'{"model":"m","input":"\xff"}', b'{"input":"\\ud800"}'])
@pytest.mark.parametrize("form", [OPENAI, GEMINI], ids=lambda form: form.name)
def test_bodies_that_are_none(form: ClientForm, body: bytes) -> None:
    with pytest.raises(MalformedRequest):
        form.parse_request(body, BATCH)


@pytest.mark.contract("1.10")
def test_geminis_clients_may_write_either_spelling() -> None:
    snake = content("a", task_type="RETRIEVAL_QUERY", output_dimensionality=8, auto_truncate=True)
    camel = content("a", taskType="RETRIEVAL_QUERY", outputDimensionality=8, autoTruncate=True)
    expected = EmbeddingRequest(inputs=("a",), dimensions=8, purpose="search_query", extra=("autoTruncate",))
    for each in (snake, camel):
        one = GEMINI.parse_request(bytes_of({**each, "model": "models/other"}), ONE)  # the path names it
        several = GEMINI.parse_request(bytes_of({"requests": [each]}), BATCH)
        assert GEMINI.read_request(one) == GEMINI.read_request(several) == expected
        assert json.loads(GEMINI.forward_request(one, "up")) == camel
        assert json.loads(GEMINI.forward_request(several, "up")) == {"requests": [{**camel, "model": "models/up"}]}


@pytest.mark.parametrize("name", ["embedContentConfig", "embed_content_config"])
@pytest.mark.parametrize("inner", [{"outputDimensionality": 8, "title": "t"}, {"output_dimensionality": 8, "title": 1}])
def test_geminis_newer_configuration_is_read_too(name: str, inner: dict[str, Any]) -> None:
    asked = content("a", outputDimensionality=4, **{name: inner})
    for body, path in ((asked, ONE), ({"requests": [asked]}, BATCH)):
        read = GEMINI.read_request(GEMINI.parse_request(bytes_of(body), path))
        assert (read.dimensions, read.extra) == (8, ("title",))


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (Asked("nothing"), content("a"), "model"),
        (ONE, {}, "content"),
        (ONE, {"content": "a"}, "content"),
        (ONE, {"content": {"parts": "a"}}, "content.parts"),
        (ONE, {"content": {"parts": [{"text": 1}]}}, "content.parts"),
        (ONE, content("a", task_type=1), "taskType"),
        (ONE, content("a", output_dimensionality=0), "outputDimensionality"),
        (ONE, content("a", embedContentConfig=1), "embedContentConfig"),
        (ONE, content("a", requests=[content("b")]), "requests"),
        (BATCH, {}, "requests"),
        (BATCH, content("a"), "requests"),
        (BATCH, {"requests": []}, "requests"),
        (BATCH, {"requests": {}}, "requests"),
        (BATCH, {"requests": [content("a")] * 2049}, "requests"),
        (BATCH, {"requests": [content("a"), {}]}, "requests[1].content"),
        (BATCH, {"requests": [1]}, "requests[0]"),
        (BATCH, {"requests": [content("a", outputDimensionality="8")]}, "requests[0].outputDimensionality"),
        (BATCH, {"requests": [content("a", embedContentConfig=1)]}, "requests[0].embedContentConfig"),
    ],
)
def test_what_geminis_clients_may_not_send(path: Asked, body: Any, param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        GEMINI.parse_request(bytes_of(body), path)
    assert (refused.value.param or "").startswith(param)


@pytest.mark.parametrize("task", [None, "TASK_TYPE_UNSPECIFIED"])
def test_no_purpose_is_none(task: str | None) -> None:
    assert GEMINI.read_request(batch("a", taskType=task)).purpose is None
    assert GEMINI.read_request(batch("a", taskType="retrieval_query")).purpose == "search_query"


def test_a_batch_of_several_kinds_cannot_be_told_to_others() -> None:
    mixed = {"requests": [content("a", outputDimensionality=8), content("b")]}
    with pytest.raises(Inexpressible) as refused:
        GEMINI.read_request(GEMINI.parse_request(bytes_of(mixed), BATCH))
    assert refused.value.param == "requests"


@pytest.mark.parametrize("part", [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}, {}])
def test_what_is_no_text_cannot_be_told_to_others(part: dict[str, Any]) -> None:
    request = GEMINI.parse_request(bytes_of({"requests": [content("a"), {"content": {"parts": [part]}}]}), BATCH)
    with pytest.raises(Inexpressible) as refused:
        GEMINI.read_request(request)
    assert refused.value.param == "requests[1].content.parts"


def test_only_the_inputs_are_counted() -> None:
    """Where nobody else does, tokens count as what they are, and JSON around the texts as nothing."""
    assert openai(input=[1, 22, 333, 44_444]).prompt_tokens == 4
    assert openai(input=["12345678", "1234"], user="somebody" * 9).prompt_tokens == 3
    assert batch("12345678", "1234", title="a title" * 9).prompt_tokens == 3
    assert GEMINI.parse_request(bytes_of({"content": {"parts": [{}]}}), ONE).prompt_tokens > 0


# What providers are sent


def test_openais_body_is_passed_on_as_it_came() -> None:
    body = b'{"input": ["a"],"model":"m","encoding_format":null,"odd": 1.50, "dimensions":3}'
    request = OPENAI.parse_request(body)
    assert json.loads(OPENAI.forward_request(request, "m")) == json.loads(body)
    assert b"1.50" in OPENAI.forward_request(request, "m")
    assert json.loads(OPENAI.forward_request(request, "up"))["model"] == "up"
    assert OPENAI.path(request, "up") == "/embeddings"


@pytest.mark.parametrize("name", FORMS)
def test_a_request_in_each_form(name: str) -> None:
    asked = EmbeddingRequest(inputs=TEXTS, dimensions=8, purpose="search_query", extra=("user",))
    rendered = FORMS[name].write_request(asked, "up")
    body = json.loads(rendered.body)
    if name == "openai_embeddings":
        assert body == {"model": "up", "input": list(TEXTS), "encoding_format": "float", "dimensions": 8}
        assert rendered.dropped == ("user", "purpose")
        assert OPENAI.read_request(OPENAI.parse_request(rendered.body)).inputs == TEXTS
    elif name == "gemini_embeddings":
        kind = {"model": "models/up", "taskType": "RETRIEVAL_QUERY", "outputDimensionality": 8}
        assert body == {"requests": [{**kind, **content(text)} for text in TEXTS]}
        again = GEMINI.read_request(GEMINI.parse_request(rendered.body, BATCH))
        assert again == EmbeddingRequest(inputs=TEXTS, dimensions=8, purpose="search_query")
        assert rendered.dropped == ("user",)
    else:
        kind = {"input_type": "search_query", "embedding_types": ["float"], "output_dimension": 8}
        assert body == {"model": "up", "texts": list(TEXTS), **kind}
        assert (rendered.dropped, rendered.adjusted) == (("user",), ())


@pytest.mark.parametrize(
    ("purpose", "said", "dropped"),
    [(None, "search_document", ()), ("passage", "search_document", ()), ("odd", "search_document", ("purpose",))],
)
def test_cohere_must_be_told_a_purpose(purpose: str | None, said: str, dropped: tuple[str, ...]) -> None:
    rendered = COHERE.write_request(EmbeddingRequest(inputs=("a",), purpose=purpose), "up")
    assert (json.loads(rendered.body)["input_type"], rendered.dropped) == (said, dropped)
    assert rendered.adjusted == (() if purpose == "passage" else ("purpose=search_document",))


@pytest.mark.parametrize("form", [GEMINI, COHERE], ids=lambda form: form.name)
def test_tokens_are_no_texts(form: Form) -> None:
    with pytest.raises(Inexpressible) as refused:
        form.write_request(EmbeddingRequest(inputs=([1, 2],)), "up")
    assert refused.value.param == "input"
    rendered = OPENAI.write_request(EmbeddingRequest(inputs=([1, 2], [3])), "up")
    assert json.loads(rendered.body)["input"] == [[1, 2], [3]]
