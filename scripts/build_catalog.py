"""Build the shipped model catalogue from two public lists and our own overrides.

In:  the model list of the litellm project (JSON), the data module of genai-prices (Python source,
     read as text and never run; optional) and catalog_overrides.toml beside this script.
Out: catalog.json, one model per line. Fails, writing nothing, when a name would be ambiguous.

    python scripts/build_catalog.py --litellm model_prices_and_context_window_backup.json \
        --genai-prices genai_prices/data.py --out src/faregate/data/catalog.json --date 2026-11-21
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import re
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from catalog_capabilities import capabilities_of, unused
from catalog_genai import GenaiModel, SourceError, read_genai
from catalog_names import (
    DATE_SUFFIX,
    SHORT_DATE,
    canonical,
    family_of,
    is_closed,
    is_dropped,
    known_prefixes,
    normal,
    vendor_of,
)
from catalog_prices import InexactPrice, PriceBook

OVERRIDES = Path(__file__).with_name("catalog_overrides.toml")

SOURCES = {
    "litellm": "litellm model_prices_and_context_window_backup.json (MIT, Berri AI)",
    "genai": "genai-prices data (MIT, Pydantic Services Inc.)",
    "own": "scripts/catalog_overrides.toml",
}

# Whose facts and spelling win when the vendor itself is not among the hosts.
HOST_ORDER = ["openrouter", "together", "groq", "dashscope", "fireworks", "mistral"]

FIREWORKS_NAME = r"accounts/fireworks/models/[\w.-]+"
# Kinds whose output is counted in tokens.
OUTPUT_KINDS = {"chat", "completion", "speech"}
# OpenAI publishes an input limit for newer models; their window is input and output together.
OPENAI_WINDOWS = {400_000, 1_050_000}


class CatalogError(Exception):
    """The inputs do not give one unambiguous catalogue."""


@dataclass
class Offer:
    """One host's offer of one model, in our vocabulary; facts only when `served` is false."""

    provider: str
    upstream: str
    name: str
    vendor: str
    kind: str | None = None
    context: int | None = None
    output: int | None = None
    tags: list[str] = field(default_factory=list)
    ends: str | None = None
    cost: dict[str, Any] = field(default_factory=dict)
    served: bool = True


def read_tags(row: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    """In: a row of the litellm list. Out: our tags, in our order."""
    tags = list(dict.fromkeys(tag for flag, tag in rules["tags"].items() if row.get(flag)))
    if row.get("mode") == "responses":
        tags.append("responses_only")
    return tags


def read_window(provider: str, row: dict[str, Any], rules: dict[str, Any]) -> int | None:
    """In: a row of the litellm list. Out: the context window, input and output together."""
    context, output = row.get("max_input_tokens"), row.get("max_output_tokens")
    if provider == "openai" and context and output and context + output in OPENAI_WINDOWS:
        return int(context + output)
    if provider == "fireworks" and row.get("mode") == "image_generation":
        return None  # it puts 4096 there, which means nothing
    if provider == "dashscope" and context:
        context = rules["dashscope_windows"].get(str(context), context)
    return int(context) if context else None


def read_litellm(path: Path, rules: dict[str, Any]) -> list[Offer]:
    """In: the litellm list. Out: offers of our providers, and facts of the donors."""
    offers = []
    for key, row in json.loads(path.read_text(), parse_float=Decimal).items():
        source = row.get("litellm_provider", "")
        provider = rules["providers"].get(source)
        facts_only = provider is None
        if facts_only and source not in {*rules["rules"]["donors"], *rules["home"].values()}:
            continue
        kind = rules["kinds"].get(row.get("mode", ""))
        upstream = key.removeprefix(f"{source}/").removeprefix("openai/" if source == "openai" else "")
        if kind is None or is_dropped(provider or source, upstream, rules):
            continue
        if provider == "fireworks" and not upstream.startswith("accounts/fireworks/models/"):
            continue
        name = canonical(provider or source, upstream)
        cost = {k: v for k, v in row.items() if "cost" in k or "pricing" in k}
        offers.append(
            Offer(
                provider=provider or source,
                upstream=upstream,
                name=name,
                vendor=vendor_of(upstream, name, rules),
                kind=kind,
                context=read_window(provider or source, row, rules),
                output=int(row.get("max_output_tokens") or 0) or None if kind in OUTPUT_KINDS else None,
                tags=read_tags(row, rules),
                ends=row.get("deprecation_date"),
                cost=cost,
                served=not facts_only,
            )
        )
    return offers


def genai_offers(genai: dict[str, list[GenaiModel]], rules: dict[str, Any]) -> tuple[list[Offer], set[str]]:
    """In: what genai-prices knows. Out: OpenRouter's offers, Fireworks' priced names."""
    offers: list[Offer] = []
    for model in genai.get("openrouter", []):
        if is_dropped("openrouter", model.id, rules):
            continue
        name = canonical("openrouter", model.id)
        vendor = vendor_of(model.id, name, rules)
        offer = Offer("openrouter", model.id, name, vendor, context=model.window)
        # Entries without a window are old; weights may still be hosted, a closed model is gone.
        offer.served = bool(model.window) or not is_closed(name, rules)
        offers.append(offer)
    fireworks: set[str] = set()
    for model in genai.get("fireworks", []):
        fireworks.update(re.findall(FIREWORKS_NAME, str(model.match)))
    return offers, fireworks


def still_served(offer: Offer, fireworks: set[str], rules: dict[str, Any], date: str) -> bool:
    """Whether this host serves the model on the catalogue's date, as far as the lists tell."""
    if not offer.served:
        return False
    if offer.provider == "fireworks":
        extra = offer.upstream.rsplit("/", 1)[-1] in rules["rules"]["fireworks_extra"]
        if not extra and offer.upstream not in fireworks:
            return False
    is_home = rules["home"].get(offer.vendor) == offer.provider
    return (is_home and is_closed(offer.name, rules)) or not offer.ends or offer.ends > date


def dated_aliases(offers: list[Offer], rules: dict[str, Any], date: str) -> dict[str, str]:
    """Snapshot names that are surely their undated name: sole snapshot, same price and limits."""
    by_name = {o.name: o for o in offers if rules["home"].get(o.vendor) == o.provider and o.served}
    snapshots = defaultdict(list)
    for offer in by_name.values():
        base = DATE_SUFFIX.sub("", offer.name)
        if base == offer.name:
            base = SHORT_DATE.sub("", offer.name)
        if base != offer.name and base in by_name:
            snapshots[base].append(offer)
    found = {}
    for base, dated in snapshots.items():
        one, other = by_name[base], dated[0]
        same = (one.cost, one.context, one.output, one.kind) == (
            other.cost,
            other.context,
            other.output,
            other.kind,
        )
        # A snapshot that has ended while its undated name goes on is not what that name denotes.
        ended = bool(other.ends and other.ends <= date and other.ends != one.ends)
        if len(dated) == 1 and same and not ended:
            found[other.name] = base
    return found


def group(offers: list[Offer], aliases: dict[str, str]) -> dict[str, list[Offer]]:
    """In: offers and known aliases. Out: the offers of each model, under its normal form."""
    targets = {normal(alias): target for alias, target in aliases.items()}
    groups = defaultdict(list)
    for offer in offers:
        groups[normal(targets.get(normal(offer.name), offer.name))].append(offer)
    return groups


def rank(offer: Offer, rules: dict[str, Any]) -> tuple[int, int]:
    """Sort key: the vendor's own list first, then our hosts, then hosts that only give facts."""
    if rules["home"].get(offer.vendor) == offer.provider:
        return (0, 0)
    if offer.provider in HOST_ORDER:
        return (1, HOST_ORDER.index(offer.provider))
    donors = rules["rules"]["donors"]
    return (2, donors.index(offer.provider) if offer.provider in donors else len(donors))


def release_date(model_id: str, offers: list[Offer], rules: dict[str, Any], date: str) -> int:
    """Unix seconds of the release: hand-written, else the oldest date in a name, else the catalogue's."""
    if model_id in rules["created"]:
        return seconds(rules["created"][model_id])
    days = []
    for name in [model_id, *(offer.name for offer in offers if offer.provider != "azure_ai")]:
        if match := DATE_SUFFIX.search(name):
            text = match[1].replace("-", "")
            days.append(text if text.startswith("20") else f"{text[2:]}{text[:2]}01")
        elif match := SHORT_DATE.search(name):
            days.append(f"20{match[1]}{match[2]}01")
    return seconds(dt.datetime.strptime(min(days), "%Y%m%d").date() if days else dt.date.fromisoformat(date))


def seconds(day: dt.date) -> int:
    """In: a day. Out: unix seconds of its midnight, UTC."""
    return int(dt.datetime(day.year, day.month, day.day, tzinfo=dt.UTC).timestamp())


def merged_tags(members: list[Offer], home: str | None, rules: dict[str, Any]) -> list[str]:
    """Out: what the vendor's own entry says, else what any host says the model can do."""
    own = next((o.tags for o in members if o.provider == home and o.tags), None)
    # "responses_only" is said of a host's endpoint, so another host's word does not carry over.
    said = own or {tag for offer in members for tag in offer.tags} - {"responses_only"}
    return [tag for tag in dict.fromkeys([*rules["tags"].values(), "responses_only"]) if tag in said]


def build_model(
    model_id: str, members: list[Offer], live: list[Offer], rules: dict[str, Any], date: str
) -> dict[str, Any]:
    """In: every offer of one model, best first, and those that serve it. Out: its entry."""
    vendor = members[0].vendor
    home = rules["home"].get(vendor)
    served: dict[str, str] = {}
    # One host may offer two spellings; the one that is our id is the surest to stay.
    for offer in sorted(live, key=lambda o: normal(o.name) != normal(model_id)):
        served.setdefault(offer.provider, offer.upstream)
    ends = next((o.ends for o in members if o.provider == home and normal(o.name) == normal(model_id)), None)
    if not (is_closed(model_id, rules) or set(served) == {home}):
        ends = None  # open weights live on elsewhere
    elif ends and ends <= date and home in served:
        served = {home: served[home]}  # the lists' other hosts are stale then
    context = next((o.context for o in members if o.context), None)
    output = next((o.output for o in members if o.output), None)
    return {
        "id": model_id,
        "vendor": vendor,
        "family": family_of(model_id, vendor),
        "created": release_date(model_id, members, rules, date),
        "context_window": context,
        # Window and output limit may come from different hosts.
        "max_output_tokens": min(output, context) if output and context else output,
        "kind": next((o.kind for o in members if o.kind), "chat"),
        "tags": merged_tags(members, home, rules),
        "shutdown_date": ends,
        "successor": None,
        "served_by": dict(sorted(served.items())),
    }


def build(
    litellm: Path, genai_file: Path | None, rules: dict[str, Any], date: str
) -> tuple[dict[str, Any], dict[str, str], PriceBook]:
    """In: the sources. Out: models by id, the alias table, and the prices as they were read."""
    genai = read_genai(genai_file) if genai_file else {}
    priced, fireworks = genai_offers(genai, rules)
    offers = read_litellm(litellm, rules) + priced
    aliases = dated_aliases(offers, rules, date) | rules["aliases"]
    ids = {normal(target): target for target in aliases.values()}
    models = {}
    for key, members in group(offers, aliases).items():
        members.sort(key=lambda offer: rank(offer, rules))
        live = [o for o in members if still_served(o, fireworks, rules, date)]
        model_id = ids.get(key, members[0].name)
        models[model_id] = build_model(model_id, members, live, rules, date)
    if not genai:
        # Half of the input is absent by intent: forget the overrides that speak of that half.
        known = {*models, *(name for name, facts in rules["models"].items() if "served_by" in facts)}
        for table in ("models", "successors", "created", "prices"):
            rules[table] = {name: value for name, value in rules[table].items() if name in known}
        aliases = {alias: target for alias, target in aliases.items() if target in known}
    apply_overrides(models, rules, date)
    models = {model_id: model for model_id, model in models.items() if usable(model)}
    aliases = {a: t for a, t in aliases.items() if t in models or (genai and a in rules["aliases"])}
    check(models, aliases)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for offer in offers:
        if not rows.get((offer.provider, offer.upstream)):
            rows[offer.provider, offer.upstream] = offer.cost
    book = PriceBook(genai, rows, rules, aliases)
    for model in models.values():
        model["prices"] = book.of(model)
        model["capabilities"] = capabilities_of(model, rules["capabilities"])
    if genai and (stale := unused(list(models.values()), rules["capabilities"])):
        raise CatalogError(f"overrides [[capabilities]] name no model with {', '.join(stale)}")
    return models, aliases, book


def apply_overrides(models: dict[str, dict[str, Any]], rules: dict[str, Any], date: str) -> None:
    """In: models by id. Out: the same, changed in place by the hand-written facts."""
    for model_id, facts in rules["models"].items():
        if model_id not in models and "served_by" not in facts:
            raise CatalogError(f"overrides patch the unknown model {model_id}")
        blank = {"id": model_id, "vendor": "", "family": "", "created": 0, "context_window": None}
        blank |= {"max_output_tokens": None, "kind": "chat", "tags": [], "shutdown_date": None}
        model = models.setdefault(model_id, blank | {"successor": None, "served_by": {}})
        model.update(facts)
        if "created" in facts:
            model["created"] = seconds(facts["created"])
        model["family"] = model["family"] or family_of(model_id, model["vendor"])
    for table in ("successors", "created", "prices"):
        for model_id in set(rules[table]) - set(models):
            raise CatalogError(f"overrides [{table}] name the unknown model {model_id}")
    for model_id, successor in rules["successors"].items():
        if models.get(successor, {}).get("shutdown_date") and models[successor]["shutdown_date"] <= date:
            raise CatalogError(f"{model_id}: its successor {successor} is retired too")
        if models[model_id]["shutdown_date"]:
            models[model_id]["successor"] = successor


def usable(model: dict[str, Any]) -> bool:
    """Whether an entry is worth shipping: someone serves it and a chat model's window is known."""
    if not model["served_by"] or not model["vendor"]:
        return False
    return model["kind"] not in ("chat", "completion", "embedding") or bool(model["context_window"])


def check(models: dict[str, dict[str, Any]], aliases: dict[str, str]) -> None:
    """Raise unless every name, in the form of contract 3.1, denotes exactly one model."""
    owner: dict[str, str] = {}
    for name, target in [*((m, m) for m in models), *aliases.items()]:
        if target not in models:
            raise CatalogError(f"alias {name} points at {target}, which is no model")
        if owner.setdefault(normal(name), target) != target:
            raise CatalogError(f"{name} could be {owner[normal(name)]} or {target}")
    for model in models.values():
        if model["successor"] and model["successor"] not in models:
            raise CatalogError(f"{model['id']}: no model {model['successor']} to succeed it")


def render(date: str, sources: list[str], models: list[Any], aliases: dict[str, str], prefixes: list[str]) -> str:
    """Out: the catalogue's text, one model a line, so that a renewal reads well as a diff."""

    def compact(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    rows = ",\n".join(compact(model) for model in models)
    names = ",\n".join(f"{compact(a)}:{compact(t)}" for a, t in sorted(aliases.items()))
    head = f'{{"dated":"{date}","sources":{compact(sources)},'
    tail = f'"aliases":{{\n{names}\n}},\n"vendor_prefixes":{compact(prefixes)}}}'
    return f'{head}\n"models":[\n{rows}\n],\n{tail}\n'


def main(arguments: list[str]) -> int:
    """In: command line. Out: exit status; writes the catalogue and prints its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--litellm", type=Path, required=True)
    parser.add_argument("--genai-prices", type=Path, default=None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--date", required=True, help="the catalogue's date, YYYY-MM-DD")
    options = parser.parse_args(arguments)
    rules = tomllib.loads(OVERRIDES.read_text())
    try:
        models, aliases, book = build(options.litellm, options.genai_prices, rules, options.date)
    except (CatalogError, SourceError, InexactPrice) as error:
        print(f"build_catalog: {error}", file=sys.stderr)
        return 1
    sources = [text for name, text in SOURCES.items() if name != "genai" or options.genai_prices]
    ordered = sorted(models.values(), key=lambda model: (model["vendor"], model["id"]))
    prefixes = known_prefixes(ordered, rules)
    options.out.write_text(render(options.date, sources, ordered, aliases, prefixes))
    for note, times in sorted(book.notes.items()):
        print(f"{note} ({times})" if times > 1 else note)
    count = sum(bool(model["prices"]) for model in models.values())
    print(f"{len(models)} models, {count} with prices, {len(aliases)} aliases, {options.out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
