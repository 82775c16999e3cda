"""The write-ahead log has a torn end (F15): the last batch is gone, or there where it is whole, and nothing else is."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faregate.stores.sqlite import open_migrated

from .batches import BATCHES, FILE, Course, furnish, send

WAL_HEADER_BYTES = 32
FRAME_HEADER_BYTES = 24
LAST = len(BATCHES)
EVERY = 97  # of the bytes that are flipped: a prime, so that they are at all sorts of places


class Torn:
    """A copy of a ledger whose process was killed, and its log, whose end can be cut off or made wrong."""

    def __init__(self, folder: Path, crashed: Path) -> None:
        self.file = folder / FILE
        self.wal = folder / f"{FILE}-wal"
        shutil.copy(crashed, self.file)
        self.whole = crashed.with_name(f"{FILE}-wal").read_bytes()
        self.wal.write_bytes(self.whole)
        with closing(sqlite3.connect(f"file:{crashed}?mode=ro", uri=True)) as reading:
            self.frame_bytes = FRAME_HEADER_BYTES + reading.execute("PRAGMA page_size").fetchone()[0]

    def commits(self) -> list[int]:
        """Where each commit's last frame begins; what that frame says of the file's size marks it."""
        starts = range(WAL_HEADER_BYTES, len(self.whole), self.frame_bytes)
        return [start for start in starts if any(self.whole[start + 4 : start + 8])]

    def last_batch(self) -> int:
        """The last batch that a reader finds. He changes nothing: he has no right to tidy the log away."""
        with closing(sqlite3.connect(f"file:{self.file}?mode=ro", uri=True)) as reading:
            return reading.execute("SELECT max(seq) FROM batch").fetchone()[0]

    def check(self, course: Course, arrived: int) -> None:
        """A process that opens it finds so many batches, the books in order, and can go on."""
        folder = self.file.parent / "opened"
        folder.mkdir()
        for path in (self.file, self.wal):
            shutil.copy(path, folder)
        session = open_migrated(folder / FILE)
        assert course.arrived(session) == arrived
        course.resume(session)
        session.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))


@pytest.fixture
def torn(tmp_path: Path) -> Iterator[Torn]:
    file = tmp_path / "crashed" / FILE
    file.parent.mkdir()
    furnish(file)
    session = open_migrated(file)
    for seq in range(1, LAST + 1):
        send(session, seq)
    (tmp_path / "copy").mkdir()
    yield Torn(tmp_path / "copy", file)
    session.close()


def test_f15_a_log_cut_at_any_byte_of_its_last_frame(torn: Torn, course: Course) -> None:
    assert torn.last_batch() == LAST
    torn.check(course, LAST)
    start = torn.commits()[-1]
    assert start + torn.frame_bytes == len(torn.whole)
    with torn.wal.open("r+b") as log:
        for length in range(len(torn.whole) - 1, start - 1, -1):
            log.truncate(length)
            assert torn.last_batch() == LAST - 1
            if length % 500 == 0 or length == start:
                torn.check(course, LAST - 1)


def test_f15_a_log_cut_at_any_frame_of_any_batch(torn: Torn, course: Course) -> None:
    commits = [start + torn.frame_bytes for start in torn.commits()][-LAST:]
    for length in range(len(torn.whole), commits[0] - 1, -torn.frame_bytes):
        torn.wal.write_bytes(torn.whole[:length])
        torn.check(course, sum(end <= length for end in commits))


def test_f15_a_log_with_a_wrong_bit_in_its_last_batch(torn: Torn, course: Course) -> None:
    """In any of its frames, and in what stands before each."""
    before, last = torn.commits()[-2:]
    start = before + torn.frame_bytes
    heads = [at + byte for at in range(start, last + 1, torn.frame_bytes) for byte in range(FRAME_HEADER_BYTES)]
    for number, place in enumerate([*heads, *range(start, len(torn.whole), EVERY)]):
        damaged = bytearray(torn.whole)
        damaged[place] ^= 1 << number % 8
        torn.wal.write_bytes(damaged)
        assert torn.last_batch() == LAST - 1, place
        if number % 50 == 0:
            torn.check(course, LAST - 1)


def test_f15_a_log_with_noise_behind_its_end(torn: Torn, course: Course) -> None:
    """What a file system may show of a file that grew and was not written, or frames of an earlier log."""
    old = torn.whole[torn.commits()[0] : torn.commits()[0] + 2 * torn.frame_bytes]
    for noise in (bytes(9000), b"\xff" * 5000, old):
        torn.wal.write_bytes(torn.whole + noise)
        torn.check(course, LAST)
