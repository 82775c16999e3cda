"""What comes in with a request besides its body: what its head asks of the gateway."""

import re
import urllib.parse
from collections.abc import Callable, Mapping

import msgspec

from ..core.errors import CallerError, InvalidKey, MalformedRequest
from ..dialects import NOWHERE, Asked
from ..wire.heads import RequestHead
from .house import House
from .neighbourhood import Neighbourhood
from .routes import PROBES, Route

KEY_BYTES_MAX = 512
_CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_KEY_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
# Fields that ask for something: what may stand in them.
_SWITCHES = {
    b"x-faregate-strict": ((b"", b"true", b"1", b"false", b"0"), "true or false"),
    b"x-faregate-structured": ((b"", b"strict"), "strict, or not there"),
}
_IN_QUERY = "API keys are not accepted in the URL. Send yours in the Authorization header."


class HeadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a head says to the gateway. Many requests have the same head: it is read once and stays with it.

    `credential` is the key presented, `digest` its keyed hash; `problem` is what is wrong with how it came. `origin` is
    that of a browser, `client_request_id` the client's own id where it is fit to be kept (security.md S15). `is_call`
    says that a provider is to be asked, with a body that can be read; `idempotency_key` is what such a call came under,
    not looked at yet; `asked` is what its dialect reads outside the body, and it `is_strict` where nothing of it may be
    dropped (contract.md 5.7). A stream `is_held` until it is known to keep to its schema, if it has one. `flaw` is what
    else is wrong with the head, in words, and the field at fault.
    """

    method: str
    path: bytes
    probe: Route | None
    house: House
    route: Route | None
    dialect: str
    credential: bytes
    digest: bytes
    problem: tuple[type[CallerError], str] | None
    client_request_id: str | None
    origin: bytes | None
    is_preflight: bool
    wants_trailers: bool
    project_id: str | None
    region_hint: str | None
    no_retention: bool
    is_call: bool
    idempotency_key: bytes | None
    asked: Asked
    is_strict: bool
    is_held: bool
    flaw: tuple[str, str] | None


def read_head(head: RequestHead, houses: Neighbourhood, digest: Callable[[bytes], bytes]) -> HeadFacts:
    """The facts of a head; `digest` is the keyed hash of keys. Never raises."""
    headers = head.headers
    house = houses.of(headers.get(b"host"), head.path)
    credential, problem = _credential(head)
    if problem is None and not credential.startswith(house.key_prefix):
        problem = InvalidKey, InvalidKey().message  # a key opens only the house that it was made for
    client_id = headers.get(b"x-request-id") or headers.get(b"x-client-request-id")
    is_plain = headers.get(b"content-encoding", b"").lower() in (b"", b"identity")
    route = in_dialect_of(house.routes.match(head.path), headers)
    is_call = route is not None and route.is_call and head.method == b"POST" and is_plain
    return HeadFacts(
        method=head.method.decode("ascii"),
        path=head.path,
        probe=PROBES.get(head.path),
        house=house,
        route=route,
        dialect=dialect_of(headers) if route is None else route.dialect,
        credential=credential,
        digest=digest(credential) if problem is None else b"",
        problem=problem,
        client_request_id=client_id.decode("ascii") if client_id and _CLIENT_REQUEST_ID.match(client_id) else None,
        origin=headers.get(b"origin"),
        is_preflight=head.method == b"OPTIONS" and b"access-control-request-method" in headers,
        project_id=_field(headers, house.project_fields),
        region_hint=_field(headers, house.region_fields),
        no_retention=_is_true(_field(headers, house.retention_fields)),
        wants_trailers=b"trailers" in headers.get(b"te", b"").lower(),
        is_call=is_call,
        idempotency_key=headers.get(b"idempotency-key") if is_call and house.facts.keeps_answers else None,
        asked=_asked(route, head) if route is not None and "POST" in route.methods else NOWHERE,
        is_strict=headers.get(b"x-faregate-strict", b"").lower() in (b"true", b"1"),
        is_held=headers.get(b"x-faregate-structured", b"").lower() == b"strict",
        flaw=_flaw(house, route, head.method, headers),
    )


def in_dialect_of(route: Route | None, headers: Mapping[bytes, bytes]) -> Route | None:
    """The route, in the dialect of whoever asks where its path is the same in several (contract.md 1.10)."""
    if route is None or not route.is_shared:
        return route
    return route._replace(dialect=dialect_of(headers))


def dialect_of(headers: Mapping[bytes, bytes]) -> str:
    """The dialect of a client whose path does not tell it."""
    if b"x-goog-api-key" in headers:
        return "gemini_generate"
    return "anthropic_messages" if b"anthropic-version" in headers else "openai_chat"


def _asked(route: Route | None, head: RequestHead) -> Asked:
    """What a call says outside its body."""
    try:
        query = query_of(head) if head.query else {}
    except ValueError:
        query = {}  # too many parameters: refused with the credential
    return Asked("" if route is None else route.argument, query, head.headers)


def _field(headers: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> str | None:
    """The first of some fields that is there and says something (contract.md 2.4)."""
    for name in names:
        value = headers.get(name)
        if value:
            return value.decode("latin-1")
    return None


def _is_true(value: str | None) -> bool:
    return value is not None and value.lower() == "true"


def _flaw(house: House, route: Route | None, method: bytes, headers: Mapping[bytes, bytes]) -> tuple[str, str] | None:
    """What makes the request a malformed one before its body is looked at: the message, and the field at fault."""
    said = _field(headers, house.retention_fields)
    if said is not None and said.lower() not in ("true", "false"):
        name = house.facts.request_headers.no_retention[0]
        return f"'{name}' is true or false.", name  # contract.md 3.4
    for field, (values, words) in _SWITCHES.items():
        if headers.get(field, b"").lower() not in values:
            name = field.decode()
            return f"'{name}' is {words}.", name  # a value that is misspelt would be without effect
    if house.facts.needs_json_type and route is not None and method == b"POST":
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            return "The Content-Type of this request must be application/json.", "Content-Type"
    return None


def _credential(head: RequestHead) -> tuple[bytes, tuple[type[CallerError], str] | None]:
    """The key that a head presents, empty where it has none, and what is wrong with it; one in the URL is refused
    (security.md S4)."""
    if head.query:
        try:
            in_query = _KEY_PARAMETERS.intersection(query_of(head))
        except ValueError:
            return b"", (MalformedRequest, "The query has too many parameters.")
        if in_query:
            return b"", (InvalidKey, _IN_QUERY)
    headers = head.headers
    value = headers.get(b"authorization")
    if value is None:
        value = headers.get(b"x-api-key") or headers.get(b"x-goog-api-key") or b""
    else:
        scheme, _, token = value.partition(b" ")
        value = token.strip() if scheme.lower() == b"bearer" else b""
    return value if len(value) <= KEY_BYTES_MAX else b"", None


def query_of(head: RequestHead) -> dict[str, str]:
    """The query's parameters; of one that comes twice the last. ValueError for too many of them."""
    text = head.query.decode("latin-1")
    return dict(urllib.parse.parse_qsl(text, keep_blank_values=True, max_num_fields=100))
