"""What a process commits to the ledger, and what it hears back (money.md section 6).

A *group* is what one part of a hold is taken from, named by an account's id: a payer, which is an organisation's bought
credit with all of its promotional credit that has not ended before it, soonest end first; or one budget. A hold takes
its whole amount from its payer and from each of its budgets, or nothing at all.

`commit(epoch, seq, records)` is one transaction: the records take effect in their order, each has one result. The same
(epoch, seq) sent again changes nothing and returns the stored results. Amounts are nano-USD, reservations 16 bytes.
"""

import msgspec

from ..core.call import UsageRecord


class Leg(msgspec.Struct, frozen=True, array_like=True):
    """A part of a hold: so much of that lease, for that group."""

    lease: int
    group: int
    amount: int


class Want(msgspec.Struct, frozen=True, array_like=True):
    """Of a group: at least `need`, at best `want`."""

    group: int
    need: int
    want: int


class Lease(msgspec.Struct, frozen=True):
    """All that a hold lacks, or nothing: were one group granted and another not, two processes that each have a part
    could refuse what both together hold. In one lease an account. -> Granted"""

    wants: tuple[Want, ...]


class Renew(msgspec.Struct, frozen=True):
    """This process lives: all its leases end later. -> Renewed"""


class Return(msgspec.Struct, frozen=True):
    """Some of a lease, back. -> Done, False where the lease was closed already"""

    lease: int
    amount: int


class Open(msgspec.Struct, frozen=True):
    """A hold; its legs make up `hold` in the payer's group and in each budget, in the order in which they will be
    charged. -> Done, False where a leg's lease is closed: then nothing is stored, and not a byte may leave (O1)"""

    reservation: bytes
    payer: int
    budgets: tuple[int, ...]
    hold: int
    legs: tuple[Leg, ...]


class Checkpoint(msgspec.Struct, frozen=True):
    """What the client has received so far costs that much; `call` is what is known of it. -> Done, False where it is
    not open"""

    reservation: bytes
    cost: int
    call: UsageRecord | None = None


class Settle(msgspec.Struct, frozen=True):
    """The final cost; `offers` are legs on other leases of this process, for what is above the hold. -> Settled, its
    `known` False where there is no such reservation"""

    reservation: bytes
    cost: int
    offers: tuple[Leg, ...] = ()


class OpenJob(msgspec.Struct, frozen=True):
    """The hold of a job, which outlives its process: leases of its own, until `deadline` (unix seconds). -> Done, False
    where a group has too little"""

    reservation: bytes
    payer: int
    budgets: tuple[int, ...]
    hold: int
    deadline: float


Record = Lease | Renew | Return | Open | Checkpoint | Settle | OpenJob


class Grant(msgspec.Struct, frozen=True, array_like=True):
    """One lease that was made. Of a group, what ends sooner (`ends_at`, unix seconds) is spent first."""

    lease: int
    group: int
    account: int
    ends_at: float
    amount: int


class Granted(msgspec.Struct, frozen=True, tag="granted"):
    """The leases made, none where a group has too little, and what each group has available after that."""

    leases: tuple[Grant, ...]
    available: tuple[int, ...]


class Renewed(msgspec.Struct, frozen=True, tag="renewed"):
    """This epoch's leases that live. What is not among them is lost."""

    leases: frozenset[int]


class Done(msgspec.Struct, frozen=True, tag="done"):
    """Whether it was done."""

    done: bool


class Settled(msgspec.Struct, frozen=True, tag="settled"):
    """What the payer was charged, and what was used of the offers."""

    known: bool
    charged: int = 0
    drawn: tuple[Leg, ...] = ()


Result = Granted | Renewed | Done | Settled


def shares(legs: tuple[Leg, ...], cost: int) -> list[int]:
    """What each leg bears of a cost: within its group the earlier first, up to its amount; every group the whole."""
    if len(legs) == 1:
        return [min(legs[0].amount, cost)]
    due: dict[int, int] = {}
    found = []
    for leg in legs:
        left = due.get(leg.group, cost)
        share = min(leg.amount, left)
        due[leg.group] = left - share
        found.append(share)
    return found
