"""The durable side of the ledger's model, in memory: one transaction at a time, by the rules that `model.py` states."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from .model import (
    GRACE,
    LOW,
    NEVER,
    SHARE,
    TTL,
    AccountRow,
    Chargeback,
    Ckpt,
    ExpirePromo,
    Grant,
    Granted,
    GrantPromo,
    Lease,
    LeaseRow,
    Leg,
    MoveBudget,
    Mutant,
    Open,
    OpenJob,
    Refund,
    Renew,
    ReservationRow,
    Return,
    SetLimit,
    Settle,
    Settled,
    TopUp,
    Transfer,
    shares,
)
from .model_books import BUDGETS, REVENUE, Books

OVERRUN = "writeoff:overrun"
CRASH = "writeoff:crash"


class ModelStore(Books):
    """A store whose every call is one transaction. `clock` is its time; a mutant breaks it on purpose."""

    def __init__(self, clock: Callable[[], int], mutant: Mutant | None = None) -> None:
        super().__init__(clock, mutant)
        self._epochs = 0
        self._leases: list[LeaseRow] = []  # an id is a place in it
        self._active: dict[int, LeaseRow] = {}
        self._reservations: dict[str, ReservationRow] = {}
        self._open: dict[str, ReservationRow] = {}
        self._results: dict[tuple[int, int], list[object]] = {}
        self._charges: dict[str, dict[str, int]] = {}  # by reservation and account, less what was given back
        self._refunds: dict[str, int] = {}
        self._records = {
            Lease: self._lease,
            Renew: self._renew,
            Return: self._return,
            Open: self._open_hold,
            Ckpt: self._checkpoint,
            Settle: self._settle,
            OpenJob: self._open_job,
            TopUp: self._top_up,
            Chargeback: self._charge_back,
            GrantPromo: self._grant_promo,
            ExpirePromo: self._expire_promo,
            SetLimit: self._set_limit,
            MoveBudget: self._move_budget,
            Refund: self._refund,
        }

    # Reading

    def accounts(self) -> Mapping[str, AccountRow]:
        return self._accounts

    def leases(self) -> Iterable[LeaseRow]:
        return self._leases

    def reservations(self) -> Mapping[str, ReservationRow]:
        return self._reservations

    def transfers(self, since: int = 0) -> Sequence[Transfer]:
        return self._transfers[since:]

    # Transactions

    def start(self) -> int:
        self._epochs += 1
        return self._epochs

    def commit(self, epoch: int, seq: int, records: Sequence[msgspec.Struct]) -> Sequence[object]:
        stored = self._results.get((epoch, seq))
        if stored is not None and self._mutant is not Mutant.NO_BATCH_ID:
            return stored
        results = [self._records[type(record)](epoch, record) for record in records]
        self._results[epoch, seq] = results
        return results

    def reap(self, now: int, dead: frozenset[int] = frozenset()) -> None:
        owners: dict[str, list[LeaseRow]] = {}
        ended = set()
        for lease in self._active.values():
            owners.setdefault(lease.owner, []).append(lease)
            grace = 0 if lease.epoch is None else GRACE
            if now > lease.expires_at + grace or lease.epoch in dead:
                ended.add(lease.owner)
        for owner in sorted(ended):
            leases = owners[owner]
            self._reap_leases(leases[:1] if self._mutant is Mutant.REAPED_ONE_BY_ONE else leases)

    def _reap_leases(self, leases: list[LeaseRow]) -> None:
        lost = {lease.id for lease in leases}
        for row in [row for row in self._open.values() if any(leg.lease in lost for leg in row.legs)]:
            row.cost = 0 if self._mutant is Mutant.REFUND_ON_REAP else row.ckpt
            self._charge_legs(row, row.legs, row.cost)
            self._end(row, "reaped")
        for lease in leases:
            self._close(lease)

    # Leases

    def _lease(self, epoch: int, record: Lease) -> Granted:
        leases: list[Grant] = []
        if all(self._room(want.group, want.need) >= want.need for want in record.wants):
            for want in record.wants:
                available = self._room(want.group, NEVER)
                share = 0 if available < LOW else available // SHARE
                for account, part in self._split(want.group, max(want.need, min(want.want, share))):
                    lease = self._new_lease(account, part, epoch)
                    leases.append(Grant(lease.id, want.group, account.id, account.expires_at or NEVER, part))
        self._renew(epoch)
        left = [sum(account.available for account in self._usable(want.group)) for want in record.wants]
        return Granted(tuple(leases), tuple(left))

    def _new_lease(
        self, account: AccountRow, amount: int, epoch: int | None, owner: str = "", expires_at: int = 0
    ) -> LeaseRow:
        lease = LeaseRow(len(self._leases), account.id, epoch, owner or f"epoch:{epoch}", amount, expires_at)
        self._leases.append(lease)
        self._active[lease.id] = lease
        account.l += amount
        return lease

    def _renew(self, epoch: int, _: Renew | None = None) -> frozenset[int]:
        mine = [lease for lease in self._active.values() if lease.epoch == epoch]
        for lease in mine:
            lease.expires_at = self._clock() + TTL
        return frozenset(lease.id for lease in mine)

    def _return(self, _: int, record: Return) -> bool:
        lease = self._leases[record.lease]
        if not lease.active:
            return False
        lease.granted -= record.amount
        self._accounts[lease.account].l -= record.amount
        if not lease.left:
            self._close(lease)
        return True

    def _close(self, lease: LeaseRow) -> None:
        self._accounts[lease.account].l -= lease.left
        lease.active = False
        self._active.pop(lease.id, None)

    def _alive(self, leg: Leg) -> bool:
        return self._leases[leg.lease].active or self._mutant is Mutant.NO_FENCING

    # Holds

    def _open_hold(self, _: int, record: Open) -> bool:
        legs = tuple(leg for leg in record.legs if self._alive(leg))
        if not legs or (legs != record.legs and self._mutant is not Mutant.OPEN_IN_PARTS):
            return False
        if record.reservation not in self._reservations:
            self._add(ReservationRow(record.reservation, record.payer, record.budgets, record.hold, legs))
        return True

    def _open_job(self, epoch: int, record: OpenJob) -> bool:
        if record.reservation in self._reservations:
            return True
        groups = (record.payer, *record.budgets)
        if any(self._room(group, record.hold) < record.hold for group in groups):
            return False
        legs = []
        for group in groups:
            for account, part in self._split(group, record.hold):
                if self._mutant is Mutant.JOB_DIES_WITH_PROCESS:
                    lease = self._new_lease(account, part, epoch, "", self._clock() + TTL)
                else:
                    lease = self._new_lease(account, part, None, record.reservation, record.deadline)
                legs.append(Leg(lease.id, group, part))
        row = ReservationRow(record.reservation, record.payer, record.budgets, record.hold, tuple(legs))
        row.deadline = record.deadline
        self._add(row)
        return True

    def _add(self, row: ReservationRow) -> None:
        self._reservations[row.id] = self._open[row.id] = row
        self._charges[row.id] = {}
        self._refunds[row.id] = 0

    def _end(self, row: ReservationRow, state: str) -> None:
        row.state = state
        self._open.pop(row.id, None)

    def _checkpoint(self, _: int, record: Ckpt) -> bool:
        row = self._open.get(record.reservation)
        if row is None:
            return False
        row.ckpt = max(row.ckpt, min(record.cost, row.hold))
        return True

    def _settle(self, _: int, record: Settle) -> Settled | None:
        row = self._reservations.get(record.reservation)
        if row is None:
            return None
        if row.state not in ("open", "reaped"):
            return Settled(row.charged)
        drawn: tuple[Leg, ...] = ()
        row.cost = record.cost
        if all(self._alive(leg) for leg in row.legs):  # as in every open reservation, and in none that was reaped
            self._charge_legs(row, row.legs, record.cost)
            drawn = self._draw(row, record)
            self._write_off(row, self._charge_available(row, record.cost - row.charged), OVERRUN)
            self._end(row, "settled")
            if row.deadline is not None:
                for leg in row.legs:
                    self._close(self._leases[leg.lease])
        else:
            difference = record.cost - (0 if self._mutant is Mutant.WHOLE_LATE_SETTLE else row.charged)
            if difference > 0:
                self._write_off(row, self._charge_available(row, difference), CRASH)
            else:
                self._give_back(row, -difference, "correction")
            self._end(row, "adjusted")
        return Settled(row.charged, drawn)

    # Charges

    def _charge_legs(self, row: ReservationRow, legs: Sequence[Leg], cost: int) -> tuple[Leg, ...]:
        """What is leased becomes debited: d + l stays the same, so that no settlement fails for lack of money."""
        charged = []
        for leg, share in zip(legs, shares(legs, cost), strict=True):
            if share:
                lease = self._leases[leg.lease]
                lease.settled += share
                self._accounts[lease.account].l -= share
                self._debit(row, self._accounts[lease.account], share)
                if not lease.left:
                    self._close(lease)
                charged.append(Leg(leg.lease, leg.group, share))
        return tuple(charged)

    def _draw(self, row: ReservationRow, record: Settle) -> tuple[Leg, ...]:
        """Above the hold, from the process's own slices: as much as every group bears, with what is available."""
        above = record.cost - row.charged
        if above <= 0 or not record.offers:
            return ()
        offers = [leg for leg in record.offers if self._alive(leg)]
        for group in (row.payer, *row.budgets):
            offered = sum(leg.amount for leg in offers if leg.group == group)
            above = min(above, offered + self._room(group, above))
        drawn = self._charge_legs(row, offers, above)
        for group in (row.payer, *row.budgets):
            rest = above - sum(leg.amount for leg in drawn if leg.group == group)
            for account, part in self._split(group, rest):
                self._debit(row, account, part)
        return drawn

    def _charge_available(self, row: ReservationRow, due: int) -> int:
        """The same sum from every group, never more than the poorest has available. Returns what is left unpaid."""
        groups = (row.payer, *row.budgets)
        charge = due
        if self._mutant is not Mutant.OVERRUN_PAST_BALANCE:
            charge = min(self._room(group, due) for group in groups)
        for group in groups:
            for account, part in self._split(group, charge):
                self._debit(row, account, part)
        return due - charge

    def _write_off(self, row: ReservationRow, amount: int, account: str) -> None:
        if amount:
            self._post(account, REVENUE, amount, "writeoff", row.id)

    def _debit(self, row: ReservationRow, account: AccountRow, amount: int) -> None:
        budget = account.kind == "budget"
        if budget and self._mutant is Mutant.BUDGET_NOT_CHARGED:
            return
        self._post(account.id, BUDGETS if budget else REVENUE, amount, "usage", row.id)
        charges = self._charges[row.id]
        charges[account.id] = charges.get(account.id, 0) + amount
        if not budget:
            row.charged += amount

    def _give_back(self, row: ReservationRow, amount: int, kind: str) -> None:
        """To what was charged, the last charged first, so that a grant never turns into paid credit."""
        charges = self._charges[row.id]
        for group in (row.payer, *row.budgets):
            rest = amount
            for account in reversed(self._groups[group]):
                part = min(rest, charges.get(account.id, 0))
                if part:
                    rest -= part
                    charges[account.id] -= part
                    self._post(BUDGETS if account.kind == "budget" else REVENUE, account.id, part, kind, row.id)
        if kind == "correction":
            row.charged -= amount

    def _refund(self, _: int, record: Refund) -> bool:
        row = self._reservations.get(record.reservation)
        if row is None or row.state == "open" or record.refund in self._done:
            return False
        if self._refunds[row.id] + record.amount > row.charged:
            return False
        self._done.add(record.refund)
        self._refunds[row.id] += record.amount
        if row.state == "reaped":
            self._end(row, "adjusted")
        self._give_back(row, record.amount, "refund")
        return True
