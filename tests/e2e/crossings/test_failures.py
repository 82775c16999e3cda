"""What goes wrong, as the SDK's own exceptions."""

import re
from typing import Any

import pytest

from tests.e2e.official import CLIENTS
from tests.e2e.official.chat import Chat
from tests.e2e.official.gemini import Gemini
from tests.e2e.official.messages import Messages
from tests.e2e.official.question import Question
from tests.e2e.official.responses import Responses

from .crossing import FIRST_MODELS, Crossing, both_ways, to_each_dialect


@both_ways
@pytest.mark.parametrize("name", CLIENTS)
def test_a_bad_key(origin: str, name: str, streamed: bool) -> None:
    client = CLIENTS[name](origin, "fg-nobodys-key")
    with pytest.raises(client.refusals[401]) as refused:
        (client.stream if streamed else client.whole)("gpt-5.4", Question(), client.turns(Question()))
    assert _status(refused.value) == 401
    client.close()


@both_ways
def test_no_such_model(crossing: Crossing, streamed: bool) -> None:
    with pytest.raises(crossing.client.refusals[404]) as refused:
        crossing.ask("nobodys-model", Question(), streamed)
    assert _status(refused.value) == 404
    assert "nobodys-model" in str(refused.value)


@both_ways
@to_each_dialect
def test_what_is_malformed(crossing: Crossing, model: str, streamed: bool) -> None:
    for question, turns in ((Question(), crossing.client.nobodys), (Question(limit=-1), None)):
        with pytest.raises(crossing.client.refusals[400]) as refused:
            crossing.ask(model, question, streamed, turns)
        assert _status(refused.value) == 400


OWN = {
    Chat: {"gpt-5.4", "mistral-medium-3-5"},
    Responses: {"gpt-5.4-mini"},
    Messages: {"claude-sonnet-4-6"},
    Gemini: {"gemini-3-flash-preview"},
}


@both_ways
def test_a_picture_that_is_none_is_told_by_its_place(crossing: Crossing, streamed: bool) -> None:
    """Wherever it would have to be translated to; a provider of the client's own dialect sees for itself."""
    turns, place = crossing.client.blind
    for model in FIRST_MODELS:
        if model in OWN[type(crossing.client)]:
            continue
        with pytest.raises(crossing.client.refusals[400], match=re.escape(place)):
            crossing.ask(model, Question(), streamed, turns)


@both_ways
@to_each_dialect
def test_what_the_provider_refuses_is_told_in_its_words(crossing: Crossing, model: str, streamed: bool) -> None:
    question = Question(plan={"status": 400, "error_message": "so be it"})
    with pytest.raises(crossing.client.refusals[400], match="so be it"):
        crossing.ask(model, question, streamed)


# What a provider's failure is to the client: 401 is the gateway's own key, and none of the client's business.
FAILURES = {401: 503, 403: 503, 500: 503, 503: 503, 429: 503}


@both_ways
@to_each_dialect
@pytest.mark.parametrize("status", FAILURES)
def test_a_provider_that_fails(crossing: Crossing, model: str, streamed: bool, status: int) -> None:
    question = Question(
        plan={"status": status, "error_message": "so be it", "retry_after_s": 0, "echo_authorization": True}
    )
    with pytest.raises(crossing.client.broken) as failed:
        crossing.ask(model, question, streamed)
    assert _status(failed.value) == FAILURES[status]
    assert "simulator-key" not in str(failed.value)
    assert "Signature=" not in str(failed.value)


BREAKS: dict[str, dict[str, Any]] = {
    "an error": {"malformed": "error_event"},
    "no JSON": {"malformed": "not_json"},
    "a cut": {"cut_after_bytes": 4000},
}


@to_each_dialect
@pytest.mark.parametrize("name", BREAKS)
def test_a_stream_that_breaks(crossing: Crossing, model: str, name: str) -> None:
    question = Question(plan={"output_tokens": 100, **BREAKS[name]})
    since = crossing.seq
    with pytest.raises(crossing.client.broken) as broken:
        crossing.ask(model, question, streamed=True)
    assert str(broken.value)
    assert crossing.truth(since)["tokens_sent"] > 0


def test_a_binary_stream_with_a_wrong_checksum(crossing: Crossing) -> None:
    question = Question(plan={"output_tokens": 100, "malformed": "bad_checksum"})
    with pytest.raises(crossing.client.broken):
        crossing.ask("claude-opus-4-5", question, streamed=True)
    said = crossing.ask("claude-opus-4-5", Question(), streamed=True)
    assert said.text == crossing.heard_directly(Question()).text


def _status(error: Any) -> int:
    """The status that an exception of any of the SDKs has."""
    return error.status_code if hasattr(error, "status_code") else error.code
