"""Retention: what is kept of single requests is deleted after a time; their sums by day (usage_days.py) stay.

Rows go from the front of their table, whose key begins with the time of the request. Each transaction deletes some
thousands of them on the writing thread, and then leaves it to the others for as long as it took. Several processes may
be at it: what one has deleted the next does not find. Contexts go a while after the last day on which they were used,
so that no process has them in its cache.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from ..core.ids import first_id
from .database import Database, StoreError, Transaction, named_queries
from .usage_days import DAY_S

INTERVAL_S = 3_600.0
FIRST_AFTER_S = 10.0
ROWS_PER_TRANSACTION_MAX = 2_000  # some 4 ms
CONTEXT_SPARE_DAYS = 7

Report = Callable[..., object]  # (level, event, fields by name)
DaysOf = Callable[[], Awaitable[Mapping[str, int]]]


async def no_days() -> Mapping[str, int]:
    """No plan says anything."""
    return {}


class Retention:
    """Deletes the usage rows of requests that came more than `days` days ago (0: of none), and those of organisations
    whose plan says fewer: `days_of` tells these, by id. `clock` gives unix seconds."""

    def __init__(
        self,
        database: Database,
        days: int,
        report: Report,
        *,
        days_of: DaysOf = no_days,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._days = days
        self._days_of = days_of
        self._report = report
        self._clock = clock
        self._queries = named_queries("journal")

    async def run(self) -> None:
        """Delete what is old, soon and then every hour, until cancelled. What fails is reported and tried again."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            try:
                rows, contexts = await self.delete_old()
                if rows or contexts:
                    self._report("info", "usage_deleted", rows=rows, contexts=contexts)
            except StoreError as error:
                self._report("error", "usage_not_deleted", error=str(error))
            await asyncio.sleep(INTERVAL_S)

    async def delete_old(self) -> tuple[int, int]:
        """Delete the rows that are too old now, and the contexts that nobody needs; how many. StoreUnavailable."""
        moment = self._moment(self._days) if self._days else 0.0
        rows = await self._repeat(lambda writing: self._delete_rows(writing, moment)) if self._days else 0
        for organisation_id, days in (await self._days_of()).items():
            until = self._moment(days)
            if until > moment:
                rows += await self._repeat(partial(self._delete_rows_of, organisation_id, until))
        last_day = int(moment) // DAY_S - CONTEXT_SPARE_DAYS
        return rows, await self._delete_contexts(last_day)

    async def _repeat(self, delete: Callable[[Transaction], int]) -> int:
        """Do `delete`, each time in a transaction, until it finds less than it may delete; how many it has deleted."""
        loop = asyncio.get_running_loop()
        deleted = 0
        while True:
            started = loop.time()
            count = await self._database.run(delete)
            deleted += count
            if count < ROWS_PER_TRANSACTION_MAX:
                return deleted
            await asyncio.sleep(loop.time() - started)

    def _moment(self, days: int) -> float:
        return max(0.0, self._clock() - days * DAY_S)

    def _delete_rows_of(self, organisation_id: str, moment: float, writing: Transaction) -> int:
        writing.run(self._queries["note_deleted_of"], (organisation_id, moment))
        bounds = (first_id(moment), organisation_id, ROWS_PER_TRANSACTION_MAX)
        return writing.run(self._queries["delete_rows_of"], bounds)

    def _delete_rows(self, writing: Transaction, moment: float) -> int:
        writing.run(self._queries["note_deleted"], (moment,))
        return writing.run(self._queries["delete_rows"], (first_id(moment), ROWS_PER_TRANSACTION_MAX))

    async def _delete_contexts(self, last_day: int) -> int:
        """Delete the contexts that were last used before `last_day`: searched for where nobody waits, then deleted."""
        find, delete = self._queries["unused_contexts"], self._queries["delete_contexts"]
        deleted = after = 0
        while True:
            page = (last_day, after, ROWS_PER_TRANSACTION_MAX)
            found = await self._database.read(lambda reading, page=page: reading.all(find, page))
            if not found:
                return deleted
            after = found[-1][0]
            span = (last_day, found[0][0], after)
            deleted += await self._database.run(lambda writing, span=span: writing.run(delete, span))
