"""`python -m bench.limits TAKES FOLDER [shared]`: what it costs to count a call on every limit at once.

A process of its own, with five bounds on every call: requests of a key and of its project, tokens a minute, calls at
the same time, tokens of the day. Eight calls are under way. Alone, every key has admitted nearly as many in the last
minute as it may, each in an entry of its own: the clock is set so that one leaves the window for each that comes. With
`shared` several may run on one folder, under locks, on the machine's clock and without such a limit; each waits for a
line on its standard input before it begins. Prints JSON.
"""

import asyncio
import json
import sys
import time
from collections import deque
from itertools import count
from pathlib import Path

from faregate.core.limits import Bound, BoundKind, Demand, Refused
from faregate.stores.counters import MachineCounters, MachineTaken

KEYS = 64
UNDER_WAY = 8
MINUTE_NS = 60_000_000_000
_LIMITS: tuple[tuple[BoundKind, str, int], ...] = (
    ("requests", "key", 600),
    ("requests", "project", 10_000_000),
    ("tokens", "key", 10**9),
    ("concurrency", "key", 1_000_000),
    ("daily_tokens", "organisation", 10**12),
)
_SHARED_REQUESTS = 10_000_000


async def no_tokens(_subject: str, _subject_id: str, _day: int) -> int:
    """Nothing was used today."""
    return 0


def bounds_of(key: int, *, shared: bool = False) -> tuple[Bound, ...]:
    """What is counted of a key's calls; all keys have one project."""
    owners = {"key": key, "project": 0, "organisation": 0}
    bounds = []
    for place, (kind, subject, limit) in enumerate(_LIMITS):
        most = _SHARED_REQUESTS if shared and kind == "requests" else limit
        bounds.append(Bound(kind, bytes((place, owners[subject])) * 8, most, subject, str(owners[subject])))
    return tuple(bounds)


async def run(counters: MachineCounters, demands: list[Demand], takes: int) -> int:
    """So many calls; how many were refused."""
    under_way: deque[MachineTaken] = deque()
    refused = 0
    for number in range(takes):
        taken = await counters.take(demands[number % KEYS])
        if isinstance(taken, Refused):
            refused += 1
            continue
        _ = taken.standing
        under_way.append(taken)
        if len(under_way) > UNDER_WAY:
            under_way.popleft().settle(260)
    for taken in under_way:
        taken.settle(260)
    return refused


def main() -> None:
    """Measure, and print what was found."""
    takes, folder, shared = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["shared"]
    step_ns = MINUTE_NS // (KEYS * 590) // 2  # a call looks twice
    clock = time.monotonic_ns if shared else count(time.monotonic_ns(), step_ns).__next__
    counters = MachineCounters(folder, no_tokens, alone=not shared, monotonic_ns=clock)
    demands = [Demand(bounds_of(key, shared=shared), 250, 4000, 20_000) for key in range(KEYS)]
    asyncio.run(run(counters, demands, KEYS * 600))
    if shared:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
    begun_s, wall_s = time.process_time(), time.perf_counter()
    refused = asyncio.run(run(counters, demands, takes))
    cpu_us = (time.process_time() - begun_s) / takes * 1e6
    wall_us = (time.perf_counter() - wall_s) / takes * 1e6
    counters.close()
    sys.stdout.write(json.dumps({"cpu_us": cpu_us, "wall_us": wall_us, "refused": refused}) + "\n")


if __name__ == "__main__":
    main()
