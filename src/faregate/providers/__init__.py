"""Whom we call: address, credential, dialect and quirks, one file each. No provider's name appears elsewhere."""

import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ..core.call import OnDisconnect
from ..core.money import Price
from ..core.secret import Secret
from ..dialects import Rendered
from ..wire.client import Origin
from ..wire.messages import header_lines
from .shape import Shape
from .tokens import Tokens

OPENAI = ("openai_chat", "openai_completions", "openai_embeddings")
GEMINI = ("gemini_generate", "gemini_embeddings")
COHERE = ("cohere_chat", "cohere_embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A provider as data. `key_variable` in the environment, or else `key_alias`, switches it on and is its credential;
    `url_variable` names an address in the environment instead (a local server). `dialects` are what it speaks, the
    first one to those who speak none of them; its credential goes in `credential_field`. `exact` says that its wire is
    its dialect's to the byte; `discovers` that its model list is asked for, because no catalogue can know it; `price`
    is what its models cost that have no price elsewhere; `on_disconnect` what becomes of calls whose client leaves;
    `shape` what of OpenAI's chat it says otherwise."""

    name: str
    base_url: str
    key_variable: str | None = None
    key_alias: str | None = None
    url_variable: str | None = None
    dialects: tuple[str, ...] = OPENAI
    credential_field: str = "authorization"
    exact: bool = False
    stream_usage: bool = True
    discovers: bool = False
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    price: Price | None = None
    shape: Shape | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An active provider: where it is and how it wants to be spoken to.

    Where its paths are not its dialect's, `place` makes its own of one of them and the upstream model's name. Where its
    credential changes from request to request, `authorize` gives the header lines for a path and a body; `secrets` are
    what it makes them of, `tokens` those that it is given while they hold. `adapt` makes of a body what it takes, where
    that is not all of its dialect; Inexpressible. `catalogued_as` is whose models it has, where the catalogue does not
    know its own."""

    name: str
    origin: Origin
    path: str
    credential: Secret | None = None
    dialects: tuple[str, ...] = OPENAI
    credential_field: str = "authorization"
    exact: bool = False
    stream_usage: bool = True
    discovers: bool = False
    on_disconnect: OnDisconnect = OnDisconnect.CANCEL
    models: tuple[str, ...] = ()
    region: str = "default"
    replica: str = "default"
    headers: Mapping[str, Secret] = field(default_factory=dict)
    price: Price | None = None
    zero_retention: bool = False
    place: Callable[[str, str], str] | None = None
    authorize: Callable[[str, bytes], bytes] | None = None
    adapt: Callable[[str, bytes], Rendered] | None = None
    tokens: Tokens | None = None
    catalogued_as: str | None = None
    secrets: tuple[Secret, ...] = ()
    fields: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """`fields` are the header lines of every request to it, framing excepted."""
        pairs = [("host", self.origin.authority), ("user-agent", "faregate"), ("accept-encoding", "identity")]
        if self.credential is not None:
            bearer = "Bearer " if self.credential_field == "authorization" else ""
            pairs.append((self.credential_field, bearer + self.credential.reveal()))
        pairs += [(name.lower(), value.reveal()) for name, value in self.headers.items()]
        object.__setattr__(self, "fields", header_lines(pairs))

    def path_of(self, dialect_path: str, upstream_model: str) -> str:
        """The path, with its query, where the operation of a dialect is to be had for a model."""
        return self.path + (dialect_path if self.place is None else self.place(dialect_path, upstream_model))

    def authorization(self, path: str, body: bytes) -> bytes:
        """The header lines that are this one request's own. UpstreamUnavailable where there are none."""
        return b"" if self.authorize is None else self.authorize(path, body)

    def adapted(self, path: str, body: bytes) -> Rendered:
        """The body as it takes it, and what that does not say of it. Inexpressible."""
        return Rendered(body) if self.adapt is None else self.adapt(path, body)


def origin_of(base_url: str, unix_path: str | None = None, ca_file: str | None = None) -> tuple[Origin, str]:
    """The origin of a base URL and the path it puts before each operation. ValueError for what is no http(s) URL."""
    parts = urllib.parse.urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("a base URL is http(s)://host[:port][/path]")
    if parts.username is not None:
        raise ValueError("a base URL holds no credential")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Origin(parts.scheme, parts.hostname, port, unix_path, ca_file), parts.path.rstrip("/")


def provider_of(row: Row, environment: Mapping[str, str]) -> Provider | None:
    """The provider that `row` describes, if the environment switches it on."""
    base_url = row.base_url
    credential = None
    if row.url_variable is not None:
        given = environment.get(row.url_variable)
        if not given:
            return None
        base_url = _local_url(given, row.base_url)
    if row.key_variable is not None:
        key = environment.get(row.key_variable) or environment.get(row.key_alias or "")
        if key:
            credential = Secret(key)
        elif row.url_variable is None:
            return None
    origin, path = origin_of(base_url)
    return Provider(
        name=row.name,
        origin=origin,
        path=path,
        credential=credential,
        dialects=row.dialects,
        credential_field=row.credential_field,
        exact=row.exact,
        stream_usage=row.stream_usage,
        discovers=row.discovers,
        on_disconnect=row.on_disconnect,
        price=row.price,
        adapt=None if row.shape is None else row.shape.adapted,
    )


def _local_url(given: str, default: str) -> str:
    """The base URL of a local server from `host`, `host:port` or a URL, with the row's port and path where absent."""
    fallback = urllib.parse.urlsplit(default)
    parts = urllib.parse.urlsplit(given if "://" in given else f"http://{given}")
    host = parts.hostname or "127.0.0.1"
    if host == "0.0.0.0":
        host = "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    path = parts.path.rstrip("/") or fallback.path
    return f"{parts.scheme}://{host}:{parts.port or fallback.port or 80}{path}"


def secrets_of(providers: Mapping[str, Provider]) -> Iterator[str]:
    """What must never be said of them to anybody."""
    for provider in providers.values():
        if provider.credential is not None:
            yield provider.credential.reveal()
        for value in (*provider.headers.values(), *provider.secrets):
            yield value.reveal()
        for secret in provider.tokens.secrets if provider.tokens is not None else ():
            yield secret.reveal()
