"""`python -m bench.holds N ROUNDS`: what it costs to hold for N calls at once and to settle them, on a disk of its own.

A process of its own, so that nothing else is in its processor time: the loop's part and the writing thread's, user and
system, the usage rows included. Calls are opened in one batch and settled in the next, as with a provider that takes
its time, or both in one batch. Beside it, what the bare disk takes for one commit of one small row. Prints JSON.
"""

import json
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from faregate.core.call import UsageRecord
from faregate.core.ids import RequestIds, id_bytes
from faregate.core.usage import Usage
from faregate.ledger.accounts import find_account
from faregate.ledger.credits import Credits
from faregate.ledger.holds import Hold
from faregate.ledger.ledger import Ledger
from faregate.stores.audit import Actor
from faregate.stores.directory import Directory
from faregate.stores.pepper import load_pepper
from faregate.stores.sqlite import SqliteDatabase
from faregate.wire.strand import in_strand

HOLD_NANO, COST_NANO = 1_000_000, 300_000
COMMITS = 200
WARM_ROUNDS = 20


def commit_us(folder: Path) -> float:
    """The median of bare commits of one row, with synchronous=FULL."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, text TEXT)")
    took_s = []
    for _ in range(COMMITS):
        begun_s = time.perf_counter()
        connection.execute("INSERT INTO bare (text) VALUES ('a row')")
        took_s.append(time.perf_counter() - begun_s)
    connection.close()
    return statistics.median(took_s) * 1e6


class Desk:
    """A ledger with one customer who has enough."""

    def __init__(self, ledger: Ledger, payer: int) -> None:
        self._ledger = ledger
        self._payer = payer
        self._new_id = RequestIds()

    async def serve(self, calls: int, *, in_one_batch: bool) -> None:
        """Hold for so many calls at once, and settle them."""
        now = time.time()
        opened = []
        for _ in range(calls):
            identity = self._new_id(now)
            hold = Hold(id_bytes(identity), self._payer, (), HOLD_NANO)
            if not self._ledger.slices.reserve(hold):
                await in_strand(self._ledger.wait_for(hold))
            opened.append((hold, UsageRecord(id=identity, received_at=now, key_id="key", model="model", status=200)))
        if not in_one_batch:
            await in_strand(self._ledger.opened(opened[-1][0]))
        for hold, call in opened:
            call.usage = Usage(input=250, output=120)
            self._ledger.settle(hold, COST_NANO, call)
        await in_strand(self._until_settled(opened[-1][0]))

    async def _until_settled(self, hold: Hold) -> None:
        while (news := self._ledger.settlement(hold)) is not None:
            await news


async def measure(folder: Path, calls: int, rounds: int) -> dict[str, float]:
    """Processor time of a call, microseconds."""
    database = SqliteDatabase(folder / "faregate.db")
    directory = Directory(database, load_pepper(folder, {}))
    organisation = await directory.create_organisation("bench", actor=Actor("bench"))
    await Credits(database, directory).add(organisation.id, 10**15, reason="bench", actor=Actor("bench"))
    account = await database.read(lambda reading: find_account(reading, f"cust:{organisation.id}"))
    assert account is not None
    ledger = Ledger(database, folder / "run", print)
    await ledger.open()
    desk = Desk(ledger, account.id)
    found = {}
    for name, in_one_batch in (("two_batches_us", False), ("one_batch_us", True)):
        for _ in range(WARM_ROUNDS):
            await desk.serve(calls, in_one_batch=in_one_batch)
        begun_s = time.process_time()
        for _ in range(rounds):
            await desk.serve(calls, in_one_batch=in_one_batch)
        found[name] = (time.process_time() - begun_s) / rounds / calls * 1e6
    await ledger.close()
    await database.close()
    return found


def main() -> None:
    """Measure, and print what was found."""
    calls, rounds = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="bench-holds-") as name:
        folder = Path(name)
        found = {"commit_us": commit_us(folder)}
        found |= uvloop.run(measure(folder, calls, rounds))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
