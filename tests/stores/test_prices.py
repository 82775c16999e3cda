"""What a model costs: the operator's word, the catalogue's with a margin, the provider's; what nobody says is None."""

import datetime
from collections.abc import Mapping
from pathlib import Path

import pytest

from faregate.core.money import Price, PriceEntry, Rates, rates_for
from faregate.edge.house import load_house
from faregate.providers.active import active_providers
from faregate.settings import load_settings
from faregate.stores.catalog import Catalog, build_snapshot
from faregate.stores.prices import source_of

from .test_snapshot import entry

LISTED = Price(
    version="abc",
    entries=(
        PriceEntry(rates=Rates(input=3, cache_read=1, output=10)),
        PriceEntry(rates=Rates(input=7, output=9), prompt_tokens_over=100),
        PriceEntry(rates=Rates(input=2, output=4), tier="batch"),
    ),
)
CATALOG = Catalog(
    dated="2026-11-21",
    models=[
        entry("listed", {"host": "listed"}, prices={"host": LISTED}),
        entry("gpt-listed", {"host": "gpt-listed"}, prices={"host": LISTED}),
        entry("unlisted", {"host": "unlisted"}),
    ],
    aliases={},
    vendor_prefixes=["acme"],
)
HOST = "[providers.host]\nbase_url = 'http://h/v1'\n"


def prices(
    folder: Path, text: str, environment: Mapping[str, str] | None = None, house: str = ""
) -> dict[str, Price | None]:
    """The price of each model that is served under these settings, in this house."""
    file = folder / "faregate.toml"
    file.write_text(text)
    settings = load_settings(file)
    providers = active_providers(settings, environment or {})
    today = datetime.date(2026, 11, 21)
    (folder / "house.toml").write_text(house)
    listed = load_house(folder / "house.toml").prices
    discovered = {"ollama": ["llama"]}
    served = build_snapshot(settings, providers, discovered, house_prices=listed, catalog=CATALOG, today=today)
    return {name: model.price for name, model in served.models.items()}


def price(folder: Path, text: str, name: str = "listed", house: str = "") -> Price:
    """The price of one of them, which has one."""
    found = prices(folder, text, house=house)[name]
    assert found is not None
    return found


def moment(year: int, month: int, day: int) -> int:
    return int(datetime.datetime(year, month, day, tzinfo=datetime.UTC).timestamp())


def rates_at(price: Price, at: int, tokens: int = 1, tier: str = "") -> Rates:
    return rates_for(price.applicable(at, tier), tokens)


def test_what_nothing_is_said_of_is_the_catalogues_own(tmp_path: Path) -> None:
    found = prices(tmp_path, HOST)
    assert found["listed"] is LISTED and source_of(LISTED) == "catalogue"
    assert found["unlisted"] is None


def test_a_price_of_the_operators_replaces_the_catalogues_whole(tmp_path: Path) -> None:
    found = price(tmp_path, HOST + "[models.listed]\nprice = { input = '0.000005', output = 0 }\n")
    assert found.entries == (PriceEntry(rates=Rates(input=5, output=0)),)
    assert source_of(found) == "operator"
    again = price(tmp_path, HOST + "[models.listed.price]\noutput = '0.000000'\ninput = '0.0000050'\n")
    assert again == found


@pytest.mark.contract("7.2")
def test_a_dated_price_leaves_the_catalogues_before_and_after_it(tmp_path: Path) -> None:
    text = HOST + "[[models.listed.prices]]\nfrom = 2027-01-01\nuntil = 2027-02-01\ninput = '0.000005'\n"
    found = price(tmp_path, text)
    assert source_of(found) == "operator"
    begins, ends = moment(2027, 1, 1), moment(2027, 2, 1)
    for at in (0, begins - 1, ends, moment(2040, 1, 1)):
        assert rates_at(found, at).input == 3
        assert rates_at(found, at, 101).input == 7
        assert rates_at(found, at, tier="batch").input == 2
    for at in (begins, ends - 1):
        assert {rates_at(found, at, tokens, tier).input for tokens in (1, 101) for tier in ("", "batch")} == {5}


def test_dated_prices_without_end_follow_each_other(tmp_path: Path) -> None:
    text = HOST + "[models.unlisted]\nprice = { input = '0.000001' }\n"
    for year, pico in ((2028, 3), (2027, 2)):
        text += f"[[models.unlisted.prices]]\nfrom = {year}-01-01\ninput = '0.00000{pico}'\n"
    found = price(tmp_path, text, "unlisted")
    assert [rates_at(found, moment(year, 1, 1)).input for year in (2026, 2027, 2028, 2040)] == [1, 2, 3, 3]


def test_before_a_first_price_that_is_dated_there_is_none(tmp_path: Path) -> None:
    text = HOST + "[[models.unlisted.prices]]\nfrom = 2027-01-01\ninput = '0.000001'\n"
    found = price(tmp_path, text, "unlisted")
    assert found.applicable(moment(2026, 12, 31)) == ()


@pytest.mark.parametrize(
    ("percent", "version", "rates"),
    [
        ("20", "abc+20%", Rates(input=4, cache_read=2, output=12)),
        ("20.00", "abc+20%", Rates(input=4, cache_read=2, output=12)),
        ("100", "abc+100%", Rates(input=6, cache_read=2, output=20)),
        ("0.000001", "abc+0.000001%", Rates(input=4, cache_read=2, output=11)),
        ("-10", "abc-10%", Rates(input=3, cache_read=1, output=9)),
        ("-100", "abc-100%", Rates(input=0, cache_read=0, output=0)),
    ],
)
def test_a_margin_is_exact_and_rounds_up_to_a_whole_pico_dollar(
    tmp_path: Path, percent: str, version: str, rates: Rates
) -> None:
    found = price(tmp_path, f"{HOST}[prices]\nmargin_percent = '{percent}'\n")
    assert (found.version, found.entries[0].rates) == (version, rates)
    assert len(found.entries) == len(LISTED.entries)
    assert source_of(found) == "catalogue"


def test_the_first_margin_that_fits_is_taken(tmp_path: Path) -> None:
    text = HOST + "[prices]\nmargin_percent = 20\n"
    for models, percent in (("gpt-*", 35), ("*-listed", 50), ("Listed", 99)):
        text += f"[[prices.margins]]\nmodels = '{models}'\npercent = {percent}\n"
    found = prices(tmp_path, text)
    versions = [found[name].version for name in ("gpt-listed", "listed")]  # type: ignore[union-attr]
    assert versions == ["abc+35%", "abc+20%"]
    assert price(tmp_path, text.replace("= 35", "= 0"), "gpt-listed") is LISTED


def test_no_margin_goes_on_what_the_operator_says_himself(tmp_path: Path) -> None:
    text = (
        "[prices]\nmargin_percent = 50\ndefault = { input = 1 }\n" + HOST + "price = { input = '0.000008' }\n"
        "[models.listed]\nprice = { input = '0.000005' }\n"
        "[[models.gpt-listed.prices]]\nfrom = 2027-01-01\ninput = '0.000006'\n"
    )
    assert price(tmp_path, text).entries[0].rates.input == 5
    assert price(tmp_path, text, "unlisted").entries[0].rates.input == 8
    dated = price(tmp_path, text, "gpt-listed")
    assert rates_at(dated, moment(2027, 1, 1)).input == 6
    assert rates_at(dated, moment(2026, 12, 31)).input == 5  # the catalogue's 3 and a half more


HOUSE = """
[prices.listed]
input = '0.000021'
output = '0.000022'

[prices.unlisted]
input = '0.000023'
"""


@pytest.mark.contract("7.2")
def test_the_houses_list_is_above_the_catalogue_and_the_providers(tmp_path: Path) -> None:
    """Whole, and without a margin."""
    found = prices(tmp_path, HOST + "price = { input = '0.000008' }\n[prices]\nmargin_percent = 20\n", house=HOUSE)
    listed, unlisted, other = (found[name] for name in ("listed", "unlisted", "gpt-listed"))
    assert listed is not None and unlisted is not None and other is not None
    assert listed.entries == (PriceEntry(rates=Rates(input=21, output=22)),)
    assert unlisted.entries == (PriceEntry(rates=Rates(input=23)),)
    assert [source_of(each) for each in (listed, unlisted, other)] == ["house", "house", "catalogue"]
    assert other.version == "abc+20%"


def test_the_operator_is_above_the_house(tmp_path: Path) -> None:
    text = HOST + "[models.listed]\nprice = { input = '0.000031' }\n"
    found = price(tmp_path, text, house=HOUSE)
    assert found.entries == (PriceEntry(rates=Rates(input=31)),)
    assert source_of(found) == "operator"


def test_around_a_dated_price_of_the_operators_the_houses_holds(tmp_path: Path) -> None:
    text = HOST + "[[models.listed.prices]]\nfrom = 2027-01-01\nuntil = 2027-02-01\ninput = '0.000031'\n"
    found = price(tmp_path, text, house=HOUSE)
    moments = [moment(2026, 12, 31), moment(2027, 1, 1), moment(2027, 2, 1)]
    assert [rates_at(found, at, 101).input for at in moments] == [21, 31, 21]
    assert source_of(found) == "operator"


def test_a_house_has_dates_and_conditions_too(tmp_path: Path) -> None:
    house = """
    [[prices.listed]]
    from = 2027-01-01
    input = '0.000021'
    [[prices.listed]]
    from = 2027-01-01
    prompt_tokens_over = 50
    input = '0.000029'
    """
    found = price(tmp_path, HOST, house=house)
    assert source_of(found) == "house"
    assert [rates_at(found, moment(2026, 12, 31), tokens).input for tokens in (1, 51, 101)] == [3, 3, 7]
    assert [rates_at(found, moment(2027, 1, 1), tokens).input for tokens in (1, 51, 101)] == [21, 29, 29]


def test_a_house_may_call_a_model_by_any_of_its_names(tmp_path: Path) -> None:
    house = "[prices.'acme/listed']\ninput = '0.000021'\n"
    assert price(tmp_path, HOST, house=house).entries[0].rates.input == 21
    both = house + "[prices.listed]\ninput = '0.000022'\n"
    assert price(tmp_path, HOST, house=both).entries[0].rates.input == 22
    assert price(tmp_path, HOST, house="[prices.nobodys]\ninput = 1\n") is LISTED


def test_a_providers_price_is_for_what_has_no_other(tmp_path: Path) -> None:
    text = HOST + "price = { input = '0.000008' }\n"
    found = prices(tmp_path, text)
    assert found["listed"] is LISTED
    assert found["unlisted"] is not None and source_of(found["unlisted"]) == "operator"
    text += "[models.unlisted]\nprice = { input = '0.000001' }\n"
    assert price(tmp_path, text, "unlisted").entries[0].rates.input == 1


def test_of_several_providers_the_dearest_counts_and_silence_is_not_nothing(tmp_path: Path) -> None:
    text = HOST + "models = ['unlisted']\nprice = { input = '0.000008', output = '0.000001' }\n"
    other = "[providers.other]\nbase_url = 'http://o/v1'\nmodels = ['unlisted']\n"
    said = "price = { input = '0.000002', cache_read = '0.000001', output = '0.000003' }\n"
    assert price(tmp_path, text + other + said, "unlisted").entries == (
        PriceEntry(rates=Rates(input=8, cache_read=8, output=3)),
    )
    assert prices(tmp_path, text + other)["unlisted"] is None


def test_ones_own_machine_costs_nothing_by_the_token_and_says_so(tmp_path: Path) -> None:
    found = prices(tmp_path, "", {"OLLAMA_HOST": "127.0.0.1"})["llama"]
    assert found is not None
    assert found.entries == (PriceEntry(rates=Rates(input=0, output=0)),)
    assert source_of(found) == "provider"
    assert prices(tmp_path, "[providers.ollama]\nregion = 'eu'\n")["llama"] == found
    elsewhere = "[providers.ollama]\nbase_url = 'https://paid.example/v1'\n"
    assert prices(tmp_path, elsewhere)["llama"] is None
    assert prices(tmp_path, elsewhere + "price = { input = 1 }\n")["llama"] != found


def test_the_shipped_catalogue_takes_a_margin_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "faregate.toml"
    file.write_text("[prices]\nmargin_percent = '17.5'\n")
    providers = active_providers(load_settings(None), {"OPENAI_API_KEY": "k", "OPENROUTER_API_KEY": "k"})
    plain = build_snapshot(load_settings(None), providers, {}).models
    with_margin = build_snapshot(load_settings(file), providers, {}).models
    assert len(plain) > 100
    for name, model in plain.items():
        ours = with_margin[name].price
        assert (model.price is None) == (ours is None)
        if model.price is None or ours is None:
            continue
        assert ours.version == f"{model.price.version}+17.5%"
        for before, after in zip(model.price.entries, ours.entries, strict=True):
            for rate in Rates.__struct_fields__:
                listed, charged = getattr(before.rates, rate), getattr(after.rates, rate)
                assert charged == (None if listed is None else -(-listed * 1175 // 1000))
