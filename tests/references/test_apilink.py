"""The apilink reference, statement by statement, with curl, the OpenAI SDKs and LiteLLM. Payments, invoices and the
dashboard have tests of their own."""

import json
import re
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from faregate.edge.routes import NAMES
from tests.e2e.processes import ROOT, LineProcess
from tests.running.client import DONE, Answer, Caller, eventually, last_entry
from tests.running.processes import Gateway, Simulator

from .examples import curl, node, ours, python, sdk
from .ladder import climb
from .tenants import command, tenant_of

URL, KEY = "https://apilink.io/v1", "al-your-key-here"
MODEL = "openai/gpt-4o-mini"
MEMBERS = ["message", "type", "request_id"]
SERVED = {"/chat/completions", "/models", "/models/{id}"}

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


@pytest.fixture
def caller(apilink: Gateway) -> Caller:
    return Caller(apilink, model=MODEL)


@pytest.fixture(scope="module")
def litellm() -> Iterator[LineProcess]:
    """LiteLLM, started once: that takes it some seconds."""
    interpreter = ROOT / ".venv-litellm" / "bin" / "python"
    if not interpreter.exists():
        pytest.fail("not installed: LiteLLM. `make setup` (or `make test`) installs it.", pytrace=False)
    process = LineProcess([str(interpreter), str(Path(__file__).parent / "litellm_client.py")], "LiteLLM")
    yield process
    process.stop()


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
    assert_error(caller.ask("POST", f"/v1/{path}", {}), 404, "invalid_request_error")
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


# Errors


@pytest.mark.contract("7.1", "9")
def test_no_balance(apilink: Gateway, simulator: Simulator) -> None:
    """ "402 | insufficient_quota | Balance is $0.00 — recharge in the dashboard": and the words that are printed."""
    caller = tenant_of(apilink, "poor").key(model=MODEL)
    since = last_entry(simulator)
    for answer in (caller.chat(), caller.chat(stream=True)):
        assert_error(answer, 402, "insufficient_quota")
        assert answer.error["message"] == "Insufficient balance. Recharge at https://apilink.io/dashboard"
    assert last_entry(simulator) == since


@pytest.mark.contract("7.1", "7.3")
def test_less_than_the_estimate(apilink: Gateway, simulator: Simulator) -> None:
    """ "If your balance is below the estimate, the request returns a 402 error before reaching the upstream"."""
    tenant = tenant_of(apilink, "thrifty")
    command(apilink, "credits", "add", tenant.organisation, "0.001", "--reason", "paid")
    caller = tenant.key(model=MODEL)
    affordable = caller.chat(max_tokens=100)
    assert (affordable.status, Decimal(affordable.header("x-credits-used") or "") > 0) == (200, True)
    since = last_entry(simulator)
    answer = caller.chat(max_tokens=16_000)  # 0.0096 at most
    assert_error(answer, 402, "insufficient_quota")
    assert last_entry(simulator) == since
    assert caller.chat(max_tokens=100).status == 200  # what was not spent is there


@pytest.mark.contract("3.1", "9")
def test_no_such_model(apilink: Gateway, caller: Caller) -> None:
    """ "404 | invalid_request_error | Model not found or not active"."""
    for name in ("openai/gpt-nothing", "acme/gpt-4o", "gpt-5.5"):  # the last is known, and nobody serves it
        assert_error(caller.chat(model=name), 404, "invalid_request_error")
        assert_error(caller.get(f"/v1/models/{name}"), 404, "invalid_request_error")
    with sdk(apilink) as client, pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/gpt-nothing")


@pytest.mark.contract("6.1", "4.4", "4.5", "9")
def test_sixty_requests_a_minute(apilink: Gateway) -> None:
    """ "429 | rate_limit_exceeded | Over 60 requests/min per key (default limit)"; "Rate limit headers are not yet
    returned."."""
    tenant = tenant_of(apilink, "busy", "--metered")
    caller, other = tenant.key(model=MODEL), tenant.key(model=MODEL)
    answers = []
    with caller.open() as connection:
        for _ in range(61):
            connection.send(caller.bytes_of("POST", "/v1/chat/completions", caller.body()))
            answers.append(connection.answer())
    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert_error(answers[-1], 429, "rate_limit_exceeded")
    assert 1 <= int(answers[-1].header("retry-after") or "") <= 60
    assert not [name for answer in answers for name in answer.names if "ratelimit" in name]
    with sdk(apilink, caller.key) as client, pytest.raises(openai.RateLimitError):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])
    assert other.chat().status == 200


@pytest.mark.contract("9")
def test_our_fault(apilink: Gateway) -> None:
    """ "500 | api_error | Internal server error": no request makes one, so the house's table is asked."""
    assert '\ninternal_error = [500, "api_error", "internal_error"]\n' in house_file(apilink)


@pytest.mark.contract("3.6", "4.5", "9")
def test_upstreams_unavailable(apilink: Gateway, caller: Caller) -> None:
    """ "503 | api_error | All upstream providers unavailable, retry shortly": with the time after which to."""
    for plan in ({"status": 500}, {"status": 401}, {"cut_after_bytes": 0}, {"malformed": "html"}):
        for stream in (False, True):
            assert_error(caller.chat(plan, stream=stream), 503, "api_error")
    limited = caller.chat({"status": 429, "retry_after_s": 7})
    assert_error(limited, 503, "api_error")
    assert limited.header("retry-after") == "7"
    *_, error, done = caller.streamed({"cut_after_bytes": 1500}).events
    assert (list(error["error"]), error["error"]["type"], done) == (MEMBERS, "api_error", "[DONE]")


@pytest.mark.contract("4.1", "9")
def test_request_ids(caller: Caller) -> None:
    """ "Every API response includes an X-Request-Id header."; "Every error response includes a request_id field."."""
    with caller.stream() as stream:
        answers = [stream.current]
    answers += [caller.chat(), caller.get("/v1/models"), caller.chat(messages=[]), caller.get("/v1/requests/x")]
    answers += [Caller(caller.gateway, "none").chat(), caller.chat({"status": 500})]
    ids = [answer.header("x-request-id") or "" for answer in answers]
    assert [uuid.UUID(each).version for each in ids] == [7] * len(ids)
    errors = [
        (answer.error["request_id"], each) for answer, each in zip(answers, ids, strict=True) if answer.status > 200
    ]
    assert len(errors) == 4 and all(told == each for told, each in errors)


@pytest.mark.contract("9")
def test_the_order_of_checks(apilink: Gateway) -> None:
    """ "Error Codes": of a request with many flaws the first in the order is told, in this house's words."""
    answers = climb(apilink, "x-faregate-project-id", "x-faregate-no-retention")
    for answer in answers.values():
        assert list(answer.error) == MEMBERS
    bad, forbidden = "invalid_request_error", "permission_error"
    assert {step: (answer.status, answer.error["type"]) for step, answer in answers.items()} == {
        "key": (401, bad),
        "account": (403, forbidden),
        "route": (404, bad),
        "method": (405, bad),
        "project": (403, forbidden),
        "body": (400, bad),
        "model": (404, bad),
        "plan": (403, forbidden),
        "capability": (400, bad),
        "retention": (400, bad),
        "context": (413, bad),
        "rate": (429, "rate_limit_exceeded"),
        "funds": (402, "insufficient_quota"),
    }


# Limits, prices, privacy


@pytest.mark.contract("3.7", "9")
def test_the_longest_request(apilink: Gateway) -> None:
    """ "Max request timeout | 120 seconds | Per request": its figure; and, short, what the client is told."""
    assert "\nlongest_request_s = 120.0\n" in house_file(apilink)
    caller = tenant_of(apilink, "patient", "--metered").key("--longest-request", "1s", model=MODEL)
    with caller.stream({"stall_after_tokens": 2, "output_tokens": 9}) as stream:  # both in the one second
        assert_error(caller.chat({"stall_before_head_ms": 30_000}), 503, "api_error")
        *_, error, done = stream.rest().events
    assert (list(error["error"]), error["error"]["type"], done) == (MEMBERS, "api_error", "[DONE]")


@pytest.mark.contract("6.2")
def test_the_net_of_addresses(netted: Gateway) -> None:
    """ "Over 60 requests/min per key": an address has no limit of its own but for keys that are none."""
    key = command(netted, "keys", "create", "key", "--project", "demo", "--house", "apilink")["key"]
    there, models = {"x-forwarded-for": "198.51.100.1"}, "/apilink/v1/models"
    good, bad = Caller(netted, key), Caller(netted, "al-guess")
    assert good.get(models, there).status == 200
    answers = [bad.get(models, there | {"authorization": f"Bearer al-guess-{n}"}) for n in range(30)]
    assert [answer.status for answer in answers[:20]] == [401] * 20
    assert_error(answers[-1], 429, "rate_limit_exceeded")
    assert good.get(models, there).status == 200
    assert 'requests = 5000\nwindow_s = 600.0\ncounts = "without_key"' in house_file(netted)


@pytest.mark.contract("7.1", "7.2")
def test_prices(caller: Caller) -> None:
    """ "Prices are shown per 1M tokens for readability."; "Credits are deducted per request based on actual token
    usage."."""
    pricing = caller.get("/v1/models/openai/gpt-4o-mini").json()["pricing"]
    assert (pricing["input"], pricing["output"]) == ("0.15", "0.6")
    answer = caller.chat({"output_tokens": 40})
    usage = answer.json()["usage"]
    cost = usage["prompt_tokens"] * Decimal(pricing["input"]) + usage["completion_tokens"] * Decimal(pricing["output"])
    assert Decimal(answer.header("x-credits-used") or "") == cost / 1_000_000 > 0


@pytest.mark.contract("7.1", "7.3")
def test_credits_go_down_by_what_was_used(apilink: Gateway) -> None:
    """ "ApiLink uses a prepaid credit model."; "Unused credits | Roll over indefinitely — no expiry"."""
    tenant = tenant_of(apilink, "saver")
    command(apilink, "credits", "add", tenant.organisation, "5", "--reason", "paid")
    spent = Decimal(tenant.key(model=MODEL).chat().header("x-credits-used") or "")
    assert spent > 0

    def account() -> bool:
        (shown,) = command(apilink, "credits", "show", tenant.organisation)
        assert (shown["credited"], shown["expires_at"]) == ("5", None)
        return (Decimal(shown["spent"]), Decimal(shown["available"])) == (spent, 5 - spent)

    assert eventually(account)


@pytest.mark.contract("7.6")
def test_content_is_not_stored(apilink: Gateway, caller: Caller) -> None:
    """ "We log request metadata ... We do not store prompt or completion content.": on no disk; and nothing is repeated
    from memory, for an idempotency key either."""
    prompt, said = f"marked prompt {uuid.uuid4()}", f"marked answer {uuid.uuid4()}"
    messages = [{"role": "user", "content": prompt}]
    headers = {"idempotency-key": str(uuid.uuid4()), "x-request-id": str(uuid.uuid4())}
    answers = [caller.chat({"text": said}, headers, messages=messages) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].header("x-request-id") != answers[1].header("x-request-id")
    assert not [name for answer in answers for name in answer.names if "replayed" in name]
    line = caller.log_line(headers["x-request-id"])
    assert line["model"] == "gpt-4o-mini" and line["cost_nano"] > 0
    files = [file for file in apilink.folder.rglob("*") if file.is_file()]
    assert any(file.suffix == ".db" for file in files)
    for file in files:
        data = file.read_bytes()
        assert prompt.encode() not in data and said.encode() not in data, file


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


def house_file(gateway: Gateway) -> str:
    """The whole house, as the operator sees it."""
    return gateway.command("house", "show", "apilink").stdout


def assert_error(answer: Answer, status: int, error_type: str) -> None:
    assert answer.status == status, answer.body
    assert list(answer.json()) == ["error"] and list(answer.error) == MEMBERS
    assert answer.error["type"] == error_type
    assert answer.error["request_id"] == answer.header("x-request-id")
    assert ("retry-after" in answer.names) == (status == 429 or status >= 500)
