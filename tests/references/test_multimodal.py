"""The multimodal reference, statement by statement, with curl and the OpenAI SDKs. Embeddings, images, audio, videos,
music and files have tests of their own."""

import json
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.running.client import DONE, Answer, Caller, Connection, eventually, last_entry
from tests.running.processes import Gateway, Simulator

from .examples import curl, node, sdk
from .ladder import IMAGE, climb
from .tenants import command, tenant_of

MODEL = "gpt-4o"
MEMBERS = ["message", "type", "param", "code", "request_id"]
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
# The clients of a reference whose page prints none
CURL = """\
curl {url}/chat/completions -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
 -d '{{"model": "gpt-4o", "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""
NODE = """\
import OpenAI from "openai";

const client = new OpenAI();
const answer = await client.chat.completions.create({
  model: "claude-sonnet-4-6",
  messages: [{ role: "user", content: "Hello" }],
});
console.log(JSON.stringify(answer));
"""


@pytest.fixture
def caller(multimodal: Gateway) -> Caller:
    return Caller(multimodal, model=MODEL)


# Versioning, authentication


@pytest.mark.contract("1.1", "8.4")
def test_the_prefix(multimodal: Gateway, caller: Caller, tmp_path: Path) -> None:
    """ "All endpoints are prefixed with/v1.": by curl; under another prefix there is nothing."""
    answer = curl(CURL.format(url=multimodal.base_url), tmp_path, KEY=multimodal.key)
    assert (answer.status, answer.json()["object"]) == (200, "chat.completion")
    for path in ("/api/v1/models", "/models", "/v2/models"):
        assert_error(caller.get(path), 404, "not_found_error", "not_found")


@pytest.mark.contract("1.1", "5.8", "8.4")
def test_the_environment_suffices(multimodal: Gateway, tmp_path: Path) -> None:
    """ "We follow OpenAI’s surface closely": Node's SDK needs an address and a key, and nothing in code."""
    answer = json.loads(node(NODE, tmp_path, OPENAI_BASE_URL=multimodal.base_url, OPENAI_API_KEY=multimodal.key))
    assert answer["model"] == "claude-sonnet-4-6"
    assert answer["choices"][0]["message"]["content"]


@pytest.mark.contract("2.1", "2.6", "9")
def test_authentication(multimodal: Gateway, idclinks: Gateway) -> None:
    """ "Authentication": a bearer key of this house; anything else is 401."""
    assert multimodal.key.startswith("sk-fg-")
    for presented in ("", "Bearer", "Bearer sk-fg-nothing", f"Basic {multimodal.key}", f"Bearer {idclinks.key}"):
        answer = Caller(multimodal, "", MODEL).chat(headers={"authorization": presented})
        assert_error(answer, 401, "authentication_error", "invalid_api_key")
    for name in ("x-api-key", "x-goog-api-key"):
        with Connection(multimodal.port) as connection:
            connection.send(f"GET /v1/models HTTP/1.1\r\nhost: x\r\n{name}: {multimodal.key}\r\n\r\n".encode())
            assert connection.answer().status == 200


# Compatibility


@pytest.mark.contract("1.1", "5.1", "5.2")
def test_streaming_and_not(multimodal: Gateway, caller: Caller) -> None:
    """ "Chat completions (streaming + non-streaming": the SDK's chunks say what the whole answer says."""
    with sdk(multimodal) as client:
        whole = client.chat.completions.create(model=MODEL, messages=HELLO)
        chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content != ""
    assert not any(chunk.usage for chunk in chunks)
    assert caller.streamed().body.endswith(DONE)
    assert caller.streamed(stream_options={"include_usage": True}).events[-2]["usage"]["total_tokens"] > 0


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_time",
        "parameters": {"type": "object", "properties": {"city": {"enum": ["Paris"]}}, "required": ["city"]},
    },
}


@pytest.mark.contract("1.1", "3.10")
@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls(stream: bool, multimodal: Gateway) -> None:
    """ "Chat completions (... tool calls": the SDK reads the call, whole or streamed."""
    with sdk(multimodal) as client:
        asked: Any = {"model": MODEL, "messages": HELLO, "tools": [TOOL], "tool_choice": "required"}
        if stream:
            with client.chat.completions.stream(**asked) as events:
                message = events.get_final_completion().choices[0].message
        else:
            message = client.chat.completions.create(**asked).choices[0].message
    (call,) = message.tool_calls or ()
    assert call.type == "function" and call.function.name == "get_time"
    assert json.loads(call.function.arguments) == {"city": "Paris"}


@pytest.mark.contract("1.1")
def test_json_mode(multimodal: Gateway, simulator: Simulator) -> None:
    """ "Chat completions (... JSON mode": the answer is a JSON object."""
    with sdk(multimodal) as client:
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "As JSON."}], response_format={"type": "json_object"}
        )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
    assert simulator.get("/simulator/last_request")["body"]["response_format"] == {"type": "json_object"}


AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRiQAAABXQVZF", "format": "wav"}}
TEXT = {"type": "text", "text": "What is it?"}


@pytest.mark.contract("1.1", "5.5")
def test_vision_and_content_blocks(multimodal: Gateway, simulator: Simulator) -> None:
    """ "Chat completions (... vision, multimodal content blocks)": every block reaches the model as it was sent."""
    pictures = [{"type": "image_url", "image_url": {"url": url}} for url in ("https://example.com/a.png", IMAGE)]
    messages: list[Any] = [{"role": "user", "content": [TEXT, *pictures, TEXT]}]
    with sdk(multimodal) as client:
        assert client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content
    assert simulator.get("/simulator/last_request")["body"]["messages"] == messages


@pytest.mark.contract("3.9", "9")
def test_audio_on_anthropic_models(multimodal: Gateway, caller: Caller, simulator: Simulator) -> None:
    """ "Audio input on Anthropic models — returns 400 audio_not_supported_by_model"."""
    messages: list[Any] = [{"role": "user", "content": [TEXT, AUDIO]}]
    since = last_entry(simulator)
    answer = caller.chat(model="claude-sonnet-4-6", messages=messages)
    assert_error(answer, 400, "invalid_request_error", "audio_not_supported_by_model")
    with sdk(multimodal) as client, pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="claude-sonnet-4-6", messages=messages)
    assert caught.value.code == "audio_not_supported_by_model"
    assert caller.chat(model="claude-sonnet-4-6", messages=messages, stream=True).status == 400
    assert last_entry(simulator) == since  # nobody was asked


@pytest.mark.contract("1.9")
def test_models(multimodal: Gateway) -> None:
    """ "GET /v1/models": what this key may call, by bare names, with vendor, window, tags and price."""
    with sdk(multimodal) as client:
        models = {model.id: model for model in client.models.list()}
        assert client.models.retrieve("openai/gpt-4o").owned_by == "openai"
    assert models.keys() == {"gpt-4o", "claude-sonnet-4-6", "phi-4"}
    shown: Any = models[MODEL].model_dump()
    assert (shown["object"], shown["owned_by"], shown["context_window"]) == ("model", "openai", 128_000)
    assert "vision" in shown["tags"] and shown["pricing"]["input"] == "2.5"
    narrow = tenant_of(multimodal, "narrow", "--metered").key("--model", "phi-4", model="phi-4")
    assert [model["id"] for model in narrow.get("/v1/models").json()["data"]] == ["phi-4"]


# Request ids, headers


@pytest.mark.contract("4.1")
def test_request_ids(caller: Caller) -> None:
    """ "Every response includes anx-request-id header.": a UUID, errors and streams too; our log and record have it."""
    with caller.stream() as stream:
        streamed = stream.current
    answers = [
        caller.chat(headers={"x-request-id": "of-the-client"}),
        streamed,
        caller.get("/v1/models"),
        caller.get("/v1/nowhere"),
        caller.chat(messages=[]),
        caller.chat({"status": 500}),
        Caller(caller.gateway, "none").chat(),
    ]
    ids = [answer.header("x-request-id") or "" for answer in answers]
    assert [uuid.UUID(each).version for each in ids] == [7] * len(ids)
    assert len(set(ids)) == len(ids)
    for answer, request_id in zip(answers, ids, strict=True):
        assert answer.status == 200 or answer.error["request_id"] == request_id
    assert caller.log_line("of-the-client")["id"] == ids[0]
    record = caller.record(ids[0])
    assert (record["id"], record["client_request_id"], record["model"]) == (ids[0], "of-the-client", MODEL)


@pytest.mark.contract("4.3", "4.6", "7.1")
def test_credits_used(caller: Caller) -> None:
    """ "x-credits-used | Cost of this request in credits": exact, in dollars; of a stream in its trailer and record."""
    answer = caller.chat({"output_tokens": 30})
    usage = answer.json()["usage"]
    cost = (usage["prompt_tokens"] * Decimal("2.5") + usage["completion_tokens"] * 10) / 1_000_000
    assert Decimal(answer.header("x-credits-used") or "") == cost > 0
    asked = {"te": "trailers", "connection": "close"}
    for plan in (
        {"output_tokens": 30},
        {"output_tokens": 30, "cut_after_bytes": 1500},
    ):  # a stream that fails says it too
        with caller.open() as connection:
            body = caller.body(plan, stream=True)
            connection.send(caller.bytes_of("POST", "/v1/chat/completions", body, asked))
            head = connection.head()
            assert head.header("x-credits-used") is None
            end = connection.ended()
        record = caller.record(head.header("x-request-id"))
        assert Decimal(record["cost"]) > 0 and f"x-credits-used: {record['cost']}\r\n".encode() in end
        assert (record["cost"] == answer.header("x-credits-used")) == (record["status"] == 200)


@pytest.mark.contract("4.3")
def test_the_model_that_served(caller: Caller) -> None:
    """ "x-model-used | Final model that served the request"; with no fallback the depth is 0, and none is named."""
    for name in (MODEL, f"openai/{MODEL}", "gpt-4o-2024-08-06"):
        answer = caller.chat(model=name)
        assert (answer.header("x-model-used"), answer.header("x-fallback-depth")) == (MODEL, "0")
        assert "x-fallback-from" not in answer.names


# Limits


@pytest.mark.contract("6.1", "4.4", "4.5")
@pytest.mark.parametrize("preset", [30, 60, 120, 400])
def test_key_presets(preset: int, multimodal: Gateway) -> None:
    """ "Per API key: configurable, typically 30–400 req/min depending on plan and key preset"."""
    tenant = tenant_of(multimodal, f"preset-{preset}", "--metered")
    words = () if preset == 400 else ("--requests-per-minute", str(preset))  # 400 is the plan's own
    caller, neighbour = tenant.key(*words, model=MODEL), tenant.key(model=MODEL)
    first = caller.chat()
    assert first.header("x-ratelimit-limit-requests") == str(preset)
    assert first.header("x-ratelimit-remaining-requests") == str(preset - 1)
    if preset > 60:
        return
    with caller.open() as connection:
        for left in range(preset - 2, -1, -1):
            connection.send(caller.bytes_of("POST", "/v1/chat/completions", caller.body()))
            answer = connection.answer()
            assert (answer.status, answer.header("x-ratelimit-remaining-requests")) == (200, str(left))
    answer = caller.chat()
    assert_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
    assert 1 <= int(answer.header("retry-after") or "") <= 60
    assert neighbour.chat().header("x-ratelimit-remaining-requests") == "399"


@pytest.mark.contract("6.2", "9", "4.5")
def test_the_global_safety_net(netted: Gateway) -> None:
    """ "Global safety net: 5 k req / 10 min per IP": all requests of an address, with a good key or without."""
    made = command(netted, "keys", "create", "key", "--project", "demo", "--house", "multimodal")
    good, bad = Caller(netted, made["key"], MODEL), Caller(netted, "sk-fg-none", MODEL)
    models, there, elsewhere = "/multimodal/v1/models", "203.0.113.7", "203.0.113.8"
    request = good.bytes_of("HEAD", models, None, {"x-forwarded-for": there})
    begun = time.monotonic()
    assert bad.get(models, {"x-forwarded-for": there}).status == 401  # counts too
    statuses = [401]
    with good.open() as connection:
        while 429 not in statuses:
            connection.send(request * 100)
            statuses += [connection.answer(bodiless=True).status for _ in range(100)]
            assert len(statuses) < 50_000
    worked_off = (time.monotonic() - begun) * 5_000 / 600
    let_through = statuses.index(429)
    assert set(statuses[1:let_through]) == {200}
    assert 5_000 <= let_through <= 5_000 + worked_off + 1
    for caller in (good, bad):  # the net comes before the key
        answer = eventually(lambda caller=caller: refused(caller, models, there))
        assert_error(answer, 429, "rate_limit_error", "rate_limit_exceeded")
        assert answer.header("retry-after") == "1"  # one more every 120 ms
    assert good.get(models, {"x-forwarded-for": elsewhere}).status == 200
    assert Caller(netted).get("/v1/models", {"x-forwarded-for": there}).status == 200  # another house's own net


def refused(caller: Caller, path: str, address: str) -> Answer | None:
    """The answer to one more request, where it was one too many: while we look, some are worked off."""
    answer = caller.get(path, {"x-forwarded-for": address})
    return answer if answer.status == 429 else None


# Errors


@pytest.mark.contract("9")
def test_the_order_of_checks(multimodal: Gateway) -> None:
    """ "We follow OpenAI’s surface closely": of a request with many flaws the first in the order is told."""
    answers = climb(multimodal, "x-faregate-project-id", "x-faregate-no-retention")
    bad = "invalid_request_error"
    assert {step: (answer.status, answer.error["type"], answer.error["code"]) for step, answer in answers.items()} == {
        "key": (401, "authentication_error", "invalid_api_key"),
        "account": (403, "permission_error", "account_disabled"),
        "route": (404, "not_found_error", "not_found"),
        "method": (405, bad, None),
        "project": (403, "permission_error", "project_not_allowed"),
        "body": (400, bad, None),
        "model": (404, "not_found_error", "model_not_found"),
        "plan": (403, "permission_error", "model_not_available"),
        "capability": (400, bad, "vision_not_supported_by_model"),
        "retention": (400, bad, "no_retention_unavailable"),
        "context": (413, bad, "context_length_exceeded"),
        "rate": (429, "rate_limit_error", "rate_limit_exceeded"),
        "funds": (402, "insufficient_quota", "insufficient_funds"),
    }


@pytest.mark.contract("9", "5.1", "3.6")
def test_upstream_failures(caller: Caller) -> None:
    """ "We follow OpenAI’s surface closely": upstreams that fail are 503, in a stream its last event but [DONE]."""
    assert_error(caller.chat({"status": 500}), 503, "service_unavailable_error", "upstream_unavailable")
    limited = caller.chat({"status": 429, "retry_after_s": 9})
    assert_error(limited, 503, "service_unavailable_error", "upstream_rate_limited")
    assert limited.header("retry-after") == "9"
    *_, error, done = caller.streamed({"cut_after_bytes": 1500}).events
    assert (list(error["error"]), done) == (MEMBERS, "[DONE]")


def assert_error(answer: Answer, status: int, error_type: str, code: str | None) -> None:
    assert answer.status == status, answer.body
    assert list(answer.json()) == ["error"] and list(answer.error) == MEMBERS
    assert (answer.error["type"], answer.error["code"]) == (error_type, code)
    assert answer.error["request_id"] == answer.header("x-request-id")
    assert ("retry-after" in answer.names) == (status == 429 or status >= 500)
