"""The invariants of the ledger, as queries (money.md section 11): what can be checked of a database at rest."""

import msgspec

from ..stores.database import Transaction, named_queries
from .accounts import GUARDED, RUNNING


class Finding(msgspec.Struct, frozen=True):
    """An invariant that does not hold, and where."""

    invariant: str
    account: str
    message: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found: the sums by kind of account (credits less debits, nano-USD), and what does not hold."""

    accounts: int
    sums_nano: dict[str, int]
    findings: list[Finding]


def verify(reading: Transaction) -> Proof:
    """Check I1 to I3 over all accounts and transfers.

    I1: over all accounts, credits less debits are nothing. I2: the running figures of an account are the sums of its
    transfers. I3: what a guarded account has given and leased is no more than what it holds.
    """
    findings: list[Finding] = []
    sums: dict[str, int] = {}
    rows = reading.all(named_queries("ledger")["sums_by_account"])
    for _, name, kind, credits, debits, leased, credited, debited in rows:
        sums[kind] = sums.get(kind, 0) + credited - debited
        if kind in RUNNING and (credits, debits) != (credited, debited):
            said = f"it says {credits} credited and {debits} debited, its transfers {credited} and {debited}"
            findings.append(Finding("I2", name, said))
        if kind in GUARDED and debits + leased > credits:
            findings.append(Finding("I3", name, f"{debits} debited and {leased} leased of {credits}"))
    total = sum(sums.values())
    if total:
        findings.append(Finding("I1", "*", f"credits less debits of all accounts are {total}"))
    return Proof(accounts=len(rows), sums_nano=sums, findings=findings)
