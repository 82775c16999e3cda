"""`faregate orgs`: create, list, disable, enable."""

import argparse

from ..core.identity import Organisation
from ..stores.directory import Directory
from .context import FAILURES, actor, moment, show_records, with_directory

__all__ = ["FAILURES", "run"]

_COLUMNS = {
    "id": lambda organisation: organisation.id,
    "name": lambda organisation: organisation.name,
    "state": lambda organisation: "disabled" if organisation.disabled else "enabled",
    "created": lambda organisation: moment(organisation.created_at),
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""

    async def work(directory: Directory) -> list[Organisation]:
        if arguments.verb == "list":
            return await directory.list_organisations()
        if arguments.verb == "create":
            return [await directory.create_organisation(arguments.name, actor=actor())]
        disabled = arguments.verb == "disable"
        return [await directory.disable_organisation(arguments.organisation, disabled=disabled, actor=actor())]

    show_records(arguments, with_directory(arguments, work), _COLUMNS)
    return 0
