"""What a client of the Responses API is given: every event in order, every response as the SDK's types want it."""

import json
import random
from typing import Any

import msgspec
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from faregate.core.conversation import Choice, Citation, Text, Thinking, ToolCall
from faregate.core.errors import MalformedRequest
from faregate.core.events import (
    ArgumentsDelta,
    Cited,
    Completion,
    Ended,
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from faregate.core.usage import Usage, UsageSource
from faregate.dialects.openai_responses import OpenAIResponses

DIALECT = OpenAIResponses()
TOOL = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": False}
BODY = {"model": "m", "input": "Hi", "instructions": "x", "tools": [TOOL], "metadata": {"a": "b"}, "stream": True}
USAGE = Usage(input=3, cache_read=1, output=4, reasoning=2, source=UsageSource.PROVIDER)
EVENTS: list[Event] = [
    Started("x", "m"),
    ReasoningDelta("thin"),
    ReasoningDelta("king"),
    Signed(signature="S", signed_by="anthropic_messages"),
    TextDelta("He"),
    TextDelta("llo"),
    ToolCallStarted(call=0, id="c0", name="f"),
    ToolCallStarted(call=1, id="c1", name="f"),
    ArgumentsDelta(call=0, text='{"a"'),
    ArgumentsDelta(call=1, text='{"b":2}'),
    ArgumentsDelta(call=0, text=":1}"),
    UsageReported(USAGE),
    Finished(reason="tool_calls"),
]


def asked(**more: Any) -> Any:
    return DIALECT.parse_request(json.dumps({**BODY, **more}).encode())


def rendered(events: list[Event], **more: Any) -> bytes:
    renderer = DIALECT.renderer(asked(**more))
    pieces = [renderer.render(event) for event in events]
    return b"".join((*pieces, *renderer.finish()))


def decoded(raw: bytes) -> list[dict[str, Any]]:
    frames = [frame.split(b"\n") for frame in raw.split(b"\n\n") if frame]
    found = [json.loads(data.removeprefix(b"data: ")) for _, data in frames]
    assert [kind.decode() for kind, _ in frames] == [f"event: {event['type']}" for event in found]
    return found


def test_every_event_is_numbered_and_every_item_announced() -> None:
    events = decoded(rendered(EVENTS))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    announced: dict[str, int] = {}
    for event in events:
        TypeAdapter(ResponseStreamEvent).validate_python(event)
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(announced)
            announced[event["item"]["id"]] = event["output_index"]
        elif "item_id" in event:
            assert announced[event["item_id"]] == event["output_index"]
    final = events[-1]["response"]
    assert list(announced) == [item["id"] for item in final["output"]]
    assert [item["type"] for item in final["output"]] == ["reasoning", "message", "function_call", "function_call"]
    assert [item["arguments"] for item in final["output"][2:]] == ['{"a":1}', '{"b":2}']


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_as_the_same(seed: int) -> None:
    raw, dice, parser = rendered(EVENTS), random.Random(seed), DIALECT.parser()
    found: list[Event] = []
    while raw:
        size = dice.choice((1, 3, 17, 200, len(raw)))
        found += parser.feed(raw[:size])
        raw = raw[size:]
    found += parser.close()
    named = {event.thought_id for event in found if isinstance(event, ReasoningDelta)}
    assert len(named) == 1 and "" not in named
    unnamed = [
        msgspec.structs.replace(event, thought_id="") if isinstance(event, ReasoningDelta) else event for event in found
    ]
    assert unnamed[1:] == [*EVENTS[1:], Ended()]


def test_a_thought_of_its_own_keeps_the_id_that_its_proof_is_of() -> None:
    signed = Signed(signature="rs_theirs:S", signed_by="openai_responses")
    events = [Started("r", "m"), ReasoningDelta("a", thought_id="rs_theirs"), signed, Finished(reason="stop")]
    final = decoded(rendered(events))[-1]["response"]
    (item,) = final["output"]
    assert (item["id"], item["encrypted_content"], item["summary"][0]["text"]) == ("rs_theirs", "S", "a")
    silent = decoded(rendered([events[0], *events[2:]]))[-1]["response"]
    assert [(item["id"], item["encrypted_content"]) for item in silent["output"]] == [("rs_theirs", "S")]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("exact", [True, False])
def test_a_forwarded_stream_is_the_same_however_it_is_cut(seed: int, exact: bool) -> None:
    raw, dice = rendered(EVENTS), random.Random(seed)
    transform = DIALECT.forward_stream(asked(), exact=exact)
    rest, out = raw, b""
    while rest:
        size = dice.choice((1, 3, 17, 200, len(rest)))
        out += transform.feed(rest[:size])
        rest = rest[size:]
    out += transform.close() + transform.observed.ending
    assert transform.observed.finished
    assert transform.observed.usage == USAGE
    if exact:
        assert decoded(out) == decoded(raw)
    else:
        assert [event["type"] for event in decoded(out)] == [event["type"] for event in decoded(raw)]


def test_a_whole_answer_is_complete() -> None:
    thought = Thinking(text="t", signature="S", signed_by="anthropic_messages")
    parts = (thought, Text("Hello"), ToolCall(id="c", name="f"))
    completion = Completion(model="m", choices=[Choice(parts=parts, reason="tool_calls")], usage=USAGE)
    body = DIALECT.render_result(completion, asked())
    response = Response.model_validate_json(body, strict=False)
    assert (response.output_text, response.instructions, response.metadata) == ("Hello", "x", {"a": "b"})
    found = DIALECT.parse_result(body)
    assert (found.choices[0].parts[1:], found.usage) == (parts[1:], USAGE)
    again = DIALECT.understand(asked(input=json.loads(body)["output"]))
    assert again.messages[-1].parts == parts


@pytest.mark.parametrize(
    ("reason", "status", "cause"),
    [("length", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter")],
)
def test_what_was_cut_is_incomplete(reason: Any, status: str, cause: str) -> None:
    last = decoded(rendered([Started("x", "m"), RefusalDelta("No"), Finished(reason=reason)]))[-1]
    assert last["type"] == f"response.{status}"
    assert last["response"]["incomplete_details"] == {"reason": cause}


def test_an_error_in_a_stream_is_numbered_on() -> None:
    request = asked()
    sent = decoded(DIALECT.renderer(request).render(Started("x", "m")))
    error = decoded(DIALECT.render_stream_error(503, {"message": "x", "type": "t", "code": "c"}, request))[0]
    assert (error["type"], error["code"], error["sequence_number"]) == ("error", "c", len(sent))


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 3}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": 3}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "function_call", "name": "f"}]}, "input[0].call_id"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"text": {"format": {"type": "json_schema", "name": "a"}}}, "text.format.schema"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(MalformedRequest) as refused:
        DIALECT.understand(asked(**body))
    assert refused.value.param == param


def test_citations_say_of_which_words() -> None:
    page = Citation(url="https://a.example", title="A")
    exact = Citation(url="https://a.example", start=1, end=3)
    texts = (Text("Sky "), Text("is blue", citations=(page, exact)))
    completion = Completion(id="x", model="m", choices=[Choice(parts=texts)], usage=USAGE)
    (item,) = json.loads(DIALECT.render_result(completion, asked()))["output"]
    places = [(each["start_index"], each["end_index"]) for each in item["content"][0]["annotations"]]
    assert places == [(4, 11), (5, 7)]
    streamed = rendered(
        [Started("x", "m"), TextDelta("Sky "), TextDelta("is blue"), Cited(page), Finished(reason="stop")]
    )
    (added,) = [line for line in streamed.splitlines() if line.startswith(b"data:") and b"annotation.added" in line]
    annotation = json.loads(added.removeprefix(b"data:"))["annotation"]
    assert (annotation["start_index"], annotation["end_index"]) == (0, 11)
