"""`faregate house`: what `show` prints is a file of a house again, and says the same."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.cli.house import toml_of
from faregate.edge.house_file import house_path, read_house, shipped_houses

from .test_cli import Shell
from .test_limits import Desk

SIX = ["apilink", "faregate", "idclinks", "lincorelink", "multimodal", "platform"]

OWN = """
name = "own"
longest_request_s = 90.5
default_plan = "small"
paid_plan = "la.rge"
request_presets = [30, 60]

[urls]
top_up = "https://pay.example.com/?a=%20&b=1"
[words]
insufficient_funds = "Say \\"please\\" \\\\ at {top_up_url} \u2014 \U0001f600\\u007F"
[plans.small.key]
requests_per_minute = { chat = 3, all = 7 }
[plans."la.rge"]
models = ["a/b", "c"]
organisation = { tokens_per_day = 1000000000000 }
retention_days = 3

[prices."a/b-1.5"]
input = "0.16"
[[prices.c]]
input = 1
[[prices.c]]
from = 2027-01-01
input = "0.20"
[[prices.c]]
from = 2028-01-01T12:00:00Z
input = "0.30"
prompt_tokens_over = 1000
[[prices.c]]
from = 2028-01-01T12:00:00Z
input = "0.20"
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Desk(tmp_path)


def test_the_houses_are_listed(shell: Shell) -> None:
    assert shell.ok("house", "list").split() == shell.json("house", "list") == SIX == shipped_houses()


@pytest.mark.parametrize("house", SIX)
def test_what_is_shown_is_the_house(shell: Shell, house: str) -> None:
    shown = shell.ok("house", "show", house)
    (shell.folder / "copy.toml").write_text(shown)
    assert "good" in shell.ok("house", "check", "copy.toml")
    assert read_house(shell.folder / "copy.toml") == read_house(house_path(house, Path()))
    assert shell.ok("house", "show", "copy.toml") == shown  # and again
    assert json.loads(shell.ok("house", "show", house, "--json"))["name"] == house


def test_what_is_shown_is_whole(shell: Shell) -> None:
    """Nothing of it depends on what the default house says."""
    tree = tomllib.loads(shell.ok("house", "show", "lincorelink"))
    default = tomllib.loads(shell.ok("house", "show", "faregate"))
    assert default.keys() <= tree.keys()
    assert all(default[name].keys() <= tree[name].keys() for name in ("errors", "headers", "request_headers"))
    assert tree["plans"]["max"]["organisation"] == {"concurrency_max": 20}
    assert tree["prices"]["deepseek-v4-pro"] == {"input": "0.60", "cache_read": "0.005", "output": "1.20"}


def test_a_house_of_ones_own(shell: Shell) -> None:
    (shell.folder / "own.toml").write_text(OWN)
    assert "a house 'own', 2 plans, 2 prices: good" in shell.ok("house", "check", "own.toml")
    (shell.folder / "copy.toml").write_text(shell.ok("house", "show", "own.toml"))
    assert read_house(shell.folder / "copy.toml") == read_house(shell.folder / "own.toml")
    (shell.folder / "faregate.toml").write_text('house = "own.toml"\n')
    assert {each["name"] for each in shell.json("plans", "list")} == {"small", "la.rge"}


def test_what_is_no_house_is_said_in_a_line(shell: Shell) -> None:
    assert "there is no such house" in shell.fails("house", "show", "nothing")
    (shell.folder / "bad.toml").write_text("\n[headers]\nregion = 3\n")
    for verb in ("check", "show"):
        assert "bad.toml:3: headers.region: expected str" in shell.fails("house", verb, "bad.toml")
    (shell.folder / "faregate.toml").write_text('house = "bad.toml"\n')
    for words in (("config", "check"), ("orgs", "list"), ("serve", "--port", "0")):
        assert "bad.toml:3: headers.region: expected str" in shell.fails(*words)


LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
TREES = st.dictionaries(
    st.text(),
    st.recursive(
        LEAVES | st.lists(LEAVES.filter(lambda leaf: leaf is not None)), lambda inner: st.dictionaries(st.text(), inner)
    ),
)


def said(tree: object) -> object:
    """Without what is not said."""
    return {key: said(each) for key, each in tree.items() if each is not None} if isinstance(tree, dict) else tree


@given(TREES)
@settings(deadline=None)
def test_any_tree_is_written_as_it_is(tree: dict[str, object]) -> None:
    assert tomllib.loads(toml_of(tree)) == said(tree)
