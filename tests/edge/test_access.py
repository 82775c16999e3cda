"""Who may call what, from where, until when; and the model list that a key sees."""

from collections.abc import Callable

import pytest

from tests.edge.conftest import command_json
from tests.running.client import CHAT, Answer, Caller, eventually
from tests.running.processes import Gateway

NOTICED_WITHIN_S = 1.0


def model_ids(answer: Answer) -> list[str]:
    return [model["id"] for model in answer.json()["data"]]


# Models


@pytest.mark.contract("1.9")
def test_list_of_models(caller: Caller) -> None:
    answer = caller.get("/v1/models")
    assert answer.json()["object"] == "list"
    assert model_ids(answer) == sorted(["gpt-4o", "gpt-4o-mini", "test-model"])
    for model in answer.json()["data"]:
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert isinstance(model["owned_by"], str)
        members = {"id", "context_window", "max_output_tokens", "family", "tags", "shutdown_date"}
        assert members <= model.keys()
    vendors = {model["id"]: model["owned_by"] for model in answer.json()["data"]}
    assert vendors["gpt-4o"] == "openai"  # the vendor, never the provider that serves it


@pytest.mark.contract("1.9", "3.1")
@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "openai%2Fgpt-4o", "gpt%2D4o"])
def test_one_model_by_its_names(name: str, caller: Caller) -> None:
    answer = caller.get(f"/v1/models/{name}")
    assert answer.status == 200
    assert answer.json()["id"] == name.replace("%2F", "/").replace("%2D", "-")
    assert (answer.json()["object"], answer.json()["owned_by"]) == ("model", "openai")


def test_one_model_by_alias_and_with_a_slash(special_caller: Caller) -> None:
    for name in ("nick/name", "nick%2Fname", "vendor/scripted-2", "vendor%2fscripted-2"):
        assert special_caller.get(f"/v1/models/{name}").status == 200


@pytest.mark.parametrize(
    "name", ["nothing", "gpt-4", "gpt-4o-min", "GPT", "openai%2F", "%F0%9F%9A%80", "%00", "%ff", "x" * 3000]
)
def test_unknown_model(name: str, caller: Caller) -> None:
    answer = caller.get(f"/v1/models/{name}")
    assert (answer.status, answer.error["code"], answer.error["param"]) == (404, "model_not_found", "model")


@pytest.mark.contract("3.1")
def test_names_in_a_chat(caller: Caller, special_caller: Caller) -> None:
    """Any name of a model will do; the answer has the name that was asked for."""
    for who, name in ((caller, "openai/gpt-4o"), (special_caller, "nick/name"), (special_caller, "renamed")):
        answer = who.chat(model=name)
        assert (answer.status, answer.json()["model"]) == (200, name)
        events = who.streamed({"output_tokens": 5}, model=name).events
        assert {event["model"] for event in events[:-1]} == {name}


# Restricted keys


@pytest.mark.contract("1.9")
def test_allowed_models(tenant: Callable[..., Caller]) -> None:
    caller = tenant("--model", "gpt-4o", "--model", "openai/gpt-4o-mini")
    assert model_ids(caller.get("/v1/models")) == ["gpt-4o", "gpt-4o-mini"]
    for name in ("gpt-4o", "openai/gpt-4o", "gpt-4o-mini"):
        assert caller.chat(model=name).status == 200
        assert caller.get(f"/v1/models/{name}").status == 200
    answer = caller.chat(model="test-model")
    assert (answer.status, answer.error["type"]) == (403, "permission_error")
    assert (answer.error["code"], answer.error["param"]) == ("model_not_available", "model")
    assert caller.get("/v1/models/test-model").status == 404
    completion = caller.ask("POST", "/v1/completions", {"model": "test-model", "prompt": "x"})
    assert completion.status == 403


def test_allowed_addresses(tenant: Callable[..., Caller]) -> None:
    for address, status in (
        ("127.0.0.1", 200),
        ("127.0.0.0/8", 200),
        ("192.0.2.0/24", 403),
        ("::1", 403),
        ("126.0.0.0/8", 403),
    ):
        answer = tenant("--address", address).get("/v1/models")
        assert answer.status == status
        if status == 403:
            assert (answer.error["type"], answer.error["code"]) == ("permission_error", "address_not_allowed")
    assert tenant("--address", "192.0.2.1", "--address", "127.0.0.1").get("/v1/models").status == 200


def test_expiry(tenant: Callable[..., Caller]) -> None:
    """It holds to the second, cached or not, and in mid-life of the process."""
    assert tenant("--expires", "1h").get("/v1/models").status == 200
    caller = tenant("--expires", "4s")
    assert caller.get("/v1/models").status == 200
    answer = eventually(lambda: (found := caller.get("/v1/models")).status == 401 and found)
    assert answer.error["code"] == "invalid_api_key"


@pytest.mark.contract("2.6")
@pytest.mark.parametrize("noun", ["orgs", "projects"])
def test_disabled_accounts(noun: str, gateway: Gateway, tenant: Callable[..., Caller]) -> None:
    caller = tenant(apart=True)
    assert caller.get("/v1/models").status == 200
    newest = command_json(gateway, noun, "list")[-1]["id"]
    gateway.command(noun, "disable", newest)
    answer = eventually(lambda: (found := caller.get("/v1/models")).status == 403 and found, NOTICED_WITHIN_S)
    assert (answer.error["type"], answer.error["code"]) == ("permission_error", "account_disabled")
    assert caller.ask("POST", CHAT, b"{").status == 403
    gateway.command(noun, "enable", newest)
    eventually(lambda: caller.get("/v1/models").status == 200, NOTICED_WITHIN_S)
    assert caller.record(answer.header("x-request-id"))["status"] == 403  # whose call it was is known


def test_new_key_opens_at_once(tenant: Callable[..., Caller]) -> None:
    for _ in range(3):
        assert tenant().get("/v1/models").status == 200


# Behind a proxy


@pytest.fixture(scope="module")
def keys_by_address(special: Gateway) -> dict[str, Caller]:
    """A key for each address that a request may seem to come from."""
    addresses = ("192.0.2.7", "203.0.113.9", "2001:db8::7", "127.0.0.1", "10.1.1.1", "10.1.2.3")
    create = ("keys", "create", "x", "--project", "demo", "--address")
    return {address: Caller(special, command_json(special, *create, address)["key"]) for address in addresses}


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, 10.1.2.3", "192.0.2.7"),
        ("203.0.113.9, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("2001:db8::7", "2001:db8::7"),
        ("nonsense", "127.0.0.1"),
        ("nonsense, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.7, nonsense", "127.0.0.1"),
        ("10.1.1.1, 10.2.2.2", "10.1.1.1"),
        ("", "127.0.0.1"),
    ],
)
def test_forwarded_for_from_a_named_proxy(forwarded: str, client: str, keys_by_address: dict[str, Caller]) -> None:
    let_in = {
        address
        for address, caller in keys_by_address.items()
        if caller.get("/v1/models", {"x-forwarded-for": forwarded}).status == 200
    }
    assert let_in == {client}


def test_forwarded_for_from_a_stranger_is_ignored(caller: Caller, tenant: Callable[..., Caller]) -> None:
    restricted = tenant("--address", "192.0.2.7")
    assert restricted.get("/v1/models", {"x-forwarded-for": "192.0.2.7"}).status == 403
    caller.chat(headers={"x-forwarded-for": "192.0.2.7", "x-request-id": "forwarded-by-a-stranger"})
    assert caller.log_line("forwarded-by-a-stranger")["client_address"] == "127.0.0.1"


# Origins


@pytest.mark.contract("2.1")
def test_no_cors_headers_unless_listed(caller: Caller) -> None:
    headers = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    for answer in (caller.get("/v1/models", headers), caller.ask("OPTIONS", CHAT, None, headers), caller.chat()):
        assert not [name for name in answer.names if name.startswith("access-control-")]


def test_listed_origin(special_caller: Caller) -> None:
    headers = {"origin": "https://app.example.com"}
    answers = [
        special_caller.get("/v1/models", headers),
        special_caller.chat(headers=headers),
        special_caller.streamed(headers=headers),
        special_caller.chat(headers=headers, messages=[]),
        special_caller.get("/nowhere", headers),
        special_caller.get("/v1/models", headers | {"authorization": "Bearer wrong"}),
    ]
    for answer in answers:
        assert answer.header("access-control-allow-origin") == "https://app.example.com"
        assert "x-request-id" in (answer.header("access-control-expose-headers") or "")
        assert "origin" in (answer.header("vary") or "")
        assert "access-control-allow-credentials" not in answer.names


def test_preflight(special: Gateway) -> None:
    """A browser asks before it has a key to show."""
    stranger = Caller(special, key="")
    headers = {"origin": "https://app.example.com", "access-control-request-method": "POST", "authorization": ""}
    answer = stranger.ask("OPTIONS", CHAT, None, headers)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.header("access-control-allow-origin") == "https://app.example.com"
    assert "POST" in (answer.header("access-control-allow-methods") or "")
    assert "authorization" in (answer.header("access-control-allow-headers") or "")


@pytest.mark.parametrize(
    "origin", ["https://evil.example.com", "https://app.example.com.evil.com", "http://app.example.com", "null", "*"]
)
def test_other_origins(origin: str, special_caller: Caller) -> None:
    headers = {"origin": origin, "access-control-request-method": "POST"}
    for answer in (special_caller.ask("OPTIONS", CHAT, None, headers), special_caller.get("/v1/models", headers)):
        assert not [name for name in answer.names if name.startswith("access-control-")]
        assert answer.header("vary") == "origin"
