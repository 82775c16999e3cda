"""Google's SDK talks to the simulator as it does to Vertex."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types
from google.oauth2.credentials import Credentials

from .conftest import Simulated

MODEL = "gemini-2.5-flash"
BASE = f"/v1/projects/p/locations/us-central1/publishers/google/models/{MODEL}"
HELLO = {"role": "user", "parts": [{"text": "hello"}]}
WEATHER = {"name": "weather", "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}}}


@pytest.fixture(scope="module", params=["v1", "v1beta1"])
def client(simulated: Simulated, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{simulated.port}", api_version=request.param)
    credentials = Credentials(token="ya29.token")  # type: ignore[no-untyped-call]
    with genai.Client(
        vertexai=True, project="p", location="us-central1", credentials=credentials, http_options=options
    ) as client:
        yield client


def test_an_answer_and_a_stream_say_the_same(client: genai.Client, simulated: Simulated, since: int) -> None:
    whole = client.models.generate_content(model=MODEL, contents="hello")
    pieces = list(client.models.generate_content_stream(model=MODEL, contents="hello"))
    assert whole.text and "".join(piece.text or "" for piece in pieces) == whole.text
    assert pieces[-1].usage_metadata == whole.usage_metadata
    assert [entry["wire"] for entry in simulated.truth(since, 2)] == ["vertex", "vertex"]


def test_labels_are_taken_and_tokens_counted(client: genai.Client) -> None:
    labelled = types.GenerateContentConfig(labels={"team": "search"})
    used = client.models.generate_content(model=MODEL, contents="hello", config=labelled).usage_metadata
    counted = client.models.count_tokens(model=MODEL, contents="hello").total_tokens
    assert used is not None and used.prompt_token_count == counted
    told = types.CountTokensConfig(system_instruction="Be brief.", tools=[types.Tool(function_declarations=[WEATHER])])  # type: ignore[list-item]
    more = client.models.count_tokens(model=MODEL, contents="hello", config=told).total_tokens
    assert more is not None and counted is not None and more > counted


def test_calls_have_no_ids_in_v1(simulated: Simulated) -> None:
    body = {"contents": [HELLO], "tools": [{"functionDeclarations": [WEATHER]}]}
    path = BASE.replace(MODEL, "gemini-3-flash")
    answer = simulated.post(body, f"{path}:generateContent", "token").json()
    (call,) = (part["functionCall"] for part in answer["candidates"][0]["content"]["parts"] if "functionCall" in part)
    assert call["name"] == "weather" and "id" not in call


def content(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


CALL = content({"functionCall": {"id": "1", "name": "f", "args": {}}}, role="model")
RESULT = content({"functionResponse": {"id": "1", "name": "f", "response": {}}})
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("generateContent", {"contents": [{"parts": [{"text": "x"}]}]}, "valid role"),
    ("generateContent", {"contents": [HELLO], "store": True}, '"store"'),
    ("generateContent", {"contents": [HELLO, CALL, RESULT]}, "contents[1].parts[0].function_call"),
    ("generateContent", {"contents": [HELLO], "tools": [{"fileSearch": {}}]}, "\"fileSearch\" at 'tools[0]'"),
    ("generateContent", {"contents": [HELLO], "generationConfig": {"enableEnhancedCivicAnswers": True}}, "Civic"),
    ("countTokens", {"generateContentRequest": {"contents": [HELLO]}}, '"generateContentRequest"'),
]


@pytest.mark.parametrize(("verb", "body", "words"), REFUSED)
def test_what_only_ai_studio_takes_is_refused(
    simulated: Simulated, verb: str, body: dict[str, Any], words: str
) -> None:
    refused = simulated.post(body, f"{BASE}:{verb}", "token")
    assert (refused.status, refused.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert words in refused.json()["error"]["message"]


def test_a_key_is_no_token(simulated: Simulated) -> None:
    refused = simulated.post({"contents": [HELLO]}, f"{BASE}:generateContent", None, {"x-goog-api-key": "AIza"})
    assert (refused.status, refused.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


def test_its_errors_are_the_sdks(client: genai.Client) -> None:
    plan = types.HttpOptions(extra_body={"simulator": {"status": 429}})
    with pytest.raises(errors.ClientError) as refused:
        config = types.GenerateContentConfig(http_options=plan)
        client.models.generate_content(model=MODEL, contents="hello", config=config)
    assert refused.value.code == 429
