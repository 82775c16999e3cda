"""The apilink reference on its examples, keys, endpoints and clients, statement by statement, with curl, the OpenAI
SDKs and LiteLLM. Payments, invoices and the dashboard have tests of their own."""

import json
import re
from pathlib import Path
from typing import Any

import openai
import pytest

from faregate.edge.routes import NAMES
from tests.e2e.processes import LineProcess
from tests.running.client import DONE, Caller, eventually
from tests.running.processes import Gateway

from ..examples import curl, node, ours, python, sdk
from ..tenants import command, tenant_of
from .house import KEY, MODEL, SERVED, URL, assert_error

TYPESCRIPT = """\
import OpenAI from "openai";

const client = new OpenAI({
  apiKey:  "al-your-key-here",          // Your ApiLink key
  baseURL: "https://apilink.io/v1",
});

const response = await client.chat.completions.create({
  model:    "anthropic/claude-sonnet-4-5",  // any model from /v1/models
  messages: [{ role: "user", content: "Hello!" }],
});

console.log(response.choices[0].message.content);
"""
PYTHON = """\
from openai import OpenAI

client = OpenAI(
    api_key  = "al-your-key-here",
    base_url = "https://apilink.io/v1",
)

response = client.chat.completions.create(
    model    = "openai/gpt-4o-mini",
    messages = [{"role": "user", "content": "Hello!"}],
)
print(response.choices[0].message.content)
"""
CHAT = """\
curl https://apilink.io/v1/chat/completions \\
  -H "Authorization: Bearer al-your-key-here" \\
  -H "Content-Type: application/json" \\
  -d '{"model":"openai/gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}'
"""
LIST = """\
curl https://apilink.io/v1/models \\
  -H "Authorization: Bearer al-your-key-here"
"""
CONTINUE = {
    "title": "Claude via ApiLink",
    "provider": "openai",
    "model": "anthropic/claude-sonnet-4-5",
    "apiKey": KEY,
    "apiBase": URL,
}


# Quickstart


@pytest.mark.contract("1.1", "3.1", "8.4")
def test_the_typescript_example(apilink: Gateway, tmp_path: Path) -> None:
    """ "replace OPENAI_BASE_URL and OPENAI_API_KEY in any OpenAI-compatible client": TypeScript, as printed."""
    assert node(ours(TYPESCRIPT, URL, apilink, KEY), tmp_path).strip()


@pytest.mark.contract("1.1", "5.8", "8.4")
def test_the_environment_suffices(apilink: Gateway, tmp_path: Path) -> None:
    """ "replace OPENAI_BASE_URL and OPENAI_API_KEY": in the environment alone."""
    script = re.sub(r"\n  (apiKey|baseURL):[^\n]*", "", TYPESCRIPT)
    assert KEY not in script and URL not in script
    assert node(script, tmp_path, OPENAI_BASE_URL=apilink.base_url, OPENAI_API_KEY=apilink.key).strip()


@pytest.mark.contract("1.1", "8.4")
def test_the_python_example(apilink: Gateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """ "Get your API key from the Dashboard, then replace ...": Python, as printed."""
    answer = python(ours(PYTHON, URL, apilink, KEY), tmp_path)["response"]
    assert answer.model == MODEL
    assert capsys.readouterr().out == f"{answer.choices[0].message.content}\n" != "\n"


@pytest.mark.contract("1.1", "2.1", "8.4")
def test_the_curl_example(apilink: Gateway, tmp_path: Path) -> None:
    """ "All requests require a Bearer token in the Authorization header.": curl, as printed."""
    answer = curl(ours(CHAT, URL, apilink, KEY), tmp_path)
    assert (answer.status, answer.json()["object"], answer.json()["model"]) == (200, "chat.completion", MODEL)


# Authentication, endpoints


@pytest.mark.contract("2.1", "2.6", "9")
def test_keys(apilink: Gateway, idclinks: Gateway) -> None:
    """ "ApiLink keys always start with al-."; "401 | invalid_request_error | Missing or invalid API key"."""
    assert apilink.key.startswith("al-")
    for presented in ("", "Bearer", KEY, f"Bearer {KEY}", f"Basic {apilink.key}", f"Bearer {idclinks.key}"):
        answer = Caller(apilink, "", MODEL).chat(headers={"authorization": presented})
        assert_error(answer, 401, "invalid_request_error")
    assert_error(Caller(apilink, "").get(f"/v1/models?key={apilink.key}"), 401, "invalid_request_error")
    with sdk(apilink, KEY) as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


@pytest.mark.contract("2.3")
def test_keys_are_revoked_on_their_own(apilink: Gateway) -> None:
    """ "Each key can be revoked independently."."""
    tenant = tenant_of(apilink, "revoking", "--metered")
    made = command(apilink, "keys", "create", "key", "--project", tenant.project)
    assert made["key"].startswith("al-")
    revoked, other = Caller(apilink, made["key"], MODEL), tenant.key(model=MODEL)
    assert revoked.chat().status == 200
    command(apilink, "keys", "revoke", made["id"])
    assert_error(eventually(lambda: (answer := revoked.chat()).status == 401 and answer), 401, "invalid_request_error")
    assert other.chat().status == 200


@pytest.mark.contract("1.1", "5.1", "5.2")
def test_chat_completions(apilink: Gateway, caller: Caller) -> None:
    """ "POST | /v1/chat/completions | Chat completions (streaming supported)"."""
    messages: list[Any] = [{"role": "user", "content": "Hello!"}]
    with sdk(apilink) as client:
        whole = client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content
        chunks = list(client.chat.completions.create(model=MODEL, messages=messages, stream=True))
    assert {chunk.model for chunk in chunks} == {MODEL}
    assert "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices) == whole != ""
    assert caller.streamed().body.endswith(DONE)


@pytest.mark.contract("1.16", "9")
@pytest.mark.parametrize("route", sorted(NAMES - SERVED))
def test_what_is_off(route: str, caller: Caller) -> None:
    """ "The full OpenAI API surface (Assistants, Embeddings, etc.) is not yet supported": 404, and the route's name."""
    answer = caller.ask("POST", "/v1" + route.replace("{id}", "gpt-4o-mini"), {})
    assert_error(answer, 404, "invalid_request_error")
    assert answer.error["message"] == f"'{route}' is not served here."


@pytest.mark.contract("1.16", "9")
@pytest.mark.parametrize(
    "path",
    ["assistants", "threads", "embeddings", "images/generations", "audio/speech", "audio/transcriptions", "files",
     "fine_tuning/jobs", "batches", "vector_stores", "moderations", "videos/generations", "music/generations"],
)  # fmt: skip
def test_what_is_not_supported(path: str, caller: Caller) -> None:
    """ "Embeddings, image generation, audio, Assistants API, and fine-tuning are not currently supported."."""
    answer = caller.ask("POST", f"/v1/{path}", {})
    assert_error(answer, 404, "invalid_request_error")
    assert f"/{path}'" in answer.error["message"]
    assert_error(caller.get(f"/api/v1/{path}"), 404, "invalid_request_error")


@pytest.mark.contract("1.9")
def test_the_list_of_models(apilink: Gateway, tmp_path: Path) -> None:
    """ "Fetch the full list of available models programmatically": curl, as printed, and the members as printed."""
    answer = curl(ours(LIST, URL, apilink, KEY), tmp_path)
    assert answer.json()["object"] == "list"
    shown = {each["id"]: each for each in answer.json()["data"]}
    members = ("object", "owned_by", "context_window")
    printed = {
        "anthropic/claude-sonnet-4-5": ("model", "anthropic", 200_000),
        "openai/gpt-4o": ("model", "openai", 128_000),
    }
    for name, values in printed.items():
        assert tuple(shown[name][member] for member in members) == values
    assert all(name.startswith(f"{each['owned_by']}/") for name, each in shown.items())
    narrow = tenant_of(apilink, "narrow", "--metered").key("--model", "gpt-4o", model=MODEL)
    assert narrow.get("/v1/models").json() == answer.json()  # every active one, whatever the key may call


@pytest.mark.contract("1.10", "1.16")
def test_a_model_is_listed_with_nothing_that_is_off(apilink: Gateway, multimodal: Gateway) -> None:
    """Gemini's clients look there for what they may ask."""
    served = {}
    for gateway in (apilink, multimodal):
        caller = Caller(gateway)
        [listed, *_] = caller.get("/v1beta/models").json()["models"]
        asked = caller.get(f"/v1beta/{listed['name']}").json()
        assert asked["supportedGenerationMethods"] == listed["supportedGenerationMethods"]
        served[gateway] = listed["supportedGenerationMethods"]
    assert served == {apilink: [], multimodal: ["generateContent", "countTokens"]}


@pytest.mark.contract("3.1", "3.8")
def test_every_listed_model_answers(apilink: Gateway) -> None:
    """ "any model from /v1/models": each id that is listed or printed is found and answers under that name."""
    with sdk(apilink) as client:
        names = {model.id for model in client.models.list()}
        assert {"anthropic/claude-sonnet-4-5", "openai/gpt-4o", "openai/gpt-4o-mini"} <= names
        for name in sorted(names):
            assert client.models.retrieve(name).id == name
            answer = client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hi"}])
            assert answer.model == name


# Client setup guides


@pytest.mark.contract("5.8", "8.4")
def test_cursor(apilink: Gateway, caller: Caller) -> None:
    """ "Under "Base URL" enter: ... https://apilink.io/v1": flat tools and `input`, as an editor sends them."""
    tool = {"type": "function", "name": "get_time", "parameters": {"type": "object", "properties": {}}}
    body = {"model": MODEL, "input": [{"role": "user", "content": "Hello"}], "tools": [tool], "stream": True}
    answer = caller.ask("POST", "/v1/chat/completions", body)
    assert (answer.status, answer.events[-1]) == (200, "[DONE]")
    assert {event["object"] for event in answer.events[:-1]} == {"chat.completion.chunk"}
    assert caller.ask("POST", "/v1/v1/chat/completions", caller.body()).status == 200


@pytest.mark.contract("5.1", "8.4")
def test_continue(apilink: Gateway, tmp_path: Path) -> None:
    """ "add a provider with type "openai" and set baseUrl and apiKey": what it makes of `apiBase` and `model`."""
    told = json.loads(ours(json.dumps(CONTINUE), URL, apilink, KEY))
    body = {"model": told["model"], "messages": [{"role": "user", "content": "Hi"}], "stream": True, "max_tokens": 99}
    answer = curl(
        f"curl {told['apiBase']}/chat/completions -H 'Authorization: Bearer {told['apiKey']}'"
        f" -H 'Content-Type: application/json' -d '{json.dumps(body)}'",
        tmp_path,
    )
    assert (answer.status, answer.events[-1]) == (200, "[DONE]")
    assert answer.text


@pytest.mark.contract("8.4", "3.1")
@pytest.mark.parametrize("stream", [False, True])
def test_litellm(stream: bool, apilink: Gateway, litellm: LineProcess) -> None:
    """ "Use the openai/ prefix for any model": `litellm.completion` with the arguments that are printed."""
    arguments = {
        "model": "openai/anthropic/claude-sonnet-4-5",
        "messages": [{"role": "user", "content": "Hello"}],
        "api_key": apilink.key,
        "api_base": apilink.base_url,
        "stream": stream,
    }
    given = litellm.ask(arguments)
    assert "error" not in given, given
    said = given["text"] if stream else given["answer"]["choices"][0]["message"]["content"]
    whole = Caller(apilink, model="anthropic/claude-sonnet-4-5").chat(messages=arguments["messages"])
    assert said == whole.json()["choices"][0]["message"]["content"]
    if not stream:
        assert given["answer"]["usage"]["total_tokens"] == whole.json()["usage"]["total_tokens"]


@pytest.mark.contract("8.4", "9")
@pytest.mark.parametrize(
    ("wrong", "error", "status"),
    [
        ({"api_key": KEY}, "AuthenticationError", 401),
        ({"model": "openai/openai/gpt-nothing"}, "NotFoundError", 404),
        ({"temperature": 9}, "BadRequestError", 400),
        ({"extra_body": {"simulator": {"status": 500}}}, "ServiceUnavailableError", 503),
    ],
)
def test_litellm_is_told_of_errors(
    wrong: dict[str, Any], error: str, status: int, apilink: Gateway, litellm: LineProcess
) -> None:
    """ "Use the openai/ prefix for any model": what is wrong reaches its users as LiteLLM's own kind of error."""
    arguments = {
        "model": "openai/openai/gpt-4o-mini",
        "messages": [{"role": "user", "content": "Hello"}],
        "api_key": apilink.key,
        "api_base": apilink.base_url,
    }
    given = litellm.ask(arguments | wrong)
    assert (given["error"], given["status"]) == (error, status), given


@pytest.mark.contract("8.4", "5.8")
def test_aider(apilink: Gateway, litellm: LineProcess) -> None:
    """ "Pass --openai-api-base and --openai-api-key on the command line": Aider gives both to LiteLLM, which it calls
    models by."""
    given = litellm.ask(
        {
            "model": f"openai/{MODEL}",
            "messages": [{"role": "user", "content": "Hello"}],
            "base_url": apilink.base_url,
            "api_key": apilink.key,
            "stream": True,
            "temperature": 0,
        }
    )
    assert given.get("text"), given
