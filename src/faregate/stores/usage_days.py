"""The roll-up: what was used by day, project, key and model, kept for ever.

Its writer is the journal, which adds what its rows sum up to in the transaction that inserts them: a row and its share
of the sums are there together or not at all. A day is that of `received_at`, in UTC, as days since 1970.
"""

from collections.abc import Collection, Mapping
from datetime import date, timedelta

import msgspec

from ..core.ids import first_id
from .database import Row, Rows, Transaction, named_queries

DAY_S = 86_400
GROUPS = ("day", "org", "project", "key", "model")  # by which sums can be told apart
COUNTERS = (
    "requests",
    "errors",
    "input",
    "cache_read",
    "cache_write",
    "output",
    "reasoning",
    "bytes_in",
    "bytes_out",
    "cost_nano",
)
_SUM_MAX = 2**63 - 1
_LAST_DAY = 10**9
_EPOCH = date(1970, 1, 1)

DayKey = tuple[int, str, str, str, str]  # day, organisation, project, key, model
Counts = list[int]  # as COUNTERS
RareCounts = dict[tuple[int, str, str, str, str, str], int]  # a DayKey and the name of a counter


class UsageDays:
    """Adds to the roll-up. Used on the writing thread alone."""

    def __init__(self) -> None:
        queries = named_queries("usage_days")
        head, values = queries["add_days"], queries["day_values"]
        self._rows = Rows(head, values, queries["day_conflict"])
        self._capped_rows = Rows(head, values, queries["day_conflict_capped"])
        head, values = queries["add_rare"], queries["rare_values"]
        self._rare_rows = Rows(head, values, queries["rare_conflict"])
        self._capped_rare_rows = Rows(head, values, queries["rare_conflict_capped"])

    def add(self, writing: Transaction, sums: dict[DayKey, Counts], rare: RareCounts) -> None:
        """Add the sums of rows that this transaction has inserted. The engine's own refusals where a sum gets too large
        for a column."""
        self._rows.insert(writing, [(*key, *counts) for key, counts in sums.items()])
        if rare:
            self._rare_rows.insert(writing, [(*key, count) for key, count in rare.items()])

    def add_capped(self, writing: Transaction, sums: dict[DayKey, Counts], rare: RareCounts) -> None:
        """The same, slower; a sum that gets too large stays the largest that there is."""
        rows = [(*key, *(min(count, _SUM_MAX) for count in counts)) for key, counts in sums.items()]
        self._capped_rows.insert(writing, rows)
        self._capped_rare_rows.insert(writing, [(*key, min(count, _SUM_MAX)) for key, count in rare.items()])


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which usage to sum up: of whom (None: of all), of which days (both included), told apart by which of GROUPS."""

    organisation_id: str | None = None
    project_id: str | None = None
    key_id: str | None = None
    model: str | None = None
    since: date | None = None
    until: date | None = None
    by: Collection[str] = ()


class UsageSum(msgspec.Struct, frozen=True, kw_only=True):
    """A sum of usage. What it is not told apart by is None; so is the name of what the directory does not have.
    `others` are the counters that few calls have, by their names in Usage, where they count something."""

    day: date | None
    organisation_id: str | None
    organisation: str | None
    project_id: str | None
    project: str | None
    key_id: str | None
    key: str | None
    model: str | None
    requests: int
    errors: int
    input: int
    cache_read: int
    cache_write: int
    output: int
    reasoning: int
    bytes_in: int
    bytes_out: int
    cost_nano: int
    others: dict[str, int]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """A sum that is not that of its rows: by how much the roll-up says more, counter by counter."""

    day: date
    organisation_id: str
    project_id: str
    key_id: str
    model: str
    surplus: dict[str, int]


def sums(reading: Transaction, wanted: Wanted) -> list[UsageSum]:
    """The sums that are wanted, in the order of GROUPS; none where nothing was used."""
    bounds = (
        0 if wanted.since is None else _number_of(wanted.since),
        _LAST_DAY if wanted.until is None else _number_of(wanted.until),
    )
    whose = (wanted.organisation_id, wanted.project_id, wanted.key_id, wanted.model)
    apart = tuple(int(group in wanted.by) for group in GROUPS)
    parameters = (*bounds, *whose, *apart)
    rows = reading.all(named_queries("usage_days")["sums"], parameters)
    others: dict[Row, dict[str, int]] = {}
    for *key, counter, amount in reading.all(named_queries("usage_days")["rare_sums"], parameters):
        others.setdefault(tuple(key), {})[counter] = amount
    return [_sum_of(row, others) for row in rows if row[8] is not None]


def tokens_of_day(reading: Transaction, subject: str, subject_id: str, day: int) -> int:
    """How many tokens the records say that a `key`, a `project` or an `organisation` has used on a day: all classes
    that the sums have, of prompts and of answers."""
    whose = (subject_id if subject == name else None for name in ("organisation", "project", "key"))
    row = reading.one(named_queries("usage_days")["tokens_of_day"], (day, *whose))
    return 0 if row is None else int(min(row[0], _SUM_MAX >> 1))


def was_used(reading: Transaction, model: str) -> bool:
    """Whether anybody has ever called a model of this id."""
    return reading.one(named_queries("usage_days")["model_was_used"], (model,)) is not None


def differences(reading: Transaction) -> list[Difference]:
    """Where the roll-up of a day is not the sum of its rows (money.md I10), of the days whose rows are all there still.

    Reads every row, in one statement: what is written meanwhile makes no difference.
    """
    found = []
    for day, organisation, project, key, model, *surplus in reading.all(named_queries("usage_days")["differences"]):
        found.append(
            Difference(
                day=_date_of(day),
                organisation_id=organisation,
                project_id=project,
                key_id=key,
                model=model,
                surplus={name: count for name, count in zip(COUNTERS, surplus, strict=True) if count},
            )
        )
    for *key, counter, surplus in reading.all(named_queries("usage_days")["rare_differences"]):
        day, organisation, project, key_id, model = key
        found.append(
            Difference(
                day=_date_of(day),
                organisation_id=organisation,
                project_id=project,
                key_id=key_id,
                model=model,
                surplus={f"others.{counter}": surplus},
            )
        )
    return found


def kept_since(reading: Transaction) -> bytes:
    """The lowest id that no retention has deleted: of what is below, usage rows may be gone."""
    row = reading.one(named_queries("usage_days")["deleted_before"])
    return first_id(row[0] if row else 0.0)


def _sum_of(row: Row, others: Mapping[Row, dict[str, int]]) -> UsageSum:
    names = UsageSum.__struct_fields__
    members = dict(zip(names[1:-1], row[1:], strict=True))
    day, organisation, _, project, _, key, _, model, *_ = row
    mine = others.get((day, organisation, project, key, model), {})
    return UsageSum(day=None if day is None else _date_of(day), others=mine, **members)


def _date_of(day: int) -> date:
    return _EPOCH + timedelta(days=day)


def _number_of(day: date) -> int:
    return (day - _EPOCH).days
