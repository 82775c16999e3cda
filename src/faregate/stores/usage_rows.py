"""A usage record as rows, and back.

What many requests have in common (who, what, how it ended) is kept once, as a context, and found again in a
cache: a row then is half as many values and half as many bytes. Values that sqlite3 stores fast are exact
int, float, str and bytearray: for every None, bool, bytes and enum it first looks for an adapter, which costs
more than storing it. Absent texts are therefore "" and an absent time -1.0 in the tables; the view `usage`
says NULL.
"""

import hashlib
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import msgspec

from ..core.call import UsageRecord
from ..core.usage import NO_USAGE, Usage, UsageSource
from .database import Row, Rows, StoreUnavailable, Transaction, Value, named_queries
from .usage_days import COUNTERS, DAY_S, Counts, DayKey, RareCounts, UsageDays

_CONTEXTS_MAX = 50_000
_RECEIVED_AT_MAX = 1e11  # unix seconds; what lies beyond is no time of day
_COLUMNS = (  # of find_usage, what stands between the id and the token classes
    "received_at",
    "organisation_id",
    "project_id",
    "key_id",
    "method",
    "operation",
    "dialect",
    "client_address",
    "client_request_id",
    "model_asked",
    "model",
    "provider",
    "upstream_model",
    "upstream_request_id",
    "region",
    "replica",
    "attempts",
    "stream",
    "status",
    "error_kind",
)
_SOURCES = {str(source): source for source in UsageSource}
_COUNTED_APART = ("input", "cache_read", "cache_write", "output", "reasoning", "source", "suspect")
_RARE = tuple(name for name in Usage.__struct_fields__ if name not in _COUNTED_APART)
_rare_counters = attrgetter(*_RARE)
_encode = msgspec.json.Encoder().encode
_decode_rare = msgspec.json.Decoder(dict[str, int]).decode

_MODEL, _ERROR_KIND, _SOURCE, _STATUS = 7, 12, 13, 15
_CUT_KIND, _CUT_STATUS = "gateway_stopped", 500

Context = tuple[Any, ...]  # texts and whole numbers, in the order of ensure_context


class Repeated(Exception):
    """Some of the records were there already; nothing may be kept of what was inserted beside them."""


class UsageRows:
    """Writes records as rows. Used on the writing thread alone: `begin` at the start of a transaction, `committed` when
    it is over."""

    def __init__(self) -> None:
        self._contexts: dict[Context, int] = {}  # that are committed, and used on the day below or later
        self._fresh: dict[Context, int] = {}  # made in this transaction
        self._contexts_day = 0
        self._days = UsageDays()
        self._counted: dict[int, dict[int, Counts]] = {}  # by day and context's id, in this transaction
        self._counted_contexts: dict[int, Context] = {}
        self._counted_rare: list[tuple[int, int, Usage]] = []  # with the day and context of each; most often none
        queries = named_queries("journal")
        self._rows = Rows(queries["insert_usage"], queries["usage_values"], queries["usage_conflict"])
        self._ensure_context = queries["ensure_context"]

    def begin(self) -> None:
        """A transaction begins: what one before it made is not there, unless it was said to be committed."""
        self._fresh.clear()
        self._forget_counts()

    def insert(self, writing: Transaction, records: Sequence[UsageRecord]) -> None:
        """Insert the records, many to a statement, and add them to the roll-up.

        Repeated where ids are there already; ValueError and the engine's own refusals for a record that cannot be
        stored. After each of them, insert_singly in a new transaction.
        """
        self._forget_counts()
        if self._rows.insert(writing, self._values(writing, records)) != len(records):
            raise Repeated
        self._days.add(writing, self._sums(), self._rare_sums())

    def insert_singly(self, writing: Transaction, records: Sequence[UsageRecord]) -> list[UsageRecord]:
        """Insert what can be inserted, and is not there yet, and add it to the roll-up; gives the records that no
        database could take."""
        self._forget_counts()
        new: list[UsageRecord] = []
        refused: list[UsageRecord] = []
        for record in records:
            try:
                if self._rows.insert(writing, self._values(writing, [record])):
                    new.append(record)
            except StoreUnavailable:
                raise
            except Exception:  # whatever it is, the other records are to be kept
                refused.append(record)
        self._forget_counts()
        self._values(writing, new)  # counts them
        self._days.add_capped(writing, self._sums(), self._rare_sums())
        return refused

    def committed(self) -> None:
        """The contexts of the last insert are there to stay."""
        if len(self._contexts) + len(self._fresh) > _CONTEXTS_MAX:
            self._contexts.clear()
        self._contexts.update(self._fresh)
        self._fresh.clear()

    def context_if_cut(self, writing: Transaction, record: UsageRecord) -> int:
        """The id of the context that a call has if its process dies under it."""
        context = list(_context(record, NO_USAGE))
        context[_ERROR_KIND], context[_STATUS] = _CUT_KIND, _CUT_STATUS
        self._turn_to_day(record.received_at)
        cut = tuple(context)
        return self._contexts.get(cut) or self._make_context(writing, cut)

    def _forget_counts(self) -> None:
        self._counted.clear()
        self._counted_contexts.clear()
        self._counted_rare.clear()

    def _values(self, writing: Transaction, records: Sequence[UsageRecord]) -> list[tuple[Value, ...]]:
        """What is bound for the records; counts them."""
        values: list[tuple[Value, ...]] = []
        contexts = self._contexts
        day_start = day_end = 0
        day_counts: dict[int, Counts] = {}
        for record in records:
            received_at = record.received_at
            if not day_start <= received_at < day_end:
                day_start, day_counts = self._turn_to_day(received_at)
                day_end = day_start + DAY_S
            usage = record.usage
            context = _context(record, usage)
            context_id = contexts.get(context) or self._make_context(writing, context)
            first_byte_ms = record.first_byte_ms
            rare = _rare(usage)
            if rare:
                self._counted_rare.append((day_start // DAY_S, context_id, usage))
            values.append(
                (
                    bytearray.fromhex(record.id.replace("-", "")),
                    context_id,
                    received_at,
                    record.client_address,
                    record.client_request_id or "",
                    record.upstream_request_id or "",
                    usage.input,
                    usage.cache_read,
                    usage.cache_write,
                    usage.output,
                    usage.reasoning,
                    -1.0 if first_byte_ms is None else first_byte_ms,
                    record.total_ms,
                    record.bytes_in,
                    record.bytes_out,
                    record.hold_nano,
                    record.cost_nano,
                    rare,
                )
            )
            counts = day_counts.get(context_id)
            if counts is None:
                counts = day_counts[context_id] = [0] * len(COUNTERS)
                self._counted_contexts[context_id] = context
            counts[0] += 1
            counts[2] += usage.input
            counts[3] += usage.cache_read
            counts[4] += usage.cache_write
            counts[5] += usage.output
            counts[6] += usage.reasoning
            counts[7] += record.bytes_in
            counts[8] += record.bytes_out
            counts[9] += record.cost_nano
        return values

    def _turn_to_day(self, received_at: float) -> tuple[int, dict[int, Counts]]:
        """When the day of a request began, unix seconds, and what was counted of it, by context. ValueError."""
        if not 0 <= received_at < _RECEIVED_AT_MAX:
            raise ValueError("no time of day")
        day = int(received_at) // DAY_S
        if day > self._contexts_day:
            self._contexts_day = day
            self._contexts.clear()
            self._fresh.clear()
        return day * DAY_S, self._counted.setdefault(day, {})

    def _sums(self) -> dict[DayKey, Counts]:
        """What was counted, as the roll-up has it."""
        sums: dict[DayKey, Counts] = {}
        for day, by_context in self._counted.items():
            for context_id, counts in by_context.items():
                context = self._counted_contexts[context_id]
                if context[_STATUS] >= 400:
                    counts[1] = counts[0]
                key = day, context[0], context[1], context[2], context[_MODEL]
                known = sums.get(key)
                sums[key] = counts if known is None else [one + other for one, other in zip(known, counts, strict=True)]
        return sums

    def _rare_sums(self) -> RareCounts:
        """What was counted of the rare counters, likewise."""
        sums: RareCounts = {}
        for day, context_id, usage in self._counted_rare:
            context = self._counted_contexts[context_id]
            for name in _RARE:
                count = getattr(usage, name)
                if count:
                    key = day, context[0], context[1], context[2], context[_MODEL], name
                    sums[key] = sums.get(key, 0) + count
        return sums

    def _make_context(self, writing: Transaction, context: Context) -> int:
        known = self._fresh.get(context)
        if known is None:
            fingerprint = hashlib.sha256(_encode(context)).digest()[:16]
            row = writing.one(self._ensure_context, (*context, fingerprint, self._contexts_day))
            known = self._fresh[context] = row[0] if row else 0
        return known


def _context(record: UsageRecord, usage: Usage) -> Context:
    """The columns of usage_context, in the order of ensure_context."""
    return (
        record.organisation_id,
        record.project_id,
        record.key_id,
        record.method,
        record.operation,
        record.dialect,
        record.model_asked,
        record.model,
        record.provider,
        record.upstream_model,
        record.region,
        record.replica,
        record.error_kind or "",
        usage.source._value_,
        record.attempts,
        record.status,
        1 if record.stream else 0,
        1 if usage.suspect else 0,
        record.price_version,
    )


def _rare(usage: Usage) -> str:
    """The counters that have no column of their own, as JSON; "" where they count nothing, which is most often."""
    if not any(_rare_counters(usage)):
        return ""
    return _encode({name: count for name in _RARE if (count := getattr(usage, name))}).decode()


def withdraw(writing: Transaction, identity: bytes) -> None:
    """Take back the row of a call that was thought to be over, and its share of the roll-up."""
    queries = named_queries("usage_days")
    writing.run(queries["subtract_usage"], (identity,))
    writing.run(queries["delete_usage"], (identity,))


def insert_cut(writing: Transaction, epoch: int) -> None:
    """Rows for the open calls of a process that died, as far as they are charged: their checkpoints."""
    queries = named_queries("usage_days")
    writing.run(queries["add_days_of_cut"], (epoch,))
    writing.run(queries["insert_usage_of_cut"], (epoch,))


def record_of(row: Row) -> UsageRecord:
    """A row of find_usage as the record it was."""
    identity = row[0].hex()
    members = dict(zip(_COLUMNS, row[1:21], strict=True))
    return UsageRecord(
        **{**members, "stream": bool(members["stream"])},
        id=f"{identity[:8]}-{identity[8:12]}-{identity[12:16]}-{identity[16:20]}-{identity[20:]}",
        usage=Usage(
            input=row[21],
            cache_read=row[22],
            cache_write=row[23],
            output=row[24],
            reasoning=row[25],
            source=_SOURCES[row[26]],
            suspect=bool(row[27]),
            **(_decode_rare(row[35]) if row[35] else {}),
        ),
        first_byte_ms=row[28],
        total_ms=row[29],
        bytes_in=row[30],
        bytes_out=row[31],
        hold_nano=row[32],
        cost_nano=row[33],
        price_version=row[34],
    )
