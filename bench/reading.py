"""`python -m bench.reading`: what it costs to read bodies and events, without any wire: microseconds of one core.

A body of 100 KB as an agent's turns are (calls, results, twenty tools), one with a picture of 3 MB, and an event of a
stream that is a word, relayed from the dialect's own vendor and from a host that is only compatible. Each in the
dialects that clients speak; the best of several rounds. Prints a table.
"""

import json
import sys
import timeit
from collections.abc import Callable
from typing import Any

from faregate.dialects import Asked, Dialect
from faregate.dialects.table import DIALECTS

ROUNDS = 7
TEXT = 'The reply said: "seven of nine".\nNobody had asked \u2014 or had they? ' * 14
PICTURE = "QUJD" * 750_000
TURNS = 20
TOOLS = 20
STREAMED = Asked(argument="m:streamGenerateContent", query={"alt": "sse"})

Members = dict[str, Any]


def schema() -> Members:
    """The parameters of a tool."""
    members = {f"name_{index}": {"type": "string", "description": TEXT[:60]} for index in range(8)}
    return {"type": "object", "properties": members, "required": ["name_0"]}


def function(number: int) -> Members:
    """A tool, as most dialects have it."""
    return {"name": f"tool_{number}", "description": TEXT[:300], "parameters": schema()}


def chat() -> tuple[Members, Members]:
    """An agent's turns, and a picture, for OpenAI's chat."""
    messages: list[Members] = [{"role": "system", "content": TEXT * 3}]
    for turn in range(TURNS):
        called = {"name": "tool_1", "arguments": json.dumps({"name_0": TEXT})}
        call = {"id": f"c{turn}", "type": "function", "function": called}
        messages += [
            {"role": "user", "content": TEXT},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": f"c{turn}", "content": TEXT},
        ]
    tools = [{"type": "function", "function": function(number)} for number in range(TOOLS)]
    seen = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
    said = {"type": "text", "text": "What is it?"}
    head = {"model": "m", "stream": True}
    return {**head, "messages": messages, "tools": tools}, {
        **head,
        "messages": [{"role": "user", "content": [said, seen]}],
    }


def responses() -> tuple[Members, Members]:
    """The same for the Responses API."""
    items: list[Members] = []
    for turn in range(TURNS):
        items += [
            {"role": "user", "content": [{"type": "input_text", "text": TEXT}]},
            {
                "type": "function_call",
                "call_id": f"c{turn}",
                "name": "tool_1",
                "arguments": json.dumps({"name_0": TEXT}),
            },
            {"type": "function_call_output", "call_id": f"c{turn}", "output": TEXT},
        ]
    tools = [{"type": "function", **function(number)} for number in range(TOOLS)]
    seen = {"type": "input_image", "image_url": f"data:image/png;base64,{PICTURE}"}
    head = {"model": "m", "stream": True}
    return {**head, "input": items, "tools": tools}, {**head, "input": [{"role": "user", "content": [seen]}]}


def messages() -> tuple[Members, Members]:
    """The same for Anthropic's Messages."""
    turns: list[Members] = []
    for turn in range(TURNS):
        call = {"type": "tool_use", "id": f"c{turn}", "name": "tool_1", "input": {"name_0": TEXT}}
        turns += [
            {"role": "user", "content": [{"type": "text", "text": TEXT}]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"c{turn}", "content": TEXT}]},
        ]
    tools = [{"name": f"tool_{number}", "description": TEXT[:300], "input_schema": schema()} for number in range(TOOLS)]
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    head = {"model": "m", "stream": True, "max_tokens": 100}
    seen = [{"role": "user", "content": [{"type": "image", "source": source}]}]
    return {**head, "messages": turns, "tools": tools}, {**head, "messages": seen}


def contents() -> tuple[Members, Members]:
    """The same for Gemini."""
    turns: list[Members] = []
    for _ in range(TURNS):
        turns += [
            {"role": "user", "parts": [{"text": TEXT}]},
            {"role": "model", "parts": [{"functionCall": {"name": "tool_1", "args": {"name_0": TEXT}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "tool_1", "response": {"said": TEXT}}}]},
        ]
    tools = [{"functionDeclarations": [function(number) for number in range(TOOLS)]}]
    seen = {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}}]}
    return {"contents": turns, "tools": tools}, {"contents": [seen]}


CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
EVENTS: dict[str, tuple[list[tuple[str, Members]], tuple[str, Members]]] = {
    "openai_chat": (
        [],
        ("", {**CHUNK, "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}], "usage": None}),
    ),
    "openai_responses": (
        [
            (
                "response.created",
                {
                    "type": "response.created",
                    "sequence_number": 0,
                    "response": {"id": "r", "object": "response", "status": "in_progress", "model": "m", "output": []},
                },
            )
        ],
        (
            "response.output_text.delta",
            {
                "type": "response.output_text.delta",
                "sequence_number": 1,
                "item_id": "i",
                "output_index": 0,
                "delta": " word",
                "logprobs": [],
            },
        ),
    ),
    "anthropic_messages": (
        [
            (
                "message_start",
                {
                    "type": "message_start",
                    "message": {"id": "m", "model": "m", "content": [], "usage": {"input_tokens": 1}},
                },
            ),
            (
                "content_block_start",
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            ),
        ],
        (
            "content_block_delta",
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " word"}},
        ),
    ),
    "gemini_generate": (
        [],
        (
            "",
            {
                "candidates": [{"content": {"role": "model", "parts": [{"text": " word"}]}, "index": 0}],
                "modelVersion": "m",
            },
        ),
    ),
}
BODIES = {
    "openai_chat": chat,
    "openai_responses": responses,
    "anthropic_messages": messages,
    "gemini_generate": contents,
}


def best_us(work: Callable[[], object], times: int) -> float:
    """What one takes, at best."""
    return min(timeit.repeat(work, number=times, repeat=ROUNDS)) / times * 1e6


def body_us(dialect: Dialect, body: bytes, asked: Asked, times: int) -> float:
    """What it takes to read a body."""
    return best_us(lambda: dialect.parse_request(body, asked), times)


def event_bytes(event: tuple[str, Members]) -> bytes:
    """An event as vendors write it."""
    kind, data = event
    said = f"data: {json.dumps(data, separators=(',', ':'))}\n\n"
    return (f"event: {kind}\n{said}" if kind else said).encode()


def event_us(dialect: Dialect, body: bytes, *, exact: bool) -> float:
    """What it takes to relay an event that is a word."""
    opening, event = EVENTS[dialect.name]
    stream = dialect.forward_stream(dialect.parse_request(body, STREAMED), exact=exact)
    written = event_bytes(event)
    for each in [*map(event_bytes, opening), written, written]:
        stream.feed(each)
    return best_us(lambda: stream.feed(written), 2_000)


def main() -> None:
    """Measure, and print what was found."""
    write = sys.stdout.write
    write("| dialect, us | 100 KB of turns | a picture of 3 MB | exact event | compatible event |\n")
    write("| --- | --- | --- | --- | --- |\n")
    for name, make in BODIES.items():
        dialect = DIALECTS[name]
        turns, picture = (json.dumps(body).encode() for body in make())
        asked = STREAMED if name == "gemini_generate" else Asked()
        read = [body_us(dialect, turns, asked, 50), body_us(dialect, picture, asked, 3)]
        events = [event_us(dialect, turns, exact=exact) for exact in (True, False)]
        write(f"| {name} | {read[0]:.0f} | {read[1]:.0f} | {events[0]:.2f} | {events[1]:.2f} |\n")


if __name__ == "__main__":
    main()
