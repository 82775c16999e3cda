"""The disk fails in a commit (F14): nothing is tried again, the process ends, and what was answered is charged."""

import asyncio
import contextlib
import errno
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from faregate.core.call import UsageRecord
from faregate.core.money import parse_amount
from faregate.ledger.holds import Hold
from faregate.ledger.ledger import Ledger
from faregate.stores.database import StoreBroken, StoreUnavailable
from faregate.stores.journal import Journal
from faregate.stores.sqlite import Session, SqliteDatabase, open_migrated
from tests.running.client import DONE, Caller, eventually
from tests.running.processes import Gateway, Simulator

from .books import customer_of
from .conftest import priced
from .killing import check_books, check_sights
from .load import Crowd
from .reopening import Reopened
from .tracing import faulty_calls, faulty_syncs

FILE = "faregate.db"
WRITES = "pwrite64,fallocate"  # SQLite's, and that by which the disk is asked whether it is full
FATAL = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_TRUNCATE)
PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR_SHMSIZE)


class FailingConnection:
    """A connection whose COMMITs fail with that code, as they are counted."""

    def __init__(self, real: sqlite3.Connection, code: int) -> None:
        self._real = real
        self._code = code
        self.commits = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def execute(self, query: str, parameters: Any = ()) -> sqlite3.Cursor:
        if query == "COMMIT":
            self.commits += 1
            failure = sqlite3.OperationalError("disk I/O error")
            failure.sqlite_errorcode = self._code
            raise failure
        return self._real.execute(query, parameters)


def fail_commits(session: Session, code: int) -> FailingConnection:
    failing = FailingConnection(session.connection, code)
    session.connection = failing  # type: ignore[assignment]
    return failing


@pytest.mark.parametrize("code", FATAL)
def test_f14_after_an_io_error_in_a_commit_nothing_is_written_any_more(code: int, tmp_path: Path) -> None:
    session = open_migrated(tmp_path / FILE)
    heard: list[StoreBroken] = []
    session.on_broken = heard.append
    failing = fail_commits(session, code)
    for _ in range(2):
        with pytest.raises(StoreBroken):
            session.transact(lambda writing: writing.run("DELETE FROM usage_day"))
    assert (failing.commits, len(heard)) == (1, 1)
    session.close()


@pytest.mark.parametrize("code", PASSING)
def test_f14_a_commit_without_room_may_be_tried_again(code: int, tmp_path: Path) -> None:
    session = open_migrated(tmp_path / FILE)
    failing = fail_commits(session, code)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            session.transact(lambda writing: writing.run("DELETE FROM usage_day"))
    assert failing.commits == 2
    session.close()


def test_f14_neither_ledger_nor_journal_tries_again(tmp_path: Path) -> None:
    """Whichever of them comes to it first: the process is told to end, and no COMMIT follows the one that failed."""
    broken: list[str] = []
    record = UsageRecord(id="01890000-0000-7000-8000-000000000000", received_at=0.0, key_id="k")

    async def run() -> int:
        database = SqliteDatabase(tmp_path / FILE, lambda error: broken.append(str(error)))
        ended = asyncio.Event()
        ledger = Ledger(database, tmp_path / "run", lambda *_: None, on_broken=ended.set)
        await ledger.open()
        failing: list[FailingConnection] = []
        database.submit(lambda session: failing.append(fail_commits(session, sqlite3.SQLITE_IOERR_FSYNC))).result()
        ledger.slices.claim(Hold(b"0" * 16, 1, (), 5))
        await asyncio.wait_for(ended.wait(), 10)
        await ledger.close()
        journal = Journal(database)
        written = database.submit(lambda session: journal._write(session, [], [record]))
        assert isinstance(written.exception(10), StoreBroken)
        await database.close()
        return failing[0].commits

    assert asyncio.run(run()) == 1
    assert broken == ["the disk fails: disk I/O error"]


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_f14_a_write_that_fails_while_the_disk_has_no_room_may_be_tried_again(
    full: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quota: SQLite calls it an I/O error. Once there is room, what still fails is a disk that does."""
    session = open_migrated(tmp_path / FILE)
    fail_commits(session, sqlite3.SQLITE_IOERR_WRITE)

    def refuse(*_: object) -> None:
        raise OSError(full, os.strerror(full))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", refuse)
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                session.transact(lambda writing: writing.run("DELETE FROM usage_day"))
    with pytest.raises(StoreBroken):
        session.transact(lambda writing: writing.run("DELETE FROM usage_day"))
    session.close()


def test_f13_a_quota_that_is_used_up_is_waited_for(session_folder: Path, simulator: Simulator) -> None:
    """As a full disk is: calls are refused, a stream ends whole, and all is written once there is room again."""
    gateway = Gateway(session_folder, priced(simulator))
    customer = customer_of(gateway, "over-quota", "1000", "test-model")
    caller = Caller(gateway, customer.key)
    warm = caller.chat({"output_tokens": 5})
    with caller.stream({"output_tokens": 60, "tokens_per_s": 60}) as connection:
        connection.body_until(b'"content":', 5)
        with faulty_calls(gateway, WRITES, "error=EDQUOT"):
            eventually(lambda: caller.get("/readyz").status == 503)
            refused = caller.chat({"output_tokens": 5})
            assert (refused.status, refused.error["code"]) == (503, "overloaded")
            streamed = connection.rest()
        assert streamed.body.endswith(DONE)
    eventually(lambda: caller.get("/readyz").status == 200)
    costs = [customer.settled(answer.header("x-request-id")).charged for answer in (warm, streamed)]
    assert min(costs) > 0
    assert gateway.stop() == 0
    told = parse_amount(refused.header("x-credits-used") or "0")  # where its provider had answered before it was known
    assert customer.spent == sum(costs) + told
    assert customer.books.in_order().active_leases == 0
    assert not [line for line in gateway.log_lines() if line["event"] == "fatal"]


@pytest.mark.parametrize(("calls", "error"), [("pwrite64", "EIO"), ("fdatasync,fsync", "EDQUOT")])
def test_f14_what_else_fails_ends_the_process(
    calls: str, error: str, session_folder: Path, simulator: Simulator
) -> None:
    """A write that fails for another reason, and an fsync that does so for any: nobody can say what it has kept."""
    gateway = Gateway(session_folder, priced(simulator))
    caller = Caller(gateway, gateway.key)
    with faulty_calls(gateway, calls, f"error={error}"):
        with contextlib.suppress(OSError):
            caller.chat()
        assert gateway.popen.wait(30) == -signal.SIGABRT
    gateway.stop()
    assert [line["error"] for line in gateway.log_lines() if line["event"] == "fatal"] == ["StoreBroken"]


@pytest.mark.parametrize("after", [0, 7, 60])
def test_f14_a_process_whose_fsync_fails_ends_and_nothing_that_was_answered_is_lost(
    session_folder: Path, simulator: Simulator, after: int
) -> None:
    gateway = Gateway(session_folder, priced(simulator))
    customer = customer_of(gateway, "on-a-dying-disk", "1000", "test-model")
    balance = customer.balance
    crowd = Crowd(Caller(gateway, customer.key, customer.model), after)
    with faulty_syncs(gateway, f"error=EIO:when={after + 1}+"):
        crowd.start()
        assert gateway.popen.wait(30) == -signal.SIGABRT
    sights = crowd.join()
    gateway.stop()
    said = [line for line in gateway.log_lines() if line.get("level") == "error"]
    assert [(line["event"], line["error"]) for line in said] == [("fatal", "StoreBroken")]
    gateway = Reopened(gateway)
    try:
        after_all = check_books(customer, set(), balance)
        check_sights(sights, after_all, {"whole": 0, "cut": 0, "reaped": 0, "settled unseen": 0})
        assert Caller(gateway, customer.key).chat().status == 200
    finally:
        assert gateway.stop() == 0
    assert customer.books.leased() == 0
