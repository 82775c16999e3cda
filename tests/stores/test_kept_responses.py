"""Where responses are kept: the same on both shelves; and in the database, readable by nobody who has that alone."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from faregate.stores import kept_responses
from faregate.stores.kept_responses import KEPT_FOR_S, SEALED, KeptResponse, MemoryShelf, Shelf, StoredShelf
from faregate.stores.pepper import Pepper
from faregate.stores.sealing import AesGcm
from faregate.stores.sqlite import SqliteDatabase

PEPPER = Pepper("v1", bytes(range(32)))
CANARY = b"canary-51c0-prompt"


def kept_of(*ids: str, body: bytes = b"{}", item: bytes = CANARY) -> KeptResponse:
    return KeptResponse(body, (item,), tuple(f"item {each}".encode() for each in ids), ids)


class World:
    """A shelf, the same as another process has it, and the clock of both."""

    def __init__(self, folder: Path, *, is_stored: bool, bytes_max: int) -> None:
        self.now = 1_800_000_000.0
        self.file = folder / "faregate.db"
        self.shelf: Shelf
        if is_stored:
            self.database = SqliteDatabase(self.file)
            self.other_database = SqliteDatabase(self.file)
            seal = AesGcm(PEPPER, SEALED)
            self.shelf = StoredShelf(self.database, seal, bytes_max=bytes_max, clock=lambda: self.now)
            self.other: Shelf = StoredShelf(self.other_database, AesGcm(PEPPER, SEALED), clock=lambda: self.now)
        else:
            self.shelf = self.other = MemoryShelf(bytes_max, lambda: self.now)

    async def tidy(self) -> None:
        if isinstance(self.shelf, StoredShelf):
            await self.shelf.delete_expired()

    async def close(self) -> None:
        if isinstance(self.shelf, StoredShelf):
            await self.database.close()
            await self.other_database.close()


Story = Callable[[World], Awaitable[None]]


def play(folder: Path, story: Story, *, is_stored: bool = True, bytes_max: int = 1_000_000) -> None:
    async def run() -> None:
        world = World(folder, is_stored=is_stored, bytes_max=bytes_max)
        try:
            await story(world)
        finally:
            await world.close()

    asyncio.run(run())


both = pytest.mark.parametrize("is_stored", [False, True], ids=["memory", "stored"])


@both
def test_what_was_put_is_found_by_its_own_project(tmp_path: Path, is_stored: bool) -> None:
    async def story(world: World) -> None:
        kept = kept_of("a", "", "b")
        await world.shelf.put("p", "r", kept)
        assert await world.other.find("p", "r") == kept
        assert await world.other.find("q", "r") is None
        assert await world.other.find("p", "s") is None
        assert await world.other.find_item("p", "b") == b"item b"
        assert await world.other.find_item("q", "b") is None
        assert await world.other.find_item("p", "") is None

    play(tmp_path, story, is_stored=is_stored)


@both
def test_what_was_deleted_or_replaced_is_gone_with_its_items(tmp_path: Path, is_stored: bool) -> None:
    async def story(world: World) -> None:
        await world.shelf.put("p", "r", kept_of("a"))
        await world.shelf.put("p", "r", kept_of("b"))
        assert await world.other.find_item("p", "a") is None
        assert await world.other.find_item("p", "b") == b"item b"
        await world.other.delete("p", "r")
        assert await world.shelf.find("p", "r") is None
        assert await world.shelf.find_item("p", "b") is None
        await world.shelf.delete("p", "r")  # what is not there

    play(tmp_path, story, is_stored=is_stored)


@both
def test_of_two_items_of_one_id_the_newer_is_meant(tmp_path: Path, is_stored: bool) -> None:
    async def story(world: World) -> None:
        await world.shelf.put("p", "r", KeptResponse(b"", (), (b"old",), ("a",)))
        await world.shelf.put("p", "s", KeptResponse(b"", (), (b"new",), ("a",)))
        assert await world.shelf.find_item("p", "a") == b"new"

    play(tmp_path, story, is_stored=is_stored)


@both
def test_it_is_kept_for_an_hour(tmp_path: Path, is_stored: bool) -> None:
    async def story(world: World) -> None:
        await world.shelf.put("p", "r", kept_of("a"))
        world.now += KEPT_FOR_S - 1
        await world.tidy()
        assert await world.shelf.find("p", "r") is not None
        world.now += 1
        assert await world.shelf.find("p", "r") is None
        assert await world.shelf.find_item("p", "a") is None
        await world.tidy()

    play(tmp_path, story, is_stored=is_stored)


@both
def test_the_oldest_go_first(tmp_path: Path, is_stored: bool) -> None:
    async def story(world: World) -> None:
        for number in range(10):
            await world.shelf.put("p", f"r{number}", kept_of("a", body=bytes(1_000)))
        await world.tidy()
        found = [number for number in range(10) if await world.shelf.find("p", f"r{number}") is not None]
        assert 1 <= len(found) <= 5
        assert found == list(range(10 - len(found), 10))

    play(tmp_path, story, is_stored=is_stored, bytes_max=6_200 if not is_stored else 4_400)


def test_the_database_alone_says_nothing(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        await world.shelf.put("p", "r", kept_of("a"))
        await world.shelf.put("p", "s", kept_of("b"))

    play(tmp_path, story)
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"kept_response" in files
    assert CANARY not in files

    async def later(world: World) -> None:
        assert await world.shelf.find("p", "r") is not None
        move = "UPDATE kept_response SET sealed = (SELECT sealed FROM kept_response WHERE response_id = 's')"
        await world.database.run(lambda writing: writing.run(move))
        assert await world.shelf.find("p", "r") is None  # it is another's
        assert await world.shelf.find("p", "s") is not None
        other = StoredShelf(world.database, AesGcm(Pepper("v1", bytes(32)), SEALED), clock=lambda: world.now)
        assert await other.find("p", "s") is None  # of another pepper

    play(tmp_path, later)


def test_what_is_too_large_is_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_responses, "_STORED_BYTES_MAX", 3_000)

    async def story(world: World) -> None:
        await world.shelf.put("p", "r", kept_of("a", body=bytes(2_000)))
        assert await world.shelf.find("p", "r") is None
        await world.shelf.put("p", "r", kept_of("a", body=bytes(900)))
        assert await world.shelf.find("p", "r") is not None

    play(tmp_path, story)


def test_a_database_that_is_closed_is_no_failure_of_the_answer(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        said: list[str] = []
        shelf = StoredShelf(
            world.database, AesGcm(PEPPER, SEALED), report=lambda _level, event, **_fields: said.append(event)
        )
        await world.database.close()
        await shelf.put("p", "r", kept_of("a"))
        assert said == ["response_not_kept"]

    play(tmp_path, story)
