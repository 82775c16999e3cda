"""Plans and overrides in the directory: what reaches the caller, what is refused, what is written down."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from faregate.core.plans import UNLIMITED, Bounds, Overrides, Plan
from faregate.core.terms import Plans
from faregate.flow.admission import Callers
from faregate.ledger.billing import set_billing
from faregate.ledger.credits import Credits
from faregate.revisions import Revisions
from faregate.stores.database import Conflict, NoSuchRecord, StoreError
from faregate.stores.overrides import OverridesOffice
from faregate.stores.plans import CurrentPlans

from .conformance import ACTOR, PEPPER
from .offices import PAID, WRITTEN, Offices, play


def tokens(bounds: Bounds, limit: int | None) -> Bounds:
    return msgspec.structs.replace(bounds, tokens_per_minute=limit)


@pytest.mark.contract("6.8")
def test_who_paid_has_the_plan_of_those_that_paid(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        credits = Credits(world.database, world.directory)
        assert (await world.caller()).terms.plan == "free"
        await credits.grant("acme", 5, reason="hello", actor=ACTOR)
        assert (await world.caller()).terms.plan == "free"  # a present is no payment
        before = await world.directory.revision()
        await credits.add("acme", 5, reason="paid", actor=ACTOR)
        assert await world.directory.revision() > before
        assert (await world.caller()).terms.plan == "paid"
        await credits.remove("acme", 5, reason="given back", actor=ACTOR)
        assert (await world.caller()).terms.plan == "paid"
        before = await world.directory.revision()
        await credits.add("acme", 5, reason="again", actor=ACTOR)
        assert await world.directory.revision() == before  # nobody need look anew
        await world.plans.assign("acme", "free", actor=ACTOR)
        assert (await world.caller()).terms.plan == "free"

    play(tmp_path, story)


def test_who_is_metered_counts_as_paying(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await set_billing(world.database, world.directory, "acme", "metered", actor=ACTOR)
        assert (await world.caller()).terms.plan == "paid"
        assert (await world.overrides.standing_of_key(world.key.key.id)).name == "paid"

    play(tmp_path, story)


def test_what_is_said_reaches_the_caller(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await world.overrides.of_organisation("acme", lambda bounds: tokens(bounds, 1000), actor=ACTOR)
        bounds = Bounds(concurrency_max=3)
        await world.overrides.of_project("web", lambda _: Overrides(bounds=bounds, models=("a",)), actor=ACTOR)
        await world.overrides.of_key(
            world.key.key.id, lambda _: Overrides(bounds=Bounds(requests_per_minute={"chat": 7})), actor=ACTOR
        )
        assert await world.limits() == {
            ("requests", "key"): 7,
            ("concurrency", "project"): 3,
            ("tokens", "organisation"): 1000,
        }
        caller = await world.caller()
        assert caller.terms.models == ({"a"},)
        elsewhere = caller.terms_for(world.other.id)
        assert elsewhere.models == () and {each.kind for each in elsewhere.bounds_of("chat")} == {"requests", "tokens"}
        standing = await world.overrides.standing_of_key(world.key.key.id)
        assert standing.terms == caller.terms

    play(tmp_path, story)


def test_a_key_is_made_with_its_limits(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        said = Overrides(output_tokens_max=5, bounds=Bounds(concurrency_max=1))
        issued = await world.directory.create_key("web", "k2", actor=ACTOR, overrides=said)
        assert (await world.caller(issued)).terms.output_tokens_max == 5
        assert [key.overrides for key in await world.directory.list_keys() if key.id == issued.key.id] == [said]
        rotated = await world.directory.rotate_key(issued.key.id, actor=ACTOR)
        assert (await world.caller(rotated)).terms.output_tokens_max == 5

    play(tmp_path, story)


def test_plans_by_command(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        made = await world.plans.create("big", Plan(output_tokens_max=9), actor=ACTOR)
        await world.plans.assign("acme", "big", actor=ACTOR)
        assert (await world.caller()).terms.output_tokens_max == 9
        changed = await world.plans.change(
            "big", lambda plan: msgspec.structs.replace(plan, output_tokens_max=8), actor=ACTOR
        )
        assert (made.output_tokens_max, changed.output_tokens_max) == (9, 8)
        assert (await world.caller()).terms.output_tokens_max == 8
        with pytest.raises(Conflict, match="acme has this plan"):
            await world.plans.remove("big", actor=ACTOR)
        await world.plans.assign("acme", None, actor=ACTOR)
        await world.plans.remove("big", actor=ACTOR)
        assert (await world.caller()).terms.plan == "free"
        with pytest.raises(NoSuchRecord):
            await world.plans.show("big")

    play(tmp_path, story)


def test_a_plan_of_a_file_is_changed_as_a_copy(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await world.plans.change("free", lambda plan: msgspec.structs.replace(plan, output_tokens_max=8), actor=ACTOR)
        terms = (await world.caller()).terms
        assert terms.output_tokens_max == 8 and terms.bounds_of("chat")[0].limit == 10
        await world.plans.remove("free", actor=ACTOR)  # also where it is a default one: the file's is there
        assert (await world.caller()).terms.output_tokens_max is None

    play(tmp_path, story)


def test_what_cannot_be_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await world.plans.create("big", Plan(), actor=ACTOR)
        await world.throughput.set("acme", {"requests": 10}, actor=ACTOR)
        await world.throughput.share("web", {"requests": 6}, actor=ACTOR)
        stranger = await world.directory.create_organisation("other", actor=ACTOR)
        foreign = await world.directory.create_project(stranger.id, "foreign", actor=ACTOR)
        gone = await world.directory.create_key("web", "gone", actor=ACTOR)
        await world.directory.revoke_key(gone.key.id, actor=ACTOR)
        before = await world.directory.revision(), await world.directory.list_audit()
        plans, overrides, throughput = world.plans, world.overrides, world.throughput
        key = world.key.key.id
        refused: list[tuple[type[StoreError], str, Callable[[], Awaitable[object]]]] = [
            (Conflict, "already", partial(plans.create, "big", Plan(), actor=ACTOR)),
            (StoreError, "name", partial(plans.create, "a b", Plan(), actor=ACTOR)),
            (StoreError, "name", partial(plans.create, "", Plan(), actor=ACTOR)),
            (NoSuchRecord, "no plan", partial(plans.change, "none", lambda plan: plan, actor=ACTOR)),
            (NoSuchRecord, "no plan", partial(plans.assign, "acme", "none", actor=ACTOR)),
            (NoSuchRecord, "organisation", partial(plans.assign, "nobody", "big", actor=ACTOR)),
            (NoSuchRecord, "file", partial(plans.remove, "free", actor=ACTOR)),
            (NoSuchRecord, "no plan", partial(plans.remove, "none", actor=ACTOR)),
            (NoSuchRecord, "project", partial(overrides.of_project, "nobody", lambda said: said, actor=ACTOR)),
            (Conflict, "revoked", partial(overrides.of_key, gone.key.id, lambda said: said, actor=ACTOR)),
            (Conflict, "come to 11 requests", partial(throughput.share, "app", {"requests": 5}, actor=ACTOR)),
            (Conflict, "come to 7 requests", partial(throughput.share, key, {"requests": 7}, actor=ACTOR)),
            (Conflict, "come to 6 requests", partial(throughput.set, "acme", {"requests": 5}, actor=ACTOR)),
            (Conflict, "no requests reserved", partial(throughput.set, "acme", {"requests": None}, actor=ACTOR)),
            (Conflict, "no tokens reserved", partial(throughput.share, "app", {"tokens": 1}, actor=ACTOR)),
            (Conflict, "no requests reserved", partial(throughput.share, "foreign", {"requests": 1}, actor=ACTOR)),
            (Conflict, "0 to", partial(throughput.share, "app", {"requests": -1}, actor=ACTOR)),
            (Conflict, "how many", partial(throughput.share, "app", {}, actor=ACTOR)),
            (Conflict, "revoked", partial(throughput.share, gone.key.id, {"requests": 1}, actor=ACTOR)),
            (Conflict, "to give", partial(throughput.move, "web", "app", {"requests": 7}, actor=ACTOR)),
            (Conflict, "to give", partial(throughput.move, "app", "web", {"requests": 1}, actor=ACTOR)),
            (Conflict, "0 to", partial(throughput.move, "web", "app", {"requests": -1}, actor=ACTOR)),
            (Conflict, "one organisation", partial(throughput.move, "web", foreign.id, {"requests": 1}, actor=ACTOR)),
            (Conflict, "one organisation", partial(throughput.move, "web", "web", {"requests": 1}, actor=ACTOR)),
            (Conflict, "part of its project's", partial(throughput.move, "web", key, {"requests": 1}, actor=ACTOR)),
        ]
        for kind, words, attempt in refused:
            with pytest.raises(kind, match=words):
                await attempt()
        assert (await world.directory.revision(), await world.directory.list_audit()) == before

    play(tmp_path, story)


@pytest.mark.contract("2.5")
def test_every_change_is_written_down(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        start = len(await world.directory.list_audit())
        key = world.key.key.id
        deeds: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("plan.create", partial(world.plans.create, "big", Plan(), actor=ACTOR)),
            ("plan.set", partial(world.plans.change, "big", lambda _: PAID, actor=ACTOR)),
            ("organisation.plan", partial(world.plans.assign, "acme", "big", actor=ACTOR)),
            (
                "organisation.limits",
                partial(world.overrides.of_organisation, "acme", lambda _: PAID.key, actor=ACTOR),
            ),
            (
                "project.limits",
                partial(world.overrides.of_project, "web", lambda _: Overrides(models=("a",)), actor=ACTOR),
            ),
            ("key.limits", partial(world.overrides.of_key, key, lambda _: Overrides(models=("a",)), actor=ACTOR)),
            ("organisation.plan", partial(world.plans.assign, "acme", None, actor=ACTOR)),
            ("plan.remove", partial(world.plans.remove, "big", actor=ACTOR)),
            ("throughput.set", partial(world.throughput.set, "acme", {"tokens": 5}, actor=ACTOR)),
            ("throughput.share", partial(world.throughput.share, key, {"tokens": 5}, actor=ACTOR)),
        ]
        for _, deed in deeds:
            before = await world.directory.revision()
            await deed()
            assert await world.directory.revision() > before
        rows = (await world.directory.list_audit())[start:]
        assert [row.action for row in rows] == [action for action, _ in deeds]
        assert rows[-1].before == '{"requests":null,"tokens":null}' and '"tokens":5' in (rows[-1].after or "")
        assert await world.directory.verify_audit() is None

    play(tmp_path, story)


# What running gateways hear of it


class Attentive(Callers):
    """Callers that say when they were told to look anew."""

    def __init__(self, world: Offices, current: CurrentPlans) -> None:
        super().__init__(PEPPER.value, world.directory.find_key, current.agree)
        self.told = asyncio.Event()

    def forget(self) -> None:
        super().forget()
        self.told.set()


def test_running_gateways_hear_of_it(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        events: list[object] = []
        current = CurrentPlans(world.database, {"h": WRITTEN}, lambda *words, **_: events.append(words))
        callers = Attentive(world, current)
        revisions = Revisions(
            world.directory, current, callers, {}, lambda _: 0, lambda *words, **_: events.append(words)
        )
        await revisions.begin()
        watch = asyncio.ensure_future(revisions.watch())
        presented = world.key.text.reveal().encode()
        digest = callers.digest(presented)
        await world.plans.create("big", Plan(output_tokens_max=9), actor=ACTOR)

        async def tokens_after(deed: Awaitable[object]) -> int | None:
            await callers.prove(presented, digest, b"sk-fg-", "h")
            assert callers.cached(digest) is not None
            callers.told.clear()
            await deed
            async with asyncio.timeout(10):
                await callers.told.wait()
            assert callers.cached(digest) is None
            return (await callers.prove(presented, digest, b"sk-fg-", "h")).terms.output_tokens_max

        assert await tokens_after(world.plans.assign("acme", "big", actor=ACTOR)) == 9
        change = world.plans.change("big", lambda _: Plan(output_tokens_max=5), actor=ACTOR)
        assert await tokens_after(change) == 5
        said = world.overrides.of_key(world.key.key.id, lambda _: Overrides(output_tokens_max=3), actor=ACTOR)
        assert await tokens_after(said) == 3
        watch.cancel()
        assert events == []

    play(tmp_path, story)


def test_a_plan_that_is_gone_disables_and_is_told(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await world.plans.assign("acme", "paid", actor=ACTOR)
        told: list[object] = []
        without = CurrentPlans(world.database, {"h": Plans()}, lambda *words, **facts: told.append((*words, facts)))
        caller = await world.prove(world.key)
        assert caller is not None and not caller.disabled
        assert without.agree("h", caller).disabled
        assert told == [("error", "plan_unknown", {"plan": "paid", "organisation": world.organisation.id})]
        elsewhere = OverridesOffice(world.database, world.directory, {"": Plans()})
        with pytest.raises(NoSuchRecord, match="no plan paid: calls of acme are refused"):
            await elsewhere.standing_of_organisation("acme")
        nothing = CurrentPlans(world.database, {"h": Plans()}, lambda *_, **__: None)
        await world.plans.assign("acme", None, actor=ACTOR)
        again = await world.prove(world.key)
        assert again is not None and nothing.agree("h", again).terms == UNLIMITED

    play(tmp_path, story)
