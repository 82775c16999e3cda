"""The lincorelink document, statement by statement, on the wire of a gateway that wears this house."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.e2e.processes import COMMANDS, LineProcess
from tests.money.books import Customer
from tests.running.client import CHAT, DONE, HELLO, Caller, Connection, eventually, last_entry, request_bytes
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import FINISH, ROLE, Upstream, Visit, event_of, said

from .front import Front, assert_has, curl, printed_commands, printed_json, unquoted

DOCUMENT = "lincorelink.txt"
FLASH, PRO = "deepseek-v4-flash", "deepseek-v4-pro"
CAPS = {"basic": (131_072, 32_768), "pro": (262_144, 32_768), "max": (1_048_576, 65_536)}
BASE_URL = "https://api.lincorelink.ai/v1"


@pytest.fixture(scope="module")
def front(session_folder: Path, simulator: Simulator) -> Iterator[Front]:
    """The house before a host that speaks as OpenAI does, to the byte."""
    config = f"""
house = "lincorelink"

[ledger]
demo_credit = "1"

[providers.host]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["{FLASH}", "{PRO}"]
"""
    gateway = Gateway(session_folder, config)
    yield Front(gateway, FLASH)
    gateway.stop()


@pytest.fixture(scope="module")
def basic(front: Front) -> Customer:
    return front.customer()


@pytest.fixture(scope="module")
def pro(front: Front) -> Customer:
    return front.customer("pro")


@pytest.fixture(scope="module")
def node() -> Iterator[LineProcess]:
    process = LineProcess(COMMANDS["node-newest"], "node-newest")
    yield process
    process.stop()


@pytest.fixture
def heard(simulator: Simulator) -> Callable[[], list[dict[str, Any]]]:
    """What the provider has heard of since the test began."""
    since = last_entry(simulator)
    return lambda: simulator.get(f"/simulator/truth?since={since}")["entries"]


def sdk_of(caller: Caller) -> openai.OpenAI:
    """The client as the document sets it up; to be closed."""
    return openai.OpenAI(base_url=caller.gateway.base_url, api_key=caller.key, max_retries=0)


def sent(simulator: Simulator) -> dict[str, Any]:
    """The last body that the provider was sent."""
    return simulator.get("/simulator/last_request")["body"]


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


# Models and plans


@pytest.mark.contract("1.9", "6.5")
@pytest.mark.parametrize(("plan", "models"), [("basic", [FLASH]), ("pro", [FLASH, PRO]), ("max", [FLASH, PRO])])
def test_models(front: Front, plan: str, models: list[str]) -> None:
    """'List the model IDs available to your account.'"""
    customer = front.customer(plan)
    with sdk_of(customer) as sdk:
        listed = list(sdk.models.list())
    assert [model.id for model in listed] == models
    assert {model.owned_by for model in listed} == {"deepseek"}
    for model in (FLASH, PRO):
        answer = customer.chat(model=model)
        if model in models:
            assert answer.status == 200
        else:
            assert (answer.status, answer.error["code"]) == (403, "model_not_available")


@pytest.mark.contract("6.8")
@pytest.mark.parametrize("bought", [None, "5"])
def test_the_default_plan(front: Front, bought: str | None) -> None:
    """'Available on every plan, including Basic.'"""
    customer = front.customer(bought=bought, promo="5")
    assert customer.chat().status == 200  # Free is the plan's fee, not its usage
    assert customer.chat(model=PRO).error["code"] == "model_not_available"
    assert limits_of(front, customer)["plan"] == "basic"


def limits_of(front: Front, customer: Customer) -> dict[str, Any]:
    """What holds for a customer, as its operator is shown."""
    return json.loads(front.gateway.command("keys", "limits", customer.key_id, "--json").stdout)


@pytest.mark.contract("6.3")
@pytest.mark.parametrize(
    ("plan", "concurrency", "daily"), [("basic", 10, 100_000_000), ("pro", 20, None), ("max", 20, None)]
)
def test_the_table_of_plans(front: Front, plan: str, concurrency: int, daily: int | None) -> None:
    """'Plan | Context | Max output | Concurrency | Daily tokens'"""
    shown = limits_of(front, front.customer(plan))
    assert (shown["context_tokens_max"], shown["output_tokens_max"]) == CAPS[plan]
    bounds = {(each["counted"], each["subject"]): each["limit"] for each in shown["bounds"]}
    expected = {("concurrency", "organisation"): concurrency}
    assert bounds == (expected if daily is None else {**expected, ("daily_tokens", "organisation"): daily})


@pytest.mark.contract("6.4", "9")
@pytest.mark.parametrize("stream", [False, True])
def test_input_over_the_context_cap(basic: Customer, heard: Callable[[], list[dict[str, Any]]], stream: bool) -> None:
    """'A request whose input exceeds the context cap is rejected before it reaches the provider'"""
    balance = basic.balance
    messages = [{"role": "user", "content": "word " * 1_000_000}]
    answer = basic.ask("POST", CHAT, basic.body(messages=messages, stream=stream))
    assert (answer.status, answer.error["code"]) == (413, "context_length_exceeded")
    assert answer.error["type"] == "invalid_request_error"
    assert not heard() and basic.balance == balance


@pytest.mark.contract("6.3", "6.4")
def test_a_larger_plan_takes_more_input(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'Per-request context and output caps, concurrency, and any daily token cap depend on your plan.'"""
    messages = [{"role": "user", "content": "word " * 170_000}]  # more than Basic's, less than Pro's
    statuses = {plan: front.customer(plan).chat({"output_tokens": 1}, messages=messages).status for plan in CAPS}
    assert statuses == {"basic": 413, "pro": 200, "max": 200}
    assert len(heard()) == 2


@pytest.mark.contract("6.4", "4.7")
@pytest.mark.parametrize("plan", CAPS)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_output_is_clamped(front: Front, simulator: Simulator, plan: str, name: str) -> None:
    """'max_tokens is clamped to your output cap'"""
    customer = front.customer(plan)
    cap = CAPS[plan][1]
    answer = customer.chat({"output_tokens": 3}, **{name: 200_000})
    assert (answer.status, sent(simulator)[name]) == (200, cap)
    assert answer.header("x-faregate-adjusted") == f"{name}={cap}"
    answer = customer.chat({"output_tokens": 3}, **{name: cap})
    assert sent(simulator)[name] == cap and "x-faregate-adjusted" not in answer.names
    customer.chat({"output_tokens": 3})
    said = sent(simulator)
    assert [said[each] for each in ("max_tokens", "max_completion_tokens") if each in said] == [cap]


@pytest.mark.contract("6.4")
def test_both_members_are_clamped(basic: Customer, simulator: Simulator) -> None:
    """'Clamped to your plan's output cap (see Rate limits & tiers).'"""
    basic.chat({"output_tokens": 3}, max_completion_tokens=5, max_tokens=200_000)
    told = sent(simulator)
    assert (told["max_completion_tokens"], told["max_tokens"]) == (5, 32_768)


@pytest.mark.contract("6.3", "4.5", "9")
@pytest.mark.parametrize(("plan", "most"), [("basic", 10), ("pro", 20)])
def test_concurrency(front: Front, plan: str, most: int) -> None:
    """'Too many requests / concurrency or daily cap reached. Honour Retry-After.'"""
    customer = front.customer(plan)
    running = [customer.stream({"stall_after_tokens": 1}, max_tokens=10) for _ in range(most)]
    try:
        assert {each.current.status for each in running} == {200}
        answer = customer.chat(max_tokens=10)
        assert (answer.status, answer.error["type"], answer.error["code"]) == (429, *["rate_limit_error"] * 2)
        assert int(answer.header("retry-after") or 0) >= 1
        with sdk_of(customer) as sdk, pytest.raises(openai.RateLimitError):
            sdk.chat.completions.create(model=FLASH, messages=HELLO, max_tokens=10)  # type: ignore[arg-type]
        running.pop().close()
        eventually(lambda: customer.chat(max_tokens=10).status == 200)
    finally:
        for each in running:
            each.close()


@pytest.mark.contract("6.3", "4.5")
def test_daily_tokens(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'When you exceed a limit you receive 429 with a Retry-After header'"""
    customer = front.customer()
    # The plan's 100M are shown above; a smaller number for this one is reached sooner
    assert front.gateway.command("orgs", "set", customer.organisation, "--tokens-per-day", "1000").returncode == 0
    # Noticed within 0.2 s; a call that the small limit has no room for shows it
    eventually(lambda: customer.chat({"output_tokens": 1}, max_tokens=5000).status == 429)
    assert customer.chat({"output_tokens": 600}, max_tokens=800).status == 200
    calls = len(heard())
    answer = customer.chat({"output_tokens": 600}, max_tokens=800)
    assert (answer.status, answer.error["code"]) == (429, "rate_limit_error")
    assert 1 <= int(answer.header("retry-after") or 0) <= 86_400
    assert customer.chat({"output_tokens": 1}, max_tokens=100).status == 200  # there is room for that
    assert len(heard()) == calls + 1


# Money


@pytest.mark.contract("7.5", "7.1", "5.3")
@pytest.mark.parametrize(("model", "rates"), [(FLASH, (160, 4, 300)), (PRO, (600, 5, 1200))])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("cached", "output"), [(0, 7), (3, 1), (1, 333)])
def test_prices(
    pro: Customer, simulator: Simulator, model: str, rates: tuple[int, int, int], stream: bool, cached: int, output: int
) -> None:
    """'Rates per 1M tokens (USD)'"""
    plan = {"cached_tokens": cached, "output_tokens": output, "tokens_per_s": 10_000}
    answer = pro.ask("POST", CHAT, pro.body(plan, model=model, stream=stream, max_tokens=400))
    record = pro.record(answer.header("x-request-id"))
    [entry] = [each for each in simulator.get("/simulator/truth?since=0")["entries"] if each["id"] == id_of(answer)][
        -1:
    ]
    counts = (entry["fresh_tokens"], entry["cached_tokens"], entry["completion_tokens"])
    assert counts[1:] == (cached, output)
    nano = sum(rate * count for rate, count in zip(rates, counts, strict=True))  # $0.16 a million is 160 nano each
    assert record["cost"] == f"{nano / 1e9:.9f}".rstrip("0")
    assert pro.settled(answer.header("x-request-id")).charged == nano


def id_of(answer: Any) -> str:
    """The id that the provider gave an answer, whole or streamed."""
    return answer.json()["id"] if answer.body.startswith(b"{") else answer.events[0]["id"]


@pytest.mark.contract("7.1")
def test_the_hold(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'Each request reserves an estimated maximum from your balance, then settles to the actual metered cost'"""
    customer = front.customer(bought="0.01")
    first = customer.chat({"output_tokens": 3}, max_tokens=20_000)
    reservation = customer.settled(first.header("x-request-id"))
    assert reservation.hold >= 20_000 * 300 > reservation.charged > 0
    answer = customer.chat(max_tokens=32_768, model=FLASH, messages=[{"role": "user", "content": "word " * 5_000}])
    assert answer.status == 402
    assert len(heard()) == 1 and customer.spent == reservation.charged


# Errors


@pytest.mark.contract("9")
@pytest.mark.parametrize("client", ["curl", "python", "node"])
def test_the_printed_error(front: Front, node: LineProcess, client: str) -> None:
    """'Insufficient balance. Top up to continue.'"""
    poor = front.customer(bought=None)
    printed = printed_json(DOCUMENT)[1]
    if client == "curl":
        [command] = printed_commands(DOCUMENT)
        command = command.replace(BASE_URL, front.gateway.base_url).replace(PRO, FLASH)
        answer = curl(command, LINCORELINK_API_KEY=poor.key)
        assert (answer.status, answer.json()) == (402, printed)
        assert list(answer.error) == list(printed["error"])
    elif client == "python":
        with sdk_of(poor) as sdk, pytest.raises(openai.APIStatusError) as caught:
            sdk.chat.completions.create(model=FLASH, messages=HELLO)  # type: ignore[arg-type]
        assert (caught.value.status_code, caught.value.body) == (402, printed["error"])
    else:
        params = {"model": FLASH, "messages": HELLO}
        options = {"base_url": poor.gateway.base_url, "api_key": poor.key}
        error = node.ask({"operation": "create", "client": options, "params": params})["error"]
        assert (error["status"], error["type"], error["code"]) == (402, "insufficient_quota", "insufficient_funds")


ROWS: list[tuple[int, str, str | None, dict[str, Any]]] = [
    (400, "invalid_request_error", "model_not_found", {"model": "gpt-4o"}),
    (400, "invalid_request_error", "model_not_found", {"model": "no-such-model"}),
    (400, "invalid_request_error", None, {"temperature": 3}),
    (403, "permission_error", "model_not_available", {"model": PRO}),
    (503, "api_error", "api_error", {"simulator": {"status": 500}}),
    (503, "api_error", "api_error", {"simulator": {"status": 429, "retry_after_s": 2}}),
    (503, "api_error", "api_error", {"simulator": {"status": 401}}),
    (503, "api_error", "api_error", {"simulator": {"malformed": "html"}}),
]


@pytest.mark.contract("9", "3.6")
@pytest.mark.parametrize(("status", "error_type", "code", "members"), ROWS)
@pytest.mark.parametrize("stream", [False, True])
def test_the_table_of_errors(
    basic: Customer, status: int, error_type: str, code: str | None, members: dict[str, Any], stream: bool
) -> None:
    """'Errors use the OpenAI shape, so existing error handling works unchanged'"""
    answer = basic.ask("POST", CHAT, basic.body(**members, stream=stream))
    assert (answer.status, answer.error["type"], answer.error["code"]) == (status, error_type, code)
    assert list(answer.error) == ["message", "type", "param", "code"]
    assert ("retry-after" in answer.names) == (status >= 500)


@pytest.mark.contract("5.1", "9")
def test_a_stream_that_fails(basic: Customer) -> None:
    """'Upstream/provider error. Safe to retry with backoff.'"""
    answer = basic.streamed({"output_tokens": 20, "malformed": "error_event"})
    error, last = answer.events[-2:]
    assert (answer.status, last) == (200, "[DONE]")
    assert list(error["error"]) == ["message", "type", "param", "code"]
    assert (error["error"]["type"], error["error"]["code"]) == ("api_error", "api_error")


@pytest.mark.contract("3.7", "9")
def test_the_longest_request(front: Front) -> None:
    """'Retry on 429 and 5xx with exponential backoff, and honour the'"""
    customer = front.customer()
    assert front.gateway.command("keys", "set", customer.key_id, "--longest-request", "1s").returncode == 0
    answer = eventually(
        lambda: (found := customer.chat({"stall_before_head_ms": 3_000})).status == 504 and found, within_s=15
    )
    assert answer and (answer.error["type"], answer.error["code"]) == ("api_error", "api_error")
    assert "retry-after" in answer.names


@pytest.mark.contract("9")
def test_the_first_refusal_wins(front: Front, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """'Status | code | Meaning'"""
    customer = front.customer(bought=None)
    long = [{"role": "user", "content": "word " * 1_000_000}]
    steps = [  # each mends what the one before was refused for
        ({"model": "nothing", "messages": [], "stream": 3}, 400, None),
        ({"model": "nothing", "messages": long}, 400, "model_not_found"),
        ({"model": PRO, "messages": long}, 403, "model_not_available"),
        ({"model": FLASH, "messages": long}, 413, "context_length_exceeded"),
        ({"model": FLASH, "messages": HELLO}, 402, "insufficient_funds"),
    ]
    stranger = Caller(front.gateway, "sk-lcl-nothing")
    assert stranger.ask("POST", CHAT, steps[0][0]).status == 401
    for body, status, code in steps:
        answer = customer.ask("POST", CHAT, body)
        assert (answer.status, answer.error["code"]) == (status, code)
    front.disable(customer)
    eventually(lambda: customer.ask("POST", "/v1/nowhere", {}).status == 403)
    assert not heard()


@pytest.mark.contract("9")
def test_limits_before_funds(front: Front) -> None:
    """'Balance cannot cover the request. Top up to continue.'"""
    customer = front.customer(bought="0.05")
    running = [customer.stream({"stall_after_tokens": 1}, max_tokens=10) for _ in range(10)]
    try:
        dear = customer.body(max_tokens=32_768, n=20)
        assert customer.ask("POST", CHAT, dear).status == 429
        running.pop().close()
        eventually(lambda: customer.ask("POST", CHAT, dear).status == 402)
    finally:
        for each in running:
            each.close()
