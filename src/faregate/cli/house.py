"""`faregate house`: list, show, check. What is shown is a file again, whole: the start of one of your own."""

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date, time
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
        sys.stdout.write(toml_of(tree))
    return 0


def toml_of(tree: Mapping[str, object]) -> str:
    """A tree of tables as TOML. What is absent has no form there."""
    return "".join(_lines(tree, ""))


def _lines(tree: Mapping[str, object], at: str) -> Iterator[str]:
    """First the keys of a table, then the tables in it."""
    tables = {name: value for name, value in tree.items() if isinstance(value, dict)}
    for name, value in tree.items():
        if name not in tables and value is not None:
            yield f"{_key(name)} = {_value(value)}\n"
    for name, value in tables.items():
        path = f"{at}.{_key(name)}" if at else _key(name)
        if not value or any(not isinstance(each, dict) for each in value.values()):
            yield f"\n[{path}]\n"
        yield from _lines(value, path)


def _key(name: str) -> str:
    return name if _BARE.match(name) else _text(name)


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items() if each is not None)
        return f"{{ {pairs} }}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, date | time):
        return value.isoformat()
    return repr(value) if isinstance(value, int | float) else _text(str(value))


def _text(text: str) -> str:
    """A text as JSON and TOML both write it, but for the one character that TOML escapes and JSON does not."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
