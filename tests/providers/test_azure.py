"""Azure's wire through the gateway: its paths and credentials, and what its content filter says."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from faregate.providers.azure import placing
from tests.running.client import CHAT, HELLO, Answer, Caller
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import Upstream, Visit

SAFE = {"hate": {"filtered": False, "severity": "safe"}}
PROMPT = [{"prompt_index": 0, "content_filter_results": SAFE}]
NOBODY = {"id": "", "object": "", "created": 0, "model": ""}
SOMEBODY = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 7, "model": "gpt-4o-2024-08-06"}
OFFSETS = {"check_offset": 44, "start_offset": 44, "end_offset": 198}
USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}


def choice(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    given = {} if delta is None else {"delta": delta}
    return {"index": 0, "finish_reason": finish, **given, **more}


def chunks(finish: str = "stop") -> list[dict[str, Any]]:
    """A stream with the asynchronous filter: annotations in the midst, and after the finish."""
    note = choice(None, content_filter_results=SAFE, content_filter_offsets=OFFSETS)
    return [
        {**NOBODY, "choices": [], "prompt_filter_results": PROMPT},
        {**SOMEBODY, "choices": [choice({"role": "assistant", "content": ""}, content_filter_results={})]},
        {**SOMEBODY, "choices": [choice({"content": "Grü"}, content_filter_results=SAFE)]},
        {**NOBODY, "choices": [note]},
        {**SOMEBODY, "choices": [choice({"content": "ße"}, content_filter_results=SAFE)]},
        {**SOMEBODY, "choices": [choice({}, finish, content_filter_results=SAFE)]},
        {**NOBODY, "choices": [note]},
        {**SOMEBODY, "choices": [], "usage": USAGE},
    ]


def stream_bytes(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in events) + b"data: [DONE]\n\n"


def in_pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """Cut at random places."""
    dice = random.Random(seed)
    while data:
        size = dice.choice((1, 3, 17, 200, 1000))
        yield data[:size]
        data = data[size:]


@pytest.fixture(scope="module")
def scripted_azure(session_folder: Path, scripted: Upstream) -> Iterator[Gateway]:
    """Azure as a script says, switched on by the environment alone."""
    process = Gateway(
        session_folder,
        '[[routes]]\nmodel = "gpt-4o"\nprovider = "azure"\nupstream_model = "our gpt/4"\n',
        {
            "AZURE_OPENAI_ENDPOINT": f"http://127.0.0.1:{scripted.port}/",
            "AZURE_OPENAI_API_KEY": "azure-secret-key",
            "OPENAI_API_VERSION": "2025-04-01-preview",
        },
    )
    yield process
    process.stop()


@pytest.fixture
def azure(scripted_azure: Gateway) -> Caller:
    return Caller(scripted_azure, model="gpt-4o")


@pytest.mark.parametrize("seed", range(5))
def test_a_filtered_stream_is_one_answer(azure: Caller, scripted: Upstream, seed: int) -> None:
    """One id, one model, a delta in each choice; what the filter said is all there, and the finish comes once."""
    data = stream_bytes(chunks())

    def script(visit: Visit) -> None:
        visit.stream(*in_pieces(data, seed))
        visit.end()

    scripted.play(script)
    answer = azure.streamed(stream_options={"include_usage": True})
    *events, end = answer.events
    assert (end, answer.text) == ("[DONE]", "Grüße")
    assert {(each["id"], each["object"], each["created"]) for each in events} == {
        ("chatcmpl-7", "chat.completion.chunk", 7)
    }
    assert {each["model"] for each in events} == {"gpt-4o-2024-08-06"}
    assert (events[0]["choices"], events[0]["prompt_filter_results"]) == ([], PROMPT)
    choices = [each for event in events for each in event["choices"]]
    assert all(isinstance(each["delta"], dict) for each in choices)
    assert sum("content_filter_offsets" in each for each in choices) == 2
    assert [each["finish_reason"] for each in choices if each["finish_reason"]] == ["stop"]
    assert events[-1]["usage"]["total_tokens"] == 11


def test_a_filtered_answer_passes_whole(azure: Caller, scripted: Upstream) -> None:
    said = {
        **SOMEBODY,
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Grü"},
                "finish_reason": "content_filter",
                "content_filter_results": SAFE,
            }
        ],
        "prompt_filter_results": PROMPT,
        "usage": USAGE,
    }
    scripted.play(lambda visit: visit.whole(200, json.dumps(said).encode()))
    answer = azure.chat().json()
    assert answer["prompt_filter_results"] == PROMPT
    assert answer["choices"][0]["content_filter_results"] == SAFE
    assert answer["choices"][0]["finish_reason"] == "content_filter"


REFUSAL = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": SAFE},
    }
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_is_filtered_is_400(azure: Caller, scripted: Upstream, stream: bool) -> None:
    scripted.play(lambda visit: visit.whole(400, json.dumps(REFUSAL).encode()))
    refused = azure.streamed() if stream else azure.chat()
    assert refused.status == 400
    assert (refused.error["code"], refused.error["param"]) == ("content_filter", "prompt")
    assert "content management policy" in refused.error["message"]


def filtered(seed: int) -> Callable[[Visit], None]:
    data = stream_bytes(chunks("content_filter"))

    def script(visit: Visit) -> None:
        visit.stream(*in_pieces(data, seed))
        visit.end()

    return script


def refusing(visit: Visit) -> None:
    visit.whole(400, json.dumps(REFUSAL).encode())


# To a client of another dialect an answer that is filtered ends as its own do, a filtered prompt is a bad request.


def test_the_filter_as_anthropics_sdk_sees_it(azure: Caller, scripted: Upstream) -> None:
    origin = azure.gateway.base_url.removesuffix("/v1")
    asked: Any = {"model": "gpt-4o", "max_tokens": 50, "messages": HELLO}
    with anthropic.Anthropic(base_url=origin, api_key=azure.key, max_retries=0) as client:
        visits = scripted.play(filtered(0))
        with client.messages.stream(**asked) as stream:
            final = stream.get_final_message()
        assert (final.content[0].text, final.stop_reason) == ("Grüße", "refusal")  # type: ignore[union-attr]
        assert visits[0].json()["max_tokens"] == 50  # which every version knows
        scripted.play(refusing)
        with pytest.raises(anthropic.BadRequestError, match="content management policy"):
            client.messages.create(**asked)


def test_the_filter_as_googles_sdk_sees_it(azure: Caller, scripted: Upstream) -> None:
    options = types.HttpOptions(base_url=azure.gateway.base_url.removesuffix("/v1"))
    with genai.Client(api_key=azure.key, http_options=options) as client:
        scripted.play(filtered(1))
        pieces = list(client.models.generate_content_stream(model="gpt-4o", contents="hello"))
        assert "".join(piece.text or "" for piece in pieces) == "Grüße"
        (ended,) = [each for piece in pieces for each in piece.candidates or () if each.finish_reason]
        assert ended.finish_reason is types.FinishReason.SAFETY
        scripted.play(refusing)
        with pytest.raises(errors.ClientError, match="content management policy"):
            client.models.generate_content(model="gpt-4o", contents="hello")


def test_the_filter_as_openais_sdk_sees_it(azure: Caller, scripted: Upstream) -> None:
    asked: Any = {"model": "gpt-4o", "messages": HELLO}
    with openai.OpenAI(base_url=azure.gateway.base_url, api_key=azure.key, max_retries=0) as client:
        scripted.play(filtered(2))
        with pytest.raises(openai.ContentFilterFinishReasonError), client.chat.completions.stream(**asked) as stream:
            stream.get_final_completion()
        scripted.play(refusing)
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(**asked)
        assert refused.value.code == "content_filter"


def test_what_a_request_looks_like(azure: Caller, scripted: Upstream) -> None:
    visits = scripted.play(lambda visit: visit.whole(500, b""))
    azure.chat()
    lines = visits[0].head.decode().lower().split("\r\n")
    path = "/openai/deployments/our%20gpt%2f4/chat/completions?api-version=2025-04-01-preview"
    assert lines[0] == f"post {path} http/1.1"
    fields = dict(line.split(": ", 1) for line in lines[1:])
    assert fields["api-key"] == "azure-secret-key"
    assert "authorization" not in fields


@pytest.mark.parametrize(
    ("version", "chat", "responses"),
    [
        ("2024-10-21", "/openai/deployments/d/chat/completions?api-version=2024-10-21", "?api-version=2024-10-21"),
        ("v1", "/openai/v1/chat/completions", ""),
        ("preview", "/openai/v1/chat/completions?api-version=preview", "?api-version=preview"),
    ],
)
def test_places(version: str, chat: str, responses: str) -> None:
    place = placing(version)
    assert place("/chat/completions", "d") == chat
    form = "/openai/v1" if version in ("v1", "preview") else "/openai"
    assert place("/responses", "d") == f"{form}/responses{responses}"


@pytest.mark.parametrize(("model", "name"), [("renamed", "our gpt"), ("renamed-v1", "our-gpt")])
def test_every_operation_and_both_forms(caller: Caller, simulator: Simulator, model: str, name: str) -> None:
    def answered(path: str, **members: Any) -> Answer:
        answer = caller.ask("POST", path, {"model": model, **members})
        assert answer.status == 200, answer.body
        assert simulator.get("/simulator/last_request")["body"]["model"] == name
        return answer

    assert answered(CHAT, messages=HELLO).json()["choices"][0]["message"]["content"]
    assert answered("/v1/completions", prompt="hello").json()["choices"][0]["text"]
    assert answered("/v1/completions", prompt="hello", stream=True).body.endswith(b"data: [DONE]\n\n")
    assert answered("/v1/responses", input="hello").json()["output"]
    assert b"response.completed" in answered("/v1/responses", input="hello", stream=True).body


def test_a_late_annotation_of_the_simulators(caller: Caller) -> None:
    answer = caller.streamed(model="late-async")
    finishes = [choice["finish_reason"] for event in answer.events[:-1] for choice in event["choices"]]
    assert [each for each in finishes if each] == ["stop"] and finishes[-1] == "stop"
