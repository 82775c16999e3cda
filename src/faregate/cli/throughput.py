"""`faregate throughput`: set, share, move, list."""

import argparse
import time

from ..stores.directory import Directory
from ..stores.shares import KINDS, Reserve
from ..stores.sqlite import SqliteDatabase
from ..stores.throughput import Amounts, Throughput
from .context import FAILURES, actor, show_records, with_stores

__all__ = ["FAILURES", "run"]

_COLUMNS = {
    "subject": lambda reserve: reserve.subject,
    "id": lambda reserve: reserve.subject_id,
    "requests": lambda reserve: _shown(reserve.requests),
    "left": lambda reserve: _left(reserve.requests, reserve.requests_shared),
    "tokens": lambda reserve: _shown(reserve.tokens),
    "tokens left": lambda reserve: _left(reserve.tokens, reserve.tokens_shared),
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""

    async def work(directory: Directory, database: SqliteDatabase) -> list[Reserve]:
        throughput = Throughput(database, directory, time.time)
        if arguments.verb == "list":
            return await throughput.reserves(arguments.organisation)
        amounts = _amounts(arguments)
        if arguments.verb == "set":
            return await throughput.set(arguments.organisation, amounts, actor=actor())
        if arguments.verb == "share":
            return await throughput.share(arguments.subject, amounts, actor=actor())
        return await throughput.move(arguments.source, arguments.target, amounts, actor=actor())

    show_records(arguments, with_stores(arguments, work), _COLUMNS)
    return 0


def _amounts(arguments: argparse.Namespace) -> Amounts:
    said = {kind: getattr(arguments, kind) for kind in KINDS}
    return {kind: None if amount == "none" else amount for kind, amount in said.items() if amount is not None}


def _shown(amount: int | None) -> object:
    return "-" if amount is None else amount


def _left(amount: int | None, shared: int) -> object:
    return "-" if amount is None else amount - shared
