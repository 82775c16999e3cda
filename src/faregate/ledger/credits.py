"""Credit by hand: an operator gives it, takes it back, looks at it. Each move is a transfer with an author and a
reason, and a row of the audit log, in one transaction."""

import time
from collections.abc import Callable

import msgspec

from ..core.ids import RequestIds, id_bytes
from ..core.money import AMOUNT_NANO_MAX, format_amount
from ..stores import audit
from ..stores.audit import Actor
from ..stores.database import Conflict, Database, NoSuchRecord, Transaction, named_queries
from ..stores.directory import Directory
from .accounts import Account, Move, accounts_of, ensure_account, find_account, find_account_by_id, post
from .calling_back import Recall, call_back, nobody
from .refunds import refund

_STATEMENT_ROWS_MAX = 1000
_SPENDABLE = ("promo", "cust")


def _check(amount_nano: int, reason: str) -> None:
    if not 0 < amount_nano <= AMOUNT_NANO_MAX:
        raise Conflict("an amount is more than nothing, and no more than an account can hold")
    audit.check_reason(reason)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a statement: what came (positive) or went, and what was there after it, nano-USD."""

    id: str
    at: float
    account: str
    kind: str
    amount_nano: int
    balance_nano: int
    author: str | None
    reason: str | None


class Credits:
    """Credit of organisations. `recall` asks the processes for what they do not use of some accounts; `clock` gives
    unix seconds."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        *,
        recall: Recall = nobody,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._recall = recall
        self._directory = directory
        self._clock = clock
        self._ids = RequestIds()

    async def add(
        self, organisation: str, amount_nano: int, *, reason: str, actor: Actor, idempotency_key: str | None = None
    ) -> Account:
        """Book credit that was bought; it never expires (contract.md 7.3). The account that holds it.

        NoSuchRecord for an unknown organisation; Conflict for an amount, a reason or a key that cannot be.
        """
        _check(amount_nano, reason)

        def work(writing: Transaction) -> Account:
            owner = self._directory.organisation_in(writing, organisation).id
            account = self._bought(writing, owner)
            source = ensure_account(writing, "clearing:manual", "clearing", at=self._clock())
            if not writing.one(named_queries("ledger")["has_bought"], (account.id,)):
                self._directory.touch(writing)  # from now on it has the plan of those that paid
            return self._post(writing, source, account, amount_nano, "topup", account, reason, actor, idempotency_key)

        return await self._database.run(work)

    async def grant(
        self,
        organisation: str,
        amount_nano: int,
        *,
        reason: str,
        actor: Actor,
        expires_at: float | None = None,
        idempotency_key: str | None = None,
    ) -> Account:
        """Give promotional credit, an account of its own that is spent before bought credit. As `add`."""
        _check(amount_nano, reason)

        def work(writing: Transaction) -> Account:
            owner = self._directory.organisation_in(writing, organisation).id
            name = f"promo:{owner}:{idempotency_key or self._ids(time.time())}"
            now = self._clock()
            payer = self._bought(writing, owner)
            account = ensure_account(
                writing, name, "promo", at=now, organisation_id=owner, payer_id=payer.id, expires_at=expires_at
            )
            source = ensure_account(writing, "contra:promo", "contra", at=self._clock())
            return self._post(writing, source, account, amount_nano, "grant", account, reason, actor, idempotency_key)

        return await self._database.run(work)

    async def remove(self, organisation: str, amount_nano: int, *, reason: str, actor: Actor) -> Account:
        """Take bought credit back, of what is neither spent nor held. InsufficientFunds; as `add`."""
        _check(amount_nano, reason)

        def find(reading: Transaction) -> Account | None:
            return find_account(reading, f"cust:{self._directory.organisation_in(reading, organisation).id}")

        def work(writing: Transaction) -> Account:
            owner = self._directory.organisation_in(writing, organisation).id
            account = self._bought(writing, owner)
            target = ensure_account(writing, "clearing:manual", "clearing", at=self._clock())
            return self._post(writing, account, target, amount_nano, "payout", account, reason, actor)

        await call_back(self._database, self._recall, find, amount_nano)
        return await self._database.run(work)

    async def expire(self, grant: str, *, reason: str, actor: Actor) -> Account:
        """End a promotion: what is left of it and not held goes back. NoSuchRecord; Conflict where nothing is left."""

        def work(writing: Transaction) -> Account:
            account = find_account(writing, grant)
            if account is None or account.kind != "promo":
                raise NoSuchRecord(f"there is no promotion {grant}; `credits show` names them")
            if account.available_nano <= 0:
                raise Conflict(f"nothing of {grant} is left that could expire")
            _check(account.available_nano, reason)
            target = ensure_account(writing, "contra:promo", "contra", at=self._clock())
            return self._post(writing, account, target, account.available_nano, "expiry", account, reason, actor)

        await call_back(self._database, self._recall, lambda reading: find_account(reading, grant))
        return await self._database.run(work)

    async def refund(
        self,
        request_id: str,
        amount_nano: int | None = None,
        *,
        reason: str,
        actor: Actor,
        idempotency_key: str | None = None,
    ) -> Account:
        """Give back what a request was charged, all that is left of it where no amount is said. The account that pays
        for it, as it is then. NoSuchRecord for no such charge; Conflict for more than is left, or what is not settled.
        """
        try:
            reservation = id_bytes(request_id)
        except ValueError:
            raise NoSuchRecord("that is no request's id") from None
        _check(1 if amount_nano is None else amount_nano, reason)

        def work(writing: Transaction) -> Account:
            row = writing.one(named_queries("ledger")["left_of_charge"], (reservation,))
            if row is None:
                raise NoSuchRecord("there is no such charge")
            payer, left_nano = row
            given_nano = left_nano if amount_nano is None else amount_nano
            at = self._clock()
            key = idempotency_key or f"refund:{request_id}:{left_nano}"
            move = Move(
                id=reservation, kind="refund", created_at=at, idempotency_key=key, author=actor.name, reason=reason
            )
            if refund(writing, reservation, given_nano, move):
                said = {"amount": format_amount(given_nano), "reason": reason}
                audit.record(
                    writing, at=at, actor=actor, action="credit.refund", subject=request_id, before=None, after=said
                )
            return find_account_by_id(writing, payer)

        return await self._database.run(work)

    def _bought(self, writing: Transaction, owner: str) -> Account:
        """The account of what an organisation bought. With it an organisation can pay, which its callers shall see."""
        name = f"cust:{owner}"
        found = find_account(writing, name)
        if found is None:
            found = ensure_account(writing, name, "cust", at=self._clock(), organisation_id=owner)
            self._directory.touch(writing)
        return found

    def _post(
        self,
        writing: Transaction,
        debit: Account,
        credit: Account,
        amount_nano: int,
        kind: str,
        subject: Account,
        reason: str,
        actor: Actor,
        idempotency_key: str | None = None,
    ) -> Account:
        """One move by hand and its audit row; `subject` is the customer's account, given back as it is then."""
        at = self._clock()
        move = Move(
            id=id_bytes(self._ids(time.time())),
            kind=kind,
            created_at=at,
            idempotency_key=idempotency_key,
            author=actor.name,
            reason=reason,
        )
        is_new = post(writing, debit, credit, amount_nano, move)
        after = find_account(writing, subject.name)
        assert after is not None
        if is_new:
            audit.record(
                writing,
                at=at,
                actor=actor,
                action=f"credit.{kind}",
                subject=subject.name,
                before={"available": format_amount(subject.available_nano)},
                after={
                    "available": format_amount(after.available_nano),
                    "amount": format_amount(amount_nano),
                    "reason": reason,
                },
            )
        return after

    async def accounts(self, organisation: str) -> list[Account]:
        """An organisation's credit: promotions by when they end, then what it bought; what it used while metered."""

        def work(reading: Transaction) -> list[Account]:
            owner = self._directory.organisation_in(reading, organisation)
            found = [
                account
                for account in accounts_of(reading, owner.id)
                if account.kind in _SPENDABLE or account.name.startswith("metered:")
            ]
            return sorted(found, key=lambda each: (each.kind == "cust", each.expires_at or float("inf"), each.id))

        return await self._database.read(work)

    async def statement(self, organisation: str) -> list[Entry]:
        """Every move of an organisation's credit, oldest first, at most 1,000."""

        def work(reading: Transaction) -> list[Entry]:
            owner = self._directory.organisation_in(reading, organisation)
            rows = reading.all(named_queries("ledger")["statement"], (owner.id, b"", -1, _STATEMENT_ROWS_MAX))
            entries, balance = [], 0
            for identity, _, at, kind, account, is_credit, amount, author, reason in rows:
                change = amount if is_credit else -amount
                balance += change
                entries.append(
                    Entry(
                        id=identity.hex(),
                        at=at,
                        account=account,
                        kind=kind,
                        amount_nano=change,
                        balance_nano=balance,
                        author=author,
                        reason=reason,
                    )
                )
            return entries

        return await self._database.read(work)
