"""What is held for a prompt that is more than its text: what only looks like a picture is words, and a file that is
elsewhere may be as much as the model reads."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import CHAT
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream, Visit

from .books import PICO, RATES, Books, Customer, customer_of, nano

WINDOW = 300_000
WORDS = "word " * 10_000
WORDS_TOKENS = len(WORDS) // 5  # as a provider reads them
TEXT = base64.b64encode(WORDS.encode()).decode()
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 50_000
DIALECTS = {CHAT: "openai_chat", "/v1/responses": "openai_responses", "/v1/messages": "anthropic_messages"}
GEMINI = "/v1beta/models/gemini_generate:generateContent"


def user(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def items(*parts: Any) -> dict[str, Any]:
    return {"input": [{"type": "message", "role": "user", "content": list(parts)}]}


def contents(*parts: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts)}]}


def call_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """A call of a tool and its result, as Anthropic has them."""
    call = {"type": "tool_use", "id": "t", "name": "act", "input": arguments}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "done"}
    return {
        "messages": [
            {"role": "user", "content": "Act"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ]
    }


# What is words to the model, however it looks
WORDY = {
    "a text that begins like a picture": (CHAT, {"messages": [{"role": "user", "content": f"data:{WORDS}"}]}),
    "a picture that is a text": (CHAT, {"messages": [{"role": "user", "content": f"data:image/png;base64,{TEXT}"}]}),
    "a text that quotes a picture": (CHAT, {"messages": [{"role": "user", "content": f'See "data:{WORDS}"'}]}),
    "a schema with a picture": (
        CHAT,
        {
            **user({"type": "text", "text": "hello"}),
            "tools": [{"type": "function", "function": {"name": "a", "parameters": {"default": f"data:{WORDS}"}}}],
        },
    ),
    "an item's text": ("/v1/responses", {"input": f"data:{WORDS}"}),
    "a document of text": (
        "/v1/messages",
        user({"type": "document", "source": {"type": "content", "content": WORDS}}),
    ),
    "a call about a source": ("/v1/messages", call_of({"source": {"type": "base64", "data": TEXT}})),
    "a file of text": (GEMINI, contents({"inlineData": {"mimeType": "text/plain", "data": TEXT}})),
    "a chat's file": (
        CHAT,
        user({"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{TEXT}"}}),
    ),
    "an item's file": (
        "/v1/responses",
        items({"type": "input_file", "filename": "a.txt", "file_data": f"data:text/plain;base64,{TEXT}"}),
    ),
    "a document of bytes": (
        "/v1/messages",
        user({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": TEXT}}),
    ),
}
TOOL = {"type": "web_search_20250305", "name": "web_search"}
# What is not in the body
ELSEWHERE = {
    "a chat's file": (CHAT, user({"type": "file", "file": {"file_id": "file-1"}})),
    "a chat's search": (CHAT, {**user({"type": "text", "text": "hello"}), "web_search_options": {}}),
    "an item's file": ("/v1/responses", items({"type": "input_file", "file_id": "file-1"})),
    "an item's address": ("/v1/responses", items({"type": "input_file", "file_url": "https://example.com/a.pdf"})),
    "a kept prompt": ("/v1/responses", {"prompt": {"id": "pmpt_1"}}),
    "a search": ("/v1/responses", {"input": "hello", "tools": [{"type": "web_search"}]}),
    "a document's address": (
        "/v1/messages",
        user({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}),
    ),
    "a document's id": ("/v1/messages", user({"type": "document", "source": {"type": "file", "file_id": "f"}})),
    "Anthropic's search": ("/v1/messages", {**user({"type": "text", "text": "hello"}), "tools": [TOOL]}),
    "Google's file": (GEMINI, contents({"fileData": {"mimeType": "application/pdf", "fileUri": "https://x/y"}})),
    "Google's cache": (GEMINI, {**contents({"text": "hello"}), "cachedContent": "cachedContents/1"}),
    "Google's search": (GEMINI, {**contents({"text": "hello"}), "tools": [{"googleSearch": {}}]}),
}
# What is a picture
PICTURES = {
    "a chat's": (CHAT, user({"type": "image_url", "image_url": {"url": PICTURE}})),
    "an item's": ("/v1/responses", items({"type": "input_image", "image_url": PICTURE})),
    "a result's": (
        "/v1/responses",
        {
            "input": [
                {"type": "function_call", "call_id": "c", "name": "a", "arguments": "{}"},
                {
                    "type": "function_call_output",
                    "call_id": "c",
                    "output": [{"type": "input_image", "image_url": PICTURE}],
                },
            ]
        },
    ),
    "a block's": (
        "/v1/messages",
        user({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}),
    ),
    "Google's": (GEMINI, contents({"inlineData": {"mimeType": "image/png", "data": PICTURE.partition(",")[2]}})),
}


@pytest.fixture(scope="module")
def weighing(session_folder: Path) -> Iterator[Gateway]:
    """A gateway whose provider refuses everything: what was held is all that is asked."""

    def refuse(visit: Visit) -> None:
        visit.whole(400, json.dumps({"error": {"message": "no", "type": "invalid_request_error"}}).encode())

    tables = ['[ledger]\ndemo_credit = "1"']
    with Upstream(refuse) as upstream:
        for name in (*DIALECTS.values(), "gemini_generate"):
            tables.append(f'[providers.{name}]\nkey = "secret-key"\nbase_url = "{upstream.base_url}"\nwire = "exact"')
            tables.append(f'dialect = "{name}"\nmodels = ["{name}"]\n[models."{name}"]\nprice = {{ {RATES} }}')
            tables.append(f"context_window = {WINDOW}")
        gateway = Gateway(session_folder, "\n".join(tables))
        yield gateway
        assert gateway.stop() == 0
    assert Books(gateway.data).leased() == 0


@pytest.fixture
def buyer(weighing: Gateway, request: pytest.FixtureRequest) -> Customer:
    return customer_of(weighing, request.node.name, "10", "openai_chat")


def held_tokens(buyer: Customer, path: str, said: dict[str, Any]) -> int:
    """The tokens of the prompt that are held for, beside an answer of one token."""
    one = {CHAT: "max_tokens", "/v1/messages": "max_tokens", "/v1/responses": "max_output_tokens"}.get(path)
    body = {**said, "generationConfig": {"maxOutputTokens": 1}} if one is None else {**said, one: 1}
    answer = buyer.ask("POST", path, body if one is None else {"model": DIALECTS[path], **body})
    assert answer.status == 400, answer
    held = buyer.settled(answer.header("x-request-id"))
    assert held.charged == 0
    return (held.hold * 1000 - PICO["reasoning"]) // PICO["input"]


@pytest.mark.parametrize("name", WORDY)
def test_what_the_model_reads_as_words_is_held_for_as_words(buyer: Customer, name: str) -> None:
    assert held_tokens(buyer, *WORDY[name]) >= WORDS_TOKENS


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_not_in_the_body_is_held_for_as_all_that_the_model_reads(buyer: Customer, name: str) -> None:
    assert WINDOW <= held_tokens(buyer, *ELSEWHERE[name]) < WINDOW + 10_000


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_held_for_by_the_piece(buyer: Customer, name: str) -> None:
    assert 5_000 <= held_tokens(buyer, *PICTURES[name]) < 6_000


def test_who_cannot_pay_for_a_file_is_refused_before_the_provider_hears_of_it(weighing: Gateway) -> None:
    poor = customer_of(weighing, "poor", "0.01", "openai_chat")
    _, said = ELSEWHERE["a chat's file"]
    answer = poor.ask("POST", CHAT, {"model": "openai_chat", **said, "max_tokens": 1})
    assert (answer.status, nano(WINDOW * PICO["input"]) > 10_000_000) == (402, True)
