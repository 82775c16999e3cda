"""Google's own SDK talks to the simulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from .conftest import Simulated, frames

OLD = "gemini-2.5-flash"
NEW = "gemini-3-flash"
TOOL = {
    "name": "weather",
    "description": "the weather somewhere",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]},
}
OTHER = {**TOOL, "name": "clock"}
TOOLS = [{"function_declarations": [TOOL, OTHER]}]
HELLO = {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}
ANSWER = f"/v1beta/models/{OLD}:generateContent"
STREAM = f"/v1beta/models/{OLD}:streamGenerateContent"


@pytest.fixture(scope="module")
def client(simulated: Simulated) -> Iterator[genai.Client]:
    options = types.HttpOptions(base_url=f"http://127.0.0.1:{simulated.port}")
    with genai.Client(api_key="key", http_options=options) as client:
        yield client


def config(plan: dict[str, Any] | None, members: dict[str, Any]) -> Any:
    options = types.HttpOptions(extra_body={"simulator": plan or {}})
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(http_options=options, automatic_function_calling=off, **members)


def ask(client: genai.Client, plan: Any = None, model: str = OLD, contents: Any = "hello", **members: Any) -> Any:
    return client.models.generate_content(model=model, contents=contents, config=config(plan, members))


def chunks(client: genai.Client, plan: Any = None, model: str = OLD, **members: Any) -> list[Any]:
    return list(client.models.generate_content_stream(model=model, contents="hello", config=config(plan, members)))


def joined(parts: list[Any], *, thought: bool) -> str:
    return "".join(part.text or "" for part in parts if bool(part.thought) == thought)


@pytest.mark.parametrize(
    ("model", "members"),
    [
        (OLD, {}),
        (OLD, {"tools": TOOLS}),
        (OLD, {"thinking_config": {"thinking_budget": 1024, "include_thoughts": True}}),
        (NEW, {"thinking_config": {"thinking_level": "LOW"}, "tools": TOOLS}),
        (OLD, {"stop_sequences": ["a"]}),
        (OLD, {"max_output_tokens": 3}),
    ],
)
def test_a_stream_and_a_whole_answer_say_the_same(client: genai.Client, model: str, members: dict[str, Any]) -> None:
    whole = ask(client, {"cached_tokens": 2}, model, **members)
    pieces = chunks(client, {"cached_tokens": 2}, model, **members)
    parts = [part for chunk in pieces for part in chunk.candidates[0].content.parts or ()]
    whole_parts = whole.candidates[0].content.parts
    for thought in (True, False):
        assert joined(parts, thought=thought) == joined(whole_parts, thought=thought)
    assert [p.function_call for p in parts if p.function_call] == [
        p.function_call for p in whole_parts if p.function_call
    ]
    assert [p.thought_signature for p in parts if p.thought_signature] == [
        p.thought_signature for p in whole_parts if p.thought_signature
    ]
    assert pieces[-1].candidates[0].finish_reason == whole.candidates[0].finish_reason
    assert pieces[-1].usage_metadata == whole.usage_metadata
    assert {chunk.response_id for chunk in pieces} == {whole.response_id}


def test_usage_is_what_the_log_vouches_for(client: genai.Client, simulated: Simulated, since: int) -> None:
    usage = ask(client, {"cached_tokens": 2}, thinking_config={"thinking_budget": 2048}).usage_metadata
    entry = simulated.truth(since)[0]
    assert entry["wire"] == "gemini"
    assert usage.prompt_token_count == entry["prompt_tokens"]
    assert usage.cached_content_token_count == entry["cached_tokens"] == 2
    assert usage.thoughts_token_count == entry["reasoning_tokens"] > 0
    assert usage.candidates_token_count + usage.thoughts_token_count == entry["completion_tokens"]
    assert usage.total_token_count == entry["prompt_tokens"] + entry["completion_tokens"]


def test_signed_calls_and_their_results(client: genai.Client) -> None:
    said = ask(client, model=NEW, tools=TOOLS).candidates[0].content
    assert [part.function_call.name for part in said.parts] == ["weather", "clock"]
    assert [bool(part.thought_signature) for part in said.parts] == [True, False]
    results = [
        types.Part(
            function_response=types.FunctionResponse(
                id=part.function_call.id, name=part.function_call.name, response={"output": "fine"}
            )
        )
        for part in said.parts
    ]
    hello = types.Content(role="user", parts=[types.Part(text="hello")])

    def go_on(content: Any, answers: list[Any]) -> Any:
        turns = [hello, content, types.Content(role="user", parts=answers)]
        return ask(client, model=NEW, contents=turns, tools=TOOLS)

    assert go_on(said, results).text
    with pytest.raises(errors.ClientError, match="number of function response parts"):
        go_on(said, results[:1])
    unsigned = types.Content(role="model", parts=[types.Part(function_call=part.function_call) for part in said.parts])
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        go_on(unsigned, results)
    moved = types.Content(role="model", parts=list(said.parts))
    moved.parts[0] = types.Part(function_call=said.parts[0].function_call, thought_signature=b"of somebody else")
    with pytest.raises(errors.ClientError, match="not valid"):
        go_on(moved, results)
    moved.parts[0] = types.Part(
        function_call=said.parts[0].function_call, thought_signature=b"skip_thought_signature_validator"
    )
    assert go_on(moved, results).text


def test_counts(client: genai.Client) -> None:
    counted = client.models.count_tokens(model=OLD, contents="hello").total_tokens
    assert counted == ask(client).usage_metadata.prompt_token_count


def test_a_schema_answer(client: genai.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for members in (
        {"response_schema": {**schema}},
        {"response_json_schema": {**schema, "additionalProperties": False}},
    ):
        said = ask(client, response_mime_type="application/json", **members)
        assert isinstance(json.loads(said.text)["n"], int)


def test_models(client: genai.Client) -> None:
    listed = list(client.models.list())
    assert listed
    assert client.models.get(model=listed[0].name or "").name == listed[0].name


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"contents": []}, "contents is not specified"),
        ({"messages": []}, 'Unknown name "messages": Cannot find field.'),
        ({"contents": [{"role": "assistant", "parts": [{"text": "x"}]}]}, "valid role: user, model"),
        ({"contents": [{"parts": [{}]}]}, "contents[0].parts[0].data: required oneof"),
        ({"contents": [{"parts": [{"text": 1}]}]}, "Invalid value at 'contents[0].parts[0].text' (TYPE_STRING), 1"),
        ({"generationConfig": {"temperature": "hot"}}, "'generation_config.temperature' (TYPE_FLOAT), \"hot\""),
        ({"generation_config": {"max_tokens": 1}}, "Unknown name \"max_tokens\" at 'generation_config'"),
        ({"generationConfig": {"stopSequences": ["a"] * 6}}, "stop_sequences"),
        ({"generationConfig": {"thinkingConfig": {"thinkingLevel": "low"}}}, "Thinking level is not supported"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object", "$ref": "x"}}]}]},
            "Unknown name \"$ref\" at 'tools[0].function_declarations[0].parameters'",
        ),
        (
            {
                "tools": [{"functionDeclarations": [TOOL]}],
                "generationConfig": {"responseMimeType": "application/json"},
            },
            "Function calling with a response mime type",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "without function_declarations"),
        ({"generationConfig": {"responseSchema": {"type": "object"}}}, "Response schema with response mime type"),
    ],
)
def test_refusals(simulated: Simulated, members: dict[str, Any], words: str) -> None:
    refused = simulated.post({**HELLO, **members}, ANSWER)
    error = refused.json()["error"]
    assert (refused.status, error["code"], error["status"]) == (400, 400, "INVALID_ARGUMENT")
    assert words in error["message"]


def test_both_spellings_are_taken(simulated: Simulated) -> None:
    snake = {"generation_config": {"max_output_tokens": 3}, "system_instruction": {"parts": [{"text": "be"}]}}
    camel = {"generationConfig": {"maxOutputTokens": 3}, "systemInstruction": {"parts": [{"text": "be"}]}}
    assert simulated.post({**HELLO, **snake}, ANSWER).body == simulated.post({**HELLO, **camel}, ANSWER).body


@pytest.mark.parametrize(("status", "name"), [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE"), (500, "INTERNAL")])
def test_planned_errors(client: genai.Client, status: int, name: str) -> None:
    with pytest.raises(errors.APIError, match="so be it") as failed:
        ask(client, {"status": status, "error_message": "so be it"})
    assert (failed.value.code, failed.value.status) == (status, name)


def test_an_error_in_a_stream(client: genai.Client) -> None:
    with pytest.raises(errors.ServerError, match="had an error"):
        chunks(client, {"malformed": "error_event"})


def test_an_array_says_what_the_events_say(simulated: Simulated) -> None:
    array = simulated.post(HELLO, STREAM)
    assert (array.field("content-type"), array.ended) == ("application/json; charset=UTF-8", True)
    events = simulated.post(HELLO, f"{STREAM}?alt=sse")
    assert events.field("content-type") == "text/event-stream; charset=utf-8"
    assert array.json() == frames(events.body)
    open_ended = simulated.post({**HELLO, "simulator": {"malformed": "no_done"}}, STREAM)
    assert open_ended.body == array.body.removesuffix(b"\n]")
    assert simulated.post({**HELLO, "simulator": {"malformed": "comments"}}, STREAM).status == 400
    broken = simulated.post({**HELLO, "simulator": {"malformed": "error_event"}}, STREAM)
    with pytest.raises(json.JSONDecodeError):
        broken.json()
    assert json.loads(broken.body + b"]")[-1]["error"]["status"] == "INTERNAL"


def test_a_cut_and_no_finish(simulated: Simulated) -> None:
    cut = simulated.post({**HELLO, "simulator": {"cut_after_bytes": 300}}, f"{STREAM}?alt=sse")
    assert (len(cut.body), cut.ended) == (300, False)
    events = frames(simulated.post({**HELLO, "simulator": {"malformed": "no_finish"}}, f"{STREAM}?alt=sse").body)
    assert not any("finishReason" in event["candidates"][0] for event in events)


def test_keys(simulated: Simulated) -> None:
    assert simulated.post(HELLO, ANSWER, None, fields={"x-goog-api-key": "k"}).status == 200
    refused = simulated.post(HELLO, ANSWER, None)
    assert (refused.status, refused.json()["error"]["status"]) == (403, "PERMISSION_DENIED")
