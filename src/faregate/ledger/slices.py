"""What this process may spend without asking, and the holds it has taken from it (money.md section 6, R1 to R7).

Theory of operation. A slice is a lease of this process: money that was subtracted from its account before. `reserve`
takes a hold from slices in memory, whole or not at all, and puts its Open into the queue; nothing is awaited between
taking and recording. Who finds too little waits (`claim`): a Lease is asked for, first beside what is here; from the
second time on, what is here goes back in front of a Lease for the whole hold, and the other processes are asked for
theirs, since of two that each have a part neither could go on. After the third ask the answer is no. An ask that
follows a recall waits until the others have returned what they could, or had their time (`ask_again`).

Records wait in `queue`; whoever commits them takes them, and tells the results by `learn` and, when all of
a batch are known, `settle_down`. Nothing here trusts a clock: a slice is left alone once its time is over, but what
keeps a lost slice from doing harm is that the ledger refuses it.

What is held for is a *group* (records.py): a payer and each budget.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from ..core.call import UsageRecord
from .commit import NEVER, TTL_S
from .holds import Group, Hold, Slice, outstanding
from .records import (
    Checkpoint,
    Done,
    Granted,
    Lease,
    Leg,
    Open,
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

MARGIN_S = 4.0
RENEW_INTERVAL_S = 10.0
IDLE_S = 10.0  # after which a group's slices go back
ASKS_MAX = 3
AHEAD_S = 2.0  # of recent spending, in a slice


class Slices:
    """All slices and holds of one process. `clock` is monotonic, `unix_clock` not; `recall` asks the other processes to
    give back what they do not use of some groups: where it gives True, `ask_again` is called with the same groups once
    they have; `filled` is called when the queue is no longer empty: with True where what is in it may wait, with False
    as soon as something does not."""

    def __init__(
        self,
        clock: Callable[[], float],
        unix_clock: Callable[[], float],
        recall: Callable[[Sequence[int]], bool | None],
        filled: Callable[[bool], None],
        *,
        ttl_s: float = TTL_S,
        margin_s: float = MARGIN_S,
        renew_interval_s: float = RENEW_INTERVAL_S,
        idle_s: float = IDLE_S,
        ahead_s: float = AHEAD_S,
    ) -> None:
        self._clock = clock
        self._unix_clock = unix_clock
        self._recall = recall
        self._filled = filled
        self._usable_s = ttl_s - margin_s
        self._renew_interval_s = renew_interval_s
        self._idle_s = idle_s
        self._ahead_s = ahead_s
        self._slices: dict[int, Slice] = {}
        self._groups: dict[int, Group] = {}
        self._waiting: list[Hold] = []
        self._heard: list[Callable[[], None]] = []
        self._renewed_at = clock()
        self.holds: dict[bytes, Hold] = {}
        self.queue: list[Record] = []
        self.is_due = False  # something in it does not wait

    def put(self, record: Record, *, may_wait: bool = False) -> None:
        """Have a record committed with the next batch; one that may wait is no reason to send one at once."""
        queue = self.queue
        queue.append(record)
        if may_wait:
            if len(queue) == 1:
                self._filled(True)
        elif not self.is_due:
            self.is_due = True
            self._filled(False)

    def take_queue(self) -> list[Record]:
        """What is to be committed; the next batch begins."""
        queue, self.queue = self.queue, []
        self.is_due = False
        return queue

    # Holds

    def reserve(self, hold: Hold) -> bool:
        """Take a hold, if there is enough of every group."""
        now = self._clock()
        amount = hold.amount
        if amount <= 0:  # what costs nothing holds nothing
            hold.is_open = True
            return True
        parts = self._parts(hold.payer, amount, now)
        for budget in hold.budgets:
            if parts is not None:
                more = self._parts(budget, amount, now)
                parts = None if more is None else parts + more
        if parts is None:
            return False
        hold.legs = tuple([one.take(part) for one, part in parts])
        for group in hold.groups:
            self._groups[group].spent(amount, now)
        self.holds[hold.reservation] = hold
        self.put(Open(hold.reservation, hold.payer, hold.budgets, amount, hold.legs), may_wait=hold.may_wait)
        return True

    def claim(self, hold: Hold) -> None:
        """Wait for slices, where `reserve` found too little; `hold.heard` is called when it has its legs, or when it
        has none and never will."""
        self._waiting.append(hold)
        self._ask(hold)

    def withdraw(self, hold: Hold) -> None:
        """Nobody waits for this claim any longer."""
        if hold in self._waiting:
            self._waiting.remove(hold)

    def settle(self, hold: Hold, cost: int) -> None:
        """The final cost: what is left of the hold is free again, what is above it is offered from our slices. The
        second time does nothing."""
        if hold.cost is not None:
            return
        hold.cost = cost
        if not hold.legs or hold.is_lost:
            self.withdraw(hold)  # who is settled while he waits must not be served any longer
            hold.is_settled = True
            return
        hold.settling = shares(hold.legs, cost)
        for leg, share in zip(hold.legs, hold.settling, strict=True):
            self._free(leg.lease, leg.amount - share, is_over=False)
        above = cost - hold.amount
        if above > 0:
            hold.offers = tuple(leg for group in hold.groups for leg in self._offer(group, above))
        self.put(Settle(hold.reservation, cost, hold.offers))

    def checkpoint(self, hold: Hold, cost: int, call: UsageRecord | None = None) -> None:
        """What the client has received so far costs that much; `call` is what is known of it."""
        if hold.is_open and hold.cost is None and hold.legs and cost > hold.saved:
            hold.saved = cost
            self.put(Checkpoint(hold.reservation, cost, call))

    def available(self, groups: Sequence[int]) -> int:
        """What could be held for now, as far as is known here: of several groups that of the poorest."""
        return min(self._group(group).available + self.free(group) for group in groups)

    def free(self, group: int) -> int:
        """What of a group is free here."""
        return sum(one.free for one in self._usable(group, self._clock()))

    def _usable(self, group: int, now: float) -> Iterator[Slice]:
        found = self._groups.get(group)
        if found is None:
            return
        for one in found.slices:
            is_usable = one.free > 0 and not one.is_retired and now < one.until
            if is_usable and (one.ends_at >= NEVER or self._unix_clock() < one.ends_at):
                yield one

    def _parts(self, group: int, amount: int, now: float) -> list[tuple[Slice, int]] | None:
        """So much in all, from what is to be spent first; nothing is taken yet. None where there is too little."""
        parts = []
        for one in self._usable(group, now):
            if one.free >= amount:
                parts.append((one, amount))
                return parts
            parts.append((one, one.free))
            amount -= one.free
        return None

    def _offer(self, group: int, above: int) -> Iterable[Leg]:
        for one in self._usable(group, self._clock()):
            part = min(one.free, above)
            if part:
                above -= part
                yield one.take(part)

    def _free(self, lease: int, amount: int, *, is_over: bool) -> None:
        """So much of a leg is free again; where it is over, that was the last of it."""
        found = self._slices.get(lease)
        if found is not None:
            found.free += amount
            found.holds -= is_over
            self._drop_if_empty(found)

    # Slices

    def _group(self, group: int) -> Group:
        found = self._groups.get(group)
        if found is None:
            found = self._groups[group] = Group(self._clock())
        return found

    def _ask(self, hold: Hold) -> None:
        """One Lease a group at a time; who finds it asked for by another waits for that, which is no ask of its own."""
        now = self._clock()
        groups = [group for group in hold.groups if self._group(group).asker is None]
        needs = {group: hold.amount - sum(one.free for one in self._usable(group, now)) for group in groups}
        needs = {group: need for group, need in needs.items() if need > 0}
        if not needs:
            return
        hold.asks += 1
        if hold.asks > 1:
            needs = dict.fromkeys(groups, hold.amount)
            self.give_back(groups)
        wants = []
        for group, need in needs.items():
            asked = self._groups[group]
            asked.asker = hold
            asked.used_at = now  # what comes is not idle
            waiting = sum(other.amount for other in self._waiting if group in other.groups)
            wants.append(Want(group, need, max(need, waiting, asked.spending(self._ahead_s))))
        self.put(Lease(tuple(wants)))

    def give_back(self, names: Collection[int] | None = None, *, retire: bool = False) -> None:
        """Return what is free of some groups or accounts, or of all. What retires serves no new hold, and what becomes
        free of it later is returned as well."""
        for one in list(self._slices.values()):
            if names is None or one.group in names or one.account in names:
                one.is_retired |= retire
                self._return(one)

    def _return(self, one: Slice) -> None:
        if one.free > 0:
            self.put(Return(one.lease, one.free))
            one.free = 0
            self._drop_if_empty(one)

    def _place(self, one: Slice) -> None:
        self._slices[one.lease] = one
        group = self._group(one.group)
        group.slices.append(one)
        group.slices.sort(key=lambda each: (each.ends_at, each.lease))

    def _drop(self, one: Slice) -> None:
        del self._slices[one.lease]
        self._groups[one.group].slices.remove(one)

    def _drop_if_empty(self, one: Slice) -> None:
        if not one.free and not one.holds:
            self._drop(one)

    # Batches

    def tend(self) -> None:
        """What is to be done before a batch, and now and then: renew, return what is idle."""
        now, unix_now = self._clock(), self._unix_clock()
        for one in list(self._slices.values()):
            is_over = one.is_direct or one.is_retired or now >= one.until or unix_now >= one.ends_at
            if is_over or now - self._groups[one.group].used_at > self._idle_s:
                self._return(one)
        if now - self._renewed_at >= self._renew_interval_s:
            self._renewed_at = now
            self._forget_groups(now)
            if self._slices:
                self.put(Renew())

    def _forget_groups(self, now: float) -> None:
        """Of those that nobody spends from any longer, or memory would grow with every customer."""
        for name, group in list(self._groups.items()):
            if not group.slices and group.asker is None and now - group.used_at > self._idle_s:
                del self._groups[name]

    def learn(self, record: Record, result: Result, built_at: float) -> None:
        """Take note of what became of a record; `built_at` is when its batch was put together, by our clock."""
        if isinstance(record, Open) and isinstance(result, Done):
            self._learn_open(self.holds[record.reservation], result.done)
        elif isinstance(record, Settle) and isinstance(result, Settled):
            hold = self.holds.pop(record.reservation, None)
            if hold is not None:
                self._learn_settle(hold, result)
        elif isinstance(record, Lease) and isinstance(result, Granted):
            self._learn_lease(record, result, built_at)
        elif isinstance(result, Renewed):
            self._learn_renewed(result, built_at)

    def _learn_renewed(self, result: Renewed, built_at: float) -> None:
        for one in list(self._slices.values()):
            one.until = built_at + self._usable_s
            if one.lease not in result.leases:
                self._drop(one)

    def _learn_lease(self, record: Lease, result: Granted, built_at: float) -> None:
        granted: dict[int, int] = {}
        for grant in result.leases:
            granted[grant.group] = granted.get(grant.group, 0) + grant.amount
        for want, available in zip(record.wants, result.available, strict=True):
            group = self._groups[want.group]
            asker, group.asker = group.asker, None
            group.available = available
            if not result.leases and available < want.need and asker is not None:
                self._share_refusal(want, asker)
        needs = {want.group: want.need for want in record.wants}
        for grant in result.leases:
            until = built_at + self._usable_s
            one = Slice(grant.lease, grant.group, grant.account, grant.ends_at, grant.amount, until)
            one.is_direct = granted[grant.group] == needs[grant.group]
            self._place(one)

    def _share_refusal(self, want: Want, asker: Hold) -> None:
        """Who waits for as much or more of the same need not ask in vain, one after the other."""
        for other in self._waiting:
            if other is not asker and want.group in other.groups and other.amount >= want.need:
                other.asks = max(other.asks, min(other.asks + 1, asker.asks))

    def _learn_open(self, hold: Hold, done: bool) -> None:
        if done:
            hold.is_open = True
        else:
            hold.is_lost = True
            if hold.cost is None:
                del self.holds[hold.reservation]
                for leg in hold.legs:
                    self._free(leg.lease, leg.amount, is_over=True)
            self._renewed_at = -math.inf  # what else is lost is not known before the next Renew
        self._tell(hold)

    def _learn_settle(self, hold: Hold, result: Settled) -> None:
        if result.known:
            hold.charged = result.charged
        for leg, share in zip(hold.legs, hold.settling, strict=True):
            # Where it is not known, its Open was refused, and its legs are whole again
            self._free(leg.lease, 0 if result.known else share, is_over=True)
        if hold.offers:
            drawn = {leg.lease: leg.amount for leg in result.drawn}
            for leg in hold.offers:
                self._free(leg.lease, leg.amount - drawn.get(leg.lease, 0), is_over=True)
        hold.is_settled = True
        self._tell(hold)

    def _tell(self, hold: Hold) -> None:
        if hold.heard is not None:
            self._heard.append(hold.heard)
            hold.heard = None

    def settle_down(self) -> None:
        """All results of a batch are known: serve those who wait, who else ask again or hear no; then tell all whose
        news has come. They may take and settle other holds from there."""
        self._go_on(is_recalled=False)

    def ask_again(self, groups: Sequence[int]) -> None:
        """The other processes have given back what they do not use of these, or had their time for it."""
        for name in groups:
            self._group(name).is_recalled = False
        self._go_on(is_recalled=True)

    def _go_on(self, *, is_recalled: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for hold in waiting:
            if self.reserve(hold):
                self._tell(hold)
            elif any(group.asker is not None or group.is_recalled for group in map(self._group, hold.groups)):
                self._waiting.append(hold)
            elif hold.asks < ASKS_MAX:
                self._waiting.append(hold)
                if is_recalled or not self._recall_for(hold):
                    self._ask(hold)
            else:
                self._tell(hold)  # without legs: refused
        heard, self._heard = self._heard, []
        for call in heard:
            call()

    def _recall_for(self, hold: Hold) -> bool:
        """Recall what a hold lacks; whether anybody was asked. Only groups that are too poor are recalled: who is over
        a budget should not have everybody else return the payer's slices. Where the ledger had enough a moment ago
        nobody is asked, but before the last ask no chances are taken."""
        lacking = [name for name in hold.groups if self._group(name).available + self.free(name) < hold.amount]
        if not lacking and hold.asks < ASKS_MAX - 1:
            return False
        recalled = lacking or hold.groups
        if not self._recall(recalled):
            return False
        for name in recalled:
            self._group(name).is_recalled = True
        return True

    def outstanding(self) -> dict[int, int]:
        """What this process has of each lease: free, held, or not yet settled or returned (invariant I6)."""
        returned = [(record.lease, record.amount) for record in self.queue if isinstance(record, Return)]
        return outstanding(self._slices.values(), self.holds.values(), returned)
