"""`faregate usage`: what was used, from the sums by day. Costs are decimal dollars."""

import argparse
from collections.abc import Callable, Mapping
from datetime import date

from ..core.money import format_amount
from ..stores.database import NoSuchRecord, Transaction
from ..stores.directory import Directory
from ..stores.sqlite import SqliteDatabase
from ..stores.usage_days import COUNTERS, GROUPS, UsageSum, Wanted, sums, was_used
from .context import FAILURES, show_json, show_table, with_stores

__all__ = ["FAILURES", "run"]

_MEMBERS = {  # of a sum that is told apart by the group
    "day": ("day",),
    "org": ("organisation_id", "organisation"),
    "project": ("project_id", "project"),
    "key": ("key_id", "key"),
    "model": ("model",),
}
_COUNTS = tuple(name for name in COUNTERS if name != "cost_nano")
_GROUP_COLUMNS: Mapping[str, Callable[[UsageSum], date | str | None]] = {
    "day": lambda line: line.day,
    "org": lambda line: _named(line.organisation, line.organisation_id),
    "project": lambda line: _named(line.project, line.project_id),
    "key": lambda line: _named(line.key, line.key_id),
    "model": lambda line: line.model or "-",
}
_COLUMNS: Mapping[str, Callable[[UsageSum], date | int | str | None]] = {
    "requests": lambda line: line.requests,
    "errors": lambda line: line.errors,
    "input": lambda line: line.input,
    "cache read": lambda line: line.cache_read,
    "cache write": lambda line: line.cache_write,
    "output": lambda line: line.output,
    "reasoning": lambda line: line.reasoning,
}
_OTHER_COLUMNS = {"requests": "priced requests"}  # beside the requests that were made


def run(arguments: argparse.Namespace) -> int:
    """Show the sums that are asked for."""

    async def work(directory: Directory, database: SqliteDatabase) -> list[UsageSum]:
        return await database.read(lambda reading: sums(reading, _wanted(reading, directory, arguments)))

    lines = with_stores(arguments, work)
    groups = [group for group in GROUPS if group in arguments.by]
    if arguments.json:
        show_json([_members(line, groups) for line in lines])
        return 0
    columns = {**{group: _GROUP_COLUMNS[group] for group in groups}, **_COLUMNS}
    others = sorted({name for line in lines for name in line.others})  # a column only for what there is
    show_table(
        [*columns, *(_OTHER_COLUMNS.get(name, name.replace("_", " ")) for name in others), "cost"],
        (
            [
                *(value(line) for value in columns.values()),
                *(line.others.get(name, 0) for name in others),
                format_amount(line.cost_nano),
            ]
            for line in lines
        ),
    )
    return 0


def _wanted(reading: Transaction, directory: Directory, arguments: argparse.Namespace) -> Wanted:
    """What the command asks for. NoSuchRecord, Conflict."""
    owner = None if arguments.org is None else directory.organisation_in(reading, arguments.org).id
    project = None if arguments.project is None else directory.project_in(reading, arguments.project, owner).id
    key = None if arguments.key is None else directory.key_in(reading, arguments.key).id
    if arguments.model is not None and not was_used(reading, arguments.model):
        raise NoSuchRecord(f"nobody has used a model {arguments.model}")
    return Wanted(
        organisation_id=owner,
        project_id=project,
        key_id=key,
        model=arguments.model,
        since=arguments.since,
        until=arguments.until,
        by=arguments.by,
    )


def _members(line: UsageSum, groups: list[str]) -> dict[str, object]:
    """A sum as JSON has it: costs are strings, because JSON's numbers are not exact."""
    shown = [*(member for group in groups for member in _MEMBERS[group]), *_COUNTS]
    counted = {member: getattr(line, member) for member in shown}
    return {**counted, "others": line.others, "cost": format_amount(line.cost_nano)}


def _named(name: str | None, identity: str | None) -> str | None:
    return identity if name is None else f"{name} ({identity})"
