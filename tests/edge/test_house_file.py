"""A house file: what it says, what it leaves to the default house, and how a mistake in it is named."""

from pathlib import Path

import pytest

from faregate.core.money import PriceEntry, Rates
from faregate.edge.house import load_house
from faregate.settings_source import SettingsError


def test_what_a_file_does_not_say_is_the_default_houses(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text("name = 'mine'\n[headers]\nregion = 'x-mine-region'\n")
    default, own = load_house().facts, load_house(file).facts
    assert (own.name, own.headers.region) == ("mine", "x-mine-region")
    assert own.headers.replica == default.headers.replica
    assert own.errors == default.errors
    assert (own.prefixes, own.members) == (default.prefixes, default.members)
    assert not load_house().prices


def test_its_prices(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text("[prices.'a/b-1.5']\ninput = '0.16'\ncache_read = '0.004'\noutput = '0.30'\nimage = '0.04'\n")
    rates = Rates(input=160_000, cache_read=4_000, output=300_000, image=40_000_000_000)
    assert load_house(file).prices == {"a/b-1.5": (PriceEntry(rates=rates),)}


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("[prices.m]\ninput = 0.16\n", 2, "prices.m.input", "a float is not exact"),
        ("[prices.'m.1']\noutput = '0.30'\ninput = 'x'\n", 3, 'prices."m.1".input', "no price in dollars"),
        ("[prices.m]\ninput = '0.0000001'\n", 2, "prices.m.input", "finer than a pico-dollar"),
        ("[prices.m]\nfresh = '1'\n", 2, "prices.m.fresh", "unknown key"),
        ("[prices.m]\n", 1, "prices.m", "names no price"),
        ("[prices]\nm = 3\n", 2, "prices.m", "expected"),
        ("[[prices.m]]\ninput = 1\n[[prices.m]]\nfrom = 'soon'\ninput = 1\n", 4, "prices.m[1].from", "expected a date"),
        ("[[prices.m]]\ntier = 'batch'\ninput = 1\n", 1, "prices.m[0]", "a price without conditions"),
        ("[[prices.m]]\ninput = 1\n[[prices.m]]\ninput = 2\n", 3, "prices.m[1]", "the same from and conditions"),
        ("[headers]\nunheard = 'x'\n", 2, "headers.unheard", "unknown key"),
        ("[headers]\nregion = 'a: b'\n", 2, "headers.region", "regex"),
        ("prefixes = ['v1']\n", 1, "prefixes[0]", "regex"),
        ("prefixes = ['/v1/']\n", 1, "prefixes[0]", "regex"),
        ("members = ['message', 'detail']\n", 1, "members[1]", "Invalid enum value 'detail'"),
        ("[errors]\nnot_found = [200, '', '']\n", 2, "errors.not_found[0]", ">= 400"),
        ("[errors]\nnot_fuond = [404, '', '']\n", 2, "errors.not_fuond", "no such kind"),
        ("name = 3\n", 1, "name", "expected str"),
        ("headers = 3\n", 1, "headers", "must be a table"),
        ("[prices\n", 1, "", ""),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    file = tmp_path / "house.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_house(file)
    assert (caught.value.path, caught.value.line, caught.value.key) == (str(file), line, key)
    assert words in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        load_house(tmp_path / "none.toml")
