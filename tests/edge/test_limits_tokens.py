"""Tokens of a day and of a minute, and limits that change under a running gateway."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running.client import Caller, Connection, eventually
from tests.running.processes import Gateway, Process
from tests.running.upstreams import USAGE, Upstream

from .conftest import command_json
from .limiting import LIMIT, PROMPT_TOKENS_MAX, Hold, Tenants, daily_left, key_id, rate

DAY_TOKENS = 50_000
HOLDS_WITHIN_S = 1.0


@pytest.fixture
def tenants(limited: Gateway) -> Tenants:
    return Tenants(limited)


@pytest.fixture
def daily(tenants: Tenants) -> Caller:
    caller = tenants.key("demo", "--tokens-per-day", str(DAY_TOKENS))
    caller.model = "scripted"
    return caller


def used(record: dict[str, Any]) -> int:
    """The tokens of a call, by its record."""
    return record["usage"]["input"] + record["usage"]["output"]


def test_a_day_is_reserved_by_the_most_and_settled_by_what_was_used(daily: Caller, scripted: Upstream) -> None:
    hold = Hold()
    scripted.play(hold)
    left = daily_left(daily)
    assert DAY_TOKENS - PROMPT_TOKENS_MAX <= left < DAY_TOKENS
    with daily.stream(max_tokens=1000) as connection:
        reserved = left - daily_left(daily)
        assert 1000 < reserved <= 1000 + PROMPT_TOKENS_MAX
        too_much = daily.chat(max_tokens=left - 900)
        assert too_much.status == 429
        assert f"{DAY_TOKENS} tokens a day (UTC)" in too_much.error["message"]
        assert int(too_much.header("retry-after") or 0) <= 86_400
        hold.let_go()
        connection.rest()
        assert daily_left(daily) == left - USAGE["total_tokens"]


def leave(connection: Connection, _: Hold) -> None:
    connection.reset()


def finish(connection: Connection, hold: Hold) -> None:
    hold.let_go()
    connection.rest()


@pytest.mark.parametrize("end", [leave, finish])
@pytest.mark.parametrize("keyed", [False, True])
def test_what_a_stream_has_used_is_settled_however_it_ends(
    keyed: bool, end: Callable[[Connection, Hold], None], daily: Caller, scripted: Upstream
) -> None:
    hold = Hold()
    scripted.play(hold)
    left = daily_left(daily)
    headers = {"idempotency-key": f"tokens-{end.__name__}"} if keyed else {}
    with daily.stream(max_tokens=1000, headers=headers) as connection:
        connection.body_until(b"one")
        request_id = connection.current.header("x-request-id")
        end(connection, hold)
    hold.let_go()  # a run under an idempotency key goes on without its client
    record = daily.record(request_id)
    assert 0 < used(record) < 100
    eventually(lambda: daily_left(daily) == left - used(record), 5.0)


class Reopened(Process):
    """The same gateway again, on the same data."""

    def __init__(self, gateway: Gateway) -> None:
        arguments = ["-m", "faregate", "serve", "--json", "--port", "0", "--config", str(gateway.config)]
        super().__init__([*arguments, "--data", str(gateway.data)], {}, gateway.folder / "again.log")
        self.port = int(self.ready["base_url"].rsplit(":", 1)[1].partition("/")[0])


@pytest.fixture
def own(session_folder: Path, scripted: Upstream) -> Iterator[Gateway]:
    """A gateway that may be stopped, and whose provider's answers are read to their end without a client."""
    config = f"""
[server]
drain_timeout_s = 0.5
[providers.raw]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
on_disconnect = "drain"
models = ["scripted"]
"""
    process = Gateway(session_folder, config)
    yield process
    process.stop()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_day_is_remembered_from_its_records(how: signal.Signals, own: Gateway, scripted: Upstream) -> None:
    """Stopped or killed, in the middle of a stream, and with all counters lost as after a restart of the machine."""
    caller = Tenants(own).key("demo", "--tokens-per-day", str(DAY_TOKENS), "--concurrency", "1")
    caller.model = "scripted"
    hold = Hold()
    hold.let_go()
    scripted.play(hold)
    left = daily_left(caller, "scripted")
    total = sum(used(caller.record(caller.chat().header("x-request-id"))) for _ in range(3))
    hold = Hold()
    scripted.play(hold)
    with caller.stream(max_tokens=1000) as connection:
        connection.body_until(b"one")
        request_id = connection.current.header("x-request-id")
        own.stop(how)
    hold.let_go()
    for path in own.data.rglob("limits-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = Reopened(own)
    try:
        same = Caller(again, caller.key, "scripted")  # type: ignore[arg-type]
        last = 0 if how == signal.SIGKILL else used(same.record(request_id))  # who is killed writes no record
        assert last < 100
        assert daily_left(same, "scripted") == left - total - last
        assert same.chat().status == 200  # and its place is free
    finally:
        again.stop()


def test_what_is_drained_keeps_its_place_and_its_tokens_until_it_is_over(own: Gateway, scripted: Upstream) -> None:
    caller = Tenants(own).key("demo", "--tokens-per-day", str(DAY_TOKENS), "--concurrency", "1")
    caller.model = "scripted"
    left = daily_left(caller, "scripted")
    hold = Hold()
    scripted.play(hold)
    with caller.stream(max_tokens=1000) as connection:
        connection.body_until(b"one")
        request_id = connection.current.header("x-request-id")
    eventually(lambda: caller.gauge("faregate_drained") == 1)
    assert caller.chat().status == 429
    hold.let_go()
    record = caller.record(request_id)
    assert used(record) == USAGE["total_tokens"]
    eventually(lambda: daily_left(caller, "scripted") == left - used(record))
    assert caller.chat().status == 200


def test_tokens_of_a_minute(tenants: Tenants) -> None:
    caller = tenants.key("demo", "--tokens-per-minute", "120")
    cheap = [caller.chat({"output_tokens": 1}, max_tokens=60) for _ in range(3)]
    assert [each.status for each in cheap] == [200] * 3  # what was not used came back
    more = {"output_tokens": 300, "ignore_max_tokens": True}  # than was expected of it, whatever that was
    assert caller.chat(more, max_tokens=60).status == 200
    refused = caller.chat(max_tokens=60)
    assert refused.status == 429
    assert "120 tokens a minute" in refused.error["message"]
    assert 60 <= int(refused.header("retry-after") or 0) <= 180
    assert LIMIT not in refused.names
    large = tenants.key("demo", "--tokens-per-minute", "10")
    assert large.chat(max_tokens=60).status == 200  # more than the limit, once nothing is owed
    assert large.chat(max_tokens=60).status == 429


def shown(caller: Caller) -> tuple[int, int]:
    """The limit that holds for a caller, without taking any."""
    answer = caller.ask("POST", "/v1/chat/completions", b"{")
    assert answer.status == 400
    return rate(answer)


def test_throughput_is_shared_out_and_moved_under_a_running_gateway(tenants: Tenants) -> None:
    organisation = tenants.organisation()
    one, two = tenants.project(organisation), tenants.project(organisation)
    first, second = tenants.key(one), tenants.key(two)
    assert first.chat().status == 200
    throughput = [tenants.gateway, "throughput"]
    command_json(*throughput, "set", organisation, "--requests", "6")
    eventually(lambda: shown(first)[0] == shown(second)[0] == 6, HOLDS_WITHIN_S)
    command_json(*throughput, "share", one, "--requests", "6")
    eventually(lambda: shown(second)[0] == 0, HOLDS_WITHIN_S)
    nothing = second.chat()
    assert (nothing.status, nothing.header("retry-after")) == (429, "60")
    assert rate(nothing) == (0, 0)
    assert [first.chat().status for _ in range(4)] == [200] * 4
    command_json(*throughput, "move", one, two, "--requests", "2")
    eventually(lambda: (shown(first)[0], shown(second)[0]) == (4, 2), HOLDS_WITHIN_S)
    assert first.chat().status == 429
    assert [second.chat().status for _ in range(3)] == [200, 200, 429]
    for project in (one, two):
        command_json(*throughput, "share", project, "--requests", "none")
    command_json(*throughput, "set", organisation, "--requests", "none")
    eventually(lambda: first.chat().status == second.chat().status == 200, HOLDS_WITHIN_S)


def test_tokens_of_which_nothing_is_left_over_are_refused(tenants: Tenants) -> None:
    organisation = tenants.organisation()
    one, two = tenants.project(organisation), tenants.project(organisation)
    command_json(tenants.gateway, "throughput", "set", organisation, "--tokens", "50000")
    command_json(tenants.gateway, "throughput", "share", one, "--tokens", "50000")
    assert tenants.key(one).chat().status == 200
    refused = tenants.key(two).chat()
    assert (refused.status, refused.header("retry-after")) == (429, "60")
    assert refused.error["message"].endswith("0 tokens a minute for this organisation.")
    assert refused.header("x-should-retry") == "false"  # no waiting helps


def test_a_request_that_no_day_has_room_for_is_told_so(tenants: Tenants) -> None:
    caller = tenants.key("demo", "--tokens-per-day", "300")
    refused = caller.chat(max_tokens=400)
    assert (refused.status, refused.header("x-should-retry")) == (429, "false")
    assert "ask for less output" in refused.error["message"] and "Try again" not in refused.error["message"]
    assert caller.chat(max_tokens=10).status == 200


def test_a_limit_that_is_changed_holds_within_a_second(tenants: Tenants) -> None:
    caller = tenants.key("demo")
    assert caller.chat().status == 200
    for limit in ("1", "3", "2"):
        tenants.set("keys", key_id(caller), "--requests-per-minute", limit)
        eventually(lambda limit=limit: shown(caller)[0] == int(limit), HOLDS_WITHIN_S)
        assert caller.chat().status == (429 if limit == "2" else 200)
    tenants.set("keys", key_id(caller), "--requests-per-minute", "none", "--output-tokens", "5")
    eventually(lambda: caller.chat().json().get("usage", {}).get("completion_tokens") == 5, HOLDS_WITHIN_S)


def test_a_plan_that_is_changed_holds_within_a_second(tenants: Tenants) -> None:
    organisation = tenants.organisation()
    caller = tenants.key(tenants.project(organisation))
    assert caller.chat().status == 200
    command_json(tenants.gateway, "plans", "create", "tight", "--key-requests-per-minute", "chat=7")
    command_json(tenants.gateway, "orgs", "plan", organisation, "tight")
    eventually(lambda: shown(caller) == (7, 7), HOLDS_WITHIN_S)
    command_json(tenants.gateway, "plans", "set", "tight", "--key-requests-per-minute", "chat=5")
    eventually(lambda: shown(caller) == (5, 5), HOLDS_WITHIN_S)
