"""Accounts and transfers: pure double entry (money.md section 2).

Every move of money is a transfer from one account's debit to another's credit, and stays for ever. Of the accounts that
guard a balance, what is debited or leased never exceeds what was credited: the guarded UPDATE says so first, a CHECK of
the table last. Functions here run inside a transaction of the caller's.
"""

import msgspec

from ..stores.database import Conflict, StoreError, Transaction, named_queries

GUARDED = frozenset({"cust", "promo", "budget"})
RUNNING = GUARDED | {"receivable"}


class InsufficientFunds(StoreError):
    """The account to be debited does not hold the amount, or holds it leased."""


class Account(msgspec.Struct, frozen=True):
    """An account as it stands. `expires_at` (unix seconds) is a promotion's."""

    id: int
    name: str
    kind: str
    organisation_id: str | None
    credits_nano: int
    debits_nano: int
    leased_nano: int
    expires_at: float | None

    @property
    def available_nano(self) -> int:
        """What may still be spent."""
        return self.credits_nano - self.debits_nano - self.leased_nano


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """What a transfer is for. `id` is 16 bytes, a UUIDv7, `leg` tells transfers of one move apart; a second move of the
    same `idempotency_key` is a Conflict, or the first again where it says the same."""

    id: bytes
    kind: str
    created_at: float
    leg: int = 0
    reference: bytes | None = None
    idempotency_key: str | None = None
    author: str | None = None
    reason: str | None = None


def ensure_account(
    writing: Transaction,
    name: str,
    kind: str,
    *,
    at: float,
    organisation_id: str | None = None,
    payer_id: int | None = None,
    expires_at: float | None = None,
) -> Account:
    """The account of that name, opened where it is not there yet. `payer_id` is a promotion's: the bought credit that
    it is spent before."""
    queries = named_queries("ledger")
    writing.run(queries["insert_account"], (name, kind, organisation_id, payer_id, expires_at, at))
    account = find_account(writing, name)
    assert account is not None
    return account


def find_account(reading: Transaction, name: str) -> Account | None:
    """The account of that name, or None."""
    row = reading.one(named_queries("ledger")["find_account"], (name,))
    return None if row is None else Account(*row)


def find_account_by_id(reading: Transaction, account_id: int) -> Account:
    """The account of that id, which must be there."""
    row = reading.one(named_queries("ledger")["find_account_by_id"], (account_id,))
    assert row is not None
    return Account(*row)


def accounts_of(reading: Transaction, organisation_id: str) -> list[Account]:
    """An organisation's accounts, oldest first."""
    rows = reading.all(named_queries("ledger")["accounts_of_organisation"], (organisation_id,))
    return [Account(*row) for row in rows]


def post(writing: Transaction, debit: Account, credit: Account, amount_nano: int, move: Move) -> bool:
    """Move money from `debit` to `credit`; False where this very move was made before.

    InsufficientFunds where a guarded account does not hold it; Conflict for the idempotency key of another move.
    """
    queries = named_queries("ledger")
    if move.idempotency_key is not None:
        made = writing.one(queries["find_transfer_made"], (move.idempotency_key,))
        if made is not None:
            if made != (debit.id, credit.id, amount_nano, move.kind):
                raise Conflict(f"the idempotency key {move.idempotency_key} belongs to another move")
            return False
    if debit.kind in GUARDED:
        if not writing.run(queries["add_guarded_debits"], (debit.id, amount_nano)):
            raise InsufficientFunds(f"{debit.name} does not hold that much that is free")
    elif debit.kind in RUNNING:
        writing.run(queries["add_debits"], (debit.id, amount_nano))
    if credit.kind in RUNNING and not writing.run(queries["add_credits"], (credit.id, amount_nano)):
        raise Conflict(f"{credit.name} cannot hold that much")
    writing.run(
        queries["insert_transfer"],
        (
            move.id,
            move.leg,
            debit.id,
            credit.id,
            amount_nano,
            move.kind,
            move.reference,
            move.idempotency_key,
            move.author,
            move.reason,
            move.created_at,
        ),
    )
    return True
