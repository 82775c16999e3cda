"""`faregate plans`, `throughput` and the limits of organisations, projects and keys, as an operator meets them."""

import contextlib
import io
import subprocess
from pathlib import Path
from typing import Any

import pytest

from faregate.cli import main

from .test_cli import KEY, Shell

SETTINGS = """
default_plan = "free"
paid_plan = "standard"

[plans.free]
models = ["deepseek-v4-flash"]
key = { requests_per_minute = { chat = 10, images = 5 }, concurrency_max = 10 }

[plans.standard.key]
requests_per_minute = { chat = 60, images = 20 }
"""


class Desk(Shell):
    """A shell whose commands run in this process, which is quicker by far."""

    def run(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        assert not environment
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                code = main(words)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """An organisation with two projects, and plans in the settings."""
    for name in ("FAREGATE_CONFIG", "FAREGATE_DATA", "FAREGATE_PEPPER"):
        monkeypatch.delenv(name, raising=False)
    made = Desk(tmp_path)
    (tmp_path / "faregate.toml").write_text(SETTINGS)
    made.ok("orgs", "create", "acme")
    made.ok("projects", "create", "web", "--org", "acme")
    made.ok("projects", "create", "app", "--org", "acme")
    return made


def limits(shell: Desk, *words: str) -> dict[str, Any]:
    found: Any = shell.json(*words)
    return found


def counted(found: dict[str, Any]) -> set[tuple[str, str, int, str]]:
    return {(each["counted"], each["class"], each["limit"], each["subject"]) for each in found["bounds"]}


def test_limits_of_a_key_from_create_to_none(shell: Desk) -> None:
    made: Any = shell.json(
        "keys", "create", "k", "--project", "web", "--requests-per-minute", "chat=4", "--requests-per-minute", "50",
        "--concurrency", "2", "--output-tokens", "1000", "--longest-request", "2m", "--region", "eu",
    )  # fmt: skip
    assert KEY.fullmatch(made["key"])
    shown = limits(shell, "keys", "limits", made["id"])
    assert shown["plan"] == "free" and shown["models"] == [["deepseek-v4-flash"]] and shown["regions"] == [["eu"]]
    assert (shown["output_tokens_max"], shown["longest_request_s"]) == (1000, 120)
    assert counted(shown) == {
        ("requests", "chat", 4, "key"),
        ("requests", "images", 5, "key"),
        ("requests", "all", 50, "key"),
        ("concurrency", "all", 2, "key"),
    }
    for words in (("--requests-per-minute", "none", "--output-tokens", "none"), ("--any-region", "--concurrency", "1")):
        shell.ok("keys", "set", made["id"], *words)
    (listed,) = shell.json("keys", "list")
    assert listed["overrides"] == {
        "bounds": {"concurrency_max": 1, "requests_per_minute": {"chat": 4}},
        "longest_request_s": 120,
    }
    table = shell.ok("keys", "limits", made["id"])
    assert "requests a minute, chat" in table and f"key {made['id']}" in table


def test_a_key_is_shown_under_the_default_plan_of_its_house(shell: Desk) -> None:
    (shell.folder / "faregate.toml").write_text('[[houses]]\nhouse = "lincorelink"\nbase_path = "/links"\n')
    plans = {}
    for house in ("faregate", "lincorelink"):
        made: Any = shell.json("keys", "create", house, "--project", "web", "--house", house)
        plans[house] = limits(shell, "keys", "limits", made["id"])["plan"]
    assert plans == {"faregate": None, "lincorelink": "basic"}


def test_projects_and_organisations_have_limits_too(shell: Desk) -> None:
    shell.ok("projects", "set", "web", "--model", "a", "--model", "b", "--tokens-per-day", "1000")
    shell.ok("orgs", "set", "acme", "--tokens-per-minute", "70000", "--requests-per-minute", "900")
    shown = limits(shell, "projects", "limits", "web")
    assert shown["models"] == [["deepseek-v4-flash"], ["a", "b"]]
    assert {("daily_tokens", "all", 1000, "project"), ("tokens", "all", 70000, "organisation")} <= counted(shown)
    assert ("requests", "all", 900, "organisation") in counted(limits(shell, "orgs", "limits", "acme"))
    assert "each key" in shell.ok("orgs", "limits", "acme")


def test_what_is_beyond_the_plan_is_said(shell: Desk) -> None:
    words = ("keys", "create", "k", "--project", "web", "--requests-per-minute", "chat=11", "--concurrency", "9")
    done = shell.run(*words)
    assert done.returncode == 0 and KEY.fullmatch(done.stdout.strip())
    assert "note: requests_per_minute chat 11 is beyond the plan's 10, which holds" in done.stderr
    assert "concurrency" not in done.stderr


def test_plans_by_command_and_by_file(shell: Desk) -> None:
    shell.ok("plans", "create", "big", "--key-requests-per-minute", "chat=300", "--org-concurrency", "50",
             "--project-tokens-per-day", "9", "--context-tokens", "131072", "--retention-days", "7")  # fmt: skip
    assert shell.json("plans", "show", "big") == {
        "name": "big",
        "context_tokens_max": 131072,
        "key": {"requests_per_minute": {"chat": 300}},
        "project": {"tokens_per_day": 9},
        "organisation": {"concurrency_max": 50},
        "retention_days": 7,
    }
    shell.ok("plans", "set", "big", "--key-requests-per-minute", "chat=none", "--model", "gpt-4o")
    assert "gpt-4o" in shell.ok("plans", "show", "big")
    shell.ok("plans", "set", "free", "--output-tokens", "100")
    assert [(each["name"], each["made"], each["default"]) for each in shell.json("plans", "list")] == [
        ("big", "command", None),
        ("free", "command", "never paid"),
        ("standard", "file", "paid"),
    ]
    assert limits(shell, "orgs", "limits", "acme")["output_tokens_max"] == 100
    assert shell.json("orgs", "plan", "acme", "big")[0]["plan"] == "big"
    assert "acme has this plan" in shell.fails("plans", "remove", "big")
    shell.ok("orgs", "plan", "acme", "--default")
    shell.ok("plans", "remove", "big")
    shell.ok("credits", "add", "acme", "5", "--reason", "paid")
    assert limits(shell, "orgs", "limits", "acme")["plan"] == "standard"


def test_throughput_is_shared_out_and_moved(shell: Desk) -> None:
    shell.ok("throughput", "set", "acme", "--requests", "100", "--tokens", "0")
    shell.ok("throughput", "share", "web", "--requests", "60")
    shell.ok("throughput", "share", "app", "--requests", "10")
    assert "come to 101 requests" in shell.fails("throughput", "share", "app", "--requests", "41")
    shell.ok("throughput", "move", "web", "app", "--requests", "20")
    names = {each["id"]: each["name"] for each in (*shell.json("projects", "list"), *shell.json("orgs", "list"))}
    found = {names[each["id"]]: (each["requests"], each["requests_shared"]) for each in reserves(shell)}
    assert found == {"acme": (100, 70), "web": (40, 0), "app": (30, 0)}
    assert ("requests", "reserved", 40, "project") in counted(limits(shell, "projects", "limits", "web"))
    assert ("tokens", "reserved", 0, "organisation") in counted(limits(shell, "projects", "limits", "web"))
    shell.ok("throughput", "share", "web", "--requests", "none")
    assert ("requests", "reserved", 70, "organisation") in counted(limits(shell, "projects", "limits", "web"))


def reserves(shell: Desk) -> list[dict[str, Any]]:
    return [{**each, "id": each["subject_id"]} for each in shell.json("throughput", "list")]


@pytest.mark.parametrize(
    "words",
    [
        ("keys", "set", "x", "--concurrency", "-1"),
        ("keys", "set", "x", "--concurrency", "0"),
        ("keys", "set", "x", "--tokens-per-day", "1e3"),
        ("keys", "set", "x", "--tokens-per-minute", "1000000000001"),
        ("keys", "set", "x", "--requests-per-minute", "talk=1"),
        ("keys", "set", "x", "--requests-per-minute", "chat=-1"),
        ("keys", "set", "x", "--requests-per-minute", "=5"),
        ("keys", "set", "x", "--longest-request", "25h"),
        ("keys", "set", "x", "--longest-request", "m"),
        ("orgs", "plan", "acme"),
        ("orgs", "plan", "acme", "big", "--default"),
        ("throughput", "share", "web", "--tokens", "-1"),
        ("throughput", "set", "acme", "--requests", "many"),
        ("plans", "create"),
    ],
)
def test_what_cannot_be_understood(shell: Desk, words: tuple[str, ...]) -> None:
    assert "--help" in shell.fails(*words, code=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("orgs", "plan", "acme", "none"), "no plan none"),
        (("orgs", "limits", "nobody"), "no organisation"),
        (("projects", "set", "nobody", "--concurrency", "1"), "no project"),
        (("keys", "limits", "nobody"), "no key"),
        (("keys", "set", "nobody"), "no key"),
        (("plans", "show", "none"), "no plan none"),
        (("plans", "set", "none"), "no plan none"),
        (("plans", "create", "a b"), "a plan's name"),
        (("plans", "remove", "free"), "stands in a file"),
        (("throughput", "share", "web", "--requests", "1"), "no requests reserved"),
        (("throughput", "share", "web"), "how many"),
        (("throughput", "move", "web", "app", "--requests", "1"), "to give"),
        (("throughput", "list", "nobody"), "no organisation"),
    ],
)
def test_what_is_refused(shell: Desk, words: tuple[str, ...], said: str) -> None:
    assert said in shell.fails(*words)


def test_settings_with_a_wrong_plan_are_refused(shell: Desk) -> None:
    (shell.folder / "faregate.toml").write_text("[plans.free.key]\n\nconcurrency = 3\n")
    assert "faregate.toml:3: plans.free.key.concurrency: unknown key" in shell.fails("plans", "list")
    (shell.folder / "faregate.toml").write_text('default_plan = "gone"\n')
    assert "there is no plan gone" in Shell(shell.folder).fails("serve", "--port", "0")
    assert "calls of acme are refused" in shell.fails("orgs", "limits", "acme")
    assert "there is no plan gone here" in shell.ok("config", "check")
    done = shell.run("keys", "create", "k", "--project", "web", "--concurrency", "3")
    assert done.returncode == 0 and KEY.fullmatch(
        done.stdout.strip()
    )  # shown once: what else is wrong must not lose it
    assert "calls of acme are refused" in done.stderr
