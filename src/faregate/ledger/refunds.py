"""Refunds: usage that is given back to what was charged for it, never more than was charged (money.md section 8)."""

import time

from ..core.money import format_amount
from ..stores.database import Conflict, NoSuchRecord, Transaction, named_queries
from .accounts import Move, ensure_account, find_account_by_id, post
from .commit import BUDGETS, NEVER, REVENUE, decode_budgets

_WHEN = "%Y-%m-%d %H:%M:%SZ"


def refund(writing: Transaction, reservation: bytes, amount_nano: int, move: Move) -> bool:
    """Give back `amount_nano` of a reservation that is over: bought credit first, so that a promotion never turns into
    it, and as much to each budget. False where this very refund was made before. What the reaper charged is final from
    then on, or the late word of a process that only slept would move a charge of which a part is gone.

    `move` says who, why and when; its `idempotency_key` is required. NoSuchRecord; Conflict for what is still open, or
    more than is left of the charge, or no key, or that of another move.
    """
    queries = named_queries("ledger")
    row = writing.one(queries["find_reservation"], (reservation,))
    if row is None:
        raise NoSuchRecord("there is no such charge")
    payer, budgets, _, state, _, _ = row
    if move.idempotency_key is None:
        raise Conflict("a refund needs an idempotency key")
    made = writing.one(queries["find_refund_made"], (move.idempotency_key,))
    if made is not None:
        if made != (reservation, "refund"):
            raise Conflict(f"the idempotency key {move.idempotency_key} belongs to another move")
        return False
    if state == "open":
        raise Conflict("what is not settled cannot be refunded")
    if amount_nano <= 0 or not writing.run(queries["raise_refunded"], (reservation, amount_nano)):
        raise _too_much(writing, reservation, payer)
    key = move.idempotency_key
    for group in (payer, *decode_budgets(budgets)):
        name, kind = REVENUE if group == payer else BUDGETS
        source = ensure_account(writing, name, kind, at=move.created_at)
        rest = amount_nano
        for account, charged in writing.all(queries["charged_accounts"], (reservation, group, NEVER)):
            part = min(rest, charged)
            if part <= 0:
                continue
            rest -= part
            target = find_account_by_id(writing, account)
            leg = writing.one(queries["next_leg"], (reservation,))
            assert leg is not None
            made = Move(
                id=reservation,
                leg=leg[0],
                kind="refund",
                created_at=move.created_at,
                reference=reservation,
                idempotency_key=key,
                author=move.author,
                reason=move.reason,
            )
            post(writing, source, target, part, made)
            key = None  # of several transfers the first has it
    return True


def _too_much(reading: Transaction, reservation: bytes, payer: int) -> Conflict:
    """What to say where less is left of a charge than is to be given back: of nothing, where it went."""
    queries = named_queries("ledger")
    left = reading.one(queries["left_of_charge"], (reservation,))
    assert left is not None
    if left[1]:
        return Conflict(f"that is more than is left of the charge: {format_amount(left[1])}")
    made = [
        f"{format_amount(amount)} at {time.strftime(_WHEN, time.gmtime(created_at))}"
        for created_at, amount in reading.all(queries["refunds_made"], (reservation, payer))
    ]
    return Conflict(f"it was refunded already: {', '.join(made)}" if made else "nothing was charged for it")
