"""`faregate ledger`: verify."""

import argparse
import sys

import msgspec

from ..core.money import format_amount
from ..ledger.seals import Seal, name_of_day
from ..ledger.verify import verify
from .context import FAILURES, show_json, show_table, with_stores

__all__ = ["FAILURES", "run"]


def run(arguments: argparse.Namespace) -> int:
    """Check the books; 1 where they are not in order."""
    proof = with_stores(arguments, lambda _, database: database.read(verify))
    sums = {kind: format_amount(nano) for kind, nano in sorted(proof.sums_nano.items())}
    sealed = None if proof.last_seal is None else _as_shown(proof.last_seal)
    if arguments.json:
        counts = msgspec.structs.asdict(proof)
        counts.pop("sums_nano")
        show_json({**counts, "sums": sums, "last_seal": sealed})
    else:
        show_table(["kind", "balance"], sums.items())
        for finding in proof.findings:
            sys.stdout.write(f"{finding.invariant} does not hold for {finding.subject}: {finding.message}\n")
        if sealed is not None:
            sys.stdout.write(f"transfers are sealed up to {sealed['day']}: {sealed['digest']}\n")
        verdict = "in order" if not proof.findings else "NOT in order"
        sys.stdout.write(
            f"{proof.accounts} accounts, {proof.active_leases} leases, {proof.open_reservations} open reservations: "
            f"the books are {verdict}\n"
        )
    return 1 if proof.findings else 0


def _as_shown(seal: Seal) -> dict[str, object]:
    return {"day": name_of_day(seal.day), "transfers": seal.transfers, "digest": seal.digest.hex()}
