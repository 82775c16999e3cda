"""Credit by hand on a real SQLite file, against a plain sum; what is refused moves nothing; tampering is found."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from faregate.ledger.accounts import InsufficientFunds
from faregate.ledger.credits import Credits
from faregate.ledger.verify import Proof, verify
from faregate.stores.audit import Actor
from faregate.stores.database import Conflict, NoSuchRecord, StoreError
from faregate.stores.directory import Directory
from faregate.stores.pepper import load_pepper
from faregate.stores.sqlite import SqliteDatabase

ACTOR = Actor("test")
AMOUNTS = st.integers(1, 10**12) | st.sampled_from([1, 2**40])
OWNERS = ["acme", "other"]


class Books:
    """A database of two organisations, and a loop to run its coroutines on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "faregate.db"
        self.runner = asyncio.Runner()
        self.database = SqliteDatabase(self.path)
        self.directory = Directory(self.database, load_pepper(folder, {}))
        self.credits = Credits(self.database, self.directory)
        for owner in OWNERS:
            self.run(self.directory.create_organisation(owner, actor=ACTOR))

    def run(self, coroutine: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await coroutine

        return self.runner.run(wait())

    def proof(self) -> Proof:
        return self.run(self.database.read(verify))

    def available(self, owner: str) -> dict[str, int]:
        return {account.name: account.available_nano for account in self.run(self.credits.accounts(owner))}

    def close(self) -> None:
        self.run(self.database.close())
        self.runner.close()


class Moves(RuleBasedStateMachine):
    """Any order of moves: the books say what a sum says, and hold at every step."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.books = Books(self.folder)
        self.bought = dict.fromkeys(OWNERS, 0)
        self.given: dict[str, dict[str, int]] = {owner: {} for owner in OWNERS}
        self.moves = 0

    @rule(owner=st.sampled_from(OWNERS), amount=AMOUNTS)
    def add(self, owner: str, amount: int) -> None:
        self.books.run(self.books.credits.add(owner, amount, reason="paid", actor=ACTOR))
        self.bought[owner] += amount
        self.moves += 1

    @rule(owner=st.sampled_from(OWNERS), amount=AMOUNTS, key=st.sampled_from(["a", "b"]))
    def grant_once(self, owner: str, amount: int, key: str) -> None:
        key = f"{owner}-{key}-{amount}"
        account = self.books.run(
            self.books.credits.grant(owner, amount, reason="gift", actor=ACTOR, idempotency_key=key)
        )
        if account.name not in self.given[owner]:
            self.given[owner][account.name] = amount
            self.moves += 1

    @rule(owner=st.sampled_from(OWNERS), amount=AMOUNTS)
    def remove(self, owner: str, amount: int) -> None:
        taking = self.books.credits.remove(owner, amount, reason="back", actor=ACTOR)
        if amount > self.bought[owner]:
            with pytest.raises(InsufficientFunds):
                self.books.run(taking)
        else:
            self.books.run(taking)
            self.bought[owner] -= amount
            self.moves += 1

    @rule(owner=st.sampled_from(OWNERS), at=st.integers(0, 5))
    def expire(self, owner: str, at: int) -> None:
        grants = list(self.given[owner])
        if not grants:
            return
        grant = grants[at % len(grants)]
        expiring = self.books.credits.expire(grant, reason="over", actor=ACTOR)
        if self.given[owner][grant]:
            self.books.run(expiring)
            self.given[owner][grant] = 0
            self.moves += 1
        else:
            with pytest.raises(Conflict):
                self.books.run(expiring)

    @invariant()
    def books_agree(self) -> None:
        for owner in OWNERS:
            available = self.books.available(owner)
            bought = sum(amount for name, amount in available.items() if name.startswith("cust:"))
            assert bought == self.bought[owner]
            given = {name: amount for name, amount in available.items() if name.startswith("promo:")}
            assert given == self.given[owner]
            statement = self.books.run(self.books.credits.statement(owner))
            assert (statement[-1].balance_nano if statement else 0) == sum(available.values())
        proof = self.books.proof()
        assert proof.findings == []
        audited = self.books.run(self.books.directory.list_audit())
        assert len([row for row in audited if row.action.startswith("credit.")]) == self.moves

    def teardown(self) -> None:
        self.books.close()
        shutil.rmtree(self.folder)


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)


@pytest.fixture
def books(tmp_path: Path) -> Any:
    made = Books(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("move", "error"),
    [
        (lambda credits: credits.add("nobody", 1, reason="x", actor=ACTOR), NoSuchRecord),
        (lambda credits: credits.add("acme", 0, reason="x", actor=ACTOR), Conflict),
        (lambda credits: credits.add("acme", -5, reason="x", actor=ACTOR), Conflict),
        (lambda credits: credits.add("acme", 2**63, reason="x", actor=ACTOR), Conflict),
        (lambda credits: credits.add("acme", 1, reason=" ", actor=ACTOR), Conflict),
        (lambda credits: credits.add("acme", 1, reason="two\nlines", actor=ACTOR), Conflict),
        (lambda credits: credits.add("acme", 1, reason="x" * 501, actor=ACTOR), Conflict),
        (lambda credits: credits.remove("acme", 11, reason="x", actor=ACTOR), InsufficientFunds),
        (lambda credits: credits.expire("cust:acme", reason="x", actor=ACTOR), NoSuchRecord),
        (lambda credits: credits.add("acme", 11, reason="x", actor=ACTOR, idempotency_key="k"), Conflict),
        (lambda credits: credits.add("acme", 2**63 - 5, reason="x", actor=ACTOR), StoreError),
    ],
)
def test_what_is_refused_moves_nothing(
    books: Books, move: Callable[[Credits], Awaitable[Any]], error: type[Exception]
) -> None:
    books.run(books.credits.add("acme", 10, reason="x", actor=ACTOR, idempotency_key="k"))
    with pytest.raises(error):
        books.run(move(books.credits))
    assert list(books.available("acme").values()) == [10]
    assert len(books.run(books.credits.statement("acme"))) == 1
    assert books.proof().findings == []


def test_a_move_said_twice_is_made_once(books: Books) -> None:
    for _ in range(3):
        account = books.run(books.credits.add("acme", 7, reason="x", actor=ACTOR, idempotency_key="order-1"))
        assert account.available_nano == 7


@pytest.mark.parametrize(
    ("tampering", "invariant"),
    [
        ("UPDATE account SET credits = credits + 1 WHERE kind = 'cust'", "I2"),
        ("UPDATE account SET debits = 1 WHERE kind = 'cust'", "I2"),
        ("UPDATE transfer SET amount = amount + 1", "I2"),
        ("DELETE FROM transfer", "I2"),
    ],
)
def test_who_goes_round_the_triggers_is_found_out(books: Books, tampering: str, invariant: str) -> None:
    books.run(books.credits.add("acme", 10, reason="x", actor=ACTOR))
    with sqlite3.connect(books.path) as door:
        if "transfer" in tampering:
            with pytest.raises(sqlite3.IntegrityError, match="for ever"):
                door.execute(tampering)
            door.execute("DROP TRIGGER transfer_is_not_changed")
            door.execute("DROP TRIGGER transfer_is_not_deleted")
        door.execute(tampering)
    door.close()
    assert {finding.invariant for finding in books.proof().findings} == {invariant}
    assert all(finding.subject.startswith("cust:") for finding in books.proof().findings)


def test_the_table_itself_refuses_a_negative_balance(books: Books) -> None:
    books.run(books.credits.add("acme", 10, reason="x", actor=ACTOR))
    with sqlite3.connect(books.path) as door, pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        door.execute("UPDATE account SET debits = 11 WHERE kind = 'cust'")
    door.close()
