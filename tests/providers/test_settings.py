"""Tables of the kinds: what they make, what is wrong refused with file, line and key, and what the environment does."""

import json
from pathlib import Path

import pytest

from faregate.providers import Provider, secrets_of
from faregate.providers.active import active_providers
from faregate.settings import SettingsError, load_settings
from tests.cli.test_cli import Shell

from .authority import CLIENT_SECRET, KEY_TEXT, REFRESH_TOKEN, authorized_user, service_account

AZURE = '[providers.a]\nkind = "azure"\n'
AT = 'base_url = "https://r.openai.azure.com"\n'
ENTRA = f'tenant = "t"\nclient_id = "c"\nclient_secret = "{CLIENT_SECRET}"\n'
VERTEX = '[providers.v]\nkind = "vertex"\nproject = "p"\n'
BEDROCK = '[providers.b]\nkind = "bedrock"\nregion = "eu-west-1"\n'
TOKEN_URI = "https://oauth2.googleapis.com/token"


def active(folder: Path, text: str, **environment: str) -> dict[str, Provider]:
    file = folder / "faregate.toml"
    file.write_text(text)
    return active_providers(load_settings(file, environment), environment)


# (text, line, key, words)
WRONG = [
    ('[log]\n[providers.own]\nmodels = ["m"]\n', 2, "providers.own.base_url", "is missing"),
    ('[providers.mistral]\nregion = "eu"\n', 1, "providers.mistral.key", "MISTRAL_API_KEY"),
    (AZURE, 1, "providers.a.base_url", "is missing"),
    (AZURE + AT, 1, "providers.a.key", "is missing"),
    (AZURE + AT + 'key = "k"\napi_version = "2024"\n', 5, "providers.a.api_version", "date"),
    (AZURE + AT + 'key = "k"\ntoken = "t"\n', 5, "providers.a.token", "exclude"),
    (AZURE + AT + 'key = "k"\ntenant = "t"\n', 5, "providers.a.tenant", "client_secret alone"),
    (AZURE + AT + 'key = "k"\nscope = "s"\n', 5, "providers.a.scope", "client_secret alone"),
    (AZURE + AT + 'tenant = "t"\n', 1, "providers.a.client_id", "together"),
    (AZURE + AT + 'client_secret = "s"\n', 1, "providers.a.tenant", "together"),
    (AZURE + AT + 'client_secret_env = "NOT_SET"\n', 4, "providers.a.client_secret_env", "NOT_SET is not set"),
    (AZURE + AT + 'token = "t"\ntoken_env = "T"\n', 5, "providers.a.token_env", "exclude"),
    (AZURE + AT + ENTRA + 'token_url = "login"\n', 7, "providers.a.token_url", "http"),
    (AZURE + AT + 'key = "k"\nproject = "p"\n', 5, "providers.a.project", "is for kind = vertex"),
    (AZURE + AT + 'key = "k"\ndialect = "openai_chat"\n', 5, "providers.a.dialect", "decided by the kind"),
    (AZURE + AT + 'key = "k"\nwire = "exact"\n', 5, "providers.a.wire", "decided by the kind"),
    ('[providers.a]\nkind = "azur"\n', 2, "providers.a.kind", "azur"),
    ('[providers.a]\nbase_url = "http://h"\napi_version = "v1"\n', 3, "providers.a.api_version", "kind = azure"),
    ('[providers.a]\nbase_url = "http://h"\ntoken = "t"\n', 3, "providers.a.token", "kind = azure or vertex"),
    ('[providers.openai]\nkey = "k"\nlocation = "eu"\n', 3, "providers.openai.location", "kind = vertex"),
    ('[providers.v]\nkind = "vertex"\n', 1, "providers.v.project", "is missing"),
    ('[providers.v]\nkind = "vertex"\nproject = "a/b"\n', 3, "providers.v.project", "is no project"),
    (VERTEX + 'location = "Europe"\n', 4, "providers.v.location", "is no location"),
    (VERTEX + 'key = "k"\n', 4, "providers.v.key", "is for kind = azure"),
    (VERTEX + 'key_env = "K"\n', 4, "providers.v.key_env", "is for kind = azure"),
    (VERTEX + 'client_secret = "s"\n', 4, "providers.v.client_secret", "is for kind = azure"),
    (VERTEX + 'credentials_file = "none.json"\n', 4, "providers.v.credentials_file", "No such file"),
    (VERTEX + 'token = "t"\ncredentials_file = "x"\n', 5, "providers.v.credentials_file", "exclude"),
    (VERTEX + "stream_usage = false\n", 4, "providers.v.stream_usage", "decided by the kind"),
    (BEDROCK + 'key = "k"\nstream_usage = false\n', 5, "providers.b.stream_usage", "decided by the kind"),
    (BEDROCK + 'key = "k"\ncredentials_env = "TEAM"\n', 5, "providers.b.credentials_env", "exclude"),
]


@pytest.mark.parametrize(
    ("text", "line", "key", "words"), WRONG, ids=[f"{row[2]}-{at}" for at, row in enumerate(WRONG)]
)
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        active(tmp_path, text, K="key")
    error = refused.value
    assert (error.line, error.key) == (line, key), error
    assert words in error.message
    assert CLIENT_SECRET not in str(error)


FILES = {
    "[]": "no JSON of Google's credentials",
    "{": "no JSON of Google's credentials",
    '{"type": "external_account"}': "service_account or authorized_user",
    '{"type": "authorized_user", "client_id": "x", "client_secret": "canary"}': "refresh_token is missing",
    '{"type": "service_account", "client_email": "x", "private_key": "canary"}': "no RSA key",
    '{"type": "service_account", "private_key": "canary"}': "client_email is missing",
    '{"type": "authorized_user", "token_uri": "ftp://canary"}': "token_uri",
}


@pytest.mark.parametrize("text", FILES)
def test_a_file_that_holds_no_credentials(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(text)
    with pytest.raises(SettingsError) as refused:
        active(tmp_path, VERTEX + 'credentials_file = "credentials.json"\n')
    assert (refused.value.line, refused.value.key) == (4, "providers.v.credentials_file")
    assert FILES[text] in refused.value.message and "canary" not in str(refused.value)
    with pytest.raises(SettingsError) as refused:
        active(tmp_path, VERTEX, GOOGLE_APPLICATION_CREDENTIALS=str(path))
    assert refused.value.key == "GOOGLE_APPLICATION_CREDENTIALS"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AZURE_OPENAI_ENDPOINT", "r.openai.azure.com"),
        ("OPENAI_API_VERSION", "newest"),
        ("AZURE_OPENAI_API_KEY", "caf\u00e9"),
        ("GOOGLE_CLOUD_PROJECT", "a b"),
        ("GOOGLE_CLOUD_LOCATION", "../x"),
    ],
)
def test_the_environment_is_checked_too(tmp_path: Path, variable: str, value: str) -> None:
    environment = {
        "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com",
        "AZURE_OPENAI_API_KEY": "key",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_CLOUD_PROJECT": "p",
    }
    assert active(tmp_path, "", **environment).keys() == {"azure", "vertex"}
    with pytest.raises(SettingsError) as refused:
        active(tmp_path, "", **environment | {variable: value})
    assert (refused.value.path, refused.value.key) == ("environment", variable)


@pytest.mark.parametrize(
    ("environment", "field"),
    [
        ({"AZURE_OPENAI_API_KEY": "key"}, "api-key: key"),
        ({"AZURE_OPENAI_AD_TOKEN": "token"}, "authorization: Bearer token"),
        ({"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}, None),
        ({"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}, "off"),
        ({}, "off"),
    ],
)
def test_azure_by_the_environment(tmp_path: Path, environment: dict[str, str], field: str | None) -> None:
    found = active(tmp_path, "", AZURE_OPENAI_ENDPOINT="https://r.openai.azure.com/openai/", **environment)
    if field == "off":
        assert not found
        return
    provider = found["azure"]
    assert (provider.origin.authority, provider.path_of("/responses", "d")) == (
        "r.openai.azure.com",
        "/openai/v1/responses",
    )
    assert (provider.tokens is not None) == (field is None)
    assert field is None or f"{field}\r\n".encode() in provider.fields


def test_a_key_of_the_environment_goes_to_its_own_resource_only(tmp_path: Path) -> None:
    environment = {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com", "AZURE_OPENAI_API_KEY": "key"}
    with pytest.raises(SettingsError, match=r"providers\.a\.key: is missing"):
        active(tmp_path, AZURE + 'base_url = "https://other.openai.azure.com"\n', **environment)


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("global", "aiplatform.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
    ],
)
def test_where_vertex_is(tmp_path: Path, location: str, host: str) -> None:
    environment = {"GOOGLE_CLOUD_LOCATION": location, "GOOGLE_GENAI_USE_VERTEXAI": "1", "GOOGLE_CLOUD_PROJECT": "p"}
    provider = active(tmp_path, "", **environment)["vertex"]
    assert (provider.origin.scheme, provider.origin.authority) == ("https", host)
    assert provider.path == f"/v1/projects/p/locations/{location}/publishers/google"
    assert active(tmp_path, "", **environment | {"GOOGLE_GENAI_USE_VERTEXAI": "false"}) == {}


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    found = active(
        tmp_path,
        f"{AZURE}{AT}{ENTRA}\n[providers.b]\nkind = 'azure'\n{AT}token = 'canary-token'\n"
        f"[providers.v]\nkind = 'vertex'\nproject = 'p'\ncredentials_file = '{service_account(tmp_path, TOKEN_URI)}'\n"
        f"[providers.w]\nkind = 'vertex'\nproject = 'p'\ncredentials_file = '{authorized_user(tmp_path, TOKEN_URI)}'\n",
    )
    secrets = set(secrets_of(found))
    assert {CLIENT_SECRET, "canary-token", KEY_TEXT, REFRESH_TOKEN} <= secrets
    shown = repr(found) + repr(load_settings(tmp_path / "faregate.toml"))
    assert not [secret for secret in secrets if secret in shown]


def test_config_check_tells(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    file = service_account(tmp_path, TOKEN_URI)
    (tmp_path / "faregate.toml").write_text(
        f"{AZURE}{AT}{ENTRA}models = ['gpt-4o']\n{VERTEX}credentials_file = '{file}'\n"
    )
    said = shell.ok("config", "check")
    assert "provider   a at r.openai.azure.com: 1 models, with tokens\n" in said
    assert "provider   v at aiplatform.googleapis.com: " in said and ": 0 models" not in said  # what Google has
    report = json.loads(shell.ok("config", "check", "--json"))
    assert [each["has_tokens"] for each in report["providers"]] == [True, True]
    (tmp_path / "faregate.toml").write_text(VERTEX + 'location = "X"\n')
    assert "faregate.toml:4: providers.v.location: is no location" in shell.fails("config", "check")


def test_what_every_provider_has_a_kind_has_too(tmp_path: Path) -> None:
    more = (
        'models = ["m"]\nregion = "eu"\nreplica = "b"\non_disconnect = "drain"\nzero_retention = true\n'
        'headers = { "x-team" = "search" }\nprice = { input = "1", output = "2" }\n'
    )
    quota = f'credentials_file = "{authorized_user(tmp_path, TOKEN_URI)}"\n'
    found = active(tmp_path, f"{AZURE}{AT}key = 'k'\n{more}\n{VERTEX}{quota}{more}")
    for provider in found.values():
        assert (provider.models, provider.region, provider.replica) == (("m",), "eu", "b")
        assert (provider.on_disconnect, provider.zero_retention) == ("drain", True)
        assert provider.price is not None and b"x-team: search\r\n" in provider.fields
    assert b"x-goog-user-project: quota-project\r\n" in found["v"].fields
