"""Who asks: a bearer token, or a signature of version 4, which is checked. Any access key will do; its secret is
SECRET_ACCESS_KEY. Source: IAM user guide, "Create a signed AWS API request"; Bedrock user guide, "API keys"."""

import hashlib
import hmac
import re
from urllib.parse import quote

from ..refused import Refused
from ..wires import Headers, bearer

SECRET_ACCESS_KEY = "simulator-secret-key"

_SERVICE = "bedrock"
_SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/(\d{8})/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
_REQUIRED = ("host", "x-amz-date")


def authorize(headers: Headers, _query: dict[str, str]) -> tuple[str, str]:
    """The credential; Refused without one."""
    if b"authorization" not in headers:
        raise Refused("Missing Authentication Token", status=403, code="MissingAuthenticationTokenException")
    text = headers[b"authorization"].decode("latin-1")
    if bearer(headers) is None and _SIGNED.fullmatch(text) is None:
        raise Refused("Authorization header is malformed.", status=403, code="IncompleteSignatureException")
    return "Authorization", text


def verify(method: bytes, target: bytes, headers: Headers, body: bytes) -> None:
    """Refused where a request is signed, but not with this signature. `target` is path and query as they were sent."""
    found = _SIGNED.fullmatch(headers.get(b"authorization", b"").decode("latin-1"))
    if found is None:
        return
    _, date, region, service, names, given = found.groups()
    if service != _SERVICE:
        raise _refused(f"Credential should be scoped to correct service: '{_SERVICE}'.")
    signed = names.split(";")
    if not set(_REQUIRED) <= set(signed) or signed != sorted(signed):
        raise _refused("'Host' and 'X-Amz-Date' must be signed, and the names sorted.")
    at = headers.get(b"x-amz-date", b"").decode("latin-1")
    if not re.fullmatch(rf"{date}T\d{{6}}Z", at):
        raise _refused("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
    path, _, query = target.decode("latin-1").partition("?")
    values = [f"{name}:{' '.join(headers.get(name.encode(), b'').decode('latin-1').split())}\n" for name in signed]
    canonical = "\n".join(
        [
            method.decode("latin-1"),
            quote(path, safe="/-_.~"),
            "&".join(sorted(query.split("&"))),
            "".join(values),
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{date}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4" + SECRET_ACCESS_KEY.encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    if not hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), given):
        raise _refused(
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret"
            " Access Key and signing method. Consult the service documentation for details."
        )


def _refused(message: str) -> Refused:
    return Refused(message, status=403, code="InvalidSignatureException")
