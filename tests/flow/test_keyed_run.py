"""Runs under idempotency keys and their followers, driven by chance: who gets what, and how much is remembered."""

import asyncio
import random

import pytest

from faregate.core.call import UsageRecord
from faregate.core.errors import KeyTaken, MalformedRequest, Overloaded
from faregate.flow.idempotency import KEPT_S, key_of
from faregate.flow.keyed_run import Follower, Run

from .keyed import END, REQUEST_BYTES, Client, Upstream, World, is_cut


async def play(seed: int, bytes_max: int) -> None:
    """One stream, joined, left and read slowly at moments of chance."""
    dice = random.Random(seed)
    world = World(bytes_max)
    run = await world.begin("key")
    upstream = run.source = Upstream()
    clients: list[tuple[Client, Follower]] = []
    left: set[Follower] = set()
    whole = b""
    run.start(200, b"h: 1\r\n")
    for _ in range(120):
        move = dice.random()
        if move < 0.15 and not run.is_outgrown:
            client = Client()
            client.is_slow = dice.random() < 0.5
            clients.append((client, run.join(client, b"", wants_trailers=dice.random() < 0.5)))
        elif move < 0.2 and clients:
            _, follower = dice.choice(clients)
            run.leave(follower)
            left.add(follower)
        elif move < 0.5 and clients:
            client, follower = dice.choice(clients)
            if not is_cut(follower):
                client.go_on()
            await asyncio.sleep(0)
        elif not upstream.is_paused:
            event = b"x" * dice.choice((1, 10, 1000, 30_000, 90_000)) + END
            whole += event
            run.write(event)
        for follower in tuple(run.followers):
            if is_cut(follower):
                run.leave(follower)
        held = len(run.body)
        assert held <= bytes_max + 2 * 90_004 or not run.is_outgrown  # what was on its way when it was paused
        assert upstream.is_paused == (run.is_outgrown and bool(run._first in run.followers) and held > 0)
    run.finish(b"end" + END, b"t: 1\r\n")
    whole += b"end" + END
    world.runs.over(run)
    for _ in range(len(whole) // 60_000 + 5):
        for client, follower in clients:
            if not is_cut(follower):
                client.is_slow = False
                client.go_on()
        await asyncio.sleep(0)
    for client, follower in clients:
        run.leave(follower)
        assert whole.startswith(client.body)
        if is_cut(follower):
            assert client.body == b"" or client.body.endswith(END)
        elif follower not in left:
            assert client.body == whole
            assert client.finished
    if run.is_outgrown:
        assert world.runs.bytes_kept == 0
        with pytest.raises(KeyTaken, match="request-1"):
            await world.begin("key")
    else:
        again = Client()
        assert world.find("key") is run
        run.join(again, b"r: 1\r\n", wants_trailers=True)
        for _ in range(len(whole) // 60_000 + 2):
            await asyncio.sleep(0)
        assert (again.body, again.head, again.trailers) == (whole, b"h: 1\r\nr: 1\r\n", b"t: 1\r\n")
        assert len(whole) < world.runs.bytes_kept <= bytes_max


@pytest.mark.parametrize("bytes_max", [50_000, 400_000, 100_000_000])
def test_followers_by_chance(bytes_max: int) -> None:
    for seed in range(60):
        asyncio.run(play(seed, bytes_max))


def test_oldest_answer_is_forgotten_first_but_not_while_it_is_read() -> None:
    async def story() -> None:
        world = World(30_000)
        read = await world.whole("read", b"a" * 8000)
        reader = read.join(Client(), b"", wants_trailers=False)
        held = Follower(read, Client(), b"", wants_trailers=False)
        read.followers[held] = None
        await world.whole("old", b"b" * 8000)
        await world.whole("new", b"c" * 8000)
        assert world.find("old") is None
        assert world.find("read") is read
        assert world.find("new") is not None
        read.leave(reader)
        read.leave(held)
        await world.whole("newer", b"d" * 8000)
        assert world.find("read") is None
        assert world.runs.bytes_kept <= 30_000
        with pytest.raises(KeyTaken, match="request-1"):
            await world.begin("read")

    asyncio.run(story())


# From the store


def restarted(world: World, bytes_max: int = 1_000_000) -> World:
    """Another process on the same rows."""
    later = World(bytes_max)
    later.keys, later.now, later.count = world.keys, world.now, 100
    later.runs._keys = later.keys  # type: ignore[assignment]
    later.keys.stores = True
    return later


async def restore(world: World, key: str, joiners: list[Client]) -> tuple[Run, Client]:
    """A repeat and those who join it before the store has answered."""
    world.count += 1
    record = UsageRecord(id=f"request-{world.count}", received_at=world.now, bytes_in=REQUEST_BYTES)
    run = world.runs.begin("project", key, b"same", record)
    first = Client()
    run.join(first, b"own: 1\r\n", wants_trailers=True)
    for joiner in joiners:
        run.join(joiner, b"joined: 1\r\n", wants_trailers=False)
    answer = await world.runs.claim(run)
    assert answer is not None
    run.restore(answer, b"replayed: 1\r\n")
    world.runs.over(run)
    return run, first


@pytest.mark.parametrize("is_whole", [False, True])
def test_stored_answer_is_given_to_all_who_ask(is_whole: bool) -> None:
    """Each is told once that it is a replay; who comes later has it from memory."""

    async def story() -> None:
        world = World()
        body = b"event" + END + b"x" * 200_000 + END
        if is_whole:
            await world.whole("key", body)
        else:
            made = await world.begin("key")
            made.start(200, b"")
            made.write(body)
            made.finish(b"", b"t: 1\r\n")
            world.runs.over(made)
        later = restarted(world)
        joiners = [Client(), Client()]
        run, first = await restore(later, "key", joiners)
        last = Client()
        assert later.find("key") is run
        run.join(last, b"joined: 1\r\n", wants_trailers=True)
        for _ in range(10):
            await asyncio.sleep(0)
        assert [client.body for client in (first, *joiners, last)] == [body] * 4
        assert [client.head for client in (first, *joiners, last)] == [
            b"own: 1\r\nreplayed: 1\r\n",
            *[b"joined: 1\r\n"] * 3,
        ]
        trailers = b"" if is_whole else b"t: 1\r\n"
        assert [client.trailers for client in (first, *joiners, last)] == [trailers, b"", b"", trailers]
        assert (run.request_id, run.begun_for) == ("request-1", "request-101")
        assert "request-101" not in later.runs._unattended
        assert len(body) < later.runs.bytes_kept < len(body) + 5000
        for follower in tuple(run.followers):
            run.leave(follower)
        later.now += KEPT_S
        assert later.find("key") is None
        assert later.runs.bytes_kept == 0

    asyncio.run(story())


@pytest.mark.parametrize("is_whole", [False, True])
def test_stored_answer_that_memory_has_no_room_for(is_whole: bool) -> None:
    """Whoever asked first is given it, slow or not; it is not remembered, and can be had again."""

    async def story() -> None:
        world = World()
        body = b"x" * 300_000 + END
        made = await world.begin("key")
        if is_whole:
            made.send(200, b"", body)
        else:
            made.start(200, b"")
            made.finish(body)
        world.runs.over(made)
        later = restarted(world, bytes_max=50_000)
        for _ in range(2):
            run, first = await restore(later, "key", [])
            assert later.find("key") is None
            for _ in range(10):
                await asyncio.sleep(0)
            assert first.body == body
            for follower in tuple(run.followers):
                run.leave(follower)
            assert later.runs.bytes_kept == 0

    asyncio.run(story())


def test_stream_that_has_begun_is_not_restored() -> None:
    """A comment kept its connection alive while the store was slow: the head is its own, the answer cannot follow."""

    async def story() -> None:
        world = World()
        await world.whole("key", b"answer")
        later = restarted(world)
        record = UsageRecord(id="request-101", received_at=later.now, bytes_in=REQUEST_BYTES)
        run = later.runs.begin("project", "key", b"same", record)
        run.start(200, b"")
        run.write(b": keep-alive\n\n")
        answer = await later.runs.claim(run)
        assert answer is not None
        with pytest.raises(Overloaded):
            run.restore(answer, b"")
        run.finish(b"error" + END)
        record.error_kind = Overloaded.kind
        later.runs.over(run)
        assert later.find("key") is None
        _, first = await restore(later, "key", [])
        assert first.body == b"answer"

    asyncio.run(story())


def test_answer_is_forgotten_after_a_day() -> None:
    async def story() -> None:
        world = World()
        run = await world.whole("key", b"answer")
        world.now += KEPT_S - 1
        assert world.find("key") is run
        world.now += 1
        assert world.find("key") is None
        assert world.runs.bytes_kept == 0

    asyncio.run(story())


def test_bodies_of_runs_are_bounded() -> None:
    """Their clients may be gone: nobody else counts them."""

    async def story() -> None:
        world = World()
        runs = [await world.begin(f"key-{number}") for number in range(10)]
        with pytest.raises(Overloaded):
            await world.begin("one more")
        runs[0].start(200, b"")
        runs[1].send(503, b"", b"")
        for run in runs[1:3]:
            world.runs.over(run)
        for number in range(3):
            await world.begin(f"another-{number}")
        with pytest.raises(Overloaded):
            await world.begin("one more")

    asyncio.run(story())


@pytest.mark.parametrize("status", [429, 500, 503, 504])
def test_failures_free_the_key(status: int) -> None:
    async def story() -> None:
        world = World()
        await world.whole("key", b"sorry", status)
        assert world.find("key") is None
        assert not world.keys.rows
        assert world.runs.bytes_kept == 0

    asyncio.run(story())


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"a\tb", b"\x7f", b"x" * 256, b"one, two"])
def test_what_is_no_key(key: bytes) -> None:
    with pytest.raises(MalformedRequest, match="Idempotency-Key"):
        key_of(key)
