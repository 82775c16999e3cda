"""`faregate projects`: create, list, disable, enable, set, limits."""

import argparse
from functools import partial

from ..core.identity import Project
from ..stores.directory import Directory
from ..stores.sqlite import SqliteDatabase
from .context import FAILURES, actor, moment, show_records, with_stores
from .limits import edited_overrides, office, show_standing, warn_beyond

__all__ = ["FAILURES", "run"]

_COLUMNS = {
    "id": lambda project: project.id,
    "name": lambda project: project.name,
    "organisation": lambda project: project.organisation_id,
    "state": lambda project: "disabled" if project.disabled else "enabled",
    "created": lambda project: moment(project.created_at),
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.verb == "limits":
        standing = with_stores(
            arguments, lambda *stores: office(arguments, *stores).standing_of_project(arguments.project)
        )
        show_standing(arguments, standing)
        return 0

    async def work(directory: Directory, database: SqliteDatabase) -> list[Project]:
        if arguments.verb == "list":
            return await directory.list_projects(arguments.org)
        if arguments.verb == "create":
            return [await directory.create_project(arguments.org, arguments.name, actor=actor())]
        if arguments.verb == "set":
            limits, edit = office(arguments, directory, database), partial(edited_overrides, arguments=arguments)
            changed = await limits.of_project(arguments.project, edit, actor=actor())
            await warn_beyond(changed.overrides, limits.standing_of_project(changed.id), "project")
            return [changed]
        disabled = arguments.verb == "disable"
        return [await directory.disable_project(arguments.project, disabled=disabled, actor=actor())]

    show_records(arguments, with_stores(arguments, work), _COLUMNS)
    return 0
