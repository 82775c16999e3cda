"""The office of the ledger's model: payments and their disputes, grants and their end, budgets, refunds."""

import random
from collections.abc import Callable, Sequence

from .model import (
    Chargeback,
    ExpirePromo,
    GrantPromo,
    MoveBudget,
    Refund,
    SetLimit,
    Store,
    TopUp,
)
from .model_gateway import Request
from .model_sender import Sender

PAYERS = ("cust:A", "cust:B")
BUDGETS = ("project:p1", "project:p2", "key:k1", "key:k2", "key:k3")


class Office(Sender):
    """What it does comes at random. Before it takes from what processes may have leased, it recalls that."""

    def __init__(
        self, store: Store, dice: random.Random, recall: Callable[[tuple[str, ...], bool], None], periods: int
    ) -> None:
        super().__init__(store)
        self._dice = dice
        self._recall = recall
        self._named = 0
        self._payments: list[str] = []
        self._payment_max = dice.choice((100, 500, 2500))  # some runs are poor, some are rich
        for payer in PAYERS:
            self._top_up(payer, dice.choice((60, 200, 1000, 4000)) + dice.randrange(200))
            if dice.random() < 0.7:
                self._grant(payer, 0)
        for period in range(periods):
            for scope in BUDGETS:
                limit = dice.choice((80, 300, 1500)) + dice.randrange(100)
                self.queue.append(SetLimit(f"budget:{scope}:{period}", limit))

    def post(self, now: int, period: int, requests: Sequence[Request]) -> None:
        """One thing that an office does."""
        dice = self._dice
        match dice.randrange(12):
            case 0 | 1:
                self._top_up(dice.choice(PAYERS), dice.randrange(1, self._payment_max))
            case 2 | 3:
                self._grant(dice.choice(PAYERS), now)
            case 4 | 5 | 6:
                self.expire(now)
            case 7 | 8:
                self._move(period)
            case 9 | 10:
                self._refund(requests)
            case _:
                self._recall(PAYERS, False)
                self.queue.append(Chargeback(dice.choice(self._payments)))

    def _name(self, kind: str) -> str:
        self._named += 1
        return f"{kind}:{self._named}"

    def _top_up(self, payer: str, amount: int) -> None:
        """A payment's notice comes twice now and then."""
        payment = self._name("payment")
        self._payments.append(payment)
        self.queue += [TopUp(payment, payer, amount)] * self._dice.choice((1, 1, 1, 2))

    def _grant(self, payer: str, now: int) -> None:
        account = f"promo:{payer[5:]}:{self._name('grant')}"
        amount = self._dice.randrange(20, 400)
        self.queue.append(GrantPromo(account, payer, amount, now + self._dice.randrange(20, 250)))

    def expire(self, now: int) -> None:
        """All grants that have ended and have something left."""
        for account in self.store.accounts().values():
            if account.expires_at is not None and account.expires_at <= now and account.c > account.d:
                self._recall((account.id,), True)
                self.queue.append(ExpirePromo(account.id))

    def _move(self, period: int) -> None:
        names = [f"budget:project:p1:{period}", f"budget:project:p2:{period}"]
        self._dice.shuffle(names)
        self._recall(tuple(names), False)
        self.queue.append(MoveBudget(names[0], names[1], self._dice.randrange(1, 300)))

    def _refund(self, requests: Sequence[Request]) -> None:
        """Of what is over, or seems to be: its process may only sleep."""
        rows = self.store.reservations()
        charged = [rows[request.id] for request in requests if request.id in rows and rows[request.id].charged]
        if charged:
            row = self._dice.choice(charged)
            self.queue.append(Refund(self._name("refund"), row.id, self._dice.randrange(1, row.charged + 3)))
