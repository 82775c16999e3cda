"""The official SDK's Responses API through a gateway, in front of a provider that speaks it too."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.running.processes import Gateway

SEEN: list[dict[str, Any]] = []


def response_of(status: str, text: str | None) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    details = {"input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": f"resp_{len(SEEN)}",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": "upstream-name",
        "output": [] if text is None else [message],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "tools": [],
        "tool_choice": "auto",
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": None if text is None else {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11, **details},
    }


def events_of(text: str) -> Iterator[dict[str, Any]]:
    whole = response_of("completed", text)
    message = whole["output"][0]
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty = {**message["content"][0], "text": ""}
    yield {"type": "response.created", "response": response_of("in_progress", None)}
    yield {
        "type": "response.output_item.added",
        "output_index": 0,
        "item": {**message, "status": "in_progress", "content": []},
    }
    yield {"type": "response.content_part.added", **where, "part": empty}
    for piece in (text[:2], text[2:]):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": message["content"][0]}
    yield {"type": "response.output_item.done", "output_index": 0, "item": message}
    yield {"type": "response.completed", "response": whole}


class _Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        SEEN.append({"path": self.path, **body})
        if body.get("stream"):
            numbered = enumerate(events_of("Hello"))
            kind = "text/event-stream"
            data = "".join(
                f"event: {event['type']}\ndata: {json.dumps({**event, 'sequence_number': number})}\n\n"
                for number, event in numbered
            )
        else:
            kind, data = "application/json", json.dumps(response_of("completed", "Hello"))
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module", params=["exact", "compatible"])
def client(request: pytest.FixtureRequest, session_folder: Path) -> Iterator[openai.OpenAI]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = f"""
[providers.mock]
base_url = "http://127.0.0.1:{server.server_port}/v1"
key = "mock-secret-key"
dialect = "openai_responses"
wire = "{request.param}"
zero_retention = true

[[routes]]
model = "test-model"
provider = "mock"
upstream_model = "upstream-name"

[models.blind]
capabilities = {{ images = false, audio = false }}

[[routes]]
model = "blind"
provider = "mock"
upstream_model = "upstream-name"
"""
    gateway = Gateway(session_folder, config)
    with openai.OpenAI(base_url=gateway.base_url, api_key=gateway.key, max_retries=0) as made:
        yield made
    gateway.stop()
    server.shutdown()
    server.server_close()


@pytest.mark.contract("1.12")
def test_a_response_is_kept_and_gone_on_from(client: openai.OpenAI) -> None:
    first = client.responses.create(model="test-model", input="Hi", instructions="Be kind")
    assert (first.output_text, first.model, first.status) == ("Hello", "test-model", "completed")
    assert first.usage is not None
    assert (first.usage.input_tokens, first.usage.input_tokens_details.cached_tokens) == (9, 2)
    assert (SEEN[-1]["path"], SEEN[-1]["store"]) == ("/v1/responses", False)
    second = client.responses.create(model="test-model", input="And?", previous_response_id=first.id)
    assert second.previous_response_id == first.id
    assert "previous_response_id" not in SEEN[-1] and "instructions" not in SEEN[-1]
    assert [item["role"] for item in SEEN[-1]["input"]] == ["user", "assistant", "user"]
    assert client.responses.retrieve(second.id).output_text == "Hello"
    items = client.responses.input_items.list(second.id, order="asc").data
    assert [getattr(item, "role", None) for item in items] == ["user", "assistant", "user"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="test-model", input="x", previous_response_id=first.id)
    assert refused.value.param == "previous_response_id"


@pytest.mark.contract("1.12")
def test_a_stream_is_whole_and_kept(client: openai.OpenAI) -> None:
    with client.responses.stream(model="test-model", input="Hi") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hello"
    assert (final.output_text, final.model) == ("Hello", "test-model")
    assert client.responses.retrieve(final.id).output_text == "Hello"


@pytest.mark.contract("1.12", "7.6")
def test_what_is_not_to_be_stored_is_not(client: openai.OpenAI) -> None:
    made = client.responses.create(model="test-model", input="Hi", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_the_background_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="test-model", input="Hi", background=True)
    assert refused.value.param == "background"


def test_an_item_is_referred_to(client: openai.OpenAI) -> None:
    first = client.responses.create(model="test-model", input="Hi")
    reference: Any = {"type": "item_reference", "id": first.output[0].id}
    second = client.responses.create(model="test-model", input=[reference, {"role": "user", "content": "And?"}])
    told = [(item["role"], item.get("id")) for item in SEEN[-1]["input"]]
    assert told == [("assistant", first.output[0].id), ("user", None)]
    kept = client.responses.input_items.list(second.id, order="asc").data
    assert [getattr(item, "role", None) for item in kept] == ["assistant", "user"]
    asked = len(SEEN)
    with pytest.raises(openai.NotFoundError) as refused:
        client.responses.create(model="test-model", input=[{"type": "item_reference", "id": "msg_none"}])
    assert refused.value.param == "input"
    assert "Item with id 'msg_none' not found." in refused.value.message
    assert len(SEEN) == asked


def test_what_is_not_to_be_stored_is_not_found(client: openai.OpenAI) -> None:
    made = client.responses.create(model="test-model", input="Hi", store=False)
    assert made.store is False
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError):
        client.responses.create(model="test-model", input="x", previous_response_id=made.id)


def test_of_a_request_that_wants_nothing_kept_nothing_is(client: openai.OpenAI) -> None:
    made = client.responses.create(model="test-model", input="Hi", extra_headers={"x-faregate-no-retention": "true"})
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_nothing_runs_in_the_background(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="test-model", input="Hi", background=True)
    assert refused.value.param == "background"
    made = client.responses.create(model="test-model", input="Hi")
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.cancel(made.id)
    assert "Cannot cancel a synchronous response." in refused.value.message
    with pytest.raises(openai.NotFoundError):
        client.responses.cancel("resp_none")


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ({"type": "input_image", "image_url": "https://a.example/a.png"}, "vision_not_supported_by_model"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "audio_not_supported_by_model"),
    ],
)
def test_what_was_seen_and_heard_before_counts(client: openai.OpenAI, part: Any, code: str) -> None:
    first = client.responses.create(model="test-model", input=[{"role": "user", "content": [part]}])
    asked = len(SEEN)
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="blind", input="And?", previous_response_id=first.id)
    assert refused.value.code == code
    assert len(SEEN) == asked
