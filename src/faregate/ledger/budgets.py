"""Budgets: what a project or a key may spend in a day, a month, or in all. A hold must fit every one above its key.

A budget is a rule; for each of its periods there is an account, opened when the first call of that period comes, which
is given what the rule allows. From then on it is a leg of holds like any other. Days and months are UTC's, and a call
belongs to the period in which it was admitted. A rule that changes changes the account of the present period too: down
to what is spent or held of it, and no further.
"""

import time
from collections.abc import Callable

import msgspec

from ..core.call import Call
from ..core.identity import Budget
from ..core.ids import RequestIds, id_bytes
from ..core.money import format_amount
from ..stores import audit
from ..stores.audit import Actor
from ..stores.database import Conflict, Database, Transaction, named_queries
from ..stores.directory import Directory
from .accounts import Account, Move, ensure_account, find_account, post
from .calling_back import Recall, call_back, nobody
from .commit import BUDGETS

PERIODS = ("day", "month", "total")
_FORMATS = {"day": "%Y-%m-%d", "month": "%Y-%m", "total": "ever"}
_KEPT_MAX = 50_000


class BudgetState(msgspec.Struct, frozen=True, kw_only=True):
    """A budget in its present period, nano-USD."""

    scope: str
    subject_id: str
    period: str
    amount_nano: int
    spent_nano: int
    held_nano: int
    left_nano: int


def account_name(budget: Budget, now: float) -> str:
    """The account of a budget's period at `now` (unix seconds)."""
    return f"budget:{budget.subject_id}:{time.strftime(_FORMATS[budget.period], time.gmtime(now))}"


class BudgetAccounts:
    """Which accounts a caller's holds take legs of, found once in each period."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._known: dict[str, int] = {}  # accounts by name

    async def of(self, call: Call) -> tuple[int, ...]:
        """The accounts of the budgets of a call's key and of the project that is billed, opened where need be."""
        now, caller = self._clock(), call.caller
        above = (caller.key_id, call.record.project_id)
        names = {account_name(budget, now): budget for budget in caller.budgets if budget.subject_id in above}
        found = {name: self._known[name] for name in names if name in self._known}
        missing = [budget for name, budget in names.items() if name not in found]
        if missing:
            opened = await self._database.run(
                lambda writing: [_open(writing, budget, now, self._clock()) for budget in missing]
            )
            found |= {account.name: account.id for account in opened}
            if len(self._known) > _KEPT_MAX:
                self._known.clear()
            self._known |= found
        return tuple(sorted(found.values()))


def _open(writing: Transaction, budget: Budget, now: float, opened_at: float) -> Account:
    """The account of a budget's present period, with what the rule allows. `opened_at` is of this transaction, whose
    turn may have come later (seals.py)."""
    name = account_name(budget, now)
    found = find_account(writing, name)
    if found is not None:
        return found
    account = ensure_account(writing, name, "budget", at=opened_at)
    if budget.amount_nano:
        _shift(writing, account, budget.amount_nano, opened_at, None, "a new period")
    return account


def _shift(
    writing: Transaction, account: Account, change_nano: int, now: float, author: str | None, reason: str
) -> None:
    """Give an account more, or take back what is free of it."""
    rules = ensure_account(writing, *BUDGETS, at=now)
    amount = change_nano if change_nano > 0 else min(-change_nano, account.available_nano)
    if not amount:
        return
    debit, credit = (rules, account) if change_nano > 0 else (account, rules)
    move = Move(id=id_bytes(RequestIds()(now)), kind="limit", created_at=now, author=author, reason=reason)
    post(writing, debit, credit, amount, move)


class Budgets:
    """What an operator does with budgets. `subject` is a project (id or name) or a key (id). `recall` asks the
    processes for what they do not use of some accounts."""

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
        self._queries = named_queries("directory")

    async def set(self, subject: str, period: str, amount_nano: int | None, *, actor: Actor) -> list[BudgetState]:
        """Allow so much in each period; None ends the budget. NoSuchRecord."""

        def work(writing: Transaction) -> list[BudgetState]:
            scope, identity = self._directory.subject_in(writing, subject)
            self._set(writing, scope, identity, period, amount_nano, actor)
            return self._states(writing, identity)

        def find(reading: Transaction) -> Account | None:
            _, identity = self._directory.subject_in(reading, subject)
            account = self._account(reading, identity, period)
            is_less = account is not None and amount_nano is not None and amount_nano < _given(reading, account)
            return account if is_less else None

        await call_back(self._database, self._recall, find)
        return await self._database.run(work)

    async def move(self, source: str, target: str, period: str, amount_nano: int, *, actor: Actor) -> list[BudgetState]:
        """Let one project spend so much less in each period and another of the same organisation so much more, in one
        step. Conflict where that much is not free of the source's present period, or there is no such budget."""

        def work(writing: Transaction) -> list[BudgetState]:
            projects = [self._directory.project_in(writing, name) for name in (source, target)]
            if projects[0].organisation_id != projects[1].organisation_id or projects[0].id == projects[1].id:
                raise Conflict("a budget is moved between two projects of one organisation")
            now = self._clock()
            budgets = [self._find(writing, project.id, period) for project in projects]
            if budgets[0] is None or budgets[1] is None:
                raise Conflict(f"both projects need a budget by {period}")
            if _open(writing, budgets[0], now, now).available_nano < amount_nano or amount_nano <= 0:
                raise Conflict("that much is not free of the present period")
            for project, budget, change in zip(projects, budgets, (-amount_nano, amount_nano), strict=True):
                assert budget is not None
                self._set(writing, "project", project.id, period, budget.amount_nano + change, actor)
            return [state for project in projects for state in self._states(writing, project.id)]

        def find(reading: Transaction) -> Account | None:
            return self._account(reading, self._directory.project_in(reading, source).id, period)

        await call_back(self._database, self._recall, find, amount_nano)
        return await self._database.run(work)

    async def states(self, subject: str | None = None) -> list[BudgetState]:
        """The budgets of a project or key, or all."""

        def work(reading: Transaction) -> list[BudgetState]:
            identity = None if subject is None else self._directory.subject_in(reading, subject)[1]
            return self._states(reading, identity)

        return await self._database.read(work)

    def _account(self, reading: Transaction, identity: str, period: str) -> Account | None:
        """The account of a budget's present period, if there is one."""
        budget = self._find(reading, identity, period)
        return None if budget is None else find_account(reading, account_name(budget, self._clock()))

    def _find(self, reading: Transaction, identity: str, period: str) -> Budget | None:
        row = reading.one(self._queries["find_budget"], (identity, period))
        return None if row is None else Budget(identity, period, row[0])

    def _set(
        self, writing: Transaction, scope: str, identity: str, period: str, amount_nano: int | None, actor: Actor
    ) -> None:
        now = self._clock()
        before = self._find(writing, identity, period)
        if amount_nano is None:
            writing.run(self._queries["delete_budget"], (identity, period))
        else:
            writing.run(self._queries["set_budget"], (identity, scope, period, amount_nano))
            account = _open(writing, before or Budget(identity, period, amount_nano), now, now)
            change_nano = amount_nano - _given(writing, account)
            _shift(writing, account, change_nano, now, actor.name, "set")
        said = {"scope": scope, "period": period}
        audit.record(
            writing,
            at=now,
            actor=actor,
            action="budget.set",
            subject=identity,
            before={**said, "amount": None if before is None else format_amount(before.amount_nano)},
            after={**said, "amount": None if amount_nano is None else format_amount(amount_nano)},
        )
        self._directory.touch(writing)

    def _states(self, reading: Transaction, identity: str | None) -> list[BudgetState]:
        now = self._clock()
        states = []
        for scope, subject, period, amount in reading.all(self._queries["list_budgets"], (identity,)):
            account = find_account(reading, account_name(Budget(subject, period, amount), now))
            balance = 0 if account is None else account.credits_nano - account.debits_nano
            spent = 0 if account is None else _given(reading, account) - balance
            states.append(
                BudgetState(
                    scope=scope,
                    subject_id=subject,
                    period=period,
                    amount_nano=amount,
                    spent_nano=spent,
                    held_nano=0 if account is None else account.leased_nano,
                    left_nano=amount if account is None else account.available_nano,
                )
            )
        return states


def _given(reading: Transaction, account: Account) -> int:
    """What rules have allowed an account, less what they took back."""
    row = reading.one(named_queries("ledger")["limit_given"], (account.id,))
    return row[0] if row else 0
