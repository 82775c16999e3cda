"""Processes that are killed inside a transaction: by SIGKILL before the statement of a certain number."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

from faregate.ledger.reaper import reap
from faregate.stores.sqlite import Session

from .batches import BATCHES, EPOCH, NOW, opened, send

AFTER = "committed"  # a point after the COMMIT, before anybody has heard of it
Point = int | str
LONG_AFTER = NOW + 1000.0


def context() -> ForkServerContext:
    """Children of a process without threads of its own, that has loaded what they need."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload([__name__])
    return found


def killed_at(work: Callable[[Path, Point], None], file: Path, point: Point) -> bool:
    """Whether a process that did `work` on this file was killed at the point; False where it got to its end."""
    child = context().Process(target=work, args=(file, point))
    child.start()
    child.join(30)
    assert child.exitcode in (0, -signal.SIGKILL), child.exitcode
    return child.exitcode != 0


def commit_all(file: Path, point: Point) -> None:
    """Commit the batches; `point` counts the statements of them all, BEGIN and COMMIT too."""
    session = opened(file)
    _die_before(session, point)
    for seq in range(1, len(BATCHES) + 1):
        send(session, seq)
        if point == f"{AFTER} {seq}":
            _die()


def commit_all_then_die(file: Path, _: Point) -> None:
    """Leave the ledger as a process does that was killed after the last batch."""
    session = opened(file)
    for seq in range(1, len(BATCHES) + 1):
        send(session, seq)
    _die()


def reap_all(file: Path, point: Point) -> None:
    """Reap the dead process, and its job, whose time is over too."""
    session = opened(file)
    _die_before(session, point)
    session.transact(lambda writing: reap(writing, LONG_AFTER, [EPOCH]))
    if point == AFTER:
        _die()


def _die_before(session: Session, point: Point) -> None:
    left = [point]

    def count(_: str) -> None:
        if isinstance(left[0], int):
            if left[0] == 0:
                _die()
            left[0] -= 1

    session.connection.set_trace_callback(count)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
