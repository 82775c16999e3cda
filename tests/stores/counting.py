"""`python -m tests.stores.counting FOLDER WORK KIND LIMIT TIMES`: one process that counts, for tests that run several.

It says `ready`, waits for a line, works, and says what came of it in a line of JSON. `take`: so many takes, none of
them over before the process is; it then waits for its end. `churn`: at each line it starts a process that takes and
ends for ever, or kills the oldest one, and says so when that is done. Requests are on one counter after another, until
each is full; what was admitted is in their log, a byte each that names the counter. A call at a time has one of LIMIT
marks, and says `over` where none is left. Their clock is slow, so that no minute ends under a test. `stop`: it counts
where a gateway does, and stops itself, as by SIGSTOP, in the critical section; it leaves it once it goes on.
"""

import asyncio
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

from faregate.core.limits import Bound, Demand, Refused
from faregate.stores.counters import MachineCounters

SEVERAL = 40


def bound_of(kind: str, limit: int, number: int = 0) -> Bound:
    """The bound that all of a test's processes count on, or one of several."""
    return Bound(kind, f"{kind} {number}".encode().ljust(16, b"."), limit, "key", "k")  # type: ignore[arg-type]


def demand_of(kind: str, limit: int, number: int = 0) -> Demand:
    """One call, of one token."""
    return Demand((bound_of(kind, limit, number),), 1, 1, 20_000)


async def nothing_used(_subject: str, _subject_id: str, _day: int) -> int:
    """The records of a day on which nothing was used."""
    return 0


def say(found: object) -> None:
    """A line on standard output."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


async def take(counters: MachineCounters, demand: Demand, times: int) -> list[object]:
    """So many takes; what was taken, and the refusals."""
    return [await counters.take(demand) for _ in range(times)]


async def churn(counters: MachineCounters, kind: str, limit: int, log: int, marks: int) -> None:
    """Takes and ends, for ever."""
    demands = [demand_of(kind, limit, number) for number in range(SEVERAL)]
    number = 0
    while True:
        taken = await counters.take(demands[number])
        if isinstance(taken, Refused):
            number += kind == "requests" and number < SEVERAL - 1
        elif kind == "requests":
            os.write(log, bytes((number,)))
        else:
            mark = next((mark for mark in range(limit) if has_mark(marks, mark)), None)
            if mark is None:
                os.write(log, b"over")
                return
            fcntl.lockf(marks, fcntl.LOCK_UN, 1, mark)
            taken.settle(0)


def has_mark(marks: int, mark: int) -> bool:
    """Whether this mark was free; now it is ours."""
    try:
        fcntl.lockf(marks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, mark)
    except OSError:
        return False
    return True


def direct(folder: Path, kind: str, limit: int, log: int, marks: int) -> None:
    """Start processes that churn, and kill them."""
    living: list[int] = []
    for line in sys.stdin:
        if line == "start\n":
            pid = os.fork()
            if pid == 0:
                asyncio.run(churn(counters_in(folder), kind, limit, log, marks))
                os._exit(0)
            living.append(pid)
        else:
            pid = living.pop(0)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        say("done")
    for pid in living:
        os.kill(pid, signal.SIGKILL)


def counters_in(folder: Path) -> MachineCounters:
    """The counters of one more process."""
    return MachineCounters(
        folder, nothing_used, small_cells=64, ring_cells=64, monotonic_ns=lambda: time.monotonic_ns() // 100
    )


def stop(folder: Path) -> None:
    """Stop inside."""
    counters = MachineCounters(folder, nothing_used)
    say("ready")
    sys.stdin.readline()
    with counters._file.section():
        os.kill(os.getpid(), signal.SIGSTOP)
    say("left")
    sys.stdin.readline()


def main() -> None:
    """Do the work."""
    folder, work, kind, limit, times = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    if work == "stop":
        stop(folder)
        return
    # Before the counters: a process that dies closes its files in this order, and its marks are gone before its places
    marks = os.open(folder / "marks", os.O_RDWR | os.O_CREAT)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    if work == "churn":
        say("ready")
        direct(folder, kind, limit, log, marks)
        return
    counters = counters_in(folder)
    say("ready")
    sys.stdin.readline()
    answers = asyncio.run(take(counters, demand_of(kind, limit), times))
    say(sum(not isinstance(answer, Refused) for answer in answers))
    sys.stdin.readline()


if __name__ == "__main__":
    main()
