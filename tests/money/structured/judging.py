"""What clients ask that must keep to a JSON Schema, what upstreams answer, and what was paid for it."""

import json
import threading
from collections.abc import Callable, Iterator
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
from tests.running.upstreams import Visit

from ..books import Customer, cost_of

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
    assert answer.header("x-faregate-failover") == "false"  # to be asked again is none
    if answer.status != 200:
        assert float(answer.header("x-credits-used") or 0) * 1e9 == pytest.approx(cost)
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


CALL = Choice(parts=(ToolCall(id="call_1", name="look", arguments='{"x":1}'),), reason="tool_calls")
TOOLS: dict[str, dict[str, Any]] = {
    CHAT: {"tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]},
    RESPONSES: {"tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}}]},
    MESSAGES: {"tools": [{"name": "look", "input_schema": {"type": "object"}}]},
    GEMINI: {"tools": [{"functionDeclarations": [{"name": "look", "parametersJsonSchema": {"type": "object"}}]}]},
}
