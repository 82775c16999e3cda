"""Power that is cut: what is on the disk of a file that was written is what was synced, and of the rest anything.

A process is watched by strace, which sees each write and each fsync. From these a disk is made as it may be at any
moment: with nothing that was not synced, with all of it (a process that was killed), or with some of it, torn at the
disk's sectors. It is a model of a file system, not one: metadata counts as kept, and no two files are told apart by it.
"""

import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from faregate.stores.sqlite import open_migrated
from tests.running.processes import CLEAN

from .batches import BATCHES, FILE, send

ROOT = Path(__file__).parents[2]
ACKS = "acks"
SECTOR_BYTES = 512
_CALLS = "pwrite64,write,fdatasync,fsync,ftruncate,unlink"
_CALL = re.compile(r"\d+\s+(\w+)\((.*)\)\s+= \d+$")
_TEXT = re.compile(r"((?:\\x[0-9a-f]{2})+)")


@dataclass(frozen=True)
class Event:
    """What a process did to one of its files: wrote `data` at an offset, synced it, cut it off at an offset, removed
    it, or told the world of one more batch."""

    kind: str
    name: str
    offset: int = 0
    data: bytes = b""


def watched(folder: Path, synchronous: str) -> list[Event]:
    """All that a process does to its files while it commits the batches and closes, which copies the log into the
    file; skipped where no process may be watched."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace, to see what is synced when")
    log = folder / "calls"
    words = [strace, "-f", "-y", "-xx", "-s", "65536", "-e", f"trace={_CALLS}", "-e", "signal=none", "-o", str(log)]
    program = [sys.executable, "-m", __name__, str(folder), synchronous]
    environment = {**CLEAN, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*words, *program], capture_output=True, text=True, env=environment, timeout=60, check=False)
    if "ptrace" in done.stderr:
        pytest.skip(f"may not trace: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return [event for line in log.read_text().splitlines() for event in _events(line, folder)]


def _events(line: str, folder: Path) -> Iterator[Event]:
    call = _CALL.match(line)
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(line)]
    if call is None or not texts or Path(os.fsdecode(texts[0])).parent != folder:
        return
    kind, name = call[1], Path(os.fsdecode(texts[0])).name
    if name == ACKS:
        yield Event("told", name)
    elif name not in (FILE, f"{FILE}-wal"):
        return
    elif kind == "pwrite64":
        yield Event("write", name, int(call[2].rpartition(", ")[2]), texts[1])
    elif kind == "ftruncate":
        yield Event("cut", name, int(call[2].rpartition(", ")[2]))
    else:
        yield Event("remove" if kind == "unlink" else "sync", name)


@dataclass
class Disk:
    """Files as they are synced, and what was done to each since."""

    files: dict[str, bytearray]
    told: int = 0
    waiting: dict[str, list[Event]] = field(default_factory=dict)

    def take(self, event: Event) -> None:
        """The process did this."""
        if event.kind == "told":
            self.told += 1
        elif event.kind == "sync":
            self.files[event.name] = _with(self.files, event.name, self.waiting.pop(event.name, []))
        elif event.kind == "remove":
            self.waiting.pop(event.name, None)
            self.files.pop(event.name, None)
        else:
            self.waiting.setdefault(event.name, []).append(event)

    def image(self, folder: Path, dice: random.Random | None = None, *, keeps_all: bool = False) -> Path:
        """The files after a cut at this moment: with nothing of what waits, with some of it by chance, or with all."""
        folder.mkdir()
        for name in self.files.keys() | self.waiting.keys():
            waiting = self.waiting.get(name, []) if keeps_all or dice is not None else []
            if dice is not None:
                waiting = [piece for event in waiting for piece in _sectors(event) if dice.random() < 0.5]
            if name in self.files or waiting:
                (folder / name).write_bytes(_with(self.files, name, waiting))
        return folder / FILE


def _with(files: dict[str, bytearray], name: str, events: list[Event]) -> bytearray:
    content = bytearray(files.get(name, b""))
    for event in events:
        if event.kind == "cut":
            del content[event.offset :]
        else:
            content.extend(bytes(max(0, event.offset - len(content))))
            content[event.offset : event.offset + len(event.data)] = event.data
    return content


def _sectors(event: Event) -> Iterator[Event]:
    """A write as the disk does it, sector by sector."""
    start = 0
    while start < len(event.data):
        end = start + SECTOR_BYTES - (event.offset + start) % SECTOR_BYTES
        yield Event(event.kind, event.name, event.offset + start, event.data[start:end])
        start = end


def main(folder: Path, synchronous: str) -> None:
    """What is watched: the batches, each told of when it is committed."""
    session = open_migrated(folder / FILE)
    if synchronous:  # else as the gateway has it
        session.connection.execute(f"PRAGMA synchronous = {synchronous}")
    told = os.open(folder / ACKS, os.O_WRONLY | os.O_CREAT)
    for seq in range(1, len(BATCHES) + 1):
        send(session, seq)
        os.write(told, b"%d" % seq)
    session.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
