"""Embeddings in each form: what providers answer, and what is no answer."""

import contextlib
import json
import math
import struct
from typing import Any

import pytest
from embedding import (
    BATCH,
    COHERE,
    FORMS,
    GEMINI,
    ONE,
    OPENAI,
    TEXTS,
    VECTORS,
    answer,
    batch,
    bytes_of,
    cohere_answer,
    content,
    forwarded,
    gemini_answer,
    openai,
    packed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.errors import MalformedRequest
from faregate.core.media import Embeddings
from faregate.core.usage import Usage, UsageSource
from faregate.dialects import Result
from faregate.wire.messages import BadMessage

ANSWERS = {
    "openai_embeddings": lambda tokens: answer(*VECTORS, usage={"prompt_tokens": tokens, "total_tokens": tokens}),
    "gemini_embeddings": lambda tokens: gemini_answer(VECTORS, {"promptTokenCount": tokens}),
    "cohere_embeddings": lambda tokens: cohere_answer(VECTORS, {"billed_units": {"input_tokens": tokens}}),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_answer_in_each_form(name: str) -> None:
    given = FORMS[name].read_result(ANSWERS[name](7))
    assert (given.vectors, given.usage) == (VECTORS, Usage(input=7, source=UsageSource.PROVIDER))
    body = json.loads(OPENAI.write_result(given, openai(encoding_format="base64")))
    assert [each["embedding"] for each in body["data"]] == [packed(vector) for vector in VECTORS]
    assert body["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert json.loads(GEMINI.write_result(given, batch(*TEXTS))) == {"embeddings": [{"values": v} for v in VECTORS]}
    one = GEMINI.parse_request(bytes_of(content("a")), ONE)
    assert json.loads(GEMINI.write_result(given, one)) == {"embedding": {"values": VECTORS[0]}}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("tokens", [None, 0, -1, 10**18, 10**30, 2.5, "7", [], {"a": 1}, True])
def test_vectors_stand_whatever_is_said_of_tokens(name: str, tokens: Any) -> None:
    """A figure that cannot be true is suspect, never believed, and never the end of an answer that was paid for."""
    given = FORMS[name].read_result(ANSWERS[name](tokens))
    assert given.vectors == VECTORS
    assert given.usage is None if not tokens else given.usage is not None and given.usage.suspect


def test_geminis_pictures_are_told_apart() -> None:
    details = [{"modality": "TEXT", "tokenCount": 1}, {"modality": "IMAGE", "tokenCount": 6}, {}, 1]
    usage = GEMINI.read_result(gemini_answer(VECTORS, {"promptTokenCount": 7, "promptTokenDetails": details})).usage
    assert usage == Usage(input=1, image_input=6, source=UsageSource.PROVIDER)
    usage = GEMINI.read_result(gemini_answer(VECTORS, {"promptTokenCount": 5, "promptTokenDetails": details})).usage
    assert usage is not None and usage.suspect


@pytest.mark.parametrize("is_given_base64", [False, True])
@pytest.mark.parametrize("asked", [None, "float", "base64"])
@pytest.mark.parametrize("exact", [False, True])
def test_the_encoding_is_the_one_that_was_asked_for(asked: str | None, is_given_base64: bool, exact: bool) -> None:
    body = answer(*[packed(vector) if is_given_base64 else vector for vector in VECTORS])
    said = forwarded(body, openai(encoding_format=asked), exact=exact)
    expected = [packed(vector) for vector in VECTORS] if asked == "base64" else VECTORS
    assert [each["embedding"] for each in said["data"]] == expected
    assert [(each["object"], each["index"]) for each in said["data"]] == [("embedding", 0), ("embedding", 1)]
    assert (said["object"], said["usage"]) == ("list", {"prompt_tokens": 7, "total_tokens": 7})


def test_what_is_in_order_goes_through_as_it_came() -> None:
    body = answer([0.10, 1], [2, 3]).replace(b": 0.1", b":  0.1")
    assert OPENAI.forward_result(body, openai(), exact=True).body == body
    renamed = json.loads(OPENAI.forward_result(answer(*VECTORS, model="other"), openai(), exact=True).body)
    assert renamed == json.loads(answer(*VECTORS))
    for more in ({"model": None}, {"model": "m-2026-01-01"}):
        said = forwarded(answer(*VECTORS, **more), openai())
        assert said["model"] == (more["model"] or "m")
        assert said["more"] == 1


@pytest.mark.parametrize("indices", [(1, 0), (None, None), (0, 0), (5, 9)])
def test_vectors_come_in_the_order_of_the_inputs(indices: tuple[int | None, ...]) -> None:
    pairs = zip(indices, VECTORS, strict=True)
    body = bytes_of({"data": [{"index": index, "embedding": vector} for index, vector in pairs]})
    said = forwarded(body, openai())
    vectors = VECTORS[::-1] if indices == (1, 0) else VECTORS
    assert [(each["index"], each["embedding"]) for each in said["data"]] == list(enumerate(vectors))


def test_compatible_hosts_are_repaired() -> None:
    """Who is told no tokens is told those that are charged."""
    request = openai()
    said = forwarded(bytes_of({"data": [{"embedding": vector} for vector in VECTORS]}), request, exact=False)
    assert said.keys() == {"object", "data", "model", "usage"}
    assert (said["object"], said["model"]) == ("list", "m")
    tokens = request.prompt_tokens
    assert said["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert tokens > 0


NAN, INFINITE = packed([math.nan]), packed([math.inf])
BAD = [
    [],
    [VECTORS[0]],
    [*VECTORS, VECTORS[0]],
    [[], []],
    [VECTORS[0], []],
    [VECTORS[0], ""],
    [VECTORS[0], [1.0]],
    [VECTORS[0], None],
    [VECTORS[0], {}],
    [VECTORS[0], ["1", "2"]],
    [VECTORS[0], [None, None]],
    [VECTORS[0], [[1, 2]]],
    [VECTORS[0], "not base64"],
    [VECTORS[0], "AAAAAA"],
    [VECTORS[0], "AAAAAAAA"],
    [VECTORS[0], "é"],
    [NAN, NAN],
    [INFINITE, INFINITE],
]


@pytest.mark.parametrize("vectors", BAD, ids=lambda vectors: json.dumps(vectors)[:40])
@pytest.mark.parametrize("exact", [False, True])
def test_what_is_no_answer(vectors: list[Any], exact: bool) -> None:
    with pytest.raises(BadMessage):
        OPENAI.forward_result(answer(*vectors), openai(), exact=exact)


@pytest.mark.parametrize("vectors", [[], [VECTORS[0]], [[], []], [VECTORS[0], []], [VECTORS[0], [1.0]], [[None]]])
def test_what_is_no_answer_of_gemini(vectors: list[Any]) -> None:
    with pytest.raises(BadMessage):
        GEMINI.forward_result(gemini_answer(vectors), batch(*TEXTS), exact=True)


@pytest.mark.parametrize("is_base64", [False, True])
def test_float32_holds_no_more(is_base64: bool) -> None:
    request = openai(encoding_format="base64")
    with pytest.raises(BadMessage):
        OPENAI.forward_result(answer([1e39], [1e39]), request, exact=is_base64)
    with pytest.raises(BadMessage):
        OPENAI.write_result(Embeddings([[1e39]]), request)


@pytest.mark.parametrize("exact", [False, True])
def test_dimensions_that_were_not_honoured(exact: bool) -> None:
    for vectors in (VECTORS, [packed(vector) for vector in VECTORS]):
        with pytest.raises(MalformedRequest, match="2 dimensions") as refused:
            OPENAI.forward_result(answer(*vectors), openai(dimensions=8), exact=exact)
        assert refused.value.param == "dimensions"
    assert forwarded(answer(*VECTORS), openai(dimensions=2), exact=exact)["data"]


def test_geminis_dimensions_are_those_of_each() -> None:
    body = {"requests": [content("a", outputDimensionality=2), content("b", outputDimensionality=3)]}
    request = GEMINI.parse_request(bytes_of(body), BATCH)
    right = gemini_answer([[1, 2], [1, 2, 3]])
    assert GEMINI.forward_result(right, request, exact=True).body == right
    with pytest.raises(MalformedRequest) as refused:
        GEMINI.forward_result(gemini_answer(VECTORS), request, exact=True)
    assert refused.value.param == "outputDimensionality"


# Whatever comes

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*VECTORS, packed([0.5])]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["data", "index", "embedding", "embeddings", "values", "float", "usage", "usageMetadata", "meta"]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.integers(1, 9).flatmap(lambda width: st.lists(st.lists(FLOATS, min_size=width, max_size=width), min_size=1)))
@settings(deadline=None, max_examples=60)
def test_vectors_survive_translation(vectors: list[list[float]]) -> None:
    """To the last bit, zeros below zero too."""
    texts = ["a"] * len(vectors)
    exact = [struct.pack(f"{len(vector)}d", *vector) for vector in vectors]
    for form in FORMS.values():
        name = form.name
        body = cohere_answer(vectors) if name == "cohere_embeddings" else gemini_answer(vectors)
        read = form.read_result(answer(*map(packed, vectors)) if name == "openai_embeddings" else body)
        for asked in ("float", "base64"):
            again = OPENAI.read_result(OPENAI.write_result(read, openai(input=texts, encoding_format=asked)))
            assert [struct.pack(f"{len(vector)}d", *vector) for vector in again.vectors] == exact
        again = GEMINI.read_result(GEMINI.write_result(read, batch(*texts)))
        assert [struct.pack(f"{len(vector)}d", *vector) for vector in again.vectors] == exact


@given(JSON | st.fixed_dictionaries({"data": st.lists(st.fixed_dictionaries({"embedding": JSON}))}), st.booleans())
@settings(deadline=None, max_examples=200)
def test_any_answer_is_one_or_is_none(said: Any, exact: bool) -> None:
    for raw in (bytes_of(said), bytes_of(said)[:-1]):
        for form, request in ((OPENAI, openai(dimensions=2)), (OPENAI, openai()), (GEMINI, batch(*TEXTS))):
            with contextlib.suppress(BadMessage, MalformedRequest):
                assert isinstance(form.forward_result(raw, request, exact=exact), Result)
        with contextlib.suppress(BadMessage):
            assert isinstance(COHERE.read_result(raw), Embeddings)
