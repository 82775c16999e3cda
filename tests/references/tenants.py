"""Organisations, projects and keys, made by the command line as an operator makes them."""

import json
from dataclasses import dataclass
from typing import Any

from tests.running.client import Caller
from tests.running.processes import Gateway


def command(gateway: Gateway, *words: str) -> Any:
    """What a command answers with `--json`."""
    done = gateway.command(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def key_of(gateway: Gateway, project: str, *words: str, model: str) -> Caller:
    """The caller of a new key of a project."""
    return Caller(gateway, command(gateway, "keys", "create", "key", "--project", project, *words)["key"], model)


@dataclass(frozen=True)
class Tenant:
    """An organisation and one project of it, by their ids."""

    gateway: Gateway
    organisation: str
    project: str

    def key(self, *words: str, model: str) -> Caller:
        return key_of(self.gateway, self.project, *words, model=model)

    def another_project(self, name: str) -> "Tenant":
        made = command(self.gateway, "projects", "create", name, "--org", self.organisation)
        return Tenant(self.gateway, self.organisation, made[0]["id"])


def tenant_of(gateway: Gateway, name: str, *words: str) -> Tenant:
    """A new organisation: without credit, unless `--metered` is one of the words."""
    organisation = command(gateway, "orgs", "create", name, *words)[0]["id"]
    project = command(gateway, "projects", "create", f"{name}-project", "--org", organisation)[0]["id"]
    return Tenant(gateway, organisation, project)
