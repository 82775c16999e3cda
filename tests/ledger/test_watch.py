"""The running gateway looks at its books: what is out of order is told once, and not spent from any longer."""

import asyncio
from pathlib import Path

import pytest

from faregate.ledger.accounts import ensure_account
from faregate.ledger.ledger import Ledger
from faregate.ledger.verify import verify, verify_recent
from faregate.stores.database import Transaction
from faregate.stores.sqlite import SqliteDatabase

TAMPERED = {
    "more is leased than leases have": ("UPDATE account SET credits = 10, leased = 1 WHERE id = ?", "I4"),
    "a charge without transfers": (
        "INSERT INTO reservation (id, payer_id, budgets, hold, state, cost, charged, opened_at)"
        " VALUES (x'ffffffffffff70008000000000000001', ?, '[]', 5, 'settled', 5, 5, 0)",
        "I5",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_a_group_out_of_order_is_told_of_once_and_blocked(how: str, tmp_path: Path) -> None:
    statement, invariant = TAMPERED[how]
    said: list[str] = []

    async def run() -> None:
        database = SqliteDatabase(tmp_path / "faregate.db")
        ledger = Ledger(database, tmp_path / "run", lambda level, event: said.append(f"{level} {event}"))
        await ledger.open()
        try:
            accounts = await database.run(
                lambda writing: [ensure_account(writing, f"cust:{name}", "cust", at=0).id for name in "ab"]
            )
            await ledger._verify_again()
            assert not ledger.blocked
            assert not said
            await database.run(lambda writing: writing.run(statement, (accounts[0],)))
            for _ in range(2):
                await ledger._verify_again()
                assert ledger.blocked == {accounts[0]}
        finally:
            await ledger.close()
            await database.close()

    asyncio.run(run())
    [line] = said
    assert line.startswith("error ledger_out_of_order")
    assert invariant in line


def test_a_broken_promotion_blocks_who_would_spend_it(tmp_path: Path) -> None:
    def work(writing: Transaction) -> int:
        payer = ensure_account(writing, "cust:a", "cust", at=0)
        promotion = ensure_account(writing, "promo:a:x", "promo", at=0, payer_id=payer.id)
        writing.run("UPDATE account SET credits = 10, leased = 1 WHERE id = ?", (promotion.id,))
        return payer.id

    async def run() -> None:
        database = SqliteDatabase(tmp_path / "faregate.db")
        payer = await database.run(work)
        assert list(await database.read(lambda reading: verify_recent(reading, b""))) == [payer]
        await database.close()

    asyncio.run(run())


def test_what_an_ended_process_left_open_is_found(tmp_path: Path) -> None:
    """I7 and I8: whoever ends an epoch has settled or reaped all of it."""

    def work(writing: Transaction) -> None:
        payer = ensure_account(writing, "cust:a", "cust", at=0)
        writing.run("UPDATE account SET credits = 9, leased = 5 WHERE id = ?", (payer.id,))
        writing.run("INSERT INTO epoch (id, node, started_at, ended_at) VALUES (1, 'a', 0, NULL), (2, 'b', 0, 1)")
        for epoch in (1, 2):
            writing.run(
                "INSERT INTO lease (account_id, epoch_id, granted, expires_at) VALUES (?, ?, ?, 4e9)",
                (payer.id, epoch, epoch + 1),
            )
            writing.run(
                "INSERT INTO reservation (id, epoch_id, payer_id, budgets, hold, opened_at) "
                "VALUES (?, ?, ?, '[]', 1, 0)",
                (bytes([epoch]) * 16, epoch, payer.id),
            )

    async def run() -> None:
        database = SqliteDatabase(tmp_path / "faregate.db")
        await database.run(work)
        proof = await database.read(verify)
        found = {
            (finding.invariant, finding.subject) for finding in proof.findings if finding.invariant in ("I7", "I8")
        }
        assert found == {("I7", "02" * 16), ("I8", "cust:a")}
        await database.close()

    asyncio.run(run())
