"""Budgets: a call must fit every one above its key, and what it used is counted against each."""

from decimal import Decimal
from typing import Any

import pytest

from tests.running.client import Caller, eventually
from tests.running.processes import Gateway

from .conftest import command_json


class Tenant:
    """A metered organisation with two projects and a key."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        self.gateway = gateway
        (self.organisation,) = command_json(gateway, "orgs", "create", name, "--metered")
        self.projects = [
            command_json(gateway, "projects", "create", f"{name}-{number}", "--org", self.organisation["id"])[0]["id"]
            for number in range(2)
        ]
        self.key = command_json(
            gateway, "keys", "create", name, "--project", self.projects[0], "--bill", self.projects[1]
        )
        self.caller = Caller(gateway, self.key["key"])

    def budgets(self, *words: str) -> list[dict[str, Any]]:
        return command_json(self.gateway, "budgets", *words)

    def one(self, subject: str, period: str) -> dict[str, Any]:
        (found,) = [line for line in self.budgets("list", subject) if line["period"] == period]
        return found

    def status(self, project: str | None = None) -> int:
        headers = {} if project is None else {"x-faregate-project-id": project}
        body = self.caller.body(max_tokens=50)
        return self.caller.ask("POST", "/v1/chat/completions", body, headers=headers).status

    def becomes(self, status: int, project: str | None = None) -> None:
        """What was set holds within a moment."""
        eventually(lambda: self.status(project) == status)


@pytest.fixture
def tenant(gateway: Gateway, request: pytest.FixtureRequest) -> Tenant:
    return Tenant(gateway, f"b-{request.node.name[:40]}")


def test_a_budget_that_is_used_up_refuses(tenant: Tenant) -> None:
    assert tenant.status() == 200
    for subject in (tenant.projects[0], tenant.key["id"]):
        tenant.budgets("set", subject, "day", "0.0000001")
        tenant.becomes(402)
        answer = tenant.caller.ask("POST", "/v1/chat/completions", tenant.caller.body(max_tokens=50))
        assert answer.error["code"] == "insufficient_funds"
        assert "budget" in answer.error["message"]
        call = {"path": "/v1/chat/completions", "body": tenant.caller.body(max_tokens=50)}
        would_be = tenant.caller.ask("POST", "/v1/quote", call).json()["would_be"]
        assert (would_be["status"], would_be["message"]) == (402, answer.error["message"])
        tenant.budgets("remove", subject, "day")
        tenant.becomes(200)


def test_what_was_used_is_counted_against_every_budget(tenant: Tenant) -> None:
    project, key = tenant.projects[0], tenant.key["id"]
    for subject, period in ((project, "day"), (project, "total"), (key, "month")):
        tenant.budgets("set", subject, period, "10")
    eventually(lambda: tenant.status() == 200 and tenant.one(key, "month")["spent"] != "0")
    answer = tenant.caller.ask("POST", "/v1/chat/completions", tenant.caller.body(max_tokens=50))
    cost = Decimal(answer.header("x-credits-used") or "0")
    assert cost > 0
    spent = {tenant.one(subject, period)["spent"] for subject, period in ((project, "total"), (key, "month"))}
    assert len(spent) == 1
    assert Decimal(spent.pop()) >= 2 * cost
    line = tenant.one(project, "day")
    assert Decimal(line["spent"]) + Decimal(line["held"]) + Decimal(line["left"]) == 10


@pytest.mark.contract("6.6")
def test_a_budget_moves_between_projects_in_one_step(tenant: Tenant) -> None:
    first, second = tenant.projects
    tenant.budgets("set", first, "month", "10")
    tenant.budgets("set", second, "month", "0")
    tenant.becomes(402, second)
    tenant.budgets("move", first, second, "month", "4")
    tenant.becomes(200, second)
    assert [tenant.one(project, "month")["amount"] for project in tenant.projects] == ["6", "4"]
    for words in (
        ("move", first, second, "month", "6.1"),
        ("move", first, second, "day", "1"),
        ("move", first, first, "month", "1"),
        ("set", first, "month", "-1"),
        ("set", "nobody", "month", "1"),
        ("set", first, "year", "1"),
    ):
        assert tenant.gateway.command("budgets", *words).returncode != 0
    assert tenant.gateway.command("ledger", "verify").returncode == 0


def test_a_lower_budget_takes_back_what_is_free_alone(tenant: Tenant) -> None:
    project = tenant.projects[0]
    tenant.budgets("set", project, "total", "10")
    eventually(lambda: tenant.status() == 200 and tenant.one(project, "total")["spent"] != "0")
    tenant.budgets("set", project, "total", "0")
    tenant.becomes(402)
    tenant.budgets("set", project, "total", "10")
    tenant.becomes(200)
