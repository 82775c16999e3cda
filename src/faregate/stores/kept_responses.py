"""Where responses are kept for an hour: in the memory of the one process there is, or encrypted in the database that
several share (contract.md 7.6).

Either is bounded in bytes, the oldest first to go. In the database a response is sealed on the writing thread, before
its transaction begins: other processes wait for that to end. What waits to be written is bounded too; a response beyond
that, or larger than one may be, is not kept. Everything is found under its project: what is another's does not exist.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

import msgspec

from ..core.errors import Overloaded
from .database import Database, StoreUnavailable, Transaction, Writer, named_queries

SEALED = b"faregate kept response v1"  # what a seal is told that it seals
KEPT_FOR_S = 3_600.0
KEPT_BYTES_MAX = 256 * 1024 * 1024
_ENTRY_BYTES = 1_000  # what an entry weighs besides its texts
_STORED_BYTES_MAX = 8 * 1024 * 1024  # of one response
_WAITING_BYTES_MAX = 64 * 1024 * 1024  # to be written, while the disk is slow or refuses
_EXPIRY_INTERVAL_S = 60.0
_DELETED_AT_ONCE_MAX = 100
_DELETED_AT_ONCE_BYTES_MAX = 4 * 1024 * 1024


class KeptResponse(msgspec.Struct, array_like=True):
    """A response: its JSON, the items that were its input with all that came before, and those of its output with
    their ids ("" where they have none)."""

    body: bytes
    items: tuple[bytes, ...]
    output: tuple[bytes, ...]
    output_ids: tuple[str, ...]

    @property
    def size_bytes(self) -> int:
        """What it weighs."""
        return _ENTRY_BYTES + 2 * len(self.body) + sum(map(len, self.items))

    def item(self, item_id: str) -> bytes | None:
        """An item of its output."""
        return self.output[self.output_ids.index(item_id)] if item_id in self.output_ids else None


class Shelf(Protocol):
    """Where they are kept."""

    async def find(self, project_id: str, response_id: str) -> KeptResponse | None:
        """A project's response; None where it has none of this id any more. Overloaded."""
        ...

    async def find_item(self, project_id: str, item_id: str) -> bytes | None:
        """An item of the output of a project's response, the newest of this id. Overloaded."""
        ...

    async def put(self, project_id: str, response_id: str, kept: KeptResponse) -> None:
        """Keep a response, if there is room; whoever looks for it afterwards finds it."""
        ...

    async def delete(self, project_id: str, response_id: str) -> None:
        """Forget a response. Overloaded."""
        ...


class _Entry(msgspec.Struct):
    expires_at: float
    kept: KeptResponse


class MemoryShelf:
    """Those of this process. `clock` gives monotonic seconds."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self.size_bytes = 0
        self._bytes_max = bytes_max
        self._clock = clock
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._of_items: dict[tuple[str, str], str] = {}  # project and item -> response

    async def find(self, project_id: str, response_id: str) -> KeptResponse | None:
        """See Shelf."""
        entry = self._entries.get((project_id, response_id))
        return None if entry is None or entry.expires_at <= self._clock() else entry.kept

    async def find_item(self, project_id: str, item_id: str) -> bytes | None:
        """See Shelf."""
        response_id = self._of_items.get((project_id, item_id))
        kept = None if response_id is None else await self.find(project_id, response_id)
        return None if kept is None else kept.item(item_id)

    async def put(self, project_id: str, response_id: str, kept: KeptResponse) -> None:
        """See Shelf."""
        await self.delete(project_id, response_id)
        self._entries[project_id, response_id] = _Entry(self._clock() + KEPT_FOR_S, kept)
        self.size_bytes += kept.size_bytes
        for item_id in filter(None, kept.output_ids):
            self._of_items[project_id, item_id] = response_id
        while self._entries:
            oldest = next(iter(self._entries))
            if self.size_bytes <= self._bytes_max and self._entries[oldest].expires_at > self._clock():
                break
            await self.delete(*oldest)

    async def delete(self, project_id: str, response_id: str) -> None:
        """See Shelf."""
        entry = self._entries.pop((project_id, response_id), None)
        if entry is None:
            return
        self.size_bytes -= entry.kept.size_bytes
        for item_id in entry.kept.output_ids:
            if self._of_items.get((project_id, item_id)) == response_id:
                del self._of_items[project_id, item_id]


class Seal(Protocol):
    """What makes a response unreadable in the database, and readable again (sealing.AesGcm)."""

    def seal(self, place: tuple[str, ...], data: bytes, /) -> bytes:
        """The data as it may be stored in that place."""
        ...

    def open(self, place: tuple[str, ...], sealed: bytes, /) -> bytes | None:
        """What was sealed for that place; None where it does not open."""
        ...


def _ignore(_level: str, _event: str, **_fields: object) -> None: ...


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(KeptResponse)


class StoredShelf:
    """Those of all processes on one database. `report` is told what the operator should know."""

    def __init__(
        self,
        database: Database,
        seal: Seal,
        *,
        bytes_max: int = KEPT_BYTES_MAX,
        clock: Callable[[], float] = time.time,
        report: Callable[..., None] = _ignore,
    ) -> None:
        self._database = database
        self._seal = seal
        self._bytes_max = bytes_max
        self._clock = clock
        self._report = report
        self._queries = named_queries("kept_responses")
        self._waiting_bytes = 0

    async def find(self, project_id: str, response_id: str) -> KeptResponse | None:
        """See Shelf."""
        where = (project_id, response_id, self._clock())

        def look(reading: Transaction) -> KeptResponse | None:
            row = reading.one(self._queries["find_response"], where)
            return None if row is None else self._opened(project_id, response_id, row[0])

        return await self._read(look)

    async def find_item(self, project_id: str, item_id: str) -> bytes | None:
        """See Shelf."""
        where = (project_id, item_id, self._clock())

        def look(reading: Transaction) -> KeptResponse | None:
            row = reading.one(self._queries["find_response_of_item"], where)
            return None if row is None else self._opened(project_id, row[0], row[1])

        kept = await self._read(look)
        return None if kept is None else kept.item(item_id)

    async def put(self, project_id: str, response_id: str, kept: KeptResponse) -> None:
        """See Shelf."""
        size = kept.size_bytes
        if size > _STORED_BYTES_MAX or self._waiting_bytes + size > _WAITING_BYTES_MAX:
            return
        expires_at = self._clock() + KEPT_FOR_S

        def job(writer: Writer) -> None:
            sealed = self._seal.seal((project_id, response_id), _encoder.encode(kept))
            row = (project_id, response_id, expires_at, sealed)
            writer.transact(lambda writing: self._write(writing, row, kept.output_ids))

        self._waiting_bytes += size
        try:
            await asyncio.wrap_future(self._database.submit(job))
        except StoreUnavailable as error:
            self._report("error", "response_not_kept", error=str(error))
        finally:
            self._waiting_bytes -= size

    async def delete(self, project_id: str, response_id: str) -> None:
        """See Shelf."""
        where = (project_id, response_id)
        try:
            await self._database.run(lambda writing: writing.run(self._queries["delete_response"], where))
        except StoreUnavailable:
            raise Overloaded("The store cannot be written; try again in a moment.", retry_after_s=1.0) from None

    async def keep_deleting(self) -> None:
        """Delete every minute what has expired and what is too much, for as long as the process runs."""
        while True:
            try:
                await self.delete_expired()
            except StoreUnavailable as error:
                self._report("error", "expired_responses_kept", error=str(error))
            await asyncio.sleep(_EXPIRY_INTERVAL_S)

    async def delete_expired(self) -> None:
        """Delete what has expired and what is too much, little in each transaction."""
        expired = (self._clock(), _DELETED_AT_ONCE_MAX, _DELETED_AT_ONCE_BYTES_MAX)
        beyond = (self._bytes_max, _DELETED_AT_ONCE_MAX)
        for query, bound in (("delete_expired_responses", expired), ("delete_oldest_responses", beyond)):
            text = self._queries[query]
            while await self._database.run(lambda writing, text=text, bound=bound: writing.run(text, bound)):
                pass

    def _write(self, writing: Transaction, row: tuple[str, str, float, bytes], item_ids: tuple[str, ...]) -> None:
        project_id, response_id = row[:2]
        writing.run(self._queries["delete_response"], (project_id, response_id))
        writing.run(self._queries["keep_response"], row)
        for item_id in filter(None, item_ids):
            writing.run(self._queries["keep_item"], (project_id, item_id, response_id))

    async def _read(self, look: Callable[[Transaction], KeptResponse | None]) -> KeptResponse | None:
        try:
            return await self._database.read(look)
        except StoreUnavailable:
            raise Overloaded("The store cannot be read; try again in a moment.", retry_after_s=1.0) from None

    def _opened(self, project_id: str, response_id: str, sealed: bytes) -> KeptResponse | None:
        """On the reading thread. What does not open, be it tampered with or of another pepper, is not there."""
        data = self._seal.open((project_id, response_id), sealed)
        try:
            return None if data is None else _decoder.decode(data)
        except msgspec.DecodeError:
            return None
