"""Official SDKs before the gateway, Azure OpenAI and Vertex AI behind it: what is said, called, seen and refused is
what OpenAI's SDK hears from the simulator itself."""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from google.genai import types

from tests.e2e.crossings.crossing import Crossing, both_ways
from tests.e2e.crossings.test_tools import TOOL_QUESTIONS, _calls, _go_on
from tests.e2e.official import CLIENTS
from tests.e2e.official.chat import Chat
from tests.e2e.official.question import Question
from tests.running.processes import Gateway, Simulator

MODELS = ["gpt-5.4", "gpt-5.4-mini", "gemini-2.5-flash", "gemini-3-flash-preview"]
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(32)).decode()
to_each_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(scope="session")
def direct(simulator: Simulator) -> Iterator[Chat]:
    client = Chat(simulator.base_url.removesuffix("/v1"), "key")
    yield client
    client.close()


@pytest.fixture(scope="session", params=CLIENTS)
def crossing(request: pytest.FixtureRequest, hosted: Gateway, simulator: Simulator, direct: Chat) -> Iterator[Crossing]:
    client = CLIENTS[request.param](hosted.base_url.removesuffix("/v1"), hosted.key)
    yield Crossing(client, direct, simulator, {})
    client.close()


@both_ways
@to_each_model
def test_words_and_tokens(crossing: Crossing, model: str, streamed: bool) -> None:
    question = Question(words="Grüße, 世界 👋", system="Be brief.", before=("Hi", "Hello!"))
    wanted = crossing.heard_directly(question)
    since = crossing.seq
    said = crossing.ask(model, question, streamed)
    assert (said.text, said.end, said.model) == (wanted.text, crossing.client.ends[0], model)
    assert said.counts == crossing.vouched(since, said)
    assert crossing.truth(since)["wire"].startswith("vertex" if "gemini" in model else "azure_")


@both_ways
@to_each_model
@pytest.mark.parametrize("name", ["several at once", "after words"])
def test_tools(crossing: Crossing, model: str, streamed: bool, name: str) -> None:
    question = TOOL_QUESTIONS[name]
    said = crossing.ask(model, question, streamed)
    wanted = crossing.heard_directly(question)
    assert (said.text, _calls(said)) == (wanted.text, _calls(wanted))
    assert said.end == crossing.client.ends[1]
    _go_on(crossing, model, question, streamed, said)


@both_ways
@to_each_model
def test_a_refusal_is_told_in_the_providers_words(crossing: Crossing, model: str, streamed: bool) -> None:
    question = Question(plan={"status": 400, "error_message": "so be it"})
    with pytest.raises(crossing.client.refusals[400], match="so be it"):
        crossing.ask(model, question, streamed)


@to_each_model
@pytest.mark.parametrize("status", [401, 404, 429, 500])
def test_a_failure_is_told_without_the_credential(crossing: Crossing, model: str, status: int) -> None:
    plan = {"status": status, "error_message": "so be it", "retry_after_s": 0, "echo_authorization": True}
    with pytest.raises(crossing.client.broken) as failed:
        crossing.ask(model, Question(plan=plan), streamed=False)
    assert getattr(failed.value, "status_code", None) == 503 or failed.value.code == 503  # type: ignore[attr-defined]
    assert "azure-api-key" not in str(failed.value) and "token-" not in str(failed.value)


@to_each_model
@pytest.mark.parametrize("plan", [{"malformed": "error_event"}, {"malformed": "not_json"}, {"cut_after_bytes": 6000}])
def test_a_stream_that_breaks(crossing: Crossing, model: str, plan: dict[str, Any]) -> None:
    since = crossing.seq
    with pytest.raises(crossing.client.broken):
        crossing.ask(model, Question(plan={"output_tokens": 100, **plan}), streamed=True)
    assert crossing.truth(since)["tokens_sent"] > 0


URL = f"data:image/png;base64,{PNG}"
PICTURES: dict[str, list[Any]] = {
    "Chat": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": URL}}]}],
    "Responses": [{"role": "user", "content": [{"type": "input_image", "image_url": URL, "detail": "auto"}]}],
    "Messages": [
        {
            "role": "user",
            "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}],
        }
    ],
    "Gemini": [types.Content(parts=[types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")])],
}


@both_ways
@to_each_model
def test_pictures(crossing: Crossing, model: str, streamed: bool) -> None:
    said = crossing.ask(model, Question(), streamed, PICTURES[type(crossing.client).__name__])
    assert said.text
    assert PNG in str(crossing.simulator.get("/simulator/last_request")["body"])
