"""The counters of limits against a naive model: any takes, ends, waits and changes of limits, in several processes."""

import asyncio
import tempfile
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from faregate.core.limits import Bound, BoundKind, Demand, Refused, Standing
from faregate.stores.counters import MachineTaken

from .machine import DAY, MINUTE_NS, SECOND_NS, Machine, bound, kill


class Call(msgspec.Struct, eq=False):
    """A call under way, and what it has taken."""

    taken: MachineTaken
    process: int
    demand: Demand
    owed_until: dict[bytes, int] = {}


class Model:
    """The law, slowly: lists of moments, one set of calls, sums of tokens."""

    def __init__(self) -> None:
        self.admitted: dict[bytes, list[int]] = {}
        self.owed_until: dict[bytes, int] = {}
        self.calls: list[Call] = []
        self.used: dict[tuple[bytes, int], int] = {}

    def in_window(self, scope: bytes, now: int) -> list[int]:
        return [at for at in self.admitted.get(scope, []) if at > now - MINUTE_NS]

    def running(self, scope: bytes) -> int:
        return sum(any(each.scope == scope for each in call.demand.bounds) for call in self.calls)

    def daily(self, scope: bytes, day: int) -> int:
        reserved = [
            call.demand.tokens_max
            for call in self.calls
            if call.demand.day == day and any(each.scope == scope for each in call.demand.bounds)
        ]
        return self.used.get((scope, day), 0) + sum(reserved)

    def wait_ns(self, bound: Bound, demand: Demand, now: int) -> int | None:
        """How long the bound holds; None: nobody knows."""
        if bound.kind == "requests":
            window = self.in_window(bound.scope, now)
            over = len(window) - bound.limit
            return window[over] + MINUTE_NS - now if over >= 0 else 0
        if bound.kind == "tokens":
            cost = cost_ns(demand.tokens_expected, bound.limit)
            owed = max(0, self.owed_until.get(bound.scope, 0) - now)
            return max(0, owed + min(cost, MINUTE_NS) - MINUTE_NS) if owed else 0
        if bound.kind == "concurrency":
            return None if self.running(bound.scope) >= bound.limit else 0
        return None if self.daily(bound.scope, demand.day) + demand.tokens_max > bound.limit else 0


def cost_ns(tokens: int, limit: int) -> int:
    cost = Fraction(tokens * MINUTE_NS, limit)
    return -(-cost.numerator // cost.denominator)


_LIMITS: dict[BoundKind, st.SearchStrategy[int]] = {
    "requests": st.sampled_from([1, 2, 3, 5, 8]),
    "tokens": st.sampled_from([1, 7, 60, 1000, 10**6]),
    "concurrency": st.sampled_from([1, 2, 4]),
    "daily_tokens": st.sampled_from([100, 5000, 10**6]),
}
_KEPT = [(kind, name) for kind in _LIMITS for name in "ab"]
_steps_ns = st.sampled_from([1, 1000, SECOND_NS, 7 * SECOND_NS, 30 * SECOND_NS, MINUTE_NS - 1, MINUTE_NS])


class CountersAgainstTheModel(RuleBasedStateMachine):
    """Three processes on one file; each may end, be killed, and be there again."""

    def __init__(self) -> None:
        super().__init__()
        self.temporary = tempfile.TemporaryDirectory()
        self.machine = Machine(Path(self.temporary.name))
        self.processes = [self.machine.process() for _ in range(3)]
        self.model = Model()
        self.limits = dict.fromkeys(_KEPT, 5)
        self.day = DAY
        self.bounds: dict[tuple[Bound, ...], tuple[Bound, ...]] = {}  # the same objects for the same bounds

    def teardown(self) -> None:
        for process in self.processes:
            process.close()
        self.temporary.cleanup()

    @rule(place=st.sampled_from(_KEPT), data=st.data())
    def change_limit(self, place: tuple[BoundKind, str], data: st.DataObject) -> None:
        self.limits[place] = data.draw(_LIMITS[place[0]])

    @rule(step_ns=_steps_ns)
    def wait(self, step_ns: int) -> None:
        self.machine.now_ns += step_ns

    @rule()
    def next_day(self) -> None:
        self.day += 1

    @rule(
        process=st.integers(0, 2),
        places=st.lists(st.sampled_from(_KEPT), unique=True, min_size=1, max_size=6),
        expected=st.sampled_from([0, 1, 3, 60, 1000, 10**7]),
        most=st.sampled_from([0, 10, 99, 5000]),
    )
    def take(self, process: int, places: list[tuple[BoundKind, str]], expected: int, most: int) -> None:
        bounds = tuple(bound(kind, self.limits[kind, name], name) for kind, name in places)
        bounds = self.bounds.setdefault(bounds, bounds)
        demand = Demand(bounds, expected, most, self.day)
        model, now = self.model, self.machine.now_ns
        waits = [(model.wait_ns(each, demand, now), each) for each in bounds]
        would_be = asyncio.run(self.processes[process].peek(demand))
        answer = asyncio.run(self.processes[process].take(demand))
        assert would_be == (answer if isinstance(answer, Refused) else None)
        if isinstance(answer, Refused):
            assert any(wait != 0 for wait, _ in waits)
            self.check_refusal(answer, waits, demand)
            return
        assert all(wait == 0 for wait, _ in waits)
        call = Call(answer, process, demand)
        model.calls.append(call)
        for each in bounds:
            if each.kind == "requests":
                model.admitted.setdefault(each.scope, []).append(now)
            if each.kind == "tokens":
                owed = max(now, model.owed_until.get(each.scope, 0)) + cost_ns(expected, each.limit)
                call.owed_until[each.scope] = model.owed_until[each.scope] = owed
        self.check_standing(answer.standing, bounds)

    def check_refusal(self, answer: Refused, waits: list[tuple[int | None, Bound]], demand: Demand) -> None:
        """It names one that holds. Where time alone helps, exactly that much helps."""
        wait = next(wait for wait, each in waits if each == answer.bound)
        assert wait != 0
        longest = max(wait or 0 for wait, _ in waits)
        if wait is not None:
            assert answer.retry_after_s == wait / SECOND_NS and wait == longest
        elif answer.bound.kind == "concurrency":
            assert max(1.0, longest / SECOND_NS) <= answer.retry_after_s <= 10.0
        else:
            assert answer.retry_after_s == max(1.0, (demand.day + 1) * 86_400 - self.machine.unix_time())

    def check_standing(self, standing: Standing | None, bounds: tuple[Bound, ...]) -> None:
        model, now = self.model, self.machine.now_ns
        windows = {each: model.in_window(each.scope, now) for each in bounds if each.kind == "requests"}
        if standing is None:
            assert not windows
            return
        left = {each: max(0, each.limit - len(window)) for each, window in windows.items()}
        assert standing.remaining == left[standing.bound] == min(left.values())
        window = windows[standing.bound]
        free_at_ns = window[-1] + MINUTE_NS if window else now
        assert standing.reset_at == pytest.approx(DAY * 86_400 + free_at_ns / SECOND_NS, abs=1e-5)

    @rule(process=st.integers(0, 2), names=st.sampled_from(["", "a", "b", "ab"]))
    def look(self, process: int, names: str) -> None:
        bounds = tuple(bound("requests", self.limits["requests", name], name) for name in names)
        self.check_standing(self.processes[process].standing(bounds), bounds)

    @precondition(lambda self: self.model.calls)
    @rule(data=st.data(), tokens=st.sampled_from([0, 1, 10, 60, 1000]), twice=st.booleans())
    def settle(self, data: st.DataObject, tokens: int, twice: bool) -> None:
        model, now = self.model, self.machine.now_ns
        call = model.calls.pop(data.draw(st.integers(0, len(model.calls) - 1)))
        call.taken.settle(tokens)
        if twice:
            call.taken.settle(tokens + 5)
        for each in call.demand.bounds:
            if each.kind == "daily_tokens":
                key = (each.scope, call.demand.day)
                model.used[key] = model.used.get(key, 0) + tokens
            if each.kind == "tokens" and tokens != call.demand.tokens_expected:
                expected, used = cost_ns(call.demand.tokens_expected, each.limit), cost_ns(tokens, each.limit)
                owed = model.owed_until[each.scope]
                if used < expected:
                    back = max(0, min(expected - used, call.owed_until[each.scope] - now))
                    model.owed_until[each.scope] = owed - back
                else:
                    model.owed_until[each.scope] = max(owed, now) + used - expected

    @rule(process=st.integers(0, 2), killed=st.booleans())
    def restart(self, process: int, killed: bool) -> None:
        """What it held is free; what it has counted stays."""
        former = self.processes[process]
        if killed:
            kill(former)
        else:
            former.close()
        self.model.calls = [call for call in self.model.calls if call.process != process]
        self.processes[process] = self.machine.process()


TestCounters = CountersAgainstTheModel.TestCase
TestCounters.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
