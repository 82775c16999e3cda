"""One frozen Settings tree, from faregate.toml, then the environment.

Unknown keys and wrong types are refused, with file, line and key. Units stand in the names: `_s` seconds,
`_ms` milliseconds, `_bytes_max` bytes. A scalar of [server], [limits], [deadlines], [health], [keys], [usage] and [log]
may be set by the environment as well, which wins: `FAREGATE_SERVER_PORT=9000`, lists with commas between.
"""

import ipaddress
import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from .core.call import OnDisconnect
from .core.catalog import Capabilities
from .core.choices import with_choices
from .core.identity import Network
from .core.plans import PLAN_NAME, Plan
from .core.secret import Secret
from .settings_prices import PriceEntrySettings, PricesSettings, RatesSettings, flaw_of
from .settings_reader import VISIBLE, Reader, explain
from .settings_source import KeyPath, Places, SettingsError, TomlSource, environment_overrides

__all__ = ["NO_ENVIRONMENT", "Settings", "SettingsError", "load_settings"]

NO_ENVIRONMENT: Mapping[str, str] = {}

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Bytes = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
KeyPrefix = Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9_-]+$")]
Host = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]{1,253})\Z")]
BasePath = Annotated[str, msgspec.Meta(pattern=r"^(|(/[A-Za-z0-9._~-]{1,100}){1,10})\Z")]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$")]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect")
)


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every table has: unknown keys are refused, nothing changes after the start."""


class ServerSettings(_Table, frozen=True):
    """[server]: where the gateway listens. Paths are relative to the settings file."""

    host: Name = "127.0.0.1"
    port: Port = 8080
    unix_socket: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    reuse_port: bool = False
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    trusted_proxies: tuple[str, ...] = ()
    proxy_protocol: bool = False
    cors_origins: tuple[str, ...] = ()
    drain_timeout_s: Seconds = 30.0
    metrics: Literal["loopback", "public"] = "loopback"
    region: Label = "default"

    @property
    def trusted_networks(self) -> tuple[Network, ...]:
        """`trusted_proxies` as networks."""
        return tuple(ipaddress.ip_network(text) for text in self.trusted_proxies)


class LimitsSettings(_Table, frozen=True):
    """[limits]: what one client may use. The first block is `wire.server.ServerLimits`, name by name."""

    head_timeout_s: Seconds = 10.0
    body_progress_timeout_s: Seconds = 30.0
    body_rate_min_bytes_per_s: Bytes = 1024
    keep_alive_timeout_s: Seconds = 75.0
    write_timeout_s: Seconds = 30.0
    linger_timeout_s: Seconds = 2.0
    unauthenticated_timeout_s: Seconds = 1.0
    head_bytes_max: Bytes = 16 * 1024
    head_fields_max: Count = 100
    target_bytes_max: Bytes = 8 * 1024
    body_unread_bytes_max: Bytes = 256 * 1024
    bodies_bytes_max: Bytes = 1024 * 1024 * 1024
    write_buffer_bytes_max: Bytes = 256 * 1024
    connections_max: Count = 50_000
    unauthenticated_per_address_max: Count = 200

    address_net: bool = True
    json_body_bytes_max: Bytes = 32 * 1024 * 1024
    answer_bytes_max: Bytes = 64 * 1024 * 1024
    longest_request_s: Seconds = 600.0
    idempotency_bytes_max: Bytes = 64 * 1024 * 1024
    drained_calls_max: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1_000
    keep_alive_comment_s: Seconds = 15.0
    in_flight_max: Count = 20_000
    lag_max_s: Seconds = 1.0


class IdempotencySettings(_Table, frozen=True):
    """[idempotency]: `stored` keeps answers under idempotency keys in the database too, encrypted, for as long as their
    keys hold: those of at most `stored_answer_bytes_max`."""

    stored: bool = False
    stored_answer_bytes_max: Annotated[int, msgspec.Meta(ge=1, le=64 * 1024 * 1024)] = 1024 * 1024


class DeadlinesSettings(_Table, frozen=True):
    """[deadlines]: how long an upstream may take."""

    connect_timeout_s: Seconds = 3.0
    first_byte_timeout_s: Seconds = 30.0
    idle_timeout_s: Seconds = 30.0


class HealthSettings(_Table, frozen=True):
    """[health]: when a target is ejected, and for how long; `flow.health.HealthLimits`, name by name. One that limits
    us is left alone for as long as it says, and for `limited_s_max` at most. With `repeats` a target that is the only
    one is asked a second time."""

    failures_in_row_max: Count = 5
    failed_share_max: Annotated[float, msgspec.Meta(gt=0, le=1)] = 0.85
    window_s: Seconds = 10.0
    window_calls_min: Count = 50
    pause_s_min: Seconds = 30.0
    pause_s_max: Seconds = 300.0
    last_trial_interval_s: Seconds = 1.0
    limited_s_max: Seconds = 3600.0
    repeats: bool = True


class KeysSettings(_Table, frozen=True):
    """[keys]: what the gateway's own keys begin with; the house says where this does not."""

    prefix: KeyPrefix | None = None


class UsageSettings(_Table, frozen=True):
    """[usage]: how the journal is written; `pending_max` records at most wait for a disk that fails. Records are kept
    for `retention_days`, 0 is for ever; their sums by day stay."""

    flush_interval_s: Annotated[float, msgspec.Meta(ge=0.001, le=10)] = 0.05
    pending_max: Count = 1_000_000
    retention_days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 90


class LedgerSettings(_Table, frozen=True):
    """[ledger]: `durability` is "full", or "relaxed": then answers end without waiting for their charge to be on the
    disk. `demo_credit` is what the organisation of `faregate up` is given once, dollars."""

    durability: Literal["full", "relaxed"] = "full"
    demo_credit: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$")] = "5.00"


class LogSettings(_Table, frozen=True):
    """[log]: lines of JSON on standard error; `requests` has one for each request."""

    requests: bool = True
    level: Literal["debug", "info", "warning", "error"] = "info"


DialectName = Literal["openai_chat", "openai_responses", "anthropic_messages", "cohere_chat", "gemini_generate"]


class ProviderSettings(_Table, frozen=True):
    """[providers.NAME]: an upstream. `key_env` names the variable with the key; header values are secret.
    `price` is what its models cost that have no price of their own; it keeps nothing of a request where the operator
    says `zero_retention`. The last keys are those of some kinds; `credentials_env` begins the names of the variables
    with AWS credentials."""

    kind: Literal["azure", "bedrock", "vertex"] | None = None
    base_url: str | None = None
    key: Secret | None = None
    key_env: Name | None = None
    dialect: DialectName | None = None
    wire: Literal["exact", "compatible"] = "compatible"
    models: tuple[Name, ...] = ()
    discover: bool = False
    region: Label = "default"
    replica: Label = "default"
    headers: dict[str, Secret] = {}
    unix_socket: Path | None = None
    ca_file: Path | None = None
    stream_usage: bool = True
    on_disconnect: OnDisconnect | None = None
    zero_retention: bool = False
    price: RatesSettings | None = None
    api_version: Name | None = None
    token: Secret | None = None
    token_env: Name | None = None
    tenant: Name | None = None
    client_id: Name | None = None
    client_secret: Secret | None = None
    client_secret_env: Name | None = None
    token_url: str | None = None
    scope: Name | None = None
    project: Name | None = None
    location: Name | None = None
    credentials_file: Path | None = None
    credentials_env: Name | None = None


_SECRETS_BY_VARIABLE = {"key": "key_env", "token": "token_env", "client_secret": "client_secret_env"}


class ModelSettings(_Table, frozen=True):
    """[models."NAME"]: a model of the operator's own, or what differs from the catalogue's. Sizes: tokens.
    `price` always holds, `prices` from a day on or under a condition; see stores.prices."""

    vendor: Name | None = None
    context_window: Count | None = None
    max_output_tokens: Count | None = None
    kind: Label | None = None
    tags: tuple[Label, ...] | None = None
    successor: Name | None = None
    longest_request_s: Seconds | None = None
    first_byte_timeout_s: Seconds | None = None
    fallbacks: Annotated[tuple[Name, ...], msgspec.Meta(max_length=5)] | None = None
    price: RatesSettings | None = None
    prices: tuple[PriceEntrySettings, ...] = ()
    capabilities: Capabilities | None = None


class RouteSettings(_Table, frozen=True):
    """[[routes]]: `model` is had from `provider`, where it is called `upstream_model` (default: the same)."""

    model: Name
    provider: Name
    upstream_model: Name | None = None
    region: Label | None = None
    replica: Label | None = None
    weight: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 1
    zero_retention: bool | None = None


class HouseSettings(_Table, frozen=True):
    """[[houses]]: a further house on the same address, for those who come by one of its `hosts`, or whose paths begin
    with `base_path`."""

    house: Name
    hosts: tuple[Host, ...] = ()
    base_path: BasePath = ""
    key_prefix: KeyPrefix | None = None


class Settings(_Table, frozen=True):
    """All that the operator decides. `house` is the name of one that is shipped, or the path of a file of one's own,
    which ends in .toml."""

    server: ServerSettings = ServerSettings()
    limits: LimitsSettings = LimitsSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    deadlines: DeadlinesSettings = DeadlinesSettings()
    health: HealthSettings = HealthSettings()
    keys: KeysSettings = KeysSettings()
    usage: UsageSettings = UsageSettings()
    ledger: LedgerSettings = LedgerSettings()
    log: LogSettings = LogSettings()
    prices: PricesSettings = PricesSettings()
    providers: dict[str, ProviderSettings] = {}
    models: dict[str, ModelSettings] = {}
    routes: tuple[RouteSettings, ...] = ()
    aliases: dict[str, str] = {}
    serve_retired: bool = False
    house: Name = "faregate"
    houses: tuple[HouseSettings, ...] = ()
    plans: dict[str, Plan] = {}
    default_plan: Name | None = None
    paid_plan: Name | None = None
    places: Places = Places(None, {})  # not of the file: where in it each key stands


_FIXED_TABLES: dict[str, type[_Table]] = {
    "server": ServerSettings,
    "limits": LimitsSettings,
    "idempotency": IdempotencySettings,
    "deadlines": DeadlinesSettings,
    "health": HealthSettings,
    "keys": KeysSettings,
    "usage": UsageSettings,
    "ledger": LedgerSettings,
    "log": LogSettings,
}


def load_settings(path: Path | None, environment: Mapping[str, str] = NO_ENVIRONMENT) -> Settings:
    """The settings of the file at `path` (None: no file) and of `environment`. SettingsError."""
    source = TomlSource.read(path) if path is not None else TomlSource(None, "")
    reader = Reader(source)
    _apply_environment(reader, environment)
    tree = source.tree
    providers = reader.mapping("providers", ProviderSettings)
    models = reader.mapping("models", ModelSettings)
    given = reader.table("aliases").items()
    plans = reader.mapping("plans", Plan)
    aliases = {alias: reader.convert(target, Name, ("aliases", alias)) for alias, target in given}
    rest = {name: value for name, value in tree.items() if name not in ("providers", "models", "plans", "aliases")}
    if "places" in rest:
        raise source.fail(("places",), "unknown key")
    settings: Settings = reader.convert(rest, Settings, ())
    _check_server(source, settings.server)
    for name, provider in providers.items():
        providers[name] = _checked_provider(source, ("providers", name), provider, environment)
    for name, model in models.items():
        flaw = flaw_of(model.price, model.prices)
        if flaw is not None:
            raise source.fail(("models", name, *flaw[0]), flaw[1])
    for name in plans:
        if not PLAN_NAME.fullmatch(name):
            raise source.fail(("plans", name), "a plan's name is letters, digits, dots, - and _")
    tables = {"providers": providers, "models": models, "plans": plans, "aliases": aliases}
    return msgspec.structs.replace(settings, **tables, places=source.places)


def _apply_environment(reader: Reader, environment: Mapping[str, str]) -> None:
    tables = {name: shape.__struct_fields__ for name, shape in _FIXED_TABLES.items()}
    hints = {name: msgspec.structs.fields(shape) for name, shape in _FIXED_TABLES.items()}
    for (table, key), (variable, text) in environment_overrides(environment, tables).items():
        shape = next(field.type for field in hints[table] if field.name == key)
        is_list = key in ("trusted_proxies", "cors_origins")
        value: object = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
        try:
            value = msgspec.convert(value, shape, strict=False, dec_hook=lambda _shape, path: Path(path).absolute())
        except msgspec.ValidationError as error:
            raise SettingsError("environment", 0, variable, explain(with_choices(error, shape))[1]) from None
        reader.source.tree[table] = {**reader.table(table), key: msgspec.to_builtins(value, enc_hook=str)}


def _check_server(source: TomlSource, server: ServerSettings) -> None:
    for index, text in enumerate(server.trusted_proxies):
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise source.fail(("server", "trusted_proxies", index), str(error)) from None
    for index, origin in enumerate(server.cors_origins):
        parts = urllib.parse.urlsplit(origin)
        at = ("server", "cors_origins", index)
        if parts.scheme not in ("http", "https") or "@" in origin:
            raise source.fail(at, "an origin is https://host or https://host:port")
        if origin != f"{parts.scheme}://{parts.netloc}" or not parts.hostname:
            raise source.fail(at, "an origin is https://host or https://host:port, and no more")
    if (server.tls_certificate is None) != (server.tls_key is None):
        given = "tls_certificate" if server.tls_key is None else "tls_key"
        raise source.fail(("server", given), "tls_certificate and tls_key go together")
    if server.proxy_protocol and server.tls_certificate is not None:
        raise source.fail(("server", "proxy_protocol"), "cannot be had together with TLS")
    if server.proxy_protocol and not server.trusted_proxies:
        raise source.fail(("server", "proxy_protocol"), "needs trusted_proxies")


def _checked_provider(
    source: TomlSource, at: KeyPath, provider: ProviderSettings, environment: Mapping[str, str]
) -> ProviderSettings:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", str(at[-1])):
        raise source.fail(at, "a provider's name is letters, digits, - and _")
    for name in ("base_url", "token_url"):
        url = getattr(provider, name)
        if url is not None:
            _check_url(source, (*at, name), url)
            provider = msgspec.structs.replace(provider, **{name: url.rstrip("/")})
    for header in provider.headers:
        if not _TOKEN.fullmatch(header) or header.lower() in _FRAMING_HEADERS:
            raise source.fail((*at, "headers", header), "this header cannot be set")
    for name, by_variable in _SECRETS_BY_VARIABLE.items():
        variable = getattr(provider, by_variable)
        if variable is None:
            continue
        if getattr(provider, name) is not None:
            raise source.fail((*at, by_variable), f"{name} and {by_variable} exclude each other")
        value = environment.get(variable, "").strip()
        if not VISIBLE.fullmatch(value):
            state = "is not visible ASCII" if value else "is not set"
            raise source.fail((*at, by_variable), f"the environment variable {variable} {state}")
        provider = msgspec.structs.replace(provider, **{name: Secret(value)})
    return provider


def _check_url(source: TomlSource, at: KeyPath, url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        raise source.fail(at, "is no URL") from None
    if not usable or not VISIBLE.fullmatch(url) or " " in url:
        raise source.fail(at, "must be http://host or https://host, with a path if need be")
    if parts.query or parts.fragment or parts.username is not None:
        raise source.fail(at, "must have no query, fragment or user")
