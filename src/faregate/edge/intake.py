"""What comes in with a request besides its body: what its head asks of the gateway."""

import re
import urllib.parse
from collections.abc import Callable, Mapping

import msgspec

from ..core.errors import CallerError, InvalidKey, MalformedRequest
from ..dialects import NOWHERE, Asked
from ..wire.heads import RequestHead
from .routes import PROBES, Route, Routes

KEY_BYTES_MAX = 512
_CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_KEY_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
_IN_QUERY = "API keys are not accepted in the URL. Send yours in the Authorization header."


class HeadFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a head says to the gateway. Many requests have the same head: it is read once and stays with it.

    `credential` is the key presented, `digest` its keyed hash; `problem` is what is wrong with how it came. `origin` is
    that of a browser, `client_request_id` the client's own id where it is fit to be kept (security.md S15). `is_call`
    says that a provider is to be asked, with a body that can be read; `idempotency_key` is what such a call came under,
    not looked at yet; `asked` is what its dialect reads outside the body, and it `is_strict` where nothing of it may be
    dropped (contract.md 5.7). A stream `is_held` until it is known to keep to its schema, if it has one.
    """

    method: str
    probe: Route | None
    route: Route | None
    credential: bytes
    digest: bytes
    problem: tuple[type[CallerError], str] | None
    client_request_id: str | None
    origin: bytes | None
    is_preflight: bool
    wants_trailers: bool
    project_id: str | None
    is_call: bool
    idempotency_key: bytes | None
    asked: Asked
    is_strict: bool
    is_held: bool


def read_head(head: RequestHead, routes: Routes, digest: Callable[[bytes], bytes]) -> HeadFacts:
    """The facts of a head; `digest` is the keyed hash of keys. Never raises."""
    headers = head.headers
    credential, problem = _credential(head)
    client_id = headers.get(b"x-request-id") or headers.get(b"x-client-request-id")
    is_plain = headers.get(b"content-encoding", b"").lower() in (b"", b"identity")
    route = in_dialect_of(routes.match(head.path), headers)
    is_call = route is not None and route.is_call and head.method == b"POST" and is_plain
    return HeadFacts(
        method=head.method.decode("ascii"),
        probe=PROBES.get(head.path),
        route=route,
        credential=credential,
        digest=digest(credential),
        problem=problem,
        client_request_id=client_id.decode("ascii") if client_id and _CLIENT_REQUEST_ID.match(client_id) else None,
        origin=headers.get(b"origin"),
        is_preflight=head.method == b"OPTIONS" and b"access-control-request-method" in headers,
        project_id=_project_id(headers),
        wants_trailers=b"trailers" in headers.get(b"te", b"").lower(),
        is_call=is_call,
        idempotency_key=headers.get(b"idempotency-key") if is_call else None,
        asked=_asked(route, head) if route is not None and "POST" in route.methods else NOWHERE,
        is_strict=headers.get(b"x-faregate-strict", b"").lower() in (b"true", b"1"),
        is_held=headers.get(b"x-faregate-structured", b"").lower() == b"strict",
    )


def in_dialect_of(route: Route | None, headers: Mapping[bytes, bytes]) -> Route | None:
    """The route, in the dialect of whoever asks where its path is the same in several (contract.md 1.10)."""
    if route is None or not route.is_shared:
        return route
    if b"x-goog-api-key" in headers:
        return route._replace(dialect="gemini_generate")
    if b"anthropic-version" in headers:
        return route._replace(dialect="anthropic_messages")
    return route


def _asked(route: Route | None, head: RequestHead) -> Asked:
    """What a call says outside its body."""
    try:
        query = query_of(head) if head.query else {}
    except ValueError:
        query = {}  # too many parameters: refused with the credential
    return Asked("" if route is None else route.argument, query, head.headers)


def _project_id(headers: Mapping[bytes, bytes]) -> str | None:
    """The project that a call is to be billed to, where its head names one (contract.md 2.4)."""
    named = headers.get(b"x-faregate-project-id") or headers.get(b"idc-project-id")
    return named.decode("latin-1") if named else None


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
