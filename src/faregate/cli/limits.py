"""Limits, as commands change and show them: of a plan, an organisation, a project or a key."""

import argparse
import sys
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import msgspec

from ..core.plans import Bounds, Overrides, Plan
from ..core.terms import beyond, counted_in
from ..edge.neighbourhood import written_plans
from ..stores.database import StoreError
from ..stores.directory import Directory
from ..stores.overrides import EACH, OverridesOffice, Standing
from ..stores.sqlite import SqliteDatabase
from .context import read_settings, show_json, show_table
from .limit_arguments import LEVELS, NO_LIMIT

_BOUNDS = {
    "tokens_per_minute": "tokens_per_minute",
    "concurrency": "concurrency_max",
    "tokens_per_day": "tokens_per_day",
}
_ALLOWANCES = {
    "context_tokens": "context_tokens_max",
    "output_tokens": "output_tokens_max",
    "longest_request": "longest_request_s",
}
_OF_PLAN = {"storage_bytes": "storage_bytes_max", "retention_days": "retention_days"}
_WORDS = {
    "requests": "requests a minute",
    "tokens": "tokens a minute",
    "concurrency": "calls at a time",
    "daily_tokens": "tokens a day",
}


def office(arguments: argparse.Namespace, directory: Directory, database: SqliteDatabase) -> OverridesOffice:
    """What changes and shows the limits of single organisations, projects and keys. SettingsError."""
    return OverridesOffice(database, directory, written_plans(read_settings(arguments)))


def edited_bounds(bounds: Bounds, arguments: argparse.Namespace, level: str = "") -> Bounds:
    """`bounds` with what the command says of them."""
    start = f"{level}_" if level else ""
    requests = {**bounds.requests_per_minute}
    for endpoint_class, limit in getattr(arguments, f"{start}requests_per_minute") or ():
        requests[endpoint_class] = limit
    kept = {endpoint_class: limit for endpoint_class, limit in requests.items() if limit != NO_LIMIT}
    changes = _changes(arguments, {f"{start}{name}": field for name, field in _BOUNDS.items()})
    return msgspec.structs.replace(bounds, requests_per_minute=kept, **changes)


def edited_overrides(overrides: Overrides, arguments: argparse.Namespace) -> Overrides:
    """`overrides` with what the command says of them."""
    bounds = edited_bounds(overrides.bounds, arguments)
    return msgspec.structs.replace(overrides, bounds=bounds, **_allowances(arguments))


def edited_plan(plan: Plan, arguments: argparse.Namespace) -> Plan:
    """`plan` with what the command says of it."""
    levels = {field: edited_bounds(getattr(plan, field), arguments, level) for level, field in LEVELS.items()}
    return msgspec.structs.replace(plan, **levels, **_allowances(arguments), **_changes(arguments, _OF_PLAN))


def show_standing(arguments: argparse.Namespace, standing: Standing) -> None:
    """What holds in the end, as the command was asked to show it."""
    terms = standing.terms
    counted = [
        {
            "counted": bound.kind,
            "class": endpoint_class,
            "limit": bound.limit,
            "subject": bound.subject,
            "id": bound.subject_id or None,
        }
        for endpoint_class, bound in counted_in(terms)
    ]
    caps = {field: getattr(terms, field) for field in _ALLOWANCES.values()}
    lists = {name: [sorted(each) for each in getattr(terms, name)] for name in ("models", "regions")}
    if arguments.json:
        show_json({"plan": standing.name or None, **caps, **lists, "bounds": counted})
        return
    each_request = {field: cap for field, cap in caps.items() if cap is not None}
    each_request |= {name: " and ".join(map(",".join, found)) for name, found in lists.items() if found}
    rows: list[Sequence[object]] = [("plan", standing.name or "none", "")]
    rows += [(name, value, "each request") for name, value in each_request.items()]
    rows += [(_counted_words(each), each["limit"], _subject_words(each)) for each in counted]
    show_table(("limit", "value", "of"), rows)


async def warn_beyond(overrides: Overrides, standing: Awaitable[Standing], level: str) -> None:
    """Say which of the overrides of a key or a project its plan makes void. Never fails: what was asked for is done."""
    try:
        plan = (await standing).plan
    except StoreError as error:
        sys.stderr.write(f"note: {error}\n")
        return
    for words in beyond(overrides, plan, getattr(plan, level)):
        sys.stderr.write(f"note: {words}\n")


def _allowances(arguments: argparse.Namespace) -> dict[str, Any]:
    changes = _changes(arguments, _ALLOWANCES)
    for option, field in (("model", "models"), ("region", "regions")):
        ends = getattr(arguments, f"any_{option}", None)
        if ends is not None and (ends or getattr(arguments, option)):
            changes[field] = () if ends else tuple(getattr(arguments, option))
    return changes


def _changes(arguments: argparse.Namespace, fields: Mapping[str, str]) -> dict[str, Any]:
    found = {field: getattr(arguments, option, None) for option, field in fields.items()}
    return {field: None if value == NO_LIMIT else value for field, value in found.items() if value is not None}


def _counted_words(bound: Mapping[str, Any]) -> str:
    words = _WORDS[bound["counted"]]
    if bound["class"] == "reserved":
        return f"{words}, reserved"
    return words if bound["class"] == "all" else f"{words}, {bound['class']}"


def _subject_words(bound: Mapping[str, Any]) -> str:
    return f"each {bound['subject']}" if bound["id"] in (None, EACH) else f"{bound['subject']} {bound['id']}"
