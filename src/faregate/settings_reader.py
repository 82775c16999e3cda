"""What a file of settings says, as types: tables become structs, and msgspec's words about a mistake become ours, with
the key in question."""

import re
from pathlib import Path
from typing import Any

import msgspec

from .core.choices import with_choices
from .core.secret import Secret
from .settings_source import KeyPath, TomlSource, Written

VISIBLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_ERROR_PATH = re.compile(r"^(.*?)(?: - at `(?:key in )?\$?(.*?)`)?$", re.DOTALL)
_PATH_PART = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")
_FIELD = re.compile(r"^Object (contains unknown|missing required) field `(.*)`$", re.DOTALL)


class Reader:
    """Turns tables into structs and msgspec's words into ours."""

    def __init__(self, source: TomlSource) -> None:
        self.source = source

    def convert(self, value: object, shape: Any, at: KeyPath, *, strict: bool = True) -> Any:
        """`value` as `shape`; `at` is where it stands. SettingsError."""
        try:
            return msgspec.convert(value, shape, strict=strict, dec_hook=self._special)
        except msgspec.ValidationError as error:
            key, message = explain(with_choices(error, shape))
            raise self.source.fail((*at, *key), message) from None

    def table(self, name: str) -> dict[str, Any]:
        """The table `name` of the file, empty where there is none."""
        found = self.source.tree.get(name, {})
        if not isinstance(found, dict):
            raise self.source.fail((name,), "must be a table")
        return found

    def mapping(self, name: str, shape: Any) -> dict[str, Any]:
        """A table of named tables, each as `shape`."""
        entries = {}
        for entry, value in self.table(name).items():
            if not entry or not entry.isprintable():
                raise self.source.fail((name, entry), "is no name")
            entries[entry] = self.convert(value, shape, (name, entry))
        return entries

    def _special(self, shape: type, value: object) -> object:
        if issubclass(shape, Written):
            return shape.written(value)
        if not isinstance(value, str):
            raise ValueError("Expected `str`")
        if shape is Secret:
            if not VISIBLE.fullmatch(value):
                raise ValueError("must be visible ASCII characters")
            return Secret(value)
        if not value or "\0" in value:
            raise ValueError("must be a path")
        return self.source.directory / Path(value).expanduser()


def explain(message: str) -> tuple[KeyPath, str]:
    """msgspec's error text as (key path, words)."""
    found = _ERROR_PATH.match(message)
    words, where = (found[1], found[2] or "") if found else (message, "")
    key: KeyPath = tuple(name or int(index) for name, index in _PATH_PART.findall(where))
    field = _FIELD.match(words)
    if field is None:
        return key, words.replace("`", "").replace("Expected", "expected", 1)
    return (*key, field[2]), "unknown key" if field[1].startswith("contains") else "is missing"
