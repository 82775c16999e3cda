"""SQLite as the gateway's database: one file, WAL, every commit on the disk before it counts.

Theory of operation. Each process has one writing thread and one reading thread, each with a connection of its
own; jobs run on them in the order they were submitted. Several processes share the file: before BEGIN
IMMEDIATE a writer takes a blocking lock on `<file>.turn`, so that writers queue in the kernel instead of
polling SQLite's lock (money.md 10). The schema moves forward only, by the numbered files of
`sql/migrations/`, in one transaction under the same lock: of two processes that start at once, one migrates
and the other finds it done.

A commit that fails for want of room may be tried again. One that fails with an I/O error may not: after a failed fsync
the kernel takes the pages for written, and the next fsync succeeds without them. `on_broken` then ends the process.
A quota that is used up (EDQUOT) is want of room: the write was refused, nothing was promised, and the frames in the WAL
are written again. SQLite tells it from no other failed write (unixWrite in os_unix.c: ENOSPC alone is SQLITE_FULL, the
rest SQLITE_IOERR_WRITE) and Python does not give the system's error, so the disk itself is asked for more room. What
an fsync refuses, for whatever reason, ends the process.
"""

import asyncio
import errno
import fcntl
import os
import queue
import re
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from .database import SQL, Row, StoreBroken, StoreError, StoreUnavailable, Transaction, Value

Result = TypeVar("Result")

_PRIMARY_CODE = 0xFF  # of an extended result code
_ROOM_BYTES = 65_536  # more than one write of SQLite asks for at a time, a page with its frame's head
_MIGRATION_NAME = re.compile(r"(\d{4})_\w+\.sql")


class Session:
    """One connection, on the thread that owns it. It is a database.Transaction and a database.Writer. `on_broken` hears
    of an I/O error in a commit before anybody else does; after that nothing is written any more."""

    def __init__(self, path: Path, *, writing: bool) -> None:
        self._folder = path.parent
        self._turn = _private_file(Path(f"{path}.turn")) if writing else -1
        self.connection = sqlite3.connect(path, isolation_level=None, cached_statements=1024)
        execute = self.connection.execute
        execute("PRAGMA busy_timeout = 10000")
        execute("PRAGMA synchronous = FULL")
        execute("PRAGMA foreign_keys = ON")
        execute("PRAGMA recursive_triggers = ON")
        execute("PRAGMA trusted_schema = OFF")
        if not writing:
            execute("PRAGMA query_only = ON")
        self.on_broken: Callable[[StoreBroken], None] | None = None
        self._broken: StoreBroken | None = None

    def one(self, query: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row, or None."""
        rows = self.all(query, parameters)
        return rows[0] if rows else None

    def all(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Every row."""
        try:
            return self.connection.execute(query, parameters).fetchall()
        except sqlite3.Error as error:
            raise _as_ours(error) from error

    def run(self, query: str, parameters: Sequence[Value] = ()) -> int:
        """Do it; gives the number of rows changed."""
        try:
            return self.connection.execute(query, parameters).rowcount
        except sqlite3.Error as error:
            raise _as_ours(error) from error

    def transact(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` in one write transaction: committed when it returns, rolled back when it raises."""
        if self._broken is not None:
            raise self._broken
        with self.turn():
            self.run("BEGIN IMMEDIATE")
            try:
                result = work(self)
                self._commit()
            except BaseException:
                with suppress(sqlite3.Error):
                    if self.connection.in_transaction:
                        self.connection.execute("ROLLBACK")
                raise
            return result

    def _commit(self) -> None:
        try:
            self.connection.execute("COMMIT")
        except sqlite3.Error as error:
            if not _is_io_error(error) or (_is_failed_write(error) and _has_no_room(self._folder)):
                raise _as_ours(error) from error
            self._broken = StoreBroken(f"the disk fails: {error}")
            if self.on_broken is not None:
                self.on_broken(self._broken)
            raise self._broken from error

    @contextmanager
    def turn(self) -> Iterator[None]:
        """This process's turn to write: blocks until the other processes' writers are through."""
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the connection, and the lock's file with it."""
        self.connection.close()
        if self._turn >= 0:
            os.close(self._turn)


class _Thread:
    """A thread with a session of its own that does jobs in order."""

    def __init__(self, name: str, open_session: Callable[[], Session]) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[Session], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._opened: Future[None] = Future()
        self._closing = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._work, args=(open_session,), name=name, daemon=True)
        self._thread.start()
        self._opened.result()

    def submit(self, job: Callable[[Session], Result]) -> "Future[Result]":
        future: Future[Result] = Future()
        with self._closing:
            if self._closed:
                raise StoreUnavailable("the database is closed")
            self._jobs.put((job, future))
        return future

    def close(self) -> None:
        """Do what is queued, then end the thread. Blocks."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _work(self, open_session: Callable[[], Session]) -> None:
        try:
            session = open_session()
        except BaseException as error:
            self._opened.set_exception(_as_ours(error) if isinstance(error, sqlite3.Error) else error)
            return
        self._opened.set_result(None)
        while (item := self._jobs.get()) is not None:
            job, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = job(session)
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del item, job, future
        session.close()


class SqliteDatabase:
    """An open SQLite file; see database.Database. `on_broken` is called on the writing thread, where the disk has
    failed in a commit: a process that serves must end there and then."""

    def __init__(self, path: Path, on_broken: Callable[[StoreBroken], None] | None = None) -> None:
        """Open the file at `path`, made and migrated where need be. StoreError where that cannot be."""
        _make_private(path)
        self.path = path

        def open_writer() -> Session:
            session = open_migrated(path)
            session.on_broken = on_broken
            return session

        self._writer = _Thread("faregate-writer", open_writer)
        self._reader = _Thread("faregate-reader", lambda: Session(path, writing=False))

    def submit(self, job: Callable[[Session], Result]) -> "Future[Result]":
        """Run `job` on the writing thread, after all that was submitted before; never blocks the caller."""
        return self._writer.submit(job)

    async def run(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` in one write transaction on the writing thread."""
        return await asyncio.wrap_future(self._writer.submit(lambda session: session.transact(work)))

    async def read(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` on the reading connection."""
        return await asyncio.wrap_future(self._reader.submit(work))

    async def close(self) -> None:
        """Finish what was submitted and close. Idempotent."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._reader.close)
        await loop.run_in_executor(None, self._writer.close)


def migrations(folder: Path = SQL / "migrations") -> list[tuple[int, str, str]]:
    """The migrations as (version, file name, SQL), in order. StoreError where the numbers have a gap."""
    found = []
    for file in sorted(folder.glob("*.sql")):
        name = _MIGRATION_NAME.fullmatch(file.name)
        if name is None or int(name[1]) != len(found) + 1:
            raise StoreError(f"migration {file.name} is out of order")
        found.append((int(name[1]), file.name, file.read_text("utf-8")))
    return found


def open_migrated(path: Path) -> Session:
    """A writing session on the file at `path`, made and migrated where need be. StoreError where that cannot be."""
    session = Session(path, writing=True)
    try:
        with session.turn():
            session.connection.execute("PRAGMA journal_mode = WAL")
        session.transact(_migrate)
    except BaseException:
        session.close()
        raise
    return session


def _migrate(transaction: Transaction) -> None:
    transaction.run(
        "CREATE TABLE IF NOT EXISTS schema_version ("
        " version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at REAL NOT NULL) STRICT"
    )
    row = transaction.one("SELECT coalesce(max(version), 0) FROM schema_version")
    current = row[0] if row else 0
    known = migrations()
    if current > len(known):
        raise StoreError(f"the database has schema {current}, this Faregate knows {len(known)}: it is too old")
    for version, name, text in known[current:]:
        for statement in _statements(text):
            transaction.run(statement)
        transaction.run(
            "INSERT INTO schema_version (version, name, applied_at) VALUES (?, ?, ?)",
            (version, name, time.time()),
        )


def _statements(text: str) -> Iterator[str]:
    """The single statements of a script; sqlite3's own executescript would commit first."""
    statement = ""
    for line in text.splitlines(keepends=True):
        statement += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement


def _make_private(path: Path) -> None:
    """An empty file that only its owner may read, before SQLite makes one that all may."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from None
    os.close(_private_file(path))


def _private_file(path: Path) -> int:
    """A file that only its owner may read, open to write, made where need be. StoreUnavailable."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error.strerror}") from None


def _is_io_error(error: sqlite3.Error) -> bool:
    """Whether the disk itself has failed. No room for the shared index is one of these by its code only."""
    code = getattr(error, "sqlite_errorcode", 0)  # an error of the module's own has none
    return code & _PRIMARY_CODE == sqlite3.SQLITE_IOERR and code != sqlite3.SQLITE_IOERR_SHMSIZE


def _is_failed_write(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_WRITE


def _has_no_room(folder: Path) -> bool:
    """Whether the file system or its owner's quota is full, as far as `folder` goes."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, _ROOM_BYTES)
            else:
                file.write(bytes(_ROOM_BYTES))
                file.flush()
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False


def _as_ours(error: sqlite3.Error) -> Exception:
    """The engine's own failures as StoreUnavailable; a refused row or value stays what it is."""
    refusals = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
    return error if isinstance(error, refusals) else StoreUnavailable(f"the database fails: {error}")
