"""A house's gateway as its clients meet it: customers by plan, printed commands run as they stand, printed words."""

import inspect
import itertools
import json
import re
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from faregate.core.money import parse_amount
from faregate.edge.neighbourhood import load_houses, written_plans
from faregate.ledger.credits import Credits
from faregate.settings import load_settings
from faregate.stores.directory import Directory
from faregate.stores.plans import PlanOffice
from faregate.stores.sqlite import SqliteDatabase
from tests.money.books import ACTOR, Customer, with_directory
from tests.running.client import Answer
from tests.running.processes import CLEAN, Gateway

DOCUMENTS = Path(__file__).parents[1] / "fixtures" / "reference_apis"
_QUOTE = re.compile(r"'(.+)'")
_OBJECT = re.compile(r"(?<=\n)\{\n")
_COMMAND = re.compile(r"""^curl [^\n]*\\\n(?:[^\n]*\\\n)*(?:-d '[^']*'|-H "[^"]*")""", re.MULTILINE)


class Front:
    """The gateway of one house, and those who buy there."""

    def __init__(self, gateway: Gateway, model: str) -> None:
        self.gateway = gateway
        self.model = model
        settings = load_settings(gateway.config)
        self._plans = written_plans(settings)[""]
        self._prefix = load_houses(settings).main.key_prefix.decode()
        self._numbers = itertools.count()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def customer(self, plan: str | None = None, *, bought: str | None = "100", promo: str | None = None) -> Customer:
        """A new organisation with a key, credit that it bought and was given (USD), and a plan, else the default."""
        name = f"customer-{next(self._numbers)}"

        async def work(directory: Directory, database: SqliteDatabase) -> Customer:
            organisation = await directory.create_organisation(name, actor=ACTOR)
            project = await directory.create_project(organisation.id, name, actor=ACTOR)
            issued = await directory.create_key(project.id, name, actor=ACTOR, prefix=self._prefix)
            credits = Credits(database, directory)
            for amount, give in ((bought, credits.add), (promo, credits.grant)):
                if amount is not None:
                    await give(organisation.id, parse_amount(amount), reason="test", actor=ACTOR)
            if plan is not None:
                office = PlanOffice(database, directory, self._plans, time.time)
                await office.assign(organisation.id, plan, actor=ACTOR)
            return Customer(self.gateway, organisation.id, issued.text.reveal(), issued.key.id, self.model)

        return with_directory(self.gateway, work)

    def disable(self, customer: Customer) -> None:
        """What `faregate orgs disable` does."""
        with_directory(
            self.gateway,
            lambda directory, _: directory.disable_organisation(customer.organisation, disabled=True, actor=ACTOR),
        )


def curl(command: str, **environment: str) -> Answer:
    """What a printed command prints, its head too. It is run by a shell, as a reader would."""
    done = subprocess.run(
        ["bash", "-c", f"{command} --silent --show-error --include --max-time 30"],
        env={**CLEAN, **environment},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines]
    return Answer(int(first.split()[1]), [(name.lower(), value.strip()) for name, _, value in pairs], body)


def printed_commands(document: str) -> list[str]:
    """The curl commands of a document, as they stand there."""
    text = (DOCUMENTS / document).read_text("utf-8")
    return _COMMAND.findall(text)


def printed_json(document: str) -> list[Any]:
    """The JSON bodies of a document, as they stand there."""
    text = _COMMAND.sub("", (DOCUMENTS / document).read_text("utf-8"))
    found, end = [], 0
    for match in _OBJECT.finditer(text):
        if match.start() >= end:  # else within the one before
            value, end = json.JSONDecoder().raw_decode(text, match.start())
            found.append(value)
    return found


def assert_has(found: Any, printed: Any, at: str = "") -> None:
    """`found` has at least the members of `printed`, of the same types (contract.md: success bodies may have more)."""
    if isinstance(printed, dict):
        assert isinstance(found, dict), at
        for name, each in printed.items():
            assert name in found, f"{at}.{name} is missing"
            assert_has(found[name], each, f"{at}.{name}")
    elif isinstance(printed, list):
        assert found, f"{at} is empty"
        for each in found:
            assert_has(each, printed[0], f"{at}[]")
    else:
        assert type(found) is type(printed), f"{at}: {found!r}"


def unquoted(module: ModuleType, document: str) -> list[str]:
    """The tests of a module whose docstring does not begin with words of the document, between quotes."""
    text = " ".join((DOCUMENTS / document).read_text("utf-8").split())
    wrong = []
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and test.__module__ == module.__name__:
            quote = _QUOTE.match((test.__doc__ or "").partition("\n")[0])
            if quote is None or quote[1] not in text:
                wrong.append(name)
    return wrong
