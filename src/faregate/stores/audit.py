"""The audit log: who did what to whom, append-only and hash-chained (security.md S9).

Each row's hash covers the row and the hash before it. Triggers in the schema refuse every change; `verify`
finds the row where someone has gone round them.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from .database import Conflict, Row, Transaction, named_queries

_NO_HASH = bytes(32)
_PAGE_ROWS = 1000
_REASON_CHARACTERS_MAX = 500
_encode = msgspec.json.Encoder(order="deterministic").encode


class Actor(msgspec.Struct, frozen=True):
    """Who acts: a name such as `cli:root` or `key:<id>`, and where and in which request, if that is known."""

    name: str
    address: str | None = None
    request_id: str | None = None


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One deed. `at` is unix seconds; `before` and `after` are JSON, None where there was or is nothing."""

    sequence: int
    at: float
    actor: str
    address: str | None
    request_id: str | None
    action: str
    subject: str
    before: str | None
    after: str | None


def check_reason(reason: str) -> None:
    """Conflict where `reason` says nothing, or more than a line."""
    if not reason.strip() or len(reason) > _REASON_CHARACTERS_MAX or not reason.isprintable():
        raise Conflict(f"a reason is needed: one line of at most {_REASON_CHARACTERS_MAX} characters")


def record(
    transaction: Transaction,
    *,
    at: float,
    actor: Actor,
    action: str,
    subject: str,
    before: object,
    after: object,
) -> None:
    """Append a row, in the transaction of the deed itself.

    `action` is `key.revoke`, `subject` the id it befell; `before` and `after` are kept as JSON, None as NULL.
    """
    queries = named_queries("directory")
    last = transaction.one(queries["last_audit"])
    sequence, previous = (last[0] + 1, last[1]) if last else (1, _NO_HASH)
    row = (
        sequence,
        at,
        actor.name,
        actor.address,
        actor.request_id,
        action,
        subject,
        _encode(before).decode() if before is not None else None,
        _encode(after).decode() if after is not None else None,
    )
    transaction.run(queries["insert_audit"], (*row, previous, _hash(previous, row)))


def rows(transaction: Transaction, *, after: int, rows_max: int) -> list[AuditRow]:
    """Up to `rows_max` rows beyond sequence `after`, oldest first."""
    found = transaction.all(named_queries("directory")["list_audit"], (after, rows_max))
    return [AuditRow(**_members(row)) for row in found]


def verify(transaction: Transaction) -> int | None:
    """The sequence of the first row that is not what was written, or None where the whole chain holds."""
    query = named_queries("directory")["list_audit"]
    previous, expected = _NO_HASH, 1
    while page := transaction.all(query, (expected - 1, _PAGE_ROWS)):
        for row in page:
            if row[0] != expected or row[9] != previous or row[10] != _hash(previous, row[:9]):
                return expected
            previous, expected = row[10], expected + 1
    return None


def _hash(previous: bytes, row: Row) -> bytes:
    return hashlib.sha256(previous + _encode(row)).digest()


def _members(row: Row) -> Mapping[str, Any]:
    return dict(zip(AuditRow.__struct_fields__, row[:9], strict=True))
