"""One batch of a process as one transaction (money.md section 6, R1 to R9).

Theory of operation. A process spends from leases, which were subtracted from their accounts before: `d + l <= c`
holds at every commit. A settlement moves what it charges from leased to debited, so `d + l` stays the same and no
settlement fails for lack of money. What is above a hold comes from the process's own slices, then from what is free,
atomically, and the rest is written off: never below zero. Safety rests on fencing: a lease that was closed (its epoch
reaped) refuses every hold, and a settlement that comes after posts the difference alone. A batch is known by (epoch,
seq) for ever: sent again, it is answered from its row and changes nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from ..core.call import UsageRecord
from ..core.money import NANO_PER_USD
from ..stores.database import Row, Transaction, named_queries
from ..stores.usage_rows import withdraw
from .accounts import ensure_account, find_account
from .books import Books
from .receipts import Receipts
from .records import (
    Checkpoint,
    Done,
    Grant,
    Granted,
    Lease,
    Leg,
    Open,
    OpenJob,
    Record,
    Renew,
    Renewed,
    Result,
    Return,
    Settle,
    Settled,
    Want,
    shares,
)

TTL_S = 30.0
LOW_NANO = NANO_PER_USD
SHARE = 4  # a slice is at most this part of what is available
_BATCHES_KEPT = 64
NEVER = 4e15  # seconds: beyond every end
REVENUE = ("revenue:usage", "revenue")
BUDGETS = ("memo:budgets", "memo")
OVERRUN = ("writeoff:overrun", "writeoff")
CRASH = ("writeoff:crash", "writeoff")

_encode = msgspec.msgpack.Encoder().encode
_decode: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[Result]).decode
_encode_budgets = msgspec.json.Encoder().encode
decode_budgets = msgspec.json.Decoder(tuple[int, ...]).decode


def start_epoch(writing: Transaction, node: str, now: float) -> int:
    """The number of a new process: what it commits is known by it."""
    row = writing.one(named_queries("ledger")["insert_epoch"], (node, now))
    assert row is not None
    return row[0]


def commit(
    writing: Transaction,
    epoch: int,
    seq: int,
    records: Sequence[Record],
    now: float,
    *,
    ttl_s: float = TTL_S,
    low_nano: int = LOW_NANO,
    is_first: bool = False,
    receipts: Receipts | None = None,
    calls: Mapping[bytes, UsageRecord] | None = None,
    singly: bool = False,
) -> list[Result]:
    """Apply a batch, inside a transaction of the caller's; the results of its records, in their order. Leases last for
    `ttl_s` from `now`; of a group that has less than `low_nano` no more is leased than is needed at once. `is_first`:
    it was never sent before, so nobody need look for its answer. `receipts` writes the rows of the `calls` that are
    settled, `singly` after it raised Unstorable."""
    queries = named_queries("ledger")
    stored = None if is_first else writing.one(queries["find_batch"], (epoch, seq))
    if stored is not None:
        return _decode(stored[0])
    batch = Batch(writing, epoch, now, ttl_s, low_nano, receipts)
    results = batch.apply_all(records)
    if receipts is not None and calls:
        receipts.write(writing, calls, records, results, singly=singly)
    if not seq % _BATCHES_KEPT:
        writing.run(queries["delete_answered_batches"], (epoch, seq))  # who sends the next one has heard of the last
    writing.run(queries["insert_batch"], (epoch, seq, bytearray(_encode(results))))
    return results


class Batch:
    """A batch under way: its transaction, its epoch, its time (unix seconds)."""

    def __init__(
        self,
        writing: Transaction,
        epoch: int | None,
        now: float,
        ttl_s: float = TTL_S,
        low_nano: int = LOW_NANO,
        receipts: Receipts | None = None,
    ) -> None:
        self._writing = writing
        self._epoch = epoch
        self._now = now
        self._ttl_s = ttl_s
        self._low_nano = low_nano
        self._receipts = receipts
        self._queries = named_queries("ledger")
        self._books = Books(writing, epoch, now)
        self._totals: dict[tuple[str, str], int] = {}
        self._known_totals = {} if receipts is None else receipts.totals
        self._apply: dict[type, Callable[[Any], Result]] = {
            Lease: self._lease,
            Renew: self._renew,
            Return: self._return,
            Open: self._open,
            Checkpoint: self._checkpoint,
            Settle: self._settle,
            OpenJob: self._open_job,
        }

    def apply_all(self, records: Sequence[Record]) -> list[Result]:
        """Let records take effect, in their order."""
        opened = {record.reservation for record in records if isinstance(record, Open)}
        settled = [record for record in records if isinstance(record, Settle) and record.reservation not in opened]
        if settled:
            self._books.read_settled(settled)
        results = [self._apply[type(record)](record) for record in records]
        self._books.write()
        return results

    def _run(self, query: str, *parameters: Any) -> int:
        return self._writing.run(self._queries[query], parameters)

    def _all(self, query: str, *parameters: Any) -> list[Row]:
        return self._writing.all(self._queries[query], parameters)

    def _one(self, query: str, *parameters: Any) -> Row | None:
        return self._writing.one(self._queries[query], parameters)

    # Accounts

    def _usable(self, group: int) -> list[Row]:
        """(id, available, end) of a group's accounts that have not ended, soonest end first."""
        return self._all("usable_accounts", group, self._now, NEVER)

    def _room(self, group: int) -> int:
        return sum(available for _, available, _ in self._usable(group))

    def _split(self, group: int, amount: int) -> list[tuple[int, float, int]]:
        """(account, end, part) of an amount that is available in the group."""
        parts = []
        for account, available, ends_at in self._usable(group):
            part = min(amount, available)
            if part > 0:
                amount -= part
                parts.append((account, ends_at, part))
        assert amount == 0
        return parts

    # Leases

    def _lease(self, record: Lease) -> Granted:
        self._books.write()
        wanted = [(want.group, want.need, self._slice(want)) for want in record.wants]
        grants = []
        if all(amount >= need for _, need, amount in wanted):
            for group, _, amount in wanted:
                for account, ends_at, part in self._split(group, amount):
                    lease = self._new_lease(account, part, self._now + self._ttl_s)
                    grants.append(Grant(lease, group, account, ends_at, part))
        self._renew_all()
        return Granted(tuple(grants), tuple(self._room(want.group) for want in record.wants))

    def _slice(self, want: Want) -> int:
        """How much of a group is leased: what is needed, and more only where much is there, so that most of it is left
        to the others. Where little is there, what one process has beyond its need, another is refused for."""
        available = self._room(want.group)
        share = 0 if available < self._low_nano else available // SHARE
        return min(available, max(want.need, min(want.want, share)))

    def _new_lease(self, account: int, amount: int, expires_at: float, job: bytes | None = None) -> int:
        taken = self._run("lease_out", account, amount)
        assert taken == 1
        row = self._one("insert_lease", account, None if job is not None else self._epoch, job, amount, expires_at)
        assert row is not None
        return row[0]

    def _renew(self, _: Renew) -> Renewed:
        self._books.write()
        self._renew_all()
        return Renewed(frozenset(row[0] for row in self._all("active_leases", self._epoch)))

    def _renew_all(self) -> None:
        self._run("renew_leases", self._epoch, self._now + self._ttl_s)

    def _return(self, record: Return) -> Done:
        return Done(self._books.give_back(record))

    def _close_if_empty(self, lease: int) -> None:
        self._run("close_empty_lease", lease)

    def close_lease(self, lease: int) -> None:
        """End a lease: what is left of it is free again."""
        self._run("give_back_rest", lease)
        self._run("close_lease", lease)

    def _alive(self, legs: Sequence[Leg]) -> bool:
        return all(self._one("lease_is_active", leg.lease) is not None for leg in legs)

    # Holds

    def _open(self, record: Open) -> Done:
        if not record.legs or not self._books.is_alive(record.legs):
            return Done(False)
        self._books.open(record)
        return Done(True)

    def _open_job(self, record: OpenJob) -> Done:
        self._books.write()
        if self._one("find_reservation", record.reservation) is not None:
            return Done(True)
        groups = (record.payer, *record.budgets)
        if any(self._room(group) < record.hold for group in groups):
            return Done(False)
        legs = [
            Leg(self._new_lease(account, part, record.deadline, record.reservation), group, part)
            for group in groups
            for account, _, part in self._split(group, record.hold)
        ]
        self._store(record, legs, None, record.deadline)
        return Done(True)

    def _store(self, record: Open | OpenJob, legs: Sequence[Leg], epoch: int | None, deadline: float | None) -> None:
        budgets = _encode_budgets(record.budgets).decode()
        if not self._run(
            "insert_reservation", record.reservation, epoch, record.payer, budgets, record.hold, deadline, self._now
        ):
            return  # it is there: a batch of another number has said so
        for position, leg in enumerate(legs):
            self._run("insert_leg", record.reservation, position, leg.lease, leg.group, leg.amount)

    def _checkpoint(self, record: Checkpoint) -> Done:
        if self._books.knows(record.reservation):
            self._books.write()
        context = None
        if self._receipts is not None and record.call is not None:
            context = self._receipts.context_if_cut(self._writing, record.call)
        return Done(self._run("raise_checkpoint", record.reservation, record.cost, context) == 1)

    # Settlement

    def _settle(self, record: Settle) -> Settled:
        settled = self._books.settle(record, self._usage_account)
        if settled is not None:
            return settled
        self._books.write()
        row = self._one("find_reservation", record.reservation)
        if row is None:
            return Settled(False)
        payer, budgets, hold, state, charged, deadline = row
        if state not in ("open", "reaped"):
            return Settled(True, charged)
        tab = Tab(record.reservation, payer, decode_budgets(budgets), hold, charged)
        drawn: tuple[Leg, ...] = ()
        if state == "open":
            legs = self.legs_of(record.reservation)
            self.charge_legs(tab, legs, record.cost)
            drawn = self._draw(tab, record)
            self._write_off(tab, self._charge_available(tab, record.cost - tab.charged), OVERRUN)
            if deadline is not None:
                for leg in legs:
                    self.close_lease(leg.lease)
            self.end(tab, "settled", record.cost)
        else:
            withdraw(self._writing, record.reservation)  # it was not over: its row says more than the reaper knew
            self._write_off(tab, self._charge_available(tab, max(0, record.cost - tab.charged)), CRASH)
            self.give_back(tab, max(0, tab.charged - record.cost), "correction")
            self.end(tab, "adjusted", record.cost)
        return Settled(True, tab.charged, drawn)

    def legs_of(self, reservation: bytes) -> tuple[Leg, ...]:
        """A hold's legs, in the order in which they are charged."""
        return tuple(Leg(*row) for row in self._all("legs_of_reservation", reservation))

    def end(self, tab: "Tab", state: str, cost: int) -> None:
        """Write down how a reservation ended."""
        self._run("end_reservation", tab.reservation, state, cost, tab.charged)

    def charge_legs(self, tab: "Tab", legs: Sequence[Leg], cost: int) -> tuple[Leg, ...]:
        """What is leased becomes debited; the legs as far as they were charged."""
        charged = []
        for leg, share in zip(legs, shares(tuple(legs), cost), strict=True):
            if share:
                row = self._one("settle_lease", leg.lease, share)
                assert row is not None
                self._run("debit_leased", row[0], share)
                self._usage(tab, row[0], leg.group, share)
                self._close_if_empty(leg.lease)
                charged.append(Leg(leg.lease, leg.group, share))
        return tuple(charged)

    def _draw(self, tab: "Tab", record: Settle) -> tuple[Leg, ...]:
        """Above the hold, from the process's own slices: as much as every group bears, with what is available."""
        above = record.cost - tab.charged
        if above <= 0 or not record.offers:
            return ()
        offers = [leg for leg in record.offers if self._alive([leg])]
        for group in tab.groups:
            offered = sum(leg.amount for leg in offers if leg.group == group)
            above = min(above, offered + self._room(group))
        drawn = self.charge_legs(tab, offers, above)
        for group in tab.groups:
            rest = above - sum(leg.amount for leg in drawn if leg.group == group)
            self._debit_free(tab, group, rest)
        return drawn

    def _charge_available(self, tab: "Tab", due: int) -> int:
        """The same sum from every group, never more than the poorest has free; what is left unpaid."""
        if due <= 0:
            return 0
        charge = min(due, *(self._room(group) for group in tab.groups))
        for group in tab.groups:
            self._debit_free(tab, group, charge)
        return due - charge

    def _debit_free(self, tab: "Tab", group: int, amount: int) -> None:
        for account, _, part in self._split(group, amount) if amount > 0 else ():
            taken = self._run("add_guarded_debits", account, part)
            assert taken == 1
            self._usage(tab, account, group, part)

    def _usage(self, tab: "Tab", account: int, group: int, amount: int) -> None:
        self._post(tab, account, self._usage_account(group == tab.payer), amount, "usage")
        if group == tab.payer:
            tab.charged += amount

    def _usage_account(self, is_payer: bool) -> int:
        return self._total(REVENUE if is_payer else BUDGETS)

    def _write_off(self, tab: "Tab", amount: int, account: tuple[str, str]) -> None:
        if amount > 0:
            self._post(tab, self._total(account), self._total(REVENUE), amount, "writeoff")

    def give_back(self, tab: "Tab", amount: int, kind: str) -> None:
        """To what was charged, bought credit first, so that a promotion never turns into it."""
        if amount <= 0:
            return
        for group in tab.groups:
            rest = amount
            for account, charged in self._all("charged_accounts", tab.reservation, group, NEVER):
                part = min(rest, charged)
                if part > 0:
                    rest -= part
                    source = self._total(REVENUE if group == tab.payer else BUDGETS)
                    self._run("add_credits", account, part)
                    self._post(tab, source, account, part, kind)
        if kind == "correction":
            tab.charged -= amount

    def _post(self, tab: "Tab", debit: int, credit: int, amount: int, kind: str) -> None:
        self._run("insert_usage_transfer", tab.reservation, debit, credit, amount, kind, self._now)

    def _total(self, account: tuple[str, str]) -> int:
        found = self._known_totals.get(account) or self._totals.get(account)
        if found is None:
            name, kind = account
            there = find_account(self._writing, name)
            if there is None:  # what this transaction makes may not last
                found = self._totals[account] = ensure_account(self._writing, name, kind, at=self._now).id
            else:
                found = self._known_totals[account] = there.id
        return found


class Tab(msgspec.Struct):
    """A reservation while it is being charged: `charged` is what its payer has paid so far."""

    reservation: bytes
    payer: int
    budgets: tuple[int, ...]
    hold: int
    charged: int

    @property
    def groups(self) -> tuple[int, ...]:
        """The payer and each budget."""
        return (self.payer, *self.budgets)
