"""Amazon Bedrock: the Converse API, its requests signed, or with a key of Bedrock's own (Bedrock user guide,
"Amazon Bedrock API keys"; AWS General Reference, "Amazon Bedrock endpoints").

Credentials are those of the AWS SDKs: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, or
`AWS_BEARER_TOKEN_BEDROCK`; the region is `AWS_REGION`. A table may say all of it otherwise: `key` is a bearer token,
`credentials_env = "TEAM"` names `TEAM_ACCESS_KEY_ID` and its like, `region` the region, `base_url` another address, a
VPC endpoint's say. The catalogue has no models of it: routes name them, `upstream_model` being a model's id, that of an
inference profile, or the ARN of one.
"""

import re

from ..core.secret import Secret
from ..settings import ProviderSettings
from ..settings_source import SettingsError
from . import Provider
from .kinds import Environment, Kind, Unusable, located
from .sigv4 import Credentials, Signer

_BASE_URL = "https://bedrock-runtime.{region}.amazonaws.com"
_BEARER = "AWS_BEARER_TOKEN_BEDROCK"
_DIALECTS = ("bedrock_converse",)
_SERVICE = "bedrock"
_REGION_UNSAID = "default"
_REGION = re.compile(r"[a-z]{2}(-[a-z0-9]+)+\Z")


def configured(name: str, given: ProviderSettings, environment: Environment) -> Provider:
    """See Kind."""
    region = _region(given, environment)
    bearer, credentials = _credentials(given, environment)
    if not region and (given.base_url is None or credentials is not None):
        raise Unusable("region", "is missing: set it here or in AWS_REGION")
    origin, path = located(given, given.base_url or _base_url(region))
    secrets: tuple[Secret, ...] = ()
    if credentials is not None:
        secrets = tuple(s for s in (credentials.secret_access_key, credentials.session_token) if s is not None)
    return Provider(
        name=name,
        origin=origin,
        path=path,
        credential=bearer,
        dialects=_DIALECTS,
        region=region or given.region,
        authorize=None if credentials is None else Signer(credentials, origin.authority, _SERVICE, region),
        secrets=secrets,
    )


KIND = Kind(configured, frozenset({"key", "key_env", "credentials_env"}), lambda environment: False)


def _region(given: ProviderSettings, environment: Environment) -> str:
    """The region that the table or the environment names; empty where neither does."""
    if given.region != _REGION_UNSAID:
        if not _REGION.match(given.region):
            raise Unusable("region", "is no AWS region")
        return given.region
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        region = environment.get(variable, "")
        if region and not _REGION.match(region):
            raise SettingsError("environment", 0, variable, "is no AWS region")
        if region:
            return region
    return ""


def _base_url(region: str) -> str:
    """Where the service is; China's has another domain."""
    return _BASE_URL.format(region=region) + (".cn" if region.startswith("cn-") else "")


def _credentials(given: ProviderSettings, environment: Environment) -> tuple[Secret | None, Credentials | None]:
    """A bearer token, or what signs: what the table says before what the environment does."""
    if given.key is not None:
        if given.credentials_env is not None:
            raise Unusable("credentials_env", "key and credentials_env exclude each other")
        return given.key, None
    bearer = environment.get(_BEARER, "").strip()
    if bearer and given.credentials_env is None:
        return Secret(bearer), None
    prefix = given.credentials_env or "AWS"
    names = [f"{prefix}_{rest}" for rest in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    access, secret, token = (environment.get(variable, "").strip() for variable in names)
    if not access or not secret:
        said = f"set key, key_env, {_BEARER}, or {names[0]} and {names[1]}"
        raise Unusable("key" if given.credentials_env is None else "credentials_env", f"no credentials: {said}")
    return None, Credentials(access, Secret(secret), Secret(token) if token else None)
