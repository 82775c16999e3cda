"""The real slices and holds of a process (ledger/slices.py), put to the model's runs: a process as the run knows it,
which keeps what it has in a real `Slices`. Jobs, which that does not do, are the model's own."""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from faregate.ledger import records as real
from faregate.ledger.holds import Hold
from faregate.ledger.slices import Slices

from . import model
from .model_gateway import Held, Process, Recall, Request

AHEAD = (2, 40, 80)  # ticks of recent spending in a slice: in a run a process has a request in so many
RENEW_INTERVAL = 14
IDLE = (5, 25, 1000)
WALL_CLOCK_ERROR = (0, 0, -60, 60)


class Taken(Held, eq=False, kw_only=True):
    """A request that has its hold."""

    hold_taken: Hold


class SlicedProcess(Process):
    """A gateway's worker whose slices are real. `clock` is the store's; `surprises`, how often a client that waits
    is gone by the next batch, and how often an upstream counts much more than came."""

    def __init__(
        self,
        store: model.Store,
        dice: random.Random,
        recall: Recall,
        clock: Callable[[], int],
        surprises: float = 0.03,
    ) -> None:
        super().__init__(store, dice, recall)
        self._numbers: dict[str, int] = {}
        self._names: list[str] = []
        self._originals: dict[msgspec.Struct, real.Record] = {}  # by the model's words for them
        self._claims: dict[str, Hold] = {}
        self._surprises = surprises
        self._is_told = False  # that the queue has filled
        error = dice.choice(WALL_CLOCK_ERROR)
        self.real = Slices(
            lambda: self.clock,
            lambda: clock() + error,
            lambda groups: recall(self, tuple(map(self._name, groups))),
            self._filled,
            ttl_s=model.TTL,
            margin_s=model.MARGIN,
            renew_interval_s=RENEW_INTERVAL,
            idle_s=dice.choice(IDLE),
            ahead_s=dice.choice(AHEAD),
        )

    def _filled(self, may_wait: bool) -> None:
        self._is_told = True

    # Names there and back

    def _number(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self._names)
            self._names.append(name)
        return number

    def _name(self, number: int) -> str:
        return self._names[number]

    def _legs(self, legs: Iterable[real.Leg]) -> tuple[model.Leg, ...]:
        return tuple(model.Leg(leg.lease, self._name(leg.group), leg.amount) for leg in legs)

    def _to_model(self, record: real.Record) -> msgspec.Struct:
        match record:
            case real.Lease():
                return model.Lease(
                    tuple(model.Want(self._name(want.group), want.need, want.want) for want in record.wants)
                )
            case real.Renew():
                return model.Renew()
            case real.Return():
                return model.Return(record.lease, record.amount)
            case real.Checkpoint():
                return model.Ckpt(record.reservation.decode(), record.cost)
            case real.Settle():
                return model.Settle(record.reservation.decode(), record.cost, self._legs(record.offers))
            case real.Open():
                budgets = tuple(map(self._name, record.budgets))
                reservation, payer = record.reservation.decode(), self._name(record.payer)
                return model.Open(reservation, payer, budgets, record.hold, self._legs(record.legs))
        raise AssertionError(record)

    def _to_real(self, result: object) -> real.Result:
        match result:
            case model.Granted():
                grants = (
                    real.Grant(each.lease, self._number(each.group), self._number(each.account), each.rank, each.amount)
                    for each in result.leases
                )
                return real.Granted(tuple(grants), result.available)
            case frozenset():
                return real.Renewed(result)
            case model.Settled():
                drawn = (real.Leg(leg.lease, self._number(leg.group), leg.amount) for leg in result.drawn)
                return real.Settled(True, result.charged, tuple(drawn))
            case None:
                return real.Settled(False)
        return real.Done(bool(result))

    # Requests

    def admit(self, request: Request) -> None:
        budgets = tuple(map(self._number, request.budgets))
        hold = Hold(request.id.encode(), self._number(request.payer), budgets, request.hold)
        if self.real.reserve(hold):
            self._go(request, hold)
            return
        self.waiting.append(request)
        self._claims[request.id] = hold
        hold.heard = partial(self._answered, request)
        self.real.claim(hold)

    def _answered(self, request: Request) -> None:
        hold = self._claims.pop(request.id)
        self.waiting.remove(request)
        if hold.legs:
            self._go(request, hold)
        else:
            request.state = "refused"

    def _go(self, request: Request, hold: Hold) -> None:
        request.state = "live"
        held = self.held[request.id] = Taken(request, (), hold_taken=hold)
        hold.heard = partial(self._news, held)

    def _news(self, held: Taken) -> None:
        """Its Open or its settlement is known, or both."""
        request, hold = held.request, held.hold_taken
        if hold.is_lost:
            request.state = "aborted"
        elif hold.is_open:
            held.durable = True
            request.delivered = request.produced
        if hold.is_settled and not hold.is_lost:
            request.state = "done"
        if hold.is_settled or (hold.is_lost and hold.cost is None):
            del self.held[request.id]
        else:
            hold.heard = partial(self._news, held)

    def finish(self, held: Held, used: int) -> None:
        assert isinstance(held, Taken)
        if self._dice.random() < 2 * self._surprises:
            used += self._dice.randrange(1, 100)
        held.request.used = used
        self.real.settle(held.hold_taken, used)
        self.real.settle(held.hold_taken, used + 1)  # which does nothing
        held.settling = held.hold_taken.settling

    def give_back(self, names: tuple[str, ...] | None = None, retire: bool = False) -> None:
        self.real.give_back(None if names is None else [self._number(name) for name in names], retire=retire)

    def _leave(self, request: Request) -> None:
        """Its client does not wait any longer."""
        hold = self._claims.pop(request.id)
        self.waiting.remove(request)
        if self._dice.random() < 0.5:
            self.real.withdraw(hold)
        hold.heard = None
        self.real.settle(hold, 0)
        request.state = "refused"

    # Batches

    def prepare(self) -> None:
        for request in [request for request in self.waiting if self._dice.random() < self._surprises]:
            self._leave(request)
        for held in self.held.values():
            assert isinstance(held, Taken)
            self.real.checkpoint(held.hold_taken, held.request.delivered)
        self.real.tend()
        if self._dice.random() < 0.06:  # a clock that stands still would never
            self.real.put(real.Renew())
        self._check_told()
        records = self.real.take_queue()
        self._is_told = False
        told = [self._to_model(record) for record in records]
        self._originals = dict(zip(told, records, strict=True))
        self.queue = [*told, *self.queue]

    def learn(self, record: msgspec.Struct, result: object, built_at: int) -> None:
        original = self._originals.get(record)
        if original is None:  # of a job
            super().learn(record, result, built_at)
            return
        if isinstance(record, model.Ckpt) and result:
            request = self.held[record.reservation].request
            request.saved = min(record.cost, request.hold)
        self.real.learn(original, self._to_real(result), built_at)

    def settle_down(self) -> None:
        self.real.settle_down()

    # Checks

    def _mine(self) -> dict[int, int]:
        return self.real.outstanding()

    def _check_told(self) -> None:
        if self.real.queue and not self._is_told:
            raise model.Violation("nobody was told that the queue has filled")

    def check(self, leases: Iterable[model.LeaseRow]) -> None:
        self._check_holds()
        super().check(leases)
        self._check_told()
        if self.waiting and self.sent is None and not self.real.queue:
            raise model.Violation(f"{self.waiting[0].id} waits for nothing")

    def _check_holds(self) -> None:
        """Slices count the legs on them, and none that is empty stays."""
        legs = Counter(leg.lease for hold in self.real.holds.values() for leg in (*hold.legs, *hold.offers))
        for one in self.real._slices.values():
            if one.holds != legs[one.lease] or one.free < 0 or (not one.free and not one.holds):
                raise model.Violation(
                    f"slice {one.lease} has {one.free} free and {one.holds} of {legs[one.lease]} legs"
                )
