"""`faregate credits` and `faregate ledger` as an operator meets them."""

import asyncio
import json
import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from faregate.ledger.seals import SPARE_S, Seals
from faregate.stores.sqlite import SqliteDatabase

from .test_cli import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.ok("orgs", "create", "acme")
    return made


def test_a_promotion_that_is_over_is_not_given(shell: Shell) -> None:
    promotion = ("credits", "add", "acme", "5", "--promotional", "--reason", "hello", "--expires")
    assert "future" in shell.fails(*promotion, "2020-01-01")
    assert shell.json("credits", "show", "acme") == []
    shell.ok(*promotion, "2099-01-01")


@pytest.mark.contract("7.3", "8.5")
def test_credit_from_top_up_to_statement(shell: Shell) -> None:
    added = shell.ok("credits", "add", "acme", "25.00", "--reason", "invoice 7")
    assert "25" in added
    for _ in range(2):  # said twice, made once
        shell.ok("credits", "add", "acme", "5", "--promotional", "--expires", "30d", "--reason", "hello", "--once", "w")
    shell.ok("credits", "remove", "acme", "0.000000001", "--reason", "a nano")
    promotion, bought = shell.json("credits", "show", "acme")
    assert (promotion["kind"], promotion["available"]) == ("promo", "5")
    assert promotion["expires_at"] is not None
    assert (bought["kind"], bought["available"], bought["expires_at"]) == ("cust", "24.999999999", None)
    lines = shell.json("credits", "statement", "acme")
    assert [(line["kind"], line["amount"], line["balance"]) for line in lines] == [
        ("topup", "25", "25"),
        ("grant", "5", "30"),
        ("payout", "-0.000000001", "29.999999999"),
    ]
    assert {line["reason"] for line in lines} == {"invoice 7", "hello", "a nano"}
    assert all(str(line["author"]).startswith("cli:") for line in lines)
    shell.ok("credits", "expire", str(promotion["account"]), "--reason", "over")
    assert shell.json("credits", "show", "acme")[0]["available"] == "0"
    assert "in order" in shell.ok("ledger", "verify")
    assert "NOT" not in shell.ok("ledger", "verify")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "acme", "1e3", "--reason", "x"), "no amount"),
        (("add", "acme", "0", "--reason", "x"), "more than nothing"),
        (("add", "acme", "0.0000000001", "--reason", "x"), "no amount"),
        (("add", "acme", "1", "--reason", ""), "a reason is needed"),
        (("add", "acme", "1", "--reason", "x", "--expires", "3d"), "never expires"),
        (("add", "nobody", "1", "--reason", "x"), "no organisation"),
        (("remove", "acme", "1", "--reason", "x"), "does not hold"),
        (("expire", "promo:acme:1", "--reason", "x"), "no promotion"),
        (("show", "nobody"), "no organisation"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(shell: Shell, words: tuple[str, ...], said: str) -> None:
    done = shell.run("credits", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert shell.json("credits", "statement", "acme") == []


def test_a_reason_must_be_given(shell: Shell) -> None:
    assert shell.run("credits", "add", "acme", "1").returncode == 2


def test_books_out_of_order_exit_with_one(shell: Shell) -> None:
    shell.ok("credits", "add", "acme", "1", "--reason", "x")
    [path] = shell.folder.rglob("*.db")
    with sqlite3.connect(path) as door:
        door.execute("UPDATE account SET credits = credits + 1 WHERE kind = 'cust'")
    door.close()
    done = shell.run("ledger", "verify")
    assert done.returncode == 1
    assert "I2 does not hold" in done.stdout
    assert "NOT in order" in done.stdout


def test_the_last_sealed_day_is_shown_and_what_was_changed_since(shell: Shell) -> None:
    shell.ok("credits", "add", "acme", "1", "--reason", "x")
    assert "sealed" not in shell.ok("ledger", "verify")
    assert json.loads(shell.ok("ledger", "verify", "--json"))["last_seal"] is None
    [path] = shell.folder.rglob("*.db")
    tomorrow = time.time() + 86_400

    async def seal() -> int:
        database = SqliteDatabase(path)
        try:
            return await Seals(database, print, clock=lambda: tomorrow + SPARE_S).seal_days()
        finally:
            await database.close()

    assert asyncio.run(seal()) == 1
    told = json.loads(shell.ok("ledger", "verify", "--json"))
    day, digest = told["last_seal"]["day"], told["last_seal"]["digest"]
    assert datetime.fromtimestamp(tomorrow - 86_400, UTC).date().isoformat() == day
    assert (told["last_seal"]["transfers"], len(bytes.fromhex(digest)), told["findings"]) == (1, 32, [])
    assert f"transfers are sealed up to {day}: {digest}\n" in shell.ok("ledger", "verify")
    with sqlite3.connect(path) as door:
        door.execute("DROP TRIGGER transfer_is_not_changed")
        door.execute("UPDATE transfer SET reason = 'y'")
    door.close()
    done = shell.run("ledger", "verify")
    assert done.returncode == 1
    assert f"I11 does not hold for {day}: it has 1 transfers and had 1 when it was sealed, and they" in done.stdout
    [finding] = json.loads(shell.run("ledger", "verify", "--json").stdout)["findings"]
    assert (finding["invariant"], finding["subject"]) == ("I11", day)
