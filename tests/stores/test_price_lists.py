"""Price lists on record: kept whole and for ever, with their author and reason; what differs is every class of it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.money import Price, PriceEntry, Rates
from faregate.settings_prices import stated_price
from faregate.stores import audit
from faregate.stores.audit import Actor
from faregate.stores.database import Conflict
from faregate.stores.price_lists import Change, PriceLists, Prices, changed_models, changes
from faregate.stores.sqlite import SqliteDatabase

ACTOR = Actor("cli:somebody")
ONE = stated_price([PriceEntry(rates=Rates(input=1, output=2))])
OTHER = stated_price([PriceEntry(rates=Rates(input=1, output=3)), PriceEntry(rates=Rates(input=9), tier="batch")])


def play(folder: Path, story: Callable[[SqliteDatabase, PriceLists], Awaitable[None]]) -> None:
    """A story on a database of its own, by a clock that goes on by a second at each look."""

    async def run() -> None:
        database = SqliteDatabase(folder / "faregate.db")
        clock = iter(range(1_000, 2_000))
        try:
            await story(database, PriceLists(database, clock=lambda: float(next(clock))))
        finally:
            await database.close()

    asyncio.run(run())


def test_a_list_is_kept_as_it_was_applied(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase, lists: PriceLists) -> None:
        assert await lists.last() is None and await lists.history() == []
        made = await lists.apply({"a": ONE, "b": None}, reason="the first", actor=ACTOR)
        assert made is not None and made == await lists.last()
        assert (made.id, made.applied_at, made.author, made.reason) == (1, 1000.0, "cli:somebody", "the first")
        assert made.prices == {"a": ONE, "b": None}
        assert await lists.apply({"b": None, "a": ONE}, reason="the same", actor=ACTOR) is None
        await lists.apply({"a": OTHER, "c": ONE}, reason="the second", actor=ACTOR)
        counts = [(each.id, each.reason, each.models, each.changed) for each in await lists.history()]
        assert counts == [(1, "the first", 2, 2), (2, "the second", 2, 3)]

    play(tmp_path, story)


def test_a_model_has_a_price_over_time(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase, lists: PriceLists) -> None:
        over_time: list[Prices] = [{"b": ONE}, {"a": ONE}, {"a": ONE, "b": ONE}, {"a": OTHER}, {"b": ONE}]
        for number in range(50):  # more than a page
            await lists.apply({"z": ONE, str(number): ONE}, reason="noise", actor=ACTOR)
        for prices in over_time:
            await lists.apply(prices, reason="x", actor=ACTOR)
        assert [(each.id, each.price) for each in await lists.history_of("a")] == [(52, ONE), (54, OTHER), (55, None)]
        assert [(each.id, each.price) for each in await lists.history_of("z")] == [(1, ONE), (51, None)]
        assert await lists.history_of("nothing") == []

    play(tmp_path, story)


def test_an_applied_list_is_in_the_audit_log_with_what_changed(tmp_path: Path) -> None:
    async def story(database: SqliteDatabase, lists: PriceLists) -> None:
        await lists.apply({"a": ONE, "same": ONE}, reason="the first", actor=ACTOR)
        await lists.apply({"a": OTHER, "same": ONE, "b": None}, reason="the second", actor=ACTOR)
        rows = await database.read(lambda reading: audit.rows(reading, after=0, rows_max=9))
        assert [(row.actor, row.action, row.subject) for row in rows] == [
            ("cli:somebody", "prices.apply", "price_list:1"),
            ("cli:somebody", "prices.apply", "price_list:2"),
        ]
        assert msgspec.json.decode(rows[1].before or "") == {"versions": {"a": ONE.version}}
        after = {"versions": {"a": OTHER.version, "b": None}, "reason": "the second"}
        assert msgspec.json.decode(rows[1].after or "") == after
        assert await database.read(audit.verify) is None

    play(tmp_path, story)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
def test_a_list_without_a_reason_is_refused(tmp_path: Path, reason: str) -> None:
    async def story(database: SqliteDatabase, lists: PriceLists) -> None:
        with pytest.raises(Conflict, match="a reason is needed"):
            await lists.apply({"a": ONE}, reason=reason, actor=ACTOR)
        assert await lists.last() is None

    play(tmp_path, story)


@pytest.mark.parametrize("deed", ["UPDATE price_list SET prices = '{}'", "DELETE FROM price_list"])
def test_a_list_is_for_ever(tmp_path: Path, deed: str) -> None:
    async def story(database: SqliteDatabase, lists: PriceLists) -> None:
        await lists.apply({"a": ONE}, reason="x", actor=ACTOR)
        with pytest.raises(sqlite3.IntegrityError, match="for ever"):
            await database.run(lambda writing: writing.run(deed))
        assert await lists.history_of("a")

    play(tmp_path, story)


def test_every_class_that_differs_is_a_change() -> None:
    plain, batch = PriceEntry(rates=Rates()), PriceEntry(rates=Rates(), tier="batch")
    before: Prices = {"a": ONE, "gone": ONE, "same": OTHER, "unpriced": None, "renamed": ONE}
    renamed = Price(version="another", entries=ONE.entries)
    after: Prices = {"a": OTHER, "new": None, "same": OTHER, "unpriced": None, "renamed": renamed}
    assert list(changes(before, after)) == [
        Change(model="a", kind="changed", entry=batch, rate="input", after=9),
        Change(model="a", kind="changed", entry=plain, rate="output", before=2, after=3),
        Change(model="gone", kind="removed", entry=plain, rate="input", before=1),
        Change(model="gone", kind="removed", entry=plain, rate="output", before=2),
        Change(model="new", kind="added"),
        Change(model="renamed", kind="changed"),
    ]


RATES = st.builds(Rates, input=st.integers(0, 3), output=st.none() | st.integers(0, 3))
ENTRIES = st.lists(
    st.builds(PriceEntry, rates=RATES, tier=st.sampled_from(["", "batch"])),
    min_size=1,
    max_size=2,
    unique_by=lambda entry: entry.tier,
)
LISTS = st.dictionaries(st.sampled_from("abc"), st.none() | ENTRIES.map(stated_price))


@given(before=LISTS, after=LISTS)
def test_the_changes_name_the_changed_models_and_lead_from_one_list_to_the_other(before: Prices, after: Prices) -> None:
    found = list(changes(before, after))
    assert sorted({change.model for change in found}) == changed_models(before, after)
    assert (found == []) == (before == after)

    def flat(prices: Prices) -> dict[tuple[str, str, str], int]:
        return {
            (name, entry.tier, rate): pico
            for name, price in prices.items()
            for entry in (() if price is None else price.entries)
            for rate, pico in msgspec.structs.asdict(entry.rates).items()
            if pico is not None
        }

    expected = flat(before)
    for change in found:
        if change.entry is not None:
            key = (change.model, change.entry.tier, change.rate)
            assert expected.pop(key, None) == change.before
            if change.after is not None:
                expected[key] = change.after
    assert expected == flat(after)
