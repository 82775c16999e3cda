"""What every store must do: records of usage."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faregate.core.call import UsageRecord
from faregate.core.usage import Usage, UsageSource
from faregate.stores.journal import Journal

from .conformance import Conformance, World, make_request_id, record

_texts = st.text(max_size=20).filter(lambda text: "\0" not in text and text.isprintable())
_optional = st.none() | _texts.filter(bool)
_records = st.builds(
    record,
    client_request_id=_optional,
    upstream_request_id=_optional,
    error_kind=_optional,
    model_asked=_texts,
    region=_texts,
    stream=st.booleans(),
    status=st.integers(0, 599),
    first_byte_ms=st.none() | st.floats(0, 1e6),
    bytes_out=st.integers(0, 2**60),
    usage=st.builds(
        Usage,
        input=st.integers(0, 2**40),
        output=st.integers(0, 2**40),
        source=st.sampled_from(UsageSource),
        suspect=st.booleans(),
    ),
)


class JournalConformance(Conformance):
    """Nothing that was appended is missing."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(records=st.lists(_records, max_size=90))
    def test_what_was_appended_is_found_before_and_after_it_is_written(
        self, tmp_path_factory: pytest.TempPathFactory, records: list[UsageRecord]
    ) -> None:
        async def story(world: World) -> None:
            journal = Journal(world.database)
            for one in records:
                journal.append(one)
            assert [await journal.find(one.id, "p") for one in records] == records
            assert await journal.close()
            assert journal.waiting == 0 and journal.dropped == 0
            assert [await journal.find(one.id, "p") for one in records] == records

        self.play(tmp_path_factory.mktemp("journal"), story)

    def test_only_the_own_project_sees_it(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            journal = Journal(world.database)
            one = record()
            journal.append(one)
            assert await journal.find(one.id, "q") is None
            assert await journal.close()
            assert await journal.find(one.id, "q") is None
            assert await journal.find(one.id.upper(), "p") == one
            for nothing in ("", "x", "00", make_request_id(time.time()), "' OR 1 --", "é"):
                assert await journal.find(nothing, "p") is None

        self.play(tmp_path, story)

    def test_under_load_everything_arrives_once_and_observers_see_it_once(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            seen: list[str] = []

            def observe(group: Sequence[UsageRecord]) -> None:
                seen.extend(one.id for one in group)

            def fail(group: Sequence[UsageRecord]) -> None:
                raise RuntimeError(len(group))

            journal = Journal(world.database, (fail, observe), flush_interval_s=0.002)
            records = [record(error_kind="e" if number % 97 == 0 else None) for number in range(20_000)]
            for start in range(0, len(records), 77):
                for one in records[start : start + 77]:
                    journal.append(one)
                await asyncio.sleep(0.0005)
            assert await journal.close()
            assert seen == [one.id for one in records]
            assert journal.healthy and journal.dropped == 0
            count = await world.database.read(lambda reading: reading.one("SELECT count(*) FROM usage"))
            assert count == (len(records),)

        self.play(tmp_path, story)

    def test_a_record_that_nobody_can_store_goes_alone(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            journal = Journal(world.database)
            good = [record() for _ in range(150)]
            bad = [record(bytes_out=2**70), record(model="\ud800"), record(id="no id")]
            for one in (*good[:70], *bad, *good[70:]):
                journal.append(one)
            assert await journal.close()
            assert journal.dropped == len(bad)
            assert [await journal.find(one.id, "p") for one in good] == good

        self.play(tmp_path, story)

    def test_the_same_id_twice_is_one_row(self, tmp_path: Path) -> None:
        async def story(world: World) -> None:
            journal = Journal(world.database)
            one = record()
            journal.append(one)
            await asyncio.sleep(0.2)
            journal.append(record(id=one.id, status=500))
            assert await journal.close()
            assert await journal.find(one.id, "p") == one

        self.play(tmp_path, story)
