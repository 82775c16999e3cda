"""What is heard of an answer on its way, however it was cut into pieces."""

import itertools
import json
import random
from typing import Any

import pytest

from faregate.core.conversation import Choice, Refusal, Text, Thinking, ToolCall
from faregate.core.events import Completion
from faregate.core.schema import schema_of
from faregate.dialects import Asked
from faregate.dialects.gemini_generate import GeminiGenerate
from faregate.dialects.openai_chat import OpenAIChat
from faregate.flow.overhearing import Overheard, fault_of, texts_of

CHAT_BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
GEMINI_BODY = b'{"contents":[{"parts":[{"text":"hi"}]}]}'


def chat_stream(*choices: dict[str, Any], ending: bytes = b"data: [DONE]\n\n") -> bytes:
    chunks = [{"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]} for choice in choices]
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + ending


def said(text: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}}


def ended(reason: str, index: int = 0) -> dict[str, Any]:
    return {"index": index, "delta": {}, "finish_reason": reason}


def heard_in_chat(body: bytes, seed: int = 0) -> list[str]:
    dialect = OpenAIChat()
    overheard = Overheard(dialect.forward_stream(dialect.parse_request(CHAT_BODY), exact=True), dialect.parser())
    out = b"".join(overheard.feed(piece) for piece in cut(body, seed)) + overheard.close()
    assert out + overheard.observed.ending == body
    return overheard.texts()


def cut(body: bytes, seed: int) -> list[bytes]:
    draw = random.Random(seed)
    places = sorted({0, len(body), *(draw.randrange(len(body)) for _ in range(draw.randrange(20)))})
    return [body[start:end] for start, end in itertools.pairwise(places)]


@pytest.mark.parametrize("seed", range(20))
def test_words_are_heard_by_choice(seed: int) -> None:
    body = chat_stream(said("a", 0), said("x", 1), said("é", 0), ended("stop", 1), said("c", 0), ended("stop", 0))
    assert sorted(heard_in_chat(body, seed)) == ["aéc", "x"]


@pytest.mark.parametrize("reason", ["length", "content_filter", "tool_calls"])
def test_what_is_not_complete_is_no_text(reason: str) -> None:
    assert heard_in_chat(chat_stream(said("a"), said("b", 1), ended(reason), ended("stop", 1))) == ["b"]


def test_a_refusal_and_a_call_are_no_text() -> None:
    refused = {"index": 0, "delta": {"refusal": "no"}}
    called = {"index": 1, "delta": {"tool_calls": [{"index": 0, "id": "t", "function": {"name": "f"}}]}}
    assert heard_in_chat(chat_stream(refused, called, ended("stop"), ended("stop", 1))) == []


def test_nothing_said_is_the_empty_text() -> None:
    assert heard_in_chat(chat_stream(ended("stop"))) == [""]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("query", [{}, {"alt": "sse"}], ids=["array", "events"])
def test_a_gemini_stream_is_heard_in_both_forms(seed: int, query: dict[str, str]) -> None:
    """Words with all that could be taken for the array's own signs."""
    words = ['[{"a":', "]},\r\n[", "] "]
    last = len(words) - 1
    pieces = [
        {
            "candidates": [
                {"content": {"parts": [{"text": text}]}, **({"finishReason": "STOP"} if number == last else {})}
            ]
        }
        for number, text in enumerate(words)
    ]
    body = b"".join(b"data: %b\n\n" % json.dumps(piece).encode() for piece in pieces)
    dialect = GeminiGenerate()
    request = dialect.parse_request(GEMINI_BODY, Asked("m:streamGenerateContent", query))
    assert request.is_array == (not query)
    stream = dialect.forward_stream(request, exact=True)
    overheard = Overheard(stream, dialect.parser(), is_array=request.is_array)
    out = b"".join(overheard.feed(piece) for piece in cut(body, seed)) + overheard.close()
    out += overheard.observed.ending
    assert out == body if query else json.loads(out) == pieces
    assert overheard.texts() == ["".join(words)]


def test_a_whole_answer_is_its_words() -> None:
    choices = [
        Choice(parts=(Thinking(text="hm"), Text("a"), Text("b"))),
        Choice(parts=(Text("cut"),), reason="length"),
        Choice(parts=(Text("c"), ToolCall(id="t", name="f"))),
        Choice(parts=(Refusal("no"),)),
        Choice(),
    ]
    assert texts_of(Completion(choices=choices)) == ["ab", ""]


def test_the_first_fault_is_told_with_its_text() -> None:
    schema = schema_of(b'{"type":"integer"}', "p")
    assert fault_of(schema, []) == fault_of(schema, ["1", "2"]) == ("", "")
    text, fault = fault_of(schema, ["1", '"x"', "no JSON"])
    assert text == '"x"'
    assert "is not of type" in fault
