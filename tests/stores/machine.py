"""A machine on which processes count, for the tests of the counters."""

import asyncio
import os
from pathlib import Path
from typing import Any

from faregate.core.limits import Bound, BoundKind, Demand, Refused
from faregate.stores.counters import MachineCounters, MachineTaken

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
DAY = 20_000
KINDS: tuple[BoundKind, ...] = ("requests", "tokens", "concurrency", "daily_tokens")


def bound(kind: BoundKind, limit: int, name: str = "a", subject: str = "key") -> Bound:
    return Bound(kind, f"{kind[:8]}{name}".encode().ljust(16, b"."), limit, subject, name)


class Machine:
    """A machine with a clock that a test sets, and the records of its ledger."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ns = 7 * MINUTE_NS
        self.records: dict[tuple[str, str, int], int] = {}
        self.reads = 0
        self.said: list[str] = []

    def unix_time(self) -> float:
        return DAY * 86_400 + self.now_ns / SECOND_NS

    async def read_day(self, subject: str, subject_id: str, day: int) -> int:
        self.reads += 1
        return self.records.get((subject, subject_id, day), 0)

    def process(self, **options: Any) -> MachineCounters:
        cells = {"small_cells": 64, "ring_cells": 16} | options
        return MachineCounters(
            self.folder,
            self.read_day,
            lambda _, text: self.said.append(text),
            monotonic_ns=lambda: self.now_ns,
            clock=self.unix_time,
            **cells,
        )


def take(
    counters: MachineCounters, *bounds: Bound, expected: int = 0, most: int = 0, day: int = DAY
) -> MachineTaken | Refused:
    return asyncio.run(counters.take(Demand(bounds, expected, most, day)))


def admitted(
    counters: MachineCounters, *bounds: Bound, expected: int = 0, most: int = 0, day: int = DAY
) -> MachineTaken:
    taken = take(counters, *bounds, expected=expected, most=most, day=day)
    assert isinstance(taken, MachineTaken)
    return taken


def refused(counters: MachineCounters, *bounds: Bound, expected: int = 0, most: int = 0, day: int = DAY) -> Refused:
    answer = take(counters, *bounds, expected=expected, most=most, day=day)
    assert isinstance(answer, Refused)
    return answer


def wait_ns(answer: Refused) -> int:
    return round(answer.retry_after_s * SECOND_NS)


def kill(counters: MachineCounters) -> None:
    """As the kernel ends a process: its locks go with its files, and nothing else is done."""
    counters._closed = True
    file = counters._file
    file.view.release()
    file._map.close()
    os.close(file._descriptor)
    file._descriptor = -1
