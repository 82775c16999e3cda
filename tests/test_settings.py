"""Settings: what is wrong is refused, with file, line and key (fault F104); the environment wins."""

import ipaddress
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate import settings as settings_module
from faregate import settings_prices
from faregate.core.money import Price, PriceEntry, Rates
from faregate.core.secret import Secret
from faregate.settings import Settings, SettingsError, load_settings
from faregate.settings_source import TomlSource, key_text
from faregate.wire.server import ServerLimits

EXAMPLE = Path(__file__).parents[1] / "faregate.example.toml"
_NOT_OF_THE_FILE = (Settings, Rates, Price, PriceEntry)
_COMMENTED = re.compile(r'^#(?=[a-z"\[])', re.MULTILINE)


def load(folder: Path, text: str, **environment: str) -> Settings:
    """The settings of a text."""
    file = folder / "faregate.toml"
    file.write_text(text)
    return load_settings(file, environment)


# (text, line, key, words)
WRONG = [
    ("[server]\nprot = 80\n", 2, "server.prot", "unknown key"),
    ("\n\n[sever]\nport = 80\n", 3, "sever", "unknown key"),
    ("serve_retierd = true\n", 1, "serve_retierd", "unknown key"),
    ("places = 1\n", 1, "places", "unknown key"),
    ("[server]\n\n# a comment\nport = '80'\n", 4, "server.port", "expected int, got str"),
    ("[server]\nport = 65536\n", 2, "server.port", "65535"),
    ("[server]\nport = true\n", 2, "server.port", "got bool"),
    ("server.port = 8080.0\n", 1, "server.port", "expected int, got float"),
    ("server = 3\n", 1, "server", "expected object"),
    ("[limits]\nhead_timeout_s = 0\n", 2, "limits.head_timeout_s", "> 0"),
    ("[limits]\nhead_timeout_s = nan\n", 2, "limits.head_timeout_s", "> 0"),
    ("[limits]\nhead_timeout_s = inf\n", 2, "limits.head_timeout_s", "<="),
    ("[limits]\nhead_fields_max = -1\n", 2, "limits.head_fields_max", ">="),
    ("[deadlines]\nidle_timeout_s = 2026-01-01\n", 2, "deadlines.idle_timeout_s", "got date"),
    ("[log]\nlevel = 'loud'\n", 2, "log.level", "loud"),
    ("[keys]\nprefix = 'a b'\n", 2, "keys.prefix", "matching regex"),
    ("[keys]\nprefix = ''\n", 2, "keys.prefix", "length"),
    (
        "[server]\ntrusted_proxies = [\n  '10.0.0.0/8',\n  '10.0.0.1/8',\n]\n",
        4,
        "server.trusted_proxies[1]",
        "host bits",
    ),
    ("[server]\ncors_origins = ['*']\n", 2, "server.cors_origins[0]", "origin"),
    ("[server]\ncors_origins = ['https://a/b']\n", 2, "server.cors_origins[0]", "origin"),
    ("[server]\ntls_key = 'k.pem'\n", 2, "server.tls_key", "together"),
    (
        "[server]\ntls_key = 'k'\ntls_certificate = 'c'\ntrusted_proxies = ['::1']\nproxy_protocol = true\n",
        5,
        "server.proxy_protocol",
        "TLS",
    ),
    ("[server]\nproxy_protocol = true\n", 2, "server.proxy_protocol", "trusted_proxies"),
    ("[providers.a]\nbase_url = 'x'\n[providers.b]\nwire = 'exact'\n", 2, "providers.a.base_url", "http"),
    ("[providers.a]\nbase_url = 'http://u:p@h'\n", 2, "providers.a.base_url", "user"),
    ("[providers.a]\nbase_url = 'http://h?q=1'\n", 2, "providers.a.base_url", "query"),
    ("[providers.a]\nbase_url = 'http://h:99999'\n", 2, "providers.a.base_url", "URL"),
    ("[providers.a]\nbase_url = 'http://[h'\n", 2, "providers.a.base_url", "URL"),
    ("[providers.a]\n[providers.b]\nbase = 'x'\n", 3, "providers.b.base", "unknown key"),
    ("[providers.'a b']\nbase_url = 'http://h'\n", 1, 'providers."a b"', "name"),
    ("providers.a = { base_url = 'http://h',\twire = 'x' }\n", 1, "providers.a.wire", "x"),
    ("[providers.a]\nkey = 'sk-\u00e9'\n", 2, "providers.a.key", "ASCII"),
    ("[providers.a]\nkey = ''\n", 2, "providers.a.key", "ASCII"),
    ("[providers.a]\nkey = 3\n", 2, "providers.a.key", "str"),
    ("[providers.a]\nkey = 'k'\nkey_env = 'V'\n", 3, "providers.a.key_env", "exclude"),
    ("[providers.a]\nkey_env = 'NOT_SET'\n", 2, "providers.a.key_env", "NOT_SET is not set"),
    ("[providers.a.headers]\nHost = 'x'\n", 2, "providers.a.headers.Host", "cannot be set"),
    ("[providers.a.headers]\n'x y' = 'x'\n", 2, 'providers.a.headers."x y"', "cannot be set"),
    ('[providers.a]\nheaders = { "x-a" = "b\\r\\nc" }\n', 2, "providers.a.headers", "ASCII"),
    ("[models.'a.b']\ncontext = 1\n", 2, 'models."a.b".context', "unknown key"),
    ("models = 3\n", 1, "models", "table"),
    ("[models.a]\ncontext_window = 0\n", 2, "models.a.context_window", ">= 1"),
    ("[[routes]]\nmodel = 'a'\nprovider = 'b'\n\n[[routes]]\nmodel = 'a'\n", 5, "routes[1].provider", "is missing"),
    ("[[routes]]\nmodel = 'a'\nprovider = 'b'\n[[routes]]\nprice = 1\n", 5, "routes[1].price", "unknown key"),
    ("routes = [{ model = 'a', provider = 'b' },\n  { model = 'a', weight = 'x' }]\n", 2, "routes[1].weight", "int"),
    ("[plans.a]\ncontext_tokens = 1\n", 2, "plans.a.context_tokens", "unknown key"),
    ("[plans.a]\nmodels = 'b'\n", 2, "plans.a.models", "array"),
    ("[plans.a.key]\nconcurrency_max = 0\n", 2, "plans.a.key.concurrency_max", ">= 1"),
    ("[plans.a.key]\nrequests_per_minute = { chat = -1 }\n", 2, "plans.a.key.requests_per_minute", ">= 1"),
    ("[plans.a.key]\n\nrequests_per_minute = { talk = 1 }\n", 3, "plans.a.key.requests_per_minute", "talk"),
    ("[plans.a]\nkey = 3\n", 2, "plans.a.key", "object"),
    ("[plans.'a b']\nkey = {}\n", 1, 'plans."a b"', "name"),
    ("default_plan = ''\n", 1, "default_plan", "length"),
    ("[aliases]\na = 'b'\n'c' = 3\n", 3, "aliases.c", "got int"),
    ('x = """\n[server]\nport = 1\n"""\n[server]\nprot = 1\n', 1, "x", "unknown key"),
    ('[server]\nhost = """a\\"""\n[x]\ny = 1"""\nprot = 1\n', 5, "server.prot", "unknown key"),
    ("[server]\nport = 1\nport = 2\n", 3, "", "overwrite"),
    ("[server\n", 1, "", "]"),
    ("a = 1\nb = 'open\n", 2, "", "'"),
    ("a = [", 1, "", ""),
]


@pytest.mark.parametrize(("text", "line", "key", "words"), WRONG, ids=[f"{key}-{line}" for _, line, key, _ in WRONG])
def test_what_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text)
    error = refused.value
    assert (error.line, error.key) == (line, key), error
    assert words in error.message
    assert str(error).startswith(f"{tmp_path / 'faregate.toml'}:{line}: {key}")
    assert "\n" not in str(error)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# a\n# \xe9\n")
    with pytest.raises(SettingsError) as refused:
        load_settings(tmp_path / "latin.toml")
    assert refused.value.line == 2


def test_nothing_said_is_the_defaults(tmp_path: Path) -> None:
    defaults = load_settings(None)
    assert msgspec.structs.replace(load(tmp_path, ""), places=defaults.places) == defaults
    assert (defaults.server.host, defaults.server.port) == ("127.0.0.1", 8080)


def test_the_example_is_accepted_and_is_the_defaults(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    shipped, defaults = load(tmp_path, text), load_settings(None)
    assert msgspec.structs.replace(shipped, places=defaults.places) == defaults
    full = load(tmp_path, _COMMENTED.sub("", text), VLLM_API_KEY="secret", AZURE_CLIENT_SECRET="secret")
    assert full.providers["vllm"].key == Secret("secret")
    assert full.server.tls_key == tmp_path / "tls" / "privkey.pem"


def test_the_example_names_every_setting() -> None:
    text = EXAMPLE.read_text()
    named = {**vars(settings_module), **vars(settings_prices)}
    tables = [shape for shape in named.values() if isinstance(shape, type)]
    tables = [shape for shape in tables if issubclass(shape, msgspec.Struct) and shape not in _NOT_OF_THE_FILE]
    for shape in tables:
        for field in shape.__struct_encode_fields__:
            written = rf"^#?{field} = |`{field} = |^#?\[\[.+\.{field}\]\]"
            assert re.search(written, text, re.MULTILINE), f"{shape.__name__}.{field}"


def test_every_line_of_the_example_is_where_it_is_said_to_be() -> None:
    text = _COMMENTED.sub("", EXAMPLE.read_text())
    lines = text.splitlines()
    source = TomlSource(EXAMPLE, text)

    def walk(key: tuple[str | int, ...], value: object) -> int:
        name = next(part for part in reversed(key) if isinstance(part, str))
        assert name in lines[source.places.line_of(key) - 1], key
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return 1 + sum(walk((*key, part), below) for part, below in inner)

    assert sum(walk((name,), value) for name, value in source.tree.items()) > 70


def test_secrets_do_not_show_themselves(tmp_path: Path) -> None:
    text = "[providers.a]\nbase_url = 'http://h'\nkey = 'canary-1'\nheaders = { X-Key = 'canary-2' }\n"
    found = load(tmp_path, text)
    assert "canary" not in repr(found)
    assert found.providers["a"].headers["X-Key"].reveal() == "canary-2"
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, text + "\n[providers.b]\nkey = 'canary-3\u00e9'\n")
    assert "canary" not in str(refused.value)


def test_paths_are_beside_the_file_and_urls_have_no_slash_at_the_end(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[server]\nunix_socket = 'run/s'\ntrusted_proxies = ['10.0.0.0/8', '::1']\n"
        "[providers.a]\nbase_url = 'http://h/v1/'\nca_file = '/etc/ca.pem'\n",
    )
    assert found.server.unix_socket == tmp_path / "run" / "s"
    assert found.server.trusted_networks == (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1"))
    assert found.providers["a"].base_url == "http://h/v1"
    assert found.providers["a"].ca_file == Path("/etc/ca.pem")


def test_the_environment_wins(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "[server]\nport = 1\nregion = 'file'\n",
        FAREGATE_SERVER_PORT="2",
        FAREGATE_SERVER_REUSE_PORT="true",
        FAREGATE_SERVER_TRUSTED_PROXIES="10.0.0.1, ::1",
        FAREGATE_LIMITS_LONGEST_REQUEST_S="12.5",
        FAREGATE_LOG_LEVEL="debug",
        FAREGATE_PEPPER="not a setting",
        FAREGATE_KEY="not a setting",
        OTHER="x",
    )
    assert (found.server.port, found.server.region, found.server.reuse_port) == (2, "file", True)
    assert found.server.trusted_proxies == ("10.0.0.1", "::1")
    assert (found.limits.longest_request_s, found.log.level) == (12.5, "debug")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FAREGATE_SERVER_PROT", "1"),
        ("FAREGATE_SERVER_PORT", "x"),
        ("FAREGATE_SERVER_PORT", "70000"),
        ("FAREGATE_LOG_FORMAT", "xml"),
        ("FAREGATE_LIMITS_HEAD_TIMEOUT_S", "nan"),
    ],
)
def test_the_environment_is_checked_too(variable: str, value: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {variable: value})
    assert (refused.value.path, refused.value.line, refused.value.key) == ("environment", 0, variable)


def test_what_the_environment_breaks_between_settings_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"server\.trusted_proxies"):
        load_settings(None, {"FAREGATE_SERVER_TRUSTED_PROXIES": "proxy.example"})


def test_the_limits_are_the_wires() -> None:
    ours, wires = settings_module.LimitsSettings(), ServerLimits()
    for field in ServerLimits.__dataclass_fields__:
        assert getattr(ours, field) == getattr(wires, field), field


@given(text=st.text(max_size=60) | st.lists(st.sampled_from(WRONG)).map(lambda rows: "".join(row[0] for row in rows)))
def test_whatever_is_written_is_settings_or_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    try:
        source = TomlSource(Path("x"), text)
    except SettingsError as error:
        assert 1 <= error.line <= text.count("\n") + 1
        return
    assert source.places.line_of(("nothing",)) >= 1
    assert key_text(tuple(source.tree)) is not None
