"""The lincorelink document on addresses, keys, chat and streams, on the wire of a gateway that wears this house."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.processes import LineProcess
from tests.money.books import Customer
from tests.running.client import CHAT, DONE, Caller, Connection, eventually, request_bytes
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import FINISH, ROLE, Upstream, Visit, event_of, said

from ..front import Front, assert_has, curl, printed_commands, printed_json, unquoted
from .house import BASE_URL, DOCUMENT, FLASH, PRO, sdk_of, sent


def test_every_test_quotes_the_document() -> None:
    """'API documentation' is its first line."""
    assert not unquoted(sys.modules[__name__], DOCUMENT)


# Base URL, authentication, quickstart


@pytest.mark.contract("1.1", "2.1")
def test_the_printed_command(front: Front, pro: Customer) -> None:
    """'Send your first request with cURL or any OpenAI SDK.'"""
    [command] = printed_commands(DOCUMENT)
    answer = curl(command.replace(BASE_URL, front.gateway.base_url), LINCORELINK_API_KEY=pro.key)
    assert answer.status == 200
    assert_has(answer.json(), printed_json(DOCUMENT)[0])
    assert answer.json()["model"] == PRO


@pytest.mark.contract("1.1", "8.4")
def test_the_printed_python(pro: Customer) -> None:
    """'Python (OpenAI SDK)'"""
    messages: Any = [{"role": "system", "content": "You are concise."}, {"role": "user", "content": "Hello!"}]
    with sdk_of(pro) as sdk:
        answer = sdk.chat.completions.create(model=PRO, messages=messages)
    assert answer.choices[0].message.content


@pytest.mark.contract("1.1", "8.4")
def test_the_printed_node(basic: Customer, node: LineProcess) -> None:
    """'Node.js (OpenAI SDK)'"""
    client = {"base_url": basic.gateway.base_url, "api_key": basic.key}
    params = {"model": FLASH, "messages": [{"role": "user", "content": "Hello!"}]}
    report = node.ask({"operation": "create", "client": client, "params": params})
    assert report["answer"]["choices"][0]["message"]["content"]


@pytest.mark.contract("2.2")
def test_keys(front: Front, basic: Customer) -> None:
    """'we keep only a hash and cannot recover a key later'"""
    assert basic.key.startswith("sk-lcl-")
    secret = basic.key.rpartition("-")[2].encode()
    kept = [file.read_bytes() for file in front.gateway.data.rglob("*") if file.is_file()]
    assert not any(secret in data for data in kept)
    assert secret.decode() not in front.gateway.command("keys", "list", "--json").stdout


@pytest.mark.contract("2.3")
def test_revocation(front: Front) -> None:
    """'revocation takes effect immediately'"""
    customer = front.customer()
    assert customer.chat().status == 200
    assert front.gateway.command("keys", "revoke", customer.key_id).returncode == 0
    eventually(lambda: customer.chat().status == 401, within_s=5)


@pytest.mark.contract("2.1", "2.6", "9")
@pytest.mark.parametrize("key", ["", "sk-lcl-nothing", "sk-fg-0123456789ab-0123456789", "nothing"])
def test_a_key_that_is_none(front: Front, key: str) -> None:
    """'A missing or invalid key returns 401 with code invalid_api_key.'"""
    answer = Caller(front.gateway, key).chat()
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    with sdk_of(Caller(front.gateway, key or "none")) as sdk, pytest.raises(openai.AuthenticationError) as caught:
        sdk.models.list()
    assert caught.value.code == "invalid_api_key"


# Chat completions


@pytest.mark.contract("1.1", "5.2")
@pytest.mark.parametrize("stream", [False, True])
def test_parameters(basic: Customer, simulator: Simulator, stream: bool) -> None:
    """'Standard OpenAI parameters, passed through to the provider.'"""
    members = {
        "model": FLASH,
        "messages": [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")],
        "max_tokens": 100,
        "stream": stream,
        "temperature": 0.25,
        "top_p": 0.75,
        "stop": ["\n\n", "END"],
        "frequency_penalty": 0.5,
        "presence_penalty": -0.5,
    }
    answer = basic.ask("POST", CHAT, members)
    assert answer.status == 200
    told = sent(simulator)
    assert (told.pop("stream_options", None) is not None) == stream  # the gateway always meters
    assert told == members


@pytest.mark.contract("5.6", "9")
@pytest.mark.parametrize("messages", [None, [], "Hello!", [{"role": "robot", "content": "x"}]])
def test_messages(basic: Customer, messages: object) -> None:
    """'A non-empty list of { role, content } messages'"""
    body = basic.body(messages=messages) if messages is not None else {"model": FLASH}
    answer = basic.ask("POST", CHAT, body)
    assert (answer.status, answer.error["type"]) == (400, "invalid_request_error")
    assert list(answer.error) == ["message", "type", "param", "code"]
    assert answer.error["param"].startswith("messages")


@pytest.mark.contract("5.3")
def test_the_printed_response(basic: Customer) -> None:
    """'A non-streaming call returns a chat.completion object.'"""
    answer = basic.chat({"text": "Hello! How can I help?"})
    printed = printed_json(DOCUMENT)[0]
    assert_has(answer.json(), printed)
    assert answer.json()["choices"][0]["message"].items() >= printed["choices"][0]["message"].items()
    usage = answer.json()["usage"]
    assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]


# Streaming


@pytest.mark.contract("5.1")
def test_streams(basic: Customer) -> None:
    """'Each event is a chat.completion.chunk with a delta; the stream ends with a data: [DONE] line.'"""
    answer = basic.streamed({"text": "one two three"})
    assert (answer.header("content-type") or "").startswith("text/event-stream")
    *chunks, last = answer.events
    assert last == "[DONE]" and answer.body.endswith(DONE)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all(choice["delta"] is not None for chunk in chunks for choice in chunk["choices"])
    assert answer.text == "one two three"


@pytest.mark.contract("5.2", "5.3")
def test_the_printed_stream(pro: Customer) -> None:
    """'a final frame then carries the usage object'"""
    with sdk_of(pro) as sdk:
        stream = sdk.chat.completions.create(
            model=PRO,
            messages=[{"role": "user", "content": "Write a haiku about the edge"}],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"simulator": {"cached_tokens": 4}},
        )
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    usage: Any = chunks[-1].usage
    assert (usage.prompt_cache_hit_tokens, usage.prompt_cache_miss_tokens) == (4, usage.prompt_tokens - 4)


@pytest.mark.contract("5.2")
@pytest.mark.parametrize("chunk_bytes", [1, 17, 4096])
def test_the_stream_without_usage(basic: Customer, simulator: Simulator, chunk_bytes: int) -> None:
    """'we strip our internal usage frame so the stream stays byte-for-byte like a native OpenAI stream'"""
    body = basic.body({"output_tokens": 30, "chunk_bytes": chunk_bytes}, stream=True, max_tokens=100)
    with Connection(simulator.port) as connection:
        connection.send(request_bytes("POST", CHAT, json.dumps(body).encode(), key="direct"))
        native = connection.answer().body
    assert basic.ask("POST", CHAT, body).body == native
    assert sent(simulator)["stream_options"] == {"include_usage": True}


KINDS = ["exact", "compatible", "anthropic_messages", "gemini_generate", "openai_responses", "deepseek"]


@pytest.fixture(scope="module")
def of_all_kinds(session_folder: Path, simulator: Simulator) -> Iterator[Callable[[], Customer]]:
    """The house before providers of every kind, each in a region of its name; a customer who is served there."""
    with Upstream(as_deepseek) as deepseek:
        tables = [
            f"""
[providers.{kind}]
base_url = "{deepseek.base_url if kind == "deepseek" else simulator.base_url + ("beta" * kind.startswith("gemini"))}"
key = "simulator-secret-key"
dialect = "{kind if "_" in kind else "openai_chat"}"
wire = "{"compatible" if kind == "compatible" else "exact"}"
region = "{kind}"
models = ["{FLASH}"]
"""
            for kind in KINDS
        ]
        gateway = Gateway(session_folder, f'house = "lincorelink"\n[ledger]\ndemo_credit = "1"\n{"".join(tables)}')
        yield Front(gateway, FLASH).customer
        gateway.stop()


def as_deepseek(visit: Visit) -> None:
    """DeepSeek's own usage (api-docs.deepseek.com, Create Chat Completion): it knows no `prompt_tokens_details`."""
    usage = {
        "prompt_tokens": 12,
        "completion_tokens": 1,
        "total_tokens": 13,
        "prompt_cache_hit_tokens": 4,
        "prompt_cache_miss_tokens": 8,
    }
    if visit.json().get("stream"):
        visit.stream(ROLE, said("x"), FINISH, event_of(None, usage=usage), DONE)
        visit.end()
    else:
        choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
        whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": FLASH, "choices": [choice]}
        visit.whole(200, json.dumps({**whole, "usage": usage}).encode())


@pytest.mark.contract("5.3", "3.3")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
def test_usage_of_every_kind_of_provider(of_all_kinds: Callable[[], Customer], kind: str, stream: bool) -> None:
    """'The usage object includes cached vs non-cached input tokens, which is what we bill on'"""
    customer = of_all_kinds()
    messages = [{"role": "user", "content": 'Hello, hello, hello! #simulator {"cached_tokens": 4}'}]
    options = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    body = customer.body(messages=messages, max_tokens=50, **options)
    answer = customer.ask("POST", CHAT, body, {"x-faregate-region-hint": kind})
    assert (answer.status, answer.header("x-faregate-region")) == (200, kind)
    usage = answer.events[-2]["usage"] if stream else answer.json()["usage"]
    assert (usage["prompt_cache_hit_tokens"], usage["prompt_cache_miss_tokens"]) == (4, usage["prompt_tokens"] - 4)
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]
    record = customer.record(answer.header("x-request-id"))["usage"]
    assert (record["cache_read"], record["input"]) == (4, usage["prompt_cache_miss_tokens"])
