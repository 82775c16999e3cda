"""Where settings come from: a TOML text with the line of every key, and the environment.

tomllib gives values without positions; the scanner below walks a text that tomllib has accepted and notes the
line on which each key stands, so that an error can name it.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

KeyPath = tuple[str | int, ...]

_FILE_BYTES_MAX = 4 * 1024 * 1024
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL_STRING = re.compile(r"'[^']*'")
_LONG_STRING = re.compile(r'"""(?:[^\\]|\\.)*?"""+|' r"'''.*?'''+", re.DOTALL)
_PLAIN_VALUE = re.compile(r"[^,\]}\n#]*")
_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*")
_TOML_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class SettingsError(Exception):
    """Settings that cannot be used.

    `path` is the file or "environment", `line` counts from 1 (0: there is none), `key` is the key's path.
    """

    def __init__(self, path: str, line: int, key: str, message: str) -> None:
        where = f"{path}:{line}" if line else path
        super().__init__(f"{where}: {key}: {message}" if key else f"{where}: {message}")
        self.path = path
        self.line = line
        self.key = key
        self.message = message


class Written:
    """A value that the file has in another form than the settings."""

    @classmethod
    def written(cls, value: object) -> Self:
        """The value that the file's `value` means. ValueError with what is wrong."""
        raise NotImplementedError


class Places:
    """Where in a settings file each key stands, and where the file does. Holds no value, so no secret."""

    def __init__(self, path: Path | None, lines: Mapping[KeyPath, int]) -> None:
        self._path = path
        self.directory = path.absolute().parent if path is not None else Path.cwd()
        self._lines = lines

    def line_of(self, key: KeyPath) -> int:
        """The line of `key` or of the nearest table around it; 0 without a file."""
        if self._path is None:
            return 0
        while key and key not in self._lines:
            key = key[:-1]
        return self._lines.get(key, 1)

    def fail(self, key: KeyPath, message: str) -> SettingsError:
        """An error at `key`, to be raised."""
        path = str(self._path) if self._path is not None else "settings"
        return SettingsError(path, self.line_of(key), key_text(key), message)

    def __repr__(self) -> str:
        return f"Places({self._path})"


class TomlSource:
    """A settings file that has been read: `tree` is what it says, `places` where it says so."""

    def __init__(self, path: Path | None, text: str) -> None:
        try:
            self.tree: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise _syntax_error(str(path), text, str(error)) from None
        self.places = Places(path, _Scanner(text).lines())
        self.directory = self.places.directory

    @classmethod
    def read(cls, path: Path) -> "TomlSource":
        """The file at `path`. SettingsError where it cannot be read or is no TOML."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SettingsError(str(path), 0, "", f"cannot be read: {error.strerror}") from None
        if len(data) > _FILE_BYTES_MAX:
            raise SettingsError(str(path), 0, "", f"is over {_FILE_BYTES_MAX} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise SettingsError(str(path), line, "", "is not UTF-8") from None
        return cls(path, text.replace("\r\n", "\n"))

    def fail(self, key: KeyPath, message: str) -> SettingsError:
        """An error at `key`, to be raised."""
        return self.places.fail(key, message)


def key_text(key: KeyPath) -> str:
    """A key path as a person writes it: `providers.local.base_url`, `routes[0].model`."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE_KEY.fullmatch(part) else '"' + part.replace('"', '\\"') + '"'
            text += f".{name}" if text else name
    return text


def environment_overrides(
    environment: Mapping[str, str], tables: Mapping[str, tuple[str, ...]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """What the environment sets: `FAREGATE_SERVER_PORT` is `port` in the table `server`.

    `tables` names the tables that may be set so and their keys. Gives (table, key) -> (variable, text).
    SettingsError for a variable that begins like one of those and names no key of it.
    """
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for variable in sorted(environment):
        head, _, rest = variable.partition("_")
        table, _, key = rest.lower().partition("_")
        if head != "FAREGATE" or table not in tables or not key:
            continue
        if key not in tables[table]:
            raise SettingsError("environment", 0, variable, f"no such setting in [{table}]")
        found[table, key] = (variable, environment[variable])
    return found


def _syntax_error(name: str, text: str, message: str) -> SettingsError:
    where = _TOML_LINE.search(message)
    if where is None:
        return SettingsError(name, 1, "", message)
    line = int(where[1]) if where[1] else text.rstrip().count("\n") + 1
    return SettingsError(name, line, "", message[: where.start()])


class _Scanner:
    """Walks a valid TOML text. `lines()` maps each key path to the line it stands on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: dict[KeyPath, int] = {}
        self._items: dict[KeyPath, int] = {}
        self._counted_to = 0
        self._line = 1

    def lines(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip_blank()
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip_blank()
        return self._found

    def _note(self, key: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        for end in range(1, len(key) + 1):
            self._found.setdefault(key[:end], self._line)

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self._text, self._at)
        self._at = blank.end() if blank else self._at

    def _take(self, pattern: re.Pattern[str]) -> str | None:
        found = pattern.match(self._text, self._at)
        if found is None:
            return None
        self._at = found.end()
        return found[0]

    def _key(self) -> tuple[str, ...]:
        parts: list[str] = []
        while True:
            self._skip_blank()
            bare = self._take(_BARE_KEY)
            quoted = None if bare is not None else self._take(_BASIC_STRING) or self._take(_LITERAL_STRING)
            parts.append(tomllib.loads(f"key = {quoted}")["key"] if quoted else bare or "")
            self._skip_blank()
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _header(self) -> KeyPath:
        brackets = 2 if self._text.startswith("[[", self._at) else 1
        self._at += brackets
        names = self._key()
        key: KeyPath = ()
        for name in names[:-1]:
            key = (*key, name)
            if key in self._items:
                key = (*key, self._items[key])
        key = (*key, names[-1])
        if brackets == 2:
            self._items[key] = self._items.get(key, -1) + 1
            key = (*key, self._items[key])
        self._note(key)
        self._at += brackets
        return key

    def _pair(self, table: KeyPath) -> None:
        key = (*table, *self._key())
        self._note(key)
        self._at += 1  # the equals sign
        self._skip_blank()
        self._value(key)

    def _value(self, key: KeyPath) -> None:
        opening = self._text[self._at : self._at + 1]
        if opening == "{":
            self._members(key, "}")
        elif opening == "[":
            self._members(key, "]")
        elif opening in ('"', "'"):
            if self._take(_LONG_STRING) is None and self._take(_BASIC_STRING) is None:
                self._take(_LITERAL_STRING)
        else:
            self._take(_PLAIN_VALUE)

    def _members(self, key: KeyPath, closing: str) -> None:
        index = 0
        self._at += 1
        self._skip_blank()
        while self._at < len(self._text) and not self._text.startswith(closing, self._at):
            if closing == "}":
                self._pair(key)
            else:
                self._note((*key, index))
                self._value((*key, index))
            index += 1
            self._skip_blank()
            if self._text.startswith(",", self._at):
                self._at += 1
                self._skip_blank()
        self._at += 1
