"""I11: the transfers of a day are sealed once it is over, and who changes, deletes or adds one later is found out."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.ids import RequestIds, id_bytes
from faregate.ledger import seals as module
from faregate.ledger.accounts import Move, ensure_account, post
from faregate.ledger.commit import commit, start_epoch
from faregate.ledger.records import Granted, Lease, Leg, Open, Settle, Want
from faregate.ledger.refunds import refund
from faregate.ledger.seals import FIRST_AFTER_S, SPARE_S, Seal, Seals, name_of_day
from faregate.ledger.verify import Finding, verify
from faregate.stores.database import StoreUnavailable, Transaction
from faregate.stores.sqlite import SqliteDatabase, open_migrated
from faregate.stores.usage_days import DAY_S

DAY = 20_000
FIRST = name_of_day(DAY)
NOON = DAY * DAY_S + 43_200.0
FILE = "faregate.db"
Story = Callable[[SqliteDatabase], Awaitable[None]]


def play(folder: Path, story: Story) -> None:
    """Run a story on a database in `folder`."""

    async def run() -> None:
        database = SqliteDatabase(folder / FILE)
        try:
            await story(database)
        finally:
            await database.close()

    asyncio.run(run())


def put(writing: Transaction, moves: Iterable[Move], amount: int = 7) -> None:
    """Transfers from one account to another, each as its Move says."""
    source = ensure_account(writing, "clearing:manual", "clearing", at=0)
    target = ensure_account(writing, "cust:a", "cust", at=0)
    for move in moves:
        post(writing, source, target, amount, move)


def move(number: int, created_at: float, **members: object) -> Move:
    return Move(id=number.to_bytes(16, "big"), kind="topup", created_at=created_at, **members)  # type: ignore[arg-type]


async def seal(database: SqliteDatabase, days: float) -> int:
    """Seal what is over when the clock says that so many days have gone since the first began."""
    return await Seals(database, print, clock=lambda: (DAY + days) * DAY_S + SPARE_S).seal_days()


async def sealed(database: SqliteDatabase) -> list[Seal]:
    rows = await database.read(lambda reading: reading.all("SELECT * FROM transfer_seal ORDER BY day"))
    return [Seal(*row) for row in rows]


async def findings(database: SqliteDatabase) -> list[Finding]:
    return [found for found in (await database.read(verify)).findings if found.invariant == "I11"]


async def chain(database: SqliteDatabase, days: Iterable[int]) -> list[Seal]:
    """What the seals of these days must be, told otherwise: all rows at once, sorted here."""
    rows = await database.read(lambda reading: reading.all("SELECT * FROM transfer"))
    before, found = bytes(32), []
    for day in days:
        mine = sorted(row for row in rows if row[-1] // DAY_S == day)
        texts = [[each.encode() if isinstance(each, str) else each for each in row] for row in mine]
        packed = b"".join(msgspec.msgpack.encode([day, *row]) for row in texts)
        before = sha256(before + packed).digest()
        found.append(Seal(day, len(mine), before))
    return found


def test_what_is_hashed_is_the_same_for_ever(tmp_path: Path) -> None:
    """Other bytes would break the chain of every gateway: day, id, leg, debit, credit, amount, kind, reference,
    idempotency key, author, reason, time."""
    start = b"\x9c\xcd\x4e\x20\xc4\x10" + bytes(15)
    middle = b"\x00\x01\x02\xcf\x00\x00\x01\x00\x00\x00\x00\x00\xc4\x05topup"
    texts = b"\xc4\x01\x01\xc4\x01k\xc4\x06cli:\xc3\xa9\xc4\x0cfor\x00 nothing"
    first = start + b"\x01" + middle + texts + b"\xcb\x41\xd9\xbf\xf6\x30\x10\x00\x00"
    second = start + b"\x02" + middle + b"\xc0\xc0\xc0\xc0" + b"\xcb\x41\xd9\xbf\xf6\x30\x00\x00\x00"
    digest = sha256(bytes(32) + first + second).digest()

    async def story(database: SqliteDatabase) -> None:
        full = move(1, NOON + 0.25, reference=b"\1", idempotency_key="k", author="cli:é", reason="for\0 nothing")
        await database.run(lambda writing: put(writing, [full, move(2, NOON)], 2**40))
        assert await seal(database, 2) == 2
        assert await sealed(database) == [Seal(DAY, 2, digest), Seal(DAY + 1, 0, sha256(digest).digest())]

    play(tmp_path, story)


@settings(max_examples=30, deadline=None)
@given(
    made=st.lists(
        st.tuples(st.integers(0, 200), st.floats(0, 5, exclude_max=True)), max_size=30, unique_by=lambda t: t[0]
    ),
    over=st.lists(st.integers(0, 6), max_size=3),
)
def test_every_day_that_is_over_is_sealed_once_whatever_the_order_of_ids(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, float]], over: list[int]
) -> None:
    """With pages of three rows, in one go or in several."""

    async def story(database: SqliteDatabase) -> None:
        moves = [move(number, (DAY + days) * DAY_S) for number, days in made]
        await database.run(lambda writing: put(writing, moves))
        first = min((int(days) for _, days in made), default=0)
        until = max(over, default=0) if made else 0
        done = [await seal(database, days) for days in sorted(over)]
        assert sum(done) == max(0, until - first)
        assert await sealed(database) == await chain(database, range(DAY + first, DAY + until))
        assert await findings(database) == []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "ROWS_PER_READ_MAX", 3)
        play(tmp_path_factory.mktemp("seals"), story)


def test_a_day_is_sealed_an_hour_after_its_end_and_those_without_transfers_too(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        assert await seal(database, 9) == 0
        await database.run(lambda writing: put(writing, [move(1, NOON), move(2, NOON + 3 * DAY_S)]))
        assert await seal(database, 0.99999) == 0
        assert await seal(database, 1) == 1
        assert await seal(database, 1.5) == 0
        assert await seal(database, 4) == 3
        assert await seal(database, 4) == 0
        assert [(each.day - DAY, each.transfers) for each in await sealed(database)] == [(0, 1), (1, 0), (2, 0), (3, 1)]
        assert await sealed(database) == await chain(database, range(DAY, DAY + 4))
        assert await findings(database) == []

    play(tmp_path, story)


def test_a_refund_belongs_to_the_day_on_which_it_is_made(tmp_path: Path) -> None:
    """It is a later leg under the id of the request."""
    request = id_bytes(RequestIds()(NOON))

    def spend(writing: Transaction) -> None:
        put(writing, [move(1, NOON)], 1000)
        payer = ensure_account(writing, "cust:a", "cust", at=0).id
        epoch = start_epoch(writing, "node", NOON)
        [granted] = commit(writing, epoch, 1, [Lease((Want(payer, 500, 500),))], NOON)
        assert isinstance(granted, Granted)
        legs = (Leg(granted.leases[0].lease, payer, 500),)
        commit(writing, epoch, 2, [Open(request, payer, (), 500, legs), Settle(request, 400)], NOON)

    def give_back(writing: Transaction) -> None:
        refund(writing, request, 150, move(9, NOON + 2 * DAY_S, idempotency_key="once"))

    async def story(database: SqliteDatabase) -> None:
        await database.run(spend)
        assert await seal(database, 2) == 2
        await database.run(give_back)
        assert await findings(database) == []
        assert await seal(database, 3) == 1
        assert [each.transfers for each in await sealed(database)] == [2, 0, 1]
        assert await sealed(database) == await chain(database, range(DAY, DAY + 3))
        assert await findings(database) == []

    play(tmp_path, story)


INSERT = (
    "INSERT INTO transfer (id, leg, debit_account, credit_account, amount, kind, created_at) "
    "VALUES (x'77', 0, 1, 2, 5, 'usage', {})"
)
TAMPERED = {
    "an amount": (f"UPDATE transfer SET amount = 8 WHERE id < x'{2:032x}'", [0], "3 transfers and had 3"),
    "a reason": ("UPDATE transfer SET reason = 'y' WHERE reason = 'x'", [0], "3 transfers and had 3"),
    "a reason that is none": ("UPDATE transfer SET reason = '' WHERE reason IS NULL", [0, 2], "and they are not the"),
    "what is no text": ("UPDATE transfer SET reason = CAST(x'ff' AS TEXT) WHERE reason = 'x'", [0], "had 3 when"),
    "another day": (f"UPDATE transfer SET created_at = created_at + {DAY_S}", [0, 1, 2, 3], "transfers and had"),
    "a deletion": ("DELETE FROM transfer WHERE reason = 'x'", [0], "2 transfers and had 3"),
    "one dated back": (INSERT.format(NOON), [0], "4 transfers and had 3"),
    "one on a day without any": (INSERT.format(NOON + DAY_S), [1], "1 transfers and had 0"),
    "one before all": (INSERT.format(NOON - 2 * DAY_S), [-2], "1 transfers and no seal"),
    "one of long ago": (INSERT.format(-1e300), [-(2**63) // DAY_S - DAY + 1], "1 transfers and no seal"),
    "the digest of a seal": (
        f"UPDATE transfer_seal SET digest = zeroblob(32) WHERE day = {DAY}",
        [0, 1],
        "not the same",
    ),
    "the count of a seal": (f"UPDATE transfer_seal SET transfers = 2 WHERE day = {DAY}", [0], "3 transfers and had 2"),
    "a seal": (f"DELETE FROM transfer_seal WHERE day = {DAY + 2}", [2], "2 transfers and no seal"),
    "a seal of a day without any": (f"DELETE FROM transfer_seal WHERE day = {DAY + 1}", [1], "it has no seal"),
    "the first seal": (f"DELETE FROM transfer_seal WHERE day = {DAY}", [0, 1], "3 transfers and no seal"),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_who_goes_round_the_triggers_is_found_out(what: str, tmp_path: Path) -> None:
    tampering, days, said = TAMPERED[what]

    async def story(database: SqliteDatabase) -> None:
        moves = [move(1, NOON), move(2, NOON, reason="x"), move(3, NOON + 1)]
        moves += [move(4, NOON + 2 * DAY_S), move(5, NOON + 2 * DAY_S)]
        await database.run(lambda writing: put(writing, moves))
        await seal(database, 4)
        assert await findings(database) == []
        with sqlite3.connect(database.path) as door:
            if not tampering.startswith("INSERT"):
                with pytest.raises(sqlite3.IntegrityError, match="is for ever"):
                    door.execute(tampering)
            for table in ("transfer", "transfer_seal"):
                door.execute(f"DROP TRIGGER {table}_is_not_changed")
                door.execute(f"DROP TRIGGER {table}_is_not_deleted")
            door.execute(tampering)
        door.close()
        found = await findings(database)
        assert [each.subject for each in found] == [name_of_day(DAY + day) for day in days]
        assert said in found[0].message

    play(tmp_path, story)


def test_a_day_that_is_not_sealed_yet_is_no_finding(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        await database.run(lambda writing: put(writing, [move(1, NOON)]))
        proof = await database.read(verify)
        assert (proof.last_seal, [each for each in proof.findings if each.invariant == "I11"]) == (None, [])
        await seal(database, 1)
        await database.run(lambda writing: put(writing, [move(2, NOON + DAY_S), move(3, 1e300)]))
        assert await findings(database) == []
        assert (await database.read(verify)).last_seal == (await sealed(database))[-1]

    play(tmp_path, story)


def test_two_processes_may_seal_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_PER_READ_MAX", 5)

    async def story(database: SqliteDatabase) -> None:
        moves = [move(number, NOON + number % 4 * DAY_S) for number in range(100)]
        await database.run(lambda writing: put(writing, moves))
        other = SqliteDatabase(tmp_path / FILE)
        await asyncio.gather(*(seal(each, 5) for each in (database, other, database)))
        await other.close()
        assert await sealed(database) == await chain(database, range(DAY, DAY + 5))
        assert await findings(database) == []

    play(tmp_path, story)


def test_who_comes_second_goes_on_from_what_stands(tmp_path: Path) -> None:
    """Even where the two do not agree: the chain is one."""

    async def story(database: SqliteDatabase) -> None:
        await database.run(lambda writing: put(writing, [move(1, NOON)]))
        seals = Seals(database, print, clock=lambda: (DAY + 2) * DAY_S + SPARE_S)
        compute, first = seals._computed, Seal(DAY, 5, sha256(b"other").digest())

        async def computed(day: int, before: bytes) -> Seal:
            if day == DAY:
                await database.run(
                    lambda writing: writing.run("INSERT INTO transfer_seal VALUES (?, ?, ?)", (day, 5, first.digest))
                )
            return await compute(day, before)

        seals._computed = computed  # type: ignore[method-assign]
        assert await seals.seal_days() == 2
        assert await sealed(database) == [first, Seal(DAY + 1, 0, sha256(first.digest).digest())]
        assert [found.subject for found in await findings(database)] == [FIRST]

    play(tmp_path, story)


def test_who_was_in_a_transaction_when_the_day_ended_is_waited_for(tmp_path: Path) -> None:
    """A process that was stopped there for hours, say."""
    began, may_end = threading.Event(), threading.Event()

    def late() -> None:
        session = open_migrated(tmp_path / FILE)

        def work(writing: Transaction) -> None:
            began.set()
            may_end.wait(10)
            put(writing, [move(2, NOON)])

        session.transact(work)
        session.close()

    async def story(database: SqliteDatabase) -> None:
        await database.run(lambda writing: put(writing, [move(1, NOON)]))
        other = threading.Thread(target=late)
        other.start()
        began.wait(10)
        sealing = asyncio.ensure_future(seal(database, 1))
        done, _ = await asyncio.wait([sealing], timeout=0.1)
        assert not done
        may_end.set()
        assert await sealing == 1
        other.join()
        assert [each.transfers for each in await sealed(database)] == [2]
        assert await findings(database) == []

    play(tmp_path, story)


def test_what_fails_is_reported_and_tried_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert FIRST_AFTER_S < 60
    monkeypatch.setattr(module, "FIRST_AFTER_S", 0)
    monkeypatch.setattr(module, "INTERVAL_S", 0)
    said: list[tuple[object, ...]] = []

    async def story(database: SqliteDatabase) -> None:
        await database.run(lambda writing: put(writing, [move(1, NOON), move(2, NOON + DAY_S)]))
        ended = asyncio.Event()

        def report(*words: object, **fields: object) -> None:
            said.append((*words, *fields.values()))
            if words[0] == "info":
                ended.set()

        failures = iter([StoreUnavailable("full"), ValueError("odd")])

        def clock() -> float:
            failure = next(failures, None)
            if failure is not None:
                raise failure
            return NOON + 2 * DAY_S

        task = asyncio.ensure_future(Seals(database, report, clock=clock).run())
        await asyncio.wait_for(ended.wait(), 10)
        task.cancel()
        assert len(await sealed(database)) == 2

    play(tmp_path, story)
    assert said == [
        ("error", "transfers_not_sealed", "StoreUnavailable: full"),
        ("error", "transfers_not_sealed", "ValueError: odd"),
        ("info", "transfers_sealed", 2),
    ]
