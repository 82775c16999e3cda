"""`faregate config check`: whether the settings can be used, and what would be served."""

import argparse
import sys
from collections import Counter

from ..edge.neighbourhood import written_plans
from .context import data_directory, settings_path, show_json
from .offer import FAILURES, Offer, make_offer

__all__ = ["FAILURES", "run"]

_NAMES_SHOWN_MAX = 5


def run(arguments: argparse.Namespace) -> int:
    """Check, and tell."""
    offer = make_offer(arguments)
    path = settings_path(arguments)
    report = {
        "settings": str(path) if path is not None else None,
        "data": str(data_directory(arguments)),
        "listens": _address(offer),
        "houses": _houses(offer),
        "simulated": offer.is_simulated,
        "providers": _providers(offer),
        "models": len(offer.snapshot.models),
        "warnings": _warnings(offer),
    }
    if arguments.json:
        show_json(report)
    else:
        _tell(report)
    return 0


def _address(offer: Offer) -> str:
    server = offer.settings.server
    host = f"[{server.host}]" if ":" in server.host else server.host
    return f"{'https' if server.tls_certificate is not None else 'http'}://{host}:{server.port}"


def _houses(offer: Offer) -> list[dict[str, object]]:
    """The main house first, then the others, each with where it is found."""
    others = zip(offer.houses.houses[1:], offer.settings.houses, strict=True)
    main = offer.houses.main
    found: list[dict[str, object]] = [{"name": main.name, "paths": main.prefixes, "hosts": ()}]
    found += [{"name": house.name, "paths": house.prefixes, "hosts": given.hosts} for house, given in others]
    return found


def _providers(offer: Offer) -> list[dict[str, object]]:
    serving = Counter(target.provider for targets in offer.everything.targets.values() for target in targets)
    return [
        {
            "name": name,
            "host": provider.origin.authority if not offer.is_simulated else "a process of its own",
            "has_key": provider.credential is not None and not offer.is_simulated,
            "has_tokens": provider.tokens is not None,
            "models": serving[name],
            "asked_at_start": name in offer.asked_at_start,
        }
        for name, provider in offer.providers.items()
    ]


def _warnings(offer: Offer) -> list[str]:
    warnings = []
    for provider in _providers(offer):
        if not provider["models"] and not provider["asked_at_start"]:
            name = provider["name"]
            warnings.append(f"provider {name} serves nothing: name its models, or set discover = true")
    for alias, target in offer.settings.aliases.items():
        if offer.everything.resolve(alias) is None and not offer.asked_at_start:
            warnings.append(f"alias {alias} leads to {target}, which nobody serves")
    for name in offer.settings.models:
        if name not in offer.everything.models and not offer.asked_at_start:
            warnings.append(f"model {name} is served by nobody")
    if not offer.asked_at_start:
        for house in offer.houses.houses:
            unserved = [name for name in house.facts.models.only if offer.everything.resolve(name) is None]
            warnings += [f"house {house.name} has the model {name}, which nobody serves" for name in unserved]
    warnings += _warnings_of_plans(offer)
    warnings += _warnings_of_prices(offer)
    missing = [name for plans in written_plans(offer.settings).values() for name in plans.missing_defaults()]
    for name in dict.fromkeys(missing):
        warnings.append(f"there is no plan {name} here, which is to be a default one: it must be made by command")
    return warnings


def _warnings_of_plans(offer: Offer) -> list[str]:
    """What plans of the settings allow that there is not: most often a name that was misspelt."""
    regions = {target.region for targets in offer.everything.targets.values() for target in targets}
    warnings = []
    for name, plan in offer.settings.plans.items():
        if not offer.asked_at_start:
            unserved = [model for model in plan.models if offer.everything.resolve(model) is None]
            warnings += [f"plan {name} allows {model}, which nobody serves" for model in unserved]
        unknown = [region for region in plan.regions if region not in regions]
        warnings += [f"plan {name} allows region {region}, where nobody serves anything" for region in unknown]
    return warnings


def _warnings_of_prices(offer: Offer) -> list[str]:
    """Models that can be called by nobody before somebody says what they cost: most often those of a server of one's
    own, which no catalogue knows."""
    if offer.settings.prices.default_price is not None:
        return []
    names = sorted(model.id for model in offer.snapshot.models.values() if model.price is None)
    if not names:
        return []
    shown = ", ".join(names[:_NAMES_SHOWN_MAX]) + (", ..." if len(names) > _NAMES_SHOWN_MAX else "")
    return [f"no price, so calls are refused: {shown}; say one, be it 0, in [providers], [models] or [prices]"]


def _tell(report: dict[str, object]) -> None:
    lines = [
        f"settings   {report['settings'] or 'none: the defaults and the environment'}",
        f"data       {report['data']}",
        f"listens    {report['listens']}",
    ]
    houses = report["houses"]
    assert isinstance(houses, list)
    for house in houses:
        where = f" for {', '.join(house['hosts'])}" if house["hosts"] else ""
        lines.append(f"house      {house['name']} under {', '.join(house['paths'])}{where}")
    providers = report["providers"]
    assert isinstance(providers, list)
    for provider in providers:
        count = "asked at start" if provider["asked_at_start"] else f"{provider['models']} models"
        held = "with tokens" if provider["has_tokens"] else "with a key" if provider["has_key"] else "without a key"
        key = "" if report["simulated"] else f", {held}"
        lines.append(f"provider   {provider['name']} at {provider['host']}: {count}{key}")
    lines.append(f"models     {report['models']}")
    sys.stdout.write("\n".join(lines) + "\n")
    warnings = report["warnings"]
    assert isinstance(warnings, list)
    for warning in warnings:
        sys.stdout.write(f"warning    {warning}\n")
    sys.stdout.write("the settings are good\n")
