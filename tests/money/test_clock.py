"""Clocks that jump, loops that stand still, midnight in mid-request (F12, F19, F58): no lease is used twice, no day is
charged twice. Time is virtual: each process has a clock for its slices and one for what it writes."""

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faregate.core.call import Call, UsageRecord
from faregate.core.chat import ChatRequest
from faregate.core.identity import Budget, Caller
from faregate.ledger.accounts import Account, Move, ensure_account, find_account, post
from faregate.ledger.budgets import BudgetAccounts, account_name
from faregate.ledger.commit import TTL_S, start_epoch
from faregate.ledger.holds import Hold
from faregate.ledger.ledger import Ledger
from faregate.ledger.reaper import GRACE_S, reap
from faregate.ledger.records import Renew
from faregate.ledger.slices import MARGIN_S, RENEW_INTERVAL_S, Slices
from faregate.ledger.verify import verify
from faregate.stores.database import Transaction
from faregate.stores.sqlite import Session, SqliteDatabase, open_migrated
from faregate.stores.usage_days import DAY_S
from faregate.stores.usage_rows import UsageRows
from faregate.wire.strand import in_strand
from tests.stores.conformance import make_request_id, record

from .batches import FILE, call_of, committed

NOON = 1_800_000_000.0 - 1_800_000_000 % DAY_S + DAY_S / 2
MIDNIGHT = NOON + DAY_S / 2
HOUR_S = 3600.0
CREDIT = 1_000_000
HOLD = 90_000


class Process:
    """One process on the ledger: `monotonic` is what its slices go by, `wall` what it writes."""

    def __init__(self, file: Path, name: str) -> None:
        self.session: Session = open_migrated(file)
        self.session.connection.execute("PRAGMA synchronous = OFF")
        self.monotonic = 0.0
        self.wall = NOON
        self._seq = 0
        self._named = 0
        self._name = name
        self.epoch = self.session.transact(lambda writing: start_epoch(writing, name, self.wall))
        self.slices = Slices(lambda: self.monotonic, lambda: self.wall, lambda _: None, lambda _: None)

    def pass_time(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def hold(self, payer: int, amount: int = HOLD) -> Hold:
        """A hold that is taken, or waits."""
        self._named += 1
        hold = Hold(f"{self._name}{self._named:015d}".encode(), payer, (), amount)
        if not self.slices.reserve(hold):
            self.slices.claim(hold)
        return hold

    def batches(self) -> None:
        """All that there is to say, there and back."""
        while self.slices.queue:
            records = self.slices.take_queue()
            self._seq += 1
            built_at = self.monotonic
            results = committed(self.session, self.epoch, self._seq, records, self.wall)
            for each, result in zip(records, results, strict=True):
                self.slices.learn(each, result, built_at)
            self.slices.settle_down()

    def reap(self) -> int:
        """As a process does every five seconds: what is past its end by its clock."""
        return self.session.transact(lambda writing: reap(writing, self.wall, own=self.epoch))


def give(writing: Transaction) -> int:
    """A payer with credit; its account."""
    source = ensure_account(writing, "clearing:psp", "clearing", at=NOON)
    payer = ensure_account(writing, "cust:a", "cust", at=NOON)
    post(writing, source, payer, CREDIT, Move(id=b"t" * 16, kind="topup", created_at=NOON))
    return payer.id


class World:
    """Two processes, and a payer whose credit both of them spend."""

    def __init__(self, folder: Path) -> None:
        self.first = Process(folder / FILE, "a")
        self.second = Process(folder / FILE, "b")
        self.payer = self.first.session.transact(give)

    @property
    def account(self) -> Account:
        found = find_account(self.first.session, "cust:a")
        assert found is not None
        return found

    def check(self) -> None:
        """All invariants, and nothing is spent or held that is not there."""
        assert verify(self.first.session).findings == []
        assert self.account.debits_nano + self.account.leased_nano <= CREDIT


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.check()
    made.first.session.close()
    made.second.session.close()


def sliced(world: World) -> Hold:
    """A call of the first process, whose slice has some left for more."""
    world.first.hold(world.payer)
    world.first.batches()
    hold = world.first.hold(world.payer)
    world.first.batches()
    assert hold.is_open
    assert world.first.slices.free(world.payer) >= HOLD
    return hold


# A loop that stands still


@pytest.mark.parametrize("still_s", [5.0, RENEW_INTERVAL_S, TTL_S - MARGIN_S - 0.001])
def test_f19_who_stood_still_for_a_while_renews_and_goes_on(world: World, still_s: float) -> None:
    hold = sliced(world)
    world.first.pass_time(still_s)
    world.second.pass_time(still_s)
    assert world.second.reap() == 0
    again = world.first.hold(world.payer)
    assert again.legs  # at once, from what it has
    world.first.slices.tend()
    world.first.batches()
    assert again.is_open
    world.first.slices.settle(hold, 7)
    world.first.batches()
    assert hold.charged == 7


def test_f19_who_stood_still_for_too_long_takes_nothing_before_he_has_renewed(world: World) -> None:
    hold = sliced(world)
    world.first.pass_time(TTL_S - MARGIN_S)
    assert not world.first.slices.reserve(Hold(b"late" * 4, world.payer, (), HOLD))
    world.first.slices.settle(hold, HOLD)
    world.first.slices.tend()
    assert any(isinstance(each, Renew) for each in world.first.slices.queue)
    world.first.batches()
    assert hold.charged == HOLD
    again = world.first.hold(world.payer)
    world.first.batches()
    assert again.is_open


def test_f12_who_was_reaped_meanwhile_is_fenced(world: World) -> None:
    """What is on its way when that happens: a hold is refused, a settlement posts the difference, and only once."""
    hold = sliced(world)
    world.first.slices.checkpoint(hold, 1000, call_of(hold.reservation))
    world.first.batches()
    world.second.pass_time(TTL_S + GRACE_S + 1)
    assert world.second.reap() == 2
    assert world.account.leased_nano == 0
    spent = world.second.hold(world.payer, CREDIT - 1000 - HOLD // 3)
    world.second.batches()
    assert spent.is_open
    late = world.first.hold(world.payer)
    assert late.legs  # it does not know yet
    world.first.slices.settle(hold, HOLD)
    world.first.batches()
    assert late.is_lost
    assert hold.charged == 1000 + HOLD // 3  # all that was free
    world.check()
    world.first.slices.settle(hold, HOLD)
    world.first.batches()
    assert world.account.available_nano == 0


# Clocks that jump


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, DAY_S, -DAY_S])
@pytest.mark.parametrize("whose", ["first", "second"])
def test_f58_a_clock_that_jumps_lets_nobody_use_a_lease_twice(world: World, whose: str, jump_s: float) -> None:
    """Its own or another's: at worst a lease is lost too early, and then it is fenced."""
    hold = sliced(world)
    getattr(world, whose).wall += jump_s
    renewed = world.first.hold(world.payer)
    world.first.slices.put(Renew())
    world.first.batches()
    for process in (world.second, world.first):
        process.reap()
        world.check()
        other = world.second.hold(world.payer, world.account.available_nano)
        world.second.batches()
        assert other.is_open or other.is_lost or not other.legs
        world.check()
    late = world.first.hold(world.payer)
    world.first.batches()
    for settled in (hold, renewed, late):
        world.first.slices.settle(settled, HOLD)
        world.first.batches()
        world.check()
    assert world.account.available_nano >= 0


def test_f58_what_waits_is_bounded_by_a_clock_that_cannot_jump(world: World) -> None:
    """An NTP step makes no slice usable for longer, and none for shorter."""
    sliced(world)
    world.first.wall += HOUR_S
    assert world.first.slices.free(world.payer) > 0
    world.first.wall -= 2 * HOUR_S
    assert world.first.slices.free(world.payer) > 0
    world.first.monotonic += TTL_S - MARGIN_S
    assert world.first.slices.free(world.payer) == 0


def test_f58_a_process_does_not_reap_itself_when_the_clock_has_jumped(tmp_path: Path) -> None:
    """After a suspend, say: its leases are past their end by the wall clock, and not due to be renewed by its own."""

    async def run() -> tuple[Hold, list[tuple[str]]]:
        database = SqliteDatabase(tmp_path / FILE)
        payer = await database.run(give)
        ledger = Ledger(database, tmp_path / "run", lambda *_: None)
        await ledger.open()
        hold = Hold(b"h" * 16, payer, (), HOLD)
        await in_strand(ledger.wait_for(hold))
        await in_strand(ledger.opened(hold))
        await database.run(lambda writing: writing.run("UPDATE lease SET expires_at = 1.0"))
        await ledger._epoch.reap()
        states = await database.read(lambda reading: reading.all("SELECT state FROM reservation"))
        ledger.settle(hold, 7, call_of(hold.reservation))
        assert await ledger.close()
        await database.close()
        return hold, states

    hold, states = asyncio.run(run())
    assert states == [("open",)]
    assert (hold.is_settled, hold.charged) == (True, 7)
    session = open_migrated(tmp_path / FILE)
    assert session.all("SELECT state, charged FROM reservation") == [("settled", 7)]
    assert verify(session).findings == []
    session.close()


# Days


PROJECT = "project-1"
ALLOWED = 500_000
BUDGET = Budget(PROJECT, "day", ALLOWED)


def call() -> Call:
    """A call of a key whose project has a budget by the day."""
    caller = Caller(
        key_id="key-1",
        project_id=PROJECT,
        organisation_id="organisation-1",
        disabled=False,
        expires_at=None,
        allowed_models=frozenset(),
        allowed_networks=(),
        budgets=(BUDGET,),
    )
    return Call(
        id="",
        caller=caller,
        operation="",
        dialect="",
        request=ChatRequest(model="", members={}),
        deadline_at=0.0,
        record=UsageRecord(id="", received_at=0.0, project_id=PROJECT),
        snapshot=None,  # type: ignore[arg-type]
    )


def test_f58_midnight_in_mid_request_charges_the_day_of_its_admission(world: World, tmp_path: Path) -> None:
    """And a clock that is set back finds that day's account as it was, with no second allowance."""
    now = [MIDNIGHT - 0.05]

    async def days(moments: list[float]) -> list[int]:
        database = SqliteDatabase(tmp_path / FILE)
        accounts = BudgetAccounts(database, lambda: now[0])
        found = []
        for now[0] in moments:
            found += await accounts.of(call())
        await database.close()
        return found

    process = world.first
    [before, after, again] = asyncio.run(days([MIDNIGHT - 0.05, MIDNIGHT, MIDNIGHT - HOUR_S]))
    assert before == again != after
    holds = [Hold(b"%016d" % day, world.payer, (day,), HOLD) for day in (before, after)]
    for hold in holds:
        process.slices.claim(hold)
        process.batches()
    process.pass_time(DAY_S)
    process.slices.settle(holds[0], HOLD - 1)
    process.slices.settle(holds[1], 5)
    process.batches()
    rows = process.session.all("SELECT id, credits, debits FROM account WHERE kind = 'budget' ORDER BY id")
    assert rows == [(before, ALLOWED, HOLD - 1), (after, ALLOWED, 5)]


@contextmanager
def time_zone(name: str) -> Iterator[None]:
    former = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ")
        if former is not None:
            os.environ["TZ"] = former
        time.tzset()


@pytest.mark.parametrize("zone", ["UTC", "America/St_Johns", "Pacific/Kiritimati"])
@pytest.mark.parametrize("change", [0, 1_711_846_800, 1_729_990_800])  # none; summer time begins and ends in Europe
def test_f58_budgets_and_the_roll_up_have_the_same_days(zone: str, change: int, tmp_path: Path) -> None:
    """UTC's, whatever the machine's zone. A leap second repeats a unix second, or is smeared: it is in a day too."""
    midnight = MIDNIGHT if not change else change - change % DAY_S + DAY_S
    moments = [midnight - 1.0, midnight - 1.0, midnight - 0.001, float(midnight), midnight + 0.001, midnight + HOUR_S]
    session = open_migrated(tmp_path / FILE)
    rows = UsageRows()
    with time_zone(zone):
        names = [account_name(BUDGET, moment) for moment in moments]
        records = [record(id=make_request_id(moment), received_at=moment) for moment in moments]
        session.transact(lambda writing: rows.insert(writing, records))
    assert [names.count(name) for name in dict.fromkeys(names)] == [3, 3]
    assert session.all("SELECT sum(requests) FROM usage_day GROUP BY day ORDER BY day") == [(3,), (3,)]
    days = session.all("SELECT day * 86400 FROM usage_day GROUP BY day ORDER BY day")
    assert [account_name(BUDGET, day) for (day,) in days] == list(dict.fromkeys(names))
    assert verify(session).findings == []
    session.close()
