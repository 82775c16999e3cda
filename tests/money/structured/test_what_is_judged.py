"""What is held against a JSON Schema, in each client's dialect, and what is paid for it (I12)."""

import json
import threading
from collections.abc import Callable

import pytest

from faregate.core.conversation import Choice, Refusal, Text
from tests.running.upstreams import STREAM_HEAD, Upstream, Visit, chunk_of

from ..books import Customer, cost_of
from .judging import (
    BAD,
    CALL,
    CHAT,
    GEMINI,
    GOOD,
    HELD,
    MESSAGES,
    ONCE,
    RESPONSES,
    SCHEMA,
    TOOLS,
    TWICE,
    answering,
    asked,
    every_client,
    every_pair,
    paid,
    said_by,
    way,
)


@every_client
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        CALL,
        Choice(parts=(Text('{"numb'),), reason="length"),
        Choice(parts=(Refusal("I will not."),), reason="refusal"),
        Choice(parts=(Text("I can"),), reason="content_filter"),
    ],
    ids=["tool call", "length", "refusal", "filtered"],
)
def test_what_is_no_value_is_not_judged(
    client: str, stream: bool, said: Choice, customer: Callable[..., Customer], scripted: Upstream
) -> None:
    visits = scripted.play(answering(CHAT, said))
    mine = customer()
    answer = asked(mine, way(client, "of-openai_chat", stream=stream, **TOOLS[client]), HELD)
    assert answer.status == 200
    assert len(visits) == 1
    paid(mine, answer, ONCE, 1)


@pytest.mark.parametrize("stream", [False, True])
def test_each_of_several_choices_is_judged(stream: bool, customer: Callable[..., Customer], scripted: Upstream) -> None:
    def two(first: str, second: str) -> list[Choice]:
        return [Choice(parts=(Text(first),)), Choice(parts=(Text(second),))]

    scripted.play(answering(CHAT, two(GOOD, BAD), two(GOOD, GOOD)))
    mine = customer()
    answer = asked(mine, way(CHAT, "of-openai_chat", stream=stream, n=2), HELD)
    assert said_by(CHAT, answer, stream=stream).count("7") == 2
    paid(mine, answer, TWICE, 2)
    scripted.play(answering(CHAT, two(BAD, GOOD), two(GOOD, BAD)))
    assert asked(mine, way(CHAT, "of-openai_chat", stream=stream, n=2), HELD).status == 422


@every_pair
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.contract("5.4")
def test_a_stream_that_is_passed_on_is_judged_at_its_end(
    client: str, upstream: str, array: bool, customer: Callable[..., Customer], scripted: Upstream
) -> None:
    if array and client != GEMINI:
        pytest.skip("only Gemini has arrays")
    how = way(client, f"of-{upstream}", stream=True, array=array)
    mine = customer()
    visits = scripted.play(answering(upstream, GOOD))
    answer = asked(mine, how)
    assert said_by(client, answer, stream=True) == GOOD
    assert b"schema_validation_failed" not in answer.body
    paid(mine, answer, ONCE, 1)
    other = customer()
    visits = scripted.play(answering(upstream, BAD))
    answer = asked(other, how)
    assert answer.status == 200
    assert b"is not of type" in answer.body
    assert b"seven" in answer.body
    assert len(visits) == 1
    record = paid(other, answer, ONCE, 1, 422)
    assert record["error_kind"] == "schema_validation_failed"


def test_a_held_array_is_asked_for_again(customer: Callable[..., Customer], scripted: Upstream) -> None:
    scripted.play(answering(GEMINI, BAD, GOOD))
    mine = customer()
    answer = asked(mine, way(GEMINI, "of-gemini_generate", stream=True, array=True), HELD)
    assert said_by(GEMINI, answer, stream=True) == GOOD
    assert BAD.encode() not in answer.body
    paid(mine, answer, TWICE, 2)


def test_a_held_stream_that_is_too_large_costs_nothing(customer: Callable[..., Customer], scripted: Upstream) -> None:
    scripted.play(answering(CHAT, "x" * 3_000_000))
    mine = customer()
    answer = asked(mine, way(CHAT, "of-openai_chat", stream=True), HELD)
    assert answer.status == 503
    assert mine.settled(answer.header("x-request-id")).charged == mine.spent == 0


@pytest.mark.parametrize(("attempt", "status"), [(1, 503), (2, 422)])
def test_a_held_stream_that_breaks_costs_nothing_itself(
    attempt: int, status: int, customer: Callable[..., Customer], scripted: Upstream
) -> None:
    say = answering(CHAT, BAD)

    def script(visit: Visit) -> None:
        if len(scripted.visits) < attempt:
            say(visit)
        else:
            visit.stream(b'data: {"choices":[{"index":0,"delta":{"content":"{"}}]}\n\n')
            visit.reset()

    scripted.play(script)
    mine = customer()
    answer = asked(mine, way(CHAT, "of-openai_chat", stream=True), HELD)
    assert answer.status == status
    paid(mine, answer, (attempt - 1) * ONCE, attempt, status)


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_client_that_leaves_pays_for_what_was_answered(
    attempt: int, customer: Callable[..., Customer], scripted: Upstream
) -> None:
    """Nothing for an answer that was under way, of which it was given nothing."""
    say = answering(CHAT, BAD)
    begun = threading.Event()
    left = threading.Event()

    def script(visit: Visit) -> None:
        if len(scripted.visits) < attempt:
            say(visit)
            return
        visit.send(STREAM_HEAD + chunk_of(b'data: {"choices":[{"index":0,"delta":{"content":"{"}}]}\n\n'))
        begun.set()
        visit.until_gone()
        left.set()

    scripted.play(script)
    mine = customer()
    how = way(CHAT, "of-openai_chat", stream=True)
    with mine.open() as connection:
        connection.send(mine.bytes_of("POST", how.path, how.body, HELD | {"x-request-id": f"leaves-{attempt}"}))
        assert begun.wait(10)
    assert left.wait(10)
    line = mine.log_line(f"leaves-{attempt}")
    reservation = mine.settled(line["id"])
    assert reservation.charged == mine.spent == (attempt - 1) * ONCE


def test_a_key_holds_for_both_attempts(customer: Callable[..., Customer], scripted: Upstream) -> None:
    for answers, status in (([BAD, GOOD], 200), ([BAD, BAD], 422)):
        visits = scripted.play(answering(CHAT, *answers))
        mine = customer()
        headers = {"idempotency-key": f"key-{status}"}
        first = asked(mine, way(CHAT, "of-openai_chat"), headers)
        second = asked(mine, way(CHAT, "of-openai_chat"), headers)
        assert (first.status, second.status, first.body) == (status, status, second.body)
        assert second.header("x-faregate-replayed") == "true"
        assert len(visits) == 2
        paid(mine, first, TWICE, 2, status)


@pytest.mark.contract("5.4")
def test_the_hold_covers_both_attempts(customer: Callable[..., Customer], scripted: Upstream) -> None:
    """The second with the first answer as its prompt; a quote says the same."""
    scripted.play(answering(CHAT, GOOD, GOOD))
    mine = customer()
    how = way(CHAT, "of-openai_chat", max_tokens=1000)
    held = mine.settled(asked(mine, how).header("x-request-id")).hold
    plain = {name: value for name, value in how.body.items() if name != "response_format"}
    once = mine.settled(mine.ask("POST", how.path, plain).header("x-request-id")).hold
    assert 2 * once + cost_of(1000, 0) < held < 2 * once + cost_of(4000, 0)
    quoted = mine.ask("POST", "/v1/quote", {"path": how.path, "body": how.body}).json()
    assert float(quoted["held"]) * 1e9 == pytest.approx(held, abs=1)


def test_a_low_balance_lowers_both_attempts(customer: Callable[..., Customer], scripted: Upstream) -> None:
    visits = scripted.play(answering(CHAT, BAD, GOOD))
    mine = customer("0.05")  # twice 20000 tokens, and the first again as prompt, would be more
    answer = asked(mine, way(CHAT, "of-openai_chat"))
    assert answer.status == 200
    reservation = mine.settled(answer.header("x-request-id"))
    assert reservation.charged == TWICE
    assert reservation.hold <= 50_000_000
    first, second = (visit.json().get("max_tokens") or visit.json().get("max_completion_tokens") for visit in visits)
    assert 4096 <= first == second < 20_000
    assert f"={first}" in (answer.header("x-faregate-adjusted") or "")
    poor = customer("0.02")
    assert asked(poor, way(CHAT, "of-openai_chat")).status == 402


LISTS = {CHAT: "messages", RESPONSES: "input", MESSAGES: "messages", GEMINI: "contents"}


@every_client
def test_what_the_gateway_does_not_know_is_sent_again(
    client: str, customer: Callable[..., Customer], scripted: Upstream
) -> None:
    """All of the body as it came, however deep it stands; only the messages go on."""
    visits = scripted.play(answering(client, BAD, GOOD))
    how = way(client, f"of-{client}", vendor_thing={"deep": [1, 2.5]})
    messages = how.body[LISTS[client]]
    if client == GEMINI:
        messages[0]["parts"][0]["vendor_thing"] = {"a": 1}
        how.body["generationConfig"]["vendor_thing"] = 7
    elif client != RESPONSES:  # there it is a text
        messages[0]["vendor_thing"] = {"a": 1}
    assert asked(customer(), how).status == 200
    first, second = (visit.json() for visit in visits)
    asked_first, asked_again = first.pop(LISTS[client]), second.pop(LISTS[client])
    assert first == second
    assert first["vendor_thing"] == {"deep": [1, 2.5]}
    text = [{"role": "user", "content": "a number"}]
    assert asked_again[:1] == (text if client == RESPONSES else asked_first)
    assert BAD in json.dumps(asked_again[1]).replace("\\", "")
    assert len(asked_again) == 3


def test_a_provider_that_sees_to_it_is_not_judged(customer: Callable[..., Customer], scripted: Upstream) -> None:
    scripted.play(answering(CHAT, BAD))
    mine = customer()
    answer = asked(mine, way(CHAT, "keeps"))
    assert said_by(CHAT, answer) == BAD
    paid(mine, answer, ONCE, 1)


@every_client
def test_a_schema_that_is_none_is_refused_before_anything_is_held(
    client: str, customer: Callable[..., Customer], scripted: Upstream
) -> None:
    visits = scripted.play(answering(CHAT))
    how = way(client, "of-openai_chat")
    body = json.loads(json.dumps(how.body).replace(json.dumps(SCHEMA), '{"$ref":"https://example.com/x"}'))
    mine = customer()
    answer = mine.ask("POST", how.path, body)
    assert answer.status == 400
    assert "'https://example.com/x', which is not part of it" in answer.json()["error"]["message"]
    assert (visits, mine.spent, mine.leased) == ([], 0, 0)
