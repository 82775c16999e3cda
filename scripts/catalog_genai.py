"""The data module of genai-prices: its Python source, read as text and never run, and its own rules on it.

What it means is what its `types.py` does: the first model whose clause matches is meant; of a model's conditional
prices the last active one holds, the first where none is; a variant's prices lie over those, key by key.
"""

from __future__ import annotations

import ast
import datetime as dt
import itertools
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")
DAY_MINUTES = 24 * 60
Window = tuple[int, int]  # minutes of the UTC day


class SourceError(Exception):
    """The source says something that the catalogue cannot."""


@dataclass(frozen=True)
class Tiers:
    """A price that rises with the prompt: (over so many tokens, USD), by rising size; the first is over 0."""

    steps: tuple[tuple[int, Decimal], ...]

    def at(self, over: int) -> Decimal:
        """The price of prompts of more than `over` tokens, and of not more than the next step."""
        return [price for start, price in self.steps if start <= over][-1]


@dataclass(frozen=True)
class GenaiModel:
    """One model of one provider. A price is (constraint, prices by key); a variant has what it is `when` before."""

    id: str
    match: dict[str, Any]
    window: int | None
    prices: list[tuple[Any, dict[str, Decimal | Tiers]]]
    variants: list[tuple[dict[str, str], Any, dict[str, Decimal | Tiers]]]

    def days(self) -> list[dt.date]:
        """The days on which a price of it begins."""
        constraints = [price[0] for price in self.prices] + [variant[1] for variant in self.variants]
        return sorted({constraint for constraint in constraints if isinstance(constraint, dt.date)})

    def windows(self) -> list[Window]:
        """The times of the day that have a price of their own. SourceError where two of them overlap."""
        constraints = [price[0] for price in self.prices] + [variant[1] for variant in self.variants]
        found = sorted({constraint for constraint in constraints if isinstance(constraint, tuple)})
        parts = []
        for start, end in found:
            parts += [(start, end)] if start < end else [(start, DAY_MINUTES), (0, end)]
        parts.sort()
        if any(end > start for (_, end), (start, _) in itertools.pairwise(parts)):
            raise SourceError(f"{self.id}: times of the day overlap")
        return found

    def prices_at(self, day: dt.date, window: Window | None, context: dict[str, str]) -> dict[str, Decimal | Tiers]:
        """The prices by key of a day, in one of `windows` or outside of all, for a request of that context."""

        def holds(constraint: Any) -> bool:
            return constraint is None or (constraint == window if isinstance(constraint, tuple) else constraint <= day)

        standard = next(
            (prices for constraint, prices in reversed(self.prices) if holds(constraint)), self.prices[0][1]
        )
        over: dict[str, Decimal | Tiers] = {}
        for when, constraint, prices in self.variants:
            if holds(constraint) and when.items() <= context.items():
                over = prices | over
        return standard | over


def plain(node: ast.expr) -> Any:
    """In: an expression of the module. Out: its value; a call of a class is a dict with the class under ""."""
    if isinstance(node, ast.List):
        return [plain(element) for element in node.elts]
    if not isinstance(node, ast.Call):
        return ast.literal_eval(node)
    name = ast.unparse(node.func)
    if name == "Decimal":
        return Decimal(ast.literal_eval(node.args[0]))
    if name in ("datetime.date", "datetime.time"):
        if [keyword for keyword in node.keywords if ast.unparse(keyword.value) != "datetime.UTC"]:
            raise SourceError(f"{ast.unparse(node)} is not in UTC")
        return getattr(dt, name.removeprefix("datetime."))(*map(ast.literal_eval, node.args))
    return {"": name} | {str(keyword.arg): plain(keyword.value) for keyword in node.keywords}


def read_genai(path: Path) -> dict[str, list[GenaiModel]]:
    """In: the module's path. Out: the models of each provider, in its order."""
    providers: dict[str, list[GenaiModel]] = {}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Provider":
            parts = {keyword.arg: keyword.value for keyword in node.keywords}
            models = [model_of(plain(model)) for model in getattr(parts.get("models"), "elts", [])]
            providers[ast.literal_eval(parts["id"])] = models
    return providers


def model_of(fields: dict[str, Any]) -> GenaiModel:
    """In: a ModelInfo as `plain` gives it. Out: the same in our form."""
    prices = fields["prices"]
    listed = prices if isinstance(prices, list) else [{"prices": prices}]
    return GenaiModel(
        id=fields["id"],
        match=fields["match"],
        window=fields.get("context_window"),
        prices=[(constraint_of(price), keys_of(price["prices"])) for price in listed],
        variants=[
            (variant["when"], constraint_of(variant), keys_of(variant["prices"]))
            for variant in fields.get("price_variants") or []
        ],
    )


def constraint_of(price: dict[str, Any]) -> dt.date | Window | None:
    """Out: the day a price begins, or its minutes of the day, or None."""
    constraint = price.get("constraint")
    if constraint is None or constraint[""] == "StartDateConstraint":
        return constraint and constraint["start_date"]
    start, end = constraint["start_time"], constraint["end_time"]
    if start.second or end.second:
        raise SourceError(f"a price begins or ends within a minute: {start}, {end}")
    return start.hour * 60 + start.minute, end.hour * 60 + end.minute


def keys_of(prices: dict[str, Any]) -> dict[str, Decimal | Tiers]:
    """Out: the prices of a ModelPrice by key, without those it leaves out."""
    found = {}
    for key, price in prices.items():
        if isinstance(price, dict):
            steps = sorted((tier["start"], tier["price"]) for tier in price["tiers"])
            found[key] = Tiers(((0, price["base"]), *steps))
        elif key and price is not None:
            found[key] = price
    return found


def find_model(models: list[GenaiModel], name: str) -> GenaiModel | None:
    """The model that a provider means by `name`. None where it has none: another provider's price is no answer."""
    dashed = COMPACT_DATE.sub(lambda date: f"-{'-'.join(date.groups()[1:])}", name.lower())
    for text in dict.fromkeys([name.lower(), dashed]):
        for model in models:
            if is_match(model.match, text):
                return model
    return None


def is_match(clause: dict[str, Any], text: str) -> bool:
    """Whether a clause of the source fits a name in lower case."""
    kind = clause[""].removeprefix("Clause")
    if kind in ("Or", "And"):
        return (any if kind == "Or" else all)(is_match(part, text) for part in clause[f"{kind.lower()}_"])
    if kind == "Regex":
        return re.search(clause["regex"], text) is not None
    if kind == "StartsWith":
        return text.startswith(clause["starts_with"].lower())
    if kind == "EndsWith":
        return text.endswith(clause["ends_with"].lower())
    if kind == "Contains":
        return clause["contains"].lower() in text
    if kind == "Equals":
        return text == clause["equals"].lower()
    raise SourceError(f"unknown clause {clause['']}")
