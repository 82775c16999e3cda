"""A world of the directory with those who change its plans, limits and throughput."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from faregate.core.identity import Caller
from faregate.core.plans import Bounds, Plan
from faregate.core.terms import Plans
from faregate.stores.directory import IssuedKey
from faregate.stores.overrides import OverridesOffice
from faregate.stores.plans import PlanOffice
from faregate.stores.sqlite import SqliteDatabase
from faregate.stores.throughput import Throughput

from .conformance import ACTOR, World

FREE = Plan(key=Bounds(requests_per_minute={"chat": 10}))
PAID = Plan(key=Bounds(requests_per_minute={"chat": 60}))
WRITTEN = Plans(settings={"free": FREE, "paid": PAID}, default_plan="free", paid_plan="paid")


class Offices(World):
    """A world with what changes its plans and limits, a second project and a key."""

    async def fill(self) -> "Offices":
        await super().fill()
        self.plans = PlanOffice(self.database, self.directory, WRITTEN, self.clock)
        self.overrides = OverridesOffice(self.database, self.directory, {"": WRITTEN})
        self.throughput = Throughput(self.database, self.directory, self.clock)
        self.other = await self.directory.create_project("acme", "app", actor=ACTOR)
        self.key = await self.directory.create_key("web", "k", actor=ACTOR, bills=("app",))
        return self

    async def caller(self, issued: IssuedKey | None = None) -> Caller:
        found = await self.prove(issued or self.key)
        assert found is not None
        return (await self.plans.all()).agree(found)

    async def limits(self) -> dict[tuple[str, str], int]:
        """What is counted of a chat of the key's own project, by kind and subject."""
        terms = (await self.caller()).terms
        return {(each.kind, each.subject): each.limit for each in terms.bounds_of("chat")}


def play(folder: Path, story: Callable[[Offices], Awaitable[None]]) -> None:
    async def run() -> None:
        database = SqliteDatabase(folder / "faregate.db")
        try:
            await story(await Offices(database).fill())
        finally:
            await database.close()

    asyncio.run(run())
