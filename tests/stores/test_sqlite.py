"""SQLite as a store: the conformance suite, and what is SQLite's own: processes, full disks, migrations, triggers."""

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from faregate.stores import sqlite
from faregate.stores.database import Database, StoreError, StoreUnavailable, Transaction
from faregate.stores.journal import Journal
from faregate.stores.sqlite import Session, SqliteDatabase

from . import conformance, conformance_directory, conformance_journal
from .conformance import ACTOR, World, record

FILE = "faregate.db"


class OnSqlite(conformance.Conformance):
    def open(self, folder: Path) -> Database:
        return SqliteDatabase(folder / FILE)


class TestDirectory(OnSqlite, conformance_directory.DirectoryConformance):
    pass


class TestRotation(OnSqlite, conformance_directory.RotationConformance):
    pass


class TestJournal(OnSqlite, conformance_journal.JournalConformance):
    pass


class TestAudit(OnSqlite, conformance_directory.AuditConformance):
    @pytest.mark.parametrize("sequence", [1, 2, 99, 0, -1])
    def test_rows_cannot_be_replaced_or_slipped_in(self, tmp_path: Path, sequence: int) -> None:
        async def story(world: World) -> None:
            before = await world.directory.list_audit()
            statement = "INSERT OR REPLACE INTO audit VALUES (?, 1.0, 'a', NULL, NULL, 'x', 'y', NULL, NULL, x'', x'')"
            with pytest.raises(Exception, match="append-only"):
                await world.database.run(lambda writing: writing.run(statement, (sequence,)))
            assert await world.directory.list_audit() == before

        self.play(tmp_path, story)

    def test_who_goes_round_the_triggers_is_found_out(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            for number in range(5):
                await world.directory.create_project("acme", f"p{number}", actor=ACTOR)
            with sqlite3.connect(tmp_path / FILE) as tampering:
                tampering.execute("DROP TRIGGER audit_is_not_changed")
                tampering.execute("UPDATE audit SET actor = 'nobody' WHERE sequence = 4")
            tampering.close()
            assert await world.directory.verify_audit() == 4

        self.play(tmp_path, story)


def run_python(source: str, *words: str) -> "subprocess.Popen[str]":
    """Another process that runs `source`."""
    return subprocess.Popen([sys.executable, "-c", source, *words], stdout=subprocess.PIPE, text=True)


_OPENER = """
import asyncio, pathlib, sys
from faregate.stores.sqlite import SqliteDatabase
while not pathlib.Path(sys.argv[2]).exists(): pass
asyncio.run(SqliteDatabase(pathlib.Path(sys.argv[1])).close())
print("opened")
"""


def test_processes_that_start_at_once_migrate_once(tmp_path: Path) -> None:
    for attempt in range(3):
        file, go = tmp_path / f"{attempt}.db", tmp_path / f"{attempt}.go"
        processes = [run_python(_OPENER, str(file), str(go)) for _ in range(4)]
        time.sleep(0.3)
        go.touch()
        assert [process.communicate()[0].strip() for process in processes] == ["opened"] * 4
        connection = sqlite3.connect(file)
        versions = connection.execute("SELECT version FROM schema_version").fetchall()
        assert versions == [(number + 1,) for number in range(len(sqlite.migrations()))]
        connection.close()


_WRITER = """
import asyncio, pathlib, sys
from faregate.stores.directory import Directory
from faregate.stores.pepper import Pepper
from faregate.stores.sqlite import SqliteDatabase
async def main():
    database = SqliteDatabase(pathlib.Path(sys.argv[1]))
    directory = Directory(database, Pepper("v1", bytes(32)))
    for number in range(150):
        await directory.create_organisation(f"{sys.argv[2]}-{number}", actor=sys.argv[2])
    await database.close()
asyncio.run(main())
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """Two writers and a reader: every move is there, the audit chain holds, the reader sees the revision rise."""

    async def watch() -> None:
        database = SqliteDatabase(tmp_path / FILE)
        world = World(database)
        processes = [run_python(_WRITER, str(tmp_path / FILE), name) for name in ("a", "b")]
        revisions = []
        while any(process.poll() is None for process in processes):
            revisions.append(await world.directory.revision())
            await asyncio.sleep(0.005)
        assert [process.wait() for process in processes] == [0, 0]
        for process in processes:
            process.communicate()
        assert revisions == sorted(revisions) and len(set(revisions)) > 3
        assert await world.directory.revision() == 300
        assert len(await world.directory.list_organisations()) == 300
        assert await world.directory.verify_audit() is None
        await database.close()

    asyncio.run(watch())


_JOURNAL_KEEPER = """
import asyncio, pathlib, sys
sys.path.insert(0, sys.argv[2])
from faregate.stores.journal import Journal
from faregate.stores.sqlite import SqliteDatabase
from tests.stores.conformance import record
async def main():
    database = SqliteDatabase(pathlib.Path(sys.argv[1]))
    journal = Journal(database, flush_interval_s=0.005)
    for number in range(2000):
        journal.append(record(operation=f"{sys.argv[3]}-{number % 7}"))
        if number % 20 == 0: await asyncio.sleep(0.001)
    assert await journal.close()
    await database.close()
asyncio.run(main())
"""


def test_journals_of_two_processes_share_the_file(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    processes = [run_python(_JOURNAL_KEEPER, str(tmp_path / FILE), root, name) for name in ("a", "b")]
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("SELECT count(*), count(DISTINCT operation) FROM usage").fetchone() == (4000, 14)
    assert connection.execute("SELECT count(*) FROM usage_context").fetchone() == (14,)
    connection.close()


def _limit_pages(session: Session, pages: int) -> None:
    session.connection.execute(f"PRAGMA max_page_count = {pages}")


def _pages(session: Session) -> int:
    return session.connection.execute("PRAGMA page_count").fetchone()[0]


def test_a_full_disk_keeps_records_until_there_is_room(tmp_path: Path) -> None:
    async def run() -> None:
        database = SqliteDatabase(tmp_path / FILE)
        pages = await asyncio.wrap_future(database.submit(_pages))
        await asyncio.wrap_future(database.submit(lambda session: _limit_pages(session, pages + 2)))
        seen: list[int] = []
        journal = Journal(database, (lambda group: seen.append(len(group)),), flush_interval_s=0.005, pending_max=3000)
        records = [record() for _ in range(3000)]
        for one in records:
            journal.append(one)
        await asyncio.sleep(0.2)
        assert not journal.healthy and journal.waiting == 3000 and journal.dropped == 0
        assert await journal.find(records[7].id, "p") == records[7]
        for _ in range(10):
            journal.append(record())
        await asyncio.sleep(0.7)
        assert journal.dropped == 10 and journal.waiting == 3000  # over the bound the newest go, and are counted
        await asyncio.wrap_future(database.submit(lambda session: _limit_pages(session, 1_000_000)))
        await asyncio.sleep(0.8)
        assert journal.healthy and journal.waiting == 0
        assert [await journal.find(one.id, "p") for one in records] == records
        assert sum(seen) == 3010  # each group is shown once, however often it is tried
        assert await journal.close()
        await database.close()

    asyncio.run(run())


def test_a_disk_that_stays_full_does_not_hang_the_end(tmp_path: Path) -> None:
    async def run() -> None:
        database = SqliteDatabase(tmp_path / FILE)
        pages = await asyncio.wrap_future(database.submit(_pages))
        await asyncio.wrap_future(database.submit(lambda session: _limit_pages(session, pages)))
        journal = Journal(database)
        for _ in range(1000):
            journal.append(record())
        assert not await asyncio.wait_for(journal.close(), 5)
        assert journal.waiting == 1000
        await database.close()
        assert not await asyncio.wait_for(journal.close(), 5)

    asyncio.run(run())


def test_what_fails_is_rolled_back_and_the_turn_is_given_back(tmp_path: Path) -> None:
    async def run() -> None:
        database, other = SqliteDatabase(tmp_path / FILE), SqliteDatabase(tmp_path / FILE)

        def fail(writing: Transaction) -> None:
            writing.run("INSERT INTO organisation (id, name, created_at) VALUES ('x', 'x', 1.0)")
            raise RuntimeError("no")

        with pytest.raises(RuntimeError):
            await database.run(fail)
        world = await World(other).fill()
        assert [organisation.name for organisation in await world.directory.list_organisations()] == ["acme"]
        with pytest.raises(StoreUnavailable):
            await database.read(lambda reading: reading.run("DELETE FROM organisation"))
        await database.close()
        await database.close()
        with pytest.raises(StoreUnavailable):
            await database.run(fail)
        await other.close()

    asyncio.run(run())


def test_commits_are_durable_and_files_private(tmp_path: Path) -> None:
    async def run() -> None:
        database = SqliteDatabase(tmp_path / "data" / FILE)

        def pragmas(session: Session) -> list[object]:
            names = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers")
            return [session.one(f"PRAGMA {name}")[0] for name in names]  # type: ignore[index]

        assert await asyncio.wrap_future(database.submit(pragmas)) == ["wal", 2, 1, 1]
        await World(database).fill()
        for file in (tmp_path / "data").iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
        await database.close()

    previous = os.umask(0o022)
    try:
        asyncio.run(run())
    finally:
        os.umask(previous)


def test_a_database_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    asyncio.run(SqliteDatabase(tmp_path / FILE).close())
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("INSERT INTO schema_version VALUES (9999, 'later', 0.0)")
    connection.close()
    with pytest.raises(StoreError, match="too old"):
        SqliteDatabase(tmp_path / FILE)


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreUnavailable):
        SqliteDatabase(tmp_path / FILE)
    with pytest.raises(StoreUnavailable):
        SqliteDatabase(tmp_path / FILE / "below-a-file")


def test_migrations_have_no_gap(tmp_path: Path) -> None:
    (tmp_path / "0001_a.sql").write_text("SELECT 1;")
    (tmp_path / "0003_c.sql").write_text("SELECT 1;")
    with pytest.raises(StoreError, match="out of order"):
        sqlite.migrations(tmp_path)


def _all_bytes(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in folder.iterdir()]


@pytest.mark.contract("2.2")
def test_no_secret_of_a_key_is_in_the_files(tmp_path: Path) -> None:
    """F103 for the store: what opens a key is nowhere in the data directory, in no form but its keyed hash."""

    async def run() -> list[bytes]:
        database = SqliteDatabase(tmp_path / FILE)
        world = await World(database).fill()
        issued = await world.directory.create_key("web", "k", actor=ACTOR)
        again = await world.directory.rotate_key(issued.key.id, actor=ACTOR, grace_s=60)
        content = _all_bytes(tmp_path)
        await database.close()
        content += _all_bytes(tmp_path)
        for secret in (issued.text.reveal(), again.text.reveal()):
            assert not any(secret[20:40].encode() in piece for piece in content)
        assert secret not in repr(issued) + repr(again)
        return content

    assert any(b"acme" in piece for piece in asyncio.run(run()))
