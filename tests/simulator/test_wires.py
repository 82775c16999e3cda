"""What holds on every wire: the same words, the same faults, the same truth."""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from typing import Any, get_args

import pytest

from faregate.simulator.faults import Malformation

from .conftest import CHAT, HELLO, Reply, Simulated, frames

GEMINI = "/v1beta/models/some-model:"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NAMES = ("weather", "clock")


@dataclass(frozen=True)
class Spoken:
    """How a wire asks: its paths, a body, tools, the words of an answer and of a stream's events."""

    path: str
    stream_path: str
    body: dict[str, Any]
    stream: dict[str, Any]
    tools: dict[str, Any]
    without: frozenset[str] = frozenset({"bad_checksum"})

    def ask(self, simulated: Simulated, plan: dict[str, Any], *, stream: bool, **members: Any) -> Reply:
        body = {**self.body, **(self.stream if stream else {}), **members, "simulator": plan}
        fields = {"anthropic-version": "2023-06-01"}
        return simulated.post(body, self.stream_path if stream else self.path, fields=fields)


_FLAG = {"stream": True}
WIRES = {
    "openai_chat": Spoken(
        CHAT,
        CHAT,
        {"model": "some-model", "messages": HELLO},
        {**_FLAG, "stream_options": {"include_usage": True}},
        {"tools": [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in NAMES]},
    ),
    "responses": Spoken(
        "/v1/responses",
        "/v1/responses",
        {"model": "some-model", "input": "hello"},
        _FLAG,
        {"tools": [{"type": "function", "name": name, "parameters": PARAMETERS} for name in NAMES]},
    ),
    "anthropic": Spoken(
        "/v1/messages",
        "/v1/messages",
        {"model": "some-model", "messages": HELLO, "max_tokens": 1000},
        _FLAG,
        {"tools": [{"name": name, "input_schema": PARAMETERS} for name in NAMES]},
    ),
    "cohere": Spoken(
        "/v2/chat",
        "/v2/chat",
        {"model": "some-model", "messages": HELLO},
        _FLAG,
        {"tools": [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in NAMES]},
        frozenset({"no_done", "bad_checksum"}),
    ),
    "gemini": Spoken(
        f"{GEMINI}generateContent",
        f"{GEMINI}streamGenerateContent?alt=sse",
        {"contents": [{"parts": [{"text": "hello"}]}]},
        {},
        {"tools": [{"functionDeclarations": [{"name": name, "parametersJsonSchema": PARAMETERS} for name in NAMES]}]},
        frozenset({"no_done", "bad_checksum"}),
    ),
    "bedrock": Spoken(
        "/model/some-model/converse",
        "/model/some-model/converse-stream",
        {"messages": [{"role": "user", "content": [{"text": "hello"}]}]},
        {},
        {
            "toolConfig": {
                "tools": [{"toolSpec": {"name": name, "inputSchema": {"json": PARAMETERS}}} for name in NAMES]
            }
        },
        frozenset(
            {
                *("cr_only", "crlf", "comments", "multi_line_data", "event_id_retry", "bom", "no_space"),
                *("no_last_blank_line", "no_blank_line"),
            }
        ),
    ),
}
every_wire = pytest.mark.parametrize("spoken", WIRES.values(), ids=WIRES)


def words(name: str, body: dict[str, Any]) -> str:
    """The text of a whole answer."""
    if name == "openai_chat":
        return body["choices"][0]["message"]["content"]
    if name == "anthropic":
        return body["content"][0]["text"]
    if name == "cohere":
        return body["message"]["content"][0]["text"]
    if name == "responses":
        return body["output"][0]["content"][0]["text"]
    if name == "bedrock":
        return body["output"]["message"]["content"][0]["text"]
    return body["candidates"][0]["content"]["parts"][0]["text"]


def arguments(name: str, body: dict[str, Any]) -> list[Any]:
    """The arguments of an answer's calls."""
    if name == "openai_chat":
        return [json.loads(call["function"]["arguments"]) for call in body["choices"][0]["message"]["tool_calls"]]
    if name == "anthropic":
        return [block["input"] for block in body["content"]]
    if name == "cohere":
        return [json.loads(call["function"]["arguments"]) for call in body["message"]["tool_calls"]]
    if name == "responses":
        return [json.loads(item["arguments"]) for item in body["output"]]
    if name == "bedrock":
        return [block["toolUse"]["input"] for block in body["output"]["message"]["content"]]
    return [part["functionCall"]["args"] for part in body["candidates"][0]["content"]["parts"]]


def test_the_same_question_has_the_same_answer(simulated: Simulated) -> None:
    said = {name: words(name, spoken.ask(simulated, {}, stream=False).json()) for name, spoken in WIRES.items()}
    assert len(set(said.values())) == 1, said
    called = [
        arguments(name, each.ask(simulated, {}, stream=False, **each.tools).json()) for name, each in WIRES.items()
    ]
    assert len(called[0]) == 2
    assert called.count(called[0]) == len(WIRES)


@every_wire
def test_tokens_and_their_log(simulated: Simulated, since: int, spoken: Spoken) -> None:
    for stream in (False, True):
        spoken.ask(simulated, {"cached_tokens": 2}, stream=stream)
        spoken.ask(simulated, {}, stream=stream, **spoken.tools)
    entries = simulated.truth(since, 4)
    assert WIRES[entries[0]["wire"]] is spoken
    for entry in entries:
        assert entry["tokens_sent"] == entry["completion_tokens"] > 0
        assert entry["outcome"] == "complete"
    assert entries[0]["prompt_tokens"] == entries[2]["prompt_tokens"] == 4
    assert (entries[0]["cached_tokens"], entries[0]["fresh_tokens"]) == (2, 2)


@every_wire
@pytest.mark.parametrize("malformed", sorted(set(get_args(Malformation)) - {"huge_line", "pings_only"}))
def test_every_malformation(simulated: Simulated, since: int, spoken: Spoken, malformed: str) -> None:
    honest = spoken.ask(simulated, {}, stream=True)
    reply = spoken.ask(simulated, {"malformed": malformed}, stream=True)
    if malformed in spoken.without:
        assert reply.status == 400
        return
    assert (reply.status, reply.ended) == (200, True)
    if malformed in ("cr_only", "crlf", "comments", "multi_line_data", "event_id_retry", "bom", "no_space"):
        assert frames(reply.body) == frames(honest.body)
    else:
        assert reply.body != honest.body
    spoiled = ("no_blank_line", "not_json", "error_event", "no_finish", "html", "empty", "error_json", "bad_checksum")
    assert simulated.truth(since, 2)[1]["outcome"] == ("fault" if malformed in spoiled else "complete")


@every_wire
@pytest.mark.parametrize("stream", [False, True])
def test_cuts_pieces_and_compression(simulated: Simulated, spoken: Spoken, stream: bool) -> None:
    whole = spoken.ask(simulated, {}, stream=stream).body
    cut = spoken.ask(simulated, {"cut_after_bytes": len(whole) - 1}, stream=stream)
    assert (cut.body, cut.ended) == (whole[:-1], False)
    assert spoken.ask(simulated, {"chunk_bytes": 50}, stream=stream).body == whole
    packed = spoken.ask(simulated, {"gzip": True}, stream=stream)
    assert packed.field("content-encoding") == "gzip"
    assert zlib.decompress(packed.body, wbits=31) == whole


@every_wire
def test_odd_usage_is_not_the_usage(simulated: Simulated, spoken: Spoken) -> None:
    honest = spoken.ask(simulated, {}, stream=True).body
    for usage in ("absent", "negative", "absurd", "string", "float", "null", "cached_over_prompt"):
        odd = spoken.ask(simulated, {"usage": usage}, stream=True)
        assert odd.status == 200
        assert odd.body != honest
    assert b"usage" not in spoken.ask(simulated, {"usage": "absent"}, stream=False).body.lower()


@every_wire
def test_a_plan_in_the_last_message(simulated: Simulated, spoken: Spoken) -> None:
    body = json.loads(json.dumps(spoken.body).replace("hello", 'hello #simulator {\\"status\\": 503}'))
    assert simulated.post(body, spoken.path, fields={"anthropic-version": "2023-06-01"}).status == 503
    broken = json.loads(json.dumps(spoken.body).replace("hello", 'hello #simulator {\\"none\\": 503}'))
    assert simulated.post(broken, spoken.path, fields={"anthropic-version": "2023-06-01"}).status == 400


@every_wire
@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"x"', b"{}", b"[" * 100_000, b"\xff"])
def test_what_is_no_request_is_refused(simulated: Simulated, spoken: Spoken, data: bytes) -> None:
    refused = simulated.post(data, spoken.path, fields={"anthropic-version": "2023-06-01"})
    assert refused.status == 400
    body = refused.json()
    assert body.get("error", body)["message"]


def test_models_in_three_shapes(simulated: Simulated) -> None:
    def listed(path: str, fields: str) -> Any:
        return simulated.call("GET", path, f"k\r\n{fields}" if fields else "k").json()

    assert listed("/v1/models", "")["object"] == "list"
    assert listed("/v1/models", "anthropic-version: 2023-06-01")["has_more"] is False
    assert listed("/v1/models", "x-goog-api-key: k")["models"][0]["name"].startswith("models/")
    assert listed("/v1beta/models", "")["models"]
    assert listed("/v1beta/models/gemini-x", "")["name"] == "models/gemini-x"
