"""Conversations that the SDK, or the gateway, remembers for its caller."""

from collections.abc import Iterator

import pytest
from google.genai import types

from tests.e2e.official.gemini import Gemini
from tests.e2e.official.responses import Responses
from tests.running.processes import Gateway

from .crossing import ALL_MODELS, BUDGETED, both_ways, to_each_dialect


@pytest.fixture(scope="module")
def gemini(origin: str, crossing_gateway: Gateway) -> Iterator[Gemini]:
    client = Gemini(origin, crossing_gateway.key)
    yield client
    client.close()


@pytest.fixture(scope="module")
def responses(origin: str, crossing_gateway: Gateway) -> Iterator[Responses]:
    client = Responses(origin, crossing_gateway.key)
    yield client
    client.close()


def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"12 degrees in {city}"


@both_ways
@pytest.mark.parametrize("model", ALL_MODELS)
def test_a_chat_of_googles_sdk_that_calls_its_functions_itself(gemini: Gemini, model: str, streamed: bool) -> None:
    amount = {"thinking_budget": 1024} if model in BUDGETED else {"thinking_level": types.ThinkingLevel.LOW}
    thinking = types.ThinkingConfig(include_thoughts=True, **amount)  # pyright: ignore[reportArgumentType]
    config = types.GenerateContentConfig(tools=[get_weather], thinking_config=thinking)
    chat = gemini.sdk.chats.create(model=model, config=config)
    for words in ("How is the weather?", "And tomorrow?"):
        if streamed:
            said = [chunk.text or "" for chunk in chat.send_message_stream(words)]
            assert "".join(said)
        else:
            assert chat.send_message(words).text
    called = [part.function_call for turn in chat.get_history() for part in turn.parts or () if part.function_call]
    assert [call.name for call in called] == ["get_weather"] * 2


@both_ways
@to_each_dialect
def test_a_response_is_gone_on_from(responses: Responses, model: str, streamed: bool) -> None:
    def respond(words: str, previous: str | None) -> str:
        if not streamed:
            made = responses.sdk.responses.create(model=model, input=words, previous_response_id=previous)
            assert made.output_text
            return made.id
        with responses.sdk.responses.stream(model=model, input=words, previous_response_id=previous) as stream:  # pyright: ignore[reportArgumentType]
            final = stream.get_final_response()
        assert final.output_text
        return final.id

    first = respond("Hello", None)
    second = respond("And then?", first)
    items = responses.sdk.responses.input_items.list(second, order="asc").data
    assert [getattr(item, "role", None) for item in items] == ["user", "assistant", "user"]
