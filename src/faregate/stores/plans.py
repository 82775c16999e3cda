"""Plans made by command, and which plan each organisation has. Plans of the settings and of the house are never written
here; core/terms.py says which of the same name holds."""

from collections.abc import Callable, Mapping

import msgspec

from ..core.identity import Caller, Organisation
from ..core.plans import PLAN_NAME, Plan
from ..core.terms import Plans
from . import audit
from .audit import Actor
from .database import Conflict, Database, NoSuchRecord, StoreError, Transaction, named_queries
from .directory import Directory
from .directory_rows import json_of

_decode = msgspec.json.Decoder(Plan).decode


def check_plan_name(name: str) -> None:
    """StoreError for what cannot be the name of a plan."""
    if not PLAN_NAME.fullmatch(name):
        raise StoreError("a plan's name is up to 64 letters, digits, dots, - and _")


def stored_plans(reading: Transaction) -> dict[str, Plan]:
    """The plans made by command."""
    return {name: _decode(body) for name, body in reading.all(named_queries("plans")["list_plans"])}


class CurrentPlans:
    """The plans of each house as a gateway knows them. `report` is told of callers whose plan there is not."""

    def __init__(self, database: Database, plans: Mapping[str, Plans], report: Callable[..., None]) -> None:
        self._database = database
        self._report = report
        self._plans = dict(plans)

    async def refresh(self) -> None:
        """Read anew what was made by command."""
        stored = await self._database.read(stored_plans)
        self._plans = {house: plans.with_stored(stored) for house, plans in self._plans.items()}

    async def retention_days(self) -> dict[str, int]:
        """For how many days the records of an organisation are kept, by id, where its plan says so."""
        held = await self._database.read(lambda reading: reading.all(named_queries("directory")["plans_held"]))
        found = {}
        for organisation_id, plan, has_paid in held:
            names = [(plans, plans.name_for(plan, has_paid=bool(has_paid))) for plans in self._plans.values()]
            kept = [plans.by_name.get(name or "") for plans, name in names]
            said = [each.retention_days for each in kept if each is not None and each.retention_days is not None]
            if said:
                found[organisation_id] = min(said)
        return found

    def missing_defaults(self) -> list[str]:
        """Default plans that there are not."""
        return [name for plans in self._plans.values() for name in plans.missing_defaults()]

    def agree(self, house: str, caller: Caller) -> Caller:
        """The caller with its terms in a house; one that may do nothing where its plan is not known."""
        agreed = self._plans[house].agree(caller)
        if agreed.disabled and not caller.disabled:
            self._report("error", "plan_unknown", plan=agreed.terms.plan, organisation=caller.organisation_id)
        return agreed


class PlanOffice:
    """What an operator does with plans. `plans` are those of the settings and of the house; names may be theirs."""

    def __init__(self, database: Database, directory: Directory, plans: Plans, clock: Callable[[], float]) -> None:
        self._database = database
        self._directory = directory
        self._plans = plans
        self._clock = clock
        self._queries = named_queries("plans")

    async def all(self) -> Plans:
        """Every plan there is."""
        return self._plans.with_stored(await self._database.read(stored_plans))

    async def show(self, name: str) -> Plan:
        """What a plan says. NoSuchRecord."""
        found = (await self.all()).by_name.get(name)
        if found is None:
            raise NoSuchRecord(f"there is no plan {name}")
        return found

    async def create(self, name: str, plan: Plan, *, actor: Actor) -> Plan:
        """A new plan. Conflict where one of this name was made already."""
        check_plan_name(name)

        def work(writing: Transaction) -> Plan:
            if self._find(writing, name) is not None:
                raise Conflict(f"there is a plan {name} already: `plans set` changes it")
            return self._write(writing, "plan.create", name, None, plan, actor)

        return await self._database.run(work)

    async def change(self, name: str, edit: Callable[[Plan], Plan], *, actor: Actor) -> Plan:
        """Change a plan. One that stands in the settings or in the house's file is copied, and the copy changed: from
        then on it holds in their place. NoSuchRecord."""

        def work(writing: Transaction) -> Plan:
            before = self._find(writing, name)
            start = before or self._plans.by_name.get(name)
            if start is None:
                raise NoSuchRecord(f"there is no plan {name}")
            return self._write(writing, "plan.set", name, before, edit(start), actor)

        return await self._database.run(work)

    async def remove(self, name: str, *, actor: Actor) -> None:
        """End a plan made by command. Conflict where an organisation has it, or would have it by default, and no plan
        of the settings or the house has its name. NoSuchRecord."""

        def work(writing: Transaction) -> None:
            before = self._find(writing, name)
            if before is None:
                written = name in self._plans.by_name
                raise NoSuchRecord(
                    f"{name} was not made by command: it stands in a file" if written else f"there is no plan {name}"
                )
            if name not in self._plans.by_name:
                user = writing.one(self._queries["organisations_with_plan"], (name,))
                if user is not None:
                    raise Conflict(f"organisation {user[0]} has this plan: give it another first")
                if name in (self._plans.default_plan, self._plans.paid_plan):
                    raise Conflict("this is a default plan")
            writing.run(self._queries["delete_plan"], (name,))
            self._note(writing, "plan.remove", name, before, None, actor)

        await self._database.run(work)

    async def assign(self, organisation: str, name: str | None, *, actor: Actor) -> Organisation:
        """Give an organisation (id or name) this plan, or the default one (None). NoSuchRecord."""

        def work(writing: Transaction) -> Organisation:
            if name is not None and name not in self._plans.by_name and self._find(writing, name) is None:
                raise NoSuchRecord(f"there is no plan {name}; `faregate plans list` names them")
            before = self._directory.organisation_in(writing, organisation)
            after = msgspec.structs.replace(before, plan=name)
            if after != before:
                writing.run(named_queries("directory")["assign_plan"], (name, before.id))
                self._directory.note(writing, actor, "organisation.plan", before, after)
            return after

        return await self._database.run(work)

    def _find(self, reading: Transaction, name: str) -> Plan | None:
        row = reading.one(self._queries["find_plan"], (name,))
        return None if row is None else _decode(row[0])

    def _write(
        self, writing: Transaction, action: str, name: str, before: Plan | None, after: Plan, actor: Actor
    ) -> Plan:
        if before != after:
            writing.run(self._queries["write_plan"], (name, json_of(after)))
            self._note(writing, action, name, before, after, actor)
        return after

    def _note(
        self, writing: Transaction, action: str, name: str, before: Plan | None, after: Plan | None, actor: Actor
    ) -> None:
        audit.record(writing, at=self._clock(), actor=actor, action=action, subject=name, before=before, after=after)
        self._directory.touch(writing)
