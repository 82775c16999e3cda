"""What a house decides, on the wire: routes, several houses on one address, whose keys open which, the net of an
address, and what is reserved."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faregate.edge.house_file import FOLDER
from tests.running.client import CHAT, Answer, Caller, eventually, request_bytes
from tests.running.processes import ENOUGH, Gateway, Simulator

from .conftest import command_json

OWN = """
name = "own"
prefixes = ["/llm/v1"]
key_prefix = "own-"
routes_off = ["/completions", "/messages", "/requests/{id}", "/models/{id}:generateContent"]
[headers]
region = "x-own-region"
[address_net]
requests = 12
window_s = 600
counts = "all"
"""


@pytest.fixture(scope="module")
def street(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """The default house; behind one path lincorelink, at one host a house of our own, whose net is small."""
    file = session_folder / "own.toml"
    file.write_text(OWN, "utf-8")
    config = f"""
[[houses]]
house = "lincorelink"
base_path = "/links"
[[houses]]
house = "{file}"
hosts = ["own.example.com"]
{ENOUGH}
[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
wire = "exact"
models = ["test-model", "deepseek-v4-flash"]
"""
    process = Gateway(session_folder, config, {"FAREGATE_LIMITS_ADDRESS_NET": "true"})
    yield process
    process.stop()


@pytest.fixture(scope="module")
def keys(street: Gateway) -> dict[str, str]:
    """A key of each house, of one organisation."""
    command_json(street, "orgs", "create", "all", "--metered")
    [project] = command_json(street, "projects", "create", "all", "--org", "all")
    words = ["keys", "create", "k", "--project", project["id"], "--house"]
    return {house: command_json(street, *words, house)["key"] for house in ("faregate", "lincorelink", "own")}


def test_the_host_of_a_url_wins(street: Gateway, keys: dict[str, str]) -> None:
    """As a proxy asks; a house that is chosen by its host is found by it (RFC 9112, 3.2.2)."""
    url = "http://own.example.com:80/llm/v1/models"
    assert ask(street, url, keys["own"]).status == 200
    assert ask(street, "http://gateway/v1/models", keys["own"], host="own.example.com").status == 401
    assert ask(street, "https://gateway/v1/models", keys["faregate"], host="own.example.com").status == 200
    refused = ask(street, "http://me@own.example.com/llm/v1/models", keys["own"])
    assert (refused.status, refused.header("connection")) == (400, "close")


def test_the_options_of_the_whole_server(street: Gateway) -> None:
    for target in ("*", "http://gateway"):
        answer = ask(street, target, "", method="OPTIONS")
        assert (answer.status, answer.header("allow")) == (204, "GET, HEAD, POST, DELETE, OPTIONS")


def ask(
    street: Gateway, path: str, key: str, *, host: str = "gateway", method: str = "GET", body: bytes = b""
) -> Answer:
    with Caller(street).open() as connection:
        connection.send(request_bytes(method, path, body, {"host": host}, key))
        return connection.answer()


@pytest.mark.contract("2.1", "1.14")
def test_a_key_opens_only_its_house(street: Gateway, keys: dict[str, str]) -> None:
    assert keys["lincorelink"].startswith("sk-lcl-") and keys["own"].startswith("own-")
    statuses = {
        (house, door): ask(street, path, key, host=host).status
        for house, key in keys.items()
        for door, path, host in (
            ("faregate", "/v1/models", "gateway"),
            ("lincorelink", "/links/v1/models", "gateway"),
            ("own", "/llm/v1/models", "OWN.example.com.:8080"),
        )
    }
    assert statuses == {pair: 200 if pair[0] == pair[1] else 401 for pair in statuses}
    models = {
        house: {model["id"] for model in ask(street, path, keys[house]).json()["data"]}
        for house, path in (("faregate", "/v1/models"), ("lincorelink", "/links/v1/models"))
    }
    assert models["lincorelink"] == {"deepseek-v4-flash"} < models["faregate"]


@pytest.mark.contract("1.16", "9", "6.2")
def test_routes_that_are_off_and_the_net_of_all_requests(street: Gateway, keys: dict[str, str]) -> None:
    host, body = "own.example.com", b'{"model":"test-model","messages":[{"role":"user","content":"hi"}]}'
    answer = ask(street, "/llm/v1/chat/completions", keys["own"], host=host, method="POST", body=body)
    assert (answer.status, answer.header("x-own-region")) == (200, "default")
    for path in ("completions", "messages", "requests/some", "models/test-model:generateContent"):
        method = "GET" if path.startswith("requests") else "POST"
        answer = ask(street, f"/llm/v1/{path}", keys["own"], host=host, method=method, body=body)
        assert (answer.status, answer.error["type"]) == (404, "not_found_error")
        assert path.partition("/")[0].partition(":")[0] in answer.error["message"]  # it names the route
        assert ask(street, f"/v1/{path}", keys["faregate"], method=method, body=body).status != 405
    refused = eventually(
        lambda: (found := ask(street, "/llm/v1/models", keys["own"], host=host)).status == 429 and found
    )
    assert refused and refused.error["code"] == "rate_limit_exceeded" and int(refused.header("retry-after") or 0) >= 1
    # The net comes before the key, and is of that house alone
    assert ask(street, "/llm/v1/models", "own-nothing", host=host).status == 429
    assert ask(street, "/v1/models", keys["faregate"]).status == 200


@pytest.mark.contract("9")
def test_what_never_became_a_request_is_refused_as_the_house_says(session_folder: Path) -> None:
    _, _, table = (FOLDER / "faregate.toml").read_text("utf-8").partition("[errors]")
    kinds = table.replace("head_too_large = [431", "head_too_large = [400").replace(
        "malformed_request = [400", "malformed_request = [422"
    )
    file = session_folder / "other-statuses.toml"
    file.write_text(f"name = 'other'\n[errors]{kinds}", "utf-8")
    gateway = Gateway(session_folder, f'house = "{file}"\n')
    try:
        for head, status in ((b"GET / HTTP/9\r\n\r\n", 422), (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 400)):
            with Caller(gateway, "").open() as connection:
                connection.send(head)
                answer = connection.answer()
            assert (answer.status, answer.error["type"]) == (status, "invalid_request_error")
    finally:
        gateway.stop()


@pytest.mark.contract("6.2", "9")
def test_elsewhere_the_net_is_under_those_without_a_key(street: Gateway, keys: dict[str, str]) -> None:
    statuses = [ask(street, "/links/v1/models", f"sk-lcl-{number}").status for number in range(30)]
    assert statuses[0] == 401 and statuses[-1] == 429 and set(statuses) == {401, 429}
    # A good key that is not remembered is looked up as soon as it is its turn
    eventually(lambda: ask(street, "/links/v1/models", keys["lincorelink"]).status == 200)


@pytest.mark.contract("2.4")
def test_another_project_pays(street: Gateway, keys: dict[str, str]) -> None:
    [first] = [each for each in command_json(street, "projects", "list") if each["name"] == "all"]
    [second] = command_json(street, "projects", "create", "second", "--org", "all")
    words = ["keys", "create", "k", "--project", first["id"]]
    key = command_json(street, *words, "--bill", second["id"])["key"]
    caller = Caller(street, key)
    for name in ("x-faregate-project-id", "idc-project-id"):
        answer = caller.chat(headers={name: second["id"]})
        assert answer.status == 200
        billed = Caller(street, command_json(street, "keys", "create", "k", "--project", second["id"])["key"])
        assert billed.record(answer.header("x-request-id"))["project_id"] == second["id"]
        answer = caller.chat(headers={name: "another"})
        assert (answer.status, answer.error["code"]) == (403, "project_not_allowed")


@pytest.mark.contract("1.9", "2.4", "6.5")
def test_models_are_those_of_the_project_that_is_billed(street: Gateway) -> None:
    """In the list, one by one, and where the answer to another key's call is asked for again."""
    command_json(street, "orgs", "create", "halves", "--metered")
    first, second = (
        command_json(street, "projects", "create", name, "--org", "halves")[0]["id"] for name in ("half", "half-2")
    )
    command_json(street, "projects", "set", first, "--model", "test-model")
    command_json(street, "projects", "set", second, "--model", "deepseek-v4-flash")
    words = ["keys", "create", "k", "--project", first]
    both = Caller(street, command_json(street, *words, "--bill", second)["key"])
    elsewhere = {"idc-project-id": second}
    for headers, served, other in (
        ({}, "test-model", "deepseek-v4-flash"),
        (elsewhere, "deepseek-v4-flash", "test-model"),
    ):
        for dialect in ({}, {"anthropic-version": "2023-06-01"}):
            listed = both.get("/v1/models", headers | dialect).json()["data"]
            assert [model["id"] for model in listed] == [served]
        assert both.get(f"/v1/models/{served}", headers).status == 200
        assert both.get(f"/v1/models/{other}", headers).error["code"] == "model_not_found"
        assert both.chat(headers=headers, model=served).status == 200
        assert both.chat(headers=headers, model=other).error["code"] == "model_not_available"
    neighbour = Caller(street, command_json(street, *words)["key"])
    repeated = {"idempotency-key": "of-both"}
    assert both.chat(headers=elsewhere | repeated, model="deepseek-v4-flash").status == 200
    assert neighbour.chat(headers=repeated, model="deepseek-v4-flash").error["code"] == "model_not_available"


@pytest.mark.contract("2.1", "9")
def test_an_answer_of_one_house_is_not_repeated_in_another(session_folder: Path, simulator: Simulator) -> None:
    """By host the path is the same in both, and so may be the project and its idempotency key."""
    config = f"""
[[houses]]
house = "lincorelink"
hosts = ["links.example.com"]
{ENOUGH}
[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
models = ["deepseek-v4-flash"]
"""
    gateway = Gateway(session_folder, config)
    try:
        made = command_json(gateway, "keys", "create", "k", "--project", "demo", "--house", "lincorelink")
        body = json.dumps(Caller(gateway).body(model="deepseek-v4-flash")).encode()
        answers = []
        for key, host in ((gateway.key, "gateway"), (made["key"], "links.example.com")):
            with Caller(gateway).open() as connection:
                headers = {"host": host, "idempotency-key": "of-both"}
                connection.send(request_bytes("POST", CHAT, body, headers, key))
                answers.append(connection.answer())
        assert [answer.status for answer in answers] == [200, 409]
        assert list(answers[1].error) == ["message", "type", "param", "code"]
        assert answers[1].error["code"] == "idempotency_conflict"
    finally:
        gateway.stop()


def test_a_plan_of_one_house_holds_for_keys_of_the_others_too(street: Gateway) -> None:
    """An organisation has one plan, and perhaps keys of several houses."""
    command_json(street, "orgs", "create", "both", "--metered")
    [project] = command_json(street, "projects", "create", "both", "--org", "both")
    command_json(street, "orgs", "plan", "both", "pro")  # which is lincorelink's
    words = ["keys", "create", "k", "--project", project["id"], "--house"]
    for house, path in (("faregate", CHAT), ("lincorelink", f"/links{CHAT}")):
        made = command_json(street, *words, house)
        assert command_json(street, "keys", "limits", made["id"])["plan"] == "pro"
        body = json.dumps(Caller(street).body(model="deepseek-v4-flash", max_tokens=100_000)).encode()
        answer = ask(street, path, made["key"], method="POST", body=body)
        assert (answer.status, answer.header("x-faregate-adjusted")) == (200, "max_tokens=32768")


@pytest.mark.contract("6.6", "4.4", "9")
def test_what_is_reserved_is_what_there_is(street: Gateway) -> None:
    """Two projects share what their organisation has; who has used up his part is refused, the other is not."""
    command_json(street, "orgs", "create", "scale", "--metered")
    callers = []
    for name in ("a", "b"):
        [project] = command_json(street, "projects", "create", name, "--org", "scale")
        callers.append(Caller(street, command_json(street, "keys", "create", "k", "--project", project["id"])["key"]))
    for words in (["set", "scale", "--requests", "5"], ["share", "a", "--requests", "2"]):
        assert street.command("throughput", *words).returncode == 0
    before = time.time()
    assert [callers[0].chat().status for _ in range(3)] == [200, 200, 429]
    answers = [callers[1].chat() for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    names = [f"x-ratelimit-{each}-requests" for each in ("limit", "remaining", "reset")]
    said = [tuple(int(answer.header(name) or "") for name in names) for answer in answers]
    assert [each[:2] for each in said] == [(3, 2), (3, 1), (3, 0), (3, 0)]
    assert all(math.ceil(before + 59) <= each[2] <= math.ceil(time.time() + 60.1) for each in said)


@pytest.mark.contract("9")
def test_an_error_is_in_the_houses_members(street: Gateway, keys: dict[str, str]) -> None:
    body = json.dumps({"model": "nothing", "messages": [{"role": "user", "content": "x"}]}).encode()
    answer = ask(street, f"/links{CHAT}", keys["lincorelink"], method="POST", body=body)
    assert (answer.status, list(answer.error)) == (400, ["message", "type", "param", "code"])
    answer = ask(street, CHAT, keys["faregate"], method="POST", body=body)
    assert (answer.status, list(answer.error)) == (404, ["message", "type", "param", "code", "request_id"])


@pytest.mark.contract("4.1", "9")
def test_an_error_in_anthropics_shape_has_its_id_in_every_house(street: Gateway, keys: dict[str, str]) -> None:
    """There it is the dialect's, not one of the house's members; where a stream fails too."""
    plan = '#simulator {"output_tokens": 9, "cut_after_bytes": 900}'
    members = {"model": "deepseek-v4-flash", "max_tokens": 9, "messages": [{"role": "user", "content": plan}]}
    for path, key in (("/v1/messages", keys["faregate"]), ("/links/v1/messages", keys["lincorelink"])):
        answer = ask(street, path, key, method="POST", body=b'{"model": "nothing"}')
        assert answer.status == 400 and list(answer.json()) == ["type", "error", "request_id"]
        assert answer.json()["request_id"] == answer.header("x-request-id") == answer.header("request-id")
        answer = ask(street, path, key, method="POST", body=json.dumps(members | {"stream": True}).encode())
        failed = json.loads(answer.body.rpartition(b"data: ")[2])
        assert (answer.status, failed["type"]) == (200, "error")
        assert failed["request_id"] == answer.header("x-request-id")
