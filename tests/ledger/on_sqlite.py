"""The real ledger on a SQLite file as a store that the model's runs can be put to. Only what the office posts, which
has no batches in the real ledger, is done here, by the ledger's own postings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from faregate.core.call import UsageRecord
from faregate.ledger import commit as real_commit
from faregate.ledger import records as real
from faregate.ledger.accounts import Account, Move, ensure_account, find_account, post
from faregate.ledger.reaper import reap
from faregate.ledger.receipts import Receipts, Unstorable
from faregate.ledger.refunds import refund
from faregate.stores.database import StoreError, Transaction
from faregate.stores.sqlite import Session, open_migrated

from . import model
from .model_store import LOW

OFFICE_KINDS = {
    "revenue:usage": "revenue",
    "clearing:psp": "clearing",
    "contra:promo": "contra",
    "memo:budgets": "memo",
}


class SqliteStore:
    """model.Store on the real thing. `clock` is in ticks, which are seconds here."""

    def __init__(self, clock: Callable[[], int], path: Path) -> None:
        self._clock = clock
        self._session: Session = open_migrated(path)
        self._session.connection.executescript(
            """
            PRAGMA synchronous = OFF;  -- power is not cut in a simulation
            CREATE TEMP TABLE posted (number INTEGER PRIMARY KEY, id BLOB, leg INTEGER);
            CREATE TEMP TRIGGER note_the_order AFTER INSERT ON main.transfer
            BEGIN
                INSERT INTO posted (id, leg) VALUES (NEW.id, NEW.leg);
            END;
            """
        )
        self._receipts = Receipts()
        self._names: dict[int, str] = {}
        self._posted: list[model.Transfer] = []
        self._moves = 0

    def close(self) -> None:
        self._session.close()

    # Transactions

    def start(self) -> int:
        return self._session.transact(lambda writing: real_commit.start_epoch(writing, "model", self._clock()))

    def commit(self, epoch: int, seq: int, records: Sequence[msgspec.Struct]) -> Sequence[object]:
        def work(writing: Transaction) -> list[object]:
            if all(type(record) in _OFFICE for record in records):
                return self._office(writing, epoch, seq, records)
            theirs = [self._to_real(writing, record) for record in records]
            results = real_commit.commit(
                writing,
                epoch,
                seq,
                theirs,
                self._clock(),
                ttl_s=model.TTL,
                low_nano=LOW,
                receipts=self._receipts,
                calls={each.reservation: self._call(each.reservation) for each in theirs if type(each) is real.Settle},
                singly=singly,
            )
            return [self._from_real(writing, result) for result in results]

        singly = False
        try:
            results = self._transact(work)
        except Unstorable:
            singly = True
            results = self._transact(work)
        self._read_transfers()
        return results

    def reap(self, now: int, dead: frozenset[int] = frozenset()) -> None:
        self._session.transact(lambda writing: reap(writing, now, dead, model.GRACE))
        self._read_transfers()

    def _transact(self, work: Callable[[Transaction], list[object]]) -> list[object]:
        self._receipts.begin()
        results = self._session.transact(work)
        self._receipts.committed()
        return results

    def _call(self, reservation: bytes) -> UsageRecord:
        """What is known of a call, so that each charge has its usage row."""
        return UsageRecord(id=reservation.hex(), received_at=self._clock(), key_id="key", model="model")

    # Records there and back

    def _id(self, reading: Transaction, name: str) -> int:
        account = find_account(reading, name)
        return 0 if account is None else account.id

    def _name(self, reading: Transaction, account_id: int) -> str:
        if account_id not in self._names:
            row = reading.one("SELECT name FROM account WHERE id = ?", (account_id,))
            assert row is not None
            self._names[account_id] = row[0]
        return self._names[account_id]

    def _legs(self, reading: Transaction, legs: Iterable[model.Leg]) -> tuple[real.Leg, ...]:
        return tuple(real.Leg(leg.lease, self._id(reading, leg.group), leg.amount) for leg in legs)

    def _to_real(self, reading: Transaction, record: Any) -> real.Record:
        match record:
            case model.Lease():
                wants = (real.Want(self._id(reading, want.group), want.need, want.want) for want in record.wants)
                return real.Lease(tuple(wants))
            case model.Renew():
                return real.Renew()
            case model.Return():
                return real.Return(record.lease, record.amount)
            case model.Ckpt():
                reservation = record.reservation.encode()
                return real.Checkpoint(reservation, record.cost, self._call(reservation))
            case model.Settle():
                return real.Settle(record.reservation.encode(), record.cost, self._legs(reading, record.offers))
        payer = self._id(reading, record.payer)
        budgets = tuple(self._id(reading, budget) for budget in record.budgets)
        reservation = record.reservation.encode()
        if isinstance(record, model.OpenJob):
            return real.OpenJob(reservation, payer, budgets, record.hold, record.deadline)
        return real.Open(reservation, payer, budgets, record.hold, self._legs(reading, record.legs))

    def _from_real(self, reading: Transaction, result: real.Result) -> object:
        match result:
            case real.Granted():
                leases = tuple(
                    model.Grant(
                        grant.lease,
                        self._name(reading, grant.group),
                        self._name(reading, grant.account),
                        int(grant.ends_at),
                        grant.amount,
                    )
                    for grant in result.leases
                )
                return model.Granted(leases, result.available)
            case real.Renewed():
                return result.leases
            case real.Done():
                return result.done
            case real.Settled(known=False):
                return None
        drawn = tuple(model.Leg(leg.lease, self._name(reading, leg.group), leg.amount) for leg in result.drawn)
        return model.Settled(result.charged, drawn)

    # What the office posts

    def _office(self, writing: Transaction, epoch: int, seq: int, records: Sequence[Any]) -> list[object]:
        stored = writing.one("SELECT results FROM batch WHERE epoch_id = ? AND seq = ?", (epoch, seq))
        if stored is not None:
            return [tuple(each) if isinstance(each, list) else each for each in msgspec.msgpack.decode(stored[0])]
        results = [_OFFICE[type(record)](self, writing, record) for record in records]
        encoded = msgspec.msgpack.encode(results)
        writing.run("INSERT INTO batch VALUES (?, ?, ?)", (epoch, seq, encoded))
        return results

    def _open_account(self, writing: Transaction, name: str, kind: str) -> Account:
        return ensure_account(writing, name, kind, at=self._clock())

    def _post(self, writing: Transaction, debit: Account, credit: Account, amount: int, kind: str, ref: str) -> None:
        self._moves += 1
        identity = b"move%012d" % self._moves
        post(
            writing,
            debit,
            credit,
            amount,
            Move(id=identity, kind=kind, created_at=self._clock(), reference=ref.encode()),
        )

    def _top_up(self, writing: Transaction, record: model.TopUp) -> bool:
        if writing.one("SELECT 1 FROM transfer WHERE kind = 'topup' AND reference = ?", (record.payment.encode(),)):
            return False
        clearing = self._open_account(writing, "clearing:psp", "clearing")
        payer = self._open_account(writing, record.payer, "cust")
        self._post(writing, clearing, payer, record.amount, "topup", record.payment)
        return True

    def _charge_back(self, writing: Transaction, record: model.Chargeback) -> tuple[int, int] | None:
        reference = record.payment.encode()
        paid = writing.one(
            "SELECT amount, credit_account FROM transfer WHERE kind = 'topup' AND reference = ?", (reference,)
        )
        done = writing.one("SELECT 1 FROM transfer WHERE kind = 'chargeback' AND reference = ?", (reference,))
        if paid is None or done is not None:
            return None
        name = self._name(writing, paid[1])
        payer = find_account(writing, name)
        assert payer is not None
        clearing = self._open_account(writing, "clearing:psp", "clearing")
        taken = min(paid[0], payer.available_nano)
        if taken:
            self._post(writing, payer, clearing, taken, "chargeback", record.payment)
        debt = self._open_account(writing, f"receivable:{name.partition(':')[2]}", "receivable")
        if paid[0] - taken:
            self._post(writing, debt, clearing, paid[0] - taken, "chargeback", record.payment)
        return taken, paid[0] - taken

    def _grant(self, writing: Transaction, record: model.GrantPromo) -> bool:
        if find_account(writing, record.account) is not None:
            return False
        payer = self._open_account(writing, record.payer, "cust")
        account = ensure_account(
            writing, record.account, "promo", at=self._clock(), payer_id=payer.id, expires_at=record.expires_at
        )
        source = self._open_account(writing, "contra:promo", "contra")
        self._post(writing, source, account, record.amount, "grant", record.account)
        return True

    def _expire(self, writing: Transaction, record: model.ExpirePromo) -> int:
        account = find_account(writing, record.account)
        assert account is not None
        if account.expires_at is None or account.expires_at > self._clock() or not account.available_nano:
            return 0
        target = self._open_account(writing, "contra:promo", "contra")
        self._post(writing, account, target, account.available_nano, "expiry", record.account)
        return account.available_nano

    def _limit(self, writing: Transaction, record: model.SetLimit) -> bool:
        budget = self._open_account(writing, record.account, "budget")
        source = self._open_account(writing, "memo:budgets", "memo")
        self._post(writing, source, budget, record.amount, "limit", record.account)
        return True

    def _move(self, writing: Transaction, record: model.MoveBudget) -> bool:
        source, target = find_account(writing, record.source), find_account(writing, record.target)
        if source is None or target is None or source.available_nano < record.amount:
            return False
        self._post(writing, source, target, record.amount, "move", record.source)
        return True

    def _refund(self, writing: Transaction, record: model.Refund) -> bool:
        move = Move(id=b"", kind="refund", created_at=self._clock(), idempotency_key=record.refund)
        try:
            return refund(writing, record.reservation.encode(), record.amount, move)
        except StoreError:
            return False

    # Reading

    def read(self, work: Callable[[Transaction], Any]) -> Any:
        """What `work` reads."""
        return work(self._session)

    def accounts(self) -> Mapping[str, model.AccountRow]:
        rows = self._session.all(
            "SELECT a.name, a.kind, coalesce(p.name, a.name), a.expires_at, a.credits, a.debits, a.leased"
            " FROM account AS a LEFT JOIN account AS p ON p.id = a.payer_id"
            " WHERE a.kind IN ('cust', 'promo', 'budget', 'receivable')"
        )
        return {row[0]: model.AccountRow(*row) for row in rows}

    def leases(self) -> Iterable[model.LeaseRow]:
        rows = self._session.all(
            "SELECT l.id, a.name, l.epoch_id, coalesce(CAST(l.job AS TEXT), 'epoch:' || l.epoch_id), l.granted,"
            " l.expires_at, l.settled, l.active FROM lease AS l JOIN account AS a ON a.id = l.account_id"
        )
        return [model.LeaseRow(*row[:7], active=bool(row[7])) for row in rows]

    def reservations(self) -> Mapping[str, model.ReservationRow]:
        session = self._session
        legs: dict[bytes, list[model.Leg]] = {}
        for reservation, lease, group, amount in session.all(
            "SELECT l.reservation_id, l.lease_id, a.name, l.amount FROM reservation_leg AS l"
            " JOIN account AS a ON a.id = l.group_id ORDER BY l.reservation_id, l.position"
        ):
            legs.setdefault(reservation, []).append(model.Leg(lease, group, amount))
        rows = session.all(
            "SELECT id, payer_id, budgets, hold, deadline, checkpoint, state, cost, charged FROM reservation"
        )
        found = {}
        for identity, payer, budgets, hold, deadline, *rest in rows:
            found[identity.decode()] = model.ReservationRow(
                identity.decode(),
                self._name(session, payer),
                tuple(self._name(session, budget) for budget in msgspec.json.decode(budgets)),
                hold,
                tuple(legs.get(identity, ())),
                deadline,
                *rest,
            )
        return found

    def transfers(self, since: int = 0) -> Sequence[model.Transfer]:
        return self._posted[since:]

    def _read_transfers(self) -> None:
        rows = self._session.all(
            "SELECT t.debit_account, t.credit_account, t.amount, t.kind, t.reference FROM posted AS p"
            " JOIN transfer AS t ON t.id = p.id AND t.leg = p.leg WHERE p.number > ? ORDER BY p.number",
            (len(self._posted),),
        )
        for debit, credit, amount, kind, reference in rows:
            names = self._name(self._session, debit), self._name(self._session, credit)
            self._posted.append(model.Transfer(*names, amount, kind, reference.decode()))


_OFFICE: dict[type, Callable[[SqliteStore, Transaction, Any], object]] = {
    model.TopUp: SqliteStore._top_up,
    model.Chargeback: SqliteStore._charge_back,
    model.GrantPromo: SqliteStore._grant,
    model.ExpirePromo: SqliteStore._expire,
    model.SetLimit: SqliteStore._limit,
    model.MoveBudget: SqliteStore._move,
    model.Refund: SqliteStore._refund,
}
