"""Which providers are on: those that faregate.toml names, and those whose variable is in the environment."""

from collections.abc import Mapping
from dataclasses import replace

from ..core.call import OnDisconnect
from ..settings import ProviderSettings, Settings
from ..settings_prices import stated_price
from . import (
    COHERE,
    GEMINI,
    OPENAI,
    Provider,
    Row,
    anthropic,
    azure,
    bedrock,
    cohere,
    compatible,
    google,
    openai,
    provider_of,
    vertex,
)
from .kinds import Kind, Unusable, located

ROWS = {row.name: row for row in (openai.ROW, anthropic.ROW, cohere.ROW, google.ROW, *compatible.ROWS)}
_FAMILIES = {family[0]: family for family in (OPENAI, GEMINI, COHERE)}  # who speaks a chat speaks what goes with it
_CREDENTIAL_FIELDS = {row.dialects[0]: row.credential_field for row in (anthropic.ROW, google.ROW)}
# Providers that are more than a row. A table of a kind's name is of that kind; the environment may switch one on.
KINDS: Mapping[str, Kind] = {"azure": azure.KIND, "bedrock": bedrock.KIND, "vertex": vertex.KIND}
_DECIDED_BY_KIND = ("dialect", "wire", "discover", "stream_usage")
_NOTHING = ProviderSettings()


class ProviderError(Exception):
    """A provider that the settings name cannot be had as they say; the message names it."""


def active_providers(settings: Settings, environment: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that serve, by name; the settings win over the environment. ProviderError, SettingsError."""
    active = {}
    for name, given in settings.providers.items():
        kind = given.kind or (name if name in KINDS else None)
        _check_keys(settings, name, given, kind)
        if kind is None:
            active[name] = _configured(settings, name, given, environment)
        else:
            active[name] = _of_kind(settings, kind, name, given, environment)
    for name, kind in KINDS.items():
        if name not in active and kind.is_on(environment):
            active[name] = _of_kind(settings, name, name, _NOTHING, environment)
    for name, row in ROWS.items():
        if name not in active:
            try:
                provider = provider_of(row, environment)
            except ValueError as error:
                raise ProviderError(f"{row.url_variable}: {error}") from None
            if provider is not None:
                active[name] = provider
    return active


def _check_keys(settings: Settings, name: str, given: ProviderSettings, kind: str | None) -> None:
    """SettingsError for a key that says nothing to a provider of this kind."""
    for key in given.__struct_fields__:
        value = getattr(given, key)
        if value == getattr(_NOTHING, key) or getattr(given, f"{key}_env", None) is not None:
            continue
        at = ("providers", name, key)
        if key in _DECIDED_BY_KIND:
            if kind is not None and key not in KINDS[kind].keys:
                raise settings.places.fail(at, f"is decided by the kind, {kind}")
            continue
        owners = [owner for owner, its in KINDS.items() if key in its.keys]
        is_own = kind in owners or (kind is None and key in ("key", "key_env"))
        if owners and not is_own:
            raise settings.places.fail(at, f"is for kind = {' or '.join(owners)}")


def _of_kind(
    settings: Settings, kind: str, name: str, given: ProviderSettings, environment: Mapping[str, str]
) -> Provider:
    try:
        provider = KINDS[kind].configured(name, given, environment)
    except Unusable as error:
        raise settings.places.fail(("providers", name, error.key), error.message) from None
    return replace(
        provider,
        models=given.models,
        region=provider.region if given.region == _NOTHING.region else given.region,
        replica=given.replica,
        headers={**provider.headers, **given.headers},
        on_disconnect=given.on_disconnect or provider.on_disconnect,
        zero_retention=given.zero_retention,
        price=provider.price if given.price is None else stated_price([given.price.entry]),
    )


def _configured(settings: Settings, name: str, given: ProviderSettings, environment: Mapping[str, str]) -> Provider:
    fail = settings.places.fail
    row = ROWS.get(name)
    base_url = given.base_url or (row.base_url if row is not None else None)
    if base_url is None:
        raise fail(("providers", name, "base_url"), "is missing")
    found = provider_of(row, environment) if row is not None else None
    origin, path = located(given, base_url)
    credential = given.key or (found.credential if found is not None else None)
    if credential is None and row is not None and row.key_variable is not None and given.base_url is None:
        raise fail(("providers", name, "key"), f"is missing: set it, or key_env, or {row.key_variable}")
    is_plain = _is_plain(row, given)
    dialects = row.dialects if row is not None else OPENAI
    if given.dialect is not None:
        dialects = _FAMILIES.get(given.dialect, (given.dialect,))
    price = row.price if row is not None and is_plain else None
    on_disconnect = row.on_disconnect if row is not None and is_plain else OnDisconnect.CANCEL
    if given.price is not None:
        price = stated_price([given.price.entry])
    return Provider(
        name=name,
        origin=origin,
        path=path,
        credential=credential,
        dialects=dialects,
        credential_field=_CREDENTIAL_FIELDS.get(dialects[0], "authorization"),
        exact=given.wire == "exact" or (is_plain and row is not None and row.exact),
        stream_usage=given.stream_usage and (row is None or row.stream_usage),
        discovers=given.discover or (row is not None and row.discovers and not given.models),
        on_disconnect=given.on_disconnect or on_disconnect,
        models=given.models,
        region=given.region,
        replica=given.replica,
        headers=given.headers,
        price=price,
        zero_retention=given.zero_retention,
        adapt=None if row is None or row.shape is None else row.shape.adapted,
    )


def _is_plain(row: Row | None, given: ProviderSettings) -> bool:
    """Whether the settings speak of the row's own host, whose wire and price are known."""
    return row is not None and given.base_url in (None, row.base_url)
