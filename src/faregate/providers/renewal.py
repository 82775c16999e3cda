"""The upkeep of providers whose tokens expire, for the composition root."""

import asyncio
from collections.abc import Callable, Mapping

from ..wire.client import Client
from ..wire.deadlines import Deadlines
from . import Provider
from .tokens import Report

_FIRST_TOKEN_TIMEOUT_S = 5.0


async def renewed(
    providers: Mapping[str, Provider],
    client: Client,
    deadlines: Deadlines,
    report: Report,
    learn: Callable[[str], None],
) -> "list[asyncio.Task[None]]":
    """The tasks that keep the providers' tokens fresh. Each has its first one then, so that the first call has it too,
    or could not get it in time: the gateway starts all the same, and that provider is not available until it can."""
    kept = [(name, provider.tokens) for name, provider in providers.items() if provider.tokens is not None]
    tasks = [asyncio.create_task(tokens.keep(name, client, deadlines, report, learn)) for name, tokens in kept]
    if kept:
        waits = [asyncio.create_task(tokens.tried.wait()) for _, tokens in kept]
        _, late = await asyncio.wait([*waits], timeout=_FIRST_TOKEN_TIMEOUT_S)
        for wait in late:
            wait.cancel()
    return tasks
