"""How an organisation pays: from credit (prepaid), or without, within its budgets alone (metered).

A metered organisation's calls are charged to an account of its own, `metered:<organisation>`, which is given an
allowance that no company reaches: so a charge is one and the same thing for both, and what it has used is what is
debited there.
"""

import time

from ..core.identity import Organisation
from ..core.ids import RequestIds, id_bytes
from ..core.money import NANO_PER_USD
from ..stores.audit import Actor
from ..stores.database import Database, Transaction
from ..stores.directory import Directory
from .accounts import Move, ensure_account, post
from .commit import BUDGETS

ALLOWANCE_NANO = 4_000_000_000 * NANO_PER_USD


async def set_billing(
    database: Database, directory: Directory, organisation: str, billing: str, *, actor: Actor
) -> Organisation:
    """Have an organisation (id or name) pay as `prepaid` or `metered` from now on. NoSuchRecord."""

    def work(writing: Transaction) -> Organisation:
        changed = directory.set_billing(writing, organisation, billing, actor=actor)
        if billing == "metered":
            now = time.time()
            account = ensure_account(writing, f"metered:{changed.id}", "budget", at=now, organisation_id=changed.id)
            if not account.credits_nano:
                source = ensure_account(writing, *BUDGETS, at=now)
                move = Move(
                    id=id_bytes(RequestIds()(now)), kind="limit", created_at=now, author=actor.name, reason="metered"
                )
                post(writing, source, account, ALLOWANCE_NANO, move)
        return changed

    return await database.run(work)
