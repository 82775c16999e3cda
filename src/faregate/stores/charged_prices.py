"""The prices that calls were charged by, kept for ever, so that every charge can be computed again from its record."""

import contextlib
import logging
from concurrent.futures import Future

import msgspec

from ..core.money import Price, PriceEntry
from .database import Database, StoreUnavailable, Writer, named_queries

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(tuple[PriceEntry, ...]).decode
_log = logging.getLogger("faregate.prices")


class ChargedPrices:
    """Notes each price once; what the disk refuses is noted with the next."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queries = named_queries("prices")
        self._pending: dict[tuple[str, str], Price] = {}

    def note(self, model: str, price: Price) -> None:
        """Calls of `model` will be charged by this price. Never blocks, never fails."""
        self._pending[model, price.version] = price
        noted = list(self._pending.items())

        def job(writer: Writer) -> None:
            rows = [(name, version, _encode(each.entries).decode()) for (name, version), each in noted]
            query = self._queries["note_charged_price"]
            writer.transact(lambda writing: [writing.run(query, row) for row in rows])

        def done(future: "Future[None]") -> None:
            error = future.exception()
            if error is not None:
                _log.error("prices cannot be written: %s", type(error).__name__)
                return
            for key, _ in noted:
                self._pending.pop(key, None)

        with contextlib.suppress(StoreUnavailable):  # closed: the process is ending
            self._database.submit(job).add_done_callback(done)

    async def find(self, model: str, version: str) -> Price | None:
        """The price of that model and version, None where no call was charged by it."""
        query = self._queries["find_charged_price"]
        row = await self._database.read(lambda reading: reading.one(query, (model, version)))
        return None if row is None else Price(version=version, entries=_decode(row[0]))
