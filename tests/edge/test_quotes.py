"""POST /v1/quote, and the project that a call is billed to."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faregate.core.errors import NoFunds
from faregate.edge.house import load_house
from faregate.edge.quoting import members_of
from faregate.flow.quote import Quote
from tests.running.client import Caller
from tests.running.processes import Gateway

from .conftest import command_json

CHAT = {"model": "test-model", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 100}


def quoted(caller: Caller, body: object, path: str = "/v1/chat/completions") -> Any:
    answer = caller.ask("POST", "/v1/quote", {"path": path, "body": body})
    assert answer.status == 200, answer.body
    return answer.json()


def test_a_quote_says_what_a_call_would_hold_and_the_call_holds_it(special_caller: Caller) -> None:
    quote = quoted(special_caller, CHAT)
    assert quote["object"] == "quote"
    assert quote["model"] == "test-model"
    assert quote["target"]["provider"] == "sim"
    assert quote["would_be"] == {"status": 200, "code": None, "message": None}
    assert 0 < float(quote["expected"]) < float(quote["highest"])
    answer = special_caller.ask("POST", "/v1/chat/completions", CHAT)
    record = special_caller.get(f"/v1/requests/{answer.header('x-request-id')}").json()
    assert record["held"] == quote["held"]
    assert record["price_version"] == quote["price_version"]
    assert record["cost"] == answer.header("x-credits-used")
    assert record["prices"] == [{"prompt_tokens_over": 0, "input": "1", "cache_read": "0.1", "output": "2"}]


def test_a_quote_of_what_would_be_refused_says_how(tenant: Callable[..., Caller]) -> None:
    caller = tenant("--model", "gpt-4o")
    assert quoted(caller, CHAT)["would_be"]["code"] == "model_not_available"
    assert quoted(caller, {**CHAT, "model": "nobody-has-this"})["would_be"]["status"] == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"path": "/v1/models", "body": {}}, "path"),
        ({"path": "/v1/chat/completions", "body": []}, "body"),
        ({"path": "/v1/chat/completions", "body": {"model": "test-model"}}, "body.messages"),
    ],
)
def test_what_is_no_call_is_not_quoted(body: object, param: str | None, special_caller: Caller) -> None:
    answer = special_caller.ask("POST", "/v1/quote", body)
    assert answer.status == 400
    assert answer.error["param"] == param


def test_a_call_is_billed_to_the_project_that_its_head_names(special: Gateway) -> None:
    (owner,) = command_json(special, "orgs", "create", "biller", "--metered")
    (own,) = command_json(special, "projects", "create", "own", "--org", owner["id"])
    (other,) = command_json(special, "projects", "create", "other", "--org", owner["id"])
    (third,) = command_json(special, "projects", "create", "third", "--org", owner["id"])
    key = command_json(special, "keys", "create", "k", "--project", own["id"], "--bill", other["id"])["key"]
    caller = Caller(special, key)

    def billed(project: str, header: str = "x-faregate-project-id") -> Any:
        return caller.ask("POST", "/v1/chat/completions", CHAT, headers={header: project})

    assert billed(own["id"]).status == 200
    answer = billed(other["id"], "idc-project-id")
    assert answer.status == 200
    record = f"/v1/requests/{answer.header('x-request-id')}"
    assert caller.get(record).status == 404  # it is the other project's
    found = caller.ask("GET", record, headers={"x-faregate-project-id": other["id"]})
    assert found.json()["project_id"] == other["id"]
    for project in (third["id"], "nobody", "demo"):
        refused = billed(project)
        assert (refused.status, refused.error["code"]) == (403, "project_not_allowed")


def test_a_refusal_is_told_in_the_houses_words(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text("[words]\ninsufficient_funds = 'Nothing left.'\n")
    would_be = members_of(load_house(file), Quote(refusal=NoFunds()))["would_be"]
    assert would_be == {"status": 402, "code": "insufficient_funds", "message": "Nothing left."}
