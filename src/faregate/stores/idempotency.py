"""The rows of idempotency keys: who has a key first, and what it was used for.

Theory of operation. A claim is an INSERT under UNIQUE (project, key), on the disk before a provider is asked: of two
processes one has it. As in the ledger one transaction is on its way at a time, and what comes meanwhile goes with the
next, in the order it came; so a key that was freed can be claimed at once. A claim whose client has been told to try
again (its transaction failed, or took too long) is freed before anything else is written: it may have come through.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import msgspec

from ..core.errors import Overloaded
from ..wire.strand import Signal
from .database import Database, StoreUnavailable, Transaction, named_queries

_CLAIM_PATIENCE_S = 2.0
_RETRY_INTERVAL_S = 0.5
_CLOSING_PATIENCE_S = 2.0
_DELETED_AT_ONCE_MAX = 500


class Claim(NamedTuple):
    """A row: the fingerprint of what is asked for under a key, by which request, of which epoch of the ledger. Times
    are unix seconds; after `running_until` it cannot be under way any more."""

    project_id: str
    key: str
    fingerprint: bytes
    request_id: str
    epoch: int
    created_at: float
    expires_at: float
    running_until: float


class EarlierUse(NamedTuple):
    """What a key was used for before. `is_running`: perhaps it still is, in another process."""

    fingerprint: bytes
    request_id: str
    is_running: bool


class _Job(msgspec.Struct, eq=False):
    """A query for a claim's row; with `answered` it is the claim itself, until it `is_given_up`."""

    query: str
    claim: Claim
    answered: Signal[EarlierUse | None] | None = None
    is_given_up: bool = False


class IdempotencyKeys:
    """Claims, ends and frees keys. Lives on the running loop."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queries = named_queries("idempotency")
        self._queue: list[_Job] = []
        self._sent: list[_Job] = []
        self._is_armed = False
        self._is_refused = False  # the last transaction failed

    async def claim(self, claim: Claim) -> EarlierUse | None:
        """Take a key; what it was used for before where it cannot be had. For strands. Overloaded while the disk
        refuses."""
        if self._is_refused:
            raise _overloaded()
        answered: Signal[EarlierUse | None] = Signal()
        job = _Job("claim_key", claim, answered)
        self._put(job)
        patience = self._loop.call_later(_CLAIM_PATIENCE_S, answered.fail, _overloaded())
        try:
            return await answered
        except BaseException:
            job.is_given_up = True
            raise
        finally:
            patience.cancel()

    def end(self, claim: Claim) -> None:
        """The run is over; its key stays used."""
        self._put(_Job("end_key", claim))

    def free(self, claim: Claim) -> None:
        """The run counts for nothing; its key may be used again."""
        self._put(_Job("free_key", claim))

    async def delete_expired(self) -> None:
        """Delete the rows whose time is over, few to a transaction."""
        bound = (self._clock(), _DELETED_AT_ONCE_MAX)
        while await self._database.run(lambda writing: writing.run(self._queries["delete_expired_keys"], bound)):
            pass

    async def close(self) -> None:
        """Write what waits, if the disk takes it. The database stays open."""
        deadline = self._loop.time() + _CLOSING_PATIENCE_S
        while True:
            if not (self._queue or self._sent) or self._loop.time() > deadline:
                break
            await asyncio.sleep(0.002)

    # Transactions

    def _put(self, job: _Job) -> None:
        self._queue.append(job)
        if not self._sent and not self._is_armed:
            self._is_armed = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._is_armed = False
        sent = [job for job in self._queue if not job.is_given_up]
        if self._sent or not sent:
            return
        self._sent, self._queue = sent, []
        try:
            future = self._database.submit(lambda writer: writer.transact(lambda writing: self._write(writing, sent)))
        except StoreUnavailable:  # the database is closed: nothing comes after this
            self._sent = []
            return
        future.add_done_callback(self._done)

    def _write(self, writing: Transaction, jobs: list[_Job]) -> list[EarlierUse | None]:
        """On the writing thread: the jobs in their order, and what each claim found."""
        found = []
        for query, claim, is_claim in [(job.query, job.claim, job.answered is not None) for job in jobs]:
            if is_claim:
                found.append(self._claim(writing, claim))
            else:
                writing.run(self._queries[query], (claim.project_id, claim.key, claim.request_id))
        return found

    def _claim(self, writing: Transaction, claim: Claim) -> EarlierUse | None:
        queries, now = self._queries, self._clock()
        writing.run(queries["delete_expired_key"], (claim.project_id, claim.key, now))
        if writing.run(queries["claim_key"], claim):
            return None
        row = writing.one(queries["find_key"], (claim.project_id, claim.key, now, claim.epoch))
        assert row is not None
        return EarlierUse(row[0], row[1], bool(row[2]))

    def _done(self, future: "Future[list[EarlierUse | None]]") -> None:
        """On the writing thread: the loop may be gone by now."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._answered, future)

    def _answered(self, future: "Future[list[EarlierUse | None]]") -> None:
        sent, self._sent = self._sent, []
        claims = [job for job in sent if job.answered is not None]
        self._is_refused = future.exception() is not None
        if self._is_refused:
            again = [_Job("free_key", job.claim) if job.answered is not None else job for job in sent]
            self._queue = again + self._queue
            self._is_armed = True
            self._loop.call_later(_RETRY_INTERVAL_S, self._send)
            for job in claims:
                if job.answered is not None:
                    job.answered.fail(_overloaded())
            return
        pairs = list(zip(claims, future.result(), strict=True))
        late = [_Job("free_key", job.claim) for job, found in pairs if job.is_given_up and found is None]
        self._queue = late + self._queue
        self._send()
        for job, found in pairs:
            if job.answered is not None:
                job.answered.set(found)


def _overloaded() -> Overloaded:
    return Overloaded("The store cannot be written; try again in a moment.", retry_after_s=1.0)
