"""`faregate plans`: create, set, list, show, remove."""

import argparse
import time
from collections.abc import Mapping

import msgspec

from ..core.plans import Plan
from ..core.terms import Plans
from ..stores.directory import Directory
from ..stores.plans import PlanOffice
from ..stores.sqlite import SqliteDatabase
from .context import FAILURES, actor, known_plans, show_json, show_records, show_table, with_stores
from .limits import edited_plan
from .offer import note_unserved

__all__ = ["FAILURES", "run"]


class PlanLine(msgspec.Struct):
    """A plan in a list. `made` says where: by command, or in a file; `default` for whom it is the default one."""

    name: str
    made: str
    default: str | None


_COLUMNS = {
    "name": lambda line: line.name,
    "made": lambda line: line.made,
    "default": lambda line: line.default or "-",
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    written = known_plans(arguments)

    async def work(directory: Directory, database: SqliteDatabase) -> tuple[Plans, Plan | None]:
        office = PlanOffice(database, directory, written, time.time)
        plan = None
        if arguments.verb == "create":
            plan = await office.create(arguments.name, edited_plan(Plan(), arguments), actor=actor())
        elif arguments.verb == "set":
            plan = await office.change(arguments.name, lambda plan: edited_plan(plan, arguments), actor=actor())
        elif arguments.verb == "show":
            plan = await office.show(arguments.name)
        elif arguments.verb == "remove":
            await office.remove(arguments.name, actor=actor())
        return await office.all(), plan

    plans, plan = with_stores(arguments, work)
    if arguments.verb in ("create", "set"):
        note_unserved(arguments)
    if plan is None:
        show_records(arguments, [_line(name, plans) for name in sorted(plans.by_name)], _COLUMNS)
    elif arguments.json:
        show_json({"name": arguments.name, **msgspec.to_builtins(plan)})
    else:
        show_table(("limit", "value"), _rows(msgspec.to_builtins(plan)))
    return 0


def _line(name: str, plans: Plans) -> PlanLine:
    is_default, is_paid = name == plans.default_plan, name == (plans.paid_plan or plans.default_plan)
    default = {(True, True): "all", (True, False): "never paid", (False, True): "paid"}.get((is_default, is_paid))
    return PlanLine(name, "command" if name in plans.stored else "file", default)


def _rows(plan: Mapping[str, object], start: str = "") -> list[tuple[str, object]]:
    """What a plan says, flat: `key.requests_per_minute.chat` and its number."""
    rows: list[tuple[str, object]] = []
    for name, value in plan.items():
        if isinstance(value, dict):
            rows += _rows(value, f"{start}{name}.")
        else:
            rows.append((f"{start}{name}", ",".join(value) if isinstance(value, list | tuple) else value))
    return rows
