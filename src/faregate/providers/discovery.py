"""What a local server serves: its own model list, asked for, because no catalogue can know it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..wire.client import Client, Timeouts
from ..wire.deadlines import Deadlines
from ..wire.messages import WireError
from ..wire.strand import in_strand
from . import Provider

_LIST_BYTES_MAX = 8 * 1024 * 1024
_MODELS_MAX = 10_000
_TIMEOUT_S = 5.0
_INTERVAL_S = 60.0
_INTERVAL_AT_START_S = 2.0


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]


_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_List)


async def watch_models(
    client: Client, deadlines: Deadlines, providers: Iterable[Provider], found: Callable[[str, list[str]], None]
) -> None:
    """Ask the local servers what they serve, at the start and every minute; `found` hears of each new list."""
    asked = [provider for provider in providers if provider.discovers]
    known: dict[str, list[str]] = {}
    while asked:
        for provider in asked:
            models = await discover(client, deadlines, provider)
            if models is not None and models != known.get(provider.name):
                known[provider.name] = models
                found(provider.name, models)
        await asyncio.sleep(_INTERVAL_S if known else _INTERVAL_AT_START_S)


async def discover(client: Client, deadlines: Deadlines, provider: Provider) -> list[str] | None:
    """The model names that `GET /models` of `provider` lists; None where it does not answer with a list. For a task."""
    return await in_strand(_ask(client, deadlines, provider))


async def _ask(client: Client, deadlines: Deadlines, provider: Provider) -> list[str] | None:
    head = b"GET %b/models HTTP/1.1\r\n%baccept: application/json\r\n\r\n" % (
        provider.path.encode(),
        provider.fields,
    )
    timeouts = Timeouts(first_byte_s=_TIMEOUT_S, idle_s=_TIMEOUT_S, deadline_at=deadlines.now + _TIMEOUT_S)
    try:
        response = await client.send(provider.origin, head, b"", timeouts)
        body = await response.read(_LIST_BYTES_MAX)
        if response.status != 200:
            return None
        return [entry.id for entry in _decoder.decode(body).data[:_MODELS_MAX] if entry.id]
    except (WireError, msgspec.DecodeError):
        return None
