"""Throughput as an operator reserves it for organisations, shares it out to projects and keys, and moves it between
them. What holds of it for a call, core/terms.py says."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from . import audit
from .audit import Actor
from .database import Conflict, Database, Transaction
from .directory import Directory
from .shares import KINDS, Reserve, reserves_of, write_reserves

PER_MINUTE_MAX = 10**12

Amounts = Mapping[str, int | None]  # of requests, of tokens, a minute; what is not in it stays as it is


class Throughput:
    """Reserved requests and tokens a minute."""

    def __init__(self, database: Database, directory: Directory, clock: Callable[[], float]) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock

    async def reserves(self, organisation: str | None = None) -> list[Reserve]:
        """What an organisation (id or name) and its parts have, or all. NoSuchRecord."""

        def work(reading: Transaction) -> list[Reserve]:
            owner = None if organisation is None else self._directory.organisation_in(reading, organisation).id
            return reserves_of(reading, owner)

        return await self._database.read(work)

    async def set(self, organisation: str, amounts: Amounts, *, actor: Actor) -> list[Reserve]:
        """Reserve so much for an organisation (id or name); None reserves nothing, which only counts where nothing is
        shared out. NoSuchRecord, Conflict."""

        def work(writing: Transaction) -> list[Reserve]:
            owner = self._directory.organisation_in(writing, organisation).id
            nothing = Reserve(subject="organisation", subject_id=owner, organisation_id=owner, project_id=None)
            return self._change(writing, "throughput.set", owner, [(nothing, _checked(amounts))], actor)

        return await self._database.run(work)

    async def share(self, subject: str, amounts: Amounts, *, actor: Actor) -> list[Reserve]:
        """Give a project (id or name) or a key (id) so much of it to itself; None: no share of its own. NoSuchRecord,
        Conflict."""

        def work(writing: Transaction) -> list[Reserve]:
            nothing = self._reserve_of(writing, subject)
            owner = nothing.organisation_id
            return self._change(writing, "throughput.share", owner, [(nothing, _checked(amounts))], actor)

        return await self._database.run(work)

    async def move(self, source: str, target: str, amounts: Amounts, *, actor: Actor) -> list[Reserve]:
        """Take so much from the share of one project or key and give it to another of the same organisation, in one
        step. NoSuchRecord; Conflict where the source does not have it to give."""

        def work(writing: Transaction) -> list[Reserve]:
            ends = [self._reserve_of(writing, each) for each in (source, target)]
            owner = ends[0].organisation_id
            if ends[1].organisation_id != owner or ends[0].subject_id == ends[1].subject_id:
                raise Conflict("throughput is moved between two projects or keys of one organisation")
            if ends[0].project_id == ends[1].project_id and "project" in (ends[0].subject, ends[1].subject):
                raise Conflict("a key's share is part of its project's: `throughput share` sets it")
            known = {each.subject_id: each for each in reserves_of(writing, owner)}
            now = [known.get(each.subject_id, each) for each in ends]
            changes: list[tuple[Reserve, Amounts]] = [(each, {}) for each in now]
            for kind, amount in _checked(amounts).items():
                given, had = getattr(now[0], kind), getattr(now[1], kind) or 0
                if amount is None or given is None or given < amount:
                    raise Conflict(f"{source} has no {amount} {kind} a minute to give")
                after = ({kind: given - amount}, {kind: had + amount})
                changes = [(each, {**said, **more}) for (each, said), more in zip(changes, after, strict=True)]
            return self._change(writing, "throughput.move", owner, changes, actor)

        return await self._database.run(work)

    def _reserve_of(self, reading: Transaction, subject: str) -> Reserve:
        """A share of nothing for a project or a key."""
        scope, identity = self._directory.subject_in(reading, subject)
        if scope == "key":
            key = self._directory.key_in(reading, identity)
            if key.revoked_at is not None:
                raise Conflict(f"key {identity} is revoked")
            owner, project = key.organisation_id, key.project_id
        else:
            owner, project = self._directory.project_in(reading, identity).organisation_id, identity
        return Reserve(subject=scope, subject_id=identity, organisation_id=owner, project_id=project)

    def _change(
        self,
        writing: Transaction,
        action: str,
        owner: str,
        changes: Iterable[tuple[Reserve, Amounts]],
        actor: Actor,
    ) -> list[Reserve]:
        """Change what subjects have, all in one step; each is given as what it is where it has nothing yet."""
        known = {each.subject_id: each for each in reserves_of(writing, owner)}
        pairs = [
            (before, msgspec.structs.replace(before, **amounts))
            for nothing, amounts in changes
            for before in [known.get(nothing.subject_id, nothing)]
        ]
        write_reserves(writing, owner, (after for _, after in pairs))
        for before, after in pairs:
            audit.record(
                writing,
                at=self._clock(),
                actor=actor,
                action=action,
                subject=after.subject_id,
                before={kind: getattr(before, kind) for kind in KINDS},
                after={kind: getattr(after, kind) for kind in KINDS},
            )
        self._directory.touch(writing)
        return reserves_of(writing, owner)


def _checked(amounts: Amounts) -> Amounts:
    if not amounts or not amounts.keys() <= set(KINDS):
        raise Conflict("say how many requests, or tokens, or both")
    if any(amount is not None and not 0 <= amount <= PER_MINUTE_MAX for amount in amounts.values()):
        raise Conflict(f"throughput is 0 to {PER_MINUTE_MAX} a minute")
    return amounts
