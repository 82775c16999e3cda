"""Credentials of Google Cloud, and how each is exchanged for an access token.

Sources: Google Identity, "Using OAuth 2.0 for server to server applications" (service accounts: a JWT signed with
RS256, RFC 7523, exchanged at the account's `token_uri`) and "Refreshing an access token" (authorized_user); Google
Cloud, "Application Default Credentials" and "Access VM metadata" (the metadata server).
"""

import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..core.secret import Secret
from . import origin_of
from .tokens import Question, Tokens, form_question

_FILE_BYTES_MAX = 64 * 1024
_TOKEN_URI = "https://oauth2.googleapis.com/token"
_METADATA_HOST = "metadata.google.internal"
_METADATA_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_ASSERTION_LIFE_S = 3600
_KINDS = ("service_account", "authorized_user")


class CredentialsError(Exception):
    """A file of credentials that cannot be used; the message holds nothing of it."""


class Identity(NamedTuple):
    """Who asks: the tokens that prove it, and the header fields that go with them."""

    tokens: Tokens
    headers: Mapping[str, Secret]


class _File(msgspec.Struct):
    """The members of both kinds; which of them must be there depends on the kind."""

    type: str
    client_email: str = ""
    private_key: str = ""
    private_key_id: str = ""
    token_uri: str = _TOKEN_URI
    client_id: str = ""
    client_secret: str = ""
    refresh_token: str = ""
    quota_project_id: str = ""


_decoder = msgspec.json.Decoder(_File)


def from_file(path: Path | str) -> Identity:
    """The account of a credentials file. CredentialsError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CredentialsError(f"cannot be read: {error.strerror}") from None
    if len(data) > _FILE_BYTES_MAX:
        raise CredentialsError(f"is over {_FILE_BYTES_MAX} bytes")
    try:
        file = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise CredentialsError("is no JSON of Google's credentials") from None
    if file.type not in _KINDS:
        raise CredentialsError(f"must be of type {' or '.join(_KINDS)}")
    try:
        origin, uri_path = origin_of(file.token_uri)
    except ValueError:
        raise CredentialsError("its token_uri is no URL") from None
    ask = _service_account(file) if file.type == _KINDS[0] else _authorized_user(file)
    secrets = tuple(Secret(text) for text in (file.private_key, file.client_secret, file.refresh_token) if text)
    headers = {}
    if file.quota_project_id.isascii() and file.quota_project_id.isprintable() and file.quota_project_id:
        headers["x-goog-user-project"] = Secret(file.quota_project_id)
    return Identity(Tokens(lambda: form_question(origin, uri_path or "/", ask()), secrets), headers)


def from_metadata(environment: Mapping[str, str]) -> Identity:
    """The account of the machine, which the metadata server knows."""
    host = environment.get("GCE_METADATA_HOST") or _METADATA_HOST
    origin, _ = origin_of(f"http://{host}")
    question = Question(origin, _METADATA_PATH, b"metadata-flavor: Google\r\n", method="GET")
    return Identity(Tokens(lambda: question), {})


def _service_account(file: _File) -> Callable[[], Mapping[str, str]]:
    """Asks with an assertion that is signed anew each time."""
    from .signing import rs256

    if not file.client_email:
        raise CredentialsError("client_email is missing in it")
    try:
        sign = rs256(file.private_key)
    except ValueError:
        raise CredentialsError("its private_key is no RSA key in PEM") from None
    header = {"alg": "RS256", "typ": "JWT"} | ({"kid": file.private_key_id} if file.private_key_id else {})
    claims = {"iss": file.client_email, "scope": _SCOPE, "aud": file.token_uri}

    def ask() -> Mapping[str, str]:
        now = int(time.time())
        parts = (header, {**claims, "iat": now, "exp": now + _ASSERTION_LIFE_S})
        signed = b".".join(_base64url(msgspec.json.encode(part)) for part in parts)
        assertion = signed + b"." + _base64url(sign(signed))
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion.decode()}

    return ask


def _authorized_user(file: _File) -> Callable[[], Mapping[str, str]]:
    members = {name: getattr(file, name) for name in ("client_id", "client_secret", "refresh_token")}
    for name, value in members.items():
        if not value:
            raise CredentialsError(f"{name} is missing in it")
    return lambda: {"grant_type": "refresh_token", **members}


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
