"""What a model costs: the operator's word, else the house's price list, else the catalogue's price with the operator's
margin, else the providers' price.

Each word is taken whole: while the operator's prices hold, nothing that the house or the catalogue says of that model
does (its tiers, its sizes); before the first of them and after the last, what is below holds as it stands. A margin
goes on the catalogue's prices alone. What a price's version begins with says whose it is: `operator:`, `house:`,
`provider:`, or nothing, which is the catalogue's own, with `+20%` behind it where that is the margin.
"""

import math
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from fractions import Fraction

import msgspec

from ..core.catalog import Model
from ..core.money import Price, PriceEntry, Rates
from ..settings import Settings
from ..settings_prices import HOUSE, OPERATOR, Percent, entries_of, outside, plain_windows, stated_price

CATALOGUE = "catalogue"


class PriceBook:
    """The prices under one tree of settings. `providers` are the active ones, each with what its models cost that
    nobody else has priced; None: it has not said. `house` is the house's list, by model id."""

    def __init__(
        self,
        settings: Settings,
        providers: Mapping[str, Price | None],
        house: Mapping[str, tuple[PriceEntry, ...]],
    ) -> None:
        self._prices = settings.prices
        self._models = settings.models
        self._providers = providers
        self._house = house

    def price_of(self, model: Model, providers: Collection[str]) -> Price | None:
        """What `model` costs, whose `price` is the catalogue's, where these providers serve it. None: nobody says."""
        if model.price is not None:
            price = with_margin(model.price, self._margin(model.id))
        else:
            price = self._dearest(providers)
        price = _over(price, self._house.get(model.id, ()), HOUSE)
        said = self._models.get(model.id)
        return price if said is None else _over(price, entries_of(said.price, said.prices), OPERATOR)

    def _margin(self, model: str) -> Percent:
        for margin in self._prices.margins:
            if fnmatchcase(model, margin.models):
                return margin.percent
        return self._prices.margin_percent

    def _dearest(self, providers: Collection[str]) -> Price | None:
        """The price that covers whichever of them serves a call: of each class the dearest. None where one has none."""
        found: list[Price] = []
        for name in providers:
            price = self._providers.get(name)
            if price is None:
                return None
            if price not in found:
                found.append(price)
        if len(found) <= 1:
            return found[0] if found else None
        rates = [entry.rates for price in found for entry in price.entries]
        named = [name for name in Rates.__struct_fields__ if any(getattr(each, name) is not None for each in rates)]
        dearest = Rates(**{name: max(each.pico_of(name) for each in rates) for name in named})
        return stated_price([PriceEntry(rates=dearest)])


def _over(price: Price | None, entries: tuple[PriceEntry, ...], source: str) -> Price | None:
    """`price` where `entries`, which are the word of `source`, do not hold."""
    if not entries:
        return price
    rest = outside(price.entries, plain_windows(entries)) if price is not None else []
    return stated_price([*entries, *rest], source)


def with_margin(price: Price, percent: Percent) -> Price:
    """A price with so many per cent on it, each rate rounded up to a whole pico-USD; itself where that is nothing."""
    if not percent:
        return price
    factor = 1 + Fraction(percent) / 100
    entries = tuple(msgspec.structs.replace(entry, rates=_scaled(entry.rates, factor)) for entry in price.entries)
    return Price(version=f"{price.version}{percent.normalize():+f}%", entries=entries)


def source_of(price: Price) -> str:
    """Whose a price is, as its version says."""
    source, colon, _ = price.version.partition(":")
    return source if colon else CATALOGUE


def _scaled(rates: Rates, factor: Fraction) -> Rates:
    given = {name: getattr(rates, name) for name in Rates.__struct_fields__}
    return Rates(**{name: math.ceil(pico * factor) for name, pico in given.items() if pico is not None})
