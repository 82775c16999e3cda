"""What the stores ask of a database, and the SQL they ask it with. SQL is written once, in `sql/`; only
`sqlite.py` (and its PostgreSQL twin) know an engine.

Work is a function of a Transaction: it runs to its end on the database's own thread, in one transaction, and
its result comes back as a future. Nothing of the event loop is held while it runs.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

Value = str | bytes | bytearray | int | float | None
Row = tuple[Any, ...]
Result = TypeVar("Result")

SQL = Path(__file__).parent / "sql"
_NAME_LINE = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


class StoreError(Exception):
    """A store cannot do what was asked. The message is for the operator; it holds no secret."""


class NoSuchRecord(StoreError):
    """What was named is not there."""


class Conflict(StoreError):
    """What was asked contradicts what is there: a name taken, a key revoked."""


class StoreUnavailable(StoreError):
    """The database itself fails: the disk is full, the file cannot be read."""


class StoreBroken(StoreError):
    """The disk failed in a commit. What it was told to keep it may have lost, and a second try that succeeds would not
    say so: the process must end, and the next one reads what is really there."""


class Transaction(Protocol):
    """One transaction. Parameters are bound, never written into the text (security.md S5)."""

    def one(self, query: str, parameters: Sequence[Value] = ()) -> Row | None:
        """The first row, or None."""
        ...

    def all(self, query: str, parameters: Sequence[Value] = ()) -> list[Row]:
        """Every row."""
        ...

    def run(self, query: str, parameters: Sequence[Value] = ()) -> int:
        """Do it; gives the number of rows changed."""
        ...


class Writer(Protocol):
    """The writing thread, as a job on it sees it: the job decides when its transactions begin and end."""

    def transact(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` in one write transaction: committed when it returns, rolled back when it raises."""
        ...


class Database(Protocol):
    """An open database. Failures of the engine are StoreUnavailable."""

    def submit(self, job: Callable[[Writer], Result]) -> "Future[Result]":
        """Run `job` on the writing thread, after all that was submitted before; never blocks the caller."""
        ...

    async def run(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` in one write transaction on the writing thread."""
        ...

    async def read(self, work: Callable[[Transaction], Result]) -> Result:
        """`work` on the reading connection: each query sees what was committed before it, none may write."""
        ...

    async def close(self) -> None:
        """Finish what was submitted and close. Idempotent."""
        ...


class Rows:
    """An INSERT of many rows, in few statements: an engine's driver gives up the GIL at every step, and a step per row
    costs more than the row. Of SQL: what stands before VALUES and with it, one row's values, what follows them."""

    _SIZE_MAX = 64

    def __init__(self, head: str, values: str, tail: str = "") -> None:
        self._head = head
        self._values = values
        self._tail = tail
        self._statements: dict[int, str] = {}  # by their number of rows

    def insert(self, writing: Transaction, rows: Sequence[Sequence[Value]]) -> int:
        """Insert the rows, in their order; gives the number of rows changed."""
        changed = 0
        for start in range(0, len(rows), self._SIZE_MAX):
            some = rows[start : start + self._SIZE_MAX]
            changed += writing.run(self._statement(len(some)), list(chain.from_iterable(some)))
        return changed

    def _statement(self, size: int) -> str:
        found = self._statements.get(size)
        if found is None:
            values = ", ".join([self._values] * size)
            found = self._statements[size] = f"{self._head} {values} {self._tail}"
        return found


class Among:
    """A SELECT of what many ids name, in few statements. Of SQL: what stands before the list of ids and after it."""

    _SIZE_MAX = 64

    def __init__(self, head: str, tail: str = "") -> None:
        self._head = head
        self._tail = tail
        self._statements: dict[int, str] = {}  # by their number of ids

    def all(self, reading: Transaction, ids: Sequence[Value]) -> list[Row]:
        """Every row."""
        rows: list[Row] = []
        for start in range(0, len(ids), self._SIZE_MAX):
            some = ids[start : start + self._SIZE_MAX]
            rows += reading.all(self._statement(len(some)), some)
        return rows

    def _statement(self, size: int) -> str:
        found = self._statements.get(size)
        if found is None:
            marks = ", ".join("?" * size)
            found = self._statements[size] = f"{self._head} ({marks}) {self._tail}"
        return found


@cache
def named_queries(name: str) -> Mapping[str, str]:
    """The queries of `sql/{name}.sql` by their `-- name:` lines."""
    parts = _NAME_LINE.split((SQL / f"{name}.sql").read_text("utf-8"))
    return {key: text.strip().rstrip(";") for key, text in zip(parts[1::2], parts[2::2], strict=True)}
