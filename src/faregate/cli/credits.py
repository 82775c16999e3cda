"""`faregate credits`: add, remove, refund, expire, show, statement. Amounts are decimal dollars."""

import argparse
import math
import time
import uuid
from collections.abc import Sequence

import msgspec

from ..core.money import MoneyError, format_amount, parse_amount
from ..ledger.accounts import Account
from ..ledger.credits import Credits, Entry
from ..stores.directory import Directory
from ..stores.sqlite import SqliteDatabase
from . import context
from .context import actor, moment, show_records, with_stores

FAILURES = (*context.FAILURES, MoneyError)


class AccountLine(msgspec.Struct):
    """An account as it is shown: decimal dollars, which JSON has as strings because its numbers are not exact."""

    account: str
    kind: str
    available: str
    held: str
    credited: str
    spent: str
    expires_at: float | None


class StatementLine(msgspec.Struct):
    """A move as it is shown."""

    at: float
    id: str
    kind: str
    amount: str
    balance: str
    account: str
    author: str | None
    reason: str | None


_ACCOUNT_COLUMNS = {
    "account": lambda line: line.account,
    "kind": lambda line: line.kind,
    "available": lambda line: line.available,
    "held": lambda line: line.held,
    "credited": lambda line: line.credited,
    "spent": lambda line: line.spent,
    "expires": lambda line: moment(line.expires_at),
}
_STATEMENT_COLUMNS = {
    "when": lambda line: moment(line.at),
    "id": lambda line: str(uuid.UUID(line.id)),  # of a use, and of what was given back of it, the request's
    "kind": lambda line: line.kind,
    "amount": lambda line: line.amount,
    "balance": lambda line: line.balance,
    "author": lambda line: line.author or "-",
    "reason": lambda line: line.reason or "-",
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    if arguments.verb == "statement":
        entries = with_stores(
            arguments, lambda directory, database: Credits(database, directory).statement(arguments.organisation)
        )
        show_records(arguments, [_statement_line(entry) for entry in entries], _STATEMENT_COLUMNS)
        return 0
    if getattr(arguments, "expires", None) is not None and not arguments.promotional:
        raise MoneyError("bought credit never expires; --expires is for --promotional")
    if (getattr(arguments, "expires", None) or math.inf) <= time.time():
        raise MoneyError("a promotion expires in the future")
    accounts = with_stores(arguments, lambda directory, database: _accounts(arguments, directory, database))
    show_records(arguments, [_account_line(account) for account in accounts], _ACCOUNT_COLUMNS)
    return 0


async def _accounts(arguments: argparse.Namespace, directory: Directory, database: SqliteDatabase) -> Sequence[Account]:
    credits = Credits(database, directory, recall=context.recall_of(database))
    if arguments.verb == "show":
        return await credits.accounts(arguments.organisation)
    who, why = actor(), arguments.reason
    if arguments.verb == "refund":
        amount = None if arguments.amount is None else parse_amount(arguments.amount)
        once = arguments.once
        return [await credits.refund(arguments.request, amount, reason=why, actor=who, idempotency_key=once)]
    if arguments.verb == "expire":
        return [await credits.expire(arguments.promotion, reason=why, actor=who)]
    amount_nano = parse_amount(arguments.amount)
    owner = arguments.organisation
    if arguments.verb == "remove":
        return [await credits.remove(owner, amount_nano, reason=why, actor=who)]
    once = arguments.once
    if arguments.promotional:
        until = arguments.expires
        grant = credits.grant(owner, amount_nano, reason=why, actor=who, expires_at=until, idempotency_key=once)
        return [await grant]
    return [await credits.add(owner, amount_nano, reason=why, actor=who, idempotency_key=once)]


def _account_line(account: Account) -> AccountLine:
    return AccountLine(
        account=account.name,
        kind=account.kind,
        available=format_amount(account.available_nano),
        held=format_amount(account.leased_nano),
        credited=format_amount(account.credits_nano),
        spent=format_amount(account.debits_nano),
        expires_at=account.expires_at,
    )


def _statement_line(entry: Entry) -> StatementLine:
    return StatementLine(
        at=entry.at,
        id=entry.id,
        kind=entry.kind,
        amount=format_amount(entry.amount_nano),
        balance=format_amount(entry.balance_nano),
        account=entry.account,
        author=entry.author,
        reason=entry.reason,
    )
