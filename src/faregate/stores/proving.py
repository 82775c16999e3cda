"""What one read says of a key: what opens it, and who the caller is that does."""

import hmac
import ipaddress
from collections.abc import Iterable

import msgspec

from ..core.identity import Budget, Caller
from ..core.plans import Agreed, Overrides, Share
from .database import Row, Transaction, named_queries
from .directory_rows import decode_bounds, decode_list, decode_overrides

_REVOKED_AT = 1  # where it stands in a row of prove_key


def prove(reading: Transaction, digest: bytes, key_id: str, now: float) -> Caller | None:
    """The caller with the secret of this digest and this id; None where there is none, or no more.

    Both are looked for at once, and until both are found nothing else is read: so a wrong secret takes as long as an id
    that there is not (F98). How far the search compares a digest tells nothing: without the pepper nobody chooses one.
    """
    queries = named_queries("directory")
    secret = reading.one(queries["find_secret"], (key_id, digest))
    if secret is None or not hmac.compare_digest(secret[0], digest):
        return None
    row = reading.one(queries["prove_key"], (key_id,))
    if row is None or row[_REVOKED_AT] is not None:
        return None
    caller = _caller(reading, key_id, row)
    ends = min((at for at in (secret[1], caller.expires_at) if at is not None), default=None)
    if ends is not None and ends <= now:
        return None
    return msgspec.structs.replace(caller, expires_at=ends)


def _caller(reading: Transaction, key_id: str, row: Row) -> Caller:
    (
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
