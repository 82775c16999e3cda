"""Prices of the catalogue: whole pico-USD a unit, by host, under the conditions of the sources, exact or not at all.

genai-prices is the authority for the price of tokens; the litellm list gives what that lacks: prices of pieces
(images, seconds, characters, searches) and the models it does not know. A price that is no whole number of
pico-dollars a unit is left out and reported, never rounded (contract 7.2); sound and film that have no such price a
second are priced by the hour. The form is `faregate.core.money.Price`; its version is a hash of its entries, so that
the same prices have the same version in every release.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import re
from collections import Counter
from decimal import Decimal
from fractions import Fraction
from typing import Any

from catalog_genai import GenaiModel, SourceError, Tiers, Window, find_model

PICO = 10**12
TOKENS = 10**6
HOUR_S = 3600
Rates = dict[str, int]
Entry = dict[str, Any]
# The prices from a day on, by the time of the day; None is any time that has no price of its own.
Block = tuple[dt.date, dict[Window | None, dict[str, Decimal | Tiers]]]

# Our hosts' names in genai-prices, where they differ.
GENAI_HOSTS = {"xai": "x-ai", "moonshot": "moonshotai"}

# Its price keys: our class, and how many units the price is for.
GENAI_KEYS = {
    "input_mtok": ("input", TOKENS),
    "cache_read_mtok": ("cache_read", TOKENS),
    "cache_write_mtok": ("cache_write_5m", TOKENS),
    "cache_write_5m_mtok": ("cache_write_5m", TOKENS),
    "cache_write_1h_mtok": ("cache_write_1h", TOKENS),
    "output_mtok": ("output", TOKENS),
    "output_reasoning_mtok": ("reasoning", TOKENS),
    "input_audio_mtok": ("audio_input", TOKENS),
    "output_audio_mtok": ("audio_output", TOKENS),
    "input_image_mtok": ("image_input", TOKENS),
    "output_image_mtok": ("image_output", TOKENS),
    "audio_hours": ("hour", 1),
    "input_audio_hours": ("hour", 1),
    "input_mchars": ("character", 10**6),
    "input_document_kpages": ("page", 1000),
    "web_searches_kcount": ("search", 1000),
    "rerank_searches_kcount": ("search", 1000),
    "requests_kcount": ("request", 1000),
}
# Our tiers, and the requests that genai-prices prices apart for them.
GENAI_TIERS = {
    "": {},
    "batch": {"processing": "batch"},
    "fast": {"service_tier": "fast", "speed": "fast"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}

# Members of the litellm list; what may follow them is in SUFFIX.
LITELLM_TOKENS = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_token": "output",
    "output_cost_per_reasoning_token": "reasoning",
}
LITELLM_MEDIA = {
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
}
# By kind, where the host does not count tokens: a piece and its tokens would charge one thing twice.
LITELLM_PIECES = {
    "image": {"output_cost_per_image": "image", "input_cost_per_image": "image"},
    "video": {"output_cost_per_second": "second", "output_cost_per_video_per_second": "second"},
    "transcription": {"input_cost_per_second": "second"},
    "speech": {"input_cost_per_character": "character"},
    "rerank": {"input_cost_per_query": "search"},
}
SUFFIX = re.compile(r"(?:_above_(?P<over>\d+)k_tokens)?(?:_(?P<tier>flex|priority|batches|\d+p|\dk))?", re.IGNORECASE)
CLASSES = [
    *("input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning", "audio_input", "audio_output"),
    *("image_input", "image_output", "image", "second", "hour", "character", "page", "search", "request"),
]
PIECES = {"image", "second", "hour", "character", "page", "search", "request"}


class InexactPrice(ValueError):
    """A price that is no whole number of pico-dollars a unit."""


def pico(usd: Decimal, per: int = 1) -> int:
    """In: a price in USD per `per` units. Out: pico-USD a unit. InexactPrice."""
    found = Fraction(usd) * PICO / per if usd.is_finite() else None
    if found is None or found < 0 or found.denominator != 1:
        raise InexactPrice(f"{usd} per {per}")
    return found.numerator


class PriceBook:
    """The prices of both sources and of the overrides; `notes` says what was left out."""

    def __init__(
        self,
        genai: dict[str, list[GenaiModel]],
        litellm: dict[tuple[str, str], dict[str, Any]],
        rules: dict[str, Any],
        aliases: dict[str, str],
    ) -> None:
        self._genai = genai
        self._litellm = litellm
        self._rules = rules
        self._names: dict[str, list[str]] = {}
        for alias, target in aliases.items():
            self._names.setdefault(target, []).append(alias)
        self.notes: Counter[str] = Counter()

    def of(self, model: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """In: a model of the catalogue. Out: its price at each host that has one, its vendor's own host first."""
        home = self._rules["home"].get(model["vendor"])
        own = self._rules["prices"].get(model["id"], {})
        found = {}
        for host, upstream in sorted(model["served_by"].items(), key=lambda served: served[0] != home):
            if host in own:
                entries = [{"rates": self._override(own[host])}]
            else:
                entries = self._entries(host, [upstream, *self._names.get(model["id"], ())], model["kind"])
            if entries:
                found[host] = {"version": version_of(entries), "entries": entries}
        if not found:
            self.notes[f"no price: {model['id']}"] += 1
        return found

    def _entries(self, host: str, names: list[str], kind: str) -> list[Entry]:
        """In: a host and the names of a model, its own there first. Out: what it costs there."""
        where = f"{host}/{names[0]}"
        from_litellm = self._from_litellm(where, self._litellm.get((host, names[0]), {}), kind)
        models = self._genai.get(GENAI_HOSTS.get(host, host), [])
        known = next(filter(None, (find_model(models, name) for name in names)), None)
        entries = self._from_genai(where, known) if known is not None else []
        if not entries:
            return self._unless_zero(where, from_litellm, known is not None or kind == "moderation")
        fresh = from_litellm[0]["rates"] if from_litellm else {}
        extra = {name: price for name, price in fresh.items() if name in {*LITELLM_MEDIA.values(), "search"}}
        for entry in entries:
            if entry["rates"].keys() <= PIECES:
                continue  # what is priced by the piece alone is wholly priced
            # The prices of media are those without a tier: a tier's own output price says more of its images.
            shared = extra if "tier" not in entry else {"search": extra["search"]} if "search" in extra else {}
            entry["rates"] = in_order(shared | entry["rates"])
        return entries

    def _unless_zero(self, where: str, entries: list[Entry], free: bool) -> list[Entry]:
        """Zeros of the litellm list stand for what it does not know, unless the model is known to be free."""
        if free or any(price for entry in entries for price in entry["rates"].values()):
            return entries
        if entries:
            self.notes[f"zero is no price: {where}"] += 1
        return []

    def _from_genai(self, where: str, model: GenaiModel) -> list[Entry]:
        """The entries of all tiers. A tier has none for the days before it first cost something else: there the
        entries without a tier hold."""
        days = [dt.date.min, *model.days()]
        windows = [None, *model.windows()]
        entries: list[Entry] = []
        for tier, context in GENAI_TIERS.items():
            blocks: list[Block] = []
            for day in days:
                states = {window: model.prices_at(day, window, context) for window in windows}
                usual = {window: model.prices_at(day, window, {}) for window in windows}
                if (blocks and blocks[-1][1] != states) or (not blocks and (not tier or states != usual)):
                    blocks.append((day, states))
            entries += self._rendered(where, tier, blocks)
        return entries

    def _rendered(self, where: str, tier: str, blocks: list[Block]) -> list[Entry]:
        """The entries of one tier. Each day has one for every size and window that the tier has on any day, so that
        what began later hides all of what was before."""
        prices = [price for _, states in blocks for state in states.values() for price in state.values()]
        sizes = sorted({0, *(start for price in prices if isinstance(price, Tiers) for start, _ in price.steps)})
        entries = []
        for day, states in blocks:
            begins = (
                0 if day == dt.date.min else int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp())
            )
            for window, state in states.items():
                if window is not None and state == states[None]:
                    continue
                for over in sizes:
                    rates = self._rates(where, {k: p.at(over) if isinstance(p, Tiers) else p for k, p in state.items()})
                    if rates:
                        entries.append(entry_of(rates, over=over, begins=begins, minutes=window, tier=tier))
        return entries

    def _rates(self, where: str, prices: dict[str, Decimal]) -> Rates:
        rates: Rates = {}
        for key, usd in prices.items():
            if key not in GENAI_KEYS:
                self.notes[f"no class of ours for {key}"] += 1
                continue
            name, per = GENAI_KEYS[key]
            price = self._exact(f"{where} {key}", usd, per)
            if name == "hour" and price is not None and price % HOUR_S == 0:
                name, price = "second", price // HOUR_S
            if price is not None:
                rates[name] = price
        return in_order(rates)

    def _exact(self, what: str, usd: Decimal, per: int = 1) -> int | None:
        try:
            return pico(usd, per)
        except InexactPrice as error:
            self.notes[f"not exact: {what}: {error}"] += 1
            return None

    def _from_litellm(self, where: str, row: dict[str, Any], kind: str) -> list[Entry]:
        tables: dict[tuple[str, int], Rates] = {}
        counted = row.get("input_cost_per_token") or row.get("output_cost_per_token") or row.get("tiered_pricing")
        names = LITELLM_TOKENS | LITELLM_MEDIA | ({} if counted else LITELLM_PIECES.get(kind, {}))
        for member, usd in sorted(row.items(), reverse=True):  # of two for one class, "output_" wins over "input_"
            stem = max((name for name in names if member.startswith(name)), key=len, default=None)
            suffix = SUFFIX.fullmatch(member, len(stem)) if stem else None
            if stem is None or suffix is None or usd is None:
                continue
            tier = (suffix["tier"] or "").lower().replace("batches", "batch")
            price = self._exact(f"{where} {member}", Decimal(usd))
            if price is not None:
                tables.setdefault((tier, int(suffix["over"] or 0) * 1000), {}).setdefault(names[stem], price)
        for step in row.get("tiered_pricing") or []:
            table = tables.setdefault(("", int(step.get("range", [0])[0])), {})
            for member in step.keys() & names.keys():
                price = self._exact(f"{where} {member}", Decimal(step[member]))
                if price is not None:
                    table[names[member]] = price
        # The size of a search where the request names none.
        query = (row.get("search_context_cost_per_query") or {}).get("search_context_size_medium")
        price = self._exact(f"{where} search", Decimal(query)) if query is not None else None
        if tables and price is not None:
            tables.setdefault(("", 0), {})["search"] = price
        return litellm_entries(tables, kind) if tables else []

    def _override(self, prices: dict[str, str]) -> Rates:
        """In: USD as text, per 1M tokens or per piece. Out: rates. InexactPrice: one of our own must be exact."""
        if unknown := prices.keys() - set(CLASSES):
            raise SourceError(f"overrides price unknown classes: {sorted(unknown)}")
        return in_order({name: pico(Decimal(usd), 1 if name in PIECES else TOKENS) for name, usd in prices.items()})


def litellm_entries(tables: dict[tuple[str, int], Rates], kind: str) -> list[Entry]:
    """In: the rates of a row by tier and size, as far as it says them. Out: entries, each whole.

    A resolution ("720p", "4k") is a tier: what asks for none costs what the row says without one, which is the price of
    the host's default, or the dearest where it says none.
    """
    plain = dict(tables.setdefault(("", 0), {}))
    for (tier, over), rates in tables.items():
        if re.match(r"\d", tier) and not over:
            for name, price in rates.items():
                if name not in plain:
                    tables["", 0][name] = max(price, tables["", 0].get(name, 0))
    entries: list[Entry] = []
    usual: list[tuple[int, Rates]] = []
    for tier in sorted({tier for tier, _ in tables}):  # the one without a name comes first
        steps = []
        for over in sorted({0, *(size for name, size in tables if name in ("", tier))}):
            rates: Rates = {}
            for layer in [("", 0), ("", over), (tier, 0), (tier, over)]:
                rates |= tables.get(layer, {})
            if kind not in ("chat", "completion"):  # zeros there mean that something else is counted
                rates = {name: price for name, price in rates.items() if price} or dict.fromkeys(
                    rates.keys() & {"input"}, 0
                )
            if rates and (not steps or steps[-1][1] != rates):
                steps.append((over, in_order(rates)))
        if not tier:
            usual = steps
        elif steps == usual:
            continue
        entries += [entry_of(rates, over=over, tier=tier) for over, rates in steps]
    return entries


def in_order(rates: Rates) -> Rates:
    """Out: the rates in the order of `money.Rates`."""
    return {name: rates[name] for name in CLASSES if name in rates}


def entry_of(
    rates: Rates, *, over: int = 0, begins: int = 0, minutes: tuple[int, int] | None = None, tier: str = ""
) -> Entry:
    """Out: a `money.PriceEntry` as JSON, without what is its default."""
    entry: Entry = {"rates": rates}
    conditions = {"prompt_tokens_over": over, "valid_from": begins, "minutes": minutes, "tier": tier}
    return entry | {name: value for name, value in conditions.items() if value}


def version_of(entries: list[Entry]) -> str:
    """Out: a name for these entries that no others have."""
    text = json.dumps(entries, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
