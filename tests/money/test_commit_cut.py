"""SIGKILL inside a commit, before each of its statements and after the last (F06, F08, F09): all of it, or nothing."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faregate.ledger.reaper import reap
from faregate.ledger.verify import verify
from faregate.stores.sqlite import Session

from .batches import BATCHES, BUDGET, EPOCH, FILE, LAST, PAYER, Course, Tables, furnish, opened, send, tables
from .cutting import AFTER, LONG_AFTER, Point, commit_all, commit_all_then_die, killed_at, reap_all


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    return Course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger before the first batch."""
    file = tmp_path_factory.mktemp("furnished") / FILE
    furnish(file)
    return file


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory, furnished: Path) -> Path:
    """What a process left that was killed with one call under way."""
    file = tmp_path_factory.mktemp("left-behind") / FILE
    shutil.copy(furnished, file)
    assert killed_at(commit_all_then_die, file, AFTER)
    opened(file).close()  # so that all of it is in one file
    return file


def cuts(work: Callable[[Path, Point], None], original: Path, folder: Path) -> list[Path]:
    """Copies of a ledger, one for each statement of `work`, on which a process was killed before that."""
    files: list[Path] = []
    for point in itertools.count():
        file = folder / f"{point}.db"
        shutil.copy(original, file)
        if not killed_at(work, file, point):
            return files
        files.append(file)
    raise AssertionError


def account(session: Session, number: int) -> tuple[int, int, int]:
    """What is credited, debited and leased of it."""
    [row] = session.all("SELECT credits, debits, leased FROM account WHERE id = ?", (number,))
    return row


def test_f06_a_commit_that_is_cut_is_there_wholly_or_not(course: Course, furnished: Path, tmp_path: Path) -> None:
    """And whoever sends the batch again under its number hears what he would have heard."""
    arrived = []
    for file in cuts(commit_all, furnished, tmp_path):
        session = opened(file)
        arrived.append(course.arrived(session))
        course.resume(session)
        session.close()
    assert arrived == sorted(arrived)
    assert set(arrived) == set(range(len(BATCHES)))
    assert min(arrived.count(seq) for seq in range(len(BATCHES))) > 5  # statements of each were cut off


@pytest.mark.parametrize("seq", range(1, len(BATCHES) + 1))
def test_f06_a_commit_nobody_heard_of_is_answered_again(
    seq: int, course: Course, furnished: Path, tmp_path: Path
) -> None:
    file = tmp_path / FILE
    shutil.copy(furnished, file)
    assert killed_at(commit_all, file, f"{AFTER} {seq}")
    session = opened(file)
    assert course.arrived(session) == seq
    assert send(session, seq) == course.results[seq - 1]
    assert tables(session) == course.after[seq]
    course.resume(session)
    session.close()


def test_f08_a_lease_that_was_granted_and_never_used_is_free_at_the_next_start(
    course: Course, furnished: Path, tmp_path: Path
) -> None:
    file = tmp_path / FILE
    shutil.copy(furnished, file)
    assert killed_at(commit_all, file, f"{AFTER} 1")
    session = opened(file)
    assert account(session, PAYER) == (40_000, 0, 5000)
    assert session.transact(lambda writing: reap(writing, 0.0, [EPOCH])) == 0
    assert account(session, PAYER) == (40_000, 0, 0)
    assert account(session, BUDGET) == (20_000, 0, 0)
    proof = verify(session)
    assert (proof.findings, proof.active_leases) == ([], 0)
    assert tables(session)["transfer"] == course.after[0]["transfer"]
    session.close()


def reaped(file: Path) -> Tables:
    """What a ledger says once its dead process is reaped, as often as one likes."""
    session = opened(file)
    for times in range(2):
        count = session.transact(lambda writing: reap(writing, LONG_AFTER, [EPOCH]))
        assert not (times and count)
    found = tables(session)
    proof = verify(session)
    assert (proof.findings, proof.active_leases, proof.open_reservations) == ([], 0, 0)
    session.close()
    return found


def test_f09_reaping_that_is_cut_and_begun_again_charges_the_same(left_behind: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.db"
    shutil.copy(left_behind, whole)
    found = reaped(whole)
    assert [row[4:8] for row in found["reservation"] if row[0] == LAST] == [(800, 120, "reaped", 120)]
    files = cuts(reap_all, left_behind, tmp_path)
    assert len(files) > 10
    last = tmp_path / "last.db"
    shutil.copy(left_behind, last)
    assert killed_at(reap_all, last, AFTER)
    assert all(reaped(file) == found for file in (*files, last))
