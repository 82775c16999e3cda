"""`faregate projects`: create, list, disable, enable."""

import argparse

from ..core.identity import Project
from ..stores.directory import Directory
from .context import FAILURES, actor, moment, show_records, with_directory

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

    async def work(directory: Directory) -> list[Project]:
        if arguments.verb == "list":
            return await directory.list_projects(arguments.org)
        if arguments.verb == "create":
            return [await directory.create_project(arguments.org, arguments.name, actor=actor())]
        disabled = arguments.verb == "disable"
        return [await directory.disable_project(arguments.project, disabled=disabled, actor=actor())]

    show_records(arguments, with_directory(arguments, work), _COLUMNS)
    return 0
