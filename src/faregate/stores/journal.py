"""The journal: a usage record per request, shown to the observers and, where nothing was charged, written, in groups
off the loop. The row of a charged call is written with its charge (ledger/receipts.py): the journal shows it, and asks
the ledger (`find_charged`) for one that is not written yet.

Theory of operation. `append` only adds to a list; the first record of a group sets one timer. When it fires,
the group goes to the database's writing thread, which shows it to the observers (access log, metrics) and
inserts it, many rows to a statement: sqlite3 gives up the GIL at every step, and a step per row would cost
more than the row. A group that cannot be written (the disk is full) is kept and tried again; beyond
`pending_max` waiting records the newest are dropped and counted. A record that no database could take (it
should not exist) is dropped alone. Inserts ignore ids that are there already, and do not count them, so that a
group of unknown fate may be sent again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import chain
from typing import NamedTuple

from ..core.call import UsageRecord
from ..core.ids import id_bytes
from .database import Database, StoreUnavailable, Writer, named_queries
from .usage_rows import Repeated, UsageRows, record_of

Observer = Callable[[list[UsageRecord]], object]

_ROWS_PER_TRANSACTION_MAX = 8192
_RETRY_INTERVAL_S = 0.5
_CLOSING_TRIES_MAX = 3
_log = logging.getLogger("faregate.journal")


class _Written(NamedTuple):
    rows: int  # from the front of what was handed over
    refused: int  # among them, dropped because no database could take them


class Journal:
    """Takes usage records and sees that they are written. Lives on the running event loop.

    `healthy` is false while the disk refuses them, `dropped` counts what was given up. An observer is called
    on the writing thread with each group once, written or not; it must not change the records.
    """

    def __init__(
        self,
        database: Database,
        observers: Sequence[Observer] = (),
        *,
        flush_interval_s: float = 0.05,
        pending_max: int = 1_000_000,
        find_charged: Callable[[bytes], UsageRecord | None] = lambda _: None,
    ) -> None:
        self.healthy = True
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._observers = tuple(observers)
        self._flush_interval_s = flush_interval_s
        self._pending_max = pending_max
        self._find_charged = find_charged
        self._pending: list[UsageRecord] = []  # shown to nobody yet
        self._unwritten: list[UsageRecord] = []  # shown to the observers; the front is with the writing thread
        self._in_flight: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._usage_rows = UsageRows()
        self._find = named_queries("journal")["find_usage"]

    def append(self, record: UsageRecord) -> None:
        """Remember `record`, which must not change any more; it is written within a moment. Never fails."""
        self._pending.append(record)
        if self._timer is None:
            self._timer = self._loop.call_later(self._flush_interval_s, self._flush)

    @property
    def waiting(self) -> int:
        """How many records are not on the disk yet."""
        return len(self._pending) + len(self._unwritten)

    async def find(self, request_id: str, project_id: str) -> UsageRecord | None:
        """The record of a project's request, written or not yet; None where it has no such request."""
        try:
            key = id_bytes(request_id)
        except ValueError:
            return None
        waiting = chain(reversed(self._pending), reversed(self._unwritten))
        record = next((one for one in waiting if one.id == request_id), None) or self._find_charged(key)
        if record is not None:
            return record if record.project_id == project_id else None
        row = await self._database.read(lambda reading: reading.one(self._find, (key, project_id)))
        return record_of(row) if row is not None else None

    async def close(self) -> bool:
        """Write what is left; False where the disk refuses and records are lost. The database stays open."""
        self._closing = True
        self._stop_timer()
        for attempt in range(_CLOSING_TRIES_MAX):
            if attempt:
                await asyncio.sleep(_RETRY_INTERVAL_S)
            self.healthy = True
            while self.healthy and (self.waiting or self._in_flight is not None):
                self._flush()
                if self._in_flight is not None:
                    await asyncio.wait([self._in_flight])
            if self.healthy:
                return True
        return False

    # On the loop

    def _flush(self) -> None:
        """Hand the next group to the writing thread, unless one is there still: then its end does it."""
        self._stop_timer()
        if self._in_flight is not None:
            return
        fresh, self._pending = self._pending, []
        # What no key stands behind is shown, but never kept: strangers must not fill the disk.
        # A charged call has its row already: it was written with the charge.
        known = [record for record in fresh if record.key_id and not record.is_charged]
        room = self._pending_max - len(self._unwritten)
        self.dropped += max(0, len(known) - room)
        self._unwritten += known[: max(0, room)]
        rows = self._unwritten[:_ROWS_PER_TRANSACTION_MAX]
        done = self._in_flight = self._loop.create_future()
        try:
            future = self._database.submit(lambda writer: self._write(writer, fresh, rows))
        except StoreUnavailable:
            self._in_flight = None
            self.healthy = False
            return
        future.add_done_callback(lambda ended: self._loop.call_soon_threadsafe(self._written, ended, done))

    def _written(self, ended: "Future[_Written]", done: "asyncio.Future[None]") -> None:
        self._in_flight = None
        if not done.done():
            done.set_result(None)
        error = ended.exception()
        if error is not None:
            if self.healthy:
                _log.error("usage records cannot be written, %d are waiting: %s", self.waiting, error)
            self.healthy = False
            self._start_timer(_RETRY_INTERVAL_S)
            return
        self.healthy = True
        written = ended.result()
        self.dropped += written.refused
        del self._unwritten[: written.rows]
        if self._unwritten and not self._closing:
            self._flush()
        elif self._pending:
            self._start_timer(self._flush_interval_s)

    def _start_timer(self, delay_s: float) -> None:
        if self._timer is None and not self._closing:
            self._timer = self._loop.call_later(delay_s, self._flush)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # On the writing thread

    def _write(self, writer: Writer, fresh: list[UsageRecord], rows: list[UsageRecord]) -> _Written:
        if fresh:
            self._show(fresh)
        if not rows:
            return _Written(0, 0)
        usage_rows = self._usage_rows
        refused: list[UsageRecord] = []
        usage_rows.begin()
        try:
            writer.transact(lambda writing: usage_rows.insert(writing, rows))
        except StoreUnavailable:
            raise  # the same again, later
        except Exception as error:  # a value that cannot be bound, or a group sent again: find it, keep the rest
            if not isinstance(error, Repeated):
                _log.error("a usage record cannot be stored: %s", type(error).__name__)
            usage_rows.begin()
            refused = writer.transact(lambda writing: usage_rows.insert_singly(writing, rows))
        usage_rows.committed()
        return _Written(len(rows), len(refused))

    def _show(self, fresh: list[UsageRecord]) -> None:
        for observer in self._observers:
            try:
                observer(fresh)
            except Exception as error:
                _log.error("an observer of usage records failed: %s", type(error).__name__)
