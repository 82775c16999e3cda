"""What is served: the shipped catalogue, the operator's settings and what upstreams list become one Snapshot.

A model is served where an active provider has it: by the operator's routes, which replace all else for that
model; else by the provider's own list (`models`, or what it was seen to list); else by the catalogue. A
retired model is served as itself only by who lists it. The simulator serves whatever nobody else does. Names
resolve as contract.md 3.1 says; a name that the catalogue gives to one model never reaches another, served or
not.
"""

import datetime
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ..core.catalog import Model, Snapshot, Target, normal_name
from ..core.money import Price, PriceEntry
from ..settings import ModelSettings, Settings
from .prices import PriceBook

SIMULATOR = "simulator"
CATALOG_FILE = Path(__file__).parent.parent / "data" / "catalog.json"
_UNKNOWN_VENDOR = "unknown"
_ALIAS_STEPS_MAX = 10
NO_PRICES: Mapping[str, tuple[PriceEntry, ...]] = {}
_OF_THE_PRICE = ("price", "prices")  # of ModelSettings: see PriceBook


class ActiveProvider(Protocol):
    """What the catalogue asks of a provider that is switched on."""

    @property
    def region(self) -> str: ...

    @property
    def replica(self) -> str: ...

    @property
    def price(self) -> Price | None: ...

    @property
    def zero_retention(self) -> bool: ...

    @property
    def catalogued_as(self) -> str | None: ...


class CatalogModel(Model, frozen=True, kw_only=True):
    """A row of the shipped catalogue: a model, its name at each provider that has it, and its price at each that has
    said one, the vendor's own first. A price's version is made of its entries: the same in every release that has them.
    """

    served_by: dict[str, str]
    prices: dict[str, Price] = msgspec.field(default_factory=dict)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The shipped catalogue."""

    dated: str
    models: list[CatalogModel]
    aliases: dict[str, str]
    vendor_prefixes: list[str]


@cache
def load_catalog(path: Path = CATALOG_FILE) -> Catalog:
    """The catalogue of the file at `path`, read once."""
    return msgspec.json.decode(path.read_bytes(), type=Catalog)


def build_snapshot(
    settings: Settings,
    providers: Mapping[str, ActiveProvider],
    discovered: Mapping[str, Sequence[str]],
    *,
    revision: int = 1,
    house_prices: Mapping[str, tuple[PriceEntry, ...]] = NO_PRICES,
    catalog: Catalog | None = None,
    today: datetime.date | None = None,
) -> Snapshot:
    """The snapshot of what the active `providers` serve; `discovered` is what each of them was seen to list, and
    `house_prices` the house's price list, by any name of a model.

    SettingsError for a route or an alias that leads nowhere.
    """
    catalog = catalog or load_catalog()
    date = (today or datetime.datetime.now(datetime.UTC).date()).isoformat()
    return _Builder(settings, catalog, date).build(providers, discovered, house_prices, revision)


class _Builder:
    """Makes one snapshot."""

    def __init__(self, settings: Settings, catalog: Catalog, date: str) -> None:
        self._settings = settings
        self._catalog = catalog
        self._prefixes = frozenset(catalog.vendor_prefixes)
        self._entries = {entry.id: entry for entry in catalog.models}
        self._by_upstream = {
            (provider, name): entry.id for entry in catalog.models for provider, name in entry.served_by.items()
        }
        self._models: dict[str, Model] = {entry.id: _model_of(entry) for entry in catalog.models}
        self._retired = {entry.id for entry in catalog.models if entry.shutdown_date and entry.shutdown_date <= date}
        for name, override in settings.models.items():
            self._models[name] = self._overridden(name, override)
        self._normal: dict[str, set[str]] = {}
        for name in (*self._models, *catalog.aliases):
            self._normal.setdefault(self._normalised(name), set()).add(catalog.aliases.get(name, name))
        self._targets: dict[str, list[Target]] = {}

    def build(
        self,
        providers: Mapping[str, ActiveProvider],
        discovered: Mapping[str, Sequence[str]],
        house_prices: Mapping[str, tuple[PriceEntry, ...]],
        revision: int,
    ) -> Snapshot:
        self._follow_routes(providers)
        routed = frozenset(self._targets)
        for name, provider in providers.items():
            if name != SIMULATOR:
                for model, upstream_model in self._served_by(name, provider, discovered.get(name, ())).items():
                    if model not in routed:
                        self._add(model, name, provider, upstream_model)
        if SIMULATOR in providers:
            for model in self._models:
                if model not in self._targets:
                    self._add(model, SIMULATOR, providers[SIMULATOR], model)
        aliases = {alias: self._alias_target(alias) for alias in self._settings.aliases}
        for alias in aliases:
            self._targets.pop(alias, None)  # the operator's alias hides a model of that name
        self._follow_fallbacks()
        names = sorted(house_prices, key=lambda name: name in self._models)  # a model's own name has the last word
        house = {self._find(name) or name: house_prices[name] for name in names}
        book = PriceBook(self._settings, {name: provider.price for name, provider in providers.items()}, house)
        return self._snapshot(aliases, book, revision)

    def _snapshot(self, aliases: Mapping[str, str], book: PriceBook, revision: int) -> Snapshot:
        served = {name: self._priced(model, book) for name, model in self._models.items() if name in self._targets}
        names = {alias: target for alias, target in self._catalog.aliases.items() if target in served}
        names |= {name: name for name in served}
        successors = {}
        for name in self._retired - served.keys():
            successor = self._successor(name)
            if successor in served and self._settings.serve_retired:
                names |= dict.fromkeys(self._all_names(name), successor)
            elif successor is not None:
                successors |= dict.fromkeys(self._all_names(name), successor)
        for alias in aliases:
            names.pop(alias, None)
        names |= {alias: target for alias, target in aliases.items() if target in served}
        return Snapshot(
            revision=revision,
            models=served,
            targets={name: tuple(self._targets[name]) for name in served},
            names=names,
            normal_names={
                normal: frozenset(fitting) for normal, fitting in self._normal.items() if not fitting.isdisjoint(served)
            },
            vendor_prefixes=self._prefixes,
            successors=successors,
        )

    def _follow_routes(self, providers: Mapping[str, ActiveProvider]) -> None:
        for index, route in enumerate(self._settings.routes):
            provider = providers.get(route.provider)
            if provider is None:
                at = ("routes", index, "provider")
                raise self._settings.places.fail(at, f"there is no active provider {route.provider}")
            catalogued_as = provider.catalogued_as or route.provider
            model = self._known(route.model, catalogued_as)
            target = Target(
                provider=route.provider,
                upstream_model=route.upstream_model or self._upstream_name(model, catalogued_as),
                region=route.region or provider.region,
                replica=route.replica or provider.replica,
                weight=route.weight,
                zero_retention=provider.zero_retention if route.zero_retention is None else route.zero_retention,
            )
            self._targets.setdefault(model, []).append(target)

    def _follow_fallbacks(self) -> None:
        """Give each fallback the id of the model that it names. One that nobody serves is passed over later."""
        for name, settings in self._settings.models.items():
            found = []
            for index, fallback in enumerate(settings.fallbacks or ()):
                at = ("models", name, "fallbacks", index)
                is_alias = fallback in self._settings.aliases
                model = self._alias_target(fallback) if is_alias else self._find(fallback)
                if model is None:
                    raise self._settings.places.fail(at, f"there is no model {fallback}")
                if model == name or model in found:
                    raise self._settings.places.fail(at, f"{fallback} is there already")
                found.append(model)
            if found:
                self._models[name] = msgspec.structs.replace(self._models[name], fallbacks=tuple(found))

    def _served_by(self, name: str, active: ActiveProvider, discovered: Sequence[str]) -> dict[str, str]:
        """The models that a provider has, each with its name there."""
        configured = self._settings.providers.get(name)
        provider = active.catalogued_as or name
        listed = (configured.models if configured is not None else ()) or discovered
        if not listed:
            return {
                entry.id: entry.served_by[provider]
                for entry in self._catalog.models
                if provider in entry.served_by and entry.id not in self._retired
            }
        served: dict[str, str] = {}
        for upstream_model in listed:
            model = self._known(upstream_model, provider)
            if upstream_model in (self._upstream_name(model, provider), model):
                served[model] = upstream_model  # of several names for one model, its own is the best
            else:
                served.setdefault(model, upstream_model)
        return served

    def _known(self, name: str, provider: str) -> str:
        """The id of the model that a provider or a route calls `name`; a new model where nobody knows it."""
        found = self._by_upstream.get((provider, name)) if name not in self._settings.models else None
        found = found or self._find(name)
        if found is None:
            found = name
            self._models[name] = Model(id=name, vendor=self._vendor(name))
            self._normal.setdefault(self._normalised(name), set()).add(name)
        return found

    def _find(self, name: str) -> str | None:
        if name in self._models:
            return name
        if name in self._catalog.aliases:
            return self._catalog.aliases[name]
        fitting = self._normal.get(self._normalised(name), ())
        return next(iter(fitting)) if len(fitting) == 1 else None

    def _add(self, model: str, name: str, provider: ActiveProvider, upstream_model: str) -> None:
        target = Target(
            provider=name,
            upstream_model=upstream_model,
            region=provider.region,
            replica=provider.replica,
            zero_retention=provider.zero_retention,
        )
        self._targets.setdefault(model, []).append(target)

    def _alias_target(self, alias: str) -> str:
        name = alias
        for _ in range(_ALIAS_STEPS_MAX):
            name = self._settings.aliases[name]
            if name not in self._settings.aliases:
                break
        else:
            raise self._settings.places.fail(("aliases", alias), "leads in a circle")
        found = self._find(name)
        if found is None:
            raise self._settings.places.fail(("aliases", alias), f"there is no model {name}")
        return found

    def _successor(self, name: str) -> str | None:
        """The model that follows a retired one and is not retired itself."""
        found: str | None = name
        for _ in range(_ALIAS_STEPS_MAX):
            if found is None or found not in self._retired:
                return found
            found = self._models[found].successor
        return None

    def _all_names(self, name: str) -> list[str]:
        aliases = [alias for alias, target in self._catalog.aliases.items() if target == name]
        return [name, f"{self._models[name].vendor}/{name}", *aliases]

    def _upstream_name(self, model: str, provider: str) -> str:
        entry = self._entries.get(model)
        return entry.served_by.get(provider, model) if entry is not None else model

    def _overridden(self, name: str, override: ModelSettings) -> Model:
        model = self._models.get(name) or Model(id=name, vendor=self._vendor(name))
        given = {name: getattr(override, name) for name in override.__struct_fields__ if name not in _OF_THE_PRICE}
        if override.capabilities is not None:
            stated = {
                name: value
                for name, value in msgspec.structs.asdict(override.capabilities).items()
                if value is not None
            }
            given["capabilities"] = msgspec.structs.replace(model.capabilities, **stated)
        return msgspec.structs.replace(model, **{name: value for name, value in given.items() if value is not None})

    def _priced(self, model: Model, book: PriceBook) -> Model:
        price = book.price_of(model, {target.provider for target in self._targets[model.id]})
        return model if price is model.price else msgspec.structs.replace(model, price=price)

    def _vendor(self, name: str) -> str:
        vendor, slash, _ = name.partition("/")
        return vendor.lower() if slash and vendor.lower() in self._prefixes else _UNKNOWN_VENDOR

    def _normalised(self, name: str) -> str:
        return normal_name(name, self._prefixes)


def _model_of(entry: CatalogModel) -> Model:
    fields: dict[str, Any] = {name: getattr(entry, name) for name in Model.__struct_fields__}
    fields["price"] = next(iter(entry.prices.values()), None)
    return Model(**fields)
