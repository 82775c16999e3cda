"""`faregate orgs`: create, list, disable, enable, billing."""

import argparse

from ..core.identity import Organisation
from ..ledger.billing import set_billing
from ..stores.directory import Directory
from ..stores.sqlite import SqliteDatabase
from .context import FAILURES, actor, moment, show_records, with_stores

__all__ = ["FAILURES", "run"]

_COLUMNS = {
    "id": lambda organisation: organisation.id,
    "name": lambda organisation: organisation.name,
    "billing": lambda organisation: organisation.billing,
    "state": lambda organisation: "disabled" if organisation.disabled else "enabled",
    "created": lambda organisation: moment(organisation.created_at),
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""

    async def work(directory: Directory, database: SqliteDatabase) -> list[Organisation]:
        if arguments.verb == "list":
            return await directory.list_organisations()
        if arguments.verb == "create":
            created = await directory.create_organisation(arguments.name, actor=actor())
            if arguments.metered:
                created = await set_billing(database, directory, created.id, "metered", actor=actor())
            return [created]
        if arguments.verb == "billing":
            return [await set_billing(database, directory, arguments.organisation, arguments.how, actor=actor())]
        disabled = arguments.verb == "disable"
        return [await directory.disable_organisation(arguments.organisation, disabled=disabled, actor=actor())]

    show_records(arguments, with_stores(arguments, work), _COLUMNS)
    return 0
