"""The living side of the ledger's model: processes with slices and holds, and whoever else commits.

Nothing here trusts a clock: a process stops using its slices when its own clock says so, but what keeps it from doing
harm with a slice it has lost is that the store refuses.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable

import msgspec

from .model import (
    MARGIN,
    TTL,
    Ckpt,
    Granted,
    Lease,
    LeaseRow,
    Leg,
    Mutant,
    Open,
    OpenJob,
    Renew,
    Return,
    Settle,
    Settled,
    Store,
    Violation,
    Want,
    shares,
)
from .model_sender import Sender

ASKS_MAX = 3  # for the slices of one request, before it is refused; the others are asked for theirs from the second on
WANT_MAX = 80
RENEW_AFTER = 18  # ticks of the own clock, at the latest; by chance earlier, or a clock that stands still never would


class Request(msgspec.Struct, eq=False):
    """What really happens to a request, whatever the ledger knows. state: waiting, refused, live, done, aborted (its
    hold was refused, the client got an error), crashed, lost (its process died while it waited)."""

    id: str
    payer: str
    budgets: tuple[str, ...]
    hold: int
    state: str = "waiting"
    asks: int = 0
    produced: int = 0  # by the upstream, as counted here
    delivered: int = 0  # to the client
    beyond: int = 0  # what its upstream may produce above the hold
    used: int | None = None  # as it turned out at its end
    saved: int = 0  # the last checkpoint that was confirmed

    @property
    def groups(self) -> tuple[str, ...]:
        return (self.payer, *self.budgets)


class Job(Request, eq=False):
    """A request that outlives its process. state: waiting, refused, lost (nobody knows of it), running, done."""

    deadline: int = 0


class Slice(msgspec.Struct):
    """An own lease, as this process knows it."""

    lease: int
    group: str
    account: str
    rank: int
    free: int
    until: int  # by this process's clock
    returning: bool = False  # leased for one request: what it leaves free goes back
    retired: bool = False  # its account has ended: no new holds


class Held(msgspec.Struct, eq=False):
    """A hold in this process: its legs, and once it is finished what they bear."""

    request: Request
    legs: tuple[Leg, ...]
    durable: bool = False
    sent: int = 0  # the last checkpoint that was put into a batch
    settling: list[int] | None = None
    offers: tuple[Leg, ...] = ()


class Process(Sender):
    """A gateway's worker. `recall` asks the others to give back what they do not use of some groups."""

    def __init__(
        self,
        store: Store,
        dice: random.Random,
        recall: "Recall",
        mutant: Mutant | None = None,
    ) -> None:
        super().__init__(store, dice.randrange(1000))
        self._dice = dice
        self._recall = recall
        self._mutant = mutant
        self.paused = 0
        self.mail: list[tuple[tuple[str, ...], bool]] = []  # recalls that came while it was paused
        self.slices: dict[int, Slice] = {}
        self.held: dict[str, Held] = {}
        self.waiting: list[Request] = []
        self.jobs: dict[str, Job] = {}
        self._renewed = self.clock
        self._asked: dict[str, Request] = {}  # groups for which a LEASE is queued or on its way, and for whom

    # Admission

    def admit(self, request: Request) -> None:
        """Take its hold, or wait for slices."""
        if not self._reserve(request):
            self.waiting.append(request)
            self._ask(request)

    def _reserve(self, request: Request) -> bool:
        legs: list[Leg] = []
        for group in request.groups:
            part = self._take(group, request.hold)
            if part is None and self._mutant is Mutant.LEGS_APART and group in request.budgets:
                continue
            if part is None:
                return False
            legs += part
        for leg in legs:
            self.slices[leg.lease].free -= leg.amount
        request.state = "live"
        held = self.held[request.id] = Held(request, tuple(legs))
        held.durable = self._mutant is Mutant.NO_OUTPUT_COMMIT
        self.queue.append(Open(request.id, request.payer, request.budgets, request.hold, held.legs))
        return True

    def _usable(self, group: str) -> list[Slice]:
        found = [
            one
            for one in self.slices.values()
            if one.group == group and one.free > 0 and not one.retired and self.clock < one.until
        ]
        return sorted(found, key=lambda one: (one.rank, one.lease))

    def _take(self, group: str, amount: int) -> list[Leg] | None:
        """Legs of so much in all, from what is to be spent first; nothing is taken yet."""
        legs = []
        for one in self._usable(group):
            part = min(one.free, amount)
            legs.append(Leg(one.lease, group, part))
            amount -= part
            if not amount:
                return legs
        return None

    def _ask(self, request: Request) -> None:
        """One LEASE a group at a time; who finds it asked for by another waits for that, which is no ask of its own.
        First for what is missing beside the own slices; then, since a recall may take these while the LEASE is on its
        way, they go back in front of a LEASE for the whole hold: otherwise two that have little take turns in vain."""
        lacking = {group: request.hold - sum(one.free for one in self._usable(group)) for group in request.groups}
        asking = {group: need for group, need in lacking.items() if need > 0 and group not in self._asked}
        if asking:
            request.asks += 1
            if request.asks > 1:
                asking = {group: request.hold for group in request.groups if group not in self._asked}
                self.give_back(tuple(asking))
            wants = [Want(group, need, need + self._dice.randrange(WANT_MAX)) for group, need in asking.items()]
            self.queue.append(Lease(tuple(wants)))
            self._asked.update(dict.fromkeys(asking, request))

    def settle_down(self) -> None:
        """Serve those who wait; who still has too little asks again, now with the others' help, or is refused."""
        waiting, self.waiting = self.waiting, []
        for request in waiting:
            if self._reserve(request):
                continue
            if not self._asked.keys().isdisjoint(request.groups):
                self.waiting.append(request)
            elif request.asks < ASKS_MAX:
                self._recall(self, request.groups)
                self._ask(request)
                self.waiting.append(request)
            else:
                request.state = "refused"

    # Work

    def produce(self, held: Held, amount: int) -> None:
        """The upstream sends so much; the client sees it once the hold is durable."""
        held.request.produced += amount
        if held.durable:
            held.request.delivered = held.request.produced

    def finish(self, held: Held, used: int) -> None:
        """The usage is known: what is left of the hold is free again, what is above it is offered from own slices."""
        held.request.used = used
        held.settling = shares(held.legs, used)
        for leg, share in zip(held.legs, held.settling, strict=True):
            self._free(leg.lease, leg.amount - share)
        above = used - held.request.hold
        if above > 0:
            held.offers = tuple(leg for group in held.request.groups for leg in self._offer(group, above))
        self.queue.append(Settle(held.request.id, used, held.offers))

    def _offer(self, group: str, above: int) -> Iterable[Leg]:
        for one in self._usable(group):
            part = min(one.free, above)
            if part:
                above -= part
                one.free -= part
                yield Leg(one.lease, group, part)

    def _free(self, lease: int, amount: int) -> None:
        if lease in self.slices:
            self.slices[lease].free += amount

    def give_back(self, names: tuple[str, ...] | None = None, retire: bool = False) -> None:
        """Return what is free of some accounts or groups, or of all. What retires serves no new hold, and what becomes
        free of it later is returned as well."""
        for one in self.slices.values():
            if names is None or one.group in names or one.account in names:
                one.retired |= retire
                self._return(one)

    def _return(self, one: Slice) -> None:
        if one.free:
            self.queue.append(Return(one.lease, one.free))
            one.free = 0

    def begin(self, job: Job) -> None:
        """Ask for a job's hold; it runs once that is durable."""
        self.jobs[job.id] = job
        self._ask_job(job)

    def _ask_job(self, job: Job) -> None:
        job.asks += 1
        self.queue.append(OpenJob(job.id, job.payer, job.budgets, job.hold, job.deadline))

    def end(self, job: Job) -> None:
        """Settle a job that whichever process began."""
        self.jobs[job.id] = job
        self.queue.append(Settle(job.id, job.used or 0))

    def crash(self) -> None:
        """kill -9: what was in memory is gone."""
        for held in self.held.values():
            if held.request.state == "live":
                held.request.state = "crashed"
        for request in (*self.waiting, *self.jobs.values()):
            if request.state == "waiting":
                request.state = "lost"

    # Batches

    def prepare(self) -> None:
        for one in self.slices.values():
            if one.returning or one.retired:
                self._return(one)
        for held in self.held.values():
            request = held.request
            if held.durable and held.settling is None and request.delivered > held.sent:
                held.sent = request.delivered
                self.queue.append(Ckpt(request.id, held.sent))
        if self.slices and (self.clock - self._renewed >= RENEW_AFTER or self._dice.random() < 0.08):
            self._renewed = self.clock
            self.queue.append(Renew())

    def learn(self, record: msgspec.Struct, result: object, built_at: int) -> None:
        match record, result:
            case Lease(), Granted():
                self._learn_lease(record, result, built_at)
            case Renew(), frozenset():
                self.slices = {lease: one for lease, one in self.slices.items() if lease in result}
                for one in self.slices.values():
                    one.until = built_at + TTL - MARGIN
            case Open(), _:
                self._learn_open(self.held[record.reservation], bool(result))
            case Ckpt(), True:
                request = self.held[record.reservation].request
                request.saved = min(record.cost, request.hold)
            case Settle(), _ if record.reservation in self.held:
                self._learn_settle(self.held.pop(record.reservation), result)
            case Settle(), _:
                self.jobs.pop(record.reservation).state = "done"
            case OpenJob(), _:
                self._learn_job(self.jobs[record.reservation], bool(result))

    def _learn_lease(self, record: Lease, result: Granted, built_at: int) -> None:
        needs = {want.group: want.need for want in record.wants}
        granted = Counter[str]()
        for grant in result.leases:
            granted[grant.group] += grant.amount
        for want, available in zip(record.wants, result.available, strict=True):
            asker = self._asked.pop(want.group)
            if not result.leases and available < want.need:
                self._share_refusal(want, asker)
        for grant in result.leases:
            until = built_at + TTL - MARGIN
            one = Slice(grant.lease, grant.group, grant.account, grant.rank, grant.amount, until)
            one.returning = granted[grant.group] == needs[grant.group]
            self.slices[grant.lease] = one

    def _share_refusal(self, want: Want, asker: Request) -> None:
        """Who waits for as much or more of the same need not ask in vain, one after the other."""
        for other in self.waiting:
            if other is not asker and want.group in other.groups and other.hold >= want.need:
                other.asks = max(other.asks, min(other.asks + 1, asker.asks))

    def _learn_open(self, held: Held, done: bool) -> None:
        if done:
            held.durable = True
            held.request.delivered = held.request.produced
            return
        held.request.state = "aborted"
        if held.settling is None:
            del self.held[held.request.id]
            for leg in held.legs:
                self._free(leg.lease, leg.amount)

    def _learn_settle(self, held: Held, result: object) -> None:
        unused = {leg.lease: leg.amount for leg in held.offers}
        if isinstance(result, Settled):
            held.request.state = "done"
            held.request.delivered = held.request.produced
            for leg in result.drawn:
                unused[leg.lease] -= leg.amount
        else:  # its hold was refused, so that its legs are whole again
            for leg, share in zip(held.legs, held.settling or (), strict=True):
                self._free(leg.lease, share)
        for lease, amount in unused.items():
            self._free(lease, amount)

    def _learn_job(self, job: Job, done: bool) -> None:
        if done:
            job.state = "running"
        elif job.asks < ASKS_MAX:
            self._recall(self, job.groups)
            self.give_back(job.groups)
            self._ask_job(job)
            return
        else:
            job.state = "refused"
        del self.jobs[job.id]

    def _mine(self) -> dict[int, int]:
        """What this process has of each lease: free, held, or not yet settled or returned."""
        mine = {lease: one.free for lease, one in self.slices.items()}
        parts = [(record.lease, record.amount) for record in self.queue if isinstance(record, Return)]
        for held in self.held.values():
            amounts = held.settling or [leg.amount for leg in held.legs]
            parts += [(leg.lease, amount) for leg, amount in zip(held.legs, amounts, strict=True)]
            parts += [(leg.lease, leg.amount) for leg in held.offers]
        for lease, amount in parts:
            mine[lease] = mine.get(lease, 0) + amount
        return mine

    def check(self, leases: Iterable[LeaseRow]) -> None:
        """I6: this process and the store agree on what is left of each lease, whenever no batch is on its way."""
        if self.sent is not None:
            return
        mine = self._mine()
        for lease in leases:
            if lease.active and lease.epoch == self.epoch and mine.get(lease.id) != lease.left:
                raise Violation(f"I6: lease {lease.id} has {lease.left} left, epoch {self.epoch} {mine.get(lease.id)}")


Recall = Callable[[Process, tuple[str, ...]], None]
