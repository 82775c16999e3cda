"""Answers that the operator has stored: what there is of them, and what must be nowhere."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from tests.edge.repeats import Another, rows_of
from tests.running.client import Caller, eventually
from tests.running.processes import Gateway

BOUND = 100_000
STORED = f"[idempotency]\nstored = true\nstored_answer_bytes_max = {BOUND}\n"
CANARY = "canary-5b1e-answer"
CANARIES = (CANARY, "canary", "prompt-5b1e", '"finish_reason"', "chat.completion")  # a stream cuts words in pieces
GONE = "idempotency_answer_gone"


class Process(Another):
    """Another process on a gateway's data: `serve`, which leaves the keys as they are."""

    def caller(self, caller: Caller) -> Caller:
        """The same key, asking here."""
        return Caller(self, caller.key)  # type: ignore[arg-type]


@contextmanager
def another(gateway: Gateway) -> Iterator[Process]:
    process = Process(gateway)
    try:
        yield process
    finally:
        assert process.process.stop() == 0


def written(gateway: Gateway, count: int = 1) -> list[dict[str, Any]]:
    """The rows of stored answers, once so many keys' rows have ended; more would show."""
    query = (
        "SELECT key, running_until, length(sealed) AS size FROM idempotency_key"
        " LEFT JOIN idempotency_answer ON key_row_id = id WHERE running_until IS NULL ORDER BY id"
    )
    rows = eventually(lambda: len(found := rows_of(gateway, query)) >= count and found)
    assert len(rows) == count
    return [row for row in rows if row["size"] is not None]


def change(gateway: Gateway, statement: str) -> None:
    """Something done behind the gateway's back."""
    [path] = gateway.data.glob("*.db")
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        database.create_function(
            "with_a_bit_changed", 1, lambda sealed: bytes([*sealed[:-50], sealed[-50] ^ 4, *sealed[-49:]])
        )
        assert database.execute(statement).rowcount > 0


def assert_nowhere(gateway: Gateway, *needles: str) -> None:
    """No file of the data, and no line of the log, has any of these in it."""
    files = {path: path.read_bytes() for path in gateway.folder.rglob("*") if path.is_file()}
    assert {path.name for path in files} >= {"faregate.db", "gateway.log"}
    for needle in needles:
        assert not [str(path) for path, data in files.items() if needle.encode() in data], needle


def assert_books(gateway: Gateway, charges: int) -> None:
    """The ledger is in order, and so many calls were charged."""
    done = gateway.command("ledger", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT" not in done.stdout
    assert len(rows_of(gateway, "SELECT 1 FROM usage WHERE cost > 0")) == charges
