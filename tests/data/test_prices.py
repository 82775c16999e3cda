"""The prices of the shipped catalogue: whole, sane, complete, and to the nano-dollar what genai-prices computes."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_CEILING, Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo
from genai_prices.units import _get_registry
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.money import Price, Rates, charge_nano, rates_for
from faregate.core.usage import Usage
from faregate.settings import Settings
from faregate.stores.catalog import build_snapshot, load_catalog

from .test_catalog import PRINTED

CATALOG = load_catalog()
MODELS = {model.id: model for model in CATALOG.models}
PRICES = [(model, host, price) for model in CATALOG.models for host, price in model.prices.items()]
TODAY_S = int(dt.datetime.fromisoformat(CATALOG.dated).replace(tzinfo=dt.UTC).timestamp())

TOKENS = [
    name for name in Rates.__struct_fields__ if name.startswith(("input", "output", "cache", "reas", "audio", "image_"))
]
USD_PICO = 10**12
DEAREST_TOKEN_PICO = USD_PICO // 1000  # $1,000 for a million
DEAREST_PIECE_PICO = 10 * USD_PICO

GENAI_HOSTS = {"xai": "x-ai", "moonshot": "moonshotai"}
CONTEXTS = {
    "": None,
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
UNITS = dict.fromkeys(_get_registry()._reported_usage_keys, 0)
FIRST_DAY, LAST_DAY = dt.datetime(2025, 1, 1, tzinfo=dt.UTC), dt.datetime(2027, 6, 1, tzinfo=dt.UTC)
# What Groq charges for at the least, which is a matter of usage and not of price: genai-prices counts it, we do not.
SHORTEST_SOUND_MS = 10_000


def edges(price: Price) -> set[int]:
    """The moments at which what holds may change, and now."""
    days = {moment for entry in price.entries for moment in (entry.valid_from, entry.valid_until or 0)}
    return {
        day + minute * 60 for day in {0, TODAY_S, *days} for entry in price.entries for minute in entry.minutes or (0,)
    }


def known_to_both() -> list[tuple[str, str, Price]]:
    """(host there, name there, our price) of every price that genai-prices has as well."""
    found = []
    snapshot = get_snapshot()
    for model, host, price in PRICES:
        theirs = GENAI_HOSTS.get(host, host)
        try:
            _, info = snapshot.find_provider_model(model.served_by[host], None, theirs, None)
        except LookupError:
            continue
        if any(vars(prices) for prices in every_price(info)):
            found.append((theirs, model.served_by[host], price))
    return found


def every_price(info: ModelInfo) -> list[Any]:
    return [price.prices for price in info.prices] if isinstance(info.prices, list) else [info.prices]


BOTH = known_to_both()


def test_a_model_has_the_price_of_its_vendors_own_host() -> None:
    served = build_snapshot(Settings(), {"openai": HERE, "openrouter": HERE}, {}).models
    assert served["gpt-4o"].price is MODELS["gpt-4o"].prices["openai"]
    assert list(MODELS["gpt-4o"].prices) == ["openai", "openrouter"]
    assert served["phi-4"].price is MODELS["phi-4"].prices["openrouter"]


class HERE:
    """A provider that is switched on."""

    region = replica = "default"
    price = catalogued_as = None
    zero_retention = False


def test_a_version_means_the_same_wherever_it_stands() -> None:
    entries = {price.version: price.entries for _, _, price in PRICES}
    assert all(entries[price.version] == price.entries for _, _, price in PRICES)
    assert len(entries) == len({price.entries for _, _, price in PRICES})


def test_no_price_is_absurd() -> None:
    for model, host, price in PRICES:
        for entry in price.entries:
            for name in Rates.__struct_fields__:
                pico = getattr(entry.rates, name)
                dearest = DEAREST_TOKEN_PICO if name in TOKENS else DEAREST_PIECE_PICO
                assert pico is None or 0 <= pico <= dearest, (model.id, host, name, pico)


def test_something_is_charged_for_at_every_time_size_and_tier() -> None:
    for model, host, price in PRICES:
        for tier in {"", "unheard-of", *(entry.tier for entry in price.entries)}:
            for at in edges(price):
                for tokens in (0, 1, 10**7):
                    rates = rates_for(price.applicable(at, tier), tokens)
                    assert rates != Rates(), (model.id, host, tier, at)


def test_what_is_billed_by_tokens_has_the_price_of_a_token() -> None:
    for model, host, price in PRICES:
        if model.kind in ("chat", "completion", "embedding", "moderation"):
            assert all(entry.rates.input is not None for entry in price.entries), (model.id, host)


@pytest.mark.parametrize("name", sorted({*PRINTED.values(), "deepseek-v4-flash", "deepseek-v4-pro"}))
def test_every_model_that_a_reference_prints_has_a_price(name: str) -> None:
    price = MODELS[name].price or next(iter(MODELS[name].prices.values()))
    rates = rates_for(price.applicable(TODAY_S), 1000)
    if MODELS[name].kind == "chat":
        assert rates.input and rates.output
    else:
        assert rates.image


def test_few_models_have_none() -> None:
    bare = [model.id for model in CATALOG.models if not model.prices]
    assert len(bare) <= len(CATALOG.models) // 100, bare


def theirs_of(usage: Usage) -> genai_prices.Usage:
    """A usage in genai-prices' overlapping counters, with nothing left to be inferred."""
    seconds = Decimal(usage.milliseconds) / 1000
    return genai_prices.Usage(
        **UNITS
        | {
            "input_tokens": usage.prompt,
            "cache_read_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
            "cache_write_5m_tokens": usage.cache_write,
            "cache_write_1h_tokens": usage.cache_write_1h,
            "input_audio_tokens": usage.audio_input,
            "input_image_tokens": usage.image_input,
            "output_tokens": usage.completion,
            "output_reasoning_tokens": usage.reasoning,
            "output_audio_tokens": usage.audio_output,
            "output_image_tokens": usage.image_output,
            "audio_seconds": seconds,
            "input_audio_seconds": seconds,
            "input_characters": usage.characters,
            "web_searches": usage.searches,
        }
    )


def as_they_price_it(usage: Usage, keys: dict[str, Any], rates: Rates) -> Usage:
    """The part of a usage that they have a price for, of what the litellm list may have given us a price for; and
    without the cache writes whose price is no whole number of pico-dollars (they are charged as input then)."""
    priced = {
        "audio_input": "input_audio_mtok",
        "audio_output": "output_audio_mtok",
        "image_input": "input_image_mtok",
        "image_output": "output_image_mtok",
        "searches": "web_searches_kcount",
        "characters": "input_mchars",
        "milliseconds": "audio_hours",
        "requests": "requests_kcount",
    }
    left = {counter: 0 for counter, key in priced.items() if keys.get(key) is None}
    if keys.get("cache_write_mtok") is not None and rates.cache_write_5m is None:
        left |= {"cache_write": 0, "cache_write_1h": 0}
    return Usage(**{name: left.get(name, getattr(usage, name)) for name in (*USED, "requests")})


USED = [
    *("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning", "audio_input", "audio_output"),
    *("image_input", "image_output", "searches", "characters", "milliseconds"),
]
COUNTS = st.just(0) | st.integers(0, 1000) | st.integers(0, 1_000_000)
USAGES = st.builds(
    Usage,
    **dict.fromkeys(USED, COUNTS) | {"milliseconds": st.just(0) | st.integers(SHORTEST_SOUND_MS, 10**7)},
    requests=st.just(1),
)
MOMENTS = st.integers(int(FIRST_DAY.timestamp()), int(LAST_DAY.timestamp()))


def check_charge(known: tuple[str, str, Price], usage: Usage, at: int, tier: str) -> None:
    host, name, price = known
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    asked = {"provider_id": host, "genai_request_timestamp": moment, "price_context": CONTEXTS[tier]}
    keys = vars(genai_prices.calc_price(theirs_of(Usage()), name, **asked).model_price)
    entries = price.applicable(at, tier)
    usage = as_they_price_it(usage, keys, rates_for(entries, usage.prompt))
    total = genai_prices.calc_price(theirs_of(usage), name, **asked).total_price
    ours = charge_nano(usage, rates_for(entries, usage.prompt))
    assert ours == int((total * 10**9).to_integral_value(ROUND_CEILING)), (host, name, tier, at)


def test_many_prices_are_known_to_both() -> None:
    assert len(BOTH) > len(PRICES) // 2
    assert {host for host, _, _ in BOTH} >= {
        "openai",
        "anthropic",
        "google",
        "deepseek",
        "mistral",
        "x-ai",
        "openrouter",
    }


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(BOTH), USAGES, MOMENTS, st.sampled_from(sorted(CONTEXTS)))
def test_a_charge_is_what_genai_prices_computes(
    known: tuple[str, str, Price], usage: Usage, at: int, tier: str
) -> None:
    """Its calculation on its own data, rounded up to the nano-dollar, is ours: at any time, size and tier.

    Where its rules are others than ours would be, the catalogue is compiled to follow it: a price by the time of the
    day holds whatever dated price is newer, because its list puts it last; a price without sizes hides an older one
    with sizes; a tier's price begins on its own day. Three things are not priced as it does and are left out here:
    cached sound and cached images (one class for all that is cached), film in tokens, and a price that is not exact.
    """
    check_charge(known, usage, at, tier)


@pytest.mark.parametrize("tier", CONTEXTS)
def test_every_price_that_both_know_is_the_same(tier: str) -> None:
    usage = Usage(**dict.fromkeys(USED, 777) | {"milliseconds": 77_777}, requests=1)
    large = Usage(input=300_001, output=7)
    for known in BOTH:
        for at in edges(known[2]):
            check_charge(known, usage, max(at, int(FIRST_DAY.timestamp())), tier)
            check_charge(known, large, max(at, int(FIRST_DAY.timestamp())), tier)
