"""Seals: the proof that transfers stay what they were (money.md I11).

Theory of operation. Once a day (UTC, by `created_at`) is over, its transfers are sealed: SHA-256 over the digest of the
day before (of the first day: over 32 zero bytes) and then each transfer, in the order of (id, leg). A transfer is a
MessagePack array of the day and of all its columns in the order of the table, texts as their bytes. So the last digest
vouches for all that went before it, and who keeps it elsewhere can tell if the whole chain was made anew.

A day is one link, whatever processes were at it: a transfer does not say which epoch made it. That is known of
reservations alone, and neither of moves by hand nor of what a reaper or a refund posts later under the same id.

A day is sealed an hour after its end. Who was in a transaction then is waited for, and all who post take the time
inside theirs: so what is sealed gets nothing more. But by a clock that is wrong by more than an hour: a day that was
sealed too early, or got a transfer too late, is found for ever.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from hashlib import sha256
from itertools import groupby, pairwise
from operator import itemgetter

import msgspec

from ..stores.database import Database, Row, Transaction, named_queries
from ..stores.usage_days import DAY_S

FIRST_AFTER_S = 15.0
INTERVAL_S = 3_600.0
SPARE_S = 3_600.0  # between the end of a day and its seal
ROWS_PER_READ_MAX = 500  # some 2 ms

_BEFORE_ALL = bytes(32)
_START = (b"", -(2**63))  # what every (id, leg) is above
_EPOCH = date(1970, 1, 1)
_encode = msgspec.msgpack.Encoder().encode

Report = Callable[..., object]  # (level, event, fields by name)
Place = tuple[bytes, int]


class Seal(msgspec.Struct, frozen=True):
    """What a day (since 1970 UTC) was sealed with: how many transfers it had, and the digest of them and all before."""

    day: int
    transfers: int
    digest: bytes


class Break(msgspec.Struct, frozen=True):
    """A day of which the chain proves nothing, or the contrary."""

    day: str
    message: str


class _Tally:
    """The transfers of a day as far as they were read, on top of the digest of the day before."""

    __slots__ = ("_hash", "transfers")

    def __init__(self, before: bytes) -> None:
        self.transfers = 0
        self._hash = sha256(before)

    def add(self, rows: Iterable[Row]) -> None:
        encoded = [_encode(row) for row in rows]
        self.transfers += len(encoded)
        self._hash.update(b"".join(encoded))

    def seal(self, day: int) -> Seal:
        return Seal(day, self.transfers, self._hash.digest())


class Seals:
    """Seals the days that are over. Several processes may be at it. `clock` gives unix seconds."""

    def __init__(self, database: Database, report: Report, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._report = report
        self._clock = clock
        self._queries = named_queries("ledger")

    async def run(self) -> None:
        """Seal what is over, soon and then every hour, until cancelled. What fails is reported and tried again."""
        await asyncio.sleep(FIRST_AFTER_S)
        while True:
            try:
                days = await self.seal_days()
                if days:
                    self._report("info", "transfers_sealed", days=days)
            except Exception as error:
                self._report("error", "transfers_not_sealed", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(INTERVAL_S)

    async def seal_days(self) -> int:
        """Seal every day that is over and not sealed yet, from that of the first transfer on; how many there were.
        StoreError."""
        over = int(self._clock() - SPARE_S) // DAY_S
        seal, first = await self._database.read(lambda reading: (last_seal(reading), self._first_day(reading)))
        day = first if seal is None else seal.day + 1
        if day is None or day >= over:
            return 0
        await self._database.run(lambda _: None)  # who was in a transaction when the day ended is through after this
        before = _BEFORE_ALL if seal is None else seal.digest
        for each in range(day, over):
            seal = await self._sealed(await self._computed(each, before))
            before = seal.digest
        return over - day

    def _first_day(self, reading: Transaction) -> int | None:
        row = reading.one(self._queries["first_day"])
        return None if row is None else row[0]

    async def _computed(self, day: int, before: bytes) -> Seal:
        """The seal of a day, in reads so short that others hardly wait, with as much time for them in between."""
        loop = asyncio.get_running_loop()
        tally, place = _Tally(before), _START

        def read(reading: Transaction) -> Place | None:
            rows = reading.all(self._queries["transfers_of_day"], (day, *place, ROWS_PER_READ_MAX))
            tally.add(rows)
            return _place_after(rows)

        while True:
            started = loop.time()
            next_place = await self._database.read(read)
            if next_place is None:
                return tally.seal(day)
            place = next_place
            await asyncio.sleep(loop.time() - started)

    async def _sealed(self, seal: Seal) -> Seal:
        """The seal as it stands then: another process may have been first."""

        def work(writing: Transaction) -> Seal:
            writing.run(self._queries["insert_seal"], (seal.day, seal.transfers, seal.digest))
            row = writing.one(self._queries["find_seal"], (seal.day,))
            assert row is not None
            return Seal(*row)

        return await self._database.run(work)


def last_seal(reading: Transaction) -> Seal | None:
    """The seal of the last day that has one."""
    row = reading.one(named_queries("ledger")["last_seal"])
    return None if row is None else Seal(*row)


def name_of_day(day: int) -> str:
    """A day as people write it."""
    try:
        return (_EPOCH + timedelta(days=day)).isoformat()
    except OverflowError:
        return f"day {day}"


def breaks(reading: Transaction) -> list[Break]:
    """Where transfers are not what was sealed, or the chain has a gap. Reads every transfer, some at a time; of days
    that are not sealed yet it says nothing."""
    seals = [Seal(*row) for row in reading.all(named_queries("ledger")["all_seals"])]
    if not seals:
        return []
    digests = {seal.day + 1: seal.digest for seal in seals} | {seals[0].day: _BEFORE_ALL}
    tallies = {seal.day: _Tally(digests.get(seal.day, b"")) for seal in seals}
    strays: dict[int, int] = {}  # transfers of days without a seal
    place: Place | None = _START
    while place is not None:
        rows = reading.all(named_queries("ledger")["all_transfers"], (*place, ROWS_PER_READ_MAX))
        for day, transfers in groupby(rows, itemgetter(0)):
            tally = tallies.get(day)
            if tally is not None:
                tally.add(transfers)
            elif day < seals[-1].day:
                strays[day] = strays.get(day, 0) + sum(1 for _ in transfers)
        place = _place_after(rows)
    found = [
        (seal.day, said)
        for seal in seals
        if (said := _difference(seal, tallies[seal.day].seal(seal.day), is_linked=seal.day in digests))
    ]
    found += [(day, f"it has {count} transfers and no seal, though later days have") for day, count in strays.items()]
    found += [
        (before.day + 1, "it has no seal, though later days have")
        for before, seal in pairwise(seals)
        if seal.day > before.day + 1 and before.day + 1 not in strays
    ]
    return [Break(name_of_day(day), said) for day, said in sorted(found)]


def _difference(seal: Seal, computed: Seal, *, is_linked: bool) -> str | None:
    """How a day differs from its seal. Where the day before has none, only the count can be compared."""
    said = f"it has {computed.transfers} transfers and had {seal.transfers} when it was sealed"
    if computed.transfers != seal.transfers:
        return said
    return f"{said}, and they are not the same" if is_linked and computed.digest != seal.digest else None


def _place_after(rows: list[Row]) -> Place | None:
    """Where the next page begins; None where there is none."""
    return (rows[-1][1], rows[-1][2]) if len(rows) == ROWS_PER_READ_MAX else None
