"""What is said of one organisation, project or key beside its plan, and what holds for it in the end."""

from collections.abc import Callable, Mapping

import msgspec

from ..core.identity import ApiKey, Organisation, Project
from ..core.plans import Agreed, Bounds, Overrides, Plan, Terms
from ..core.terms import Ids, Plans, UnknownPlan, terms_of
from .audit import Actor
from .database import Conflict, Database, NoSuchRecord, Transaction, named_queries
from .directory import Directory
from .directory_rows import json_of
from .plans import stored_plans
from .proving import shares_of

EACH = ""  # in the place of an id: any project of the organisation, any key of the project


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of an organisation, '' for none, and what it comes to for one of its keys, projects, or for itself."""

    name: str
    plan: Plan
    terms: Terms


class OverridesOffice:
    """What an operator says of single organisations, projects and keys. `plans` are those of the files, by what
    keys of a house begin with; '' are the main house's, in which all is seen but keys of another."""

    def __init__(self, database: Database, directory: Directory, plans: Mapping[str, Plans]) -> None:
        self._database = database
        self._directory = directory
        self._plans = plans
        self._queries = named_queries("directory")

    async def of_organisation(
        self, organisation: str, edit: Callable[[Bounds], Bounds], *, actor: Actor
    ) -> Organisation:
        """Change what bounds an organisation (id or name), beside its plan. NoSuchRecord."""

        def work(writing: Transaction) -> Organisation:
            before = self._directory.organisation_in(writing, organisation)
            after = msgspec.structs.replace(before, bounds=edit(before.bounds))
            if after != before:
                writing.run(self._queries["bound_organisation"], (json_of(after.bounds), before.id))
                self._directory.note(writing, actor, "organisation.limits", before, after)
            return after

        return await self._database.run(work)

    async def of_project(self, project: str, edit: Callable[[Overrides], Overrides], *, actor: Actor) -> Project:
        """Change what narrows the plan of a project (id or name). NoSuchRecord."""

        def work(writing: Transaction) -> Project:
            before = self._directory.project_in(writing, project)
            after = msgspec.structs.replace(before, overrides=edit(before.overrides))
            if after != before:
                writing.run(self._queries["override_project"], (json_of(after.overrides), before.id))
                self._directory.note(writing, actor, "project.limits", before, after)
            return after

        return await self._database.run(work)

    async def of_key(self, key_id: str, edit: Callable[[Overrides], Overrides], *, actor: Actor) -> ApiKey:
        """Change what narrows the plan of a key. NoSuchRecord; Conflict for one that is revoked."""

        def work(writing: Transaction) -> ApiKey:
            before = self._directory.key_in(writing, key_id)
            if before.revoked_at is not None:
                raise Conflict(f"key {key_id} is revoked")
            after = msgspec.structs.replace(before, overrides=edit(before.overrides))
            if after != before:
                writing.run(self._queries["override_key"], (json_of(after.overrides), before.id))
                self._directory.note(writing, actor, "key.limits", before, after)
            return after

        return await self._database.run(work)

    async def standing_of_organisation(self, organisation: str) -> Standing:
        """What holds for an organisation (id or name), each of its projects, and their keys. NoSuchRecord."""
        return await self._database.read(
            lambda reading: self._standing(reading, self._directory.organisation_in(reading, organisation), None, None)
        )

    async def standing_of_project(self, project: str) -> Standing:
        """What holds for a project (id or name) and for each of its keys. NoSuchRecord."""

        def work(reading: Transaction) -> Standing:
            found = self._directory.project_in(reading, project)
            owner = self._directory.organisation_in(reading, found.organisation_id)
            return self._standing(reading, owner, found, None)

        return await self._database.read(work)

    async def standing_of_key(self, key_id: str) -> Standing:
        """What holds for a key. NoSuchRecord."""

        def work(reading: Transaction) -> Standing:
            key = self._directory.key_in(reading, key_id)
            owner = self._directory.organisation_in(reading, key.organisation_id)
            return self._standing(reading, owner, self._directory.project_in(reading, key.project_id), key)

        return await self._database.read(work)

    def _standing(
        self, reading: Transaction, organisation: Organisation, project: Project | None, key: ApiKey | None
    ) -> Standing:
        ids = Ids(
            key=EACH if key is None else key.id,
            project=EACH if project is None else project.id,
            organisation=organisation.id,
        )
        plans = self._plans.get("" if key is None else key.prefix) or self._plans[""]
        paid = reading.one(self._queries["has_paid"], (organisation.id,))
        agreed = Agreed(
            plan=organisation.plan,
            has_paid=bool(paid and paid[0]),
            organisation=organisation.bounds,
            projects={} if project is None else {project.id: project.overrides},
            key=Overrides() if key is None else key.overrides,
            shares=shares_of(reading, ids),
        )
        try:
            name, plan = plans.with_stored(stored_plans(reading)).plan_for(agreed)
        except UnknownPlan as unknown:
            raise NoSuchRecord(f"there is no plan {unknown}: calls of {organisation.name} are refused") from None
        return Standing(name=name, plan=plan, terms=terms_of(name, plan, agreed, ids))
