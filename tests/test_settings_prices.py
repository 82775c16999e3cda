"""What the operator says of prices is kept exactly or refused with its place, and leaves no gap."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.money import LISTED_PER_MILLION, Price, PriceEntry, Rates
from faregate.settings import ModelSettings, SettingsError, load_settings
from faregate.settings_prices import (
    Dollars,
    PriceEntrySettings,
    RatesSettings,
    entries_of,
    flaw_of,
    outside,
    plain_windows,
    stated_price,
)

from .test_settings import load

MODEL = "[models.m]\n"
ENTRY = "[[models.m.prices]]\n"
FREE = "input = 0\n"

# (text, line, key, words)
WRONG = [
    (MODEL + "price = { input = 0.25 }\n", 2, "models.m.price.input", 'a float is not exact: write "0.25"'),
    (MODEL + "price = { output = '0.25', input = true }\n", 2, "models.m.price.input", "decimal in quotes"),
    (MODEL + "price = { input = -1 }\n", 2, "models.m.price.input", "no price"),
    (MODEL + "price = { input = '-0.1' }\n", 2, "models.m.price.input", "no price"),
    (MODEL + "price = { input = '1e3' }\n", 2, "models.m.price.input", "no price"),
    (MODEL + "price = { input = '$1' }\n", 2, "models.m.price.input", "no price"),
    (MODEL + "price = { input = '0.0000001' }\n", 2, "models.m.price.input", "finer than a pico-dollar"),
    (MODEL + "price = { second = '0.0000000000001' }\n", 2, "models.m.price.second", "finer than a pico-dollar"),
    (MODEL + "price = { image = 1000001 }\n", 2, "models.m.price.image", "more than a million"),
    (MODEL + "price = {}\n", 2, "models.m.price", "names no price"),
    (MODEL + "price = '0.25'\n", 2, "models.m.price", "expected object"),
    (MODEL + "price = { cached = '0.25' }\n", 2, "models.m.price.cached", "unknown key"),
    (MODEL + "price = { input = 1, from = 2027-01-01 }\n", 2, "models.m.price.from", "unknown key"),
    (MODEL + "\n[models.m.price]\ninput = 1\noutput = '1.2.3'\n", 5, "models.m.price.output", "no price"),
    ("[providers.p]\nprice = { input = 0.5 }\n", 2, "providers.p.price.input", "float"),
    (ENTRY + "from = '2027-01-01'\ninput = 1\n", 2, "models.m.prices[0].from", "without quotes"),
    (ENTRY + "from = 07:30:00\ninput = 1\n", 2, "models.m.prices[0].from", "expected a date"),
    (ENTRY + "from = 1969-12-31\ninput = 1\n", 2, "models.m.prices[0].from", "1970"),
    (ENTRY + "from = 2027-01-01T00:00:00.5Z\ninput = 1\n", 2, "models.m.prices[0].from", "whole seconds"),
    (ENTRY + FREE + ENTRY + "from = 2027-01-01\n", 3, "models.m.prices[1]", "names no price"),
    (ENTRY + FREE + "from = 2027-01-01\nuntil = 2027-01-01\n", 1, "models.m.prices[0]", "until is not after from"),
    (ENTRY + FREE + "minutes = '9:00-10:00'\n", 3, "models.m.prices[0].minutes", "two times"),
    (ENTRY + FREE + "minutes = '09:00-09:00'\n", 3, "models.m.prices[0].minutes", "same time"),
    (ENTRY + FREE + "minutes = '24:00-09:00'\n", 3, "models.m.prices[0].minutes", "two times"),
    (ENTRY + FREE + "tier = 'a b'\n", 3, "models.m.prices[0].tier", "regex"),
    (ENTRY + FREE + "prompt_tokens_over = -1\n", 3, "models.m.prices[0].prompt_tokens_over", ">= 0"),
    (ENTRY + FREE + ENTRY + FREE, 3, "models.m.prices[1]", "same from and conditions"),
    (MODEL + "price = { input = 1 }\n" + ENTRY + FREE, 3, "models.m.prices[0]", "same from and conditions"),
    (ENTRY + FREE + "tier = 'batch'\n", 1, "models.m.prices[0]", "a price without conditions"),
    (
        ENTRY + FREE + "from = 2027-01-02\n" + ENTRY + FREE + "minutes = '09:00-10:00'\nfrom = 2027-01-01\n",
        4,
        "models.m.prices[1]",
        "for all of its time",
    ),
    (
        MODEL + "price = { input = 1 }\n" + ENTRY + FREE + "tier = 'batch'\nprompt_tokens_over = 9\n",
        3,
        "models.m.prices[0]",
        "for smaller prompts",
    ),
    ("[prices]\ndefault = { input = 0.1 }\n", 2, "prices.default.input", "float"),
    ("[prices]\ndefault = {}\n", 2, "prices.default", "names no price"),
    ("[prices]\nmargin_percent = 12.5\n", 2, "prices.margin_percent", "float"),
    ("[prices]\nmargin_percent = '-100.01'\n", 2, "prices.margin_percent", "not below -100"),
    ("[prices]\nmargin_percent = '20%'\n", 2, "prices.margin_percent", "no percentage"),
    ("[prices]\nmargin = '20'\n", 2, "prices.margin", "unknown key"),
    ("[[prices.margins]]\nmodels = 'gpt-*'\n", 1, "prices.margins[0].percent", "is missing"),
    ("[[prices.margins]]\nmodels = ''\npercent = 1\n", 2, "prices.margins[0].models", "length"),
]


@pytest.mark.parametrize(
    ("text", "line", "key", "words"), WRONG, ids=[f"{number}-{row[2]}" for number, row in enumerate(WRONG)]
)
def test_what_is_wrong_of_a_price_is_refused_with_its_place(
    tmp_path: Path, text: str, line: int, key: str, words: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    assert (refused.value.line, refused.value.key) == (line, key), refused.value
    assert words in refused.value.message


def test_prices_are_kept_as_whole_pico_dollars(tmp_path: Path) -> None:
    text = (
        MODEL + "price = { input = '0.25', cache_read = '0.000001', output = 2, character = '15', second = '0.0001' }\n"
    )
    price = load(tmp_path, text).models["m"].price
    assert price is not None
    assert price.rates == Rates(input=250_000, cache_read=1, output=2_000_000, character=15_000_000, second=100_000_000)
    assert type(price.rates.input) is int


def test_dates_times_and_conditions_are_read_in_utc(tmp_path: Path) -> None:
    text = (
        f"{MODEL}price = {{ input = 3 }}\n{ENTRY}from = 2027-01-01\nuntil = 2027-02-01T02:00:00+02:00\ninput = 1\n"
        f"{ENTRY}from = 2027-03-01T08:30:00\ninput = 2\nminutes = '22:00-06:00'\ntier = 'batch'\n"
        f"{ENTRY}minutes = '16:30-24:00'\nprompt_tokens_over = 200_000\ninput = '2.5'\n"
    )
    model = load(tmp_path, text).models["m"]
    assert entries_of(model.price, model.prices)[1:] == (
        PriceEntry(rates=Rates(input=1_000_000), valid_from=at(2027, 1, 1), valid_until=at(2027, 2, 1)),
        PriceEntry(
            rates=Rates(input=2_000_000), valid_from=at(2027, 3, 1, 8, 30), minutes=(22 * 60, 6 * 60), tier="batch"
        ),
        PriceEntry(rates=Rates(input=2_500_000), minutes=(16 * 60 + 30, 24 * 60), prompt_tokens_over=200_000),
    )


def at(*date: int) -> int:
    return int(datetime.datetime(*date, tzinfo=datetime.UTC).timestamp())  # type: ignore[arg-type, misc]


def test_the_default_is_a_price_only_where_it_is_said(tmp_path: Path) -> None:
    assert load_settings(None).prices.default_price is None
    price = load(tmp_path, "[prices]\ndefault = { input = '0.10', output = '0.40' }\n").prices.default_price
    assert price is not None
    assert price.entries == (PriceEntry(rates=Rates(input=100_000, output=400_000)),)
    assert price.version.startswith("operator:") and len(price.version) == len("operator:") + 12


def test_a_version_is_of_the_entries_whatever_their_order() -> None:
    one, other = PriceEntry(rates=Rates(input=1)), PriceEntry(rates=Rates(input=2), tier="batch")
    assert stated_price([one, other]) == stated_price([other, one]) != stated_price([one])
    assert stated_price([one]).version == "operator:b6ccaaad8e6b"  # the same in every release


def test_the_rates_are_the_vocabularys_each_per_what_lists_are_written_in() -> None:
    kinds = {field.name: msgspec.inspect.type_info(field.type) for field in msgspec.structs.fields(RatesSettings)}
    assert set(kinds) == set(Rates.__struct_fields__)
    for name, kind in kinds.items():
        assert isinstance(kind, msgspec.inspect.UnionType)
        [dollars] = [each.cls for each in kind.types if isinstance(each, msgspec.inspect.CustomType)]
        assert issubclass(dollars, Dollars)
        assert (dollars.per == 1_000_000) == (name in LISTED_PER_MILLION), name


MOMENTS = st.sampled_from([0, 86_400, 200_000, 259_200, 400_000, 604_800])
CONDITIONS = {
    "prompt_tokens_over": st.sampled_from([0, 0, 100]),
    "minutes": st.sampled_from([None, None, (0, 600), (600, 0)]),
    "tier": st.sampled_from(["", "", "batch"]),
}
RATES = st.builds(Rates, input=st.integers(0, 9))
LISTED = st.builds(PriceEntry, rates=RATES, valid_from=MOMENTS, **CONDITIONS)
WINDOWS = st.lists(st.builds(PriceEntry, rates=RATES, valid_from=MOMENTS, valid_until=st.none() | MOMENTS), max_size=3)


@given(
    listed=st.lists(
        LISTED,
        max_size=6,
        unique_by=lambda entry: (entry.valid_from, entry.prompt_tokens_over, entry.minutes, entry.tier),
    ),
    said=WINDOWS,
)
def test_what_a_list_says_is_unchanged_outside_of_the_operators_time(
    listed: list[PriceEntry], said: Sequence[PriceEntry]
) -> None:
    windows = plain_windows([each for each in said if each.valid_until is None or each.valid_until > each.valid_from])
    before, after = Price(version="", entries=tuple(listed)), Price(version="", entries=tuple(outside(listed, windows)))
    for moment in range(0, 8 * 86_400, 4 * 3600):
        for tier in ("", "batch"):
            is_said = any(start <= moment < end for start, end in windows)
            found = [(each.prompt_tokens_over, each.rates) for each in after.applicable(moment, tier)]
            expected = [(each.prompt_tokens_over, each.rates) for each in before.applicable(moment, tier)]
            assert found == ([] if is_said else expected), (moment, tier)


SAID = st.builds(
    PriceEntrySettings,
    input=st.just(Dollars(1)),
    valid_from=MOMENTS,
    valid_until=st.none() | st.just(700_000),
    **CONDITIONS,
)


@given(prices=st.lists(SAID, max_size=4))
def test_what_is_accepted_has_a_price_for_every_size_whenever_it_has_any(prices: list[PriceEntrySettings]) -> None:
    model = ModelSettings(prices=tuple(prices))
    if flaw_of(model.price, model.prices) is not None:
        return
    price = stated_price(entries_of(None, model.prices))
    for moment in range(0, 9 * 86_400, 5 * 3600):
        for tier in ("", "batch"):
            entries = price.applicable(moment, tier)
            assert not entries or entries[0].prompt_tokens_over == 0
