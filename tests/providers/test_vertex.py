"""What Vertex takes otherwise than AI Studio does: seen by Google's SDK as a client, and member by member."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google import genai
from google.genai import types

from faregate.core.errors import Inexpressible
from faregate.providers.vertex import adapted
from tests.running.client import Answer, Caller
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, Visit

from .test_azure import in_pieces

MODEL = "gemini-2.5-flash"
BASE = f"/v1beta/models/{MODEL}"
ANSWER = f"/models/{MODEL}:generateContent"
HELLO = {"role": "user", "parts": [{"text": "hello"}]}
CALL = {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f", "args": {"id": "kept", "store": 1.0}}}]}
RESULT = {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"id": "kept"}}}]}


def gemini(caller: Caller, verb: str, body: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return caller.ask("POST", f"{BASE}:{verb}", body, headers)


def last_body(simulator: Simulator) -> Any:
    return simulator.get("/simulator/last_request")["body"]


def test_a_turn_without_a_role_is_the_users(caller: Caller, simulator: Simulator) -> None:
    body = {"contents": [{"parts": [{"text": "hello"}]}], "labels": {"team": "search"}}
    assert gemini(caller, "generateContent", body).status == 200
    assert last_body(simulator) == {"contents": [HELLO], "labels": {"team": "search"}}


def test_ids_of_calls_are_left_out(caller: Caller, simulator: Simulator) -> None:
    body = {"contents": [HELLO, CALL, RESULT]}
    answer = gemini(caller, "generateContent", body)
    assert (answer.status, answer.header("x-faregate-dropped")) == (200, None)
    _, call, result = last_body(simulator)["contents"]
    assert call["parts"][0]["functionCall"] == {"name": "f", "args": {"id": "kept", "store": 1.0}}
    assert result["parts"][0]["functionResponse"] == {"name": "f", "response": {"id": "kept"}}


@pytest.mark.parametrize("verb", ["generateContent", "streamGenerateContent?alt=sse"])
def test_what_is_dropped_is_said(caller: Caller, simulator: Simulator, verb: str) -> None:
    body = {"contents": [HELLO], "store": True, "generation_config": {"enable_enhanced_civic_answers": True}}
    answer = gemini(caller, verb, body)
    assert answer.status == 200
    assert answer.header("x-faregate-dropped") == "store, generationConfig.enableEnhancedCivicAnswers"
    assert "store" not in last_body(simulator)


def test_where_nothing_may_be_dropped_it_is_refused(caller: Caller) -> None:
    body = {"contents": [HELLO], "store": True}
    refused = gemini(caller, "generateContent", body, {"x-faregate-strict": "true"})
    assert refused.status == 400 and "store" in refused.error["message"]


def test_what_would_change_the_answer_is_refused(caller: Caller) -> None:
    refused = gemini(caller, "generateContent", {"contents": [HELLO], "tools": [{"file_search": {"x": 1}}]})
    assert refused.status == 400 and "fileSearch" in refused.error["message"]


def test_googles_sdk_counts_and_streams(hosted: Gateway, simulator: Simulator) -> None:
    options = types.HttpOptions(base_url=hosted.base_url.removesuffix("/v1"))
    with genai.Client(api_key=hosted.key, http_options=options) as client:
        counted = client.models.count_tokens(model=MODEL, contents="hello there").total_tokens
        assert simulator.get("/simulator/last_request")["path"].endswith(f"/publishers/google{BASE[7:]}:countTokens")
        *_, last = client.models.generate_content_stream(model=MODEL, contents="hello there")
        assert last.usage_metadata is not None and last.usage_metadata.prompt_token_count == counted
        assert last.model_version == MODEL


def test_a_whole_request_is_counted(caller: Caller, simulator: Simulator) -> None:
    inner = {"model": f"models/{MODEL}", "contents": [{"parts": [{"text": "hello"}]}]}
    inner |= {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "toolConfig": {}, "safetySettings": []}
    answer = gemini(caller, "countTokens", {"generateContentRequest": inner})
    assert answer.json()["totalTokens"] > 1
    assert last_body(simulator) == {"contents": [HELLO], "systemInstruction": {"parts": [{"text": "Be brief."}]}}


def test_the_path_and_the_credential(caller: Caller, simulator: Simulator) -> None:
    gemini(caller, "generateContent", {"contents": [HELLO]})
    last = simulator.get("/simulator/last_request")
    place = "/v1/projects/acme.com:shop/locations/europe-west4/publishers/google/models"
    assert last["path"] == f"{place}/{MODEL}:generateContent"
    assert last["headers"]["authorization"].startswith("Bearer token-")
    assert "x-goog-api-key" not in last["headers"]


# (what AI Studio takes, what Vertex is told, what is reported)
BODIES: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ({"contents": [HELLO]}, {"contents": [HELLO]}, ()),
    ({"contents": [{"role": "", "parts": []}]}, {"contents": [{"role": "user", "parts": []}]}, ()),
    ({"store": False}, {}, ()),
    ({"store": None, "labels": {"store": "x"}}, {"labels": {"store": "x"}}, ()),
    (
        {"tools": [{"functionDeclarations": [{"name": "fileSearch"}], "fileSearch": {}}]},
        {"tools": [{"functionDeclarations": [{"name": "fileSearch"}]}]},
        ("tools.fileSearch",),
    ),
    (
        {"toolConfig": {"includeServerSideToolInvocations": True, "functionCallingConfig": {"mode": "ANY"}}},
        {"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}},
        ("toolConfig.includeServerSideToolInvocations",),
    ),
    (
        {"contents": [{"role": "user", "parts": [{"text": "x", "part_metadata": {"a": 1}}] * 2}]},
        {"contents": [{"role": "user", "parts": [{"text": "x"}] * 2}]},
        ("contents.parts.partMetadata",),
    ),
]


@pytest.mark.parametrize(("given", "told", "dropped"), BODIES)
def test_bodies(given: dict[str, Any], told: dict[str, Any], dropped: tuple[str, ...]) -> None:
    rendered = adapted(ANSWER, json.dumps(given).encode())
    assert (json.loads(rendered.body), rendered.dropped) == (told, dropped)
    assert adapted(ANSWER, rendered.body).body == rendered.body


@pytest.mark.parametrize("name", ["toolCall", "tool_response"])
def test_parts_that_cannot_be_told(name: str) -> None:
    body = json.dumps({"contents": [{"role": "model", "parts": [{name: {"id": "x"}}]}]}).encode()
    with pytest.raises(Inexpressible) as refused:
        adapted(ANSWER, body)
    assert refused.value.param in ("contents.parts.toolCall", "contents.parts.toolResponse")


def test_numbers_and_words_stay_as_they_were() -> None:
    body = b'{"contents":[{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"n":1.0e2,"u":"\\u00e9",'
    body += b'"big":123456789012345678901234567890}}}]}]}'
    assert adapted(ANSWER, body).body == body


# Vertex's own words, from a script: a first event with nothing but the kind of traffic, no indexes, no ids of calls.


def event(**members: Any) -> bytes:
    head = {"modelVersion": MODEL, "createTime": "2026-11-26T00:00:00.000000Z", "responseId": "r"}
    return b"data: %b\r\n\r\n" % json.dumps({**members, **head}).encode()


def part(text: str) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": [{"text": text}]}}


USED = {"promptTokenCount": 9, "candidatesTokenCount": 2, "totalTokenCount": 11, "trafficType": "ON_DEMAND"}
SAID = [
    event(usageMetadata={"trafficType": "ON_DEMAND"}),
    event(candidates=[part("Grü")], usageMetadata={"trafficType": "ON_DEMAND"}),
    event(candidates=[part("ße") | {"finishReason": "STOP", "avgLogprobs": -0.1}], usageMetadata=USED),
]
BLOCKED = [event(promptFeedback={"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "no"}, usageMetadata=USED)]


@pytest.fixture(scope="module")
def scripted_vertex(session_folder: Path, scripted: Upstream) -> Iterator[Gateway]:
    process = Gateway(
        session_folder,
        f"""
[providers.google-cloud]
kind = "vertex"
base_url = "http://127.0.0.1:{scripted.port}"
project = "p"
token = "ya29.static-token"
models = ["{MODEL}"]
""",
    )
    yield process
    process.stop()


def streaming(events: list[bytes], seed: int) -> Callable[[Visit], None]:
    def script(visit: Visit) -> None:
        visit.stream(*in_pieces(b"".join(events), seed))
        visit.end()

    return script


@pytest.mark.parametrize("seed", range(5))
def test_its_stream_is_geminis_to_the_byte(scripted_vertex: Gateway, scripted: Upstream, seed: int) -> None:
    scripted.play(streaming(SAID, seed))
    caller = Caller(scripted_vertex, model=MODEL)
    answer = gemini(caller, "streamGenerateContent?alt=sse", {"contents": [HELLO]})
    assert answer.body == b"".join(SAID)
    usage = caller.record(answer.header("x-request-id"))["usage"]
    assert (usage["input"], usage["output"], usage["source"]) == (9, 2, "provider")


@pytest.mark.parametrize("seed", range(5))
def test_its_stream_translated(scripted_vertex: Gateway, scripted: Upstream, seed: int) -> None:
    scripted.play(streaming(SAID, seed))
    answer = Caller(scripted_vertex, model=MODEL).streamed(stream_options={"include_usage": True})
    assert answer.text == "Grüße"
    assert answer.events[-2]["usage"]["total_tokens"] == 11
    scripted.play(streaming(BLOCKED, seed))
    answer = Caller(scripted_vertex, model=MODEL).streamed()
    assert [event["choices"][0]["finish_reason"] for event in answer.events[:-1]][-1] == "content_filter"


def test_its_refusals(scripted_vertex: Gateway, scripted: Upstream) -> None:
    words = {"error": {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}}
    scripted.play(lambda visit: visit.whole(400, json.dumps([words]).encode()))
    caller = Caller(scripted_vertex, model=MODEL)
    refused = gemini(caller, "streamGenerateContent?alt=sse", {"contents": [HELLO]})
    assert (refused.status, refused.error["message"]) == (400, "Request contains an invalid argument.")
    scripted.play(lambda visit: visit.whole(403, b"<html>ya29.static-token</html>", "text/html"))
    refused = caller.chat()
    assert refused.status == 503 and b"ya29" not in refused.body
