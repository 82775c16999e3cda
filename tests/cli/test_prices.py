"""`faregate prices` as an operator meets it."""

import json
from pathlib import Path

import pytest

from .test_cli import Shell

SETTINGS = """[providers.local]
base_url = 'http://127.0.0.1:9/v1'
models = ['tiny', 'unknown', 'gpt-4o']
[models.tiny]
price = { input = '0.25', cache_read = '0.025', output = '2.00', image = '0.04' }
[[models.tiny.prices]]
from = 2099-01-01
input = '0.20'
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "faregate.toml").write_text(SETTINGS)
    return Shell(tmp_path)


def test_what_each_model_costs_and_whose_price_that_is(shell: Shell) -> None:
    lines = {str(line["model"]): line for line in shell.json("prices", "list")}
    assert {name: line["source"] for name, line in lines.items()} == {
        "tiny": "operator",
        "unknown": "none",
        "gpt-4o": "catalogue",
    }
    rates = {"input": "0.25", "cache_read": "0.025", "output": "2", "image": "0.04"}
    assert lines["tiny"]["rates"] == rates
    assert lines["tiny"]["entries"] == [{"from": "2099-01-01", "input": "0.2"}, rates]
    assert lines["unknown"]["version"] is None and lines["unknown"]["rates"] == {}
    text = shell.ok("prices", "list", "openai/gpt-4o", "tiny")
    assert text.count("\n") == 3 and "image 0.04" in text
    assert text.splitlines()[1].split()[:4] == ["gpt-4o", "2.5", "1.25", "10"]
    assert "nobody serves a model nothing" in shell.fails("prices", "list", "nothing")
    assert not (shell.folder / "data").exists()


def test_the_default_and_a_margin_show(shell: Shell) -> None:
    with (shell.folder / "faregate.toml").open("a") as file:
        file.write("[prices]\ndefault = { input = '0.10', output = '0.40' }\nmargin_percent = 20\n")
    tiny, unknown, known = shell.json("prices", "list", "tiny", "unknown", "gpt-4o")
    assert unknown["source"] == "default" and unknown["rates"] == {"input": "0.1", "output": "0.4"}
    assert str(known["version"]).endswith("+20%") and known["rates"]["input"] == "3"  # type: ignore[index]
    assert tiny["source"] == "operator" and tiny["rates"]["input"] == "0.25"  # type: ignore[index]


def test_from_one_list_to_the_next(shell: Shell) -> None:
    assert "no prices have been applied yet" in shell.ok("prices", "diff")
    assert shell.json("prices", "history") == []
    assert "list 1: 3 models" in shell.ok("prices", "apply", "--reason", "the start")
    assert "nothing has changed" in shell.ok("prices", "apply", "--reason", "again")
    assert ": no changes" in shell.ok("prices", "diff")

    (shell.folder / "faregate.toml").write_text(SETTINGS.replace("'2.00'", "'2.50'").replace("'unknown', ", ""))
    text = shell.ok("prices", "diff")
    assert text.startswith("since list 1 of ")
    assert [line.split() for line in text.splitlines()[2:]] == [
        ["tiny", "changed", "output", "2", "2.5", "-"],
        ["unknown", "removed", "-", "-", "-", "-"],
    ]
    report = json.loads(shell.ok("prices", "diff", "--json"))
    assert report["since"]["reason"] == "the start"
    assert report["changes"][0] == {
        "model": "tiny",
        "change": "changed",
        "rate": "output",
        "before": "2",
        "after": "2.5",
        "conditions": {},
    }

    made = json.loads(shell.ok("prices", "apply", "--reason", "dearer", "--json"))
    assert made["id"] == 2 and made["author"].startswith("cli:")
    lists = shell.json("prices", "history")
    assert [(each["id"], each["reason"], each["models"], each["changed"]) for each in lists] == [
        (1, "the start", 3, 3),
        (2, "dearer", 2, 2),
    ]
    over_time = shell.json("prices", "history", "tiny")
    assert [(each["id"], each["rates"]["output"]) for each in over_time] == [(1, "2"), (2, "2.5")]  # type: ignore[index]
    assert len(shell.json("prices", "history", "openai/gpt-4o")) == 1
    assert [each["source"] for each in shell.json("prices", "history", "unknown")] == ["none"]
    assert "no price list has a model nothing" in shell.fails("prices", "history", "nothing")


def test_prices_are_not_applied_without_a_reason(shell: Shell) -> None:
    assert shell.run("prices", "apply").returncode == 2
    assert "a reason is needed" in shell.fails("prices", "apply", "--reason", " ")
    assert "faregate.toml:8: models.tiny.prices[0].input" in _broken(shell).fails("prices", "diff")


def _broken(shell: Shell) -> Shell:
    (shell.folder / "faregate.toml").write_text(SETTINGS.replace("'0.20'", "0.20"))
    return shell
