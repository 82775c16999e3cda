"""Batches of a process that does everything a process does, in a fixed order, and what the ledger says after each.

The whole ledger is compared, row by row, with the usage rows of its charges: of a batch that was cut there is all or
nothing, and nothing else differs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faregate.core.call import UsageRecord
from faregate.ledger.accounts import Move, ensure_account, post
from faregate.ledger.commit import commit, start_epoch
from faregate.ledger.receipts import Receipts, Unstorable
from faregate.ledger.records import (
    Checkpoint,
    Lease,
    Leg,
    Open,
    OpenJob,
    Record,
    Renew,
    Result,
    Return,
    Settle,
    Want,
)
from faregate.ledger.verify import verify
from faregate.stores.database import Transaction
from faregate.stores.sqlite import Session, open_migrated

FILE = "faregate.db"
NOW = 1_000_000.0
ENDS_AT = NOW + 1000.0
TABLES = (
    *("account", "transfer", "lease", "reservation", "reservation_leg", "batch", "epoch"),
    *("usage_row", "usage_context", "usage_day", "usage_day_rare"),
)
Tables = dict[str, list[tuple[Any, ...]]]

PAYER, PROMOTION, BUDGET = 2, 3, 5  # accounts, by the order in which `furnish` opens them
EPOCH = 1
FIRST, SECOND, THIRD, LAST, JOB = (b"%016d" % number for number in range(1, 6))


def call_of(reservation: bytes) -> UsageRecord:
    """What is known of a call: each charge has a usage row."""
    return UsageRecord(id=reservation.hex(), received_at=NOW, key_id="key", model="model")


BATCHES: list[list[Record]] = [
    [Lease((Want(PAYER, 3000, 6000), Want(BUDGET, 3000, 6000)))],  # 1: the promotion's 1000, 2: bought, 3: the budget's
    [
        Open(FIRST, PAYER, (BUDGET,), 1200, (Leg(1, PAYER, 1000), Leg(2, PAYER, 200), Leg(3, BUDGET, 1200))),
        Open(SECOND, PAYER, (), 500, (Leg(2, PAYER, 500),)),
        OpenJob(JOB, PAYER, (BUDGET,), 700, NOW + 500.0),
    ],
    [
        Checkpoint(FIRST, 300, call_of(FIRST)),
        Settle(SECOND, 400),
        Open(THIRD, PAYER, (BUDGET,), 250, (Leg(2, PAYER, 250), Leg(3, BUDGET, 250))),
        Settle(THIRD, 250),
        Renew(),
    ],
    [
        Settle(FIRST, 2000, (Leg(2, PAYER, 300), Leg(3, BUDGET, 100))),  # above its hold
        Return(2, 50),
        Lease((Want(PAYER, 900, 900),)),
    ],
    [
        Open(LAST, PAYER, (BUDGET,), 800, (Leg(2, PAYER, 800), Leg(3, BUDGET, 800))),
        Checkpoint(LAST, 120, call_of(LAST)),
        Settle(JOB, 10_000_000),  # no account has that much: the rest is written off
    ],
]


def furnish(file: Path) -> None:
    """A ledger with an account of bought credit, a promotion and a budget, and the process that will commit."""
    session = open_migrated(file)

    def work(writing: Transaction) -> None:
        clearing = ensure_account(writing, "clearing:psp", "clearing", at=NOW)
        payer = ensure_account(writing, "cust:a", "cust", at=NOW)
        promotion = ensure_account(writing, "promo:a", "promo", at=NOW, payer_id=payer.id, expires_at=ENDS_AT)
        memo = ensure_account(writing, "memo:budgets", "memo", at=NOW)
        budget = ensure_account(writing, "budget:a", "budget", at=NOW)
        assert (payer.id, promotion.id, budget.id) == (PAYER, PROMOTION, BUDGET)
        for source, target, amount in ((clearing, payer, 40_000), (clearing, promotion, 1000), (memo, budget, 20_000)):
            post(writing, source, target, amount, Move(id=b"%16d" % target.id, kind="topup", created_at=NOW))
        assert start_epoch(writing, "cut", NOW) == EPOCH

    session.transact(work)
    session.close()


def opened(file: Path) -> Session:
    """A ledger, opened to write, without fsyncs: what a killed process has written is in the kernel's hands."""
    session = open_migrated(file)
    session.connection.execute("PRAGMA synchronous = OFF")
    return session


def committed(session: Session, epoch: int, seq: int, records: Sequence[Record], now: float) -> list[Result]:
    """A batch as a process commits it, with the usage rows of what it settles."""
    receipts = Receipts()

    def work(writing: Transaction, *, singly: bool = False) -> list[Result]:
        calls = {each.reservation: call_of(each.reservation) for each in records if isinstance(each, Settle)}
        receipts.begin()
        return commit(writing, epoch, seq, records, now, low_nano=0, receipts=receipts, calls=calls, singly=singly)

    try:
        return session.transact(work)
    except Unstorable:
        return session.transact(lambda writing: work(writing, singly=True))


def send(session: Session, seq: int) -> list[Result]:
    """The batch of that number, committed or answered again."""
    return committed(session, EPOCH, seq, BATCHES[seq - 1], NOW + seq)


def tables(reading: Transaction) -> Tables:
    """All that the ledger says."""
    return {name: reading.all(f"SELECT * FROM {name} ORDER BY 1, 2, 3") for name in TABLES}


class Course:
    """How it goes when nothing is cut: what the ledger says before the first batch and after each, and the results."""

    def __init__(self, folder: Path) -> None:
        furnish(folder / FILE)
        self.results: list[list[Result]] = []
        session = opened(folder / FILE)
        self.after = [tables(session)]
        for seq in range(1, len(BATCHES) + 1):
            self.results.append(send(session, seq))
            self.after.append(tables(session))
            assert verify(session).findings == []
        session.close()

    def arrived(self, session: Session) -> int:
        """How many of the batches are in this ledger, each of them wholly or not at all."""
        found = tables(session)
        assert verify(session).findings == []
        return self.after.index(found)

    def resume(self, session: Session) -> None:
        """All batches again, by their old numbers: the old answers, and the same end."""
        for seq, results in enumerate(self.results, start=1):
            assert send(session, seq) == results
        assert tables(session) == self.after[-1]
        assert verify(session).findings == []
