"""Power is cut at any moment (F17), or the process killed between any two of its writes (F06): what it told the world
of is there, and all the rest wholly or not.

dm-flakey and the like need a kernel that has them; what is cut here is a disk of our own (power.py), made from the
writes and fsyncs of a real process on a real file.
"""

import random
from pathlib import Path

import pytest

from faregate.stores.sqlite import open_migrated

from .batches import BATCHES, FILE, Course, furnish, opened
from .power import Disk, Event, watched

RESUMED_EACH = 25
AS_IT_IS = ""  # the gateway's own setting


class Cut:
    """A process's writes, and what a ledger says that is opened after each of them."""

    def __init__(self, course: Course, folder: Path, synchronous: str) -> None:
        self._course = course
        self._folder = folder / "images"
        self._folder.mkdir()
        home = folder / "home"
        home.mkdir()
        furnish(home / FILE)
        self._first = (home / FILE).read_bytes()
        self.events: list[Event] = watched(home, synchronous)
        assert [event.kind for event in self.events].count("told") == len(BATCHES)
        self._images = 0

    def arrived(self, how: str) -> list[tuple[int, int]]:
        """After each event: of how many batches the world was told, and how many are there."""
        disk = Disk({FILE: bytearray(self._first)})
        dice = random.Random(1)
        found = []
        for event in self.events:
            disk.take(event)
            self._images += 1
            folder = self._folder / f"{how}-{self._images}"
            file = disk.image(folder, dice if how == "some" else None, keeps_all=how == "all")
            session = opened(file)
            found.append((disk.told, self._course.arrived(session)))
            if self._images % RESUMED_EACH == 0:
                self._course.resume(session)
            session.close()
        return found


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def cut(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Cut:
    return Cut(course, tmp_path_factory.mktemp("cut"), AS_IT_IS)


def test_f06_a_process_killed_between_any_two_writes(cut: Cut) -> None:
    found = cut.arrived("all")
    assert all(told <= arrived <= told + 1 for told, arrived in found)
    assert {told for told, arrived in found if arrived > told} == set(
        range(len(BATCHES))
    )  # there, and nobody heard of it


@pytest.mark.parametrize("how", ["none", "some"])
def test_f17_power_cut_at_any_moment_loses_nothing_that_was_told(cut: Cut, how: str) -> None:
    """Whether nothing of what was not synced has come to the disk, or half of its sectors."""
    found = cut.arrived(how)
    assert all(told <= arrived <= told + 1 for told, arrived in found)


def test_f17_without_a_sync_in_each_commit_it_would(course: Course, tmp_path: Path) -> None:
    """So the test would notice."""
    found = Cut(course, tmp_path, "NORMAL").arrived("none")
    assert any(arrived < told for told, arrived in found)


def test_f17_each_commit_of_the_gateway_is_synced(tmp_path: Path) -> None:
    """Where no process may be watched, this is left: the setting itself, FULL."""
    session = open_migrated(tmp_path / FILE)
    assert session.all("PRAGMA synchronous") == [(2,)]
    assert session.all("PRAGMA journal_mode") == [("wal",)]
    session.close()
