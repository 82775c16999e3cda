"""The end of what no process will end: leases past their end, and those of epochs known to be dead (money.md R8).

An epoch loses all its leases at once. Its open reservations are charged their checkpoint, what the client had received
a second ago at most; the rest of every lease is free again. A job's leases live until the job ends or its deadline.
"""

from collections.abc import Collection

from ..stores.database import Transaction, named_queries
from ..stores.usage_rows import insert_cut
from .accounts import ensure_account
from .commit import BUDGETS, REVENUE, Batch, Tab, decode_budgets

GRACE_S = 6.0


def reap(
    writing: Transaction, now: float, dead: Collection[int] = (), grace_s: float = GRACE_S, *, own: int | None = None
) -> int:
    """Close what is over, inside a transaction of the caller's; how many reservations were charged so. The epoch of who
    reaps, `own`, lives, whatever the clock says: that may have jumped past its leases' end."""
    queries = named_queries("ledger")
    reaped = 0
    ended = [row[0] for row in writing.all(queries["ended_epochs"], (now - grace_s,))]
    for epoch in sorted({*ended, *dead} - {own}):
        leases = [row[0] for row in writing.all(queries["active_leases"], (epoch,))]
        reaped += _charge(writing, now, epoch)
        _reap(writing, now, leases, [])
    for (job,) in writing.all(queries["ended_jobs"], (now,)):
        leases = [row[0] for row in writing.all(queries["active_leases_of_job"], (job,))]
        reaped += _reap(writing, now, leases, writing.all(queries["open_job"], (job,)))
    return reaped


def _charge(writing: Transaction, now: float, epoch: int) -> int:
    """End an epoch's open reservations in a few statements: there may be many, and a start waits for it."""
    queries = named_queries("ledger")
    revenue, budgets = (ensure_account(writing, *account, at=now).id for account in (REVENUE, BUDGETS))
    writing.run(queries["charge_checkpoints"], (epoch, revenue, budgets, now))
    writing.run(queries["settle_charged_leases"], (epoch,))
    writing.run(queries["debit_charged_accounts"], (epoch,))
    insert_cut(writing, epoch)
    return writing.run(queries["reap_reservations"], (epoch,))


def _reap(
    writing: Transaction,
    now: float,
    leases: list[int],
    reservations: list[tuple[bytes, int, str, int, int]],
) -> int:
    batch = Batch(writing, None, now)
    for reservation, payer, budgets, hold, checkpoint in reservations:
        tab = Tab(reservation, payer, decode_budgets(budgets), hold, 0)
        batch.charge_legs(tab, batch.legs_of(reservation), checkpoint)
        batch.end(tab, "reaped", checkpoint)
    for lease in leases:
        batch.close_lease(lease)
    return len(reservations)
