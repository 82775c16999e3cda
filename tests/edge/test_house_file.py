"""A house file: what it says, what it leaves to the default house, and how a mistake in it is named; several houses of
one deployment; what of it reaches the head of an answer."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.call import UsageRecord
from faregate.core.limits import Bound, Standing
from faregate.core.money import PriceEntry, Rates
from faregate.edge.house import House, load_house
from faregate.edge.house_file import FOLDER, shipped_houses
from faregate.edge.neighbourhood import load_houses
from faregate.settings import load_settings
from faregate.settings_source import SettingsError

KINDS = list(tomllib.loads((FOLDER / "faregate.toml").read_text("utf-8"))["errors"])


def test_what_a_file_does_not_say_is_the_default_houses(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text("name = 'mine'\n[headers]\nregion = 'x-mine-region'\n")
    default, own = load_house().facts, load_house(file).facts
    assert (own.name, own.headers.region) == ("mine", "x-mine-region")
    assert own.headers.replica == default.headers.replica
    assert own.errors == default.errors
    assert (own.prefixes, own.members) == (default.prefixes, default.members)
    assert not load_house().prices


def test_its_prices(tmp_path: Path) -> None:
    file = tmp_path / "house.toml"
    file.write_text("[prices.'a/b-1.5']\ninput = '0.16'\ncache_read = '0.004'\noutput = '0.30'\nimage = '0.04'\n")
    rates = Rates(input=160_000, cache_read=4_000, output=300_000, image=40_000_000_000)
    assert load_house(file).prices == {"a/b-1.5": (PriceEntry(rates=rates),)}


@pytest.mark.parametrize(
    ("text", "line", "key", "words"),
    [
        ("[prices.m]\ninput = 0.16\n", 2, "prices.m.input", "a float is not exact"),
        ("[prices.'m.1']\noutput = '0.30'\ninput = 'x'\n", 3, 'prices."m.1".input', "no price in dollars"),
        ("[prices.m]\ninput = '0.0000001'\n", 2, "prices.m.input", "finer than a pico-dollar"),
        ("[prices.m]\nfresh = '1'\n", 2, "prices.m.fresh", "unknown key"),
        ("[prices.m]\n", 1, "prices.m", "names no price"),
        ("[prices]\nm = 3\n", 2, "prices.m", "expected"),
        ("[[prices.m]]\ninput = 1\n[[prices.m]]\nfrom = 'soon'\ninput = 1\n", 4, "prices.m[1].from", "expected a date"),
        ("[[prices.m]]\ntier = 'batch'\ninput = 1\n", 1, "prices.m[0]", "a price without conditions"),
        ("[[prices.m]]\ninput = 1\n[[prices.m]]\ninput = 2\n", 3, "prices.m[1]", "the same from and conditions"),
        ("[headers]\nunheard = 'x'\n", 2, "headers.unheard", "unknown key"),
        ("[headers]\nregion = 'a: b'\n", 2, "headers.region", "regex"),
        ("prefixes = ['v1']\n", 1, "prefixes[0]", "regex"),
        ("prefixes = ['/v1/']\n", 1, "prefixes[0]", "regex"),
        ("members = ['message', 'detail']\n", 1, "members[1]", "Invalid enum value 'detail'; it must be 'code', "),
        ("[models]\nid_form = 'x'\n", 2, "models.id_form", "it must be 'bare' or 'vendor'"),
        ("[urls]\nhome = 'http://x'\n", 1, "urls", "it must be 'dashboard', 'docs', 'privacy', 'support' or 'top_up'"),
        ("[plans.a]\nkey = { requests_per_minute = { x = 1 } }\n", 2, "plans.a.key.requests_per_minute", "'chat', "),
        ("[errors]\nnot_found = [200, '', '']\n", 2, "errors.not_found[0]", ">= 400"),
        ("[errors]\nnot_fuond = [404, '', '']\n", 2, "errors.not_fuond", "no such kind"),
        ("name = 3\n", 1, "name", "expected str"),
        ("headers = 3\n", 1, "headers", "must be a table"),
        ("[prices\n", 1, "", ""),
        # Unknown keys and wrong types
        ("name = 'a'\nunheard = 1\n", 2, "unheard", "unknown key"),
        ("[models]\n\nunheard = 1\n", 3, "models.unheard", "unknown key"),
        ("[plans.a]\nunheard = 1\n", 2, "plans.a.unheard", "unknown key"),
        ("[plans.a.key]\nunheard = 1\n", 2, "plans.a.key.unheard", "unknown key"),
        ("[plans.a]\nkey = { requests_per_minute = { all = 'x' } }\n", 2, "plans.a.key.requests_per_minute", "int"),
        ("[plans.a]\nkey = { requests_per_minute = { chats = 1 } }\n", 2, "plans.a.key.requests_per_minute", "chats"),
        ("[plans.a]\ncontext_tokens_max = 0\n", 2, "plans.a.context_tokens_max", ">= 1"),
        ("[address_net]\nrequests = 0\n", 2, "address_net.requests", ">= 1"),
        ("[address_net]\nrequests = 1\nwindow_s = 1\ncounts = 'some'\n", 4, "address_net.counts", "'some'"),
        ("[usage]\ncache_split = 1\n", 2, "usage.cache_split", "expected bool"),
        ("[recharge]\nminimum = 5.0\n", 2, "recharge.minimum", "expected str"),
        ("[images]\nsizes = ['1x1']\n", 2, "images.sizes[0]", "regex"),
        ("longest_request_s = 0\n", 1, "longest_request_s", "> 0"),
        ("request_presets = [30, -1]\n", 1, "request_presets[1]", ">= 1"),
        ("prefixes = []\n", 1, "prefixes", "length >= 1"),
        ("key_prefix = 'sk fg'\n", 1, "key_prefix", "regex"),
        ("name = 'a/b'\n", 1, "name", "regex"),
        ("routes_off = ['/audio', '/nowhere']\n", 1, "routes_off[0]", "no such route"),
        # What no type says
        ("[errors]\nnot_found = [404, 'x', '']\n", 1, "errors.malformed_request", "is missing"),
        ("\ndefault_plan = 'gold'\n", 2, "default_plan", "the house has no plan 'gold'"),
        ("default_plan = 'a'\npaid_plan = 'b'\n[plans.a]\n", 2, "paid_plan", "the house has no plan 'b'"),
        ("default_plan = 'a'\n[plans.a]\n", 1, "paid_plan", "is missing"),
        ("name = 'a'\n[plans.a]\n", 1, "default_plan", "is missing"),
        ("default_plan = 'a b'\npaid_plan = 'a b'\n[plans.'a b']\n", 3, 'plans."a b"', "letters, digits"),
        ("[words]\nnot_found = ''\n", 2, "words.not_found", "length >= 1"),
        ("[words]\n\nnot_fuond = 'x'\n", 3, "words.not_fuond", "no such kind"),
        ("[words]\nnot_found = 'see {docs_url}'\n", 2, "words.not_found", "not in [urls]"),
        ("[words]\nnot_found = 'see {'\n", 2, "words.not_found", "not in [urls]"),
        ("[words]\nnot_found = 'see {0}'\n", 2, "words.not_found", "not in [urls]"),
        ("[urls]\ndocs = 'https://x'\n[words]\nnot_found = '{docs_url.x}'\n", 4, "words.not_found", "not in [urls]"),
        ("[urls]\ndocs = 'https://x'\n[words]\nnot_found = '{docs_url[x]}'\n", 4, "words.not_found", "not in [urls]"),
        ("[urls]\ndocs = 'javascript:x'\n", 2, "urls.docs", "regex"),
        ("[urls]\nelsewhere = 'https://x'\n", 1, "urls", "elsewhere"),
        # Header names
        ("[headers]\nrequest_id = []\n", 2, "headers.request_id", "length >= 1"),
        ("[headers]\nrequest_id = ['x-a', 'x b']\n", 2, "headers.request_id[1]", "regex"),
        ("[headers]\nregion = ''\n", 2, "headers.region", "regex"),
        ("[headers]\nregion = 'x-\u00fc'\n", 2, "headers.region", "regex"),
        ('[headers]\nregion = "x-a\\r\\nx-b"\n', 2, "headers.region", "regex"),
        ('[headers]\nregion = "x-a\\n"\n', 2, "headers.region", "regex"),
        ("[headers]\nregion = 'Content-Length'\n", 2, "headers.region", "not for a house to say"),
        ("[headers]\nrequest_id = ['x-a', 'connection']\n", 2, "headers.request_id", "not for a house to say"),
        ("[headers]\nregion = 'Access-Control-Allow-Origin'\n", 2, "headers.region", "not for a house to say"),
        ("[headers]\n\nregion = 'X-Model-Used'\n", 3, "headers.region", "is what headers.model_used has"),
        (
            "[headers]\nrequest_id = ['x-a', 'x-credits-used']\n",
            2,
            "headers.request_id",
            "is what headers.credits_used has",
        ),
        ("[headers]\nrequest_id = ['x-a', 'X-A']\n", 2, "headers.request_id[1]", "is there already"),
        ("[headers]\nregion = 'Request-Id'\n", 2, "headers.region", "not for a house to say"),
        ("[rate_headers]\nlimit = 'x b'\n", 2, "rate_headers.limit", "regex"),
        ("[rate_headers]\nlimit = ''\n", 1, "rate_headers", "or none has"),
        ("[rate_headers]\nlimit = 'x-request-id'\n", 2, "rate_headers.limit", "is what headers.request_id has"),
        ("[rate_headers]\nlimit = 'trailer'\n", 2, "rate_headers.limit", "not for a house to say"),
        ("[request_headers]\nproject_id = ['a b']\n", 2, "request_headers.project_id[0]", "regex"),
        (
            "[request_headers]\nproject_id = ['Authorization']\n",
            2,
            "request_headers.project_id",
            "not for a house to say",
        ),
        ("[request_headers]\nproject_id = ['X-Request-Id']\n", 2, "request_headers.project_id", "not for a house"),
        (
            "[request_headers]\nregion_hint = ['x-faregate-strict']\n",
            2,
            "request_headers.region_hint",
            "not for a house",
        ),
        (
            "[request_headers]\nproject_id = ['x-a']\nregion_hint = ['X-A']\n",
            3,
            "request_headers.region_hint",
            "is what request_headers.project_id has",
        ),
        (
            "[request_headers]\nproject_id = ['IDC-Region-Hint']\n",
            2,
            "request_headers.project_id",
            "is what request_headers.region_hint has",
        ),
        ("members = ['type', 'code']\n", 1, "members", "has a message"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, text: str, line: int, key: str, words: str) -> None:
    file = tmp_path / "house.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_house(file)
    assert (caught.value.path, caught.value.line, caught.value.key) == (str(file), line, key)
    assert words in caught.value.message


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: cannot be read"):
        load_house(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("house", shipped_houses())
def test_a_table_of_errors_is_whole(tmp_path: Path, house: str, kind: str) -> None:
    lines = (FOLDER / f"{house}.toml").read_text("utf-8").splitlines()
    left = [line for line in lines if not re.match(rf"{kind} = \[", line)]
    if len(left) == len(lines):
        assert "[errors]" not in lines  # it has the default house's
        return
    file = tmp_path / "house.toml"
    file.write_text("\n".join(left))
    with pytest.raises(SettingsError) as caught:
        load_house(file)
    assert (caught.value.line, caught.value.key) == (left.index("[errors]") + 1, f"errors.{kind}")


# Several houses

FURTHER = """
[[houses]]
house = "lincorelink"
hosts = ["links.example.com"]
base_path = ""
[[houses]]
"""


@pytest.mark.parametrize(
    ("second", "line", "key", "words"),
    [
        ("house = 'platform'", 6, "houses[1]", "has hosts, or a base_path"),
        ("house = 'platform'\nhosts = ['a']\nbase_path = '/b'", 6, "houses[1]", "has hosts, or a base_path"),
        ("house = 'nothing'\nhosts = ['a']", 7, "houses[1].house", "nothing: there is no such house"),
        ("hosts = ['a']", 6, "houses[1].house", "is missing"),
        ("house = 'apilink'\nhosts = ['a']\nunheard = 1", 9, "houses[1].unheard", "unknown key"),
        ("house = 'lincorelink'\nhosts = ['a']\nkey_prefix = 'x-'", 7, "houses[1].house", "a house 'lincorelink'"),
        ("house = 'faregate'\nhosts = ['a']\nkey_prefix = 'x-'", 7, "houses[1].house", "a house 'faregate' already"),
        ("house = 'platform'\nhosts = ['a']", 7, "houses[1].house", "begin with 'sk-fg-'"),
        (
            "house = 'platform'\nkey_prefix = 'sk-lcl-'\nhosts = ['a']",
            8,
            "houses[1].key_prefix",
            "begin with 'sk-lcl-'",
        ),
        ("house = 'platform'\nkey_prefix = 'sk-'\nhosts = ['a']", 8, "houses[1].key_prefix", "begin with 'sk-'"),
        ("house = 'platform'\nkey_prefix = 'sk-lcl-x'\nhosts = ['a']", 8, "houses[1].key_prefix", "'sk-lcl-x'"),
        (
            "house = 'apilink'\nhosts = ['b', 'Links.Example.com']",
            8,
            "houses[1].hosts[1]",
            "another house has this host",
        ),
        ("house = 'apilink'\nhosts = ['a b']", 8, "houses[1].hosts[0]", "regex"),
        ("house = 'apilink'\nhosts = ['a:80']", 8, "houses[1].hosts[0]", "regex"),
        ("house = 'apilink'\nbase_path = 'a'", 8, "houses[1].base_path", "regex"),
        ("house = 'apilink'\nbase_path = '/a/'", 8, "houses[1].base_path", "regex"),
        ("house = 'apilink'\nbase_path = '/api'", 8, "houses[1].base_path", "the main house is there"),
        ("house = 'apilink'\nbase_path = '/v1'", 8, "houses[1].base_path", "the main house is there"),
        ("house = 'apilink'\nbase_path = '/v1/models'", 8, "houses[1].base_path", "the main house is there"),
        ("house = 'apilink'\nbase_path = '/api/v1beta'", 8, "houses[1].base_path", "the main house is there"),
        (
            "house = 'apilink'\nbase_path = '/a'\n[[houses]]\nhouse = 'idclinks'\nbase_path = '/a/v1'",
            11,
            "houses[2].base_path",
            "another house has this path",
        ),
        (
            "house = 'apilink'\nbase_path = '/a/v1beta/x'\n[[houses]]\nhouse = 'idclinks'\nbase_path = '/a'",
            11,
            "houses[2].base_path",
            "another house has this path",
        ),
        (
            "house = 'apilink'\nbase_path = '/a'\n[[houses]]\nhouse = 'idclinks'\nbase_path = '/a'",
            11,
            "houses[2].base_path",
            "another house has this path",
        ),
    ],
)
def test_houses_do_not_get_in_each_others_way(tmp_path: Path, second: str, line: int, key: str, words: str) -> None:
    file = tmp_path / "faregate.toml"
    file.write_text(FURTHER + second + "\n")
    with pytest.raises(SettingsError) as caught:
        load_houses(load_settings(file))
    assert (caught.value.line, caught.value.key) == (line, key)
    assert words in caught.value.message


def test_good_neighbours(tmp_path: Path) -> None:
    file = tmp_path / "faregate.toml"
    first = FURTHER + "house = 'platform'\nkey_prefix = 'pf-'\nbase_path = '/apis'\n"
    more = "[[houses]]\nhouse = 'apilink'\nbase_path = '/apis/other'\n"
    file.write_text(first + more)
    houses = load_houses(load_settings(file))
    assert [house.name for house in houses.houses] == ["faregate", "lincorelink", "platform", "apilink"]
    assert houses.of(b"LINKS.example.com:443", b"/v1/models").name == "lincorelink"
    assert houses.of(b"x", b"/apis/api/v1/models").name == "platform"
    assert houses.of(b"x", b"/apis/other/v1/models").name == "apilink"
    assert houses.of(b"x", b"/apisx/v1/models").name == houses.of(None, b"/v1/models").name == "faregate"


# What reaches the head of an answer

LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\x20-\x7e]*)")
ODD = "".join(map(chr, range(0x21, 0x7F)))
NAMES = st.from_regex(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", fullmatch=True)
BOUND = Bound("requests", b"", 7, "key", "k")


def lines_of(head: bytes) -> dict[bytes, bytes]:
    """The header lines of a head; each is a legal one, and no name comes twice."""
    assert head.endswith(b"\r\n")
    found = [LINE.fullmatch(line) for line in head[:-2].split(b"\r\n")]
    assert all(found), head
    names = [each[1] for each in found if each]
    assert len({name.lower() for name in names}) == len(names)
    return {each[1]: each[2] for each in found if each}


def record_of(region: str, replica: str, model: str, token_rate: str) -> UsageRecord:
    record = UsageRecord(id="0199d0a0-0000-7000-8000-000000000000", received_at=1.0, method="POST", region=region)
    record.replica, record.model, record.token_rate = replica, model, token_rate
    record.attempts = 1
    return record


TEXTS = st.text(max_size=40) | st.text(ODD + " ", max_size=40)


@given(TEXTS, TEXTS, TEXTS, TEXTS, st.lists(TEXTS), st.lists(TEXTS), st.sampled_from(shipped_houses()))
@settings(deadline=None)
def test_whatever_is_on_record_no_illegal_header_is_written(
    region: str, replica: str, model: str, token_rate: str, dropped: list[str], adjusted: list[str], name: str
) -> None:
    house = HOUSES[name]
    names = house.facts.headers
    head = house.head(record_of(region, replica, model, token_rate), 12.7) + house.changed_lines(dropped, adjusted)
    lines = lines_of(
        head + house.credits_line(1) + house.rate_lines(Standing(BOUND, 3, 9.1), 1.0) + house.replayed_line
    )
    assert lines[names.latency_ms.encode()] == b"12"
    for field, value in ((names.region, region), (names.replica, replica or "none"), (names.model_used, model)):
        if value and re.fullmatch(r"[\x20-\x7e]+", value):
            assert lines[field.encode()] == value.encode()  # what may stand in a header does
        else:
            assert not lines.get(field.encode())


HOUSES = {name: load_house(name) for name in shipped_houses()}


@given(st.lists(NAMES, min_size=17, max_size=17, unique_by=lambda name: name.lower()))
@settings(deadline=None)
def test_whatever_a_house_calls_its_facts_they_are_said(given_names: list[str]) -> None:
    default = HOUSES["faregate"]
    names = iter(given_names)
    headers = msgspec.structs.replace(
        default.facts.headers,
        **{
            field: (next(names), next(names)) if field == "request_id" else next(names)
            for field in default.facts.headers.__struct_fields__
        },
    )
    rates = msgspec.structs.replace(
        default.facts.rate_headers, limit=next(names), remaining=next(names), reset=next(names)
    )
    house = House(msgspec.structs.replace(default.facts, headers=headers, rate_headers=rates), {})
    record = record_of("r%d", "%s", "m%", "input=1")
    record.fallback_from, record.fallback_depth = "f%d", 1
    head = house.head(record, 1.0) + house.changed_lines(["a"], ["b=1"])
    lines = lines_of(
        head + house.credits_line(1) + house.rate_lines(Standing(BOUND, 3, 9.1), 1.0) + house.replayed_line
    )
    assert lines.keys() == {name.encode() for name in given_names}
    assert (lines[headers.region.encode()], lines[headers.fallback_from.encode()]) == (b"r%d", b"f%d")
    assert [lines[name.encode()] for name in (rates.limit, rates.remaining, rates.reset)] == [b"7", b"3", b"10"]
