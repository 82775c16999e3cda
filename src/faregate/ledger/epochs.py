"""A process's place among those that share the ledger: its epoch, the proof that it lives, the end of the dead.

A process proves that it lives by a lock on `run/epoch-<node>` in the data directory, which the kernel lets go of with
the process; whoever can take the lock of an epoch that has not ended reaps it. Their lock is held while that is done,
so that one reaper does it.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..stores.database import Database, Transaction, named_queries
from .commit import start_epoch
from .notices import nodes_of, remove_socket
from .reaper import reap


class Epoch:
    """This process's epoch: `number` once it has begun, `node` its name in the run folder."""

    def __init__(self, database: Database, run_folder: Path, report: Callable[[str, str], None]) -> None:
        self.number = 0
        self.node = secrets.token_hex(8)
        self._database = database
        self._run_folder = run_folder
        self._report = report
        self._lock = -1

    async def begin(self) -> None:
        """Begin; what dead processes left is reaped first. StoreUnavailable."""
        self._run_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._file_of(self.node), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        await self.reap()
        self.number = await self._database.run(lambda writing: start_epoch(writing, self.node, time.time()))

    async def end(self) -> None:
        """Nothing of it is left to reap. StoreUnavailable."""
        await self._database.run(lambda writing: _end_epochs(writing, [self.number]))
        self._file_of(self.node).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the lock: whoever comes next may reap what is left, if anything is."""
        os.close(self._lock)

    async def reap(self) -> None:
        """End what dead processes left open."""
        rows = await self._database.read(lambda reading: reading.all(named_queries("ledger")["epochs_not_ended"]))
        epochs = {node: epoch for epoch, node in rows if epoch != self.number}
        locks: dict[str, int] = {}
        try:
            # A socket comes after the lock; one without an epoch is of a process whose reaper died
            for node in (epochs.keys() | nodes_of(self._run_folder)) - {self.node}:
                lock = _take_lock(self._file_of(node))
                if lock is not None:
                    locks[node] = lock
            dead = [epochs[node] for node in locks if node in epochs]

            def work(writing: Transaction) -> int:
                reaped = reap(writing, time.time(), dead, own=self.number)
                _end_epochs(writing, dead)
                return reaped

            reaped = await self._database.run(work)
            for node in locks:
                remove_socket(self._run_folder, node)
                self._file_of(node).unlink(missing_ok=True)
        finally:
            for lock in locks.values():
                os.close(lock)
        if reaped:
            self._report(
                "warning", f"reaped: {reaped} calls of processes that died were charged what had been delivered"
            )

    def _file_of(self, node: str) -> Path:
        return self._run_folder / f"epoch-{node}"


def _take_lock(file: Path) -> int | None:
    """The lock of an epoch whose process is dead; None while it lives."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _end_epochs(writing: Transaction, epochs: Sequence[int]) -> None:
    for epoch in epochs:
        writing.run(named_queries("ledger")["end_epoch"], (epoch, time.time()))
