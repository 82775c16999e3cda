"""The Gemini dialect, beside its fixtures: framing, forwarding, the words of refusals, what is made for a model."""

import json
import random
from typing import Any

import pytest

from faregate.core.catalog import Capabilities
from faregate.core.chat import ChatRequest
from faregate.core.conversation import Conversation, Function, Message, Reasoning, Text, ToolCall, ToolResult
from faregate.core.errors import Inexpressible, MalformedRequest
from faregate.core.events import ArgumentsDelta, Finished, Started, TextDelta, ToolCallStarted
from faregate.dialects import Addressee, Asked, StreamTransform
from faregate.dialects.gemini_generate import GeminiGenerate
from faregate.wire.messages import BadMessage

GEMINI = GeminiGenerate()
USER = Message("user", (Text("hi"),))


def piece(text: str, *, ends: bool = False) -> bytes:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
    answer = {"candidates": [candidate | ({"finishReason": "STOP"} if ends else {})], "usageMetadata": usage}
    return b"data: " + json.dumps(answer | {"modelVersion": "m"}).encode() + b"\r\n\r\n"


def request_of(verb: str = "streamGenerateContent", query: dict[str, str] | None = None, **members: Any) -> ChatRequest:
    body = {"contents": [{"parts": [{"text": "hi"}]}]} | members
    return GEMINI.parse_request(json.dumps(body).encode(), Asked(f"m:{verb}", query or {}))


def fed(transform: StreamTransform, raw: bytes, seed: int) -> bytes:
    dice, out = random.Random(seed), b""
    while raw:
        size = dice.choice((1, 5, 60, 500))
        out += transform.feed(raw[:size])
        raw = raw[size:]
    return out + transform.close() + transform.observed.ending


def written(conversation: Conversation, **capabilities: Any) -> dict[str, Any]:
    addressee = Addressee(model="m", capabilities=Capabilities(**capabilities))
    return json.loads(GEMINI.render_request(conversation, addressee).body)


@pytest.mark.parametrize("seed", range(10))
def test_an_exact_stream_is_relayed_to_the_byte(seed: int) -> None:
    raw = piece("a") + piece("b", ends=True)
    transform = GEMINI.forward_stream(request_of(query={"alt": "sse"}), exact=True)
    assert fed(transform, b": comment\n\n" + raw, seed) == raw
    assert transform.observed.finished
    assert transform.observed.usage is not None


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("exact", [True, False])
def test_without_alt_a_stream_is_an_array(seed: int, exact: bool) -> None:
    transform = GEMINI.forward_stream(request_of(), exact=exact)
    found = json.loads(fed(transform, piece("a") + piece("b", ends=True), seed))
    texts = [each["candidates"][0]["content"]["parts"][0]["text"] for each in found]
    assert texts[:2] == ["a", "b"]
    assert found[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_stream_without_its_last_word_has_not_finished() -> None:
    transform = GEMINI.forward_stream(request_of(), exact=True)
    transform.feed(piece("a"))
    transform.close()
    assert not transform.observed.finished


def test_an_array_that_fails_is_still_json() -> None:
    request = request_of()
    assert json.loads(GEMINI.render_stream_error(503, {"message": "x"}, request))[0]["error"]["status"] == "UNAVAILABLE"
    begun = GEMINI.renderer(request).render(TextDelta("a"))
    found = json.loads(begun + GEMINI.render_stream_error(503, {"message": "x"}, request))
    assert found[1]["error"]["code"] == 503


def test_arguments_that_are_no_object_are_told() -> None:
    renderer = GEMINI.renderer(request_of(query={"alt": "sse"}))
    for event in (
        Started("r", "m"),
        ToolCallStarted(call=0, id="c", name="f"),
        ArgumentsDelta(call=0, text='{"x":'),
        Finished(reason="tool_calls"),
    ):
        assert renderer.render(event) == b""
    candidate = json.loads(renderer.finish()[0].removeprefix(b"data: "))["candidates"][0]
    assert candidate["finishReason"] == "MALFORMED_FUNCTION_CALL"


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text"),
        ({"generationConfig": {"topK": "x"}}, "generationConfig.topK"),
        ({"generation_config": {"max_output_tokens": 0}}, "generationConfig.maxOutputTokens"),
        ({"generationConfig": {"topK": 1, "top_k": 2}}, "generationConfig.topK"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": [{"inlineData": {"data": "?"}}]}]}, "contents[0].parts[0].inlineData.data"),
        (
            {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]},
            "contents[0].parts[0].functionResponse",
        ),
    ],
)
def test_what_does_not_fit_is_named(members: dict[str, Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        GEMINI.understand(request_of(**members))
    assert caught.value.param == param


def test_a_body_cannot_name_another_model_and_is_capped() -> None:
    request = request_of(model="models/dear", generation_config={"max_output_tokens": 100, "topK": 3})
    request.output_tokens_cap = 7
    sent = json.loads(GEMINI.forward_request(request, "up"))
    assert "model" not in sent
    assert sent["generationConfig"] == {"max_output_tokens": 7, "topK": 3}


def test_results_are_one_turn_in_the_order_of_their_calls() -> None:
    calls = tuple(ToolCall(id=each, name="f") for each in "abc")
    results = tuple(ToolResult(call_id=each, parts=(Text(each),)) for each in "ba")
    conversation = Conversation(messages=(USER, Message("assistant", calls), Message("user", results)))
    contents = written(conversation, thought_signatures=True)["contents"]
    responses = [part["functionResponse"] for part in contents[2]["parts"]]
    assert [each["id"] for each in responses] == ["a", "b", "c"]
    assert responses[0]["response"] == {"result": "a"}
    assert "error" in responses[2]["response"]
    proofs = [part.get("thoughtSignature") for part in contents[1]["parts"]]
    assert proofs == ["skip_thought_signature_validator", None, None]


@pytest.mark.parametrize(
    ("thinking", "effort", "expected"),
    [
        ("budget", "none", {"thinkingBudget": 0}),
        ("budget", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("level", "high", {"thinkingLevel": "high", "includeThoughts": True}),
        ("level", "none", {"thinkingLevel": "minimal"}),
    ],
)
def test_thinking_is_asked_for_as_the_model_takes_it(thinking: str, effort: Any, expected: object) -> None:
    conversation = Conversation(messages=(USER,), reasoning=Reasoning(effort=effort))
    assert written(conversation, thinking=thinking)["generationConfig"]["thinkingConfig"] == expected


def test_a_schema_that_refers_elsewhere_is_refused() -> None:
    schema: Any = json.dumps({"$ref": "https://example.com/a"}).encode()
    with pytest.raises(Inexpressible) as caught:
        written(Conversation(messages=(USER,), tools=(Function(name="f", parameters=schema),)))
    assert caught.value.param == "tools[0]"


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b"{}", b'{"error":{"code":500}}', b'{"candidates":[{"finishReason":"OTHER"}]}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(BadMessage):
        GEMINI.parse_result(body)
