"""`faregate house`: list, show, check. What is shown is a file again, whole: the start of one of your own."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..edge.house_file import house_path, read_house, shipped_houses
from ..settings_source import SettingsError, TomlSource
from .context import show_json

FAILURES = (SettingsError,)
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.verb == "list":
        names = shipped_houses()
        if arguments.json:
            show_json(names)
        else:
            sys.stdout.write("\n".join(names) + "\n")
        return 0
    path = house_path(arguments.house, Path())
    facts, prices = read_house(path)
    if arguments.verb == "check":
        sys.stdout.write(f"{path}: a house '{facts.name}', {len(facts.plans)} plans, {len(prices)} prices: good\n")
        return 0
    tree = msgspec.to_builtins(facts) | {"prices": TomlSource.read(path).tree.get("prices", {})}
    if arguments.json:
        show_json(tree)
    else:
        sys.stdout.write("".join(_toml(tree)))
    return 0


def _toml(tree: dict[str, object], at: str = "") -> Iterator[str]:
    """A tree of tables as TOML: first the keys of a table, then the tables in it. What is absent has no form there."""
    tables = {name: value for name, value in tree.items() if isinstance(value, dict)}
    for name, value in tree.items():
        if name not in tables and value is not None:
            yield f"{_key(name)} = {_value(value)}\n"
    for name, value in tables.items():
        path = f"{at}.{_key(name)}" if at else _key(name)
        if not value or any(not isinstance(each, dict) for each in value.values()):
            yield f"\n[{path}]\n"
        yield from _toml(value, path)


def _key(name: str) -> str:
    return name if _BARE.match(name) else json.dumps(name)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items() if each is not None)
        return f"{{ {pairs} }}"
    return json.dumps(value) if isinstance(value, str | bool | int | float) else json.dumps(str(value))
