"""A batch on its way to the disk, and what becomes of a call whose hold never gets there."""

from collections.abc import Callable

import msgspec

from ..core.call import UsageRecord
from .records import Checkpoint, Open, Record, Renew, Settle

_OF_CALLS = (Open, Checkpoint, Settle)


class Sent(msgspec.Struct):
    """A batch on its way, and when it was put together, by this process's clock."""

    seq: int
    records: list[Record]
    calls: dict[bytes, UsageRecord]  # those that it settles, by their reservations
    built_at: float
    answers: list[Callable[[], None]]  # to who waits for it to be on the disk
    is_first: bool = True  # it was not sent before
    is_under_way: bool = False  # on the writing thread, or about to be
    is_reported: bool = False  # to be on its way for too long
    singly: bool = False  # a row of its calls was refused

    def concerns(self, reservation: bytes) -> bool:
        """Whether anything of a call is in it."""
        return any(isinstance(record, _OF_CALLS) and record.reservation == reservation for record in self.records)


def forget(reservation: bytes, records: list[Record], calls: dict[bytes, UsageRecord]) -> None:
    """Take a call out of a batch that the disk has not taken: it is neither held for nor charged. Its records leave
    others in their places, so that each result is still that of its record."""
    for index, record in enumerate(records):
        if isinstance(record, _OF_CALLS) and record.reservation == reservation:
            records[index] = Renew()
    call = calls.pop(reservation, None)
    if call is not None:
        call.is_charged = False
        call.cost_nano = 0
