"""The rows of idempotency keys: who has a key, what frees it, and what a failing disk leaves behind."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from faregate.core.errors import Overloaded
from faregate.ledger.commit import start_epoch
from faregate.stores import idempotency
from faregate.stores.database import StoreUnavailable, Transaction, Writer
from faregate.stores.idempotency import Claim, EarlierUse, IdempotencyKeys
from faregate.stores.sqlite import SqliteDatabase
from faregate.wire.strand import in_strand

NOW = 1_800_000_000.0
FILE = "faregate.db"


class World:
    """Two processes' keys on one file, and the clock of both."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.file = folder / FILE
        self.database = SqliteDatabase(self.file)
        self.other_database = SqliteDatabase(self.file)
        self.keys = IdempotencyKeys(self.database, lambda: self.now)
        self.other = IdempotencyKeys(self.other_database, lambda: self.now)

    async def fill(self) -> None:
        self.epochs = [await self.database.run(lambda writing: start_epoch(writing, "node", NOW)) for _ in range(2)]

    def claim_of(self, request_id: str, key: str = "key", fingerprint: bytes = b"f" * 32, process: int = 0) -> Claim:
        now = self.now
        return Claim("project", key, fingerprint, request_id, self.epochs[process], now, now + 86_400.0, now + 660.0)

    async def ask(self, claim: Claim) -> EarlierUse | None:
        keys = self.keys if claim.epoch == self.epochs[0] else self.other
        return await in_strand(keys.claim(claim))

    def rows(self) -> list[Any]:
        with closing(sqlite3.connect(self.file)) as reading:
            return reading.execute("SELECT key, request_id, running_until FROM idempotency_key ORDER BY id").fetchall()


def play(folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World(folder)
        await world.fill()
        try:
            await story(world)
        finally:
            await world.keys.close()
            await world.other.close()
            await world.database.close()
            await world.other_database.close()

    asyncio.run(run())


def test_first_has_it_and_others_hear_of_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.ask(world.claim_of("first")) is None
        late = world.claim_of("late", fingerprint=b"g" * 32, process=1)
        assert await world.ask(late) == EarlierUse(b"f" * 32, "first", is_running=True)
        world.keys.end(world.claim_of("first"))
        await world.keys.close()
        assert await world.ask(late) == EarlierUse(b"f" * 32, "first", is_running=False)

    play(tmp_path, story)


def test_many_at_once_have_one_winner(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        claims = [world.claim_of(f"r-{number}", process=number % 2) for number in range(40)]
        found = await asyncio.gather(*(world.ask(claim) for claim in claims))
        [winner] = [claim for claim, earlier in zip(claims, found, strict=True) if earlier is None]
        assert {earlier.request_id for earlier in found if earlier is not None} == {winner.request_id}

    play(tmp_path, story)


def test_freed_key_can_be_had_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        first = world.claim_of("first")
        assert await world.ask(first) is None
        world.keys.free(first)
        assert await world.ask(world.claim_of("second")) is None
        world.keys.free(first)  # it is another's now
        world.keys.end(first)
        await world.keys.close()
        assert [row[1] for row in world.rows()] == ["second"]
        assert world.rows()[0][2] is not None

    play(tmp_path, story)


@pytest.mark.parametrize("how", ["process ended", "too long", "our own"])
def test_what_cannot_be_under_way_any_more(how: str, tmp_path: Path) -> None:
    async def story(world: World) -> None:
        assert await world.ask(world.claim_of("first")) is None
        if how == "process ended":
            await world.database.run(lambda writing: writing.run("UPDATE epoch SET ended_at = 1.0 WHERE id = 1"))
        elif how == "too long":
            world.now += 661.0
        earlier = await world.ask(world.claim_of("second", process=0 if how == "our own" else 1))
        assert earlier == EarlierUse(b"f" * 32, "first", is_running=False)

    play(tmp_path, story)


def test_a_day_later_the_key_is_free_and_the_rows_go(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await asyncio.gather(*(world.ask(world.claim_of(f"r-{key}", key=f"key-{key}")) for key in range(1200)))
        world.now += 86_400.0
        assert await world.ask(world.claim_of("again", key="key-7")) is None
        await world.keys.delete_expired()
        assert [row[:2] for row in world.rows()] == [("key-7", "again")]

    play(tmp_path, story)


def test_failing_disk_is_said_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit came through, but its word did not: the client is told to try again, and can."""
    monkeypatch.setattr(idempotency, "_RETRY_INTERVAL_S", 0.05)

    async def story(world: World) -> None:
        ended = world.claim_of("ended", key="ended")
        assert await world.ask(ended) is None
        submit = world.database.submit

        def lost(job: Callable[[Writer], Any]) -> Any:
            def fail(writer: Writer) -> None:
                job(writer)
                raise StoreUnavailable("the disk went away")

            return submit(fail)

        monkeypatch.setattr(world.database, "submit", lost)
        world.keys.end(ended)
        with pytest.raises(Overloaded):
            await world.ask(world.claim_of("first"))
        with pytest.raises(Overloaded):  # while it fails nothing is even tried
            await world.ask(world.claim_of("second"))
        assert [row[1] for row in world.rows()] == ["ended", "first"]
        monkeypatch.setattr(world.database, "submit", submit)
        await world.keys.close()
        assert [(row[1], row[2]) for row in world.rows()] == [("ended", None)]
        assert await world.ask(world.claim_of("third")) is None

    play(tmp_path, story)


@pytest.mark.parametrize("sent", [True, False])
def test_stuck_disk_is_not_waited_for(sent: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that was given up counts for nothing, on its way or not; the next one has the key."""
    monkeypatch.setattr(idempotency, "_CLAIM_PATIENCE_S", 0.1)

    async def story(world: World) -> None:
        stuck = threading.Event()
        started = time.monotonic()
        blocking = None
        if sent:
            world.database.submit(lambda _: stuck.wait(10))
        else:
            blocking = asyncio.ensure_future(world.ask(world.claim_of("blocking", key="other")))
            world.database.submit(lambda _: stuck.wait(10))
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await world.ask(world.claim_of("first"))
        assert time.monotonic() - started < 5
        monkeypatch.setattr(idempotency, "_CLAIM_PATIENCE_S", 5.0)
        again = asyncio.ensure_future(world.ask(world.claim_of("second")))
        await asyncio.sleep(0.01)
        stuck.set()
        assert await again is None
        if blocking is not None:
            await asyncio.gather(blocking, return_exceptions=True)
        await world.keys.close()
        assert "first" not in [row[1] for row in world.rows()]

    play(tmp_path, story)


def test_transactions_are_shared(tmp_path: Path) -> None:
    """What comes while one is on its way goes with the next: hundreds of claims take few commits."""

    async def story(world: World) -> None:
        transactions: list[int] = []
        write = world.keys._write

        def counted(writing: Transaction, jobs: list[Any]) -> Any:
            transactions.append(len(jobs))
            return write(writing, jobs)

        world.keys._write = counted  # type: ignore[method-assign]
        await asyncio.gather(*(world.ask(world.claim_of(f"r-{key}", key=f"key-{key}")) for key in range(300)))
        assert sum(transactions) == 300
        assert len(transactions) <= 3

    play(tmp_path, story)
