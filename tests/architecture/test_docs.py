"""The documentation says what is true: every route, header, error and setting stands in it, and no link is dead."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from faregate.edge import routes
from faregate.edge.house import load_house
from faregate.edge.house_file import HouseFile, shipped_houses
from faregate.settings import Settings

ROOT = Path(__file__).parents[2]
WIRE = (ROOT / "docs" / "wire.md").read_text("utf-8")
OPERATING = (ROOT / "docs" / "operating.md").read_text("utf-8")
HOUSES = (ROOT / "docs" / "houses.md").read_text("utf-8")
EXAMPLE = (ROOT / "faregate.example.toml").read_text("utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FIXED_TABLES = ("server", "limits", "idempotency", "deadlines", "health", "keys", "usage", "log")


def test_every_route_is_documented() -> None:
    missing = [path for path in routes.NAMES if f"/v1{path}" not in WIRE]
    missing += [path.decode() for path in routes.PROBES if path.decode() not in WIRE]
    assert not missing


def test_every_header_is_documented() -> None:
    names = load_house().facts.headers
    rates = load_house().facts.rate_headers
    said = [*names.request_id, *(getattr(names, field) for field in names.__struct_fields__ if field != "request_id")]
    said += [rates.limit, rates.remaining, rates.reset]
    assert not [name for name in said if f"`{name}`" not in WIRE]


def test_every_error_is_documented() -> None:
    rows = load_house().facts.errors.values()
    missing = [
        (status, kind, code)
        for status, kind, code in rows
        if not re.search(rf"\| {status} \| `{kind}` \| {f'`{code}`' if code else 'null'} \|", WIRE)
    ]
    assert not missing


def test_the_houses_are_documented() -> None:
    """Every key of a house's file, and each of the houses with its paths and keys."""
    said = [field.encode_name for field in msgspec.structs.fields(HouseFile)] + ["prices"]
    assert not [name for name in said if not re.search(rf"`(\[\[?)?{name}(\.NAME)?\]?`", HOUSES)]
    for name in shipped_houses():
        facts = load_house(name).facts
        [row] = [line for line in HOUSES.splitlines() if line.startswith(f"| `{name}` | `/")]
        assert ", ".join(f"`{prefix}`" for prefix in facts.prefixes) in row and f"| `{facts.key_prefix}` |" in row
        assert f"| {', '.join(facts.members)} |" in row or "| as `faregate` |" in row
        assert not facts.default_plan or f"| `{facts.default_plan}`: " in row


def test_the_house_of_the_page_is_one(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(name = \"acme\"\n.*?)```", HOUSES, re.DOTALL)
    (tmp_path / "acme.toml").write_text(text)
    assert load_house(tmp_path / "acme.toml").facts.plans.keys() == {"trial", "pro"}


@pytest.mark.parametrize("table", FIXED_TABLES)
def test_every_setting_stands_in_the_example(table: str) -> None:
    """With its default, so that the example is a reference; what has no default stands as a comment."""
    shape = next(field for field in msgspec.structs.fields(Settings) if field.name == table).type
    written = tomllib.loads(EXAMPLE).get(table, {})
    defaults = msgspec.to_builtins(shape(), enc_hook=str)
    for name, value in defaults.items():
        if name in written:
            assert written[name] == (list(value) if isinstance(value, tuple) else value), name
        else:
            assert re.search(rf"^#\s*{name} = ", EXAMPLE, re.MULTILINE), f"{table}.{name} is not in the example"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_link_is_dead(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    dead = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not dead


def test_every_module_stands_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    missing = [
        path.relative_to(ROOT).as_posix()
        for folder in ("edge", "flow", "wire", "stores")
        for path in sorted((ROOT / "src" / "faregate" / folder).glob("*.py"))
        if path.name != "__init__.py" and path.name not in page
    ]
    assert not missing
