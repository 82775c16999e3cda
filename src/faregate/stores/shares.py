"""Shares of throughput (contract.md 6.6), inside a transaction: never more is shared out than there is.

The shares of an organisation are a tree: a key's is part of its project's, where that has one of the same kind, else of
the organisation's reserve, as a project's is. Whatever changes in it, the sums are made anew and all of them must fit.
"""

from collections.abc import Iterable

import msgspec

from .database import Conflict, Transaction, named_queries

KINDS = ("requests", "tokens")


class Reserve(msgspec.Struct, frozen=True, kw_only=True):
    """What an organisation, a project or a key has, a minute; `*_shared` is what of it is shared out. None: it has no
    share of its own. `project_id` is the key's project, or the project itself."""

    subject: str
    subject_id: str
    organisation_id: str
    project_id: str | None
    requests: int | None = None
    tokens: int | None = None
    requests_shared: int = 0
    tokens_shared: int = 0


def reserves_of(reading: Transaction, organisation_id: str | None) -> list[Reserve]:
    """What an organisation and its projects and keys have, or all organisations."""
    rows = reading.all(named_queries("plans")["list_throughput"], (organisation_id,))
    return [Reserve(**dict(zip(Reserve.__struct_fields__, row, strict=True))) for row in rows]


def write_reserves(writing: Transaction, organisation_id: str, changed: Iterable[Reserve]) -> None:
    """Put these in the place of what their subjects had. Conflict where more would be shared out than there is."""
    queries = named_queries("plans")
    before = {each.subject_id: each for each in reserves_of(writing, organisation_id)}
    after = summed({**before, **{each.subject_id: each for each in changed}}.values())
    for subject_id in before.keys() - after.keys():
        writing.run(queries["delete_share"], (subject_id,))
    for subject_id, reserve in after.items():
        if reserve != before.get(subject_id):
            writing.run(queries["write_share"], msgspec.structs.astuple(reserve))


def end_share(writing: Transaction, organisation_id: str, subject_id: str) -> None:
    """Give back the share of a project or key, if it has one."""
    found = [each for each in reserves_of(writing, organisation_id) if each.subject_id == subject_id]
    if found:
        ended = (msgspec.structs.replace(each, requests=None, tokens=None) for each in found)
        write_reserves(writing, organisation_id, ended)


def parent_of(reserve: Reserve, kind: str, among: dict[str, Reserve]) -> Reserve | None:
    """What a share is part of; None for an organisation's reserve, or where there is nothing."""
    if reserve.subject == "organisation":
        return None
    if reserve.subject == "key":
        project = among.get(reserve.project_id or "")
        if project is not None and getattr(project, kind) is not None:
            return project
    return among.get(reserve.organisation_id)


def summed(reserves: Iterable[Reserve]) -> dict[str, Reserve]:
    """One organisation's reserves by subject, with what is shared out of each; those that say nothing are left out.
    Conflict where a share is part of nothing, or where the parts are more than the whole."""
    said = {each.subject_id: each for each in reserves if (each.requests, each.tokens) != (None, None)}
    for kind in KINDS:
        sums: dict[str, int] = {}
        for reserve in said.values():
            share = getattr(reserve, kind)
            if share is None or reserve.subject == "organisation":
                continue
            parent = parent_of(reserve, kind, said)
            if parent is None or getattr(parent, kind) is None:
                raise Conflict(f"the organisation has no {kind} reserved that could be shared out")
            sums[parent.subject_id] = sums.get(parent.subject_id, 0) + share
        for subject_id, reserve in said.items():
            total, whole = sums.get(subject_id, 0), getattr(reserve, kind) or 0
            if total > whole:
                raise Conflict(
                    f"the shares would come to {total} {kind} a minute, and {reserve.subject} {subject_id} has {whole}"
                )
            said[subject_id] = msgspec.structs.replace(reserve, **{f"{kind}_shared": total})
    return said
