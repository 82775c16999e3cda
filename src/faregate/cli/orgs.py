"""`faregate orgs`: create, list, disable, enable, billing, plan, set, limits."""

import argparse
import time
from functools import partial

from ..core.identity import Organisation
from ..ledger.billing import set_billing
from ..stores.directory import Directory
from ..stores.plans import PlanOffice
from ..stores.sqlite import SqliteDatabase
from .context import FAILURES, actor, known_plans, moment, show_records, with_stores
from .limits import edited_bounds, office, show_standing

__all__ = ["FAILURES", "run"]

_COLUMNS = {
    "id": lambda organisation: organisation.id,
    "name": lambda organisation: organisation.name,
    "billing": lambda organisation: organisation.billing,
    "plan": lambda organisation: organisation.plan or "default",
    "state": lambda organisation: "disabled" if organisation.disabled else "enabled",
    "created": lambda organisation: moment(organisation.created_at),
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.verb == "limits":
        standing = with_stores(
            arguments, lambda *stores: office(arguments, *stores).standing_of_organisation(arguments.organisation)
        )
        show_standing(arguments, standing)
        return 0

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
        if arguments.verb == "plan":
            plans = PlanOffice(database, directory, known_plans(arguments), time.time)
            return [await plans.assign(arguments.organisation, arguments.plan, actor=actor())]
        if arguments.verb == "set":
            limits = office(arguments, directory, database)
            edit = partial(edited_bounds, arguments=arguments)
            return [await limits.of_organisation(arguments.organisation, edit, actor=actor())]
        disabled = arguments.verb == "disable"
        return [await directory.disable_organisation(arguments.organisation, disabled=disabled, actor=actor())]

    show_records(arguments, with_stores(arguments, work), _COLUMNS)
    return 0
