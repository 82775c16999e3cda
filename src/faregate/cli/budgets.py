"""`faregate budgets`: set, remove, move, list. Amounts are decimal dollars."""

import argparse
from collections.abc import Sequence

import msgspec

from ..core.money import MoneyError, format_amount, parse_amount
from ..ledger.budgets import Budgets, BudgetState
from ..stores.database import Conflict
from ..stores.directory import Directory
from ..stores.sqlite import SqliteDatabase
from . import context
from .context import actor, show_records, with_stores

FAILURES = (*context.FAILURES, MoneyError)


class BudgetLine(msgspec.Struct):
    """A budget as it is shown: decimal dollars, which JSON has as strings because its numbers are not exact."""

    scope: str
    id: str
    period: str
    amount: str
    spent: str
    held: str
    left: str


_COLUMNS = {name: (lambda line, name=name: getattr(line, name)) for name in BudgetLine.__struct_fields__}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""

    async def work(directory: Directory, database: SqliteDatabase) -> Sequence[BudgetState]:
        budgets = Budgets(database, directory, recall=context.recall_of(database))
        if arguments.verb == "list":
            return await budgets.states(arguments.subject)
        if arguments.verb == "remove":
            return await budgets.set(arguments.subject, arguments.period, None, actor=actor())
        amount_nano = parse_amount(arguments.amount)
        if amount_nano < 0:
            raise Conflict("a budget is not less than nothing")
        if arguments.verb == "move":
            ends = (arguments.source, arguments.target)
            return await budgets.move(*ends, arguments.period, amount_nano, actor=actor())
        return await budgets.set(arguments.subject, arguments.period, amount_nano, actor=actor())

    show_records(arguments, [_line(state) for state in with_stores(arguments, work)], _COLUMNS)
    return 0


def _line(state: BudgetState) -> BudgetLine:
    return BudgetLine(
        scope=state.scope,
        id=state.subject_id,
        period=state.period,
        amount=format_amount(state.amount_nano),
        spent=format_amount(state.spent_nano),
        held=format_amount(state.held_nano),
        left=format_amount(state.left_nano),
    )
