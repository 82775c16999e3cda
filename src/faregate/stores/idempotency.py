"""The rows of idempotency keys: who has a key first, what it was used for and, where wanted, what the answer was.

Theory of operation. A claim is an INSERT under UNIQUE (project, key), on the disk before a provider is asked: of two
processes one has it. As in the ledger one transaction is on its way at a time, and what comes meanwhile goes with the
next, in the order it came; so a key that was freed can be claimed at once. A claim whose client has been told to try
again (its transaction failed, or took too long) is freed before anything else is written: it may have come through.

With a Seal, an answer is written in the transaction that ends its key's row, and goes when that row goes. It is sealed
and opened on the writing thread, before and after the transaction: other processes wait for the transaction's end. What
waits to be written is bounded; an answer beyond that is not stored, its key's row ends without it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple, Protocol

import msgspec

from ..core.errors import Overloaded
from ..wire.strand import Signal
from .database import Database, StoreUnavailable, Transaction, Writer, named_queries

_CLAIM_PATIENCE_S = 2.0
_RETRY_INTERVAL_S = 0.5
_CLOSING_PATIENCE_S = 2.0
_EXPIRY_INTERVAL_S = 3600.0
_DELETED_AT_ONCE_MAX = 500
_WAITING_BYTES_MAX = 64 * 1024 * 1024  # of answers to be written, while the disk is slow or refuses
# Of answers in one transaction. A MiB takes some 5 ms to write or to delete, and the ledger waits for it.
_CHANGED_AT_ONCE_BYTES_MAX = 4 * 1024 * 1024
_READ_AT_ONCE_BYTES_MAX = 64 * 1024 * 1024


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


class KeptAnswer(msgspec.Struct, array_like=True):
    """The answer of a run that is over: the bytes that its clients were given, and what the records of later ones need.
    `status` is what the head says, `record_status` what became of it. `expires_at` is the key's."""

    request_id: str
    expires_at: float
    key_id: str
    status: int
    headers: bytes
    body: bytes
    trailers: bytes
    is_whole: bool
    record_status: int
    error_kind: str | None
    stream: bool
    model_asked: str
    model: str


class Seal(Protocol):
    """What makes an answer unreadable in the database, and readable again."""

    def seal(self, claim: Claim, answer: KeptAnswer) -> bytes:
        """The answer as it may be stored."""
        ...

    def open(self, project_id: str, key: str, request_id: str, sealed: bytes) -> KeptAnswer | None:
        """What was stored of that request; None where it does not open."""
        ...


class EarlierUse(NamedTuple):
    """What a key was used for before. `is_running`: perhaps it still is, in another process. `answer`: the one that is
    stored; `is_unreadable` where there is one that does not open."""

    fingerprint: bytes
    request_id: str
    is_running: bool
    answer: KeptAnswer | None = None
    is_unreadable: bool = False


class _Job(msgspec.Struct, eq=False):
    """A query for a claim's row; with `answered` it is the claim itself, until it `is_given_up`. `answer` and then
    `sealed` is what is to be stored."""

    query: str
    claim: Claim
    answered: Signal[EarlierUse | None] | None = None
    is_given_up: bool = False
    answer: KeptAnswer | None = None
    answer_bytes: int = 0
    sealed: bytes | None = None


_Found = tuple[EarlierUse | None, bytes | None]  # with the answer as it is stored


def _ignore(_level: str, _event: str, **_fields: object) -> None: ...


class IdempotencyKeys:
    """Claims, ends and frees keys; with a `seal`, answers of at most `answer_bytes_max` are stored. `report` is told
    what the operator should know. Lives on the running loop."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = time.time,
        *,
        seal: Seal | None = None,
        answer_bytes_max: int = 0,
        report: Callable[..., None] = _ignore,
    ) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._answer_bytes_max = answer_bytes_max
        self._waiting_bytes = 0
        self._report = report
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

    def end(self, claim: Claim, answer: KeptAnswer | None = None) -> None:
        """The run is over; its key stays used. The answer is stored if answers are, and there is room for it."""
        job = _Job("end_key", claim)
        if answer is not None and self._seal is not None and len(answer.body) <= self._answer_bytes_max:
            bytes_now = self._waiting_bytes + len(answer.body)
            if bytes_now <= _WAITING_BYTES_MAX:
                self._waiting_bytes = bytes_now
                job.answer, job.answer_bytes = answer, len(answer.body)
        self._put(job)

    def free(self, claim: Claim) -> None:
        """The run counts for nothing; its key may be used again."""
        self._put(_Job("free_key", claim))

    async def keep_deleting_expired(self) -> None:
        """Delete every hour what has expired, for as long as the process runs."""
        while True:
            try:
                await self.delete_expired()
            except StoreUnavailable as error:
                self._report("error", "expired_keys_kept", error=str(error))
            await asyncio.sleep(_EXPIRY_INTERVAL_S)

    async def delete_expired(self) -> None:
        """Delete the rows whose time is over, few to a transaction."""
        bound = (self._clock(), _DELETED_AT_ONCE_MAX, _CHANGED_AT_ONCE_BYTES_MAX)
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
        count = self._share_of(sent)
        sent, self._queue = sent[:count], sent[count:]
        self._sent = sent
        try:
            future = self._database.submit(lambda writer: self._do(writer, sent))
        except StoreUnavailable:  # the database is closed: nothing comes after this
            self._sent = []
            return
        future.add_done_callback(self._done)

    def _share_of(self, jobs: list[_Job]) -> int:
        """How many of the jobs go in one transaction; one at least."""
        changed = read = 0
        for number, job in enumerate(jobs):
            changed += job.answer_bytes
            read += self._answer_bytes_max if job.answered is not None else 0
            if number and (changed > _CHANGED_AT_ONCE_BYTES_MAX or read > _READ_AT_ONCE_BYTES_MAX):
                return number
        return len(jobs)

    def _do(self, writer: Writer, jobs: list[_Job]) -> list[EarlierUse | None]:
        """On the writing thread: the jobs in one transaction, and what each claim found."""
        for job in jobs:
            if job.answer is not None and self._seal is not None:
                job.sealed, job.answer = self._seal.seal(job.claim, job.answer), None
        found = writer.transact(lambda writing: self._write(writing, jobs))
        claims = [job.claim for job in jobs if job.answered is not None]
        return [self._opened(claim, *each) for claim, each in zip(claims, found, strict=True)]

    def _opened(self, claim: Claim, earlier: EarlierUse | None, sealed: bytes | None) -> EarlierUse | None:
        if earlier is None or sealed is None or self._seal is None:
            return earlier
        answer = self._seal.open(claim.project_id, claim.key, earlier.request_id, sealed)
        return earlier._replace(answer=answer, is_unreadable=answer is None)

    def _write(self, writing: Transaction, jobs: list[_Job]) -> list[_Found]:
        """The jobs in their order."""
        found: list[_Found] = []
        for job in jobs:
            if job.answered is not None:
                found.append(self._claim(writing, job.claim))
                continue
            row = (job.claim.project_id, job.claim.key, job.claim.request_id)
            writing.run(self._queries[job.query], row)
            if job.sealed is not None:
                writing.run(self._queries["keep_answer"], (*row, job.sealed))
        return found

    def _claim(self, writing: Transaction, claim: Claim) -> _Found:
        queries, now = self._queries, self._clock()
        writing.run(queries["delete_expired_key"], (claim.project_id, claim.key, now))
        if writing.run(queries["claim_key"], claim):
            return None, None
        row = writing.one(queries["find_key"], (claim.project_id, claim.key, now, claim.epoch))
        assert row is not None
        earlier = EarlierUse(row[0], row[1], bool(row[2]))
        if self._seal is None or earlier.is_running or earlier.fingerprint != claim.fingerprint:
            return earlier, None
        kept = writing.one(queries["find_answer"], (claim.project_id, claim.key, earlier.request_id))
        return earlier, None if kept is None else kept[0]

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
        self._waiting_bytes -= sum(job.answer_bytes for job in sent)
        pairs = list(zip(claims, future.result(), strict=True))
        late = [_Job("free_key", job.claim) for job, found in pairs if job.is_given_up and found is None]
        self._queue = late + self._queue
        self._send()
        for job, found in pairs:
            if found is not None and found.is_unreadable:
                self._report("error", "idempotency_answer_unreadable", request_id=found.request_id)
            if job.answered is not None:
                job.answered.set(found)


def _overloaded() -> Overloaded:
    return Overloaded("The store cannot be written; try again in a moment.", retry_after_s=1.0)
