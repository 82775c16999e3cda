"""The words of the ledger's model: what is committed, what is read back, what a store must do, how it may be broken.

The protocol of money (leased slices, holds of several legs, group commit, fencing) is simulated here before and beside
the real ledger. `model_gateway.py` has the processes, `model_office.py` who posts payments and budgets, `model_run.py`
the seeded run with its faults, `model_checks.py` the invariants; `model_store.py`, with the accounts of
`model_books.py`, is a store in memory. All but the last two know a store only by the `Store` protocol below, so that
the same run and the same checks can be put to any ledger that speaks it: `play(seed, make_store=...)`, where make_store
gets a clock and gives a store that is empty.

# Accounts

Accounts are named by texts. `cust:A` is the prepaid credit of organisation A, `promo:A:1` a grant of promotional credit
with an end, `budget:project:p1:0` and `budget:key:k1:0` the limits of a project and of a key in one period. These, and
`receivable:A` (a debt), carry running sums: credits `c`, debits `d`, leased out `l`, and for all but the debt the guard
d + l <= c. What is available is c - d - l. The others (`clearing:psp`, `revenue:usage`, `contra:promo`, `memo:budgets`,
`writeoff:overrun`, `writeoff:crash`) are the sums of their transfers. Usage is a transfer from cust or promo to revenue
and, for every budget, one from the budget to memo; what cannot be charged is one from a write-off to revenue.

A *group* is what one part of a hold is taken from: either a payer (`cust:A`, with all of A's promotional credit that
has not ended before it, soonest end first) or one budget. A hold takes its whole amount from its payer and from each of
its budgets, or nothing at all. A payer exists from its first TOPUP on, a budget from its first LIMIT.

# Batches

`commit(epoch, seq, records)` is one transaction: the records take effect in their order, each has one result, and both
are stored under (epoch, seq). The same (epoch, seq) sent again changes nothing and returns the stored results, whatever
has happened in between; it may come after its process has died and was reaped. `epoch` comes from `start()`, once a
process; `seq` counts up within it. A process has one batch on its way at a time and sends it, unchanged, until it has
an answer; what it wants to say meanwhile waits for the next. All of an epoch's leases end together: each LEASE and each
RENEW of an epoch puts off the end of every active lease of it to the store's time + TTL. A lease is closed, and its
account has the rest back, once nothing is left of it (granted == settled), or when it is reaped.

# Records: fields -> result

A process commits these; `Granted`, `Settled` and so on are below.

- LEASE `Lease`: wants, each a group, need, want -> Granted. Takes `need` of every group, in one new lease an account,
  or nothing if any has less than that available. Of a group that is not low it takes more, up to `want` and to its
  share of what is available. It says what each has available afterwards.
- RENEW `Renew` -> a frozenset of the ids of this epoch's active leases. A process forgets those it does not find there.
- RETURN `Return`: lease, amount -> bool. Makes an active lease smaller. False if it was closed already.
- OPEN `Open`: reservation, payer, budgets, hold, legs -> bool. Stores a hold, with its legs in the order in which they
  will be charged. False, and nothing is stored, if the lease of any leg is closed.
- CKPT `Ckpt`: reservation, cost -> bool. Raises the checkpoint, at most to the hold. False if it is not open.
- SETTLE `Settle`: reservation, cost, offers -> Settled, None if there is no such reservation. See below.
- JOB `OpenJob`: reservation, payer, budgets, hold, deadline -> bool. A hold with leases of its own (their owner is the
  reservation, `job:...`, and they have no epoch), taken from what is available. False if any group has too little.

The office, which has an epoch of its own, commits these:

- TOPUP `TopUp`: payment, payer, amount -> bool. Credits a payment. False if it was credited before.
- CHARGEBACK `Chargeback`: payment -> (taken, owed), None if it is unknown or was done before. Takes a payment back as
  far as cust has it available; the rest is debited from `receivable`.
- GRANT `GrantPromo`: account, payer, amount, expires_at -> bool. Promotional credit in an account of its own. False if
  there is that account.
- EXPIRE `ExpirePromo`: account -> int. Takes what is available of a grant that has ended (never what is leased).
- LIMIT `SetLimit`: account, amount -> True. Credits a budget.
- MOVE `MoveBudget`: source, target, amount -> bool. From one budget to another, in one step. False if the source has
  less than that available.
- REFUND `Refund`: refund, reservation, amount -> bool. Gives back to what was charged, cust first (a grant does not
  turn into paid credit), and the same to every budget. False if the reservation is open, if more than is left of its
  charge is asked for, or if this refund was done before. What was reaped is `adjusted` then: its process says no more.

# Settlement

SETTLE of an open reservation charges min(cost, hold) to its legs: within each group leg by leg in their order (so
promotional credit first), the same sum in the payer's and in every budget's. This cannot fail: what was leased becomes
debited. What is above the hold comes first from `offers`, legs on other active leases of the same process (`drawn` says
how much of each was taken), then from what is available, the same sum from every group; the rest, which some group does
not have, is written off (`writeoff:overrun`). A reservation that was reaped gets only the difference to its checkpoint,
from what is available (rest: `writeoff:crash`), or back if the cost turned out lower; it is `adjusted` then. Anything
that is settled or adjusted stays as it is. The SETTLE of a job may come in the batch of any process, closes the job's
leases and returns the rest.

`reap(now, dead)` is one transaction: every epoch of which a lease is past its end by more than GRACE, and every epoch
in `dead` (known to live no more), loses all of its leases at once; its open reservations are charged their checkpoint.
A job's leases are closed so only after the job's deadline.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol

import msgspec

NEVER = 2**62
TTL = 30  # ticks that a lease lives without a renewal, by the store's time
GRACE = 6  # ticks after that before it is reaped
LOW = 120  # what is available below this is leased for one request only (a direct hold)
SHARE = 4  # a slice is at most this part of what is available, unless one request needs more
MARGIN = 4  # ticks by which a process stops using it earlier, by its own clock


class Mutant(Enum):
    """A deliberate error. Each is one line of the model, at the place that names it, and must be caught."""

    NO_FENCING = "what is closed may be used"
    NO_BATCH_ID = "a batch that is sent again takes effect again"
    NO_OUTPUT_COMMIT = "output leaves before its hold is durable"
    UNGUARDED_BALANCE = "more is leased or taken than there is"
    REFUND_ON_REAP = "a reaped reservation is charged nothing"
    LEGS_APART = "a hold goes ahead without the budgets it cannot have"
    OPEN_IN_PARTS = "a hold is stored with the legs that still live"
    BUDGET_NOT_CHARGED = "usage is not debited from budgets"
    EXPIRY_TAKES_LEASED = "the end of a grant takes what is leased out"
    JOB_DIES_WITH_PROCESS = "a job's lease belongs to the process that began it"
    OVERRUN_PAST_BALANCE = "what is above the hold is charged whatever is left"
    REAPED_ONE_BY_ONE = "a dead process loses one lease at a time"
    WHOLE_LATE_SETTLE = "a late settlement posts its cost on top of the checkpoint"


class Violation(AssertionError):
    """An invariant that does not hold."""


class Leg(msgspec.Struct, frozen=True):
    """A part of a hold: so much of that lease, for that group."""

    lease: int
    group: str
    amount: int


class Want(msgspec.Struct, frozen=True):
    """Of a group: at least `need`, at best `want`."""

    group: str
    need: int
    want: int


class Lease(msgspec.Struct, frozen=True):
    """All that a hold lacks, or nothing."""

    wants: tuple[Want, ...]


class Renew(msgspec.Struct, frozen=True):
    """This process is alive."""


class Return(msgspec.Struct, frozen=True):
    """Some of a lease, back."""

    lease: int
    amount: int


class Open(msgspec.Struct, frozen=True):
    """A hold; its legs make up `hold` in the payer's group and in each budget."""

    reservation: str
    payer: str
    budgets: tuple[str, ...]
    hold: int
    legs: tuple[Leg, ...]


class Ckpt(msgspec.Struct, frozen=True):
    """What the client has received so far costs that much."""

    reservation: str
    cost: int


class Settle(msgspec.Struct, frozen=True):
    """The final cost. `offers` are legs on other leases of this process, for what is above the hold."""

    reservation: str
    cost: int
    offers: tuple[Leg, ...] = ()


class OpenJob(msgspec.Struct, frozen=True):
    """The hold of a job, which outlives its process."""

    reservation: str
    payer: str
    budgets: tuple[str, ...]
    hold: int
    deadline: int


class TopUp(msgspec.Struct, frozen=True):
    """A payment that succeeded."""

    payment: str
    payer: str
    amount: int


class Chargeback(msgspec.Struct, frozen=True):
    """A payment that was disputed, or paid back."""

    payment: str


class GrantPromo(msgspec.Struct, frozen=True):
    """Promotional credit."""

    account: str
    payer: str
    amount: int
    expires_at: int


class ExpirePromo(msgspec.Struct, frozen=True):
    """A grant is at its end."""

    account: str


class SetLimit(msgspec.Struct, frozen=True):
    """So much more for a budget."""

    account: str
    amount: int


class MoveBudget(msgspec.Struct, frozen=True):
    """So much from one budget to another."""

    source: str
    target: str
    amount: int


class Refund(msgspec.Struct, frozen=True):
    """Usage that is given back."""

    refund: str
    reservation: str
    amount: int


class Grant(msgspec.Struct, frozen=True):
    """One lease of a LEASE's result. `rank` orders the accounts of a group: what is smaller is spent first."""

    lease: int
    group: str
    account: str
    rank: int
    amount: int


class Granted(msgspec.Struct, frozen=True):
    """The leases that were made, none if refused, and what each group has available after that."""

    leases: tuple[Grant, ...]
    available: tuple[int, ...]


class Settled(msgspec.Struct, frozen=True):
    """What the payer was charged, and what was used of the offers."""

    charged: int
    drawn: tuple[Leg, ...] = ()


class AccountRow(msgspec.Struct):
    """An account that carries its sums. kind: cust, promo, budget or receivable."""

    id: str
    kind: str
    group: str
    expires_at: int | None = None
    c: int = 0
    d: int = 0
    l: int = 0  # noqa: E741  the field's own name

    @property
    def available(self) -> int:
        return self.c - self.d - self.l


class LeaseRow(msgspec.Struct):
    """Money that a process (or a job, whose lease has no epoch) may spend without asking."""

    id: int
    account: str
    epoch: int | None
    owner: str
    granted: int
    expires_at: int
    settled: int = 0
    active: bool = True

    @property
    def left(self) -> int:
        return self.granted - self.settled


class ReservationRow(msgspec.Struct):
    """A hold. state: open, settled, reaped, adjusted; cost: its usage row's; charged: what its payer paid of that."""

    id: str
    payer: str
    budgets: tuple[str, ...]
    hold: int
    legs: tuple[Leg, ...]
    deadline: int | None = None
    ckpt: int = 0
    state: str = "open"
    cost: int = 0
    charged: int = 0


class Transfer(msgspec.Struct, frozen=True):
    """One debit and one credit. kind: usage, writeoff, correction, refund, topup, chargeback, grant, expiry, limit,
    move; ref: the reservation, payment, grant or budget it is for."""

    debit: str
    credit: str
    amount: int
    kind: str
    ref: str


class Store(Protocol):
    """The durable side. What it gives to read is what is committed; readers change nothing."""

    def start(self) -> int:
        """A new epoch."""
        ...

    def commit(self, epoch: int, seq: int, records: Sequence[msgspec.Struct]) -> Sequence[object]: ...

    def reap(self, now: int, dead: frozenset[int] = frozenset()) -> None: ...

    def accounts(self) -> Mapping[str, AccountRow]: ...

    def leases(self) -> Iterable[LeaseRow]: ...

    def reservations(self) -> Mapping[str, ReservationRow]: ...

    def transfers(self, since: int = 0) -> Sequence[Transfer]:
        """In the order of their posting, without the first `since`."""
        ...


MakeStore = Callable[[Callable[[], int]], Store]  # from the store's clock


def shares(legs: Sequence[Leg], cost: int) -> list[int]:
    """What each leg bears of a cost: within its group the earlier first, up to its amount; every group the whole."""
    due: dict[str, int] = {}
    found = []
    for leg in legs:
        share = min(leg.amount, due.get(leg.group, cost))
        due[leg.group] = due.get(leg.group, cost) - share
        found.append(share)
    return found
