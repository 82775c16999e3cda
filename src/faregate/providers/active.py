"""Which providers are on: those that faregate.toml names, and those whose variable is in the environment."""

from collections.abc import Mapping

from ..core.call import OnDisconnect
from ..settings import ProviderSettings, Settings
from ..settings_prices import stated_price
from . import OPENAI, Provider, Row, anthropic, compatible, google, openai, origin_of, provider_of

ROWS = {row.name: row for row in (openai.ROW, anthropic.ROW, google.ROW, *compatible.ROWS)}
_CREDENTIAL_FIELDS = {row.dialects[0]: row.credential_field for row in (anthropic.ROW, google.ROW)}


class ProviderError(Exception):
    """A provider that the settings name cannot be had as they say; the message names it."""


def active_providers(settings: Settings, environment: Mapping[str, str]) -> dict[str, Provider]:
    """The providers that serve, by name; the settings win over the environment. ProviderError."""
    active = {name: _configured(name, given, environment) for name, given in settings.providers.items()}
    for name, row in ROWS.items():
        if name not in active:
            try:
                provider = provider_of(row, environment)
            except ValueError as error:
                raise ProviderError(f"{row.url_variable}: {error}") from None
            if provider is not None:
                active[name] = provider
    return active


def _configured(name: str, given: ProviderSettings, environment: Mapping[str, str]) -> Provider:
    row = ROWS.get(name)
    base_url = given.base_url or (row.base_url if row is not None else None)
    if base_url is None:
        raise ProviderError(f"providers.{name}: base_url is missing")
    found = provider_of(row, environment) if row is not None else None
    origin, path = origin_of(
        base_url,
        None if given.unix_socket is None else str(given.unix_socket),
        None if given.ca_file is None else str(given.ca_file),
    )
    credential = given.key or (found.credential if found is not None else None)
    if credential is None and row is not None and row.key_variable is not None and given.base_url is None:
        raise ProviderError(f"providers.{name}: no key: set key, key_env or {row.key_variable}")
    is_plain = _is_plain(row, given)
    dialects = row.dialects if row is not None else OPENAI
    if given.dialect is not None:
        dialects = OPENAI if given.dialect == OPENAI[0] else (given.dialect,)
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
    )


def _is_plain(row: Row | None, given: ProviderSettings) -> bool:
    """Whether the settings speak of the row's own host, whose wire and price are known."""
    return row is not None and given.base_url in (None, row.base_url)
