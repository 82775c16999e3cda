"""A provider of the kind bedrock: what its table and the environment make of it, and that no secret shows."""

import logging
from pathlib import Path

import pytest

from faregate.providers import Provider, secrets_of
from faregate.providers.active import active_providers
from faregate.settings import SettingsError, load_settings

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "canary-secret",
    "AWS_SESSION_TOKEN": "canary-token",
}
REGION = {"AWS_REGION": "eu-central-1"}


def provider_of(folder: Path, table: str, **environment: str) -> Provider:
    """The provider of a table."""
    file = folder / "faregate.toml"
    file.write_text(f'[providers.aws]\nkind = "bedrock"\n{table}')
    return active_providers(load_settings(file, environment), environment)["aws"]


def test_keys_and_region_of_the_environment(tmp_path: Path) -> None:
    provider = provider_of(tmp_path, "", **KEYS, **REGION)
    assert provider.origin.authority == "bedrock-runtime.eu-central-1.amazonaws.com"
    assert provider.region == "eu-central-1"
    assert provider.dialects == ("bedrock_converse",)
    lines = provider.authorization("/model/m/converse", b"{}")
    assert b"Credential=AKIDEXAMPLE/" in lines
    assert b"/eu-central-1/bedrock/aws4_request" in lines
    assert b"x-amz-security-token: canary-token\r\n" in lines
    assert b"authorization" not in provider.fields


def test_no_secret_shows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    provider = provider_of(tmp_path, "", **KEYS, **REGION)
    provider.authorization("/model/m/converse", b"{}")
    shown = f"{provider!r} {provider.authorize!r} {vars(provider.authorize)} {caplog.text}"
    assert "canary" not in shown
    assert set(secrets_of({"aws": provider})) == {"canary-secret", "canary-token"}


def test_a_bearer_token(tmp_path: Path) -> None:
    provider = provider_of(tmp_path, 'region = "us-west-2"', AWS_BEARER_TOKEN_BEDROCK="canary-bearer", **KEYS)
    assert b"authorization: Bearer canary-bearer\r\n" in provider.fields
    assert provider.authorization("/", b"") == b""
    assert provider.origin.authority == "bedrock-runtime.us-west-2.amazonaws.com"
    assert list(secrets_of({"aws": provider})) == ["canary-bearer"]


def test_a_key_of_the_table_is_a_bearer_token(tmp_path: Path) -> None:
    provider = provider_of(tmp_path, 'key_env = "MINE"', MINE="my-token", **KEYS, **REGION)
    assert b"authorization: Bearer my-token\r\n" in provider.fields


def test_other_credentials_and_another_address(tmp_path: Path) -> None:
    table = 'credentials_env = "TEAM"\nbase_url = "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com/x/"'
    team = {"TEAM_ACCESS_KEY_ID": "AKIDTEAM", "TEAM_SECRET_ACCESS_KEY": "s3cr3t"}
    provider = provider_of(tmp_path, table, AWS_BEARER_TOKEN_BEDROCK="not-this", **team, **KEYS, **REGION)
    assert provider.origin.authority == "vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com"
    assert provider.path == "/x"
    lines = provider.authorization("/x/model/m/converse", b"{}")
    assert b"Credential=AKIDTEAM/" in lines
    assert b"x-amz-security-token" not in lines


def test_china_has_a_domain_of_its_own(tmp_path: Path) -> None:
    provider = provider_of(tmp_path, 'region = "cn-north-1"', **KEYS)
    assert provider.origin.authority == "bedrock-runtime.cn-north-1.amazonaws.com.cn"


# (table, environment, key, words)
WRONG: list[tuple[str, dict[str, str], str, str]] = [
    ("", {**KEYS}, "providers.aws.region", "is missing"),
    ('region = "Frankfurt"', {**KEYS}, "providers.aws.region", "no AWS region"),
    ("", {**KEYS, "AWS_REGION": "evil.example/"}, "AWS_REGION", "no AWS region"),
    ("", {**REGION}, "providers.aws.key", "no credentials"),
    ("", {"AWS_ACCESS_KEY_ID": "AKID", **REGION}, "providers.aws.key", "AWS_SECRET_ACCESS_KEY"),
    ('credentials_env = "TEAM"', {**KEYS, **REGION}, "providers.aws.credentials_env", "TEAM_ACCESS_KEY_ID"),
    ('api_version = "v1"', {**KEYS, **REGION}, "providers.aws.api_version", "kind = azure"),
]


@pytest.mark.parametrize(("table", "environment", "key", "words"), WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, table: str, environment: dict[str, str], key: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        provider_of(tmp_path, table, **environment)
    assert refused.value.key == key
    assert "canary" not in str(refused.value)


def test_what_all_tables_may_say(tmp_path: Path) -> None:
    table = 'zero_retention = true\nreplica = "second"\nmodels = ["m"]\nheaders = { x-team = "a" }'
    provider = provider_of(tmp_path, table, **KEYS, **REGION)
    assert (provider.zero_retention, provider.replica, provider.models) == (True, "second", ("m",))
    assert b"x-team: a\r\n" in provider.fields
    assert b"Credential=AKIDEXAMPLE/" in provider.authorization("/", b"")


def test_a_table_of_its_name_is_of_its_kind(tmp_path: Path) -> None:
    file = tmp_path / "faregate.toml"
    file.write_text("[providers.bedrock]\n")
    environment = {**KEYS, **REGION}
    assert active_providers(load_settings(file, environment), environment)["bedrock"].dialects == ("bedrock_converse",)
    assert "bedrock" not in active_providers(load_settings(None, environment), environment)
