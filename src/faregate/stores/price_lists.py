"""Price lists on record: what the settings and the catalogue charged when an operator said so, with author and reason.

They are for people, to see what changed and when. What is charged is what the settings and the catalogue say.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import msgspec

from ..core.money import Price, PriceEntry, Rates
from . import audit
from .audit import Actor
from .database import Database, Row, Transaction, named_queries

Prices = Mapping[str, Price | None]

_PAGE_ROWS = 20
_NO_RATES = Rates()
_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, Price | None]).decode


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """A list as it was applied: what each model cost, None where it had no price. `applied_at` is unix seconds."""

    id: int
    applied_at: float
    author: str
    reason: str
    prices: Prices


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """That a list was applied: how many models it has, and of how many it says something else than the list before."""

    id: int
    applied_at: float
    author: str
    reason: str
    models: int
    changed: int


class PriceSince(msgspec.Struct, frozen=True, kw_only=True):
    """What a model cost from a list on; None: it had no price, or was on the list no more."""

    id: int
    applied_at: float
    author: str
    reason: str
    price: Price | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between two lists: a class of one entry of a model's price, pico-USD a unit, None where it is not
    there. `entry` says under which conditions. Without `entry`, the model has no price, or its version alone changed.
    """

    model: str
    kind: Literal["added", "removed", "changed"]
    entry: PriceEntry | None = None
    rate: str = ""
    before: int | None = None
    after: int | None = None


class PriceLists:
    """The lists of one database. `clock` gives unix seconds."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._queries = named_queries("prices")

    async def last(self) -> PriceList | None:
        """The list applied last, or None."""
        return await self._database.read(self._last)

    async def apply(self, prices: Prices, *, reason: str, actor: Actor) -> PriceList | None:
        """Put the prices on record, and that in the audit log; None where the last list says the same already.

        Conflict for a reason that cannot be.
        """
        audit.check_reason(reason)

        def work(writing: Transaction) -> PriceList | None:
            last = self._last(writing)
            before: Prices = {} if last is None else last.prices
            if last is not None and before == prices:
                return None
            at, number = self._clock(), 1 if last is None else last.id + 1
            row = (number, at, actor.name, reason, _encode(prices).decode())
            writing.run(self._queries["insert_price_list"], row)
            changed = changed_models(before, prices)
            audit.record(
                writing,
                at=at,
                actor=actor,
                action="prices.apply",
                subject=f"price_list:{number}",
                before={"versions": _versions(before, changed)},
                after={"versions": _versions(prices, changed), "reason": reason},
            )
            return PriceList(id=number, applied_at=at, author=actor.name, reason=reason, prices=prices)

        return await self._database.run(work)

    async def history(self) -> list[Applied]:
        """Every list, oldest first."""

        def work(reading: Transaction) -> list[Applied]:
            found, before = [], {}
            for each in self._all(reading):
                changed = len(changed_models(before, each.prices))
                members = {name: getattr(each, name) for name in ("id", "applied_at", "author", "reason")}
                found.append(Applied(**members, models=len(each.prices), changed=changed))
                before = each.prices
            return found

        return await self._database.read(work)

    async def history_of(self, model: str) -> list[PriceSince]:
        """What a model cost over time, oldest first: the first list that has it, and each that says something else."""

        def work(reading: Transaction) -> list[PriceSince]:
            found: list[PriceSince] = []
            for each in self._all(reading):
                price = each.prices.get(model)
                if (price != found[-1].price) if found else (model in each.prices):
                    members = {name: getattr(each, name) for name in ("id", "applied_at", "author", "reason")}
                    found.append(PriceSince(**members, price=price))
            return found

        return await self._database.read(work)

    def _last(self, reading: Transaction) -> PriceList | None:
        row = reading.one(self._queries["last_price_list"])
        return None if row is None else _price_list(row)

    def _all(self, reading: Transaction) -> Iterator[PriceList]:
        after = 0
        while rows := reading.all(self._queries["next_price_lists"], (after, _PAGE_ROWS)):
            yield from map(_price_list, rows)
            after = rows[-1][0]


def changed_models(before: Prices, after: Prices) -> list[str]:
    """The models that are on one list alone or have another price there, by name."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if (name in before) != (name in after) or before.get(name) != after.get(name))


def changes(before: Prices, after: Prices) -> Iterator[Change]:
    """Every difference between two lists, by model, then condition, then class."""
    for model in changed_models(before, after):
        kind = "added" if model not in before else "removed" if model not in after else "changed"
        ours, theirs = _by_conditions(before.get(model)), _by_conditions(after.get(model))
        found = [
            Change(model=model, kind=kind, entry=conditions, rate=rate, before=was, after=is_now)
            for conditions in sorted(ours.keys() | theirs.keys(), key=_encode)
            for rate, was, is_now in _different(ours.get(conditions, _NO_RATES), theirs.get(conditions, _NO_RATES))
        ]
        yield from found or [Change(model=model, kind=kind)]


def _by_conditions(price: Price | None) -> dict[PriceEntry, Rates]:
    """The rates of a price by the entry they stand in, that entry without its rates."""
    entries = () if price is None else price.entries
    return {msgspec.structs.replace(entry, rates=_NO_RATES): entry.rates for entry in entries}


def _different(before: Rates, after: Rates) -> Iterator[tuple[str, int | None, int | None]]:
    for name in Rates.__struct_fields__:
        was, is_now = getattr(before, name), getattr(after, name)
        if was != is_now:
            yield name, was, is_now


def _versions(prices: Prices, models: list[str]) -> dict[str, str | None]:
    found = {model: prices[model] for model in models if model in prices}
    return {model: None if price is None else price.version for model, price in found.items()}


def _price_list(row: Row) -> PriceList:
    number, applied_at, author, reason, prices = row
    return PriceList(id=number, applied_at=applied_at, author=author, reason=reason, prices=_decode(prices))
