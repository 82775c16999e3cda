"""The protocol of the ledger in small: the cases that a random run meets rarely, or only by the way, one by one."""

import random

import pytest

from .model import (
    GRACE,
    TTL,
    Chargeback,
    ExpirePromo,
    Granted,
    GrantPromo,
    Lease,
    Leg,
    MoveBudget,
    Open,
    OpenJob,
    Refund,
    SetLimit,
    Settle,
    Settled,
    TopUp,
    Want,
)
from .model_checks import Auditor
from .model_gateway import Process, Request
from .model_sender import Fate
from .model_store import ModelStore

PAYER = "cust:A"


class World:
    """A store, an office and some processes that all live; nothing fails unless a test says so."""

    def __init__(self, credit: int, processes: int = 1) -> None:
        self.now = 0
        self.store = ModelStore(lambda: self.now)
        self.office = self.store.start()
        self._seq = 0
        self._auditor = Auditor(self.store)
        self.say(TopUp("payment", PAYER, credit))
        self.processes = [Process(self.store, random.Random(n), self._recall) for n in range(processes)]
        self._named = 0

    def say(self, record: object) -> object:
        """One record in a batch of its own."""
        self._seq += 1
        (result,) = self.store.commit(self.office, self._seq, [record])  # type: ignore[list-item]
        self.audit()
        return result

    def reap(self, dead: frozenset[int] = frozenset()) -> None:
        self.store.reap(self.now, dead)
        self.audit()

    def audit(self) -> None:
        self._auditor.check(self.now)

    def _recall(self, asking: Process | None, names: tuple[str, ...]) -> None:
        for process in self.processes:
            if process is not asking:
                process.give_back(names)

    def request(self, hold: int, process: int = 0, budgets: tuple[str, ...] = ()) -> Request:
        self._named += 1
        request = Request(f"request:{self._named}", PAYER, budgets, hold)
        self.processes[process].admit(request)
        return request

    def rounds(self, cost: int | None = None, count: int = 200) -> None:
        """Everybody commits in turn; what is durable ends, with that cost or that of its hold."""
        for _ in range(count):
            for process in self.processes:
                for held in list(process.held.values()):
                    if held.durable and held.settling is None and cost != 0:
                        process.produce(held, cost or held.request.hold)
                    if held.durable and held.settling is None:
                        process.finish(held, held.request.produced)
                process.send(Fate.DONE)
                process.check(self.store.leases())
            self.audit()

    def available(self, account: str = PAYER) -> int:
        return self.store.accounts()[account].available


@pytest.mark.parametrize("processes", [1, 8])
def test_f34_f35_as_many_pass_as_the_balance_covers(processes: int) -> None:
    world = World(1000, processes)
    requests = [world.request(90, n % processes) for n in range(100)]
    world.rounds()
    assert [request.state for request in requests].count("done") == 11
    assert {request.state for request in requests} == {"done", "refused"}
    assert world.store.accounts()[PAYER].d == 990


def test_f36_a_hold_of_the_whole_balance_passes_and_of_one_more_does_not() -> None:
    world = World(90)
    too_much = world.request(91)
    world.rounds(count=10)
    exact = world.request(90)
    world.rounds(count=10)
    assert (too_much.state, exact.state) == ("refused", "done")
    assert world.available() == 0


def test_f37_what_a_dead_process_had_comes_back() -> None:
    world = World(1000)
    world.request(90)
    world.rounds()
    assert world.available() < 910
    world.now += TTL + GRACE
    world.reap()
    assert world.available() < 910
    world.now += 1
    world.reap()
    assert world.available() == 910


def test_f38_slices_that_are_spread_are_not_a_refusal() -> None:
    world = World(700, 8)
    for process in range(8):
        world.request(20, process)
    world.rounds(cost=0)
    assert world.available() < 690
    whole = world.request(690)
    world.rounds(cost=0)
    assert whole.state == "done"


@pytest.mark.parametrize("budgets", [(), ("budget:key:k1:0",)])
@pytest.mark.parametrize("seed", range(15))
def test_as_many_pass_as_balance_and_budget_cover(seed: int, budgets: tuple[str, ...]) -> None:
    dice = random.Random(seed)
    processes, hold = dice.choice((1, 2, 3, 4, 8)), dice.randrange(1, 100)
    covered = [dice.randrange(1, 10) for _ in range(1 + len(budgets))]
    world = World(covered[0] * hold + dice.randrange(hold), processes)
    for budget in budgets:
        world.say(SetLimit(budget, covered[1] * hold + dice.randrange(hold)))
    count = min(covered) + dice.randrange(10)
    requests = [world.request(hold, dice.randrange(processes), budgets) for _ in range(count)]
    world.rounds(count=60)
    assert [request.state for request in requests].count("done") == min(covered)


@pytest.mark.parametrize("seed", range(40))
def test_nobody_is_refused_what_is_there_in_the_end(seed: int) -> None:
    """Holds of all sizes, some on budgets of their own, some arriving late. Every hold is charged whole, so whatever is
    left in the end was left all along, and whoever was refused must have asked for more."""
    dice = random.Random(seed)
    processes, hold_max = dice.choice((1, 2, 3, 4, 8)), dice.randrange(1, 100)
    world = World(dice.randrange(1, 8 * hold_max + 2), processes)
    if dice.random() < 0.5:
        world.say(GrantPromo("promo:A:1", PAYER, dice.randrange(1, 3 * hold_max + 2), 1000))
    x, y, z = "budget:project:x:0", "budget:key:y:0", "budget:key:z:0"
    for budget in (x, y, z):
        world.say(SetLimit(budget, dice.randrange(1, 6 * hold_max + 2)))
    requests = []
    for _ in range(dice.randrange(1, 25)):
        budgets = dice.choice(((), (x,), (x, y), (x, z)))
        requests.append(world.request(dice.randrange(1, hold_max + 1), dice.randrange(processes), budgets))
        world.rounds(count=dice.choice((0, 0, 1)))
    world.rounds(count=60)
    for process in world.processes:
        process.give_back()
    world.rounds(count=1)
    accounts = world.store.accounts().values()
    assert {request.state for request in requests} <= {"done", "refused"}
    assert not any(account.l for account in accounts)
    left = {group: sum(a.available for a in accounts if a.group == group) for group in (PAYER, x, y, z)}
    refused = [request for request in requests if request.state == "refused"]
    assert all(any(left[group] < request.hold for group in request.groups) for request in refused)


def test_a_hold_takes_every_leg_or_none() -> None:
    world = World(1000)
    budgets = ("budget:project:p1:0", "budget:key:k1:0")
    world.say(SetLimit(budgets[0], 500))
    world.say(SetLimit(budgets[1], 50))
    refused, done = world.request(60, budgets=budgets), world.request(50, budgets=budgets)
    world.rounds(cost=30)
    assert (refused.state, done.state) == ("refused", "done")
    assert [world.store.accounts()[name].d for name in (PAYER, *budgets)] == [30, 30, 30]


def test_a_hold_with_one_closed_lease_is_refused_whole() -> None:
    """A process that was reaped while it slept, and does not know it yet, joins an old slice and a new one."""
    world = World(1000)
    world.say(SetLimit("budget:key:k1:0", 500))
    process = world.processes[0]
    world.request(10)
    world.rounds(count=3)
    world.reap(frozenset([process.epoch]))
    request = world.request(10, budgets=("budget:key:k1:0",))
    while request.state == "waiting":
        process.send(Fate.DONE)
    old, new = process.held[request.id].legs
    leases = {lease.id: lease for lease in world.store.leases()}
    assert (leases[old.lease].active, leases[new.lease].active) == (False, True)
    free = process.slices[new.lease].free
    process.send(Fate.DONE)
    assert request.state == "aborted"
    assert request.id not in world.store.reservations()
    assert process.slices[new.lease].free == free + 10
    process.check(world.store.leases())


def test_promotional_credit_is_spent_first_by_its_end() -> None:
    world = World(1000)
    world.say(GrantPromo("promo:A:late", PAYER, 30, 200))
    world.say(GrantPromo("promo:A:soon", PAYER, 20, 100))
    world.request(90)
    world.rounds(cost=60)
    assert [world.store.accounts()[name].d for name in ("promo:A:soon", "promo:A:late", PAYER)] == [20, 30, 10]
    world.say(Refund("refund", "request:1", 45))
    assert [world.store.accounts()[name].c for name in ("promo:A:soon", "promo:A:late", PAYER)] == [25, 60, 1010]


def test_f48_what_is_above_the_hold_takes_what_there_is() -> None:
    """First the own slices, then the free balance, as much as every group bears; the rest is written off."""
    world = World(100)
    world.say(SetLimit("budget:key:k1:0", 75))
    mine, budget = (
        world.say(Lease((Want(group, 60, 60),))).leases[0]  # type: ignore[attr-defined]
        for group in (PAYER, "budget:key:k1:0")
    )
    legs = (Leg(mine.lease, PAYER, 40), Leg(budget.lease, "budget:key:k1:0", 40))
    assert world.say(Open("request:x", PAYER, ("budget:key:k1:0",), 40, legs))
    offers = (Leg(mine.lease, PAYER, 20), Leg(budget.lease, "budget:key:k1:0", 20))
    settled = world.say(Settle("request:x", 120, offers))
    assert settled == Settled(75, offers)
    assert world.available("budget:key:k1:0") == 0
    assert world.available() == 25
    assert world.store.transfers()[-1].debit == "writeoff:overrun"
    assert world.store.transfers()[-1].amount == 45


def test_f54_a_charge_is_given_back_once() -> None:
    world = World(100)
    world.request(50)
    world.rounds(cost=30)
    assert not world.say(Refund("too much", "request:1", 31))
    assert world.say(Refund("first", "request:1", 20))
    assert not world.say(Refund("first", "request:1", 5))
    assert not world.say(Refund("second", "request:1", 11))
    assert world.say(Refund("third", "request:1", 10))


@pytest.mark.parametrize("cost", [10, 30, 45])
def test_what_a_process_left_behind_is_given_back_and_then_it_has_no_more_to_say(cost: int) -> None:
    """The reaper's charge is refunded like any other; the process was not dead, and its settlement comes too late."""
    world = World(100)
    process = world.processes[0]
    request = world.request(50)
    process.send(Fate.DONE)
    process.send(Fate.DONE)
    (held,) = process.held.values()
    process.produce(held, 30)
    process.send(Fate.DONE)
    world.reap(frozenset([process.epoch]))
    assert world.store.reservations()[request.id].charged == 30
    assert not world.say(Refund("too much", request.id, 31))
    assert world.say(Refund("first", request.id, 20))
    assert not world.say(Refund("first", request.id, 5))
    process.finish(held, cost)
    process.send(Fate.DONE)
    row = world.store.reservations()[request.id]
    assert (row.state, row.charged, request.state) == ("adjusted", 30, "done")
    assert world.say(Refund("second", request.id, 10))
    assert not world.say(Refund("third", request.id, 1))
    assert world.available() == 100
    world.audit()


def test_f55_a_disputed_payment_that_was_spent_is_owed() -> None:
    world = World(100)
    world.request(80)
    world.rounds()
    world.processes[0].give_back()
    world.rounds(count=1)
    assert world.say(Chargeback("payment")) == (20, 80)
    assert world.say(Chargeback("payment")) is None
    assert world.available() == 0
    assert world.store.accounts()["receivable:A"].d == 80


def test_f56_a_grant_ends_while_it_is_held() -> None:
    world = World(10)
    world.say(GrantPromo("promo:A:1", PAYER, 50, 20))
    granted = world.say(Lease((Want(PAYER, 30, 30),)))
    assert isinstance(granted, Granted)
    legs = (Leg(granted.leases[0].lease, PAYER, 30),)
    assert world.say(Open("request:x", PAYER, (), 30, legs))
    world.now = 21
    assert world.say(ExpirePromo("promo:A:1")) == 20
    assert world.say(Lease((Want(PAYER, 11, 11),))) == Granted((), (10,))
    assert world.say(Settle("request:x", 25)) == Settled(25)
    assert world.say(ExpirePromo("promo:A:1")) == 0
    world.reap(frozenset([world.office]))
    assert world.say(ExpirePromo("promo:A:1")) == 5


def test_a_batch_that_comes_again_changes_nothing() -> None:
    world = World(100)
    epoch = world.store.start()
    first = world.store.commit(epoch, 1, [Lease((Want(PAYER, 40, 40),))])
    world.now += 100
    world.reap()
    assert world.store.commit(epoch, 1, [Lease((Want(PAYER, 40, 40),))]) == first
    assert world.available() == 100


def test_a_job_outlives_its_process_but_not_its_deadline() -> None:
    world = World(100)
    epoch = world.store.start()
    jobs = [OpenJob(f"job:{n}", PAYER, (), 40, 1000) for n in range(3)]
    assert list(world.store.commit(epoch, 1, jobs)) == [True, True, False]
    world.now = 500
    world.reap(frozenset([epoch]))
    assert world.available() == 20
    assert world.say(Settle("job:0", 30)) == Settled(30)
    assert world.available() == 30
    world.now = 1001
    world.reap()
    assert world.available() == 70
    assert world.say(Settle("job:1", 80)) == Settled(70)
    assert world.available() == 0


def test_a_late_settlement_posts_the_difference_either_way() -> None:
    world = World(100)
    for n, cost in enumerate((35, 18)):
        process = world.processes[0] = Process(world.store, random.Random(n), world._recall)
        world.request(40)
        process.send(Fate.DONE)
        process.send(Fate.DONE)
        (held,) = process.held.values()
        process.produce(held, 20)
        process.send(Fate.DONE)
        world.reap(frozenset([process.epoch]))
        assert world.store.reservations()[held.request.id].charged == 20
        process.finish(held, cost)
        process.send(Fate.DONE)
        row = world.store.reservations()[held.request.id]
        assert (row.state, row.charged, held.request.state) == ("adjusted", cost, "done")
        world.audit()
    assert world.available() == 47


def test_a_budget_moves_in_one_step_or_not_at_all() -> None:
    world = World(100)
    source, target = "budget:project:p1:0", "budget:project:p2:0"
    world.say(SetLimit(source, 50))
    world.say(SetLimit(target, 10))
    world.say(Lease((Want(source, 20, 20),)))
    assert not world.say(MoveBudget(source, target, 31))
    assert world.say(MoveBudget(source, target, 30))
    assert (world.available(source), world.available(target)) == (0, 40)
