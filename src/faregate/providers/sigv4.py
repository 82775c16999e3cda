"""AWS Signature Version 4 of one request (IAM user guide, "Create a signed AWS API request")."""

import functools
import hashlib
import hmac
import urllib.parse
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

from ..core.secret import Secret
from ..wire.messages import header_lines

_ALGORITHM = "AWS4-HMAC-SHA256"
_END = "aws4_request"


class Credentials(NamedTuple):
    """What signs. Temporary ones have a session token."""

    access_key_id: str
    secret_access_key: Secret
    session_token: Secret | None = None


class Signer:
    """Signs requests to one host, service and region. `now` gives the time."""

    def __init__(
        self,
        credentials: Credentials,
        host: str,
        service: str,
        region: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._credentials = credentials
        self._host = host
        self._service = service
        self._region = region
        self._now = now

    def __call__(self, path: str, body: bytes, method: str = "POST") -> bytes:
        """The header lines that sign a request. `path` is as it is sent, encoded, with its query."""
        credentials = self._credentials
        at = self._now().strftime("%Y%m%dT%H%M%SZ")
        signed = {"host": self._host, "x-amz-date": at}
        if credentials.session_token is not None:
            signed["x-amz-security-token"] = credentials.session_token.reveal()
        names = ";".join(signed)
        scope = f"{at[:8]}/{self._region}/{self._service}/{_END}"
        request = _canonical_request(method, path, signed, body)
        text = f"{_ALGORITHM}\n{at}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        key = _signing_key(credentials.secret_access_key, at[:8], self._region, self._service)
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        del signed["host"]  # which every request has
        signed["authorization"] = (
            f"{_ALGORITHM} Credential={credentials.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        return header_lines(signed.items())


def _canonical_request(method: str, path: str, signed: dict[str, str], body: bytes) -> str:
    """What is signed of a request. The path is encoded once more than it is sent: every service but S3 wants that."""
    way, _, query = path.partition("?")
    pairs = sorted(
        (urllib.parse.quote(name, safe="-_.~"), urllib.parse.quote(value, safe="-_.~"))
        for name, value in urllib.parse.parse_qsl(query, keep_blank_values=True)
    )
    lines = [
        method,
        urllib.parse.quote(way or "/", safe="/-_.~"),
        "&".join(f"{name}={value}" for name, value in pairs),
        *(f"{name}:{value}" for name, value in signed.items()),
        "",
        ";".join(signed),
        hashlib.sha256(body).hexdigest(),
    ]
    return "\n".join(lines)


@functools.lru_cache(maxsize=64)
def _signing_key(secret: Secret, date: str, region: str, service: str) -> bytes:
    """The key of a day."""
    key = f"AWS4{secret.reveal()}".encode()
    for step in (date, region, service, _END):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return key
