"""Holds, and what slices.py keeps of each lease of this process and of each group."""

from collections.abc import Callable, Iterable

from .records import Leg

RATE_WINDOW_S = 1.0


class Hold:
    """The highest possible cost of one request, taken before its provider hears of it.

    `heard` is called, once each, when what it waits for has happened: first that it is granted or refused, then that
    it is on the disk (`is_open`), then that its settlement is. One that `may_wait` does so for its settlement: where
    that comes soon, both are written at once. `charged` is what the payer paid, nano-USD.
    """

    __slots__ = (
        "amount",
        "asks",
        "budgets",
        "charged",
        "cost",
        "heard",
        "is_lost",
        "is_open",
        "is_settled",
        "is_waived",
        "legs",
        "may_wait",
        "offers",
        "payer",
        "reservation",
        "saved",
        "settling",
    )

    def __init__(
        self, reservation: bytes, payer: int, budgets: tuple[int, ...], amount: int, *, may_wait: bool = False
    ) -> None:
        self.reservation = reservation
        self.payer = payer
        self.budgets = budgets
        self.amount = amount
        self.may_wait = may_wait
        self.legs: tuple[Leg, ...] = ()
        self.asks = 0
        self.is_open = False
        self.is_lost = False  # refused at its Open: its slices were lost, nothing may leave
        self.is_settled = False
        self.is_waived = False  # its answer may end, although its settlement is not on the disk yet
        self.saved = 0  # the cost of the last checkpoint
        self.cost: int | None = None  # once it is settled
        self.settling: list[int] = []
        self.offers: tuple[Leg, ...] = ()
        self.charged = 0
        self.heard: Callable[[], None] | None = None

    @property
    def groups(self) -> tuple[int, ...]:
        """The payer and each budget."""
        return (self.payer, *self.budgets)


class Slice:
    """One lease of this process. `until` is on this process's clock, `ends_at` (of its account) in unix seconds.

    `holds` counts the legs on it, offers too, whose settlement is not known yet. Nothing ever comes back to a slice
    that has nothing free and no holds; the ledger closes its lease.
    """

    __slots__ = ("account", "ends_at", "free", "group", "holds", "is_direct", "is_retired", "lease", "until")

    def __init__(self, lease: int, group: int, account: int, ends_at: float, free: int, until: float) -> None:
        self.lease = lease
        self.group = group
        self.account = account
        self.ends_at = ends_at
        self.free = free
        self.until = until
        self.holds = 0
        self.is_direct = False  # leased for one request: what it leaves free goes back
        self.is_retired = False  # recalled for good: no new holds

    def take(self, amount: int) -> Leg:
        """So much of what is free, for a hold."""
        self.free -= amount
        self.holds += 1
        return Leg(self.lease, self.group, amount)


class Group:
    """The slices of one group, in the order in which they are spent, and how fast that goes."""

    __slots__ = ("asker", "available", "is_recalled", "rate", "since", "slices", "taken", "used_at")

    def __init__(self, now: float) -> None:
        self.slices: list[Slice] = []
        self.available = 0  # beside all slices, as of the last Lease
        self.asker: Hold | None = None  # for whom a Lease is queued or on its way
        self.is_recalled = False  # the other processes were asked for what they do not use
        self.since = now
        self.taken = 0  # by holds since then
        self.rate = 0.0  # nano-USD a second, of holds
        self.used_at = now

    def spent(self, amount: int, now: float) -> None:
        """A hold took so much."""
        self.used_at = now
        self.taken += amount
        passed = now - self.since
        if passed >= RATE_WINDOW_S:
            self.rate = self.taken / passed
            self.since = now
            self.taken = 0

    def spending(self, seconds: float) -> int:
        """What may be spent in so many seconds, as it went of late."""
        return int(max(self.rate, self.taken / RATE_WINDOW_S) * seconds)


def outstanding(slices: Iterable[Slice], holds: Iterable[Hold], returned: Iterable[tuple[int, int]]) -> dict[int, int]:
    """What of each lease is free, held or not yet settled; `returned` are (lease, amount) not yet told."""
    mine = {one.lease: one.free for one in slices}
    parts = list(returned)
    for hold in holds:
        amounts = [leg.amount for leg in hold.legs] if hold.cost is None else hold.settling
        parts += [(leg.lease, amount) for leg, amount in zip(hold.legs, amounts, strict=True)]
        parts += [(leg.lease, leg.amount) for leg in hold.offers]
    for lease, amount in parts:
        mine[lease] = mine.get(lease, 0) + amount
    return mine
