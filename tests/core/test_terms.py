"""Terms: what is said of a key, a project or an organisation narrows its plan, and throughput is cut up exactly."""

import math
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faregate.core.identity import Caller
from faregate.core.limits import Bound
from faregate.core.plans import (
    ENDPOINT_CLASSES,
    NO_BOUNDS,
    UNLIMITED,
    Agreed,
    Bounds,
    EndpointClass,
    Overrides,
    Plan,
    Share,
    Terms,
)
from faregate.core.terms import Ids, Plans, beyond, narrowed, scope_of, terms_of

IDS = Ids("K", "P", "O")
MODELS = ("a", "b", "c")
LIMITS = st.none() | st.integers(1, 50)

bounds = st.builds(
    Bounds,
    requests_per_minute=st.dictionaries(st.sampled_from(["chat", "images", "all"]), st.integers(1, 50)),
    tokens_per_minute=LIMITS,
    concurrency_max=LIMITS,
    tokens_per_day=LIMITS,
)
allowances = {
    "context_tokens_max": LIMITS,
    "output_tokens_max": LIMITS,
    "longest_request_s": st.none() | st.floats(0.5, 50),
    "models": st.lists(st.sampled_from(MODELS)).map(tuple),
    "regions": st.lists(st.sampled_from(MODELS)).map(tuple),
}
plans = st.builds(Plan, key=bounds, project=bounds, organisation=bounds, **allowances)
overrides = st.builds(Overrides, bounds=bounds, **allowances)


@st.composite
def shares(draw: st.DrawFn) -> dict[str, Share]:
    """The shares that a key meets: its own, its project's, its organisation's."""
    found = {}
    for subject, subject_id in (("key", "K"), ("project", "P"), ("organisation", "O")):
        if draw(st.booleans()):
            requests, tokens = draw(st.none() | st.integers(0, 50)), draw(st.none() | st.integers(0, 50))
            shared = (draw(st.integers(0, requests or 0)), draw(st.integers(0, tokens or 0)))
            found[subject_id] = Share(subject, subject_id, requests, tokens, *shared)
    return found


agreements = st.builds(
    Agreed,
    organisation=bounds,
    projects=overrides.map(lambda said: {"P": said}) | st.just({}),
    key=overrides,
    shares=shares(),
)


def limits(found: Iterable[Bound]) -> dict[bytes, int]:
    return {bound.scope: bound.limit for bound in found}


def models_of(lists: tuple[frozenset[str], ...]) -> set[str]:
    return {model for model in MODELS if all(model in each for each in lists)}


def is_within(inner: Terms, outer: Terms) -> bool:
    """Whether all that `inner` allows, `outer` allows too."""
    for cap in ("context_tokens_max", "output_tokens_max", "longest_request_s"):
        if (getattr(inner, cap) or math.inf) > (getattr(outer, cap) or math.inf):
            return False
    for endpoint_class in ENDPOINT_CLASSES:
        inside, outside = (limits(terms.bounds_of(endpoint_class)) for terms in (inner, outer))
        if any(inside.get(scope, limit + 1) > limit for scope, limit in outside.items()):
            return False
    return models_of(inner.models) <= models_of(outer.models) and models_of(inner.regions) <= models_of(outer.regions)


@given(plans, agreements, overrides, st.sampled_from(["key", "project", "organisation"]))
def test_what_is_said_more_never_widens(plan: Plan, agreed: Agreed, more: Overrides, of: str) -> None:
    def both(one: Overrides) -> Overrides:
        least = {
            cap: min((each for each in (getattr(one, cap), getattr(more, cap)) if each is not None), default=None)
            for cap in ("context_tokens_max", "output_tokens_max", "longest_request_s")
        }
        lists = {
            name: tuple(set(getattr(one, name)) & set(getattr(more, name))) or getattr(one, name) or getattr(more, name)
            for name in ("models", "regions")
        }
        return Overrides(bounds=narrowed(one.bounds, more.bounds), **least, **lists)

    if of == "key":
        narrower = msgspec.structs.replace(agreed, key=both(agreed.key))
    elif of == "project":
        narrower = msgspec.structs.replace(agreed, projects={"P": both(agreed.projects.get("P", Overrides()))})
    else:
        narrower = msgspec.structs.replace(agreed, organisation=narrowed(agreed.organisation, more.bounds))
    assert is_within(terms_of("p", plan, narrower, IDS), terms_of("p", plan, agreed, IDS))


@given(plans, agreements)
def test_terms_are_never_beyond_the_plan(plan: Plan, agreed: Agreed) -> None:
    assert is_within(terms_of("p", plan, agreed, IDS), terms_of("p", plan, Agreed(), IDS))


@given(plans, agreements)
def test_no_counter_is_counted_twice_for_a_call(plan: Plan, agreed: Agreed) -> None:
    terms = terms_of("p", plan, agreed, IDS)
    for endpoint_class in ENDPOINT_CLASSES:
        scopes = [bound.scope for bound in terms.bounds_of(endpoint_class)]
        assert len(set(scopes)) == len(scopes)
        assert all(len(scope) == 16 for scope in scopes)


def test_a_call_counts_for_its_class_and_for_all() -> None:
    plan = Plan(
        key=Bounds(requests_per_minute={"chat": 10, "all": 15}),
        project=Bounds(requests_per_minute={"images": 5}, tokens_per_day=100),
        organisation=Bounds(concurrency_max=3),
    )
    terms = terms_of("p", plan, Agreed(), IDS)

    def said(endpoint_class: EndpointClass) -> set[tuple[str, int, str, str]]:
        return {(each.kind, each.limit, each.subject, each.subject_id) for each in terms.bounds_of(endpoint_class)}

    always = {
        ("requests", 15, "key", "K"),
        ("daily_tokens", 100, "project", "P"),
        ("concurrency", 3, "organisation", "O"),
    }
    assert said("chat") == always | {("requests", 10, "key", "K")}
    assert said("images") == always | {("requests", 5, "project", "P")}
    assert said("audio") == always


def test_scopes_are_what_they_were() -> None:
    """A counter's name is the same in every process and every release: processes share their counters by it."""
    assert scope_of("requests", "chat", "key", "K").hex() == "3ba6d8a2ae29faa0716b010c6498c7fb"


def test_lists_of_models_are_kept_apart() -> None:
    """An empty list is all; two that have nothing in common are nothing, not all."""
    plan = Plan(models=("a",), regions=("eu",))
    agreed = Agreed(key=Overrides(models=("b",), regions=("us",)), projects={"P": Overrides(models=("a",))})
    terms = terms_of("p", plan, agreed, IDS)
    assert terms.models == ({"a"}, {"b"}) and terms.regions == ({"eu"}, {"us"})
    assert terms_of("", Plan(), Agreed(), IDS) == UNLIMITED


@pytest.mark.contract("6.6")
@pytest.mark.parametrize(
    ("found", "requests", "tokens"),
    [
        ([], None, None),
        ([Share("organisation", "O", 100, 1000, 30, 200)], ("O", 70), ("O", 800)),
        ([Share("organisation", "O", 100), Share("key", "K", 30, None)], ("K", 30), None),
        (
            [Share("organisation", "O", 100, 1000), Share("project", "P", 50, None, 50), Share("key", "K", None, 7)],
            ("P", 0),
            ("K", 7),
        ),
    ],
)
def test_throughput_comes_from_the_nearest_pool(
    found: list[Share], requests: tuple[str, int] | None, tokens: tuple[str, int] | None
) -> None:
    terms = terms_of("p", Plan(), Agreed(shares={share.subject_id: share for share in found}), IDS)
    pools = {each.kind: (each.subject_id, each.limit) for each in terms.bounds_of("chat")}
    expected = {"requests": requests, "tokens": tokens}
    assert pools == {kind: pool for kind, pool in expected.items() if pool is not None}


def test_a_pool_is_not_the_limit_of_its_subject() -> None:
    plan = Plan(organisation=Bounds(requests_per_minute={"all": 100}))
    shares = {"O": Share("organisation", "O", 60)}
    found = terms_of("p", plan, Agreed(shares=shares), IDS).bounds_of("chat")
    assert {bound.limit for bound in found} == {100, 60} and len(limits(found)) == 2


def caller(agreed: Agreed, *bills: str) -> Caller:
    return Caller(
        key_id="K",
        project_id="P",
        organisation_id="O",
        disabled=False,
        expires_at=None,
        allowed_models=frozenset(),
        allowed_networks=(),
        bills=frozenset(bills),
        agreed=agreed,
    )


@pytest.mark.contract("6.8")
def test_which_plan_holds() -> None:
    made = {name: Plan(context_tokens_max=number) for number, name in enumerate(("a", "b", "c", "d"), 1)}
    plans = Plans(house=made, default_plan="a", paid_plan="b")
    assert plans.agree(caller(Agreed())).terms.plan == "a"
    assert plans.agree(caller(Agreed(has_paid=True))).terms.plan == "b"
    assert plans.agree(caller(Agreed(plan="c", has_paid=True))).terms.context_tokens_max == 3
    only = Plans(house=made, default_plan="a")
    assert only.agree(caller(Agreed(has_paid=True))).terms.plan == "a"
    assert Plans(house=made).agree(caller(Agreed(has_paid=True))).terms == UNLIMITED


def test_a_stored_plan_wins_over_the_settings_over_the_house() -> None:
    one, two, three = (Plan(context_tokens_max=number) for number in (1, 2, 3))
    plans = Plans(house={"a": one, "b": one, "c": one}, settings={"b": two, "c": two}, stored={"c": three})
    assert plans.by_name == {"a": one, "b": two, "c": three}
    assert plans.with_stored({"a": three}).by_name == {"a": three, "b": two, "c": two}
    assert Plans(house={"a": one}, default_plan="a", paid_plan="x").missing_defaults() == ["x"]


def test_a_plan_that_there_is_not_allows_nothing() -> None:
    for agreed in (Agreed(plan="gone"), Agreed()):
        found = Plans(house={"a": Plan()}, default_plan="gone").agree(caller(agreed, "Q"))
        assert found.disabled and found.terms.plan == "gone"
        assert found.terms_for("P").models == found.terms_for("Q").models == (frozenset(),)


def test_a_call_that_another_project_pays_for_counts_there() -> None:
    plan = Plan(project=Bounds(requests_per_minute={"all": 9}), key=Bounds(concurrency_max=2))
    agreed = Agreed(projects={"Q": Overrides(bounds=Bounds(requests_per_minute={"all": 4}))})
    found = Plans(house={"a": plan}, default_plan="a").agree(caller(agreed, "Q"))
    own, other = (
        {each.subject_id: each for each in found.terms_for(project).bounds_of("chat")} for project in ("P", "Q")
    )
    assert own["P"].limit == 9 and other["Q"].limit == 4 and "P" not in other
    assert own["K"] == other["K"]


def test_what_is_beyond_a_plan_is_told() -> None:
    plan = Plan(output_tokens_max=10, key=Bounds(requests_per_minute={"all": 60, "images": 5}, concurrency_max=3))
    said = Overrides(
        output_tokens_max=11, bounds=Bounds(requests_per_minute={"chat": 61, "images": 6, "all": 60}, concurrency_max=2)
    )
    assert beyond(said, plan, plan.key) == [
        "output_tokens_max 11 is beyond the plan's 10, which holds",
        "requests_per_minute chat 61 is beyond the plan's 60, which holds",
        "requests_per_minute images 6 is beyond the plan's 5, which holds",
    ]
    assert beyond(said, Plan(), NO_BOUNDS) == []
