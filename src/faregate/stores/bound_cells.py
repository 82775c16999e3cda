"""Where bounds are counted: which cells of the shared table they have, and what must be known before they count."""

import struct
from functools import partial
from typing import NamedTuple

from ..core.limits import Bound, BoundKind
from . import request_log
from .counter_table import COLUMNS, COUNT_BITS, ERA, SINK, Cells, CounterFile

# Words of a cell that is not of requests, behind its name: what is owed until (tokens), or the sum of what processes
# hold; of a day the tokens used, and how many had died or joined when its records were read; the processes' columns.
SUM, USED, READ, OWN = 3, 4, 5, 8
SMALL_WORDS = OWN + COLUMNS
_REMEMBERED_MAX = 16_384
_TOKENS_MAX = 1 << 61
_KINDS: dict[BoundKind, int] = {"requests": 1, "tokens": 2, "concurrency": 3, "daily_tokens": 4}
_REQUESTS, _TOKENS, _CONCURRENCY, _DAILY_TOKENS = _KINDS.values()
_KIND_BITS = 3  # of a tag; above them the day, where there is one
_NAME = struct.Struct("=qq")


class Unread(Exception):
    """The records of a day have to be read before anything can be said."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound


class Full(Exception):
    """There is no place for the cell of a bound."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound


class Places(NamedTuple):
    """Where the bounds of a call are counted, by kind, with their limits; true in one era of the table."""

    bounds: tuple[Bound, ...]
    day: int
    era: int
    requests: list[tuple[int, int, int, int, Bound]]  # where the log's begin and end stand, where its ring is over
    tokens: list[tuple[int, int, int, Bound]]  # what is owed; the limit, and one less
    concurrency: list[tuple[int, int, int, Bound]]  # the sum, our own share
    daily: list[tuple[int, int, int, Bound]]  # the sum of what is reserved, our own share; behind it the used


class BoundCells:
    """Finds the cells of bounds, and makes them. In the critical section."""

    def __init__(self, file: CounterFile, small: Cells, rings: Cells) -> None:
        self._file = file
        self._view = file.view
        self._small = small
        self._rings = rings
        self.remembered: dict[int, Places] = {}  # by the identity of their bounds

    def place(self, bounds: tuple[Bound, ...], day: int, now: int) -> Places:
        """The cells of a call's bounds, made where there were none, and remembered. Full, Unread."""
        places = Places(bounds, day, 0, [], [], [], [])
        kept: set[int] = set()
        for bound in _distinct(bounds):
            cell = self.find(bound, day)
            if cell is None:
                cell = self._claim(bound, day, partial(self._is_empty, kept, day, now))
            kept.add(cell)
            if bound.kind == "daily_tokens" and self._view[cell + READ] != self._file.deaths:
                raise Unread(bound)
            self._add(places, bound, cell)
        places = places._replace(era=self._view[ERA])
        if len(self.remembered) >= _REMEMBERED_MAX:
            self.remembered.clear()
        self.remembered[id(bounds)] = places
        return places

    def found_again(self, former: Places) -> Places:
        """Where the cells of a call are in this era. Those that are gone had nothing in them: they are the sink."""
        self._view[SINK + SUM] = self._view[SINK + USED] = 0
        places = Places(former.bounds, former.day, self._view[ERA], [], [], [], [])
        for bound in _distinct(former.bounds):
            cell = self.find(bound, former.day)
            self._add(places, bound, SINK if cell is None else cell)
        return places

    def find(self, bound: Bound, day: int) -> int | None:
        """The cell of a bound, if it has one."""
        return self._region(bound).find(_name_of(bound), _tag_of(bound, day))

    def learn(self, bound: Bound, day: int, tokens: int, deaths: int) -> None:
        """The records of a day said so, when so many processes had died or joined."""
        cell = self.find(bound, day)
        if cell is not None:
            self._view[cell + USED] = max(self._view[cell + USED], min(tokens, _TOKENS_MAX))
            self._view[cell + READ] = deaths

    def recount(self, place: int) -> int:
        """A sum of what processes hold, taken again."""
        total = self._view[place] = self._file.recount(place + OWN - SUM)
        return total

    def _add(self, places: Places, bound: Bound, cell: int) -> None:
        if bound.kind == "requests":
            first_at, next_at = cell + request_log.FIRST, cell + request_log.NEXT
            places.requests.append((first_at, next_at, cell + request_log.RING_WORDS, bound.limit, bound))
        elif bound.kind == "tokens":
            places.tokens.append((cell + SUM, bound.limit, bound.limit - 1, bound))
        else:
            own = cell + OWN + (0 if cell == SINK else self._file.column)
            if self._view[own] >> COUNT_BITS != self._file.own_start >> COUNT_BITS:
                self._view[own] = self._file.own_start
            kind = places.concurrency if bound.kind == "concurrency" else places.daily
            kind.append((cell + SUM, own, bound.limit, bound))

    def _region(self, bound: Bound) -> Cells:
        return self._rings if bound.kind == "requests" else self._small

    def _claim(self, bound: Bound, day: int, is_empty: "partial[bool]") -> int:
        prepare = request_log.begin if bound.kind == "requests" else _clear
        cell = self._region(bound).claim(_name_of(bound), _tag_of(bound, day), is_empty, partial(prepare, self._view))
        if cell is None:
            raise Full(bound)
        return cell

    def _is_empty(self, kept: set[int], day: int, now: int, cell: int) -> bool:
        """Whether nothing would be lost with a cell: it is over, and nobody holds anything there."""
        if cell in kept:
            return False
        kind, cell_day = self._view[cell + 2] & (1 << _KIND_BITS) - 1, self._view[cell + 2] >> _KIND_BITS
        if kind == _REQUESTS:
            return request_log.standing(self._view, cell + request_log.NEXT, now)[0] == 0
        if kind == _TOKENS:
            return self._view[cell + SUM] <= now
        return (kind == _CONCURRENCY or cell_day < day) and self.recount(cell + SUM) == 0


def _distinct(bounds: tuple[Bound, ...]) -> list[Bound]:
    """One bound for each cell, the lowest."""
    lowest: dict[tuple[str, bytes], Bound] = {}
    for bound in bounds:
        known = lowest.setdefault((bound.kind, bound.scope), bound)
        if bound.limit < known.limit:
            lowest[bound.kind, bound.scope] = bound
    return list(lowest.values())


def _clear(view: memoryview, cell: int) -> None:
    view[cell + SUM] = view[cell + USED] = view[cell + READ] = 0


def _name_of(bound: Bound) -> tuple[int, int]:
    first, second = _NAME.unpack(bound.scope)
    return first, second


def _tag_of(bound: Bound, day: int) -> int:
    kind = _KINDS[bound.kind]
    return kind if kind != _DAILY_TOKENS else kind | day << _KIND_BITS
