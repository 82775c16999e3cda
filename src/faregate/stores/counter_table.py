"""Cells of counters in memory that all processes of a machine share: a file mapped into each of them.

Theory of operation. The file has a header and regions of cells; a cell is a fixed number of words of 64 bits. It is
sparse: what no cell was ever placed on takes no space, and what a cell is placed on is asked of the disk before it is
touched, because a mapped page that finds no space there kills the process. It belongs to one boot of one machine, whose
monotonic clock the words speak of: a file of another boot, or one that cannot be read, starts afresh. So counts outlive
the processes, but never the clock.

A cell is found by its name, two words and a tag, at one of the PROBES places from where its hash points. A place that
was taken stays taken; a new cell takes one that was never used, or that of a cell with nothing in it any more. Whoever
remembers where a cell is compares the header's era: it goes up before any cell gives way to another, when a process
joins, and when one was found dead.

Locks are on bytes of the file, and the kernel lets go of them with the process. One is for the critical section; a
process that was declared to be alone does without, until another joins. One for each column is held for life by the
process that has it: whoever finds it free knows that the process is dead. What a process holds in a cell (its places,
its reservations) stands in the cell's word for its column, together with the column's generation; one higher generation
makes all of them void at once, and a process that takes over the column inherits nothing.

A process that is killed in the critical section leaves its writes half done; they are in such an order that what is
missing was never used. One that is stopped there (SIGSTOP, a debugger, a frozen container) has the section for as long
as it likes: nobody may go on without it, as it will go on with its writes. So nobody waits for longer than PATIENCE_S.
After that the section is held up: whoever wants it is told so at once, until it is free again.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from .database import StoreUnavailable

LAYOUT = 1  # part of the file's name: versions that lay it out otherwise do not meet in one
COLUMNS = 128  # processes at the same time: the workers, and those that take their places while they drain
ERA, SINK = 4, 448  # words of the header; what is written to the sink is nobody's
PROBES = 16
COUNT_BITS = 44  # of a column's word in a cell; above them its generation
COUNT_MASK = (1 << COUNT_BITS) - 1
_MAGIC = 0x46415245_47415445
_DEATHS, _ALONE, _HIGH, _GENERATIONS, _HEADER_WORDS = 5, 6, 7, 16, 512
_OWNERS = _GENERATIONS + COLUMNS  # who has the columns: its pid, and below it its descriptor of the file
_DESCRIPTOR_BITS = 32
_GENERATION_MAX = (1 << 63 - COUNT_BITS) - 1
_SECTION_BYTE, _COLUMN_BYTE = 0, 1
_BEING_MADE = -1  # the tag of a cell whose maker is at it, or died over it
_LOOKED_UP_S = 0.02  # by then a process that took no locks has left its critical section
_HASH_1, _HASH_2, _HASH_3 = 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
PATIENCE_S = 0.5  # far longer than a loaded machine lets anybody wait who only wants to run
_JOIN_PATIENCE_S = 5.0
_SPINS = 20
_PAUSE_S = 0.00005
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HeldUp(StoreUnavailable):
    """Another process stays in the critical section."""


class CounterFile:
    """The file of one process: mapped, with a column of its own. `regions` are (cells, words of a cell). OSError.

    `view` are its words. The critical section is between `enter` and `leave`, which a process leaves out as long as it
    is alone: while `shared` is false, and the era is the one in which it has looked around. Where another process is in
    it, `enter` is an OSError, and `wait` is to be called in its place; both are HeldUp where that stays there.
    `report(level, text)` hears of it, and of its end."""

    def __init__(
        self,
        path: Path,
        regions: Sequence[tuple[int, int]],
        *,
        alone: bool = False,
        report: Callable[[str, str], object] = lambda _, __: None,
    ) -> None:
        self._alone = alone
        self._report = report
        self.is_held_up = False
        self._words = _HEADER_WORDS + sum(cells * words for cells, words in regions)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._try = self.enter = partial(_lock, self._descriptor, _SECTION_BYTE)
        self.leave = partial(_unlock, self._descriptor, _SECTION_BYTE)
        if _OFD:
            self._try = self.enter = partial(
                fcntl.fcntl, self._descriptor, _OFD_TRY, _flock(fcntl.F_WRLCK, _SECTION_BYTE)
            )
            self.leave = partial(fcntl.fcntl, self._descriptor, _OFD_TRY, _flock(fcntl.F_UNLCK, _SECTION_BYTE))
        try:
            if not self._has_entered(_JOIN_PATIENCE_S):
                raise OSError(errno.EBUSY, "the counters of limits are held up by another process, which is stopped")
            head = _head(regions)
            if os.fstat(self._descriptor).st_size != self._words * 8 or os.pread(self._descriptor, 32, 0) != head:
                self._start_afresh(head)
            self._map = mmap.mmap(self._descriptor, self._words * 8)
            self.view = memoryview(self._map).cast("q")
            self.column = self._take_column()
            unlocked = self.view[_ALONE]
            self.shared, self._looked_in = True, 0
            self.look_around()
            self.leave()
        except BaseException:
            os.close(self._descriptor)
            raise
        if unlocked and self.shared:
            time.sleep(_LOOKED_UP_S)
        self.regions: list[Cells] = []
        first = _HEADER_WORDS
        for cells, words in regions:
            self.regions.append(Cells(self, first, cells, words))
            first += cells * words

    def _start_afresh(self, head: bytes) -> None:
        """Lay the file out, empty. OSError where somebody uses it as it is."""
        if any(not self._is_free(column) for column in range(COLUMNS)):
            raise OSError(errno.EBUSY, "the counters of limits are used by a process that lays them out otherwise")
        os.ftruncate(self._descriptor, 0)
        os.ftruncate(self._descriptor, self._words * 8)
        _allocate(self._descriptor, 0, _HEADER_WORDS * 8)
        os.pwrite(self._descriptor, head, 0)

    def _take_column(self) -> int:
        for column in range(COLUMNS):
            if _try_lock(self._descriptor, _COLUMN_BYTE + column):
                self._bury(column)
                self.view[_HIGH] = max(self.view[_HIGH], column + 1)
                self.view[_OWNERS + column] = os.getpid() << _DESCRIPTOR_BITS | self._descriptor
                return column
        raise OSError(errno.EAGAIN, f"{COLUMNS} processes count on these limits already")

    def look_around(self) -> bool:
        """Whether the critical section needs its lock: others are there, or expected. Looked for once in each era."""
        view = self.view
        if self._looked_in != view[ERA]:
            self._looked_in = view[ERA]
            others = any(column != self.column and not self._is_free(column) for column in range(view[_HIGH]))
            self.shared = others or not self._alone
            if not self.shared:
                view[_ALONE] = self.column + 1
            elif view[_ALONE] == self.column + 1:
                view[_ALONE] = 0
        return self.shared

    @contextlib.contextmanager
    def section(self) -> Iterator[None]:
        """The critical section, with its lock where it needs one; where it is entered often, that is written out."""
        if shared := self.look_around():
            try:
                self.enter()
            except OSError:
                self.wait()
        try:
            yield
        finally:
            if shared:
                self.leave()

    def wait(self) -> None:
        """Enter the critical section as soon as whoever is in it leaves. HeldUp."""
        if not self._has_entered(PATIENCE_S):
            self.is_held_up = True
            self.enter = self._enter_again
            self._report("error", f"held up by {self._holder()}: what is counted is refused until it goes on, or ends")
            raise HeldUp("another process stays where limits are counted")

    def _has_entered(self, patience_s: float) -> bool:
        until = time.monotonic() + patience_s
        tries = 0
        while True:
            try:
                self._try()
            except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as POSIX leaves it
                tries += 1
                time.sleep(0 if tries < _SPINS else _PAUSE_S)
                if time.monotonic() > until:
                    return False
            else:
                return True

    def _enter_again(self) -> None:
        """`enter`, while it is held up."""
        try:
            self._try()
        except (BlockingIOError, PermissionError):
            raise HeldUp("another process stays where limits are counted") from None
        self.is_held_up = False
        self.enter = self._try
        self._report("info", "held up no longer")

    def _holder(self) -> str:
        """Who is in the critical section, as far as the system tells."""
        inode = os.fstat(self._descriptor).st_ino
        for column in range(self.view[_HIGH]):
            pid, descriptor = divmod(self.view[_OWNERS + column], 1 << _DESCRIPTOR_BITS)
            if column != self.column and _has_lock(pid, descriptor, inode, _SECTION_BYTE):
                return f"process {pid}{', which is stopped' if _is_stopped(pid) else ''}"
        return "another process"

    @property
    def own_start(self) -> int:
        """What this process's word in a cell is while it holds nothing there."""
        return self.view[_GENERATIONS + self.column] << COUNT_BITS

    @property
    def deaths(self) -> int:
        """Goes up with every process that dies or joins."""
        return self.view[_DEATHS]

    def recount(self, first: int) -> int:
        """The sum of what living processes hold in a cell; `first` is the word of its first column. Those that are
        found dead hold nothing any more, anywhere."""
        view, total = self.view, 0
        for column in range(view[_HIGH]):
            word = view[first + column]
            count = word & COUNT_MASK
            if count and word >> COUNT_BITS == view[_GENERATIONS + column]:
                if column != self.column and self._is_free(column):
                    self._bury(column)
                else:
                    total += count
        return total

    def _bury(self, column: int) -> None:
        """Nothing that was held under this column counts any more."""
        view = self.view
        view[ERA] += 1
        view[_DEATHS] += 1
        view[_GENERATIONS + column] = view[_GENERATIONS + column] % _GENERATION_MAX + 1

    def _is_free(self, column: int) -> bool:
        free = _try_lock(self._descriptor, _COLUMN_BYTE + column)
        if free:
            _unlock(self._descriptor, _COLUMN_BYTE + column)
        return free

    def ask_disk(self, first_word: int, words: int) -> None:
        """Have the disk give what these words need. OSError where it has nothing left."""
        _allocate(self._descriptor, first_word * 8, words * 8)

    def close(self) -> None:
        """Let go of the column: what it still holds is void. Idempotent."""
        if self._descriptor >= 0:
            if self._has_entered(0 if self.is_held_up else PATIENCE_S):  # else it ends as by death
                if self.view[_ALONE] == self.column + 1:
                    self.view[_ALONE] = 0
                _unlock(self._descriptor, _COLUMN_BYTE + self.column)
                self.view[ERA] += 1
                self.leave()
            self.view.release()
            self._map.close()
            os.close(self._descriptor)
            self._descriptor = -1


class Cells:
    """A region of cells of one size. A cell is known by the index of its first word; the first three are its name."""

    def __init__(self, file: CounterFile, first: int, cells: int, words: int) -> None:
        self._file = file
        self.first = first
        self._cells = cells
        self._words = words

    def ask_disk(self) -> None:
        """Have the disk give what all cells need. OSError where it has nothing left."""
        self._file.ask_disk(self.first, self._cells * self._words)

    def find(self, name: tuple[int, int], tag: int) -> int | None:
        """Where a cell is."""
        view = self._file.view
        for cell in self._places(name, tag):
            found = view[cell + 2]
            if found == tag and (view[cell], view[cell + 1]) == name:
                return cell
            if not found:
                return None
        return None

    def claim(
        self, name: tuple[int, int], tag: int, is_empty: Callable[[int], bool], prepare: Callable[[int], None]
    ) -> int | None:
        """Where a cell is that was not found, from now on, as `prepare` leaves it. None where no place is left, or the
        disk has none. In the critical section."""
        view = self._file.view
        places = self._places(name, tag)
        cell = next((place for place in places if not view[place + 2]), None)
        if cell is not None:
            try:
                self._file.ask_disk(cell, self._words)
            except OSError:
                return None
        else:
            cell = next((place for place in places if view[place + 2] == _BEING_MADE or is_empty(place)), None)
            if cell is None:
                return None
            view[ERA] += 1
        view[cell + 2] = _BEING_MADE
        prepare(cell)
        view[cell], view[cell + 1] = name
        view[cell + 2] = tag
        return cell

    def _places(self, name: tuple[int, int], tag: int) -> list[int]:
        mixed = (name[0] * _HASH_1 ^ name[1] * _HASH_2 ^ tag * _HASH_3) & 0xFFFFFFFF_FFFFFFFF
        start = (mixed ^ mixed >> 29) * _HASH_2 >> 17
        number = min(PROBES, self._cells)
        return [self.first + (start + step) % self._cells * self._words for step in range(number)]


def _head(regions: Sequence[tuple[int, int]]) -> bytes:
    """How the file begins: what it is, of which boot, with which regions."""
    boot = _BOOT_ID.read_text("ascii").strip().replace("-", "")[:32] if _BOOT_ID.exists() else ""
    shape = LAYOUT
    for number in (number for region in regions for number in region):
        shape = (shape * 1_000_003 + number) % 2**63
    return struct.pack("=q16sq", _MAGIC, bytes.fromhex(boot), shape)


def _allocate(descriptor: int, start: int, length: int) -> None:
    """Space for bytes that nobody has written yet."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, start, length)
    else:
        os.pwrite(descriptor, bytes(length), start)


# Locks belong to the open file where the system has such (Linux), so that a process may hold several; to the process
# elsewhere.
_OFD = sys.platform == "linux" and sys.maxsize > 2**32
_OFD_TRY = getattr(fcntl, "F_OFD_SETLK", 0)


def _flock(kind: int, byte: int) -> bytes:
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, byte, 1, 0)


def _lock(descriptor: int, byte: int) -> None:
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)


def _try_lock(descriptor: int, byte: int) -> bool:
    try:
        if _OFD:
            fcntl.fcntl(descriptor, _OFD_TRY, _flock(fcntl.F_WRLCK, byte))
        else:
            _lock(descriptor, byte)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as POSIX leaves it
        return False
    return True


def _unlock(descriptor: int, byte: int) -> None:
    if _OFD:
        fcntl.fcntl(descriptor, _OFD_TRY, _flock(fcntl.F_UNLCK, byte))
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


# Who has a lock: Linux tells of each open file of a process (proc(5), /proc/PID/fdinfo). Of one alone it is asked: with
# thousands of connections there are thousands of them.


def _has_lock(pid: int, descriptor: int, inode: int, byte: int) -> bool:
    try:
        lines = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text("ascii").splitlines()
    except OSError:
        return False
    return any(line.startswith("lock:") and line.endswith(f":{inode} {byte} {byte}") for line in lines)


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0] in "Tt"
    except OSError:
        return False
