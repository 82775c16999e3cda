"""The roll-up is the sum of the rows, however they came to be there, and outlives them."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faregate.cli import arguments
from faregate.core.call import UsageRecord
from faregate.core.usage import Usage
from faregate.ledger.verify import verify
from faregate.stores import retention, sqlite
from faregate.stores.database import StoreUnavailable, Transaction
from faregate.stores.journal import Journal
from faregate.stores.retention import CONTEXT_SPARE_DAYS, Retention
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.usage_days import DAY_S, GROUPS, Wanted, differences, sums, tokens_of_day
from faregate.stores.usage_rows import Repeated, UsageRows

from .conformance import make_request_id, record

DAY = 20_000
NOON = DAY * DAY_S + 43_200.0
Rolled = dict[tuple[int, str, str, str, str], list[int]]


def at(received_at: float, **members: object) -> UsageRecord:
    """A record of a request received then, under an id of that time."""
    return record(id=make_request_id(received_at), received_at=received_at, **members)


def play(folder: Path, story: Callable[[SqliteDatabase], Awaitable[None]]) -> None:
    """Run a story on a database in `folder`."""

    async def run() -> None:
        database = SqliteDatabase(folder / "faregate.db")
        try:
            await story(database)
        finally:
            await database.close()

    asyncio.run(run())


async def write(database: SqliteDatabase, rows: UsageRows, group: list[UsageRecord]) -> None:
    """A group as the journal writes it."""
    rows.begin()
    try:
        await database.run(lambda writing: rows.insert(writing, group))
    except Repeated:
        rows.begin()
        await database.run(lambda writing: rows.insert_singly(writing, group))
    rows.committed()


def rolled_up(records: list[UsageRecord]) -> Rolled:
    """What the roll-up must be once these are written, each one once."""
    expected: Rolled = {}
    for one in {each.id: each for each in reversed(records)}.values():
        key = (int(one.received_at) // DAY_S, one.organisation_id, one.project_id, one.key_id, one.model)
        usage = one.usage
        classes = (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning)
        added = (1, int(one.status >= 400), *classes, one.bytes_in, one.bytes_out, one.cost_nano)
        known = expected.setdefault(key, [0] * len(added))
        known[:] = [count + more for count, more in zip(known, added, strict=True)]
    return expected


async def read_days(database: SqliteDatabase) -> Rolled:
    rows = await database.read(lambda reading: reading.all("SELECT * FROM usage_day"))
    return {row[:5]: list(row[5:]) for row in rows}


_counts = st.integers(0, 10**12)
_records = st.builds(
    at,
    st.sampled_from([NOON, NOON + 1, NOON + DAY_S, DAY * DAY_S - 0.001, DAY * DAY_S + 0.0]),
    organisation_id=st.sampled_from("ab"),
    project_id=st.sampled_from("pq"),
    key_id=st.sampled_from("kl"),
    model=st.sampled_from(["", "m"]),
    provider=st.sampled_from("xy"),
    status=st.sampled_from([0, 200, 399, 400, 503]),
    usage=st.builds(Usage, input=_counts, cache_read=_counts, cache_write=_counts, output=_counts, reasoning=_counts),
    bytes_in=_counts,
    bytes_out=_counts,
    cost_nano=_counts,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), records=st.lists(_records, min_size=1, max_size=200))
def test_the_roll_up_is_the_sum_of_the_rows_whatever_is_sent_twice(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, records: list[UsageRecord]
) -> None:
    places = st.integers(0, len(records))
    groups: list[list[UsageRecord]] = []
    for _ in range(data.draw(st.integers(1, 6))):
        start, end = sorted((data.draw(places), data.draw(places)))
        groups.append(records[start:end] + records[end : data.draw(places)] * data.draw(st.integers(0, 2)))
    writers = [UsageRows(), UsageRows()]  # as of two processes

    async def story(database: SqliteDatabase) -> None:
        for number, group in enumerate(groups):
            await write(database, writers[number % 2], group)
        sent = [one for group in groups for one in group]
        assert await read_days(database) == rolled_up(sent)
        assert await database.read(differences) == []
        found = await database.read(lambda reading: reading.one("SELECT count(*) FROM usage"))
        assert found == (len({one.id for one in sent}),)

    play(tmp_path_factory.mktemp("days"), story)


def test_a_group_of_unknown_fate_is_counted_once(tmp_path: Path) -> None:
    """The disk says no after the commit: the journal sends the group again."""

    class Doubtful(SqliteDatabase):
        doubts = 1

        def submit(self, job: Callable[..., object]) -> object:  # type: ignore[override]
            def doubtful(session: sqlite.Session) -> object:
                done = job(session)
                if self.doubts:
                    self.doubts -= 1
                    raise StoreUnavailable("who knows")
                return done

            return super().submit(doubtful)

    async def run() -> None:
        database = Doubtful(tmp_path / "faregate.db")
        journal = Journal(database)
        records = [at(NOON + number, status=200 + number) for number in range(300)]
        for one in records:
            journal.append(one)
        assert await journal.close()
        assert database.doubts == 0 and journal.dropped == 0
        assert await read_days(database) == rolled_up(records)
        await database.close()

    asyncio.run(run())


def test_what_cannot_be_stored_is_not_counted(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        journal = Journal(database)
        good = [at(NOON) for _ in range(70)]
        bad = [at(NOON, bytes_out=2**70), at(NOON, model="\ud800"), record(id="no id", received_at=NOON)]
        bad += [record(received_at=moment) for moment in (-1.0, 1e300, float("inf"), float("nan"))]
        for one in (*bad, *good):
            journal.append(one)
        assert await journal.close()
        assert journal.dropped == len(bad)
        assert await read_days(database) == rolled_up(good)

    play(tmp_path, story)


def test_sums_beyond_all_measure_stop_at_the_largest(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        journal = Journal(database)
        for _ in range(2):
            for _ in range(3):
                journal.append(at(NOON, bytes_out=2**62))
            assert await journal.close()
        assert journal.dropped == 0
        (counts,) = (await read_days(database)).values()
        assert (counts[0], counts[8]) == (6, 2**63 - 1)

    play(tmp_path, story)


def test_sums_are_told_apart_as_wanted(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        group = [
            at(NOON + day * DAY_S, project_id=project, model=model, cost_nano=1)
            for day in range(4)
            for project in "pq"
            for model in "mn"
        ]
        await write(database, UsageRows(), group)

        async def counted(**wanted: object) -> list[tuple[object, ...]]:
            found = await database.read(lambda reading: sums(reading, Wanted(**wanted)))  # type: ignore[arg-type]
            return [(line.day, line.project_id, line.model, line.requests, line.cost_nano) for line in found]

        assert await counted() == [(None, None, None, 16, 16)]
        assert await counted(by=("project",), model="m") == [(None, "p", None, 4, 4), (None, "q", None, 4, 4)]
        second, third = date(2024, 10, 5), date(2024, 10, 6)
        assert await counted(by=("day",), since=second, until=third, project_id="q") == [
            (second, None, None, 2, 2),
            (third, None, None, 2, 2),
        ]
        assert await counted(by=("model", "day"), since=date(2024, 10, 7), until=date(9999, 1, 1)) == [
            (date(2024, 10, 7), None, "m", 2, 2),
            (date(2024, 10, 7), None, "n", 2, 2),
        ]
        assert await counted(organisation_id="nobody") == await counted(key_id="none") == []
        assert len(await counted(by=GROUPS)) == 16

    play(tmp_path, story)


def test_a_roll_up_that_is_not_its_rows_is_found(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        gone, there, older = at(NOON, cost_nano=7), at(NOON + DAY_S), at(NOON - 9 * DAY_S)
        await write(database, UsageRows(), [gone, there, older])

        def tamper(writing: Transaction) -> None:
            writing.run("DELETE FROM usage_row WHERE cost = 7")
            writing.run("UPDATE usage_day SET input = input - 1 WHERE day = ?", (DAY + 1,))
            writing.run("DELETE FROM usage_day WHERE day = ?", (DAY - 9,))

        await database.run(tamper)
        found = await database.read(differences)
        assert [(one.day, one.surplus.get("requests", 0)) for one in found] == [
            (date(2024, 9, 25), -1),
            (date(2024, 10, 4), 1),
            (date(2024, 10, 5), 0),
        ]
        assert found[1].surplus["cost_nano"] == 7 and found[2].surplus == {"input": -1}
        findings = (await database.read(verify)).findings
        assert [finding.invariant for finding in findings] == ["I10"] * 3
        assert findings[2].subject == "2024-10-05/o/p/k/gpt-4o" and "input -1" in findings[2].message

    play(tmp_path, story)


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


def test_rows_from_before_the_roll_up_are_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "faregate.db"
    known = sqlite.migrations()
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "migrations", lambda: known[:4])
        asyncio.run(SqliteDatabase(file).close())
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO usage_context VALUES (7, x'00', 'o', 'p', 'k', 'POST', 'chat', 'd', 'm', 'm', 'x', 'm', 'r',"
            " 'a', '', 'provider', 1, 429, 0, 0, 'v')"
        )
        for number in range(3):
            connection.execute(
                "INSERT INTO usage_row VALUES (?, 7, ?, '', '', '', 1, 2, 3, 4, 5, -1.0, 9.5, 6, 7, 8, 9)",
                (bytes([number]) * 16, NOON + number * DAY_S),
            )
    connection.close()

    async def story(database: SqliteDatabase) -> None:
        days = {(DAY + number, "o", "p", "k", "m"): [1, 1, 1, 2, 3, 4, 5, 6, 7, 9] for number in range(3)}
        assert await read_days(database) == days
        assert await database.read(differences) == []
        assert await database.read(lambda reading: reading.one("SELECT sum(hold), sum(cost) FROM usage")) == (24, 27)
        assert await database.read(lambda reading: reading.one("SELECT used_on FROM usage_context")) == (DAY + 2,)

    play(tmp_path, story)


def test_the_command_line_knows_the_same_groups() -> None:
    assert arguments._USAGE_GROUPS == GROUPS


def test_the_tokens_of_a_day_are_those_of_its_records(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        used = Usage(input=1, cache_read=20, cache_write=300, output=4000, reasoning=50_000)
        whose = {"organisation_id": "its-o", "project_id": "its-p", "key_id": "its-k"}
        records = [at(NOON, usage=used, **whose), at(NOON + 1, usage=Usage(output=7), **(whose | {"key_id": "l"}))]
        records += [at(NOON + DAY_S, usage=used, **whose), at(NOON, usage=used, organisation_id="other")]
        await write(database, UsageRows(), records)

        async def tokens(subject: str, subject_id: str, day: int = DAY) -> int:
            return await database.read(lambda reading: tokens_of_day(reading, subject, subject_id, day))

        assert await tokens("organisation", "its-o") == await tokens("project", "its-p") == 54_328
        assert await tokens("key", "its-k") == await tokens("key", "its-k", DAY + 1) == 54_321
        assert await tokens("organisation", "nobody") == await tokens("key", "its-k", DAY + 2) == 0

    play(tmp_path, story)


def test_sums_at_their_end_are_still_read(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        most = Usage(input=2**63 - 1, output=2**63 - 1)
        await write(database, UsageRows(), [at(NOON, usage=most, organisation_id="o")])
        found = await database.read(lambda reading: tokens_of_day(reading, "organisation", "o", DAY))
        assert found > 10**18

    play(tmp_path, story)
