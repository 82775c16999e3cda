"""The books of a gateway's data as another process sees them, and the customers that tests make."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from faregate.core.money import parse_amount
from faregate.ledger.billing import set_billing
from faregate.ledger.credits import Credits
from faregate.ledger.verify import Proof, verify
from faregate.stores.audit import Actor
from faregate.stores.directory import Directory
from faregate.stores.pepper import load_pepper
from faregate.stores.sqlite import Session, SqliteDatabase
from tests.running.client import Answer, Caller, eventually
from tests.running.processes import Gateway

T = TypeVar("T")

ACTOR = Actor("test:money")
PICO = {"input": 1_000_003, "cache_read": 100_019, "output": 2_000_029, "reasoning": 3_000_017}
RATES = 'input = "1.000003", cache_read = "0.100019", output = "2.000029", reasoning = "3.000017"'


def nano(pico: int) -> int:
    """Rounded up once: the test's own arithmetic, not the gateway's."""
    return -(-pico // 1000)


def cost_of(prompt: int, completion: int, cached: int = 0, reasoning: int = 0) -> int:
    """What so many tokens cost at RATES, nano-USD."""
    return nano(
        (prompt - cached) * PICO["input"]
        + cached * PICO["cache_read"]
        + (completion - reasoning) * PICO["output"]
        + reasoning * PICO["reasoning"]
    )


def cost_of_entry(entry: dict[str, Any]) -> int:
    """What a request costs by the simulator's own truth."""
    tokens = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")
    return cost_of(*(entry[name] for name in tokens))


class Reservation(NamedTuple):
    """A row of the ledger, nano-USD."""

    id: str
    state: str
    hold: int
    cost: int
    charged: int
    checkpoint: int


class Books:
    """What stands in a gateway's database, whether the gateway lives or not."""

    def __init__(self, data: Path) -> None:
        self._file = data / "faregate.db"

    def read(self, work: Callable[[Session], T]) -> T:
        session = Session(self._file, writing=False)
        try:
            return work(session)
        finally:
            session.close()

    def rows(self, query: str, *parameters: Any) -> list[Any]:
        return self.read(lambda reading: reading.all(query, parameters))

    def number(self, query: str, *parameters: Any) -> int:
        """The one figure that a query gives."""
        [[found]] = self.rows(query, *parameters)
        return found

    def reservations(self) -> dict[str, Reservation]:
        """All, by request id."""
        found = self.rows("SELECT lower(hex(id)), state, hold, cost, charged, checkpoint FROM reservation")
        return {row[0]: Reservation(*row) for row in found}

    def reservation(self, request_id: str) -> Reservation | None:
        """That of a request."""
        found = self.rows(
            "SELECT lower(hex(id)), state, hold, cost, charged, checkpoint FROM reservation WHERE id = ?",
            bytes.fromhex(request_id.replace("-", "")),
        )
        return Reservation(*found[0]) if found else None

    def written_off(self, kind: str) -> int:
        """What `writeoff:<kind>` has borne."""
        return self.number(
            "SELECT coalesce(sum(amount), 0) FROM transfer AS t JOIN account AS a ON a.id = t.debit_account "
            "WHERE a.name = ?",
            f"writeoff:{kind}",
        )

    def leased(self) -> int:
        return self.number("SELECT sum(leased) FROM account")

    def in_order(self) -> Proof:
        """All invariants hold."""
        proof = self.read(verify)
        assert not proof.findings, proof.findings[:5]
        return proof


def with_directory(gateway: Gateway, work: Callable[[Directory, SqliteDatabase], Awaitable[T]]) -> T:
    """What `work` makes of a gateway's data, as the command line does, in this process."""

    async def run() -> T:
        database = SqliteDatabase(gateway.data / "faregate.db")
        try:
            return await work(Directory(database, load_pepper(gateway.data, {})), database)
        finally:
            await database.close()

    return asyncio.run(run())


class Customer(Caller):
    """An organisation with one key."""

    def __init__(self, gateway: Gateway, organisation: str, key: str, key_id: str, model: str) -> None:
        super().__init__(gateway, key, model)
        self.organisation = organisation
        self.key_id = key_id
        self.books = Books(gateway.data)

    @property
    def _sums(self) -> tuple[int, int, int]:
        [row] = self.books.rows(
            "SELECT coalesce(sum(credits), 0), coalesce(sum(debits), 0), coalesce(sum(leased), 0) FROM account "
            "WHERE organisation_id = ?",
            self.organisation,
        )
        return row

    @property
    def balance(self) -> int:
        """What is credited and not spent, held or not; nano-USD."""
        credited, debited, _ = self._sums
        return credited - debited

    @property
    def spent(self) -> int:
        return self._sums[1]

    @property
    def leased(self) -> int:
        return self._sums[2]

    def give(self, amount: str) -> None:
        """More credit, as `faregate credits add` gives it."""
        with_directory(
            self.gateway,
            lambda directory, database: Credits(database, directory).add(
                self.organisation, parse_amount(amount), reason="test", actor=ACTOR
            ),
        )

    def grant(self, amount: str, expires_at: float) -> None:
        """Promotional credit."""
        with_directory(
            self.gateway,
            lambda directory, database: Credits(database, directory).grant(
                self.organisation, parse_amount(amount), reason="test", actor=ACTOR, expires_at=expires_at
            ),
        )

    def served(self, within_s: float = 10.0) -> Answer:
        """A small answer, as soon as there is one."""
        found = self.chat({"output_tokens": 5})
        deadline = time.monotonic() + within_s
        while found.status != 200:
            assert time.monotonic() < deadline, found
            found = self.chat({"output_tokens": 5})
        return found

    def settled(self, request_id: str | None) -> Reservation:
        """The reservation of a request of ours, once it is over, with the books in order and nothing held for it."""
        assert request_id is not None

        def look() -> list[Reservation]:
            found = self.books.reservation(request_id)
            return [found] if found is not None and found.state != "open" else []

        [found] = eventually(look)
        eventually(lambda: self.gauge("faregate_holds") == 0)
        self.books.in_order()
        return found


def customer_of(gateway: Gateway, name: str, credit: str | None, model: str, *, metered: bool = False) -> Customer:
    """A new organisation with a project and a key, and some credit (USD)."""

    async def work(directory: Directory, database: SqliteDatabase) -> Customer:
        organisation = await directory.create_organisation(name, actor=ACTOR)
        project = await directory.create_project(organisation.id, name, actor=ACTOR)
        issued = await directory.create_key(project.id, name, actor=ACTOR)
        if credit is not None:
            credits = Credits(database, directory)
            await credits.add(organisation.id, parse_amount(credit), reason="test", actor=ACTOR)
        if metered:
            await set_billing(database, directory, organisation.id, "metered", actor=ACTOR)
        return Customer(gateway, organisation.id, issued.text.reveal(), issued.key.id, model)

    return with_directory(gateway, work)
