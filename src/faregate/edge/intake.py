"""What comes in with a request besides its body: the credential, and what the headers ask of the gateway."""

import re
import urllib.parse

from ..core.errors import InvalidKey, MalformedRequest
from ..wire.exchange import IncomingRequest

KEY_BYTES_MAX = 512
_CLIENT_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_KEY_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token"})
_IN_QUERY = "API keys are not accepted in the URL. Send yours in the Authorization header."


def credential(request: IncomingRequest) -> bytes:
    """The key that a request presents. InvalidKey where it has none, or has it in the URL (security.md S4)."""
    if request.query and _KEY_PARAMETERS.intersection(query_of(request)):
        raise InvalidKey(_IN_QUERY)
    headers = request.headers
    value = headers.get(b"authorization")
    if value is not None:
        scheme, _, token = value.partition(b" ")
        if scheme.lower() != b"bearer":
            raise InvalidKey
        value = token.strip()
    else:
        value = headers.get(b"x-api-key") or headers.get(b"x-goog-api-key")
    if not value or len(value) > KEY_BYTES_MAX:
        raise InvalidKey
    return value


def query_of(request: IncomingRequest) -> dict[str, str]:
    """The query's parameters; of one that comes twice the last. MalformedRequest for too many of them."""
    try:
        pairs = urllib.parse.parse_qsl(request.query.decode("latin-1"), keep_blank_values=True, max_num_fields=100)
    except ValueError:
        raise MalformedRequest("The query has too many parameters.") from None
    return dict(pairs)


def client_request_id(request: IncomingRequest) -> str | None:
    """The client's own id for its request, where it is fit to be kept (security.md S15)."""
    value = request.headers.get(b"x-request-id") or request.headers.get(b"x-client-request-id")
    return value.decode("ascii") if value is not None and _CLIENT_REQUEST_ID.match(value) else None


def check_body_headers(request: IncomingRequest) -> None:
    """A body that we could not read is refused before it is. Raises MalformedRequest with kind 415."""
    coding = request.headers.get(b"content-encoding")
    if coding is not None and coding.lower() not in (b"identity", b""):
        raise MalformedRequest(
            "Encoded request bodies are not accepted; send the body plain.", kind="unsupported_media_type"
        )
