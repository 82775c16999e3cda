"""Slices and holds of one process over the real ledger, case by case: who waits is served or refused, what is not used
goes back, and nothing piles up."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from faregate.ledger.accounts import Move, ensure_account, find_account, post
from faregate.ledger.commit import LOW_NANO, commit, start_epoch
from faregate.ledger.holds import Hold
from faregate.ledger.reaper import reap
from faregate.ledger.records import Lease, Renew, Return
from faregate.ledger.slices import ASKS_MAX, IDLE_S, RENEW_INTERVAL_S, Slices
from faregate.stores.database import Transaction
from faregate.stores.sqlite import open_migrated

HOLD = 900_000


class Desk:
    """A process of its own, with a ledger that answers when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.session = open_migrated(folder / "ledger.db")
        self.session.connection.execute("PRAGMA synchronous = OFF")
        self.now = 1000.0
        self.low_nano = LOW_NANO
        self.recalls: list[Sequence[int]] = []
        self.news: list[Hold] = []
        self.seq = 0
        self.epoch = self.session.transact(lambda writing: start_epoch(writing, "desk", self.now))
        self.slices = Slices(lambda: self.now, lambda: self.now, self.recalls.append, lambda _: None)
        self._named = 0

    def account(self, name: str, credit: int, **how: float) -> int:
        """A new account with so much in it."""

        def work(writing: Transaction) -> int:
            source = ensure_account(writing, "clearing:psp", "clearing", at=self.now)
            payer_id = int(how["payer_id"]) if how else None
            kind = name.partition(":")[0]
            account = ensure_account(
                writing, name, kind, at=self.now, payer_id=payer_id, expires_at=how.get("expires_at")
            )
            post(writing, source, account, credit, Move(id=name.encode(), kind="topup", created_at=self.now))
            return account.id

        return self.session.transact(work)

    def available(self, name: str) -> int:
        account = find_account(self.session, name)
        assert account is not None
        return account.available_nano

    def hold(self, payer: int, amount: int = HOLD, *budgets: int) -> Hold:
        """A hold that is taken, or waits; what is heard of it is in `news`."""
        self._named += 1
        hold = Hold(b"%016d" % self._named, payer, budgets, amount)
        if not self.slices.reserve(hold):
            hold.heard = partial(self.news.append, hold)
            self.slices.claim(hold)
        return hold

    def batch(self) -> None:
        """One batch there and back."""
        records = self.slices.take_queue()
        self.seq += 1
        results = self.session.transact(
            lambda writing: commit(writing, self.epoch, self.seq, records, self.now, low_nano=self.low_nano)
        )
        for record, result in zip(records, results, strict=True):
            self.slices.learn(record, result, self.now)
        self.slices.settle_down()

    def batches(self) -> int:
        """All that there is to say; how many batches that took."""
        count = 0
        while self.slices.queue:
            self.batch()
            count += 1
        return count

    def agrees(self) -> bool:
        """I6: the ledger has of each lease what this process has."""
        query = "SELECT id, granted - settled FROM lease WHERE active = 1 AND epoch_id = ?"
        mine = self.slices.outstanding()
        return all(mine.get(lease) == left for lease, left in self.session.all(query, (self.epoch,)))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.session.close()


def test_two_that_wait_are_both_served(desk: Desk) -> None:
    payer = desk.account("cust:a", 2 * HOLD)
    holds = [desk.hold(payer), desk.hold(payer)]
    assert [type(record) for record in desk.slices.queue] == [Lease]
    desk.batches()
    assert desk.news == holds
    assert all(hold.is_open for hold in holds)
    assert desk.available("cust:a") == 0
    assert desk.agrees()


def test_the_refusal_of_one_refuses_all_who_want_as_much_and_none_who_want_less(desk: Desk) -> None:
    payer = desk.account("cust:a", HOLD - 1)
    holds = [desk.hold(payer) for _ in range(50)]
    small = desk.hold(payer, HOLD - 1)
    assert desk.batches() <= ASKS_MAX + 3
    assert desk.news[-1] is small
    assert small.is_open
    assert len(desk.news) == 51
    assert not any(hold.legs for hold in holds)
    assert desk.recalls


def test_who_is_over_a_budget_recalls_that_alone(desk: Desk) -> None:
    """Everybody else goes on with the payer's slices."""
    payer, budget = desk.account("cust:a", 100 * HOLD), desk.account("budget:b", HOLD - 1)
    hold = desk.hold(payer, HOLD, budget)
    desk.batches()
    assert desk.news == [hold]
    assert not hold.legs
    assert {name for groups in desk.recalls for name in groups} == {budget}


def test_nobody_is_troubled_where_there_is_enough(desk: Desk) -> None:
    payer = desk.account("cust:a", 5 * HOLD)
    holds = [desk.hold(payer) for _ in range(5)]
    desk.batches()
    assert all(hold.is_open for hold in holds)
    assert not desk.recalls


def test_who_has_recalled_asks_again_when_the_others_have_returned(desk: Desk) -> None:
    desk.slices._recall = lambda groups: desk.recalls.append(groups) or True
    payer = desk.account("cust:a", 3 * HOLD)
    elsewhere = desk.hold(payer, 2 * HOLD)
    desk.batches()
    holds = [desk.hold(payer, 2 * HOLD), desk.hold(payer, 3 * HOLD)]
    desk.batches()
    assert not desk.news[1:]
    assert [tuple(groups) for groups in desk.recalls] == [(payer,)]  # one for both
    small = desk.hold(payer, HOLD)
    desk.batches()
    assert small.is_open  # it need not wait for that
    desk.slices.settle(elsewhere, 0)
    desk.slices.settle(small, 0)
    desk.slices.ask_again((payer,))
    desk.batches()
    assert holds[0].is_open
    desk.slices.ask_again((payer,))
    desk.batches()
    assert len(desk.recalls) == 2
    desk.slices.ask_again((payer,))
    desk.batches()
    assert holds[1] in desk.news
    assert not holds[1].legs


def test_of_a_thousand_exactly_as_many_pass_as_the_balance_covers(desk: Desk) -> None:
    payer = desk.account("cust:a", 10_000_000)
    holds = [desk.hold(payer) for _ in range(1000)]
    desk.batches()
    assert len(desk.news) == 1000
    assert sum(hold.is_open for hold in holds) == 11
    assert desk.available("cust:a") == 10_000_000 - 11 * HOLD
    for hold in holds:
        desk.slices.settle(hold, HOLD - 1)
    desk.slices.tend()
    desk.batches()
    assert desk.available("cust:a") == 10_000_000 - 11 * (HOLD - 1)
    assert desk.agrees()


def test_one_more_passes_once_another_is_settled(desk: Desk) -> None:
    """What becomes free while others wait serves them, whether or not a lease was asked for."""
    payer = desk.account("cust:a", HOLD)
    first = desk.hold(payer)
    desk.batches()
    second = desk.hold(payer)
    desk.slices.settle(first, 0)
    desk.batches()
    assert second.is_open


def test_a_hold_that_is_settled_while_it_waits_takes_nothing(desk: Desk) -> None:
    payer = desk.account("cust:a", HOLD)
    hold = desk.hold(payer)
    desk.slices.settle(hold, 0)
    desk.batches()
    desk.slices.tend()
    desk.batches()
    assert (hold.legs, hold.is_settled, desk.news) == ((), True, [])
    assert desk.available("cust:a") == HOLD


def test_what_was_leased_for_one_request_goes_back(desk: Desk) -> None:
    payer = desk.account("cust:a", 10 * HOLD)
    desk.slices.settle(desk.hold(payer), 0)  # it waits, and does not any more
    hold = desk.hold(payer)
    desk.batches()
    desk.slices.settle(hold, 1000)
    desk.slices.tend()
    desk.batches()
    assert desk.available("cust:a") == 10 * HOLD - 1000


def test_slices_that_are_not_used_go_back(desk: Desk) -> None:
    desk.low_nano = 0
    payer = desk.account("cust:a", 1000 * HOLD)
    for _ in range(2):  # that there is more than one request is known after the first
        hold = desk.hold(payer)
        desk.batches()
        desk.slices.settle(hold, HOLD)
        desk.batches()
    left = desk.available("cust:a")
    assert left < 998 * HOLD
    desk.slices.tend()
    assert not any(isinstance(record, Return) for record in desk.slices.queue)
    desk.now += IDLE_S + 1
    desk.slices.tend()
    desk.batches()
    assert desk.available("cust:a") == 998 * HOLD
    assert desk.agrees()


def test_a_slice_of_an_account_that_has_ended_goes_back_though_its_group_is_busy(desk: Desk) -> None:
    desk.low_nano = 0
    payer = desk.account("cust:a", 1000 * HOLD)
    desk.account("promo:a", 3 * HOLD, payer_id=payer, expires_at=desk.now + 5)
    for _ in range(2):
        desk.hold(payer)
        desk.batches()
    promo = desk.available("promo:a")
    assert promo == 0
    desk.now += 6
    desk.hold(payer)
    desk.slices.tend()
    desk.batches()
    assert desk.available("promo:a") == HOLD
    assert desk.agrees()


def test_nothing_piles_up(desk: Desk) -> None:
    """Neither slices that are used up nor groups of which nobody spends any longer."""
    for customer in range(10):
        payer = desk.account(f"cust:{customer}", 100 * HOLD)
        for _ in range(100):
            hold = desk.hold(payer)
            desk.batch()
            desk.slices.settle(hold, HOLD)
            desk.batches()
            assert not desk.slices._slices
    assert len(desk.slices._groups) == 10
    desk.now += IDLE_S + RENEW_INTERVAL_S
    desk.slices.tend()
    assert not desk.slices._groups
    assert not desk.slices.holds
    assert not desk.slices.outstanding()


def test_a_process_that_lost_its_slices_has_new_ones_at_once(desk: Desk) -> None:
    """It was reaped while it slept, and its clock says nothing of that."""
    desk.low_nano = 0
    payer = desk.account("cust:a", 1000 * HOLD)
    for _ in range(2):
        desk.hold(payer)
        desk.batches()
    desk.session.transact(lambda writing: reap(writing, desk.now, [desk.epoch]))
    lost = desk.hold(payer)
    desk.batches()
    assert lost.is_lost
    desk.slices.settle(lost, 5)
    assert lost.is_settled
    desk.slices.tend()
    assert desk.slices.queue[-1] == Renew()
    desk.batches()
    again = desk.hold(payer)
    desk.batches()
    assert again.is_open
    assert desk.agrees()


def test_who_hears_may_take_and_settle_others(desk: Desk) -> None:
    """From inside `settle_down`: news of one is the cause of the next."""
    payer = desk.account("cust:a", 3 * HOLD)
    budget = desk.account("budget:b", 3 * HOLD)
    others = [desk.hold(payer, HOLD, budget) for _ in range(2)]
    desk.batches()
    made: list[Hold] = []

    def heard() -> None:
        for other in others:
            desk.slices.settle(other, 0)
        made.extend(desk.hold(payer, HOLD // 2, budget) for _ in range(4))
        desk.slices.settle(made[0], 10)
        desk.slices.withdraw(made[-1])
        desk.slices.settle(third, 0)

    third = Hold(b"3" * 16, payer, (budget,), HOLD)
    third.heard = heard
    desk.slices.claim(third)
    desk.batches()
    for hold in made:
        desk.slices.settle(hold, 10)
    desk.slices.give_back()
    desk.batches()
    assert all(hold.is_settled for hold in (*others, third, *made))
    assert [desk.available(name) for name in ("cust:a", "budget:b")] == [3 * HOLD - 40, 3 * HOLD - 40]
    assert not desk.slices.outstanding()


def test_what_is_above_the_hold_comes_from_own_slices_first(desk: Desk) -> None:
    desk.low_nano = 0
    payer = desk.account("cust:a", 1000 * HOLD)
    desk.hold(payer)
    desk.batches()
    hold = desk.hold(payer)
    desk.batches()
    left = desk.available("cust:a")
    desk.slices.settle(hold, HOLD + 500)
    assert sum(leg.amount for leg in hold.offers) == 500
    desk.batches()
    assert (hold.charged, desk.available("cust:a")) == (HOLD + 500, left)
    assert desk.agrees()
