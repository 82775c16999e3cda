"""The idclinks reference on addresses, request headers, models and chat, statement by statement, with curl and the
OpenAI SDKs."""

import json
import os
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.running.client import DONE, Caller, last_entry
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import USAGE, Upstream, Visit

from ..examples import curl, node, ours, python, sdk
from ..ladder import IMAGE
from ..tenants import tenant_of
from .house import MODEL, ROUTING, URL, assert_error, streamed_head

EXAMPLE = """\
curl https://api.idclinks.com/v1/chat/completions \\
 -H "Authorization: Bearer $IDCLINKS_KEY" \\
 -H "Content-Type: application/json" \\
 -d '{ "model": "claude-sonnet-4.6", "messages": [ {"role": "user", "content": "Hello, world."} ] }'
"""
STREAMED = """\
curl -N https://api.idclinks.com/v1/chat/completions \\
 -H "Authorization: Bearer $IDCLINKS_KEY" \\
 -H "Content-Type: application/json" \\
 -d '{ "model": "deepseek-v4", "messages": [{"role":"user","content":"Hi"}], "stream": true }'
"""
PYTHON = """\
from openai import OpenAI

client = OpenAI(
    base_url="https://api.idclinks.com/v1",
    api_key=os.environ["IDCLINKS_KEY"],
)
resp = client.chat.completions.create(
    model="claude-sonnet-4.6",
    messages=[{"role": "user", "content": "Hi"}],
)
print(resp.choices[0].message.content)
"""
NODE = """\
import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "https://api.idclinks.com/v1",
  apiKey: process.env.IDCLINKS_KEY,
});
const resp = await client.chat.completions.create({
  model: "gpt-5.5",
  messages: [{ role: "user", content: "Hi" }],
});
"""
TABLE = [
    ("gemini-3.1-pro", 1_000_000),
    ("gpt-5.5", 1_000_000),
    ("claude-opus-4.7", 1_000_000),
    ("claude-sonnet-4.6", 1_000_000),
    ("gpt-5.4-mini", 400_000),
    ("gemini-3-flash", 1_000_000),
    ("llama-4-maverick", 1_000_000),
    ("deepseek-v4", 1_000_000),
    ("qwen3-max", 256_000),
    ("phi-4", 16_000),
]


# Address, examples


@pytest.mark.contract("1.1", "2.1", "8.4")
def test_the_first_example(idclinks: Gateway, tmp_path: Path) -> None:
    """ "Every request goes to https://api.idclinks.com/v1. Set your API key ...": as printed."""
    answer = curl(ours(EXAMPLE, URL, idclinks), tmp_path, IDCLINKS_KEY=idclinks.key)
    assert answer.status == 200
    assert answer.json()["object"] == "chat.completion"
    assert answer.json()["model"] == MODEL
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    assert set(ROUTING) <= answer.names


@pytest.mark.contract("5.1", "8.4")
def test_the_streamed_example(idclinks: Gateway, tmp_path: Path) -> None:
    """ "Responses arrive as text/event-stream ... The final chunk is [DONE]": as printed."""
    answer = curl(ours(STREAMED, URL, idclinks), tmp_path, IDCLINKS_KEY=idclinks.key)
    assert (answer.status, answer.header("content-type")) == (200, "text/event-stream; charset=utf-8")
    assert answer.body.endswith(DONE)
    assert {event["object"] for event in answer.events[:-1]} == {"chat.completion.chunk"}
    assert {event["model"] for event in answer.events[:-1]} == {"deepseek-v4"}
    assert not any(event.get("usage") for event in answer.events[:-1])  # it was not asked for
    assert answer.text
    assert set(ROUTING) <= answer.names


@pytest.mark.contract("1.1", "8.4")
def test_the_python_example(
    idclinks: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """ "The idclinks API is OpenAI-compatible. ... change the base URL and you're done": Python, as printed."""
    monkeypatch.setitem(os.environ, "IDCLINKS_KEY", idclinks.key)
    answer = python(ours(PYTHON, URL, idclinks), tmp_path)["resp"]
    assert answer.model == MODEL
    assert capsys.readouterr().out == f"{answer.choices[0].message.content}\n"


@pytest.mark.contract("1.1", "8.4")
def test_the_node_example(idclinks: Gateway, tmp_path: Path) -> None:
    """ "The idclinks API is OpenAI-compatible. ... change the base URL and you're done": Node, as printed."""
    script = ours(NODE, URL, idclinks) + "console.log(JSON.stringify(resp));\n"
    answer = json.loads(node(script, tmp_path, IDCLINKS_KEY=idclinks.key))
    assert answer["model"] == "gpt-5.5"
    assert answer["choices"][0]["message"]["content"]


# Request headers


@pytest.mark.contract("2.1", "2.6", "9")
def test_authorization(idclinks: Gateway, apilink: Gateway) -> None:
    """ "Authorization | Yes | Format: Bearer idc_live_…": without it, and with any other key, 401."""
    assert idclinks.key.startswith("idc_live_")
    for presented in ("", "Bearer", f"Basic {idclinks.key}", "Bearer idc_live_nothing", f"Bearer {apilink.key}"):
        answer = Caller(idclinks, "", MODEL).chat(headers={"authorization": presented})
        assert_error(answer, 401, "authentication_error", "invalid_api_key")
    assert_error(
        Caller(idclinks, "").get(f"/v1/models?key={idclinks.key}"), 401, "authentication_error", "invalid_api_key"
    )


@pytest.mark.contract("5.6", "9")
def test_content_type(idclinks: Gateway, caller: Caller, tmp_path: Path) -> None:
    """ "Content-Type | Yes | application/json": what curl says unasked is refused."""
    without = EXAMPLE.replace(' -H "Content-Type: application/json" \\\n', "")
    assert without != EXAMPLE
    answer = curl(ours(without, URL, idclinks), tmp_path, IDCLINKS_KEY=idclinks.key)
    assert_error(answer, 400, "invalid_request_error", None, "Content-Type")
    for said, status in (("text/plain", 400), ("", 400), ("Application/JSON; charset=utf-8", 200)):
        assert caller.chat(headers={"content-type": said}).status == status


@pytest.mark.contract("2.4", "4.6")
def test_project_id(idclinks: Gateway) -> None:
    """ "idc-project-id | No | Override the project the request bills against"."""
    tenant = tenant_of(idclinks, "agency", "--metered")
    client, foreign = tenant.another_project("client"), tenant.another_project("foreign")
    caller = tenant.key("--bill", client.project, model=MODEL)
    own = caller.chat()
    billed = caller.chat(headers={"idc-project-id": client.project})
    assert caller.record(own.header("idc-request-id"))["project_id"] == tenant.project
    assert caller.get(f"/v1/requests/{billed.header('idc-request-id')}").status == 404
    record = client.key(model=MODEL).record(billed.header("idc-request-id"))
    assert (record["project_id"], record["cost"]) == (client.project, billed.header("x-credits-used"))
    for project in (foreign.project, "no-project"):
        answer = caller.chat(headers={"idc-project-id": project})
        assert_error(answer, 403, "permission_error", "project_not_allowed")


@pytest.mark.contract("3.2", "3.3", "4.2")
@pytest.mark.parametrize("region", ["us-east", "eu-fra", "ap-sg"])
def test_region_hint(region: str, caller: Caller) -> None:
    """ "idc-region-hint | No | us-east, eu-fra, ap-sg, etc."; one that is no region is no more than a hint."""
    for answer in (
        caller.chat(headers={"idc-region-hint": region}),
        streamed_head(caller, {"idc-region-hint": region}),
    ):
        assert (answer.header("idc-region"), answer.header("idc-replica")) == (region, f"{region}-1")
    assert caller.chat(headers={"idc-region-hint": "atlantis"}).header("idc-region") == "us-east"


@pytest.mark.contract("3.4", "9")
def test_no_retention(caller: Caller, simulator: Simulator) -> None:
    """ "idc-no-retention | No | true forces zero-retention route"; where there is none it is refused."""
    answer = caller.chat(headers={"idc-no-retention": "true", "idc-region-hint": "us-east"})
    assert (answer.status, answer.header("idc-region")) == (200, "eu-fra")
    assert caller.chat(headers={"idc-no-retention": "false"}).header("idc-region") == "us-east"
    since = last_entry(simulator)
    answer = caller.chat(headers={"idc-no-retention": "true"}, model="gpt-5.5")
    assert_error(answer, 400, "invalid_request_error", "no_retention_unavailable")
    answer = caller.chat(headers={"idc-no-retention": "perhaps"})
    assert_error(answer, 400, "invalid_request_error", None, "idc-no-retention")
    assert last_entry(simulator) == since


# Models


@pytest.mark.contract("1.9", "3.1", "3.8")
@pytest.mark.parametrize(("identifier", "context"), TABLE)
def test_models(identifier: str, context: int, idclinks: Gateway) -> None:
    """ "Pass the model as a string. Names are stable across regions": each is found, answers, and has its context."""
    with sdk(idclinks) as client:
        model = client.models.retrieve(identifier)
        assert model.id == identifier
        assert context <= getattr(model, "context_window") <= context * 1.05  # noqa: B009 - not of the SDK's
        answer = client.chat.completions.create(model=identifier, messages=[{"role": "user", "content": "Hi"}])
        assert answer.model == identifier
        assert answer.choices[0].message.content


@pytest.mark.contract("3.1", "9")
def test_no_such_model(caller: Caller) -> None:
    """ "Pass the model as a string": one that is not in the catalog is 404, and near is not there."""
    for name in ("claude-sonnet-4", "gpt-5.5-us-east", "phi"):
        assert_error(caller.chat(model=name), 404, "not_found_error", "model_not_found", "model")


# Chat


@pytest.mark.contract("1.1", "5.1")
def test_request_and_response_shapes(idclinks: Gateway, simulator: Simulator) -> None:
    """ "The full message array, role types, and parameter list are unchanged.": all of it reaches the provider."""
    asked: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi", "name": "anna"},
            {"role": "assistant", "content": "Hello."},
            {"role": "user", "content": "Again"},
        ],
        "temperature": 0.5,
        "top_p": 0.9,
        "n": 2,
        "stop": ["END"],
        "max_tokens": 50,
        "presence_penalty": 0.1,
        "frequency_penalty": -0.1,
        "logit_bias": {"50256": -100},
        "logprobs": True,
        "top_logprobs": 2,
        "seed": 7,
        "user": "anna",
    }
    with sdk(idclinks) as client:
        answer = client.chat.completions.create(model="gpt-4o", **asked)
    sent = simulator.get("/simulator/last_request")["body"]
    assert {name: sent[name] for name in asked} == asked
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert answer.object == "chat.completion" and answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris"]}},
            "required": ["city"],
        },
    },
}


@pytest.mark.contract("1.1", "3.10")
@pytest.mark.parametrize(
    "model", ["claude-sonnet-4.6", "gpt-5.5", "gemini-3.1-pro", "mistral-large-2512", "command-r-plus-08-2024"]
)
def test_tools(model: str, idclinks: Gateway) -> None:
    """ "Models that support tool-use will emit tool_calls ...; reply with a tool-role message and the result."."""
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Paris?"}]
    with sdk(idclinks) as client:
        asked = client.chat.completions.create(model=model, messages=messages, tools=[TOOL], tool_choice="required")
        (call,) = asked.choices[0].message.tool_calls or ()
        assert (asked.choices[0].finish_reason, call.type) == ("tool_calls", "function")
        assert json.loads(call.function.arguments) == {"city": "Paris"}
        messages += [asked.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "21 degrees"}]
        told = client.chat.completions.create(model=model, messages=messages, tools=[TOOL])
        assert (told.choices[0].finish_reason, bool(told.choices[0].message.content)) == ("stop", True)


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORMAT: dict[str, Any] = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


def says(*texts: str) -> Any:
    """A script: these answers, one after the other."""
    left = list(texts)

    def script(visit: Visit) -> None:
        message = {"role": "assistant", "content": left.pop(0)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "qwen3-max", "choices": [choice]}
        visit.whole(200, json.dumps({**body, "usage": USAGE}).encode())

    return script


@pytest.mark.contract("5.4", "9")
def test_structured_output(idclinks: Gateway, scripted: Upstream) -> None:
    """ "The gateway validates against your schema and retries once on a validation miss"."""
    asked: dict[str, Any] = {"model": "qwen3-max", "messages": [{"role": "user", "content": "Where?"}]}
    with sdk(idclinks, **{"idc-region-hint": "ap-sg"}) as client:
        for texts in (('{"city": "Paris"}',), ('{"town": "Paris"}', '{"city": "Paris"}')):
            visits = scripted.play(says(*texts))
            raw = client.chat.completions.with_raw_response.create(**asked, response_format=FORMAT)
            assert json.loads(raw.parse().choices[0].message.content or "") == {"city": "Paris"}
            assert len(visits) == len(texts)
        visits = scripted.play(says('{"town": "Paris"}', "Paris"))
        with pytest.raises(openai.UnprocessableEntityError) as caught:
            client.chat.completions.create(**asked, response_format=FORMAT)
    assert (caught.value.type, caught.value.code) == ("invalid_response_error", "schema_validation_failed")
    assert len(visits) == 2


@pytest.mark.contract("5.5", "1.1", "3.9")
@pytest.mark.parametrize("url", ["https://example.com/a.png", IMAGE])
def test_images(url: str, idclinks: Gateway, simulator: Simulator) -> None:
    """ "Public URLs and base64 data URIs are both supported."; a model that cannot see says so."""
    part: Any = {"type": "image_url", "image_url": {"url": url}}
    messages: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]
    with sdk(idclinks) as client:
        assert client.chat.completions.create(model="gpt-5.5", messages=messages).choices[0].message.content
        assert simulator.get("/simulator/last_request")["body"]["messages"] == messages
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="phi-4", messages=messages)
    assert caught.value.code == "vision_not_supported_by_model"


@pytest.mark.contract("1.9")
def test_the_vision_tag(caller: Caller) -> None:
    """ "Vision-capable models are flagged in the catalog with the vision tag."."""
    tags = {model["id"]: model["tags"] for model in caller.get("/v1/models").json()["data"]}
    assert {name for name, tagged in tags.items() if "vision" not in tagged} >= {"phi-4", "qwen3-max"}
    assert {name for name, tagged in tags.items() if "vision" in tagged} >= {"gpt-5.5", "claude-sonnet-4-6"}
