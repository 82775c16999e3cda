"""The roll-up is the sum of the rows, however they came to be there, and outlives them."""

import asyncio
import sqlite3
from collections.abc import Callable
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faregate.cli import arguments
from faregate.core.call import UsageRecord
from faregate.core.usage import Usage
from faregate.ledger.verify import verify
from faregate.stores import sqlite
from faregate.stores.database import StoreUnavailable, Transaction
from faregate.stores.journal import Journal
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.usage_days import DAY_S, GROUPS, Wanted, differences, sums, tokens_of_day
from faregate.stores.usage_rows import UsageRows

from .conformance import record
from .days import DAY, NOON, Rolled, at, play, read_days, write


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


def rare_of(records: list[UsageRecord]) -> dict[tuple[object, ...], int]:
    """The same of the counters that few calls have."""
    expected: dict[tuple[object, ...], int] = {}
    for one in {each.id: each for each in reversed(records)}.values():
        for name in RARE:
            if count := getattr(one.usage, name):
                key = (int(one.received_at) // DAY_S, one.organisation_id, one.project_id, one.key_id, one.model, name)
                expected[key] = expected.get(key, 0) + count
    return expected


async def read_rare(database: SqliteDatabase) -> dict[tuple[object, ...], int]:
    rows = await database.read(lambda reading: reading.all("SELECT * FROM usage_day_rare"))
    return {row[:-1]: row[-1] for row in rows}


RARE = ("cache_write_1h", "audio_input", "audio_output", "image_input", "image_output", "images", "milliseconds")
RARE += ("characters", "pages", "searches", "requests")
_counts = st.integers(0, 10**12)
_rare_counts = st.sampled_from([0, 0, 0, 1, 10**9])
_records = st.builds(
    at,
    st.sampled_from([NOON, NOON + 1, NOON + DAY_S, DAY * DAY_S - 0.001, DAY * DAY_S + 0.0]),
    organisation_id=st.sampled_from("ab"),
    project_id=st.sampled_from("pq"),
    key_id=st.sampled_from("kl"),
    model=st.sampled_from(["", "m"]),
    provider=st.sampled_from("xy"),
    status=st.sampled_from([0, 200, 399, 400, 503]),
    usage=st.one_of(
        st.builds(Usage, input=_counts, cache_read=_counts, cache_write=_counts, output=_counts, reasoning=_counts),
        st.builds(Usage, input=_counts, **dict.fromkeys(RARE, _rare_counts)),
    ),
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
        assert await read_rare(database) == rare_of(sent)
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


def test_rare_sums_beyond_all_measure_do_too(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        journal = Journal(database)
        for images in (2**62, 2**62, 5, 2**70):
            journal.append(at(NOON, usage=Usage(images=images)))
            assert await journal.close()
        assert journal.dropped == 0
        assert list((await read_rare(database)).values()) == [2**63 - 1]

    play(tmp_path, story)


def test_counters_that_few_calls_have_are_told_apart_as_wanted(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        heard = Usage(input=1, audio_input=5, milliseconds=1_500)
        group = [at(NOON + day * DAY_S, project_id=project, usage=heard) for day in range(3) for project in "pq"]
        await write(database, UsageRows(), [*group, at(NOON, project_id="r", usage=Usage(input=1, requests=2))])

        async def counted(**wanted: object) -> list[tuple[object, ...]]:
            found = await database.read(lambda reading: sums(reading, Wanted(**wanted)))  # type: ignore[arg-type]
            return [(line.project_id, line.requests, line.others) for line in found]

        assert await counted() == [(None, 7, {"audio_input": 30, "milliseconds": 9_000, "requests": 2})]
        assert await counted(by=("project",), until=date(2024, 10, 5)) == [
            ("p", 2, {"audio_input": 10, "milliseconds": 3_000}),
            ("q", 2, {"audio_input": 10, "milliseconds": 3_000}),
            ("r", 1, {"requests": 2}),
        ]
        assert await counted(project_id="r", since=date(2024, 10, 5)) == []

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


def test_a_rare_sum_that_is_not_that_of_its_rows_is_found(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase) -> None:
        await write(database, UsageRows(), [at(NOON, usage=Usage(images=2)), at(NOON, usage=Usage(pages=3))])

        def tamper(writing: Transaction) -> None:
            writing.run("UPDATE usage_day_rare SET amount = 1 WHERE counter = 'images'")
            writing.run("UPDATE usage_row SET rare = '{' WHERE rare LIKE '%pages%'")

        await database.run(tamper)
        found = await database.read(differences)
        assert [one.surplus for one in found] == [{"others.images": -1}, {"others.pages": 3}]
        assert [finding.invariant for finding in (await database.read(verify)).findings] == ["I10"] * 2

    play(tmp_path, story)


def test_rare_counters_of_rows_from_before_their_roll_up_are_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "faregate.db"
    known = sqlite.migrations()
    records = [at(NOON + day * DAY_S, usage=Usage(images=2, pages=day)) for day in (0, 0, 1)]
    counted = [{name: count for name in RARE if (count := getattr(one.usage, name))} for one in records]
    rares = [*(msgspec.json.encode(one).decode() for one in counted), "", "{", '{"images":1e99}']
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "migrations", lambda: known[:14])
        asyncio.run(SqliteDatabase(file).close())
    with sqlite3.connect(file) as connection:
        connection.execute(
            "INSERT INTO usage_context VALUES (7, x'00', ?, ?, ?, 'POST', 'chat', 'd', 'm', ?, 'x', 'm', 'r',"
            " 'a', '', 'provider', 1, 200, 0, 0, 'v', 0)",
            (records[0].organisation_id, records[0].project_id, records[0].key_id, records[0].model),
        )
        for number, rare in enumerate(rares):
            connection.execute(
                "INSERT INTO usage_row VALUES (?, 7, ?, '', '', '', 0, 0, 0, 0, 0, -1.0, 0.0, 0, 0, 0, 0, ?)",
                (bytes([number]) * 16, NOON + (DAY_S if number == 2 else 0), rare),
            )
    connection.close()

    async def story(database: SqliteDatabase) -> None:
        assert await read_rare(database) == rare_of(records)
        assert all("others" not in name for one in await database.read(differences) for name in one.surplus)

    play(tmp_path, story)


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
        used = Usage(input=1, cache_read=20, cache_write=200, audio_input=100, output=4000, reasoning=50_000, images=9)
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
