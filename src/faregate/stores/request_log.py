"""When each request was admitted, in a ring of a cell of counters: the exact window of a minute.

An entry is a pair of words: a time, and, in the word before the next entry's, how many had been admitted by then. So
the requests of the window are the difference of what stands before its end and before its beginning, and an entry
becomes part of the log by one write, that of its end. Up to EXACT each request has an entry of its own. For higher
limits those of the same tenth of a second share one, and count from the last of them: such a limit may give back its
places a tenth of a second late, never early.

The functions get the index of the word that holds where the log ends. In the critical section.
"""

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
EXACT = 600
FIRST, NEXT, RING = 3, 4, 8  # words of its cell: where its log begins, where it ends; the first of the ring
FROM_NEXT = RING - NEXT
RING_WORDS = RING + 2 * (EXACT + 2)
_TO_FIRST, _TO_LAST = FIRST - NEXT, RING_WORDS - NEXT - 2
_QUANTUM_NS = SECOND_NS // 10


def begin(view: memoryview, cell: int) -> None:
    """An empty log, in a new cell."""
    view[cell + FIRST] = view[cell + NEXT] = cell + RING


def expire(view: memoryview, first_at: int, now: int) -> int:
    """Where a log begins, without what is a minute old."""
    next_at = first_at - _TO_FIRST
    first = view[first_at] = _first(view, next_at, now)
    return first


def joined(view: memoryview, next_at: int, now: int) -> bool:
    """Whether the last entry of a log is for this moment too, because it is of the same tenth of a second, or the last
    that there is room for. Its time is then this one."""
    first, following = view[next_at + _TO_FIRST], view[next_at]
    if first == following:
        return False
    last = _before(next_at, following)
    if view[last] // _QUANTUM_NS != now // _QUANTUM_NS and following != _before(next_at, first):
        return False
    view[last] = now
    return True


def wait_ns(view: memoryview, next_at: int, limit: int, now: int) -> int:
    """How long until a log has room for one more."""
    entry, following = view[next_at + _TO_FIRST], view[next_at]
    passed = view[following - 1] - limit + 1  # so many of those ever admitted must be out of the window
    found = 0
    while entry != following and view[entry - 1] < passed:
        found = view[entry] + MINUTE_NS - now
        entry = _after(next_at, entry)
    return max(0, found)


def standing(view: memoryview, next_at: int, now: int) -> tuple[int, int]:
    """How many requests are in the window, and how long until there are none."""
    first, following = _first(view, next_at, now), view[next_at]
    if first == following:
        return 0, 0
    return view[following - 1] - view[first - 1], view[_before(next_at, following)] + MINUTE_NS - now


def _first(view: memoryview, next_at: int, now: int) -> int:
    first, following = view[next_at + _TO_FIRST], view[next_at]
    while first != following and view[first] <= now - MINUTE_NS:
        first = _after(next_at, first)
    return first


def _after(next_at: int, entry: int) -> int:
    return entry + 2 if entry - next_at < _TO_LAST else next_at + FROM_NEXT


def _before(next_at: int, entry: int) -> int:
    return entry - 2 if entry - next_at > FROM_NEXT else next_at + _TO_LAST
