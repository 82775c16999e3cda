"""Retention deletes rows and contexts when their time is over, and nothing of the sums."""

import asyncio
from pathlib import Path

import pytest

from faregate.stores import retention
from faregate.stores.database import StoreUnavailable
from faregate.stores.retention import CONTEXT_SPARE_DAYS, Retention
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.usage_days import DAY_S, differences
from faregate.stores.usage_rows import UsageRows

from .days import NOON, at, play, read_days, write


def test_retention_deletes_what_is_older_to_the_millisecond(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        edge = NOON
        old = [at(edge - 0.001), at(edge - 0.002), at(edge - 400 * DAY_S)]
        kept = [at(edge), at(edge + 0.001), at(edge + 5 * DAY_S)]
        await write(database, UsageRows(), [*old, *kept])
        days = await read_days(database)
        ending = Retention(database, 30, print, clock=lambda: edge + 30 * DAY_S)
        assert (await ending.delete_old())[0] == len(old)
        assert (await ending.delete_old())[0] == 0
        left = await database.read(lambda reading: reading.all("SELECT received_at FROM usage ORDER BY id"))
        assert [row[0] for row in left] == [one.received_at for one in kept]
        assert await read_days(database) == days
        assert await database.read(differences) == []  # of the day that has lost a part, nothing is said

    play(tmp_path, story)


def test_a_plan_may_keep_less_than_the_operator_does(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        moments = [NOON - 40 * DAY_S, NOON - 20 * DAY_S, NOON - 5 * DAY_S]
        rows = [at(moment, organisation_id=each) for each in ("short", "long") for moment in moments]
        await write(database, UsageRows(), rows)

        async def days_of() -> dict[str, int]:
            return {"short": 7, "long": 60}

        ending = Retention(database, 30, print, days_of=days_of, clock=lambda: NOON)
        assert (await ending.delete_old())[0] == 3
        query = "SELECT organisation_id, received_at FROM usage ORDER BY organisation_id DESC, received_at"
        left = await database.read(lambda reading: reading.all(query))
        assert left == [("short", moments[2]), ("long", moments[1]), ("long", moments[2])]
        assert await database.read(differences) == []  # the sums of what is gone are still good
        unbounded = Retention(database, 0, print, days_of=days_of, clock=lambda: NOON + 4 * DAY_S)
        assert (await unbounded.delete_old())[0] == 1

    play(tmp_path, story)


def test_retention_goes_in_small_steps_and_processes_may_share_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "ROWS_PER_TRANSACTION_MAX", 10)

    async def story(database: SqliteDatabase) -> None:
        await write(database, UsageRows(), [at(NOON + number / 1000, operation=f"o{number}") for number in range(95)])
        changed: list[int] = []
        other = SqliteDatabase(tmp_path / "faregate.db")
        both = [Retention(each, 1, print, clock=lambda: NOON + 40 * DAY_S) for each in (database, other)]
        for each in both:
            delete = each._delete_rows
            monkeypatch.setattr(
                each,
                "_delete_rows",
                lambda *given, delete=delete: changed.append(delete(*given)) or changed[-1],
            )
        done = await asyncio.gather(*(each.delete_old() for each in both))
        assert sum(rows for rows, _ in done) == sum(changed) == 95 and max(changed) == 10
        assert sum(contexts for _, contexts in done) == 95
        await other.close()

    play(tmp_path, story)


def test_contexts_go_when_none_can_need_them(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        rows, other = UsageRows(), UsageRows()
        await write(database, rows, [at(NOON, operation="often"), at(NOON, operation="once")])
        await write(database, other, [at(NOON + 50 * DAY_S, operation="often")])
        now = NOON + (1 + CONTEXT_SPARE_DAYS) * DAY_S
        ending = Retention(database, 1, print, clock=lambda: now)
        assert await ending.delete_old() == (2, 0)
        now += DAY_S
        assert await ending.delete_old() == (0, 1)
        late = [at(NOON + 51 * DAY_S, operation="once"), at(NOON + 51 * DAY_S, operation="new")]
        await write(database, other, late[1:])  # gets the id that is free again
        await write(database, rows, late[:1])
        shown = await database.read(lambda reading: reading.all("SELECT operation FROM usage ORDER BY operation"))
        assert shown == [("new",), ("often",), ("once",)]

    play(tmp_path, story)


def test_retention_tries_again_after_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(retention, "FIRST_AFTER_S", 0)
    monkeypatch.setattr(retention, "INTERVAL_S", 0)
    said: list[tuple[object, ...]] = []

    async def story(database: SqliteDatabase) -> None:
        ended = asyncio.Event()

        def report(*words: object, **fields: object) -> None:
            said.append((*words, *fields.values()))
            if len(said) == 2:
                ended.set()

        outcomes = iter([StoreUnavailable("full"), (0, 0), (3, 1)])

        async def delete_old() -> tuple[int, int]:
            outcome = next(outcomes, (0, 0))
            if isinstance(outcome, StoreUnavailable):
                raise outcome
            return outcome

        ending = Retention(database, 1, report)
        monkeypatch.setattr(ending, "delete_old", delete_old)
        task = asyncio.ensure_future(ending.run())
        await asyncio.wait_for(ended.wait(), 10)
        task.cancel()

    play(tmp_path, story)
    assert said == [("error", "usage_not_deleted", "full"), ("info", "usage_deleted", 3, 1)]
