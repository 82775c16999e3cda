"""The platform document, statement by statement, on the wire of a gateway that wears this house. Images are not served
yet."""

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors, types

from tests.e2e.processes import COMMANDS, LineProcess
from tests.money.books import Customer
from tests.running.client import CHAT, HELLO, Answer, Caller, eventually, last_entry
from tests.running.processes import ENOUGH, Gateway, Simulator

from .front import Front, assert_has, curl, printed_commands, printed_json, unquoted

DOCUMENT = "platform.txt"
SITE = "https://your-domain.com"
CHATS = f"/api{CHAT}"
GENERATE = "/api/v1beta/models/gemini-2.5-pro:generateContent"
COMMAND_OF = dict(zip(("quick", "auth", "chat", "image", "models", "gemini"), printed_commands(DOCUMENT), strict=True))
PRINTED = dict(zip(("chat", "image", "models", "gemini", "error"), printed_json(DOCUMENT), strict=True))
PER_MINUTE = {"free": 10, "standard": 60, "pro": 300}
LIMIT, REMAINING, RESET = (f"X-RateLimit-{each}-Requests" for each in ("Limit", "Remaining", "Reset"))


@pytest.fixture(scope="module")
def front(session_folder: Path, simulator: Simulator) -> Iterator[Front]:
    """The house before providers of three wires, with the models that the document names."""
    vendors = {
        "openai": ("openai_chat", "", ["gpt-4o", "gpt-4o-mini", "dall-e-3"]),
        "anthropic": ("anthropic_messages", "", ["claude-sonnet-4-20250514"]),
        "google": ("gemini_generate", "beta", ["gemini-2.5-pro", "gemini-2.5-flash"]),
        "deepseek": ("openai_chat", "", ["deepseek-v4-pro"]),
    }
    tables = [
        f"""
[providers.{name}]
base_url = "{simulator.base_url}{more}"
key = "simulator-secret-key"
dialect = "{dialect}"
models = {models}
"""
        for name, (dialect, more, models) in vendors.items()
    ]
    gateway = Gateway(session_folder, f'house = "platform"\n{ENOUGH}{"".join(tables)}')
    yield Front(gateway, "gpt-4o")
    gateway.stop()


@pytest.fixture(scope="module")
def payer(front: Front) -> Customer:
    """Of the plan without limits, so that no test is in another's way."""
    return front.customer("enterprise")


@pytest.fixture(scope="module")
def node() -> Iterator[LineProcess]:
    process = LineProcess(COMMANDS["node-newest"], "node-newest")
    yield process
    process.stop()


def run(front: Front, name: str, key: str) -> Answer:
    """A printed command, run."""
    return curl(COMMAND_OF[name].replace(SITE, front.origin).replace("YOUR_API_KEY", key))


def chat(caller: Caller, plan: dict[str, Any] | None = None, **members: Any) -> Answer:
    return caller.ask("POST", CHATS, caller.body(plan, **members))


def sdk_of(front: Front, key: str) -> openai.OpenAI:
    """The client as the document sets it up; to be closed."""
    return openai.OpenAI(api_key=key, base_url=f"{front.origin}/api/v1", max_retries=0)


def gemini_of(front: Front, key: str) -> genai.Client:
    """Google's client, with the one address changed."""
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=f"{front.origin}/api"))


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


def project_of(front: Front, customer: Customer) -> str:
    [[project]] = customer.books.rows("SELECT id FROM project WHERE organisation_id = ?", customer.organisation)
    return project


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


# Rate limits


def standing(answer: Answer) -> tuple[int, int, int]:
    """Limit, remaining and reset as an answer says them; the names are written as the document has them."""
    return tuple(int(answer.header(name.lower()) or "") for name in (LIMIT, REMAINING, RESET))  # type: ignore[return-value]


@pytest.mark.contract("6.1", "4.4", "4.5", "9")
@pytest.mark.parametrize("stream", [False, True])
def test_a_free_key_has_ten_a_minute(front: Front, simulator: Simulator, stream: bool) -> None:
    """'Rate limits are applied per API key on a per-minute (RPM) basis.'"""
    customer = front.customer("free")
    since = last_entry(simulator)
    for used in range(1, 11):
        before = time.time()
        answer = chat(customer, stream=stream, max_tokens=5)
        limit, remaining, reset = standing(answer)
        assert (answer.status, limit, remaining) == (200, 10, 10 - used)
        assert math.ceil(before + 59.9) <= reset <= math.ceil(time.time() + 60.1)
    refused = chat(customer, stream=stream, max_tokens=5)
    assert (refused.status, refused.error["type"], refused.error["code"]) == (
        429, "rate_limit_error", "rate_limit_exceeded",
    )  # fmt: skip
    assert standing(refused)[:2] == (10, 0)
    assert 1 <= int(refused.header("retry-after") or 0) <= 60
    assert simulator.get(f"/simulator/truth?since={since}")["last_seq"] == since + 10
    with gemini_of(front, customer.key) as client, pytest.raises(errors.ClientError) as caught:
        client.models.generate_content(model="gemini-2.5-pro", contents="x")  # a chat too, in whatever dialect
    assert caught.value.code == 429
    other = front.gateway.command("keys", "create", "other", "--project", project_of(front, customer)).stdout.strip()
    assert chat(Caller(front.gateway, other, "gpt-4o"), max_tokens=5).status == 200


@pytest.mark.contract("4.4")
def test_the_names_of_the_headers(front: Front) -> None:
    """'Responses include the following headers to help you track your usage'"""
    customer = front.customer("free")
    with customer.open() as connection:
        connection.send(customer.bytes_of("POST", CHATS, customer.body(max_tokens=5)))
        raw = bytes(connection.socket.recv(65536))
        while b"\r\n\r\n" not in raw:
            raw += connection.socket.recv(65536)
    for name in (LIMIT, REMAINING, RESET):
        assert f"\r\n{name}: ".encode() in raw


@pytest.mark.contract("6.1", "6.8", "4.4")
@pytest.mark.parametrize(
    ("plan", "bought", "limit"),
    [(None, None, 10), (None, "5", 60), ("free", "5", 10), ("standard", None, 60), ("pro", None, 300)],
)
def test_who_has_which_plan(front: Front, plan: str | None, bought: str | None, limit: int) -> None:
    """'Default for paying accounts'"""
    customer = front.customer(plan, bought=bought, promo="5")
    answer = chat(customer, max_tokens=5)
    assert answer.status == 200
    assert standing(answer)[:2] == (limit, limit - 1)


@pytest.mark.contract("6.1")
@pytest.mark.parametrize(
    ("plan", "chats", "images"),
    [("free", 10, 5), ("standard", 60, 20), ("pro", 300, 60), ("enterprise", None, None)],
)
def test_the_table_of_plans(front: Front, plan: str, chats: int | None, images: int | None) -> None:
    """'Plan | RPM (Chat) | RPM (Images) | Notes'"""
    customer = front.customer(plan)
    shown = limits_of(front, customer)
    bounds = {(each["counted"], each["class"], each["subject"]): each["limit"] for each in shown["bounds"]}
    expected = {("requests", "chat", "key"): chats, ("requests", "images", "key"): images}
    assert bounds == (expected if chats else {})
    answer = chat(customer, max_tokens=5)
    assert (LIMIT.lower() in answer.names) == (chats is not None)


def limits_of(front: Front, customer: Customer) -> dict[str, Any]:
    """What holds for a customer, as its operator is shown."""
    return json.loads(front.gateway.command("keys", "limits", customer.key_id, "--json").stdout)


@pytest.mark.contract("6.1")
def test_enterprise(front: Front) -> None:
    """'Enterprise | Custom | Custom | Contact sales'"""
    customer = front.customer("enterprise")
    said = front.gateway.command("orgs", "set", customer.organisation, "--requests-per-minute", "chat=2")
    assert said.returncode == 0
    eventually(lambda: LIMIT.lower() in chat(customer, max_tokens=5).names)
    eventually(lambda: chat(customer, max_tokens=5).status == 429)


# Errors


@pytest.mark.contract("9", "2.6")
@pytest.mark.parametrize("client", ["curl", "python", "node"])
def test_the_printed_error(front: Front, node: LineProcess, client: str) -> None:
    """'Invalid API key provided.'"""
    printed = PRINTED["error"]["error"]
    if client == "curl":
        answer = run(front, "chat", "sk-fg-nothing")
        assert (answer.status, answer.json()) == (401, PRINTED["error"])
        assert list(answer.error) == list(printed)
        assert run(front, "auth", "sk-fg-nothing").json() == PRINTED["error"]
    elif client == "python":
        with sdk_of(front, "sk-fg-nothing") as sdk, pytest.raises(openai.AuthenticationError) as caught:
            sdk.chat.completions.create(model="gpt-4o", messages=HELLO)  # type: ignore[arg-type]
        assert caught.value.body == printed
    else:
        options = {"base_url": f"{front.origin}/api/v1", "api_key": "sk-fg-nothing"}
        params = {"model": "gpt-4o", "messages": HELLO}
        error = node.ask({"operation": "create", "client": options, "params": params})["error"]
        assert (error["class"], error["status"], error["type"]) == ("AuthenticationError", 401, printed["type"])


ROWS: list[tuple[int, str, str | None, dict[str, Any]]] = [
    (400, "invalid_request_error", None, {"temperature": 3}),
    (404, "not_found_error", "model_not_found", {"model": "no-such-model"}),
    (503, "service_unavailable_error", "upstream_unavailable", {"simulator": {"status": 500}}),
    (503, "service_unavailable_error", "upstream_unavailable", {"simulator": {"status": 401}}),
    (503, "service_unavailable_error", "upstream_unavailable", {"simulator": {"malformed": "html"}}),
    (503, "service_unavailable_error", "upstream_rate_limited", {"simulator": {"status": 429, "retry_after_s": 2}}),
]


@pytest.mark.contract("9", "3.6")
@pytest.mark.parametrize(("status", "error_type", "code", "members"), ROWS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_table_of_errors(
    payer: Customer, status: int, error_type: str, code: str | None, members: dict[str, Any], stream: bool
) -> None:
    """'All errors follow the OpenAI error shape: { error: { message, type, code } }.'"""
    answer = chat(payer, **{"stream": stream, **members})
    assert (answer.status, answer.error["type"], answer.error["code"]) == (status, error_type, code)
    assert list(answer.error) == ["message", "type", "code"]
    assert ("retry-after" in answer.names) == (status == 503)


@pytest.mark.contract("9")
def test_resources_that_are_not(payer: Customer) -> None:
    """'The requested resource or model does not exist.'"""
    for path in ("/api/v1/nothing", "/api/v1/requests/nothing", "/api/v1/models/nothing", "/v1/models"):
        answer = payer.get(path)
        assert (answer.status, answer.error["type"]) == (404, "not_found_error")


@pytest.mark.contract("2.6", "9")
def test_a_disabled_account(front: Front) -> None:
    """'API access is disabled for your account'"""
    customer = front.customer()
    assert chat(customer).status == 200
    front.disable(customer)
    answer = eventually(lambda: (found := chat(customer)).status == 403 and found)
    assert answer and (answer.error["type"], answer.error["code"]) == ("permission_error", "account_disabled")


@pytest.mark.contract("3.7", "9")
def test_the_longest_request(front: Front) -> None:
    """'The upstream model provider is temporarily unavailable.'"""
    customer = front.customer()
    assert front.gateway.command("keys", "set", customer.key_id, "--longest-request", "1s").returncode == 0
    answer = chat(customer, {"stall_before_head_ms": 4_000})
    assert (answer.status, answer.error["type"]) == (503, "service_unavailable_error")
    assert answer.error["code"] == "request_timeout"


@pytest.mark.contract("9")
def test_the_first_refusal_wins(front: Front, simulator: Simulator) -> None:
    """'HTTP Code | Error Type | Description'"""
    customer = front.customer("free", bought=None)
    since = last_entry(simulator)
    assert Caller(front.gateway, "sk-fg-nothing").ask("PUT", "/api/v1/nowhere", {}).status == 401
    assert customer.ask("PUT", "/api/v1/nowhere", {}).status == 404
    foreign = {"x-faregate-project-id": "another"}
    assert customer.ask("PUT", CHATS, {}, foreign).status == 405
    assert customer.ask("POST", CHATS, {}, foreign).status == 403
    steps = [({"model": "nothing"}, 400), ({"model": "nothing", "messages": HELLO}, 404)]
    for body, status in steps:
        assert customer.ask("POST", CHATS, body).status == status
    # Ten are counted and cannot be paid for; then the limit is what is told
    statuses = [chat(customer).status for _ in range(12)]
    assert statuses == [402] * 10 + [429] * 2
    assert last_entry(simulator) == since
