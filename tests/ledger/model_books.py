"""The accounts of the ledger's model: double entry, groups and what they have available, and what the office posts."""

from collections.abc import Callable, Iterator

from .model import (
    NEVER,
    AccountRow,
    Chargeback,
    ExpirePromo,
    GrantPromo,
    MoveBudget,
    Mutant,
    SetLimit,
    TopUp,
    Transfer,
)

REVENUE = "revenue:usage"
CLEARING = "clearing:psp"
PROMOTIONS = "contra:promo"
BUDGETS = "memo:budgets"


class Books:
    """Accounts that carry their sums, and the list of transfers. `clock` is the store's time."""

    def __init__(self, clock: Callable[[], int], mutant: Mutant | None = None) -> None:
        self._clock = clock
        self._mutant = mutant
        self._accounts: dict[str, AccountRow] = {}
        self._groups: dict[str, list[AccountRow]] = {}  # in the order in which they are spent
        self._transfers: list[Transfer] = []
        self._payments: dict[str, TopUp] = {}
        self._done: set[str] = set()  # refunds and chargebacks

    def _account(self, account: str, kind: str, group: str, expires_at: int | None = None) -> AccountRow:
        row = self._accounts.get(account)
        if row is None:
            row = self._accounts[account] = AccountRow(account, kind, group, expires_at)
            accounts = self._groups.setdefault(group, [])
            accounts.append(row)
            accounts.sort(key=lambda row: (row.expires_at or NEVER, row.id))
        return row

    def _post(self, debit: str, credit: str, amount: int, kind: str, ref: str) -> None:
        self._transfers.append(Transfer(debit, credit, amount, kind, ref))
        if debit in self._accounts:
            self._accounts[debit].d += amount
        if credit in self._accounts:
            self._accounts[credit].c += amount

    def _usable(self, group: str) -> Iterator[AccountRow]:
        now = self._clock()
        for account in self._groups.get(group, ()):
            if account.expires_at is None or account.expires_at > now:
                yield account

    def _room(self, group: str, amount: int) -> int:
        if self._mutant is Mutant.UNGUARDED_BALANCE:
            return amount
        return min(amount, sum(account.available for account in self._usable(group)))

    def _split(self, group: str, amount: int) -> Iterator[tuple[AccountRow, int]]:
        """The accounts that an amount comes from, soonest end first; the last one bears what is left."""
        accounts = list(self._usable(group))
        for account in accounts:
            part = amount if account is accounts[-1] else min(amount, account.available)
            if part > 0:
                amount -= part
                yield account, part

    # What the office posts

    def _top_up(self, _: int, record: TopUp) -> bool:
        if record.payment in self._payments:
            return False
        self._payments[record.payment] = record
        self._account(record.payer, "cust", record.payer)
        self._post(CLEARING, record.payer, record.amount, "topup", record.payment)
        return True

    def _charge_back(self, _: int, record: Chargeback) -> tuple[int, int] | None:
        payment = self._payments.get(record.payment)
        if payment is None or record.payment in self._done:
            return None
        self._done.add(record.payment)
        taken = min(payment.amount, self._accounts[payment.payer].available)
        owed = payment.amount - taken
        receivable = f"receivable:{payment.payer.partition(':')[2]}"
        self._account(receivable, "receivable", receivable)
        if taken:
            self._post(payment.payer, CLEARING, taken, "chargeback", record.payment)
        if owed:
            self._post(receivable, CLEARING, owed, "chargeback", record.payment)
        return taken, owed

    def _grant_promo(self, _: int, record: GrantPromo) -> bool:
        if record.account in self._accounts:
            return False
        self._account(record.account, "promo", record.payer, record.expires_at)
        self._post(PROMOTIONS, record.account, record.amount, "grant", record.account)
        return True

    def _expire_promo(self, _: int, record: ExpirePromo) -> int:
        account = self._accounts[record.account]
        if account.expires_at is None or account.expires_at > self._clock():
            return 0
        amount = account.available
        if self._mutant is Mutant.EXPIRY_TAKES_LEASED:
            amount = account.c - account.d
        if amount:
            self._post(record.account, PROMOTIONS, amount, "expiry", record.account)
        return amount

    def _set_limit(self, _: int, record: SetLimit) -> bool:
        self._account(record.account, "budget", record.account)
        self._post(BUDGETS, record.account, record.amount, "limit", record.account)
        return True

    def _move_budget(self, _: int, record: MoveBudget) -> bool:
        if self._room(record.source, record.amount) < record.amount:
            return False
        self._post(record.source, record.target, record.amount, "move", record.source)
        return True
