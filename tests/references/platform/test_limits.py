"""The platform document on rate limits, on the wire of a gateway that wears this house."""

import math
import sys
import time

import pytest
from google.genai import errors

from tests.running.client import Caller, eventually, last_entry
from tests.running.processes import Simulator

from ..front import Front, unquoted
from .house import CHATS, DOCUMENT, LIMIT, REMAINING, RESET, chat, gemini_of, limits_of, project_of, standing


def test_every_test_quotes_the_document() -> None:
    """'API Reference' is its first line."""
    assert not unquoted(sys.modules[__name__], DOCUMENT)


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


@pytest.mark.contract("6.1")
def test_enterprise(front: Front) -> None:
    """'Enterprise | Custom | Custom | Contact sales'"""
    customer = front.customer("enterprise")
    said = front.gateway.command("orgs", "set", customer.organisation, "--requests-per-minute", "chat=2")
    assert said.returncode == 0
    eventually(lambda: LIMIT.lower() in chat(customer, max_tokens=5).names)
    eventually(lambda: chat(customer, max_tokens=5).status == 429)
