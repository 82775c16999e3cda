"""The common course of a batch, written together: holds that are opened, settled within their amount, slices returned.

A commit that serves hundreds of requests should not ask the database hundreds of questions. So what a batch needs to
know of leases and reservations is read once, changed here, and written at the end: many rows to a statement, each lease
and account once. Whatever is not of the common course goes another way (commit.py), after `write`.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from ..stores.database import Among, Row, Rows, Transaction, Value, named_queries
from .records import Leg, Open, Return, Settle, Settled, shares

_queries = named_queries("ledger")
_RESERVATIONS = Rows(_queries["write_reservations"], _queries["reservation_values"], _queries["reservation_conflict"])
_LEGS = Rows(_queries["write_legs"], _queries["leg_values"])
_TRANSFERS = Rows(_queries["write_transfers"], _queries["transfer_values"])
_OPEN = Among(_queries["open_reservations_among"], _queries["in_order_of_legs"])

_encode_budgets = msgspec.json.Encoder().encode


class _Lease:
    __slots__ = ("account", "active", "granted", "settled")

    def __init__(self, account: int, granted: int, settled: int, active: int) -> None:
        self.account = account
        self.granted = granted
        self.settled = settled
        self.active = active


class _Reservation:
    """One that is open, in the database or in this batch alone (`is_new`)."""

    __slots__ = ("is_new", "legs", "row")

    def __init__(self, row: Row, legs: tuple[Leg, ...], *, is_new: bool) -> None:
        self.row = row  # id (as a bytearray where it is new), epoch, payer, budgets, hold, opened_at
        self.legs = legs
        self.is_new = is_new


class Books:
    """What one batch reads and changes. `revenue` is the account that usage is credited to."""

    def __init__(self, writing: Transaction, epoch: int | None, now: float) -> None:
        self._writing = writing
        self._epoch = epoch
        self._now = now
        self._leases: dict[int, _Lease | None] = {}
        self._changed: set[int] = set()  # leases
        self._reservations: dict[bytes, _Reservation] = {}
        self._settled: dict[bytes, Sequence[Value]] = {}
        self._transfers: list[Sequence[Value]] = []
        self._charged: dict[int, int] = {}  # by account: from leased to debited
        self._returned: dict[int, int] = {}  # by account: from leased to free

    def read_settled(self, records: Iterable[Settle]) -> None:
        """Read what is to be settled, many at a time, as far as it is open and belongs to no job."""
        for row in _OPEN.all(self._writing, [bytearray(record.reservation) for record in records]):
            found = self._reservations.get(row[0])
            if found is None:
                found = self._reservations[row[0]] = _Reservation(row[:6], (), is_new=False)
            found.legs += (Leg(*row[6:]),)

    def is_alive(self, legs: Sequence[Leg]) -> bool:
        """Whether all these leases are."""
        for leg in legs:
            lease = self._lease(leg.lease)
            if lease is None or not lease.active:
                return False
        return True

    def _lease(self, number: int) -> _Lease | None:
        if number not in self._leases:
            row: Row | None = self._writing.one(_queries["find_lease"], (number,))
            self._leases[number] = None if row is None else _Lease(*row)
        return self._leases[number]

    def open(self, record: Open) -> None:
        """A hold whose leases are alive."""
        budgets = _encode_budgets(record.budgets).decode() if record.budgets else "[]"
        row = (bytearray(record.reservation), self._epoch, record.payer, budgets, record.hold, self._now)
        self._reservations.setdefault(record.reservation, _Reservation(row, record.legs, is_new=True))

    def settle(self, record: Settle, usage_account: Callable[[bool], int]) -> Settled | None:
        """A settlement within its hold; None where this is none, or of what is not open.
        `usage_account` is what usage is credited to, that of a payer (True) or a budget."""
        found = self._reservations.get(record.reservation)
        if found is None:
            return None
        _, epoch, payer, budgets, hold, opened_at = found.row
        cost = record.cost
        if cost > hold:
            return None
        del self._reservations[record.reservation]
        identity = bytearray(record.reservation)
        for number, (leg, share) in enumerate(zip(found.legs, shares(found.legs, cost), strict=True)):
            lease = self._lease(leg.lease)
            assert lease is not None
            if not share:
                continue
            lease.settled += share
            self._touch(leg.lease, lease)
            account = lease.account
            self._charged[account] = self._charged.get(account, 0) + share
            target = usage_account(leg.group == payer)
            self._transfers.append((identity, number, account, target, share, "usage", identity, self._now))
        self._settled[record.reservation] = (identity, epoch, payer, budgets, hold, "settled", cost, cost, opened_at)
        return Settled(True, cost)

    def give_back(self, record: Return) -> bool:
        """Some of a lease; False where it is closed."""
        lease = self._lease(record.lease)
        if lease is None or not lease.active:
            return False
        lease.granted -= record.amount
        self._touch(record.lease, lease)
        self._returned[lease.account] = self._returned.get(lease.account, 0) + record.amount
        return True

    def _touch(self, number: int, lease: _Lease) -> None:
        if lease.granted == lease.settled:
            lease.active = 0
        self._changed.add(number)

    def knows(self, reservation: bytes) -> bool:
        """Whether something of this reservation is not written yet."""
        found = self._reservations.get(reservation)
        return (found is not None and found.is_new) or reservation in self._settled

    def write(self) -> None:
        """Write all that was changed, and forget all that was read."""
        writing = self._writing
        opened = [found for found in self._reservations.values() if found.is_new]
        rows = [(*found.row[:5], "open", 0, 0, found.row[5]) for found in opened]
        _RESERVATIONS.insert(writing, [*rows, *self._settled.values()])
        _LEGS.insert(
            writing,
            [
                (found.row[0], position, leg.lease, leg.group, leg.amount)
                for found in opened
                for position, leg in enumerate(found.legs)
            ],
        )
        _TRANSFERS.insert(writing, self._transfers)
        for number in sorted(self._changed):
            lease = self._leases[number]
            assert lease is not None
            writing.run(_queries["write_lease"], (number, lease.granted, lease.settled, lease.active))
        for account in sorted(self._charged.keys() | self._returned.keys()):
            charged = self._charged.get(account, 0)
            given_back = charged + self._returned.get(account, 0)
            writing.run(_queries["charge_leased"], (account, charged, given_back))
        self.__init__(writing, self._epoch, self._now)
