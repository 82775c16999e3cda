"""The invariants of the ledger, over whatever a store gives to read, and what must have come of a run in the end."""

from collections import defaultdict
from collections.abc import Iterable

from .model import GRACE, NEVER, AccountRow, LeaseRow, ReservationRow, Store, Violation
from .model_gateway import Job, Request

NEXT_STATES = {"open": {"settled", "reaped"}, "reaped": {"adjusted"}, "settled": set(), "adjusted": set()}
GUARDED = ("cust", "promo", "budget")


def require(truth: bool, text: str) -> None:
    """Violation unless."""
    if not truth:
        raise Violation(text)


class Auditor:
    """Checks I1 to I5, I7 and I9 after every change. It reads each transfer once and keeps its own sums of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = 0
        self._debits: defaultdict[str, int] = defaultdict(int)
        self._credits: defaultdict[str, int] = defaultdict(int)
        self._paid: defaultdict[tuple[str, str], int] = defaultdict(int)  # by reservation and group
        self._paid_by: defaultdict[tuple[str, str], int] = defaultdict(int)  # by reservation and account, at first
        self._refunded: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._written_off: defaultdict[str, int] = defaultdict(int)
        self._payments: defaultdict[str, int] = defaultdict(int)
        self._disputes: defaultdict[str, int] = defaultdict(int)
        self._states: dict[str, str] = {}
        self._known: dict[str, tuple[str, int, int]] = {}
        self._touched: set[str] = set()  # what transfers were for, since the last check

    def check(self, now: int) -> None:
        """Violation if what is committed cannot be right."""
        self._read()
        leases = list(self._store.leases())
        self._check_accounts(leases)
        self._check_reservations(leases, now)

    def _read(self) -> None:
        accounts = self._store.accounts()
        for transfer in self._store.transfers(self._seen):
            self._seen += 1
            require(transfer.amount > 0, f"I2: a transfer of {transfer.amount}")
            self._debits[transfer.debit] += transfer.amount
            self._credits[transfer.credit] += transfer.amount
            self._touched.add(transfer.ref)
            if transfer.kind == "usage":
                self._paid[transfer.ref, accounts[transfer.debit].group] += transfer.amount
                self._paid_by[transfer.ref, transfer.debit] += transfer.amount
            elif transfer.kind == "correction":
                self._paid[transfer.ref, accounts[transfer.credit].group] -= transfer.amount
            elif transfer.kind == "refund":
                self._refunded[transfer.ref, accounts[transfer.credit].group] += transfer.amount
            elif transfer.kind == "writeoff":
                self._written_off[transfer.ref] += transfer.amount
            elif transfer.kind == "topup":
                require(transfer.ref not in self._payments, f"I9: {transfer.ref} is credited twice")
                self._payments[transfer.ref] += transfer.amount
            elif transfer.kind == "chargeback":
                self._disputes[transfer.ref] += transfer.amount
                require(self._disputes[transfer.ref] <= self._payments[transfer.ref], "I9: disputed beyond payment")

    def _check_accounts(self, leases: list[LeaseRow]) -> None:
        leased: defaultdict[str, int] = defaultdict(int)
        for lease in leases:
            if not 0 <= lease.settled <= lease.granted:
                raise Violation(f"I4: {lease}")
            if lease.active:
                leased[lease.account] += lease.left
        accounts = self._store.accounts()
        balance = sum(account.c - account.d for account in accounts.values())
        for name in self._debits.keys() | self._credits.keys():
            if name not in accounts:
                balance += self._credits[name] - self._debits[name]
        require(balance == 0, f"I1: all accounts together have {balance}")
        for account in accounts.values():
            if account.c != self._credits[account.id] or account.d != self._debits[account.id]:
                raise Violation(f"I2: {account}, transfers {self._credits[account.id]}, {self._debits[account.id]}")
            if account.kind in GUARDED and (account.available < 0 or account.l < 0):
                raise Violation(f"I3: {account}")
            if account.l != leased[account.id]:
                raise Violation(f"I4: {account}, leases {leased[account.id]}")
        clearing = self._debits["clearing:psp"] - self._credits["clearing:psp"]
        expected = sum(self._payments.values()) - sum(self._disputes.values())
        require(clearing == expected, f"I9: clearing has {clearing} of {expected}")

    def _check_reservations(self, leases: list[LeaseRow], now: int) -> None:
        active = {lease.id for lease in leases if lease.active}
        accounts = self._store.accounts()
        accounts_of = {lease.id: accounts[lease.account] for lease in leases}
        for row in self._store.reservations().values():
            now_known = (row.state, row.charged, row.cost)
            if row.state != "open" and row.id not in self._touched and now_known == self._known.get(row.id):
                continue
            self._known[row.id] = now_known
            before = self._states.get(row.id)
            if before is None:
                self._check_legs(row, accounts_of)
            if row.state != before:
                if row.state in ("settled", "reaped"):
                    self._check_order(row, accounts_of)
                require(
                    before is None or row.state in NEXT_STATES[before],
                    f"I5: {row.id} went from {before} to {row.state}",
                )
                self._states[row.id] = row.state
                if row.state == "reaped" and row.deadline is not None and now <= row.deadline:
                    raise Violation(f"R8: {row.id} is reaped before its deadline")
            if row.state == "open":
                self._check_hold(row)
                require(all(leg.lease in active for leg in row.legs), f"I7: {row.id} is open on a closed lease")
            else:
                self._check_charge(row)
        self._touched.clear()

    def _check_legs(self, row: ReservationRow, accounts_of: dict[int, AccountRow]) -> None:
        """All or nothing, and what ends sooner is spent first. What was opened and settled in one batch may have been
        written as one row, without its legs."""
        if row.state == "settled" and not row.legs:
            return
        for group in (row.payer, *row.budgets):
            legs = [leg for leg in row.legs if leg.group == group]
            held = sum(leg.amount for leg in legs)
            require(held == row.hold, f"I5: {row.id} holds {held} of {row.hold} in {group}")
            require(all(accounts_of[leg.lease].group == group for leg in legs), f"I5: {row.id} holds another's")
            ends = [accounts_of[leg.lease].expires_at or NEVER for leg in legs]
            require(ends == sorted(ends), f"I5: {row.id} holds what ends later first")

    def _check_order(self, row: ReservationRow, accounts_of: dict[int, AccountRow]) -> None:
        """Of the hold, an account pays only if those that are spent before it have paid all that was held of them.
        (What comes late is paid by whatever has something available by then.)"""
        held: defaultdict[str, int] = defaultdict(int)
        for leg in row.legs:
            held[accounts_of[leg.lease].id] += leg.amount
        whole = True
        for account, amount in held.items():
            if account.startswith(("cust:", "promo:")):
                paid = self._paid_by[row.id, account]
                require(whole or not paid, f"I5: {account} paid {paid} for {row.id} before its turn")
                whole = paid >= amount

    def _check_hold(self, row: ReservationRow) -> None:
        require(0 <= row.ckpt <= row.hold, f"I5: {row.id} has checkpoint {row.ckpt} of {row.hold}")
        require(row.charged == 0 == self._paid[row.id, row.payer], f"I5: {row.id} is charged while open")

    def _check_charge(self, row: ReservationRow) -> None:
        for group in (row.payer, *row.budgets):
            paid = self._paid[row.id, group]
            require(paid == row.charged, f"I5: {group} paid {paid} of {row.charged} for {row.id}")
            back = self._refunded[row.id, group]
            require(back == self._refunded[row.id, row.payer] <= row.charged, f"I5: {row.id} refunded {back}")
        lost = self._written_off[row.id]
        require(row.charged + lost == row.cost, f"I5: {row.id} cost {row.cost}, charged {row.charged}, lost {lost}")
        if row.state == "reaped":
            require(row.charged == row.ckpt, f"R8: {row.id} reaped at {row.charged}, checkpoint {row.ckpt}")

    def check_reaped(self, now: int) -> None:
        """I7, right after the reaper: nothing rests on what ended long ago."""
        for lease in self._store.leases():
            late = now > lease.expires_at + GRACE
            require(not (lease.active and late), f"I7: lease {lease.id} of {lease.owner} outlives its end")

    def check_idle(self, jobs: bool) -> None:
        """I8: nothing is leased once no process lives, but for jobs."""
        for lease in self._store.leases():
            require(not lease.active or (jobs and lease.epoch is None), f"I8: lease {lease.id} of {lease.owner}")
        for row in self._store.reservations().values():
            require(row.state != "open" or (jobs and row.deadline is not None), f"I8: {row.id} is still open")

    def check_requests(self, requests: Iterable[Request]) -> None:
        """End to end: what was charged, against what happened."""
        rows = self._store.reservations()
        for request in requests:
            row = rows.get(request.id)
            if isinstance(request, Job):
                self._check_job(request, row)
            else:
                self._check_request(request, row)
            if row is not None and row.state == "settled" and row.cost <= row.hold:
                require(self._written_off[row.id] == 0, f"{row.id} was within its hold, and not charged whole")

    def _check_request(self, request: Request, row: ReservationRow | None) -> None:
        charged = 0 if row is None else row.charged
        used = request.used or 0
        said = f"{request.id} ({request.state}) charged {charged}, used {used}, delivered {request.delivered}"
        require(not request.delivered or row is not None, f"O1: output without a durable hold: {said}")
        if request.state in ("refused", "aborted"):
            require(not request.delivered and not charged, f"a refused request is free: {said}")
        elif row is not None and self._is_final(row) and used != row.cost:
            require(row.cost == charged <= max(used, request.delivered), f"refunded, and overcharged: {said}")
        elif request.state == "done":
            require(row is not None and charged + self._written_off[row.id] == used, f"not charged exactly: {said}")
        else:
            require(request.state in ("crashed", "lost"), f"a request without an end: {said}")
            require(charged <= max(used, request.delivered), f"overcharged: {said}")
            durable = max(0 if row is None else row.ckpt, request.saved)
            floor = durable if request.used is None else min(durable, used)
            require(charged >= floor, f"charged below the checkpoint {durable}: {said}")

    def _is_final(self, row: ReservationRow) -> bool:
        """Whether it was refunded after it was reaped, so that what its process says later counts no more."""
        return row.state == "adjusted" and bool(self._refunded[row.id, row.payer]) and row.charged == row.ckpt

    def _check_job(self, job: Job, row: ReservationRow | None) -> None:
        if job.state == "done":
            require(row is not None, f"{job.id} has no hold")
            if row is not None:
                paid = row.charged + self._written_off[row.id]
                require(paid == (job.used or 0), f"{job.id} used {job.used}, charged {paid}")
        else:
            charged = 0 if row is None else row.charged
            require(charged <= (job.used or 0), f"{job.id} ({job.state}) is charged {charged} without a result")
