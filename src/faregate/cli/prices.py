"""`faregate prices`: list, diff, apply, history. Prices are decimal dollars, as lists and the settings have them."""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ..core.catalog import Snapshot
from ..core.money import Price, PriceEntry, Rates, format_rate
from ..stores.database import NoSuchRecord
from ..stores.price_lists import Applied, Change, PriceList, PriceLists, Prices, PriceSince, changes
from ..stores.prices import source_of
from .context import actor, moment, show_json, show_records, show_table, with_stores
from .offer import FAILURES, Offer, make_offer

__all__ = ["FAILURES", "run"]

_FIRST_RATES = ("input", "cache_read", "output")


class PriceLine(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs as it is shown: `rates` now, for a short prompt; all `entries`, as the settings have them."""

    model: str
    source: str
    version: str | None
    rates: dict[str, str]
    entries: list[dict[str, object]]


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A difference as it is shown; `rate` is None where the model has no price, or its version alone changed."""

    model: str
    change: str
    rate: str | None
    before: str | None
    after: str | None
    conditions: dict[str, object]


class HistoryLine(PriceLine, frozen=True, kw_only=True):
    """What a model cost from an applied list on."""

    id: int
    applied_at: float
    author: str
    reason: str


_PRICE_COLUMNS: Mapping[str, Callable[[Any], object]] = {
    "input": lambda line: line.rates.get("input", "-"),
    "cache read": lambda line: line.rates.get("cache_read", "-"),
    "output": lambda line: line.rates.get("output", "-"),
    "other": lambda line: _text(line.rates, without=_FIRST_RATES),
    "version": lambda line: line.version or "-",
    "whose": lambda line: line.source,
}
_APPLIED_COLUMNS: Mapping[str, Callable[[Any], object]] = {
    "list": lambda line: line.id,
    "applied": lambda line: moment(line.applied_at),
    "author": lambda line: line.author,
    "reason": lambda line: line.reason,
}
_CHANGE_COLUMNS: Mapping[str, Callable[[Any], object]] = {
    "model": lambda line: line.model,
    "change": lambda line: line.change,
    "class": lambda line: line.rate or "-",
    "before": lambda line: line.before or "-",
    "after": lambda line: line.after or "-",
    "when": lambda line: _text(line.conditions),
}


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    _VERBS[arguments.verb](arguments)
    return 0


def _list(arguments: argparse.Namespace) -> None:
    offer = make_offer(arguments)
    prices = _charged(offer)
    names = [_served(offer.snapshot, name) for name in arguments.model] or sorted(prices)
    stated = {name: offer.snapshot.models[name].price for name in names}
    lines = [_price_line(name, prices[name], is_default=stated[name] is None) for name in names]
    show_records(arguments, lines, {"model": lambda line: line.model, **_PRICE_COLUMNS})
    _tell_what_is_missing(offer)


def _diff(arguments: argparse.Namespace) -> None:
    offer = make_offer(arguments)
    last = with_stores(arguments, lambda _, database: PriceLists(database).last())
    lines = [_change_line(change) for change in changes({} if last is None else last.prices, _charged(offer))]
    if arguments.json:
        show_json({"since": None if last is None else _applied(last), "changes": lines})
        return
    since = "no prices have been applied yet" if last is None else f"since list {last.id} of {moment(last.applied_at)}"
    count = f"{len(lines) or 'no'} change{'' if len(lines) == 1 else 's'}"
    sys.stdout.write(f"{since}: {count}\n")
    if lines:
        show_table(list(_CHANGE_COLUMNS), ([value(line) for value in _CHANGE_COLUMNS.values()] for line in lines))
    _tell_what_is_missing(offer)


def _apply(arguments: argparse.Namespace) -> None:
    offer = make_offer(arguments)
    work = {"reason": arguments.reason, "actor": actor()}
    made = with_stores(arguments, lambda _, database: PriceLists(database).apply(_charged(offer), **work))
    if arguments.json:
        show_json(None if made is None else _applied(made))
    elif made is None:
        sys.stdout.write("nothing has changed since the last list\n")
    else:
        sys.stdout.write(f"list {made.id}: {len(made.prices)} models\n")
    _tell_what_is_missing(offer)


def _history(arguments: argparse.Namespace) -> None:
    if arguments.model is None:
        lists = with_stores(arguments, lambda _, database: PriceLists(database).history())
        counts: Mapping[str, Callable[[Applied], object]] = {
            "models": lambda line: line.models,
            "changed": lambda line: line.changed,
        }
        show_records(arguments, lists, {**_APPLIED_COLUMNS, **counts})
        return
    name = make_offer(arguments).snapshot.resolve(arguments.model) or arguments.model
    found = with_stores(arguments, lambda _, database: PriceLists(database).history_of(name))
    if not found:
        raise NoSuchRecord(f"no price list has a model {name}")
    show_records(arguments, [_history_line(name, each) for each in found], {**_APPLIED_COLUMNS, **_PRICE_COLUMNS})


_VERBS = {"list": _list, "diff": _diff, "apply": _apply, "history": _history}


def _charged(offer: Offer) -> Prices:
    """What each model that is served costs, the operator's default where nobody has priced it."""
    default = offer.settings.prices.default_price
    return {name: model.price or default for name, model in offer.snapshot.models.items()}


def _served(snapshot: Snapshot, name: str) -> str:
    found = snapshot.resolve(name)
    if found is None:
        raise NoSuchRecord(f"nobody serves a model {name}")
    return found


def _tell_what_is_missing(offer: Offer) -> None:
    for name in offer.asked_at_start:
        sys.stderr.write(f"{name} is asked for its models when the gateway runs; they are not here\n")


def _applied(made: PriceList) -> dict[str, object]:
    return {name: getattr(made, name) for name in ("id", "applied_at", "author", "reason")}


def _price_line(model: str, price: Price | None, *, is_default: bool = False, at: float | None = None) -> PriceLine:
    entries = () if price is None else price.entries
    now = () if price is None else price.applicable(int(time.time() if at is None else at))
    return PriceLine(
        model=model,
        source="none" if price is None else "default" if is_default else source_of(price),
        version=None if price is None else price.version,
        rates=_rates(now[0].rates) if now else {},
        entries=[{**_conditions(entry), **_rates(entry.rates)} for entry in entries],
    )


def _history_line(model: str, since: PriceSince) -> HistoryLine:
    members = msgspec.structs.asdict(_price_line(model, since.price, at=since.applied_at))
    applied = {name: getattr(since, name) for name in ("id", "applied_at", "author", "reason")}
    return HistoryLine(**members, **applied)


def _change_line(change: Change) -> ChangeLine:
    def text(pico: int | None) -> str | None:
        return None if pico is None else format_rate(change.rate, pico)

    return ChangeLine(
        model=change.model,
        change=change.kind,
        rate=change.rate or None,
        before=text(change.before),
        after=text(change.after),
        conditions={} if change.entry is None else _conditions(change.entry),
    )


def _rates(rates: Rates) -> dict[str, str]:
    given = {name: getattr(rates, name) for name in Rates.__struct_fields__}
    return {name: format_rate(name, pico) for name, pico in given.items() if pico is not None}


def _conditions(entry: PriceEntry) -> dict[str, object]:
    """When an entry holds, in the keys and forms of [[models."NAME".prices]]; what is not said is left out."""
    said = {
        "from": _date(entry.valid_from) if entry.valid_from else None,
        "until": _date(entry.valid_until) if entry.valid_until is not None else None,
        "prompt_tokens_over": entry.prompt_tokens_over or None,
        "minutes": "-".join(f"{at // 60:02}:{at % 60:02}" for at in entry.minutes) if entry.minutes else None,
        "tier": entry.tier or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _date(unix_s: int) -> str:
    at = datetime.fromtimestamp(unix_s, UTC)
    return at.strftime("%Y-%m-%d" if unix_s % 86_400 == 0 else "%Y-%m-%dT%H:%M:%SZ")


def _text(named: Mapping[str, object], without: Iterable[str] = ()) -> str:
    return ", ".join(f"{name} {value}" for name, value in named.items() if name not in without) or "-"
