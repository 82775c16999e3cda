"""What one read says of a key: what opens it, and who the caller is that does."""

import hmac
import ipaddress
from collections.abc import Iterable

import msgspec

from ..core.identity import Budget, Caller
from ..core.plans import Agreed, Overrides, Share
from .database import Row, Transaction, named_queries
from .directory_rows import decode_bounds, decode_list, decode_overrides

_NO_DIGEST = bytes(32)


class Proof(msgspec.Struct, frozen=True):
    """The digests that open a key, each with when it ends, if it does; whether the key is revoked; its caller."""

    secrets: list[tuple[bytes, float | None]] = []
    is_revoked: bool = False
    caller: Caller | None = None

    def caller_of(self, digest: bytes, now: float) -> Caller | None:
        """The caller with the secret of this digest; None where there is none, or no more. In constant time."""
        if not self.secrets:
            hmac.compare_digest(_NO_DIGEST, digest)  # an unknown id takes as long as a wrong secret
        found = [valid_until for each, valid_until in self.secrets if hmac.compare_digest(each, digest)]
        if not found or self.caller is None or self.is_revoked:
            return None
        ends = min((at for at in (*found, self.caller.expires_at) if at is not None), default=None)
        if ends is not None and ends <= now:
            return None
        return msgspec.structs.replace(self.caller, expires_at=ends)


def read_proof(reading: Transaction, key_id: str) -> Proof:
    """What there is to know of the key of this id; nothing opens one that there is not."""
    rows = reading.all(named_queries("directory")["prove_key"], (key_id,))
    if not rows:
        return Proof()
    return Proof([(row[0], row[1]) for row in rows], rows[0][3] is not None, _caller(reading, key_id, rows[0]))


def _caller(reading: Transaction, key_id: str, row: Row) -> Caller:
    (
        *_,
        expires_at,
        _revoked_at,
        project_id,
        organisation_id,
        disabled,
        models,
        addresses,
        payer,
        bills,
        plan,
        bounds,
        overrides,
        has_paid,
    ) = row
    projects = (project_id, *decode_list(bills))
    agreed = Agreed(
        plan=plan,
        has_paid=bool(has_paid),
        organisation=decode_bounds(bounds),
        projects=_overrides(reading, projects),
        key=decode_overrides(overrides),
        shares=shares_of(reading, (key_id, organisation_id, *projects)),
    )
    return Caller(
        key_id=key_id,
        project_id=project_id,
        organisation_id=organisation_id,
        disabled=bool(disabled),
        expires_at=expires_at,
        allowed_models=frozenset(decode_list(models)),
        allowed_networks=tuple(ipaddress.ip_network(text) for text in decode_list(addresses)),
        payer=payer,
        bills=frozenset(projects[1:]),
        budgets=_budgets(reading, (key_id, *projects)),
        agreed=agreed,
    )


def _budgets(reading: Transaction, subjects: Iterable[str]) -> tuple[Budget, ...]:
    query = named_queries("directory")["budgets_of"]
    return tuple(Budget(*row) for each in sorted(set(subjects)) for row in reading.all(query, (each,)))


def _overrides(reading: Transaction, projects: Iterable[str]) -> dict[str, Overrides]:
    """What is said of the projects of which something is said."""
    query = named_queries("directory")["overrides_of_project"]
    rows = [row for each in projects for row in reading.all(query, (each,))]
    return {project_id: decode_overrides(overrides) for project_id, overrides in rows}


def shares_of(reading: Transaction, subjects: Iterable[str]) -> dict[str, Share]:
    """The shares of throughput that these have, those that have one."""
    query = named_queries("plans")["share_of"]
    rows = [row for each in subjects for row in reading.all(query, (each,))]
    return {row[1]: Share(*row) for row in rows}
