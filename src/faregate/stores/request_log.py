"""When each request was admitted, in a ring of a cell of counters: the exact window of a minute.

An entry is a pair of words: a time, and, in the word before the next entry's, how many had been admitted by then. So
the requests of the window are the difference of what stands before its end and before its beginning, and an entry
becomes part of the log by one write, that of its end. Up to EXACT each request has an entry of its own. For higher
limits those of the same tenth of a second share one, and count from the last of them: such a limit may give back its
places a tenth of a second late, never early.

Begin and end are places in the ring; the functions get the index of the ring's first word. In the critical section.
"""

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
EXACT = 600
FIRST, NEXT, BEFORE = -5, -4, -1  # words seen from the ring: the log's begin, its end; and from an entry
RING = 8  # where the ring starts in its cell
LAST_PLACE = 2 * (EXACT + 1)
RING_WORDS = RING + LAST_PLACE + 2
_QUANTUM_NS = SECOND_NS // 10


def expired(view: memoryview, ring: int, first: int, following: int, horizon: int) -> int:
    """Where a log begins without what was admitted at `horizon` or before."""
    while first != following and view[ring + first] <= horizon:
        first = first + 2 if first < LAST_PLACE else 0
    return first


def joined(view: memoryview, ring: int, following: int, now: int) -> bool:
    """Whether the last entry of a log is for this moment too, because it is of the same tenth of a second, or the last
    that there is room for. Its time is then this one."""
    first = view[ring + FIRST]
    if first == following:
        return False
    last = following - 2 if following else LAST_PLACE
    before_first = first - 2 if first else LAST_PLACE
    if view[ring + last] // _QUANTUM_NS != now // _QUANTUM_NS and following != before_first:
        return False
    view[ring + last] = now
    return True


def wait_ns(view: memoryview, ring: int, limit: int, now: int) -> int:
    """How long until a log has room for one more."""
    entry, following = view[ring + FIRST], view[ring + NEXT]
    passed = view[ring + following + BEFORE] - limit + 1  # so many of those ever admitted must be out of the window
    found = 0
    while entry != following and view[ring + entry + BEFORE] < passed:
        found = view[ring + entry] + MINUTE_NS - now
        entry = entry + 2 if entry < LAST_PLACE else 0
    return max(0, found)


def standing(view: memoryview, ring: int, now: int) -> tuple[int, int]:
    """How many requests are in the window, and how long until there are none."""
    following = view[ring + NEXT]
    first = expired(view, ring, view[ring + FIRST], following, now - MINUTE_NS)
    if first == following:
        return 0, 0
    used = view[ring + following + BEFORE] - view[ring + first + BEFORE]
    return used, view[ring + (following - 2 if following else LAST_PLACE)] + MINUTE_NS - now
