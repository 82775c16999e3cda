"""Prices and amounts: exact, rounded once, each class once. That they are as genai-prices computes them: tests/data."""

import itertools
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.money import (
    MoneyError,
    Price,
    PriceEntry,
    Rates,
    ceiling_nano,
    charge_nano,
    format_amount,
    format_price,
    parse_amount,
    parse_price,
    rates_for,
)
from faregate.core.usage import COUNTERS, Usage

FLASH = Rates(
    input=parse_price("0.16", 10**6), cache_read=parse_price("0.004", 10**6), output=parse_price("0.30", 10**6)
)
TOKEN_CLASSES = [
    name for name in COUNTERS if name.startswith(("input", "cache", "output", "reasoning", "audio", "image_"))
]
COUNTS = st.integers(0, 2_000_000)
PICO = st.integers(0, 10**9)
USAGES = st.builds(Usage, **dict.fromkeys(COUNTERS, COUNTS))
RATES = st.builds(Rates, **{name: st.none() | PICO for name in Rates.__struct_fields__})


def test_f50_one_cached_token_is_four_nano_dollars() -> None:
    assert charge_nano(Usage(cache_read=1), FLASH) == 4
    assert charge_nano(Usage(cache_read=1000), FLASH) == 4000
    assert sum(charge_nano(Usage(cache_read=1), FLASH) for _ in range(1000)) == 4000


def test_f50_a_thousand_million_of_them_are_four_dollars() -> None:
    """To the nano-dollar, and so is each part of the way; in floats they are not."""
    one = charge_nano(Usage(cache_read=1), FLASH)
    for count in (10**3, 10**9 - 1, 10**9, 2 * 10**18):
        assert one * count == charge_nano(Usage(cache_read=count), FLASH) == 4 * count
    assert format_amount(one * 10**9) == "4"
    assert format_amount(one * (10**9 + 1)) == "4.000000004"
    assert sum([4e-9] * 10**6) != 0.004


@pytest.mark.contract("7.5")
def test_contract_7_5_is_exact() -> None:
    pro = Rates(
        input=parse_price("0.60", 10**6), cache_read=parse_price("0.005", 10**6), output=parse_price("1.20", 10**6)
    )
    million = Usage(input=10**6, cache_read=10**6, output=10**6)
    assert format_amount(charge_nano(million, FLASH)) == "0.464"
    assert format_amount(charge_nano(million, pro)) == "1.805"


def test_a_cost_is_rounded_up_once() -> None:
    rates = Rates(input=1, output=1)
    assert charge_nano(Usage(input=1, output=1), rates) == 1
    assert charge_nano(Usage(input=500, output=500), rates) == 1
    assert charge_nano(Usage(input=500, output=501), rates) == 2
    assert charge_nano(Usage(), rates) == 0


def test_seconds_are_priced_by_the_millisecond() -> None:
    rates = Rates(second=parse_price("0.006", 60))
    assert charge_nano(Usage(milliseconds=60_000), rates) == 6_000_000
    assert charge_nano(Usage(milliseconds=1), rates) == 100


def test_an_hour_need_not_be_whole_a_second() -> None:
    rates = Rates(hour=parse_price("0.04"))
    assert charge_nano(Usage(milliseconds=3_600_000), rates) == 40_000_000
    assert charge_nano(Usage(milliseconds=9_000), rates) == 100_000
    assert charge_nano(Usage(milliseconds=1_000), rates) == 11_112


@given(USAGES, RATES)
def test_nothing_is_counted_twice_and_nothing_is_lost(usage: Usage, rates: Rates) -> None:
    alone = sum(
        Fraction(getattr(usage, counter) * (charge_nano(Usage(**{counter: 10**9}), rates)), 10**9)
        for counter in COUNTERS
    )
    assert alone <= charge_nano(usage, rates) + 1
    assert charge_nano(usage, rates) <= alone + 1


@given(st.lists(USAGES, min_size=1, max_size=4), RATES)
def test_sums_do_not_depend_on_the_order(usages: list[Usage], rates: Rates) -> None:
    totals = set()
    for order in itertools.permutations(usages):
        total = Usage()
        for usage in order:
            total = total.add(usage)
        totals.add(charge_nano(total, rates))
    assert len(totals) == 1
    apart = sum(charge_nano(usage, rates) for usage in usages)
    assert 0 <= apart - totals.pop() <= len(usages)


@given(st.lists(st.tuples(st.integers(0, 200_000), RATES), min_size=1, max_size=3), st.data())
def test_no_usage_costs_more_than_the_ceiling(sizes: list[tuple[int, Rates]], draws: st.DataObject) -> None:
    entries = [PriceEntry(rates=rates, prompt_tokens_over=over) for over, rates in sizes]
    entries.append(PriceEntry(rates=Rates(input=1)))
    usage = Usage(**{name: draws.draw(st.integers(0, 100_000)) for name in TOKEN_CLASSES}, requests=1)
    ceiling = ceiling_nano(entries, usage.prompt, usage.completion)
    assert charge_nano(usage, rates_for(entries, usage.prompt)) <= ceiling


def test_the_entry_of_a_request() -> None:
    def entry(number: int, **conditions: object) -> PriceEntry:
        return PriceEntry(rates=Rates(input=number), **conditions)  # type: ignore[arg-type]

    noon = 12 * 3600
    price = Price(
        version="1",
        entries=(
            entry(1),
            entry(2, prompt_tokens_over=200_000),
            entry(3, valid_from=86_400 * 10),
            entry(4, minutes=(23 * 60, 60)),
            entry(5, tier="flex"),
        ),
    )

    def input_price(tokens: int, at: int, tier: str = "") -> int | None:
        return rates_for(price.applicable(at, tier), tokens).input

    assert input_price(200_000, noon) == 1
    assert input_price(200_001, noon) == 2
    assert input_price(1, 86_400 * 10) == 3
    assert input_price(1, 86_400 * 11 + 30 * 60) == 3  # the later price wins over the older one's night
    assert input_price(1, 23 * 3600) == input_price(1, 1800) == 4
    assert input_price(1, 3600) == 1
    assert input_price(1, noon, "flex") == 5
    assert input_price(1, noon, "priority") == 1
    with pytest.raises(LookupError):
        rates_for(Price(version="1", entries=()).applicable(0), 1)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_amounts_come_back(nano: int) -> None:
    text = format_amount(nano)
    assert parse_amount(text) == nano
    assert "e" not in text.lower()
    assert Decimal(text) * 10**9 == nano


@pytest.mark.parametrize(
    "text", ["", "-", "1.", ".5", "1,5", "1e3", "0.0000000001", "NaN", "+1", " 1", "1 ", "9223372037", "٣"]
)
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(MoneyError):
        parse_amount(text)


@given(st.integers(0, 10**12))
def test_prices_come_back(pico: int) -> None:
    assert parse_price(format_price(pico), 10**6) == pico


@pytest.mark.parametrize(("text", "per"), [("0.0000001", 10**6), ("1", 3), ("-1", 1), ("1e-3", 1), ("", 1)])
def test_what_is_no_price(text: str, per: int) -> None:
    with pytest.raises(MoneyError):
        parse_price(text, per)
