"""Usage rows by day, as the tests of the roll-up and of its retention write them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from faregate.core.call import UsageRecord
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.usage_days import DAY_S
from faregate.stores.usage_rows import Repeated, UsageRows

from .conformance import make_request_id, record

DAY = 20_000
NOON = DAY * DAY_S + 43_200.0
Rolled = dict[tuple[int, str, str, str, str], list[int]]


def at(received_at: float, **members: object) -> UsageRecord:
    """A record of a request received then, under an id of that time."""
    return record(id=make_request_id(received_at), received_at=received_at, **members)


def play(folder: Path, story: Callable[[SqliteDatabase], Awaitable[None]]) -> None:
    """Run a story on a database in `folder`."""

    async def run() -> None:
        database = SqliteDatabase(folder / "faregate.db")
        try:
            await story(database)
        finally:
            await database.close()

    asyncio.run(run())


async def write(database: SqliteDatabase, rows: UsageRows, group: list[UsageRecord]) -> None:
    """A group as the journal writes it."""
    rows.begin()
    try:
        await database.run(lambda writing: rows.insert(writing, group))
    except Repeated:
        rows.begin()
        await database.run(lambda writing: rows.insert_singly(writing, group))
    rows.committed()


async def read_days(database: SqliteDatabase) -> Rolled:
    rows = await database.read(lambda reading: reading.all("SELECT * FROM usage_day"))
    return {row[:5]: list(row[5:]) for row in rows}
