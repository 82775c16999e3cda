"""What a gateway with these settings would serve, worked out without calling anybody."""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ..core.catalog import Snapshot
from ..edge.neighbourhood import Neighbourhood, load_houses
from ..providers import Provider
from ..providers.active import ProviderError, active_providers
from ..providers.simulated import simulated
from ..settings import Settings
from ..settings_source import KeyPath
from ..stores.catalog import build_snapshot
from . import context

FAILURES = (*context.FAILURES, ProviderError)
_ANY_PORT = 1


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """The settings, the houses they name, the providers they and the environment switch on, and what those serve:
    `everything`, and of it what the main house has, `snapshot`."""

    settings: Settings
    providers: Mapping[str, Provider]
    snapshot: Snapshot
    everything: Snapshot
    houses: Neighbourhood
    is_simulated: bool

    @property
    def asked_at_start(self) -> list[str]:
        """The providers that say themselves, once the gateway runs, what they have."""
        return [name for name, provider in self.providers.items() if provider.discovers and not provider.models]


def make_offer(arguments: argparse.Namespace) -> Offer:
    """What would be served. SettingsError, ProviderError."""
    settings = context.read_settings(arguments)
    _check_files(settings)
    active = active_providers(settings, os.environ)
    providers = active or {"simulator": simulated(_ANY_PORT)}
    houses = load_houses(settings)
    house = houses.main
    snapshot = build_snapshot(settings, providers, {}, house_prices=house.prices)
    only = house.facts.models.only
    return Offer(
        settings=settings,
        providers=providers,
        snapshot=snapshot.only(only) if only else snapshot,
        everything=snapshot,
        houses=houses,
        is_simulated=not active,
    )


def note_unserved(arguments: argparse.Namespace) -> None:
    """Say which of the models that a command allows nobody serves: most often a name that was misspelt, or several in
    one. Never fails: what was asked for is done."""
    if not arguments.model:
        return
    try:
        offer = make_offer(arguments)
    except FAILURES:
        return
    for name in arguments.model:
        if not offer.asked_at_start and offer.snapshot.resolve(name) is None:
            sys.stderr.write(f"note: nobody serves a model {name} here\n")


def _check_files(settings: Settings) -> None:
    """SettingsError where a file that the settings name is not there."""
    server = settings.server
    named: list[tuple[KeyPath, Path | None]] = [
        (("server", "tls_certificate"), server.tls_certificate),
        (("server", "tls_key"), server.tls_key),
    ]
    for name, provider in settings.providers.items():
        named.append((("providers", name, "ca_file"), provider.ca_file))
    for key, path in named:
        if path is not None and not path.is_file():
            raise settings.places.fail(key, f"{path} is not there")
