"""Answers as they are stored: readable under their pepper and in their place, and nowhere else."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.stores import idempotency
from faregate.stores.database import StoreUnavailable, Transaction, Writer
from faregate.stores.idempotency import Claim, EarlierUse, IdempotencyKeys, KeptAnswer
from faregate.stores.pepper import Pepper
from faregate.stores.sealed_answers import AesSeal
from tests.stores.test_idempotency import World, play

PEPPER = Pepper("v1", bytes(range(32)))
CANARY = b"canary-77d1-answer"


def answer_of(claim: Claim, body: bytes = CANARY) -> KeptAnswer:
    return KeptAnswer(
        request_id=claim.request_id,
        expires_at=claim.expires_at,
        key_id="key-id",
        status=200,
        headers=b"content-type: application/json\r\n",
        body=body,
        trailers=b"t: 1\r\n",
        is_whole=False,
        record_status=502,
        error_kind="upstream_failed",
        stream=True,
        model_asked="asked",
        model="model",
    )


def claim_of(project_id: str = "project", key: str = "key", request_id: str = "request") -> Claim:
    return Claim(project_id, key, b"f" * 32, request_id, 1, 1.0, 2.0, 3.0)


@given(st.binary(max_size=5000))
def test_what_was_sealed_opens(body: bytes) -> None:
    claim = claim_of()
    answer = answer_of(claim, body)
    sealed = AesSeal(PEPPER).seal(claim, answer)
    assert AesSeal(PEPPER).open("project", "key", "request", sealed) == answer
    assert len(sealed) < len(body) + 400


def test_no_two_sealings_are_alike() -> None:
    seal, claim = AesSeal(PEPPER), claim_of()
    assert len({seal.seal(claim, answer_of(claim))[:12] for _ in range(100)}) == 100
    assert CANARY not in seal.seal(claim, answer_of(claim))


@pytest.mark.parametrize(
    "place",
    [("other", "key", "request"), ("project", "other", "request"), ("project", "key", "other"), ("projec", "tkey", "")],
)
def test_another_place_does_not_open(place: tuple[str, str, str]) -> None:
    claim = claim_of()
    assert AesSeal(PEPPER).open(*place, AesSeal(PEPPER).seal(claim, answer_of(claim))) is None


def test_another_pepper_does_not_open() -> None:
    claim = claim_of()
    sealed = AesSeal(PEPPER).seal(claim, answer_of(claim))
    assert AesSeal(Pepper("v2", bytes(32))).open("project", "key", "request", sealed) is None


def test_any_changed_bit_and_any_cut_is_noticed() -> None:
    seal, claim = AesSeal(PEPPER), claim_of()
    sealed = seal.seal(claim, answer_of(claim))
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1 << position % 8
        assert seal.open("project", "key", "request", bytes(changed)) is None
        assert seal.open("project", "key", "request", sealed[:position]) is None


# With the rows


class Stored(World):
    """Two processes that store answers of at most 1000 bytes, and what they report."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reports: list[Any] = []

        def report(level: str, event: str, **fields: object) -> None:
            self.reports.append((level, event, fields))

        self.keys, self.other = [
            IdempotencyKeys(database, lambda: self.now, seal=AesSeal(PEPPER), answer_bytes_max=1000, report=report)
            for database in (self.database, self.other_database)
        ]

    async def answers(self) -> list[Any]:
        return await self.database.read(
            lambda reading: reading.all(
                "SELECT key, running_until IS NULL, sealed FROM idempotency_key"
                " LEFT JOIN idempotency_answer ON key_row_id = id ORDER BY id"
            )
        )


def play_stored(folder: Path, story: Callable[[Stored], Awaitable[None]]) -> None:
    async def run(world: World) -> None:
        stored = Stored(folder)
        stored.epochs = world.epochs
        try:
            await story(stored)
        finally:
            await stored.keys.close()
            await stored.other.close()
            await stored.database.close()
            await stored.other_database.close()

    play(folder, run)


def test_another_process_has_the_answer(tmp_path: Path) -> None:
    async def story(world: Stored) -> None:
        first = world.claim_of("first")
        assert await world.ask(first) is None
        late = world.claim_of("late", process=1)
        assert await world.ask(late) == EarlierUse(b"f" * 32, "first", is_running=True)
        world.keys.end(first, answer_of(first))
        own = await world.ask(world.claim_of("at once"))  # right behind it in the queue
        assert own is not None
        assert own.answer == answer_of(first)
        assert await world.ask(late) == own
        conflict = world.claim_of("conflict", fingerprint=b"g" * 32, process=1)
        assert await world.ask(conflict) == EarlierUse(b"f" * 32, "first", is_running=False)
        assert not world.reports

    play_stored(tmp_path, story)


def test_answer_goes_with_its_key(tmp_path: Path) -> None:
    """When the key is freed, when it has expired and is claimed again, and when the hourly round deletes it."""

    async def story(world: Stored) -> None:
        claims = [world.claim_of(name, key=name) for name in ("freed", "claimed", "left", "more")]
        for claim in claims:
            assert await world.ask(claim) is None
            world.keys.end(claim, answer_of(claim))
        world.keys.free(claims[0])
        world.now += 86_400.0
        assert await world.ask(world.claim_of("again", key="claimed")) is None
        assert [row[0] for row in await world.answers()] == ["left", "more", "claimed"]
        await world.keys.delete_expired()
        assert await world.answers() == [("claimed", 0, None)]
        count = await world.database.read(lambda reading: reading.one("SELECT count(*) FROM idempotency_answer"))
        assert count == (0,)

    play_stored(tmp_path, story)


def test_too_large_and_too_many_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their rows end all the same; when what waited is written there is room again."""
    monkeypatch.setattr(idempotency, "_WAITING_BYTES_MAX", 2500)

    async def story(world: Stored) -> None:
        claims = [world.claim_of(f"r-{number}", key=f"k-{number}") for number in range(5)]
        for claim in claims:
            assert await world.ask(claim) is None
        world.keys.end(claims[0], answer_of(claims[0], b"x" * 1001))
        for claim in claims[1:4]:
            world.keys.end(claim, answer_of(claim, b"x" * 1000))
        await world.keys.close()
        world.keys.end(claims[4], answer_of(claims[4], b"x" * 1000))
        await world.keys.close()
        rows = await world.answers()
        assert [row[1] for row in rows] == [1] * 5
        assert [row[2] is not None for row in rows] == [False, True, True, False, True]

    play_stored(tmp_path, story)


def test_unreadable_answer_is_none_and_reported(tmp_path: Path) -> None:
    async def story(world: Stored) -> None:
        for name in ("a", "b"):
            claim = world.claim_of(name, key=name)
            assert await world.ask(claim) is None
            world.keys.end(claim, answer_of(claim))
        await world.keys.close()
        await world.database.run(
            lambda writing: writing.run(
                "UPDATE idempotency_answer SET sealed = (SELECT sealed FROM idempotency_answer AS other"
                " WHERE other.key_row_id <> idempotency_answer.key_row_id)"
            )
        )
        earlier = await world.ask(world.claim_of("late", key="a", process=1))
        assert earlier == EarlierUse(b"f" * 32, "a", is_running=False, is_unreadable=True)
        assert world.reports == [("error", "idempotency_answer_unreadable", {"request_id": "a"})]

    play_stored(tmp_path, story)


def test_large_answers_take_several_transactions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, and deleted, with no more than so many bytes in each: the ledger waits for their end."""
    monkeypatch.setattr(idempotency, "_CHANGED_AT_ONCE_BYTES_MAX", 3500)

    async def story(world: Stored) -> None:
        claims = [world.claim_of(f"r-{number}", key=f"k-{number}") for number in range(10)]
        for claim in claims:
            assert await world.ask(claim) is None
        sizes: list[int] = []
        write = world.keys._write

        def counted(writing: Transaction, jobs: list[Any]) -> Any:
            sizes.append(len(jobs))
            return write(writing, jobs)

        world.keys._write = counted  # type: ignore[method-assign]
        for claim in claims:
            world.keys.end(claim, answer_of(claim, b"x" * 1000))
        await world.keys.close()
        assert sizes == [3, 3, 3, 1]
        assert [row[2] is not None for row in await world.answers()] == [True] * 10
        world.now += 86_400.0
        submitted: list[int] = []
        run = world.database.run

        async def counted_run(work: Callable[[Transaction], Any]) -> Any:
            submitted.append(await run(work))
            return submitted[-1]

        monkeypatch.setattr(world.database, "run", counted_run)
        await world.keys.delete_expired()
        assert submitted == [4, 4, 2, 0]  # the one that goes over the bound goes too: there must be an end

    play_stored(tmp_path, story)


def test_many_answers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than go in one transaction, written and read, each its own."""
    monkeypatch.setattr(idempotency, "_READ_AT_ONCE_BYTES_MAX", 50_000)

    async def story(world: Stored) -> None:
        claims = [world.claim_of(f"r-{number}", key=f"k-{number}") for number in range(300)]
        assert await asyncio.gather(*(world.ask(claim) for claim in claims)) == [None] * 300
        for claim in claims:
            world.keys.end(claim, answer_of(claim, claim.key.encode()))
        await world.keys.close()
        late = [world.claim_of(f"l-{number}", key=f"k-{number}", process=1) for number in range(300)]
        found = await asyncio.gather(*(world.ask(claim) for claim in late))
        assert [each.answer.body.decode() for each in found if each and each.answer] == [each.key for each in late]
        assert world.keys._waiting_bytes == 0

    play_stored(tmp_path, story)


def test_disk_that_came_through_without_saying_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same end is written again."""
    monkeypatch.setattr(idempotency, "_RETRY_INTERVAL_S", 0.05)

    async def story(world: Stored) -> None:
        first = world.claim_of("first")
        assert await world.ask(first) is None
        submit = world.database.submit

        def lost(job: Callable[[Writer], Any]) -> Any:
            def fail(writer: Writer) -> None:
                job(writer)
                monkeypatch.setattr(world.database, "submit", submit)
                raise StoreUnavailable("the disk went away")

            return submit(fail)

        monkeypatch.setattr(world.database, "submit", lost)
        world.keys.end(first, answer_of(first))
        await world.keys.close()
        earlier = await world.ask(world.claim_of("late", process=1))
        assert earlier is not None
        assert earlier.answer == answer_of(first)
        assert world.keys._waiting_bytes == 0

    play_stored(tmp_path, story)
