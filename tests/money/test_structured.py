"""Answers that must keep to a JSON Schema, in each client's dialect: judged, asked for once more, paid for (I12)."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from faregate.core.conversation import Choice, Refusal, Text, ToolCall
from faregate.core.events import (
    ArgumentsDelta,
    Completion,
    Event,
    Finished,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from faregate.core.usage import Usage, UsageSource
from faregate.dialects import Asked
from faregate.dialects.table import DIALECTS
from tests.running.client import Answer
from tests.running.processes import Gateway
from tests.running.upstreams import STREAM_HEAD, Upstream, Visit, chunk_of

from .books import RATES, Books, Customer, cost_of, customer_of

CHAT, RESPONSES, MESSAGES, GEMINI = "openai_chat", "openai_responses", "anthropic_messages", "gemini_generate"
CLIENTS = [CHAT, RESPONSES, MESSAGES, GEMINI]
HELD = {"x-faregate-structured": "strict"}
SCHEMA = {
    "type": "object",
    "properties": {"number": {"type": "integer"}},
    "required": ["number"],
    "additionalProperties": False,
}
GOOD, BAD = '{"number":7}', '{"number":"seven"}'
PROMPT, COMPLETION = 11, 5
ONCE = cost_of(PROMPT, COMPLETION)
TWICE = 2 * ONCE


@pytest.fixture(scope="module")
def house(session_folder: Path, scripted: Upstream) -> Iterator[Gateway]:
    """A model for each dialect of an upstream, and one that is not judged. In the end the books are in order."""
    providers = "".join(
        f'[providers.{name}]\nbase_url = "{scripted.base_url}"\nkey = "scripted-secret-key"\ndialect = "{name}"\n'
        f'wire = "exact"\nmodels = ["of-{name}"]\n[models."of-{name}"]\nprice = {{ {RATES} }}\n'
        "max_output_tokens = 20000\n"
        for name in CLIENTS
    )
    more = f"""
[providers.trusted]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["keeps"]
[models.keeps]
price = {{ {RATES} }}
[models.keeps.capabilities]
structured_outputs = true
"""
    limits = "[limits]\nanswer_bytes_max = 1048576\n"
    gateway = Gateway(session_folder, f'{limits}[ledger]\ndemo_credit = "100"\n{providers}{more}')
    yield gateway
    assert gateway.stop() == 0
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0


_numbers = itertools.count()


@pytest.fixture
def customer(house: Gateway) -> Callable[..., Customer]:
    def make(credit: str = "10") -> Customer:
        return customer_of(house, f"structured-{next(_numbers)}", credit, "of-openai_chat")

    return make


# What a client sends, and what it reads


class Way(NamedTuple):
    """How a client asks."""

    path: str
    body: dict[str, Any]


def way(dialect: str, model: str, *, stream: bool = False, array: bool = False, **more: Any) -> Way:
    said = [{"role": "user", "content": "a number"}]
    if dialect == CHAT:
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
        body: dict[str, Any] = {"model": model, "messages": said, "response_format": wanted}
        path = "/v1/chat/completions"
    elif dialect == RESPONSES:
        wanted = {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}
        body, path = {"model": model, "input": "a number", "text": wanted}, "/v1/responses"
    elif dialect == MESSAGES:
        wanted = {"format": {"type": "json_schema", "schema": SCHEMA}}
        body = {"model": model, "max_tokens": 100, "messages": said, "output_config": wanted}
        path = "/v1/messages"
    else:
        config = {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
        body = {"contents": [{"role": "user", "parts": [{"text": "a number"}]}], "generationConfig": config}
        verb = "generateContent" if not stream else "streamGenerateContent" + ("" if array else "?alt=sse")
        return Way(f"/v1beta/models/{model}:{verb}", {**body, **more})
    return Way(path, {**body, **({"stream": True} if stream else {}), **more})


def asked(customer: Customer, how: Way, headers: dict[str, str] | None = None) -> Answer:
    return customer.ask("POST", how.path, how.body, headers)


def said_by(dialect: str, answer: Answer, *, stream: bool = False) -> str:
    """The words of an answer, by the client's dialect."""
    if not stream:
        choices = DIALECTS[dialect].parse_result(bytes(answer.body)).choices
        return "".join(part.text for choice in choices for part in choice.parts if isinstance(part, Text))
    body = bytes(answer.body)
    if body.startswith(b"["):
        body = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in json.loads(body))
    parser = DIALECTS[dialect].parser()
    return "".join(event.text for event in [*parser.feed(body), *parser.close()] if isinstance(event, TextDelta))


# What an upstream says

Said = str | Choice | list[Choice] | int  # words, choices, or the status of a failure


def usage() -> Usage:
    return Usage(input=PROMPT, output=COMPLETION, source=UsageSource.PROVIDER)


def choices_of(said: Said) -> list[Choice]:
    if isinstance(said, str):
        return [Choice(parts=(Text(said),))]
    return [said] if isinstance(said, Choice) else said  # type: ignore[return-value]


def events_of(choices: list[Choice]) -> Iterator[Event]:
    yield Started(id="a", model="m")
    for number, choice in enumerate(choices):
        for part in choice.parts:
            if isinstance(part, Text):
                size = min(-(-len(part.text) // 2), 50_000)
                for start in range(0, len(part.text), size):
                    yield TextDelta(part.text[start : start + size], number)
            elif isinstance(part, Refusal):
                yield RefusalDelta(part.text, number)
            elif isinstance(part, ToolCall):
                yield ToolCallStarted(call=0, id=part.id, name=part.name, choice=number)
                yield ArgumentsDelta(call=0, text=part.arguments, choice=number)
        yield Finished(reason=choice.reason, choice=number)
    yield UsageReported(usage())


def answering(dialect: str, *answers: Said) -> Callable[[Visit], None]:
    """A script of what the upstream says, one after the other; it fails the test where more is asked for."""
    waiting = iter(answers)
    lock = threading.Lock()

    def script(visit: Visit) -> None:
        with lock:
            said = next(waiting, 500)
        if isinstance(said, int):
            visit.whole(said, b'{"error":{"message":"no"}}')
            return
        speaker = DIALECTS[dialect]
        path = visit.head.split()[1].decode()
        argument = path.partition("/models/")[2].partition("?")[0]
        query = {"alt": "sse"} if "alt=sse" in path else {}
        request = speaker.parse_request(visit.body, Asked(argument, query))
        if not request.stream:
            completion = Completion(id="a", model=request.model, choices=choices_of(said), usage=usage())
            visit.whole(200, speaker.render_result(completion, request))
            return
        renderer = speaker.renderer(request)
        pieces = [renderer.render(event) for event in events_of(choices_of(said))]
        visit.stream(*(piece for piece in [*pieces, *renderer.finish()] if piece))
        visit.end()

    return script


def paid(customer: Customer, answer: Answer, cost: int, attempts: int, status: int = 200) -> dict[str, Any]:
    """The record of a call, once the books say the same: settled once, for the sum of its attempts."""
    reservation = customer.settled(answer.header("x-request-id"))
    assert (reservation.charged, customer.spent) == (cost, cost)
    record = customer.record(answer.header("x-request-id"))
    assert (record["attempts"], record["status"]) == (attempts, status)
    assert float(record["cost"]) * 1e9 == pytest.approx(cost)
    answers = cost // ONCE
    assert record["usage"]["prompt_tokens"] == answers * PROMPT
    assert record["usage"]["completion_tokens"] == answers * COMPLETION
    assert reservation.cost <= reservation.hold
    return record


def fails(dialect: str, answer: Answer) -> None:
    """A 422 in the client's dialect."""
    body = answer.json()
    assert answer.status == 422
    message = body["error"]["message"]
    assert "is not of type" in message
    if dialect in (CHAT, RESPONSES):
        assert body["error"]["code"] == "schema_validation_failed"
    elif dialect == MESSAGES:
        assert body["type"] == "error"
    else:
        assert body["error"]["code"] == 422


every_pair = pytest.mark.parametrize(
    ("client", "upstream"), [(one, other) for one in CLIENTS for other in (one, MESSAGES if one == CHAT else CHAT)]
)
every_client = pytest.mark.parametrize("client", CLIENTS)


@every_pair
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "held"])
class TestJudgedBeforeItIsGiven:
    """Whole answers, and streams that are held."""

    def test_the_first_is_given_where_it_fits(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        visits = scripted.play(answering(upstream, GOOD))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        assert (answer.status, said_by(client, answer, stream=stream)) == (200, GOOD)
        assert len(visits) == 1
        paid(mine, answer, ONCE, 1)

    def test_the_second_is_given_where_it_fits(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        visits = scripted.play(answering(upstream, BAD, GOOD))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        assert (answer.status, said_by(client, answer, stream=stream)) == (200, GOOD)
        paid(mine, answer, TWICE, 2)
        again = visits[1].body.decode()
        assert json.dumps(BAD)[1:-1] in again
        assert "is not of type" in again
        assert "is not of type" not in visits[0].body.decode()

    def test_two_misses_are_an_error_and_are_paid_for(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        visits = scripted.play(answering(upstream, "no JSON", BAD))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        fails(client, answer)
        assert len(visits) == 2
        record = paid(mine, answer, TWICE, 2, 422)
        assert record["error_kind"] == "schema_validation_failed"

    def test_a_failure_of_the_second_leaves_the_first_miss(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        scripted.play(answering(upstream, BAD, 500))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        fails(client, answer)
        paid(mine, answer, ONCE, 2, 422)


CALL = Choice(parts=(ToolCall(id="call_1", name="look", arguments='{"x":1}'),), reason="tool_calls")
TOOLS: dict[str, dict[str, Any]] = {
    CHAT: {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]},
    RESPONSES: {"tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}]},
    MESSAGES: {"tools": [{"name": "look", "input_schema": {"type": "object"}}]},
    GEMINI: {"tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": {"type": "object"}}]}]},
}


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


@pytest.mark.contract("5.4")
@every_pair
@pytest.mark.parametrize("array", [False, True])
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


def test_what_the_gateway_does_not_know_is_sent_again(customer: Callable[..., Customer], scripted: Upstream) -> None:
    visits = scripted.play(answering(CHAT, BAD, GOOD))
    odd = {"vendor_thing": {"deep": [1, 2.5]}, "seed": 7}
    assert asked(customer(), way(CHAT, "of-openai_chat", **odd)).status == 200
    for visit in visits:
        assert {name: visit.json()[name] for name in odd} == odd
        assert visit.json()["response_format"]["json_schema"]["schema"] == SCHEMA
        assert visit.json()["model"] == "of-openai_chat"
    assert len(visits[1].json()["messages"]) == 3


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
    assert "Retrieval is disabled" in answer.json()["error"]["message"]
    assert (visits, mine.spent, mine.leased) == ([], 0, 0)
