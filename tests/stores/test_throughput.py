"""Throughput in the directory: what reaches the caller, and that never more is shared out than there is."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.plans import Agreed, Share
from faregate.core.terms import Ids, pools
from faregate.stores.database import Conflict
from faregate.stores.shares import Reserve, summed

from .conformance import ACTOR
from .offices import Offices, play


@pytest.mark.contract("6.6")
def test_throughput_reaches_the_caller_and_moves(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await world.throughput.set("acme", {"requests": 100, "tokens": 1000}, actor=ACTOR)
        assert (await world.limits())["tokens", "organisation"] == 1000
        await world.throughput.share("web", {"requests": 60}, actor=ACTOR)
        await world.throughput.share("app", {"requests": 10}, actor=ACTOR)
        plan = ("requests", "key")  # of the plan, beside the pools
        assert (await world.limits()) == {plan: 10, ("requests", "project"): 60, ("tokens", "organisation"): 1000}
        await world.throughput.move("web", "app", {"requests": 45}, actor=ACTOR)
        shares = {each.subject_id: each.requests for each in await world.throughput.reserves("acme")}
        assert shares == {world.organisation.id: 100, world.project.id: 15, world.other.id: 55}
        await world.throughput.share(world.key.key.id, {"requests": 4, "tokens": 0}, actor=ACTOR)
        caller = await world.caller()
        found = {(each.kind, each.limit) for each in caller.terms.bounds_of("images")}
        assert found == {("requests", 4), ("tokens", 0)}
        assert caller.terms_for(world.other.id).bounds_of("images") == caller.terms.bounds_of("images")

    play(tmp_path, story)


def test_a_revoked_key_gives_its_share_back(tmp_path: Path) -> None:
    async def story(world: Offices) -> None:
        await world.throughput.set("acme", {"requests": 10}, actor=ACTOR)
        await world.throughput.share(world.key.key.id, {"requests": 10}, actor=ACTOR)
        await world.directory.revoke_key(world.key.key.id, actor=ACTOR)
        (reserve,) = await world.throughput.reserves("acme")
        assert (reserve.subject, reserve.requests, reserve.requests_shared) == ("organisation", 10, 0)

    play(tmp_path, story)


KEYS = {f"K{number}": f"P{number % 3}" for number in range(6)}  # and their projects


def _reserve(subject_id: str, requests: int | None, tokens: int | None = None) -> Reserve:
    subject = {"O": "organisation", "P": "project", "K": "key"}[subject_id[0]]
    project = KEYS.get(subject_id) or (subject_id if subject == "project" else None)
    return Reserve(
        subject=subject,
        subject_id=subject_id,
        organisation_id="O",
        project_id=project,
        requests=requests,
        tokens=tokens,
    )


@given(
    st.integers(0, 100),
    st.dictionaries(st.sampled_from([*KEYS, "P0", "P1", "P2"]), st.integers(0, 40)),
)
def test_all_pools_together_are_what_is_reserved(reserved: int, shares: dict[str, int]) -> None:
    """Whatever key calls for whatever project: never more than the reserve in all, and no pool that two count apart."""
    try:
        found = summed([_reserve("O", reserved), *(_reserve(*share) for share in shares.items())])
    except Conflict:
        outside = [key for key, project in KEYS.items() if project not in shares]
        direct = sum(shares.get(each, 0) for each in ("P0", "P1", "P2", *outside))
        nested = [
            sum(shares.get(key, 0) for key, of in KEYS.items() if of == project) > shares[project]
            for project in shares
            if project in ("P0", "P1", "P2")
        ]
        assert direct > reserved or any(nested)
        return
    agreed = Agreed(
        shares={
            each.subject_id: Share(
                each.subject, each.subject_id, each.requests, each.tokens, each.requests_shared, each.tokens_shared
            )
            for each in found.values()
        }
    )
    keys = {**KEYS, "none-0": "P0", "none-1": "P1", "none-2": "P2", "none-3": "P3"}
    used = {
        bound.scope: bound.limit for key, project in keys.items() for bound in pools(agreed, Ids(key, project, "O"))
    }
    assert sum(used.values()) == reserved


MOVES = st.tuples(
    st.sampled_from(["set", "share", "move"]), st.integers(0, 4), st.integers(0, 4), st.none() | st.integers(0, 12)
)


@pytest.mark.contract("6.6")
@settings(max_examples=15, deadline=None)
@given(st.lists(MOVES, max_size=12))
def test_no_order_of_commands_shares_out_more_than_there_is(moves: list[tuple[str, int, int, int | None]]) -> None:
    async def story(world: Offices) -> None:
        second = await world.directory.create_key("web", "k2", actor=ACTOR)
        third = await world.directory.create_key("app", "k3", actor=ACTOR)
        subjects = ["web", "app", world.key.key.id, second.key.id, third.key.id]
        for verb, one, other, amount in moves:
            before = await world.throughput.reserves()
            try:
                if verb == "set":
                    await world.throughput.set("acme", {"requests": amount}, actor=ACTOR)
                elif verb == "share":
                    await world.throughput.share(subjects[one], {"requests": amount}, actor=ACTOR)
                else:
                    await world.throughput.move(subjects[one], subjects[other], {"requests": amount}, actor=ACTOR)
            except Conflict:
                assert await world.throughput.reserves() == before
                continue
            after = await world.throughput.reserves()
            assert summed(after) == {each.subject_id: each for each in after}
            if verb == "move":
                assert _total(before) == _total(after)

    with tempfile.TemporaryDirectory() as folder:
        play(Path(folder), story)


def _total(reserves: list[Reserve]) -> int:
    """What projects and keys can use of their own, without what is shared out twice."""
    return sum((each.requests or 0) - each.requests_shared for each in reserves if each.subject != "organisation")
