"""What is served, and under which names (contract 3.1, 3.8)."""

import datetime
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from faregate.core.catalog import Snapshot
from faregate.core.money import Price
from faregate.settings import SettingsError, load_settings
from faregate.stores.catalog import Catalog, CatalogModel, build_snapshot, load_catalog

TODAY = datetime.date(2026, 11, 21)


@dataclass(frozen=True)
class Somebody:
    region: str = "default"
    replica: str = "default"
    price: Price | None = None
    zero_retention: bool = False
    catalogued_as: str | None = None


def entry(name: str, served_by: dict[str, str], **members: object) -> CatalogModel:
    return CatalogModel(id=name, served_by=served_by, **{"vendor": "acme", **members})  # type: ignore[arg-type]


CATALOG = Catalog(
    dated="2026-11-21",
    models=[
        entry("m-1.5", {"big": "acme/m-1.5", "own": "m-1.5"}, context_window=100),
        entry("m-2", {"own": "m-2"}),
        entry("m-2.1", {"big": "acme/m-2.1"}),
        entry("old", {"own": "old"}, shutdown_date="2026-11-21", successor="older"),
        entry("older", {"own": "older"}, shutdown_date="2026-01-01", successor="m-2"),
        entry("ending", {"own": "ending"}, shutdown_date="2026-11-22", successor="m-2"),
        entry("gone", {"own": "gone"}, shutdown_date="2026-01-01"),
    ],
    aliases={"m-2-20260101": "m-2", "old-latest": "old", "m-latest": "m-2.1"},
    vendor_prefixes=["acme", "other"],
)


def snapshot(
    folder: Path,
    text: str = "",
    *active: str,
    discovered: Mapping[str, Sequence[str]] | None = None,
    catalog: Catalog = CATALOG,
) -> Snapshot:
    """The snapshot of these settings with these providers on."""
    file = folder / "faregate.toml"
    file.write_text(text)
    settings = load_settings(file)
    providers = {name: Somebody() for name in active}
    providers |= {name: Somebody(given.region, given.replica) for name, given in settings.providers.items()}
    return build_snapshot(settings, providers, discovered or {}, catalog=catalog, today=TODAY)


def targets(served: Snapshot, name: str) -> list[tuple[str, str]]:
    """(provider, upstream name) of a name's targets."""
    found = served.resolve(name)
    return [(target.provider, target.upstream_model) for target in served.targets[found]] if found else []


@pytest.mark.contract("3.2")
def test_the_catalogue_says_who_serves_what(tmp_path: Path) -> None:
    served = snapshot(tmp_path, "", "own", "big")
    assert set(served.models) == {"m-1.5", "m-2", "m-2.1", "ending"} == set(served.targets)
    assert targets(served, "m-1.5") == [("own", "m-1.5"), ("big", "acme/m-1.5")]
    assert set(snapshot(tmp_path, "", "big").models) == {"m-1.5", "m-2.1"}
    assert snapshot(tmp_path).models == {}


@pytest.mark.contract("3.1")
@pytest.mark.parametrize("name", ["m-1.5", "m-1-5", "acme/m-1.5", "other/m-1-5", "acme/m-1-5"])
def test_names_that_mean_a_model(tmp_path: Path, name: str) -> None:
    assert snapshot(tmp_path, "", "own").resolve(name) == "m-1.5"


@pytest.mark.parametrize(
    "name", ["M-1.5", "m-1.6", "m-1.5 ", "nobody/m-1.5", "acme/acme/m-1.5", "m", "", "acme/", "/m-2"]
)
def test_there_is_no_nearest_match(tmp_path: Path, name: str) -> None:
    assert snapshot(tmp_path, "", "own").resolve(name) is None


@pytest.mark.contract("3.1")
def test_dated_aliases(tmp_path: Path) -> None:
    served = snapshot(tmp_path, "", "own")
    assert served.resolve("m-2-20260101") == "m-2" == served.resolve("acme/m-2-20260101")
    assert served.resolve("m-latest") is None  # whose model nobody serves


def test_a_name_of_the_catalogue_never_reaches_another_model(tmp_path: Path) -> None:
    """`m-2.1` is not served; a model of the operator's whose name reads like it is not what was asked for."""
    served = snapshot(tmp_path, "[providers.local]\nmodels = ['m-2-1']\n[models.'m-2-1']\n")
    assert served.resolve("m-2-1") == "m-2-1"
    assert served.resolve("m-2.1") is None
    assert served.resolve("acme/m-2.1") is None


@pytest.mark.contract("3.1")
def test_retired_models_name_their_successor_or_are_served_by_it(tmp_path: Path) -> None:
    served = snapshot(tmp_path, "", "own")
    assert served.resolve("old") is None
    assert {name: served.successors[name] for name in ("old", "old-latest", "acme/old", "older")} == dict.fromkeys(
        ("old", "old-latest", "acme/old", "older"), "m-2"
    )
    assert "gone" not in served.successors and "ending" not in served.successors
    served = snapshot(tmp_path, "serve_retired = true", "own")
    assert served.resolve("old") == served.resolve("older") == served.resolve("old-latest") == "m-2"
    assert "old" not in served.models and served.resolve("gone") is None
    assert snapshot(tmp_path, "serve_retired = true", "big").resolve("old") is None
    listed = snapshot(tmp_path, "[providers.own]\nmodels = ['old']")  # who lists it, has it
    assert targets(listed, "old") == [("own", "old")] and "old" not in listed.successors


def test_the_simulator_serves_what_nobody_else_does(tmp_path: Path) -> None:
    served = snapshot(tmp_path, "[models.mine]\n", "simulator")
    assert set(served.models) == {model.id for model in CATALOG.models} | {"mine"}
    assert targets(served, "gone") == [("simulator", "gone")]
    both = snapshot(tmp_path, "", "simulator", "own")
    assert targets(both, "m-2") == [("own", "m-2")] and targets(both, "m-2.1") == [("simulator", "m-2.1")]


def test_lists_and_discovery(tmp_path: Path) -> None:
    served = snapshot(
        tmp_path, "[providers.local]\ndiscover = true", discovered={"local": ["acme/m-1-5", "Other/x:8b", "y"]}
    )
    assert targets(served, "m-1.5") == [("local", "acme/m-1-5")]
    assert served.models["Other/x:8b"].vendor == "other" and served.models["y"].vendor == "unknown"
    assert served.models["m-1.5"].context_window == 100
    several = snapshot(tmp_path, "", "own", discovered={"own": ["m-2-20260101", "m-2", "acme/m-2"]})
    assert targets(several, "m-2") == [("own", "m-2")] and len(several.models) == 1
    narrowed = snapshot(tmp_path, "[providers.own]\nmodels = ['m-2']", discovered={"own": ["m-2", "m-1.5"]})
    assert set(narrowed.models) == {"m-2"}


@pytest.mark.contract("3.2")
def test_routes_replace_every_other_way(tmp_path: Path) -> None:
    text = (
        "[providers.local]\nregion = 'eu'\n"
        "[[routes]]\nmodel = 'acme/m-1-5'\nprovider = 'local'\nupstream_model = 'M15'\nreplica = 'b'\nweight = 3\n"
        "[[routes]]\nmodel = 'm-1.5'\nprovider = 'big'\n"
        "[[routes]]\nmodel = 'new'\nprovider = 'local'\n"
    )
    served = snapshot(tmp_path, text, "own", "big")
    assert targets(served, "m-1.5") == [("local", "M15"), ("big", "acme/m-1.5")]
    first = served.targets["m-1.5"][0]
    assert (first.region, first.replica, first.weight) == ("eu", "b", 3)
    assert targets(served, "new") == [("local", "new")] and targets(served, "m-2") == [("own", "m-2")]


def test_the_operators_word_comes_first(tmp_path: Path) -> None:
    text = (
        "[aliases]\nfast = 'm-2'\nfaster = 'fast'\n'm-2-20260101' = 'm-1.5'\n'm-1.5' = 'mine'\n"
        "[models.mine]\nvendor = 'us'\ntags = ['tools']\n[models.'m-2']\ncontext_window = 7\n"
        "[providers.own]\nmodels = ['m-2', 'm-1.5', 'mine']\n"
    )
    served = snapshot(tmp_path, text)
    assert served.resolve("fast") == served.resolve("faster") == "m-2"
    assert served.resolve("m-1.5") == "mine" and "m-1.5" not in served.models  # hidden by the alias
    assert served.resolve("m-2-20260101") == "mine"
    assert (served.models["m-2"].context_window, served.models["m-2"].vendor) == (7, "acme")
    assert (served.models["mine"].vendor, served.models["mine"].tags) == ("us", ("tools",))


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("\n[[routes]]\nmodel = 'm-2'\nprovider = 'nobody'", 4, "nobody"),
        ("[aliases]\na = 'm-2'\nb = 'nothing'", 3, "nothing"),
        ("[aliases]\na = 'b'\nb = 'a'", 2, "circle"),
    ],
)
def test_what_leads_nowhere_is_refused_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        snapshot(tmp_path, text, "own")
    assert refused.value.line == line


def test_whatever_resolves_is_served(tmp_path: Path) -> None:
    """On the shipped catalogue: no name leads to a model without a target, every id leads to itself."""
    catalog = load_catalog()
    everyone = {provider for model in catalog.models for provider in model.served_by}
    for active in (("simulator",), tuple(sorted(everyone)), *((provider,) for provider in sorted(everyone))):
        served = snapshot(tmp_path, "", *active, catalog=catalog)
        assert all(served.targets[name] for name in served.models)
        assert set(served.names.values()) <= set(served.models)
        assert all(served.resolve(name) == name for name in served.models)
        for name in (*catalog.aliases, *(model.id for model in catalog.models)):
            found = served.resolve(name)
            assert found is None or (found in served.models and found == catalog.aliases.get(name, name))
    assert len(served.models) > 0


def test_a_long_list_is_read_fast(tmp_path: Path) -> None:
    names = [f"vendor/model-{number}" for number in range(3000)]
    started = time.perf_counter()
    served = snapshot(tmp_path, "[providers.local]\n", discovered={"local": names}, catalog=load_catalog())
    assert len(served.models) == 3000
    assert time.perf_counter() - started < 2
