"""What every store must do, whatever engine it stands on. An engine's tests subclass these (conformance_*.py) and say
how to open it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from faregate.core.call import UsageRecord
from faregate.core.identity import Caller, key_id_of
from faregate.core.ids import RequestIds
from faregate.core.usage import Usage, UsageSource
from faregate.stores.audit import Actor
from faregate.stores.database import Database
from faregate.stores.directory import Directory, IssuedKey
from faregate.stores.pepper import Pepper

ACTOR = Actor("cli:test", address="192.0.2.1", request_id="r-1")
PEPPER = Pepper("v1", bytes(range(32)))
make_request_id = RequestIds()


class Clock:
    """Unix seconds that a test moves on."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


class World:
    """An open store with one organisation and one project."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock()
        self.directory = Directory(database, PEPPER, clock=self.clock)

    async def fill(self) -> "World":
        self.organisation = await self.directory.create_organisation("acme", actor=ACTOR)
        self.project = await self.directory.create_project("acme", "web", actor=ACTOR)
        return self

    async def prove(self, issued: IssuedKey) -> Caller | None:
        """Who the directory says this key is."""
        presented = issued.text.reveal().encode()
        key_id = key_id_of(presented, b"sk-fg-")
        assert key_id == issued.key.id
        return await self.directory.find_key(PEPPER.digest(presented), key_id)


class Conformance:
    """How a test gets its store."""

    def open(self, folder: Path) -> Database:
        """An open database in `folder`."""
        raise NotImplementedError

    def play(self, folder: Path, story: Callable[[World], Awaitable[None]]) -> None:
        """Run a story in a fresh world."""

        async def run() -> None:
            database = self.open(folder)
            try:
                await story(await World(database).fill())
            finally:
                await database.close()

        asyncio.run(run())


def record(project_id: str = "p", **members: object) -> UsageRecord:
    """A usage record with something in every member."""
    values: dict[str, object] = {
        "id": make_request_id(time.time()),
        "received_at": time.time(),
        "organisation_id": "o",
        "project_id": project_id,
        "key_id": "k",
        "method": "POST",
        "operation": "chat",
        "dialect": "openai_chat",
        "client_address": "192.0.2.7",
        "model_asked": "openai/gpt-4o",
        "model": "gpt-4o",
        "provider": "openai",
        "upstream_model": "gpt-4o-2024-08-06",
        "attempts": 1,
        "stream": True,
        "status": 200,
        "usage": Usage(input=1, cache_read=2, cache_write=3, output=4, reasoning=5, source=UsageSource.PROVIDER),
        "total_ms": 12.5,
        "bytes_in": 10,
        "bytes_out": 20,
    }
    return UsageRecord(**{**values, **members})  # type: ignore[arg-type]
