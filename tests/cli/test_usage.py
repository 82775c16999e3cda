"""`faregate usage` as an operator meets it."""

import asyncio
import re
from pathlib import Path

import pytest

from faregate.core.usage import Usage
from faregate.stores.journal import Journal
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.usage_days import DAY_S

from ..stores.days import NOON, at
from .test_cli import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Two days of two projects, each with a key, and what nobody in the directory has used."""
    made = Shell(tmp_path)
    made.ok("orgs", "create", "acme")
    for project in ("web", "api"):
        made.ok("projects", "create", project, "--org", "acme")
        made.ok("keys", "create", f"of {project}", "--project", project)
    owners = [(key["organisation_id"], key["project_id"], key["id"]) for key in made.json("keys", "list")]

    [path] = tmp_path.rglob("*.db")

    async def fill() -> None:
        database = SqliteDatabase(path)
        journal = Journal(database)
        for organisation, project, key in (*owners, ("gone", "gone", "gone")):
            for day in range(2):
                for status in (200, 429):
                    who = {"organisation_id": organisation, "project_id": project, "key_id": key}
                    images = 2 if organisation == "gone" else 0
                    used = {
                        "usage": Usage(input=10, output=3, images=images),
                        "cost_nano": 1_500_000_001,
                        "status": status,
                    }
                    journal.append(at(NOON + day * DAY_S, **who, **used))
        assert await journal.close()
        await database.close()

    asyncio.run(fill())
    return made


def test_sums_by_day_project_and_key(shell: Shell) -> None:
    first, second = shell.json("usage")
    assert (first["day"], second["day"]) == ("2024-10-04", "2024-10-05")
    assert (first["requests"], first["errors"], first["input"], first["output"]) == (6, 3, 60, 18)
    assert first["cost"] == "9.000000006"
    assert first["bytes_in"] == 60 and "project" not in first
    assert first["others"] == {"images": 4}
    lines = shell.json("usage", "--org", "acme", "--by", "project,key", "--until", "2024-10-04")
    assert [(line["project"], line["key"], line["requests"]) for line in lines] == [
        ("api", "of api", 2),
        ("web", "of web", 2),
    ]
    assert "day" not in lines[0]
    (line,) = shell.json("usage", "--key", str(lines[1]["key_id"]), "--by", "model", "--since", "2024-10-05")
    assert (line["model"], line["requests"], line["cost"]) == ("gpt-4o", 2, "3.000000002")
    assert shell.json("usage", "--project", "web", "--since", "2030-01-01") == []


def test_the_table_names_names(shell: Shell) -> None:
    table = shell.ok("usage", "--by", "org,project", "--model", "gpt-4o").splitlines()
    assert re.split(r" {2,}", table[0])[:5] == ["ORG", "PROJECT", "REQUESTS", "ERRORS", "INPUT"]
    assert any(line.startswith("acme (") and " web (" in line and line.endswith(" 6.000000004") for line in table)
    assert any(re.search(r"^gone .* 8 +6\.000000004$", line) for line in table)
    assert re.split(r" {2,}", table[0])[-2:] == ["IMAGES", "COST"]
    assert "IMAGES" not in shell.ok("usage", "--org", "acme")
    assert "in order" in shell.ok("ledger", "verify")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--org", "nobody"), "no organisation"),
        (("--project", "nothing"), "no project"),
        (("--key", "none"), "no key"),
        (("--model", "gpt-5"), "nobody has used a model gpt-5"),
    ],
)
def test_unknown_names_are_said_in_a_line(shell: Shell, words: tuple[str, ...], said: str) -> None:
    assert said in shell.fails("usage", *words)


@pytest.mark.parametrize("words", [("--by", "colour"), ("--by", ""), ("--since", "soon"), ("--until", "30d")])
def test_what_cannot_be_asked_is_exit_code_2(shell: Shell, words: tuple[str, ...]) -> None:
    assert "--help" in shell.fails("usage", *words, code=2)
