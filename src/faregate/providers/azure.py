"""Azure OpenAI: OpenAI's wire under paths and credentials of Azure's own.

Sources: Microsoft Learn, "Azure OpenAI REST API reference" and "API version lifecycle". The classic form has the
deployment in its path and a dated `api-version`; the v1 form has OpenAI's own paths under `/openai/v1`, the deployment
in the body's `model`, and no version, or `preview`. Responses are never under a deployment.

The stream is compatible, not exact (contract.md 5.2): its first event, `prompt_filter_results`, has no choices, and
neither id nor model, and with the asynchronous filter events come without a `delta` and without an id, after the finish
too ("Content filtering" and "Content streaming"). OpenAI's own SDKs have broken on both. So events are repaired: each
gets the answer's id, model and a delta, and keeps what Azure says of its filters. What is translated for it is written
as for any compatible host, too: versions before 2024-09-01-preview do not know `max_completion_tokens`, and others of
OpenAI's newer members, while `max_tokens` will do wherever a model does not reason.
"""

import re
import urllib.parse
from collections.abc import Callable

from ..core.secret import Secret
from ..settings import ProviderSettings
from ..settings_reader import VISIBLE
from ..settings_source import SettingsError
from ..wire.client import Origin
from . import OPENAI, Provider, origin_of
from .kinds import Environment, Kind, Unusable, located
from .tokens import Tokens, form_question

_ENDPOINT, _KEY, _VERSION = "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"
_TOKEN = "AZURE_OPENAI_AD_TOKEN"
_IDENTITY = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
_KEYS = frozenset(
    {
        *("key", "key_env", "api_version", "token", "token_env", "stream_usage"),
        *("tenant", "client_id", "client_secret", "client_secret_env", "token_url", "scope"),
    }
)
_DATED = re.compile(r"\d{4}-\d{2}-\d{2}(-preview)?")
_V1 = {"v1": "", "preview": "?api-version=preview", "latest": "?api-version=latest"}
# Microsoft identity platform, "OAuth 2.0 client credentials flow". Clouds apart from the public one have others.
_TOKEN_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
_SCOPE = "https://cognitiveservices.azure.com/.default"


def configured(name: str, given: ProviderSettings, environment: Environment) -> Provider:
    """See Kind."""
    origin, path = _address(given, environment)
    key, token, tokens = _credential(given, environment)
    return Provider(
        name=name,
        origin=origin,
        path=path,
        credential=key or token,
        credential_field="authorization" if key is None else "api-key",
        dialects=(*OPENAI, "openai_responses"),
        stream_usage=given.stream_usage,
        place=placing(_version(given, environment)),
        authorize=None if tokens is None else tokens.authorize,
        tokens=tokens,
    )


def _is_on(environment: Environment) -> bool:
    """An endpoint, and a credential for it."""
    has_credential = bool(environment.get(_KEY) or environment.get(_TOKEN))
    return bool(environment.get(_ENDPOINT)) and (has_credential or all(map(environment.get, _IDENTITY)))


KIND = Kind(configured, _KEYS, _is_on)


def placing(version: str) -> Callable[[str, str], str]:
    """Provider.place under an api-version."""

    def in_v1(dialect_path: str, _: str) -> str:
        return f"/openai/v1{dialect_path}{_V1[version]}"

    def classic(dialect_path: str, deployment: str) -> str:
        if dialect_path == "/responses":
            return f"/openai/responses?api-version={version}"
        return f"/openai/deployments/{urllib.parse.quote(deployment, safe='')}{dialect_path}?api-version={version}"

    return in_v1 if version in _V1 else classic


def _address(given: ProviderSettings, environment: Environment) -> tuple[Origin, str]:
    url = given.base_url or environment.get(_ENDPOINT)
    if not url:
        raise Unusable("base_url", f"is missing: https://RESOURCE.openai.azure.com, here or in {_ENDPOINT}")
    url = url.rstrip("/")
    for shown in ("/openai/v1", "/openai"):  # with which it is shown beside a deployment
        url = url.removesuffix(shown)
    try:
        return located(given, url)
    except ValueError as error:
        raise SettingsError("environment", 0, _ENDPOINT, str(error)) from None


def _version(given: ProviderSettings, environment: Environment) -> str:
    version = given.api_version or environment.get(_VERSION) or "v1"
    if version in _V1 or _DATED.fullmatch(version):
        return version
    words = "must be a date (2024-10-21, 2025-04-01-preview), or v1, preview or latest"
    if given.api_version is None:
        raise SettingsError("environment", 0, _VERSION, words)
    raise Unusable("api_version", words)


def _credential(
    given: ProviderSettings, environment: Environment
) -> tuple[Secret | None, Secret | None, Tokens | None]:
    """A key, a token that is given, or tokens that are asked for: one of the three."""
    stated = [name for name in ("key", "token", "client_secret") if getattr(given, name) is not None]
    if len(stated) > 1:
        raise Unusable(stated[1], "key, token and client_secret exclude each other")
    if "client_secret" in stated or (not stated and (given.tenant or given.client_id)):
        return None, None, _entra(given, (given.tenant, given.client_id, given.client_secret))
    for of_identity in ("tenant", "client_id", "token_url", "scope"):
        if stated and getattr(given, of_identity) is not None:
            raise Unusable(of_identity, "is for client_secret alone")
    if stated:
        return given.key, given.token, None
    if given.base_url is None:  # a key is one resource's, and goes to no other
        for variable, is_key in ((_KEY, True), (_TOKEN, False)):
            if environment.get(variable):
                secret = _secret(environment, variable)
                return (secret, None, None) if is_key else (None, secret, None)
    if all(map(environment.get, _IDENTITY)):
        tenant, client, _ = (environment[variable] for variable in _IDENTITY)
        return None, None, _entra(given, (tenant, client, _secret(environment, _IDENTITY[2])))
    raise Unusable("key", "is missing: set key, token or client_secret, or what ends in _env")


def _secret(environment: Environment, variable: str) -> Secret:
    value = environment[variable].strip()
    if not VISIBLE.fullmatch(value):
        raise SettingsError("environment", 0, variable, "is not visible ASCII")
    return Secret(value)


def _entra(given: ProviderSettings, identity: tuple[str | None, str | None, Secret | None]) -> Tokens:
    tenant, client, secret = identity
    for name, value in (("tenant", tenant), ("client_id", client), ("client_secret", secret)):
        if value is None:
            raise Unusable(name, "is missing: tenant, client_id and client_secret go together")
    assert tenant is not None and client is not None and secret is not None
    url = given.token_url or _TOKEN_URL.format(tenant=urllib.parse.quote(tenant, safe=""))
    origin, path = origin_of(url)
    members = {
        "grant_type": "client_credentials",
        "client_id": client,
        "client_secret": secret.reveal(),
        "scope": given.scope or _SCOPE,
    }
    question = form_question(origin, path or "/", members)
    return Tokens(lambda: question, (secret,))
