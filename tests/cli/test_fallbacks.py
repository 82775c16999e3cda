"""Fallbacks that cannot be meant are told by their place before anything is served."""

import json
from pathlib import Path

import pytest

from .test_cli import Shell

LOCAL = """[providers.local]
base_url = 'http://127.0.0.1:9/v1'
models = ['first', 'a', 'b', 'c', 'd', 'e', 'f']
price = { input = '0', output = '0' }
[aliases]
nick = 'a'
nickname = 'nick'
own = 'first'
[models.first]
"""
LINE = LOCAL.count("\n") + 1


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.parametrize(
    ("fallbacks", "at", "said"),
    [
        (["a", "nobody"], "[1]", "there is no model nobody"),
        (["first"], "[0]", "first is there already"),
        (["a", "own"], "[1]", "own is there already"),
        (["a", "b", "a"], "[2]", "a is there already"),
        (["a", "nick"], "[1]", "nick is there already"),
        (["nickname", "a"], "[1]", "a is there already"),
        (["a", "b", "c", "d", "e", "f"], "", "length"),
        (["a", 3], "[1]", "str"),
        (["a", ""], "[1]", ""),
        ("a", "", "array"),
    ],
)
def test_what_is_wrong_with_fallbacks(fallbacks: list[object] | str, at: str, said: str, shell: Shell) -> None:
    (shell.folder / "faregate.toml").write_text(f"{LOCAL}fallbacks = {fallbacks!r}\n")
    told = shell.fails("config", "check")
    assert f"faregate.toml:{LINE}: models.first.fallbacks{at}: " in told
    assert said in told


@pytest.mark.parametrize("fallbacks", [[], ["a", "b", "c", "d", "e"], ["nick"], ["nickname", "b"]])
def test_fallbacks_that_are_in_order(fallbacks: list[str], shell: Shell) -> None:
    (shell.folder / "faregate.toml").write_text(f"{LOCAL}fallbacks = {fallbacks!r}\n")
    assert json.loads(shell.ok("config", "check", "--json"))["warnings"] == []
