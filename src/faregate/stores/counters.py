"""The counters of limits within one machine: exact, for one process and for many (core.limits.Counters).

Theory of operation. Every bound has a cell in the file that all processes map (counter_table.py), named by its scope
and kind, and for tokens of a day by the day too (bound_cells.py). A demand is looked at under one lock: all cells are
checked, then all are written. Which cells the bounds of a call have is remembered for one era of the table.

- Requests: a log of when each was admitted (request_log.py).
- Tokens of a minute: GCRA. The cell holds the moment until which all that was taken is worked off at the limit's rate;
  what is taken must not move it more than a minute ahead. So an idle caller may use a whole minute's worth at once, and
  two within its first minute. A demand for more than the limit is admitted when nothing is owed, and owes all of it.
- Calls at the same time, and the tokens that calls may still use of a day: each process's share stands in its own
  column, beside the sum. A sum that is in the way is taken again, from the columns of those that live.
- Tokens of a day: what the ledger's records say at first, and again when a process has died or joined, for what had not
  been counted here; then what every call has used in the end. A call that could use more than the limit is never
  admitted.

A limit that changes finds its cell as it is: the requests of the last minute count against the new limit; of the tokens
of a minute, the time until all are free stays. A bound that gets no cell, because the table or the disk is full,
refuses for a second. While a process is stopped in the critical section (counter_table.py), nothing is counted, so
nothing is admitted that would have to be; what ends meanwhile is settled afterwards.
"""

import time
from asyncio import Future, TimerHandle, get_running_loop, shield
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from ..core.limits import Bound, Demand, Refused, Standing
from . import request_log
from .bound_cells import SMALL_WORDS, BoundCells, Full, Places, Unread
from .counter_table import ERA, LAYOUT, CounterFile, HeldUp
from .database import StoreError
from .request_log import EXACT, FROM_NEXT, MINUTE_NS, NEXT, RING_WORDS, SECOND_NS
from .usage_days import DAY_S

ReadDay = Callable[[str, str, int], Awaitable[int]]  # (subject, its id, day) -> tokens
Report = Callable[[str, str], object]  # (level, text)

SMALL_CELLS, RING_CELLS = 65_536, 32_768  # all of them touched: 71 MB and 318 MB
FULL_RETRY_S = 1.0
_BUSY_RETRY_S_MAX = 10.0
_NOTHING_RETRY_S = 60.0  # of a limit of 0: what is left of a throughput that is all shared out
_LOOK_AGAIN_S = 0.1
_COMPARED_FOR_NS = MINUTE_NS + SECOND_NS
_OWED_NS_MAX = 1 << 60
_TOKENS_MAX = 10**13  # of one call


class MachineTaken(msgspec.Struct, eq=False, gc=False):
    """What a call has taken, until it is over (core.limits.Taken)."""

    _counters: "MachineCounters"
    _places: Places | None
    expected: int
    most: int
    at_ns: int
    _least: Bound | None
    _left: int
    owed: list[int] | None

    @property
    def standing(self) -> Standing | None:
        """As of the moment of taking."""
        least = self._least
        if least is None:
            return None
        return tuple.__new__(Standing, (least, self._left, self._counters.unix_time(self.at_ns + MINUTE_NS)))

    def settle(self, tokens: int) -> None:
        """Give back the place, and set right what was reserved."""
        places = self._places
        if places is not None:
            self._places = None
            self._counters.settle(self, places, tokens)


class MachineCounters:
    """The counters of one process, in a file that it shares with the others of its machine. `alone` says that no other
    is expected. OSError."""

    def __init__(
        self,
        folder: Path,
        read_day: ReadDay,
        report: Report = lambda _, __: None,
        *,
        alone: bool = False,
        small_cells: int = SMALL_CELLS,
        ring_cells: int = RING_CELLS,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        clock: Callable[[], float] = time.time,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        regions = ((small_cells, SMALL_WORDS), (ring_cells, RING_WORDS))
        self._file = CounterFile(folder / f"limits-{LAYOUT}", regions, alone=alone, report=self._heard)
        self._view = self._file.view
        self._cells = BoundCells(self._file, *self._file.regions)
        self._recall = self._cells.remembered.get
        self._read_day = read_day
        self._report = report
        self._now_ns = monotonic_ns
        self._clock = clock
        self._reads: dict[tuple[str, str, int], Future[StoreError | None]] = {}
        self._typical_ns = SECOND_NS  # what calls take
        self._compared_ns, self._ahead_s = -_COMPARED_FOR_NS, 0.0  # when our clock was compared with unix time
        self._said_full = self._closed = False
        self._unsettled: list[tuple[MachineTaken, Places, int]] = []  # while another process holds the section up
        self._going_on: TimerHandle | None = None

    @property
    def is_held_up(self) -> bool:
        """Whether nothing can be counted, because another process was stopped where it is."""
        return self._file.is_held_up

    def unix_time(self, at_ns: int) -> float:
        """A moment of our clock, at most a minute from now, as unix time."""
        if not 0 <= at_ns - self._compared_ns <= _COMPARED_FOR_NS:
            self._compared_ns = self._now_ns()
            self._ahead_s = self._clock() - self._compared_ns / SECOND_NS
        return at_ns / SECOND_NS + self._ahead_s

    async def take(self, demand: Demand, /) -> MachineTaken | Refused:
        """Check all, then take all. StoreError where a day's records cannot be read, or another process holds it up."""
        file = self._file
        bounds, _, _, day = demand
        while True:
            shared = file.shared
            if shared:
                try:
                    file.enter()
                except OSError:
                    file.wait()
            try:
                places = self._recall(id(bounds))
                if places is None or places[1] != day or places[2] != self._view[ERA]:  # names cost more
                    if file.look_around() and not shared:
                        continue
                    places = self._cells.place(bounds, day, self._now_ns())
                answer = self._check_and_take(places, demand)
                if answer is not None:
                    return answer
                continue
            except Unread as unread:
                missing = unread.bound
            except Full as full:
                return self._refuse_for_space(full.bound)
            finally:
                if shared:
                    file.leave()
            await self._read(missing, day)

    async def peek(self, demand: Demand, /) -> Refused | None:
        """What `take` would say, None where it would be taken. StoreError."""
        bounds, _, _, day = demand
        while True:
            try:
                with self._file.section():
                    now = self._now_ns()
                    refused = self._refused(self._cells.place(bounds, day, now), demand, now)
            except Unread as unread:
                missing = unread.bound
            except Full as full:
                return self._refuse_for_space(full.bound)
            else:
                if refused is not None:
                    return refused if refused.retry_after_s > 0 else None
                continue
            await self._read(missing, day)

    def _check_and_take(self, places: Places, demand: Demand) -> MachineTaken | Refused | None:
        """The critical section of a demand. None: again, something was in the way that is not any more."""
        view = self._view
        _, _, _, requests, tokens, concurrency, daily = places
        _, expected, most, _ = demand
        now = self._now_ns()
        least, left, owed = None, 0, None
        for first_at, next_at, _, limit, bound in requests:
            first = view[first_at]
            following = view[next_at]
            if first != following and view[first] <= now - MINUTE_NS:
                first = request_log.expire(view, first_at, now)
            free = limit - view[following - 1] + view[first - 1]
            if free <= 0:
                return self._refused(places, demand, now)
            if least is None or free <= left:
                least, left = bound, free - 1
        if tokens:
            owed = []
            for cell, limit, rounding, _ in tokens:
                if not limit:
                    return self._refused(places, demand, now)
                cost = (expected * MINUTE_NS + rounding) // limit
                until = view[cell]
                if until <= now:
                    until = now
                    if cost > MINUTE_NS:
                        cost = min(cost, _OWED_NS_MAX)
                elif until + cost > now + MINUTE_NS:
                    return self._refused(places, demand, now)
                owed += (until + cost, cost)
        for cell, _, limit, _ in concurrency:
            if view[cell] >= limit:
                return self._refused(places, demand, now)
        for cell, _, limit, _ in daily:
            reserved = view[cell] + most
            if view[cell + 1] + reserved > limit:
                return self._refused(places, demand, now)
        # From here on nothing is refused. What is killed on the way has taken too much rather than too little
        for cell, own, _, _ in daily:
            view[cell] += most
            view[own] += most
        for cell, own, _, _ in concurrency:
            view[cell] += 1
            view[own] += 1
        if owed is not None:
            for place, (cell, _, _, _) in enumerate(tokens):
                view[cell] = owed[2 * place]
        for _, next_at, end, limit, _ in requests:
            following = view[next_at]
            count = view[following - 1] + 1
            if limit > EXACT and request_log.joined(view, next_at, now):
                view[following - 1] = count
                continue
            view[following] = now
            following += 2
            if following == end:
                following = next_at + FROM_NEXT
            view[following - 1] = count
            view[next_at] = following
        return MachineTaken(self, places, expected, most, now, least, left, owed)

    # Refusals

    def _refused(self, places: Places, demand: Demand, now: int) -> Refused | None:
        """The bound that holds the longest; None where sums that were in the way turn out to be less."""
        deaths, sums = self._file.deaths, self._sums(places)
        busy_s = min(max(1.0, self._typical_ns / SECOND_NS), _BUSY_RETRY_S_MAX)
        waits = [
            (request_log.wait_ns(self._view, next_at, limit, now) / SECOND_NS if limit else _NOTHING_RETRY_S, bound)
            for _, next_at, _, limit, bound in places.requests
        ]
        for cell, limit, _, bound in places.tokens:
            waits.append((self._wait_for_tokens(cell, limit, demand.tokens_expected, now), bound))
        for cell, _, limit, bound in places.concurrency:
            if self._view[cell] >= limit and self._cells.recount(cell) >= limit:
                waits.append((busy_s, bound))
        for cell, _, limit, bound in places.daily:
            free = limit - self._view[cell + 1] - demand.tokens_max
            if self._view[cell] > free and self._cells.recount(cell) > free:
                waits.append((max(1.0, (demand.day + 1) * DAY_S - self._clock()), bound))
        if self._file.deaths != deaths or self._sums(places) != sums:
            return None
        wait_s, bound = max(waits, key=lambda wait: wait[0], default=(0.0, places.bounds[0]))
        return Refused(bound, wait_s)

    def _sums(self, places: Places) -> list[int]:
        return [self._view[cell] for cell, _, _, _ in places.concurrency + places.daily]

    def _wait_for_tokens(self, cell: int, limit: int, tokens: int, now: int) -> float:
        """Seconds until so many tokens may be owed."""
        if not limit:
            return _NOTHING_RETRY_S
        cost = (tokens * MINUTE_NS + limit - 1) // limit
        return max(0, self._view[cell] + min(cost, MINUTE_NS) - MINUTE_NS - now) / SECOND_NS

    def _refuse_for_space(self, bound: Bound) -> Refused:
        if not self._said_full:
            self._said_full = True
            self._report("error", "limits: no place is left for counters: calls that need a new one are refused")
        return Refused(bound, FULL_RETRY_S)

    # The end of a call

    def settle(self, taken: MachineTaken, places: Places, tokens: int) -> None:
        """Give back what a call held of these cells, and set right what it had reserved."""
        if self._closed:
            return
        if not 0 <= tokens <= _TOKENS_MAX:
            tokens = max(0, min(tokens, _TOKENS_MAX))
        file, view = self._file, self._view
        _, _, era, _, _, concurrency, daily = places
        shared = file.shared or (era != view[ERA] and file.look_around())
        if shared:
            try:
                try:
                    file.enter()
                except OSError:
                    file.wait()
            except HeldUp:
                self._unsettled.append((taken, places, tokens))
                return
        try:
            if era != view[ERA]:
                places = self._cells.found_again(places)
                _, _, _, _, _, concurrency, daily = places
            now = self._now_ns()
            owed, most = taken.owed, taken.most
            if owed is not None and tokens != taken.expected:
                _correct(view, places, owed, tokens, now)
            if concurrency:
                typical_ns = self._typical_ns  # the median: half of the calls move it up, half down
                self._typical_ns += (typical_ns >> 5) + 1 if now - taken.at_ns > typical_ns else -(typical_ns >> 5)
                for cell, own, _, _ in concurrency:
                    view[own] -= 1
                    view[cell] -= 1
            for cell, own, _, _ in daily:
                view[cell + 1] += tokens
                view[cell] -= most
                view[own] -= most
        finally:
            if shared:
                file.leave()

    def _heard(self, level: str, text: str) -> None:
        """The file is held up, or no longer; that is heard inside the section, so what waits is settled after it."""
        self._report(level, text)
        self._look_again(_LOOK_AGAIN_S if self.is_held_up else 0.0)

    def _look_again(self, in_s: float) -> None:
        if self._going_on is not None:
            self._going_on.cancel()
        self._going_on = get_running_loop().call_later(in_s, self._go_on)

    def _go_on(self) -> None:
        """Settle what could not be, once that can be."""
        try:
            self._file.enter()
        except (OSError, HeldUp):
            self._look_again(_LOOK_AGAIN_S)
            return
        self._file.leave()
        unsettled, self._unsettled = self._unsettled, []
        for taken, places, tokens in unsettled:
            self.settle(taken, places, tokens)

    # The records of a day

    async def _read(self, bound: Bound, day: int) -> None:
        """Have the cell of a day know what its records say, or wait for whoever is at it. StoreError."""
        key = (bound.subject, bound.subject_id, day)
        if (reading := self._reads.get(key)) is not None:
            if (failed := await shield(reading)) is not None:
                raise failed
            return
        reading = self._reads[key] = get_running_loop().create_future()
        failed = None
        try:
            deaths = self._file.deaths
            tokens = await self._read_day(*key)
            self._learn(bound, day, tokens, deaths)
        except StoreError as error:
            failed = error
            raise
        finally:
            del self._reads[key]
            reading.set_result(failed)

    def _learn(self, bound: Bound, day: int, tokens: int, deaths: int) -> None:
        """The records of a day said so, when so many had died or joined."""
        if self._closed:
            return
        with self._file.section():
            self._cells.learn(bound, day, tokens, deaths)

    def standing(self, bounds: Sequence[Bound], /) -> Standing | None:
        """Of the bounds on requests the one with the least left; None where there is none, or it cannot be seen."""
        try:
            with self._file.section():
                now = self._now_ns()
                standings = [self._standing(bound, now) for bound in bounds if bound.kind == "requests"]
        except HeldUp:
            return None
        return min(standings, key=lambda each: each.remaining, default=None)

    def _standing(self, bound: Bound, now: int) -> Standing:
        cell = self._cells.find(bound, 0)
        used, wait_ns = (0, 0) if cell is None else request_log.standing(self._view, cell + NEXT, now)
        return Standing(bound, max(0, bound.limit - used), self._clock() + wait_ns / SECOND_NS)

    def close(self) -> None:
        """Hold nothing any more, and let others have our column. Idempotent."""
        if self._unsettled and not self._closed:
            self._go_on()
        self._closed = True
        if self._going_on is not None:
            self._going_on.cancel()
        self._file.close()


def _correct(view: memoryview, places: Places, owed: list[int], tokens: int, now: int) -> None:
    """Owe what was used instead of what was expected. What has been worked off already does not come back: others have
    used it since."""
    for place, (cell, limit, rounding, _) in enumerate(places.tokens):
        more = (tokens * MINUTE_NS + rounding) // limit - owed[2 * place + 1]
        if more > 0:
            view[cell] = min(max(view[cell], now) + more, now + 2 * _OWED_NS_MAX)
        elif (open_ns := owed[2 * place] - now) > 0:
            view[cell] -= open_ns if open_ns < -more else -more
