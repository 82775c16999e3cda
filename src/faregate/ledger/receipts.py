"""The usage rows of charged calls, in one transaction with the charge: neither is ever without the other (I5)."""

from collections.abc import Mapping, Sequence

import msgspec

from ..core.call import UsageRecord
from ..core.usage import NO_USAGE
from ..stores.database import StoreUnavailable, Transaction
from ..stores.usage_rows import UsageRows
from .records import Record, Result, Settle, Settled


class Unstorable(Exception):
    """A row is refused. Nothing of the transaction may be kept; after that, `write` with `singly`."""


class Receipts:
    """Writes the rows of the calls that a batch settles. Used on the writing thread alone. `totals` are the accounts
    that usage is credited to, as far as they are known to be there for good."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], int] = {}
        self._rows = UsageRows()

    def begin(self) -> None:
        """A transaction begins."""
        self._rows.begin()

    def committed(self) -> None:
        """The transaction is over, and what it wrote is there."""
        self._rows.committed()

    def context_if_cut(self, writing: Transaction, call: UsageRecord) -> int:
        """What a call's row is to say if its process dies under it, as the id of a context."""
        return self._rows.context_if_cut(writing, call)

    def write(
        self,
        writing: Transaction,
        calls: Mapping[bytes, UsageRecord],
        records: Sequence[Record],
        results: Sequence[Result],
        *,
        singly: bool = False,
    ) -> None:
        """Write the rows of calls (by their reservations), with what each was charged in the end. Unstorable; `singly`,
        what no database could take becomes a row without its texts and counts."""
        for record, result in zip(records, results, strict=True):
            if isinstance(record, Settle) and isinstance(result, Settled):
                call = calls.get(record.reservation)
                if call is not None:
                    call.cost_nano = result.charged
        rows = list(calls.values())
        if singly:
            refused = self._rows.insert_singly(writing, rows)
            self._rows.insert_singly(writing, [_bare(call) for call in refused])
            return
        try:
            self._rows.insert(writing, rows)
        except StoreUnavailable:
            raise
        except Exception as error:
            raise Unstorable(type(error).__name__) from error


def _bare(call: UsageRecord) -> UsageRecord:
    return msgspec.structs.replace(
        call,
        client_request_id=None,
        upstream_request_id=None,
        model_asked=call.model,
        usage=NO_USAGE,
        first_byte_ms=None,
        total_ms=0.0,
    )
