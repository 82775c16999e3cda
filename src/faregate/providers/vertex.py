"""Google's Vertex AI: Gemini's wire under a project's paths, with tokens of Google Cloud.

Sources: Google Cloud, "Vertex AI API" (projects.locations.publishers.models: generateContent, streamGenerateContent,
countTokens), "Generative AI on Vertex AI, locations"; what AI Studio takes and Vertex refuses is what Google's own SDK
says of the two (google-genai, `_to_vertex`). The stream is Gemini's to the byte.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ..core.errors import Inexpressible
from ..dialects import Rendered
from ..dialects.bodies import Members, members_decoder
from ..dialects.gemini_generate.request import COUNTED
from ..dialects.gemini_generate.spelling import camel
from ..settings import ProviderSettings
from ..settings_source import SettingsError
from . import Provider
from .google_credentials import CredentialsError, Identity, from_file, from_metadata
from .kinds import Environment, Kind, Unusable, located

_FILE, _PROJECT, _LOCATION, _IS_ON = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_LOCATION",
    "GOOGLE_GENAI_USE_VERTEXAI",
)
_KEYS = frozenset({"project", "location", "credentials_file", "token", "token_env"})
_PROJECT_FORM = re.compile(r"[A-Za-z0-9.:_-]{1,128}")
_LOCATION_FORM = re.compile(r"[a-z0-9-]{1,64}")
# Where a location is: most by their name, these by another one.
_HOSTS = {
    "global": "aiplatform.googleapis.com",
    "us": "aiplatform.us.rep.googleapis.com",
    "eu": "aiplatform.eu.rep.googleapis.com",
}


def configured(name: str, given: ProviderSettings, environment: Environment) -> Provider:
    """See Kind."""
    project = _named(given.project, environment, _PROJECT, "project", _PROJECT_FORM)
    if project is None:
        raise Unusable("project", f"is missing: the id of a project, here or in {_PROJECT}")
    location = _named(given.location, environment, _LOCATION, "location", _LOCATION_FORM) or "global"
    host = _HOSTS.get(location, f"{location}-aiplatform.googleapis.com")
    origin, path = located(given, given.base_url or f"https://{host}")
    identity = _identity(given, environment)
    return Provider(
        name=name,
        origin=origin,
        path=f"{path}/v1/projects/{project}/locations/{location}/publishers/google",
        credential=given.token,
        dialects=("gemini_generate",),
        exact=True,
        catalogued_as="google",
        headers={} if identity is None else identity.headers,
        adapt=adapted,
        authorize=None if identity is None else identity.tokens.authorize,
        tokens=None if identity is None else identity.tokens,
    )


def _is_on(environment: Environment) -> bool:
    """The variables of Google's own SDK: it is to use Vertex, and knows the project."""
    return environment.get(_IS_ON, "").lower() in ("true", "1") and bool(environment.get(_PROJECT))


KIND = Kind(configured, _KEYS, _is_on)


def _named(given: str | None, environment: Environment, variable: str, key: str, form: "re.Pattern[str]") -> str | None:
    value = given or environment.get(variable) or None
    if value is None or form.fullmatch(value):
        return value
    if given is None:
        raise SettingsError("environment", 0, variable, f"is no {key}")
    raise Unusable(key, f"is no {key}")


def _identity(given: ProviderSettings, environment: Environment) -> Identity | None:
    """Who asks: a file's account, else the machine's; None where the token is given."""
    if given.token is not None:
        if given.credentials_file is not None:
            raise Unusable("credentials_file", "token and credentials_file exclude each other")
        return None
    path = given.credentials_file or environment.get(_FILE)
    if not path:
        return from_metadata(environment)
    try:
        return from_file(path)
    except CredentialsError as error:
        if given.credentials_file is None:
            raise SettingsError("environment", 0, _FILE, str(error)) from None
        raise Unusable("credentials_file", str(error)) from None


# What a request to AI Studio says and Vertex does not take. The ids of calls are no loss: results are told by the
# names and the order of their calls there.


class _Fate(NamedTuple):
    """What becomes of a member: reported as dropped, dropped in silence, or refused because the answer would not be
    the one that was asked for."""

    is_told: bool = True
    is_refused: bool = False


_DROP, _HIDE, _REFUSE = _Fate(), _Fate(is_told=False), _Fate(is_refused=True)
_Shape = Mapping[str, Any]
_CONTENT: _Shape = {
    "parts": {
        "functionCall": {"id": _HIDE},
        "functionResponse": {"id": _HIDE, "willContinue": _DROP, "parts": {"mediaProcessing": _DROP}},
        "toolCall": _REFUSE,
        "toolResponse": _REFUSE,
        "partMetadata": _DROP,
    }
}
_BODY: _Shape = {
    "contents": _CONTENT,
    "systemInstruction": _CONTENT,
    "tools": {"fileSearch": _REFUSE, "mcpServers": _REFUSE},
    "toolConfig": {"includeServerSideToolInvocations": _DROP},
    "generationConfig": {"enableEnhancedCivicAnswers": _DROP},
    "store": _DROP,
}
_COUNTABLE = ("contents", "systemInstruction", "tools", "generationConfig")
_ROLE = msgspec.Raw(b'"user"')
_contents_decoder = msgspec.json.Decoder(list[Members])
_list_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def adapted(path: str, body: bytes) -> Rendered:
    """Provider.adapt: a body of AI Studio's as Vertex takes it. Inexpressible."""
    members = members_decoder.decode(body)
    if path.endswith(":countTokens"):
        members = _counted(members)
    dropped: dict[str, None] = {}
    members = _pruned(members, _BODY, "", dropped)
    if "contents" in members:
        members["contents"] = _with_roles(members["contents"])
    return Rendered(msgspec.json.encode(members), tuple(dropped))


def _counted(members: Members) -> Members:
    """A question for countTokens: what AI Studio takes in a request of its own stands beside the contents here."""
    inner = members.get(COUNTED)
    members = members if inner is None else members_decoder.decode(inner)
    return {name: value for name, value in members.items() if camel(name) in _COUNTABLE}


def _with_roles(contents: msgspec.Raw) -> msgspec.Raw:
    """Contents that each say whose they are: AI Studio takes one without a role as the user's."""
    turns = _contents_decoder.decode(contents)
    if all(bytes(turn.get("role", b"null")) not in (b"null", b'""') for turn in turns):
        return contents
    for turn in turns:
        if bytes(turn.get("role", b"null")) in (b"null", b'""'):
            turn["role"] = _ROLE
    return msgspec.Raw(msgspec.json.encode(turns))


def _pruned(members: Members, shape: _Shape, path: str, dropped: dict[str, None]) -> Members:
    kept: Members = {}
    for name, value in members.items():
        known = camel(name)
        rule = shape.get(known)
        where = f"{path}.{known}".lstrip(".")
        if rule is None:
            kept[name] = value
        elif not isinstance(rule, _Fate):
            kept[name] = _pruned_value(value, rule, where, dropped)
        elif rule.is_refused and bytes(value) not in (b"null", b"[]", b"{}"):
            raise Inexpressible(f"The provider of this model has no '{known}'.", param=where)
        elif rule.is_told and bytes(value) not in (b"null", b"false"):
            dropped[where] = None
    return kept


def _pruned_value(value: msgspec.Raw, shape: _Shape, path: str, dropped: dict[str, None]) -> msgspec.Raw:
    first = bytes(value[:1]) if isinstance(value, bytes) else bytes(memoryview(value)[:1])
    if first == b"[":
        items = [_pruned_value(item, shape, path, dropped) for item in _list_decoder.decode(value)]
        return msgspec.Raw(msgspec.json.encode(items))
    if first == b"{":
        return msgspec.Raw(msgspec.json.encode(_pruned(members_decoder.decode(value), shape, path, dropped)))
    return value
