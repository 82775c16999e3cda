"""The invariants of the ledger and of usage, as queries (money.md section 11): what can be checked of a database at
rest."""

import msgspec

from ..stores.database import Transaction, named_queries
from ..stores.usage_days import Difference, differences, kept_since
from .accounts import GUARDED, RUNNING
from .seals import Seal, breaks, last_seal


class Finding(msgspec.Struct, frozen=True):
    """An invariant that does not hold, and of what: an account's name, a reservation's id, a day's usage, a day."""

    invariant: str
    subject: str
    message: str


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found: counts, the sums by kind of account (credits less debits, nano-USD), the last day that is
    sealed, what does not hold."""

    accounts: int
    active_leases: int
    open_reservations: int
    sums_nano: dict[str, int]
    last_seal: Seal | None
    findings: list[Finding]


def verify(reading: Transaction) -> Proof:
    """Check I1 to I5, I7, I8 and I11 over all accounts, transfers, leases and reservations, and I10 over usage.

    I1: over all accounts, credits less debits are nothing. I2: the running figures of an account are the sums of its
    transfers. I3: what a guarded account has given and leased is no more than what it holds. I4: what is leased is what
    active leases have left. I5: a reservation was charged what its transfers say, its cost is its charge and what was
    written off, nothing was charged without one, and its usage row (where it is kept still) says the same. I7, I8: of a
    process that has ended no reservation is open and no lease active. I10: the roll-up of a day is the sum of its usage
    rows, where all of them are there still. I11: the transfers of a day are those that it was sealed with, and from the
    first sealed day to the last all are sealed.
    """
    queries = named_queries("ledger")
    findings: list[Finding] = []
    sums: dict[str, int] = {}
    for _, name, kind, credits, debits, leased, *halves in reading.all(queries["sums_by_account"]):
        credited, debited = (halves[0] << 32) + halves[1], (halves[2] << 32) + halves[3]
        sums[kind] = sums.get(kind, 0) + credited - debited
        if kind in RUNNING and (credits, debits) != (credited, debited):
            said = f"it says {credits} credited and {debits} debited, its transfers {credited} and {debited}"
            findings.append(Finding("I2", name, said))
        if kind in GUARDED and debits + leased > credits:
            findings.append(Finding("I3", name, f"{debits} debited and {leased} leased of {credits}"))
    if sum(sums.values()):
        findings.append(Finding("I1", "*", f"credits less debits of all accounts are {sum(sums.values())}"))
    for name, leased, left in reading.all(queries["leased_otherwise"]):
        findings.append(Finding("I4", name, f"{leased} leased, its leases have {left} left"))
    for identity, state, cost, charged, paid, written_off in reading.all(queries["charged_otherwise"]):
        said = f"{state}: cost {cost}, charged {charged}, its transfers {paid}, written off {written_off}"
        findings.append(Finding("I5", identity.hex(), said))
    for identity, amount in reading.all(queries["charges_of_nobody"]):
        findings.append(Finding("I5", identity.hex(), f"{amount} charged without a reservation"))
    for identity, charged, said_cost in reading.all(queries["charged_without_usage"], (kept_since(reading),)):
        said = "has no usage row" if said_cost is None else f"its usage row says {said_cost}"
        findings.append(Finding("I5", identity.hex(), f"charged {charged}, {said}"))
    for identity, epoch in reading.all(queries["open_of_the_ended"]):
        findings.append(Finding("I7", identity.hex(), f"open, though the process of epoch {epoch} has ended"))
    for name, lease, left in reading.all(queries["leased_to_the_ended"]):
        findings.append(Finding("I8", name, f"lease {lease} has {left} left, though its process has ended"))
    findings += [_rolled_up_otherwise(difference) for difference in differences(reading)]
    seal = last_seal(reading)
    findings += [Finding("I11", found.day, found.message) for found in breaks(reading)]
    counts = reading.one(queries["ledger_counts"])
    assert counts is not None
    return Proof(
        accounts=counts[0],
        active_leases=counts[1],
        open_reservations=counts[2],
        sums_nano=sums,
        last_seal=seal,
        findings=findings,
    )


def _rolled_up_otherwise(found: Difference) -> Finding:
    subject = "/".join((found.day.isoformat(), found.organisation_id, found.project_id, found.key_id, found.model))
    surplus = ", ".join(f"{name} {count:+}" for name, count in found.surplus.items())
    return Finding("I10", subject, f"the roll-up less the usage rows of the day is {surplus}")


def verify_recent(reading: Transaction, since: bytes) -> dict[int, Finding]:
    """The same of what may have changed lately, by the group (records.py) that it concerns: I3 and I4 of all accounts,
    I5 of the newest reservations whose ids are at least `since` (they begin with the time). Cheap enough for every
    minute."""
    queries = named_queries("ledger")
    found: dict[int, Finding] = {}
    for account, name, balance, leased, left in reading.all(queries["accounts_out_of_order"]):
        said = f"{balance} not debited, {leased} leased, its leases have {left} left"
        found[account] = Finding("I4" if leased <= balance else "I3", name, said)
    for payer, identity, cost, charged, paid in reading.all(queries["charged_otherwise_since"], (since,)):
        said = f"cost {cost}, charged {charged}, its transfers {paid}"
        found[payer] = Finding("I5", identity.hex(), said)
    return found
