"""How the build script reads prices: exact or not at all, with the conditions of each source, in its own order."""

from __future__ import annotations

import importlib
import json
import sys
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.money import Price, Rates, parse_price, rates_for

SCRIPTS = Path(__file__).parents[2] / "scripts"
RULES: dict[str, Any] = {"home": {"openai": "openai"}, "prices": {}}
DAY_S = 86_400
JULY = 20_635 * DAY_S  # 2026-07-01


def load(name: str) -> ModuleType:
    """A script beside the others, which import each other by their bare names."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(SCRIPTS))


prices = load("catalog_prices")
genai = load("catalog_genai")


def book(
    models: str = "", row: dict[str, Any] | None = None, rules: dict[str, Any] | None = None, path: Path | None = None
) -> Any:
    """A book in which openai/gpt-x has these ModelInfo arguments in genai-prices and this row in the litellm list."""
    known = {}
    if path is not None:
        path.write_text(f"providers = [Provider(id='openai', models=[{models}])]")
        known = genai.read_genai(path)
    return prices.PriceBook(known, {("openai", "gpt-x"): row or {}}, RULES | (rules or {}), {"gpt-x-alias": "gpt-x"})


def price_of(book: Any, kind: str = "chat") -> Price:
    model = {"id": "gpt-x", "vendor": "openai", "kind": kind, "served_by": {"openai": "gpt-x"}}
    return msgspec.convert(book.of(model)["openai"], Price)


def info(arguments: str, name: str = "gpt-x") -> str:
    return f"ModelInfo(id='{name}', match=ClauseEquals(equals='{name}'), {arguments})"


@given(st.integers(0, 10**12))
def test_a_price_comes_out_as_it_went_in(pico: int) -> None:
    text = f"{Decimal(pico) / 10**6:f}"
    assert prices.pico(Decimal(text), 10**6) == parse_price(text, 10**6) == pico


def test_a_float_of_the_list_is_its_decimal() -> None:
    row = json.loads('{"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07}', parse_float=Decimal)
    assert price_of(book(row=row)).entries[0].rates == Rates(input=150_000, output=600_000)


@pytest.mark.parametrize(
    ("usd", "per"), [("1e-13", 1), ("0.0833333333333333", 10**6), ("3.3333333333333335e-05", 1), ("1", 3), ("NaN", 1),
                     ("Infinity", 1), ("-1", 1), ("1e-40", 1), ("1.0000000000000000000000000000001", 1)]
)  # fmt: skip
def test_what_is_not_exact_is_refused(usd: str, per: int) -> None:
    with pytest.raises(prices.InexactPrice):
        prices.pico(Decimal(usd), per)


def test_what_is_not_exact_is_left_out_and_reported() -> None:
    row = {"input_cost_per_token": Decimal("1e-6"), "output_cost_per_token": Decimal("1.59263611e-07")}
    it = book(row=row)
    assert price_of(it).entries[0].rates == Rates(input=1_000_000)
    assert [note for note in it.notes if note.startswith("not exact: openai/gpt-x output_cost_per_token")]


def test_an_override_that_is_not_exact_ends_the_build() -> None:
    with pytest.raises(prices.InexactPrice):
        price_of(book(rules={"prices": {"gpt-x": {"openai": {"input": "0.0000001"}}}}))


def test_an_override_replaces_what_the_lists_say() -> None:
    own = {"prices": {"gpt-x": {"openai": {"input": "0.16", "cache_read": "0.004", "output": "0.30"}}}}
    rates = price_of(book(row={"input_cost_per_token": Decimal(1)}, rules=own)).entries[0].rates
    assert rates == Rates(input=160_000, cache_read=4_000, output=300_000)


def test_sizes_and_tiers_of_the_list() -> None:
    row = {
        "input_cost_per_token": Decimal("1e-6"),
        "input_cost_per_token_above_200k_tokens": Decimal("2e-6"),
        "input_cost_per_token_priority": Decimal("3e-6"),
        "output_cost_per_token": Decimal("5e-6"),
        "cache_creation_input_token_cost_above_1hr": Decimal("4e-6"),
        "cache_creation_input_token_cost_above_12hr": Decimal("9e-6"),
    }
    price = price_of(book(row=row))
    assert rates_for(price.applicable(0), 200_000) == Rates(input=10**6, cache_write_1h=4 * 10**6, output=5 * 10**6)
    assert rates_for(price.applicable(0), 200_001).input == 2 * 10**6
    assert rates_for(price.applicable(0, "priority"), 1) == Rates(
        input=3 * 10**6, cache_write_1h=4 * 10**6, output=5 * 10**6
    )


def test_steps_of_the_list() -> None:
    row = {
        "tiered_pricing": [
            {"input_cost_per_token": Decimal("1e-6"), "range": [0, Decimal("32000.0")]},
            {"input_cost_per_token": Decimal("2e-6"), "range": [Decimal("32000.0"), Decimal("1000000.0")]},
        ]
    }
    entries = price_of(book(row=row)).applicable(0)
    assert [rates_for(entries, tokens).input for tokens in (1, 32_000, 32_001)] == [10**6, 10**6, 2 * 10**6]


def test_a_piece_is_not_charged_beside_its_tokens() -> None:
    row = {"output_cost_per_image": Decimal("0.04"), "input_cost_per_image": Decimal("0.01")}
    assert price_of(book(row=row), "image").entries[0].rates == Rates(image=4 * 10**10)
    counted = row | {"output_cost_per_image_token": Decimal("3e-5"), "input_cost_per_token": Decimal("1e-6")}
    assert price_of(book(row=counted), "image").entries[0].rates == Rates(input=10**6, image_output=3 * 10**7)


def test_a_resolution_is_a_tier() -> None:
    row = {"output_cost_per_second": Decimal("0.4"), "output_cost_per_second_4k": Decimal("0.6")}
    price = price_of(book(row=row), "video")
    assert [entry.rates.second for tier in ("", "720p", "4k") for entry in price.applicable(0, tier)] == [
        4 * 10**11,
        4 * 10**11,
        6 * 10**11,
    ]


def test_a_zero_of_the_list_is_no_price() -> None:
    row = {"input_cost_per_token": Decimal("0.0"), "output_cost_per_token": Decimal("0.0")}
    it = book(row=row)
    assert it.of({"id": "gpt-x", "vendor": "openai", "kind": "chat", "served_by": {"openai": "gpt-x"}}) == {}
    assert {"no price: gpt-x", "zero is no price: openai/gpt-x"} <= it.notes.keys()


def test_genai_prices_wins_for_tokens_and_the_list_fills_in_media(tmp_path: Path) -> None:
    models = info("prices=ModelPrice(input_mtok=Decimal('0.15'), output_mtok=Decimal('0.6'))")
    row = {
        "input_cost_per_token": Decimal(1),
        "cache_read_input_token_cost": Decimal(1),
        "input_cost_per_audio_token": Decimal("2e-6"),
        "search_context_cost_per_query": {"search_context_size_medium": Decimal("0.01")},
    }
    rates = price_of(book(models, row, path=tmp_path / "data.py")).entries[0].rates
    assert rates == Rates(input=150_000, output=600_000, audio_input=2 * 10**6, search=10**10)


def test_a_model_is_found_by_its_alias(tmp_path: Path) -> None:
    models = info("prices=ModelPrice(input_mtok=Decimal('0.15'))", name="gpt-x-alias")
    assert price_of(book(models, path=tmp_path / "data.py")).entries[0].rates.input == 150_000


def test_dates_times_and_sizes_hold_as_genai_prices_means_them(tmp_path: Path) -> None:
    models = info("""prices=[
        ConditionalPrice(prices=ModelPrice(
            input_mtok=TieredPrices(base=Decimal('1'), tiers=[Tier(start=1000, price=Decimal('2'))]))),
        ConditionalPrice(constraint=StartDateConstraint(start_date=datetime.date(2026, 7, 1)),
            prices=ModelPrice(input_mtok=Decimal('3'))),
        ConditionalPrice(constraint=TimeOfDateConstraint(start_time=datetime.time(23, 0, tzinfo=datetime.UTC),
            end_time=datetime.time(1, 30, tzinfo=datetime.UTC)), prices=ModelPrice(input_mtok=Decimal('4'))),
    ], price_variants=[PriceVariant(when={'processing': 'batch'}, prices=ModelPrice(input_mtok=Decimal('0.5')),
        constraint=StartDateConstraint(start_date=datetime.date(2026, 7, 2)))]""")
    price = price_of(book(models, path=tmp_path / "data.py"))

    def usd(at: int, tokens: int = 1, tier: str = "") -> Decimal:
        return Decimal(rates_for(price.applicable(at, tier), tokens).input or 0) / 10**6

    noon, night = DAY_S // 2, 90 * 60 - 1
    assert [usd(noon), usd(noon, 1001), usd(night), usd(night, 1001), usd(night + 1)] == [1, 2, 4, 4, 1]
    # Later: no size any more, and the night's price goes on.
    assert [usd(JULY + noon), usd(JULY + noon, 1001), usd(JULY + night)] == [3, 3, 4]
    assert [usd(JULY + noon, tier="batch"), usd(JULY + DAY_S + noon, tier="batch")] == [3, Decimal("0.5")]


@pytest.mark.parametrize(
    "times", ["(1, 0), (4, 0); (3, 59), (5, 0)", "(22, 0), (2, 0); (1, 0), (3, 0)", "(1, 0, 1), (4, 0)"]
)
def test_times_that_the_catalogue_cannot_say_are_refused(times: str, tmp_path: Path) -> None:
    listed = "".join(
        f"ConditionalPrice(constraint=TimeOfDateConstraint(start_time=datetime.time{start}), "
        f"end_time=datetime.time({end}), prices=ModelPrice(input_mtok=Decimal('1'))),"
        for start, end in (window.split("), (") for window in times.split("; "))
    )
    with pytest.raises(genai.SourceError):
        price_of(book(info(f"prices=[{listed}]"), path=tmp_path / "data.py"))


def test_the_module_is_read_and_not_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="malformed node"):
        book(info("prices=ModelPrice(input_mtok=print('run'))").replace("print('run')", "1 if open else 2"),
             path=tmp_path / "data.py")  # fmt: skip
