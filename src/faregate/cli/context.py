"""What the commands share: where settings and data are, the open directory, how results are shown."""

import argparse
import asyncio
import json
import os
import pwd
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..core.terms import Plans
from ..edge.neighbourhood import load_houses, written_plans
from ..ledger.notices import RUN_FOLDER, recall_once
from ..settings import Settings, SettingsError, load_settings
from ..stores.audit import Actor
from ..stores.database import StoreError
from ..stores.directory import Directory
from ..stores.pepper import load_pepper
from ..stores.sqlite import SqliteDatabase

DATABASE = "faregate.db"
SETTINGS_FILE = "faregate.toml"
FAILURES = (SettingsError, StoreError)
Result = TypeVar("Result")


def settings_path(arguments: argparse.Namespace) -> Path | None:
    """The settings file: --config, else FAREGATE_CONFIG, else ./faregate.toml where it is; None for none."""
    if arguments.config is not None:
        return arguments.config
    named = os.environ.get("FAREGATE_CONFIG")
    if named:
        return Path(named)
    path = Path(SETTINGS_FILE)
    return path if path.exists() else None


def data_directory(arguments: argparse.Namespace) -> Path:
    """The data directory: --data, else FAREGATE_DATA, else `data` beside the settings (or here)."""
    if arguments.data is not None:
        return arguments.data
    named = os.environ.get("FAREGATE_DATA")
    if named:
        return Path(named)
    path = settings_path(arguments)
    return (path.parent if path is not None else Path()) / "data"


def read_settings(arguments: argparse.Namespace) -> Settings:
    """The settings that the command is to go by. SettingsError."""
    return load_settings(settings_path(arguments), os.environ)


def known_plans(arguments: argparse.Namespace) -> Plans:
    """The plans that stand in files, as they hold in the main house. SettingsError."""
    return written_plans(read_settings(arguments))[""]


def actor() -> Actor:
    """Who is at this command line, for the audit log."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return Actor(f"cli:{name}")


def with_directory(arguments: argparse.Namespace, work: Callable[[Directory], Awaitable[Result]]) -> Result:
    """What `work` makes of the open directory. StoreError, SettingsError."""
    return with_stores(arguments, lambda directory, _: work(directory))


def with_stores(
    arguments: argparse.Namespace, work: Callable[[Directory, SqliteDatabase], Awaitable[Result]]
) -> Result:
    """What `work` makes of the open directory and the database under it. StoreError, SettingsError."""

    async def run() -> Result:
        settings = read_settings(arguments)
        data = data_directory(arguments)
        pepper = load_pepper(data, os.environ)
        database = SqliteDatabase(data / DATABASE)
        try:
            directory = Directory(database, pepper, prefix=load_houses(settings).main.key_prefix.decode())
            await directory.check_pepper()
            return await work(directory, database)
        finally:
            await database.close()

    return asyncio.run(run())


def recall_of(database: SqliteDatabase) -> Callable[[Sequence[int]], bool]:
    """Asks the gateways on this database for what they do not use of some accounts."""
    return partial(recall_once, database.path.parent / RUN_FOLDER)


def show_json(value: object) -> None:
    """`value` as JSON on standard output."""
    sys.stdout.write(json.dumps(msgspec.to_builtins(value), ensure_ascii=False) + "\n")


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output, its columns aligned."""
    lines = [[column.upper() for column in columns], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def show_records(
    arguments: argparse.Namespace, records: Sequence[msgspec.Struct], columns: Mapping[str, Callable[[Any], object]]
) -> None:
    """Records as the command was asked to show them: JSON, or a table of these columns."""
    if arguments.json:
        show_json(records)
    else:
        show_table(list(columns), ([value(record) for value in columns.values()] for record in records))


def moment(unix_s: float | None) -> str:
    """A time as people write it, in UTC; a dash for none."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if unix_s is not None else "-"


def _cell(value: object) -> str:
    text = str(value)
    return text if text.isprintable() else repr(text)
