"""Searches of the web that a provider makes are paid for by the piece: held for, and charged as its answer tells them,
though not its usage (OpenAI's guide to web search; Gemini's grounding metadata)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faregate.core.money import parse_amount
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, Visit

from .books import Customer, customer_of
from .conftest import priced
from .killing_workers import stopped_in_order

SEARCH_NANO = 10_000_000
PRICE = 'price = { input = "1", output = "4", search = "0.01" }'
WIRES = ("exact", "compatible")
CLIENTS = {"responses": "/v1/responses", "gemini": "/v1beta/models/{}:{}"}


@pytest.fixture(scope="module")
def script() -> Iterator[Upstream]:
    with Upstream(lambda visit: visit.whole(500, b"{}")) as upstream:
        yield upstream


@pytest.fixture(scope="module")
def searching(session_folder: Path, simulator: Simulator, script: Upstream) -> Iterator[Gateway]:
    tables = []
    for dialect, name in (("openai_responses", "responses"), ("gemini_generate", "gemini")):
        for wire in WIRES:
            tables.append(
                f'[providers.{name}-{wire}]\nbase_url = "{script.base_url}"\nkey = "k"\ndialect = "{dialect}"\n'
                f'wire = "{wire}"\nmodels = ["{name}-{wire}"]\n[models."{name}-{wire}"]\n{PRICE}'
            )
    tables.append(f'[providers.claude]\nbase_url = "{script.base_url}"\nkey = "k"\ndialect = "anthropic_messages"')
    tables.append(f'models = ["claude"]\n[models."claude"]\n{PRICE}')
    gateway = Gateway(session_folder, priced(simulator, models="\n".join(tables)))
    yield gateway
    stopped_in_order(gateway)


@pytest.fixture
def buyer(searching: Gateway, request: pytest.FixtureRequest) -> Customer:
    return customer_of(searching, request.node.name, "10", "claude")


def search_call(action: dict[str, Any] | None) -> dict[str, Any]:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    return item if action is None else {**item, "action": action}


OUTPUTS = {  # what a response holds besides its text, and how many searches that is
    "none": ([], 0),
    "one": ([search_call({"type": "search", "query": "a"})], 1),
    "of-old": ([search_call(None)], 1),
    "three": ([search_call({"type": "search", "query": word}) for word in "abc"], 3),
    "only-opened": ([search_call({"type": "open_page", "url": "https://a.example"})], 0),
    "looked-in": ([search_call({"type": "search", "query": "a"}), search_call({"type": "find_in_page"})], 1),
    "odd": ([search_call({"type": "search"}), {**search_call(None), "action": 7}], 1),
}


def response_of(output: list[dict[str, Any]]) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Hello", "annotations": []}
    message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [text]}
    usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    return {**head, "output": [*output, message], "usage": usage}


def responds(output: list[dict[str, Any]]) -> Any:
    response = response_of(output)

    def script(visit: Visit) -> None:
        if not visit.json().get("stream"):
            visit.whole(200, json.dumps(response).encode())
            return
        begun = {**response, "status": "in_progress", "output": [], "usage": None}
        delta = {"item_id": "msg_1", "output_index": len(output), "content_index": 0, "delta": "Hello", "logprobs": []}
        events = [
            ("response.created", {"response": begun}),
            ("response.output_text.delta", delta),
            ("response.completed", {"response": response}),
        ]
        visit.stream(*(event_of(kind, number, data) for number, (kind, data) in enumerate(events)))
        visit.end()

    return script


def event_of(kind: str, number: int, data: dict[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': number, **data})}\n\n".encode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("case", OUTPUTS)
def test_searches_of_a_response(buyer: Customer, script: Upstream, case: str, wire: str, stream: bool) -> None:
    output, searches = OUTPUTS[case]
    script.play(responds(output))
    body = {"model": f"responses-{wire}", "input": "hello", "stream": stream, "tools": [{"type": "web_search"}]}
    answer = buyer.ask("POST", CLIENTS["responses"], body)
    assert answer.status == 200
    assert_charged(buyer, answer.header("x-request-id"), searches)


def assert_charged(buyer: Customer, request_id: str | None, searches: int) -> None:
    cost = 100 * 1_000 + 10 * 4_000 + searches * SEARCH_NANO
    reservation = buyer.settled(request_id)
    assert (buyer.spent, reservation.charged) == (cost, cost)
    assert reservation.hold >= cost
    assert buyer.record(request_id)["usage"].get("searches", 0) == searches


GROUNDINGS = {  # of the pieces of an answer, and whether it was searched for
    "none": ([None, None], 0),
    "at-the-end": ([None, {"webSearchQueries": ["a", "b"]}], 1),
    "before-the-end": ([{"webSearchQueries": ["a"]}, None], 1),
    "empty": ([None, {"webSearchQueries": []}], 0),
    "no-queries": ([None, {"groundingChunks": []}], 0),
    "odd": ([None, {"webSearchQueries": 7}], 0),
}


def grounds(pieces: list[dict[str, Any] | None]) -> Any:
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110}
    said = []
    for number, grounding in enumerate(pieces):
        last = number == len(pieces) - 1
        candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": [{"text": f"word {number} "}]}}
        if last:
            candidate["finishReason"] = "STOP"
        if grounding is not None:
            candidate["groundingMetadata"] = grounding
        said.append({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"})

    def script(visit: Visit) -> None:
        if b"streamGenerateContent" in visit.head:
            visit.stream(*(b"data: %b\r\n\r\n" % json.dumps(piece).encode() for piece in said))
            visit.end()
            return
        whole = json.loads(json.dumps(said[-1]))
        for piece in said[:-1]:
            whole["candidates"][0]["groundingMetadata"] = piece["candidates"][0].get(
                "groundingMetadata", whole["candidates"][0].get("groundingMetadata")
            )
        visit.whole(200, json.dumps(whole).encode())

    return script


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("client", ["gemini", "responses"])
@pytest.mark.parametrize("case", GROUNDINGS)
def test_grounded_answers(buyer: Customer, script: Upstream, case: str, client: str, stream: bool) -> None:
    """Paid for by the prompt, however many queries it took; for clients of other dialects too."""
    pieces, searches = GROUNDINGS[case]
    script.play(grounds(pieces))
    if client == "gemini":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        body: dict[str, Any] = {"contents": [{"parts": [{"text": "hello"}]}], "tools": [{"googleSearch": {}}]}
        answer = buyer.ask("POST", CLIENTS["gemini"].format("gemini-exact", verb), body)
    else:
        body = {"model": "gemini-compatible", "input": "hello", "stream": stream}
        answer = buyer.ask("POST", CLIENTS["responses"], body)
    assert answer.status == 200, answer.body
    assert_charged(buyer, answer.header("x-request-id"), searches)


HELD: dict[str, tuple[str, list[dict[str, Any]], int]] = {  # what is asked for, and for how many searches is held
    "usual": ("/v1/messages", [{"type": "web_search_20250305", "name": "web_search"}], 10),
    "bounded": ("/v1/messages", [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}], 3),
    "absurd": ("/v1/messages", [{"type": "web_search_20250305", "name": "web_search", "max_uses": 10**9}], 100),
    "negative": ("/v1/messages", [{"type": "web_search_20250305", "name": "web_search", "max_uses": -5}], 0),
    "fetch": ("/v1/messages", [{"type": "web_fetch_20250910", "name": "web_fetch"}], 0),
    "responses": ("/v1/responses", [{"type": "web_search"}], 10),
    "responses-preview": ("/v1/responses", [{"type": "web_search_preview"}], 10),
    "files": ("/v1/responses", [{"type": "file_search", "vector_store_ids": ["v"]}], 0),
}


@pytest.mark.parametrize("case", HELD)
def test_searches_are_held_for(buyer: Customer, case: str) -> None:
    """Besides what any tool of the provider's own is held for."""
    path, tools, searches = HELD[case]
    said = {"model": "responses-exact", "input": "hello"}
    if path == "/v1/messages":
        said = {"model": "claude", "max_tokens": 10, "messages": [{"role": "user", "content": "hello"}]}
    held_nano = []
    for given in (tools, [{**tool, "type": "code_execution_20250522"} for tool in tools]):
        quote = buyer.ask("POST", "/v1/quote", {"path": path, "body": {**said, "tools": given}}).json()
        held_nano.append(parse_amount(quote["held"]))
    assert round((held_nano[0] - held_nano[1]) / SEARCH_NANO, 2) == searches  # their names are as long but for a little
