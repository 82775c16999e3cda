"""Calls at the same time: exactly so many at the provider, and a place is free as soon as its call is over."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.money.crew import connected_to_each, workers_of
from tests.running.client import CHAT, HELLO, Caller, eventually
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import ROLE, Upstream, Visit, said

from .limiting import Hold, Tenants, all_but, chat_bytes, daily_left, flood, statuses

FREE_WITHIN_S = 1.0
CALLS, PLACES = 1000, 100


@pytest.fixture
def tenants(limited: Gateway) -> Tenants:
    return Tenants(limited)


@pytest.fixture
def one_at_a_time(tenants: Tenants) -> Caller:
    caller = tenants.key("demo", "--concurrency", "1")
    caller.model = "scripted"
    return caller


@pytest.fixture
def hold(scripted: Upstream) -> Iterator[Hold]:
    """The scripted upstream holds what it gets."""
    made = Hold()
    scripted.play(made)
    yield made
    made.let_go()
    eventually(lambda: made.present == 0)


def is_full(caller: Caller) -> bool:
    answer = caller.chat(model="test-model")
    assert answer.status in (200, 429)
    return answer.status == 429


def test_a_thousand_at_once_on_a_hundred_places(tenants: Tenants, hold: Hold) -> None:
    caller = tenants.key("demo", "--concurrency", str(PLACES))
    request = chat_bytes(caller, model="scripted")

    async def run() -> Counter[int]:
        tasks = await flood(caller.gateway.port, [request] * CALLS)
        await all_but(tasks, PLACES)
        await asyncio.to_thread(hold.until, PLACES)
        assert Counter(task.result() for task in tasks if task.done()) == {429: CALLS - PLACES}
        assert hold.present == hold.visits == PLACES
        hold.let_go()
        return await statuses(tasks)

    assert asyncio.run(run()) == {200: PLACES, 429: CALLS - PLACES}
    assert hold.most == PLACES
    assert not is_full(caller)


def test_a_place_is_free_at_the_end_of_a_stream_not_of_its_head(one_at_a_time: Caller, hold: Hold) -> None:
    with one_at_a_time.stream() as connection:
        assert connection.current.status == 200
        connection.body_until(b"one")
        assert is_full(one_at_a_time)
        hold.let_go()
        assert connection.rest().text == "one two"
        # Whoever has the whole answer may call again at once
        assert not is_full(one_at_a_time)


def test_a_place_is_free_when_a_whole_answer_is_there(one_at_a_time: Caller) -> None:
    assert [one_at_a_time.chat(model="test-model").status for _ in range(20)] == [200] * 20


@pytest.mark.parametrize("stream", [True, False])
def test_a_place_is_free_within_a_second_when_its_client_leaves(
    stream: bool, one_at_a_time: Caller, hold: Hold
) -> None:
    with one_at_a_time.open() as connection:
        connection.send(chat_bytes(one_at_a_time, stream=stream))
        hold.until(1)
        assert is_full(one_at_a_time)
    eventually(lambda: not is_full(one_at_a_time), FREE_WITHIN_S)


def test_a_place_is_free_when_the_provider_breaks_off(one_at_a_time: Caller, scripted: Upstream) -> None:
    def break_off(visit: Visit) -> None:
        visit.stream(ROLE, said("one"))
        visit.reset()

    scripted.play(break_off)
    answer = one_at_a_time.streamed()
    assert answer.events[-1] == "[DONE]" and "error" in answer.events[-2]
    assert not is_full(one_at_a_time)


def test_a_key_that_is_revoked_frees_its_projects_place(tenants: Tenants, hold: Hold) -> None:
    project = tenants.project(tenants.organisation())
    tenants.set("projects", project, "--concurrency", "1")
    first, second = tenants.key(project), tenants.key(project)
    with first.stream(model="scripted") as connection:
        assert is_full(second)
        revoked = first.key.removeprefix("sk-fg-")[:12]
        assert tenants.gateway.command("keys", "revoke", revoked).returncode == 0
        assert connection.rest().events[-2]["error"]["code"] == "invalid_api_key"
    eventually(lambda: not is_full(second), FREE_WITHIN_S)


def test_a_repeat_under_an_idempotency_key_has_its_first_ones_place(one_at_a_time: Caller, hold: Hold) -> None:
    """Two clients of one run are one call; the run holds its place when both have left, until it is over."""
    request = one_at_a_time.bytes_of("POST", CHAT, one_at_a_time.body(), {"idempotency-key": "places"})
    with one_at_a_time.open() as first, one_at_a_time.open() as second:
        first.send(request)
        hold.until(1)
        second.send(request)
        assert is_full(one_at_a_time)
        hold.let_go()
        assert [each.answer().status for each in (first, second)] == [200, 200]
    assert hold.visits == 1
    assert not is_full(one_at_a_time)


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_official_sdks_come_back_when_they_are_told(sdk: str, one_at_a_time: Caller, hold: Hold) -> None:
    """Refused once while another call runs, they wait for as long as it says, and then have their answer."""
    waited_s: list[float] = []
    origin = one_at_a_time.gateway.base_url.removesuffix("/v1")
    with one_at_a_time.open() as connection:
        connection.send(chat_bytes(one_at_a_time))
        hold.until(1)

        def refused(response: httpx.Response) -> None:
            if response.status_code == 429:
                waited_s.append(time.monotonic())
                hold.let_go()
                assert connection.answer().status == 200

        asked: Any = {"model": "test-model", "max_tokens": 20, "messages": HELLO}
        hooks: Any = {"response": [refused]}
        given: Any = {"api_key": one_at_a_time.key, "max_retries": 1}
        if sdk == "openai":
            given["http_client"] = openai.DefaultHttpxClient(event_hooks=hooks)
            with openai.OpenAI(base_url=f"{origin}/v1", **given) as client:
                assert client.chat.completions.create(**asked).choices[0].message.content
        else:
            given["http_client"] = anthropic.DefaultHttpxClient(event_hooks=hooks)
            with anthropic.Anthropic(base_url=origin, **given) as other:
                assert other.messages.create(**asked).content
    assert len(waited_s) == 1
    assert time.monotonic() - waited_s[0] >= 0.99  # retry-after-ms; of themselves they wait half a second at most


# Several workers


CREW = 4


@pytest.fixture(scope="module")
def crew(session_folder: Path, simulator: Simulator) -> Iterator[tuple[Gateway, Upstream]]:
    """Four workers before an upstream of their own."""
    with Upstream() as upstream:
        config = f"""
[server]
workers = {CREW}
[limits]
unauthenticated_per_address_max = 2000
[providers.raw]
base_url = "{upstream.base_url}"
key = "scripted-secret-key"
models = ["scripted"]
[providers.sim]
base_url = "{simulator.base_url}"
key = "simulator-secret-key"
models = ["test-model"]
"""
        gateway = Gateway(session_folder, config)
        yield gateway, upstream
        gateway.stop()


def test_a_hundred_requests_a_minute_are_a_hundred_however_many_workers(crew: tuple[Gateway, Upstream]) -> None:
    gateway, upstream = crew
    hold = Hold()
    hold.let_go()
    upstream.play(hold)
    caller = Tenants(gateway).key("demo", "--requests-per-minute", str(PLACES))
    request = chat_bytes(caller, model="scripted")

    async def run() -> Counter[int]:
        return await statuses(await flood(gateway.port, [request] * CALLS))

    assert asyncio.run(run()) == {200: PLACES, 429: CALLS - PLACES}
    assert hold.visits == PLACES


def test_places_of_a_worker_that_is_killed_are_free_at_once(crew: tuple[Gateway, Upstream]) -> None:
    gateway, upstream = crew
    hold = Hold()
    upstream.play(hold)
    caller = Tenants(gateway).key("demo", "--concurrency", str(CREW), "--tokens-per-day", "100000")
    left = daily_left(caller)
    with ExitStack() as stack:
        connections = connected_to_each(stack, caller)
        for connection in connections.values():
            connection.send(chat_bytes(caller, model="scripted", max_tokens=1000))
        hold.until(CREW)
        with caller.open() as other:
            other.send(chat_bytes(caller, model="test-model"))
            assert other.answer().status == 429
        victim = next(iter(workers_of(gateway).values()))
        os.kill(victim, signal.SIGKILL)
        connections[victim].ended()
        survivor = next(connection for pid, connection in connections.items() if pid != victim)
        killed_at = time.monotonic()

        def has_place() -> bool:
            with caller.open() as another:
                another.send(chat_bytes(caller, model="test-model"))
                return another.answer().status == 200

        eventually(has_place, FREE_WITHIN_S)
        assert time.monotonic() - killed_at < FREE_WITHIN_S
        hold.let_go()
        assert survivor.answer().status == 200
    assert daily_left(caller) > left - 1000
    eventually(lambda: len(set(workers_of(gateway).values()) - {victim}) == CREW)
