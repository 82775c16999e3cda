"""The nets under client addresses (contract.md 6.2): whom they hold, whom they let pass, and whose address counts."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from faregate.core.errors import InvalidKey
from faregate.core.identity import Caller as ProvenCaller
from faregate.core.identity import make_id, make_key
from faregate.flow.admission import Callers
from tests.running.client import Answer, Caller, eventually
from tests.running.processes import Gateway, Simulator

from .limiting import Tenants

ALL, WITHOUT_KEY, BAD_KEYS = 8, 6, 3
PROXY = "127.0.0.2"  # the only one that is believed
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def netted(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """Nets of a few requests; under /all those of a house that counts all of them."""
    for name, counts, requests in (("netted", "without_key", WITHOUT_KEY), ("netted-all", "all", ALL)):
        (session_folder / f"{name}.toml").write_text(
            f'name = "{name}"\nkey_prefix = "sk-fg-"\n'
            f'[address_net]\nrequests = {requests}\nwindow_s = 600\ncounts = "{counts}"\n'
            f"[bad_keys]\nrequests = {BAD_KEYS}\nwindow_s = 600\n"
        )
    config = f"""
house = {json.dumps(str(session_folder / "netted.toml"))}
[server]
trusted_proxies = ["{PROXY}"]
[[houses]]
house = {json.dumps(str(session_folder / "netted-all.toml"))}
base_path = "/all"
key_prefix = "sk-all-"
[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
models = ["test-model"]
"""
    process = Gateway(session_folder, config, {"FAREGATE_LIMITS_ADDRESS_NET": "true"})
    yield process
    process.stop()


@pytest.fixture
def address() -> str:
    """An address that nobody had before."""
    return f"203.0.113.{next(_numbers)}"


def look(caller: Caller, address: str | None, *, source: str = PROXY, path: str = "/v1/models") -> Answer:
    """A look at the models, as a proxy passes it on for an address."""
    headers = {} if address is None else {"x-forwarded-for": address}
    with caller.open(source=source) as connection:
        connection.send(caller.bytes_of("GET", path, None, headers))
        return connection.answer()


def stranger(gateway: Gateway) -> Caller:
    """A well-formed key that is none."""
    return Caller(gateway, make_key("sk-fg-", make_id()))


def fill(gateway: Gateway, address: str, **how: str) -> None:
    """Try keys that are none until they are not even looked at."""
    answers = [look(stranger(gateway), address, **how) for _ in range(BAD_KEYS + 1)]
    assert [each.status for each in answers] == [401] * BAD_KEYS + [429]


def test_who_tries_keys_is_told_to_wait_and_nobody_else_is(netted: Gateway, address: str) -> None:
    fill(netted, address)
    refused = look(stranger(netted), address)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(refused.header("retry-after") or 0) <= 600
    assert look(Caller(netted, "no-key-at-all"), address).status == 429
    assert look(stranger(netted), f"198.51.100.{next(_numbers)}").status == 401


def test_an_ipv6_customer_is_one_address(netted: Gateway) -> None:
    fill(netted, "2001:db8:7:1::1")
    assert look(stranger(netted), "2001:db8:7:1:ffff::2").status == 429
    assert look(stranger(netted), "2001:db8:7:2::1").status == 401
    assert look(stranger(netted), "::ffff:198.51.100.7").status == 401


def test_a_forwarded_address_is_believed_of_named_proxies_alone(netted: Gateway, address: str) -> None:
    """Who is no proxy may say what it likes: it stays what it is. Of a list the last that no proxy wrote counts."""
    for _ in range(BAD_KEYS):
        assert look(stranger(netted), f"198.51.100.{next(_numbers)}", source="127.0.0.3").status == 401
    assert look(stranger(netted), f"198.51.100.{next(_numbers)}", source="127.0.0.3").status == 429
    fill(netted, address)
    assert look(stranger(netted), f"192.0.2.77, {address}").status == 429
    assert look(stranger(netted), f"{address}, 192.0.2.78").status == 401


def test_good_keys_pass_a_full_net(netted: Gateway, address: str) -> None:
    """Those that are in the cache, and those that are not; and all again when the directory has changed."""
    tenants = Tenants(netted)
    known, fresh = tenants.key(), tenants.key()
    assert look(known, "198.51.100.200").status == 200
    fill(netted, address)
    assert [look(known, address).status for _ in range(20)] == [200] * 20
    eventually(lambda: look(fresh, address).status == 200, 2.0)
    before = known.gauge("faregate_key_lookups")
    tenants.key()  # a change: every key has to be proven anew
    eventually(lambda: known.get("/v1/models").status == 200 and known.gauge("faregate_key_lookups") > before)
    for _ in range(30):
        assert look(stranger(netted), address).status in (401, 429)
        assert look(known, address).status == look(fresh, address).status == 200


def test_a_key_that_is_good_no_more_is_like_any_other(netted: Gateway, address: str) -> None:
    tenants = Tenants(netted)
    caller = tenants.key()
    assert look(caller, address).status == 200
    fill(netted, address)
    tenants.gateway.command("keys", "revoke", caller.key.removeprefix("sk-fg-")[:12])
    eventually(lambda: look(caller, address).status == 429, 2.0)


def test_a_house_may_count_all_requests(netted: Gateway, address: str) -> None:
    """With whichever key; its net is its own."""
    key = Tenants(netted).key("demo", "--house", "netted-all")
    statuses = [look(key, address, path="/all/v1/models").status for _ in range(ALL + 2)]
    assert statuses == [200] * ALL + [429] * 2
    assert look(Caller(netted), address).status == 200
    assert look(key, f"198.51.100.{next(_numbers)}", path="/all/v1/models").status == 200


def test_keys_that_are_none_are_remembered_within_bounds() -> None:
    async def nobody(_digest: bytes, _key_id: str) -> ProvenCaller | None:
        return None

    callers = Callers(b"pepper", nobody, lambda _, caller: caller)

    async def prove(key: bytes) -> None:
        with pytest.raises(InvalidKey):
            await callers.prove(key, callers.digest(key), b"sk-fg-", "faregate")

    async def run() -> None:
        for _ in range(12_000):
            await prove(make_key("sk-fg-", "a" * 12).encode())
            assert callers.unknown <= 10_000
        key, before = make_key("sk-fg-", "a" * 12).encode(), callers.lookups
        for _ in range(3):
            await prove(key)
        assert callers.lookups == before + 1

    asyncio.run(run())
