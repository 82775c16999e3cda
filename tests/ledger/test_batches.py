"""When a process commits: a hold that may wait does so for its settlement, not for long, and no other waits for it."""

import asyncio
import fcntl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faregate.core.call import UsageRecord
from faregate.core.ids import RequestIds, id_bytes
from faregate.ledger.accounts import Move, ensure_account, post
from faregate.ledger.holds import Hold
from faregate.ledger.ledger import Ledger
from faregate.ledger.verify import verify
from faregate.stores.database import Row, Transaction
from faregate.stores.journal import Journal
from faregate.stores.sqlite import SqliteDatabase
from faregate.wire.strand import in_strand

WITHIN_S = 10.0


class Counter:
    """A ledger, a customer of it, and what is on the disk."""

    def __init__(self, database: SqliteDatabase, ledger: Ledger, payer: int) -> None:
        self.database = database
        self._payer = payer
        self._new_id = RequestIds()
        self.ledger = ledger

    async def hold(self, *, may_wait: bool) -> tuple[Hold, UsageRecord]:
        """A hold that is taken."""
        identity = self._new_id(time.time())
        hold = Hold(id_bytes(identity), self._payer, (), 1000, may_wait=may_wait)
        if not self.ledger.slices.reserve(hold):
            await in_strand(self.ledger.wait_for(hold))
        return hold, UsageRecord(id=identity, received_at=time.time(), key_id="key", model="model", status=200)

    async def all(self, query: str) -> list[Row]:
        return await self.database.read(lambda reading: reading.all(query))

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """Nothing is written meanwhile: another has the turn."""
        with Path(f"{self.database.path}.turn").open("r+b") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    async def settled(self, hold: Hold) -> None:
        """Wait as an answer does before its end leaves."""

        async def wait() -> None:
            while (news := self.ledger.settlement(hold)) is not None:
                await news

        await in_strand(wait())

    async def on_disk(self, hold: Hold) -> None:
        """Until it is known to be."""
        deadline = time.monotonic() + WITHIN_S
        while not hold.is_open:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)


def play(folder: Path, story: Callable[[Counter], Awaitable[None]]) -> None:
    """Run a story; in the end the books are in order."""

    async def run() -> None:
        database = SqliteDatabase(folder / "faregate.db")

        def open_account(writing: Transaction) -> int:
            source = ensure_account(writing, "clearing:psp", "clearing", at=0)
            account = ensure_account(writing, "cust:a", "cust", at=0)
            post(writing, source, account, 10**12, Move(id=b"given", kind="topup", created_at=0))
            return account.id

        payer = await database.run(open_account)
        ledger = Ledger(database, folder / "run", print)
        await ledger.open()
        counter = Counter(database, ledger, payer)
        for _ in range(3):  # what comes after them finds a slice
            early, call = await counter.hold(may_wait=False)
            ledger.settle(early, 300, call)
            await counter.settled(early)
        try:
            await story(counter)
            assert await ledger.close()
            assert not (await database.read(verify)).findings
        finally:
            await database.close()

    asyncio.run(run())


LAST_BATCH = "SELECT max(seq) FROM batch"
NEWEST = (
    "SELECT state, (SELECT count(*) FROM reservation_leg WHERE reservation_id = id) FROM reservation ORDER BY id DESC"
)


def test_a_quick_answer_takes_one_batch(tmp_path: Path) -> None:
    async def story(counter: Counter) -> None:
        [(before,)] = await counter.all(LAST_BATCH)
        hold, call = await counter.hold(may_wait=True)
        await asyncio.sleep(0)
        counter.ledger.settle(hold, 300, call)
        await counter.settled(hold)
        assert await counter.all(LAST_BATCH) == [(before + 1,)]
        assert (await counter.all(NEWEST))[0] == ("settled", 0)  # one row, as of one that was never open

    play(tmp_path, story)


def test_an_answer_that_takes_its_time_is_held_for_on_the_disk_meanwhile(tmp_path: Path) -> None:
    async def story(counter: Counter) -> None:
        for may_wait in (True, False):
            hold, call = await counter.hold(may_wait=may_wait)
            await counter.on_disk(hold)
            assert (await counter.all(NEWEST))[0] == ("open", 1)
            counter.ledger.settle(hold, 300, call)
            await counter.settled(hold)

    play(tmp_path, story)


def test_what_may_wait_is_written_with_what_does_not_and_after_a_batch_on_its_way(tmp_path: Path) -> None:
    async def story(counter: Counter) -> None:
        patient, its_call = await counter.hold(may_wait=True)
        stream, call = await counter.hold(may_wait=False)
        await asyncio.sleep(0)  # that batch is on its way
        late, late_call = await counter.hold(may_wait=True)
        await counter.on_disk(stream)
        assert patient.is_open
        await counter.on_disk(late)
        for hold, known in ((patient, its_call), (stream, call), (late, late_call)):
            counter.ledger.settle(hold, 300, known)
            await counter.settled(hold)

    play(tmp_path, story)


def test_the_record_of_a_call_is_found_while_its_charge_is_on_its_way(tmp_path: Path) -> None:
    """An answer that says an error waits for no settlement, and who has its id may ask at once."""

    async def story(counter: Counter) -> None:
        journal = Journal(counter.database, find_charged=counter.ledger.find_call)
        sent, waiting = [await counter.hold(may_wait=False) for _ in range(2)]
        with counter.stalled():
            for hold, call in (sent, waiting):
                call.project_id = "p"
                counter.ledger.settle(hold, 300, call)
                await asyncio.sleep(0)  # the batch with the first is on its way, the second is for the next
                journal.append(call)
            journal._flush()
            assert journal.waiting == 0
            for _, call in (sent, waiting):
                assert await journal.find(call.id, "p") is call
                assert await journal.find(call.id, "q") is None
        for hold, call in (sent, waiting):
            await counter.settled(hold)
            assert counter.ledger.find_call(hold.reservation) is None
            found = await journal.find(call.id, "p")
            assert found is not None and (found.id, found.cost_nano) == (call.id, 300)
        assert await journal.close()

    play(tmp_path, story)
