"""Before a move by hand: what the processes have of an account and do not use comes back, if it is needed (notices.py).

What is held for a call stays where it is, and nobody waits for it: a move takes what is free, or is refused.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from ..stores.database import Database, Transaction
from .accounts import Account

CALLED_BACK_WITHIN_S = 0.25
_LOOK_INTERVAL_S = 0.01

Recall = Callable[[Sequence[int]], bool]


def nobody(groups: Sequence[int]) -> bool:
    """The recall of one who knows of no other process."""
    del groups
    return False


async def call_back(
    database: Database, recall: Recall, find: Callable[[Transaction], Account | None], need_nano: int | None = None
) -> None:
    """Until `need_nano` of the account that `find` finds are free (None: until nothing of it is leased), have the
    processes return what they do not use of it. Gives up after CALLED_BACK_WITHIN_S."""
    deadline = time.monotonic() + CALLED_BACK_WITHIN_S
    while True:
        account = await database.read(find)
        if account is None or not account.leased_nano:
            return
        if need_nano is not None and account.available_nano >= need_nano:
            return
        if time.monotonic() > deadline or not recall((account.id,)):
            return
        await asyncio.sleep(_LOOK_INTERVAL_S)
