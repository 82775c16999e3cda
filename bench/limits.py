"""`python -m bench.limits TAKES FOLDER [shared]`: what it costs to count a call on every limit at once.

A process of its own, with five bounds on every call: requests of a key and of its project, tokens a minute, calls at
the same time, tokens of the day. Eight calls are under way, as many have been admitted in the last minute as may be: a
clock of its own, each of whose looks is a few milliseconds later, has one leave the window for each that comes. With
`shared` several may run on one folder; each waits for a line on its standard input before it begins. Prints JSON.
"""

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path

from faregate.core.limits import Bound, BoundKind, Demand
from faregate.stores.counters import MachineCounters

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


async def no_tokens(_subject: str, _subject_id: str, _day: int) -> int:
    """Nothing was used today."""
    return 0


def bounds_of(key: int) -> tuple[Bound, ...]:
    """What is counted of a key's calls; all keys have one project."""
    owners = {"key": key, "project": 0, "organisation": 0}
    return tuple(
        Bound(kind, bytes((place, owners[subject])) * 8, limit, subject, str(owners[subject]))
        for place, (kind, subject, limit) in enumerate(_LIMITS)
    )


async def run(counters: MachineCounters, takes: int) -> int:
    """So many calls; how many were refused."""
    demands = [Demand(bounds_of(key), 250, 4000, 20_000) for key in range(KEYS)]
    under_way = deque([await counters.take(demand) for demand in demands[:UNDER_WAY]])
    refused = 0
    for number in range(takes):
        taken = await counters.take(demands[number % KEYS])
        if isinstance(taken, tuple):
            refused += 1
            continue
        under_way.append(taken)
        _ = taken.standing
        under_way.popleft().settle(260)  # type: ignore[union-attr]
    for taken in under_way:
        taken.settle(260)  # type: ignore[union-attr]
    return refused


def main() -> None:
    """Measure, and print what was found."""
    takes, folder, shared = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["shared"]
    now_ns = time.monotonic_ns()
    step_ns = MINUTE_NS // (KEYS * 590) // 3  # a call looks three times

    def later() -> int:
        nonlocal now_ns
        now_ns += step_ns
        return now_ns

    clock = time.monotonic_ns if shared else later
    counters = MachineCounters(folder, no_tokens, alone=not shared, monotonic_ns=clock)
    asyncio.run(run(counters, KEYS * 600))
    if shared:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
    begun_s, wall_s = time.process_time(), time.perf_counter()
    refused = asyncio.run(run(counters, takes))
    cpu_us = (time.process_time() - begun_s) / takes * 1e6
    wall_us = (time.perf_counter() - wall_s) / takes * 1e6
    counters.close()
    sys.stdout.write(json.dumps({"cpu_us": cpu_us, "wall_us": wall_us, "refused": refused}) + "\n")


if __name__ == "__main__":
    main()
