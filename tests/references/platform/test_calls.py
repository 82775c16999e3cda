"""The platform document on chat, models and Gemini, on the wire of a gateway that wears this house. Images are not
served yet."""

import sys
from typing import Any

import pytest
from google.genai import errors

from tests.e2e.processes import LineProcess
from tests.money.books import Customer
from tests.running.client import CHAT, Caller
from tests.running.processes import Simulator

from ..front import Front, assert_has, unquoted
from .house import CHATS, DOCUMENT, GENERATE, PRINTED, chat, gemini_of, project_of, run, sdk_of


def test_every_test_quotes_the_document() -> None:
    """'API Reference' is its first line."""
    assert not unquoted(sys.modules[__name__], DOCUMENT)


# Chat completions


@pytest.mark.contract("1.1", "1.14", "2.1")
@pytest.mark.parametrize("name", ["quick", "chat"])
def test_the_printed_commands(front: Front, payer: Customer, name: str) -> None:
    """'Make your first API call in seconds.'"""
    answer = run(front, name, payer.key)
    assert answer.status == 200
    assert_has(answer.json(), PRINTED["chat"])


@pytest.mark.contract("1.14")
def test_the_base_url(front: Front, payer: Customer) -> None:
    """'The base URL for all API calls is https://your-domain.com/api/v1.'"""
    assert chat(payer).status == 200
    answer = payer.ask("POST", CHAT, payer.body())
    assert (answer.status, answer.error["code"]) == (404, "not_found")


@pytest.mark.contract("1.1", "8.4")
def test_the_printed_python(front: Front, payer: Customer, simulator: Simulator) -> None:
    """'just swap the baseURL and your API key'"""
    messages: Any = PRINTED_MESSAGES
    with sdk_of(front, payer.key) as client:
        response = client.chat.completions.create(model="gpt-4o", messages=messages, temperature=0.7, max_tokens=512)
    assert response.choices[0].message.content
    told = simulator.get("/simulator/last_request")["body"]
    assert told == {"model": "gpt-4o", "messages": messages, "temperature": 0.7, "max_tokens": 512}


PRINTED_MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is the capital of France?"},
]


@pytest.mark.contract("1.1", "8.4")
@pytest.mark.parametrize("operation", ["create", "collect"])
def test_the_printed_node(front: Front, payer: Customer, node: LineProcess, operation: str) -> None:
    """'Node.js (openai SDK)'"""
    client = {"base_url": f"{front.origin}/api/v1", "api_key": payer.key}
    params = {"model": "gpt-4o", "messages": PRINTED_MESSAGES, "temperature": 0.7, "max_tokens": 512}
    report = node.ask({"operation": operation, "client": client, "params": params})
    if operation == "create":
        assert report["answer"]["choices"][0]["message"]["content"]
    else:
        assert report["chunks"][-1]["choices"][0]["finish_reason"]


@pytest.mark.contract("1.1", "3.8")
@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-20250514", "gemini-2.5-pro", "deepseek-v4-pro"])
@pytest.mark.parametrize("stream", [False, True])
def test_supported_models(payer: Customer, model: str, stream: bool) -> None:
    """'Supported models include GPT-4o, Claude Sonnet/Opus, Gemini 2.5 Pro, and DeepSeek.'"""
    answer = chat(payer, model=model, stream=stream, max_tokens=50)
    assert answer.status == 200
    if stream:
        assert answer.text and answer.events[-1] == "[DONE]"
        assert {chunk["model"] for chunk in answer.events[:-1]} == {model}
    else:
        assert answer.json()["model"] == model
        assert_has(answer.json(), PRINTED["chat"])


@pytest.mark.contract("5.6")
@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"temperature": 0}, 200),
        ({"temperature": 2}, 200),
        ({"temperature": 2.01}, 400),
        ({"temperature": -0.01}, 400),
        ({"stop": "END"}, 200),
        ({"stop": ["a", "b", "c", "d"]}, 200),
        ({"stop": ["a", "b", "c", "d", "e"]}, 400),
        ({"top_p": 0.1}, 200),
        ({"messages": []}, 400),
        ({"model": None}, 400),
    ],
)
def test_parameters(payer: Customer, simulator: Simulator, members: dict[str, Any], status: int) -> None:
    """'Sampling temperature between 0 and 2. Defaults to 1.'"""
    answer = chat(payer, **members)
    assert answer.status == status
    if status == 200:
        told = simulator.get("/simulator/last_request")["body"]
        assert told == payer.body(**members)  # no default is written into it
    else:
        assert answer.error["type"] == "invalid_request_error" and next(iter(members)) in answer.error["message"]


@pytest.mark.contract("5.1", "5.2")
def test_streams(payer: Customer) -> None:
    """'If true, partial message deltas are sent as Server-Sent Events. Defaults to false.'"""
    answer = chat(payer, {"text": "a b c"}, stream=True)
    assert (answer.header("content-type") or "").startswith("text/event-stream")
    assert answer.text == "a b c" and answer.events[-1] == "[DONE]"
    assert chat(payer).header("content-type") == "application/json"


# Models


@pytest.mark.contract("1.9")
@pytest.mark.parametrize("client", ["curl", "python", "node"])
def test_the_printed_list(front: Front, payer: Customer, node: LineProcess, client: str) -> None:
    """'Returns a list of all models available on the platform.'"""
    if client == "curl":
        listed = run(front, "models", payer.key).json()
        assert_has(listed, PRINTED["models"])
        models = listed["data"]
    elif client == "python":
        with sdk_of(front, payer.key) as sdk:
            models = [model.model_dump() for model in sdk.models.list()]
    else:
        options = {"base_url": f"{front.origin}/api/v1", "api_key": payer.key}
        models = node.ask({"operation": "list_models", "client": options, "params": {}})["models"]
    found = {model["id"]: model for model in models}
    for printed in PRINTED["models"]["data"]:
        assert found[printed["id"]].items() >= printed.items()


@pytest.mark.contract("1.9", "6.5")
def test_the_list_is_the_same_for_every_key(front: Front, payer: Customer) -> None:
    """'the requested model is not available on your plan'"""
    made = front.gateway.command("keys", "create", "k", "--project", project_of(front, payer), "--model", "gpt-4o")
    narrow = Caller(front.gateway, made.stdout.strip(), "gpt-4o-mini")
    assert narrow.get("/api/v1/models").json() == payer.get("/api/v1/models").json()
    answer = chat(narrow)
    assert (answer.status, answer.error["type"]) == (403, "permission_error")
    assert list(answer.error) == ["message", "type", "code"]


# Gemini


@pytest.mark.contract("1.10", "1.14", "2.1")
def test_the_printed_gemini_command(front: Front, payer: Customer) -> None:
    """'A drop-in replacement for the Google Gemini REST API.'"""
    answer = run(front, "gemini", payer.key)
    assert answer.status == 200
    assert_has(answer.json(), PRINTED["gemini"])
    assert answer.json()["candidates"][0]["finishReason"] == "STOP"


@pytest.mark.contract("1.10", "8.4")
@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-2.5-flash", "gpt-4o", "claude-sonnet-4-20250514"])
def test_googles_client(front: Front, payer: Customer, model: str) -> None:
    """'existing Gemini SDK code works without modification'"""
    with gemini_of(front, payer.key) as client:
        whole = client.models.generate_content(model=model, contents="Explain quantum entanglement simply.")
        chunks = list(client.models.generate_content_stream(model=model, contents="Explain it again."))
        counted = client.models.count_tokens(model=model, contents="Explain quantum entanglement simply.")
        listed = {each.name for each in client.models.list()}
    assert whole.text and "".join(chunk.text or "" for chunk in chunks)
    assert whole.usage_metadata and whole.usage_metadata.total_token_count
    assert counted.total_tokens
    assert f"models/{model}" in listed


@pytest.mark.contract("2.1", "9")
@pytest.mark.parametrize("key", ["", "AIza-nothing", "sk-fg-nothing"])
def test_gemini_without_a_key(front: Front, key: str) -> None:
    """'pass your key in the x-goog-api-key header instead of Authorization: Bearer'"""
    answer = run(front, "gemini", key)
    assert (answer.status, answer.error["type"], answer.error["code"]) == (401, "authentication_error", 401)
    with gemini_of(front, key or "none") as client, pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-2.5-pro", contents="x")
    assert caught.value.code == 401


@pytest.mark.contract("2.1")
def test_no_key_in_the_query(front: Front, payer: Customer) -> None:
    """'Every request must include an Authorization header with a Bearer token.'"""
    for path in (GENERATE, CHATS):
        assert Caller(front.gateway, "").ask("POST", f"{path}?key={payer.key}", {}).status == 401
