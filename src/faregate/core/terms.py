"""From plans to what holds for one key: every word said of it narrows, none widens.

Throughput (contract.md 6.6) is cut up, never counted twice: what is reserved for an organisation is one pool, a share
of a project is cut out of it, a share of a key out of its project's, or out of the organisation's where the project has
none. A call uses the pool nearest to its key, and there the part that is not shared out further. So all pools of an
organisation together are what is reserved for it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, TypeVar

import msgspec

from .identity import Caller
from .limits import Bound, BoundKind
from .plans import ENDPOINT_CLASSES, NO_OVERRIDES, Agreed, Bounds, EndpointClass, Overrides, Plan, Share, Terms

Number = TypeVar("Number", int, float)

_SCOPE_BYTES = 16
_ALL: Literal["all"] = "all"
_RESERVED = "reserved"  # in the place of a class: the counter of a pool of throughput
_CAPS = ("context_tokens_max", "output_tokens_max", "longest_request_s")
_COUNTED: tuple[tuple[str, BoundKind], ...] = (
    ("tokens_per_minute", "tokens"),
    ("concurrency_max", "concurrency"),
    ("tokens_per_day", "daily_tokens"),
)
_POOLED: tuple[BoundKind, ...] = ("requests", "tokens")


class UnknownPlan(Exception):
    """No plan has this name."""


class Ids(NamedTuple):
    """Whose terms: a key, the project that its calls are billed to, their organisation."""

    key: str
    project: str
    organisation: str


class Plans:
    """All plans by name, and which one holds for an organisation that has none of its own. A plan made by command
    (`stored`) wins over one of the same name in the settings, that one over the house's. Without a default plan nothing
    is limited; without one for those that paid, the default one is theirs too."""

    def __init__(
        self,
        *,
        house: Mapping[str, Plan] | None = None,
        settings: Mapping[str, Plan] | None = None,
        stored: Mapping[str, Plan] | None = None,
        default_plan: str | None = None,
        paid_plan: str | None = None,
    ) -> None:
        self.written = {**(house or {}), **(settings or {})}
        self.stored = stored or {}
        self.by_name = {**self.written, **self.stored}
        self.default_plan = default_plan
        self.paid_plan = paid_plan

    def with_stored(self, stored: Mapping[str, Plan]) -> "Plans":
        """The same, with these plans made by command."""
        return Plans(settings=self.written, stored=stored, default_plan=self.default_plan, paid_plan=self.paid_plan)

    def name_for(self, plan: str | None, *, has_paid: bool) -> str | None:
        """The name of the plan of an organisation that was given `plan`; None where it has none at all."""
        if plan is not None:
            return plan
        return (self.paid_plan if has_paid else None) or self.default_plan

    def plan_for(self, agreed: Agreed) -> tuple[str, Plan]:
        """The plan that an organisation has, and its name, '' for none. UnknownPlan."""
        name = self.name_for(agreed.plan, has_paid=agreed.has_paid)
        if name is None:
            return "", Plan()
        if name not in self.by_name:
            raise UnknownPlan(name)
        return name, self.by_name[name]

    def missing_defaults(self) -> list[str]:
        """Default plans that there are not."""
        return [name for name in (self.default_plan, self.paid_plan) if name is not None and name not in self.by_name]

    def agree(self, caller: Caller) -> Caller:
        """The caller with its terms. Where its organisation's plan is one that there is not, it may do nothing, as if
        it were disabled: what a plan forbids (a model, a region) cannot be undone once it was allowed by mistake, a
        refusal can; and no other plan was agreed on with that customer."""
        agreed = caller.agreed
        try:
            name, plan = self.plan_for(agreed)
        except UnknownPlan as unknown:
            nothing = Terms(plan=str(unknown), models=(frozenset(),))
            return msgspec.structs.replace(caller, disabled=True, terms=nothing, billed_terms={})
        terms = {
            project: terms_of(name, plan, agreed, Ids(caller.key_id, project, caller.organisation_id))
            for project in (caller.project_id, *caller.bills)
        }
        return msgspec.structs.replace(caller, terms=terms.pop(caller.project_id), billed_terms=terms)


def terms_of(name: str, plan: Plan, agreed: Agreed, ids: Ids) -> Terms:
    """What holds for a key while it bills a project: of every limit the least that is said of it, and every list of
    models and regions."""
    project = agreed.projects.get(ids.project, NO_OVERRIDES)
    said = (plan, project, agreed.key)
    return Terms(
        plan=name,
        context_tokens_max=_least(*(each.context_tokens_max for each in said)),
        output_tokens_max=_least(*(each.output_tokens_max for each in said)),
        longest_request_s=_least(*(each.longest_request_s for each in said)),
        models=_lists(each.models for each in said),
        regions=_lists(each.regions for each in said),
        bounds=_bounds(plan, agreed, project, ids),
    )


def narrowed(one: Bounds, other: Bounds) -> Bounds:
    """Of each limit the lower one."""
    asked, allowed = one.requests_per_minute, other.requests_per_minute
    return Bounds(
        requests_per_minute={
            **asked,
            **{each: min(limit, asked.get(each, limit)) for each, limit in allowed.items()},
        },
        tokens_per_minute=_least(one.tokens_per_minute, other.tokens_per_minute),
        concurrency_max=_least(one.concurrency_max, other.concurrency_max),
        tokens_per_day=_least(one.tokens_per_day, other.tokens_per_day),
    )


def beyond(overrides: Overrides, plan: Plan, of_subject: Bounds) -> list[str]:
    """What of the overrides of a subject is more than its plan allows, in words: there the plan holds. `of_subject` are
    the plan's bounds of such a subject."""
    bounds = overrides.bounds
    pairs = [(cap, getattr(overrides, cap), getattr(plan, cap)) for cap in _CAPS]
    pairs += [(field, getattr(bounds, field), getattr(of_subject, field)) for field, _ in _COUNTED]
    allowed = of_subject.requests_per_minute
    pairs += [
        (f"requests_per_minute {each}", asked, _least(allowed.get(each), allowed.get(_ALL)))
        for each, asked in bounds.requests_per_minute.items()
    ]
    return [
        f"{what} {asked} is beyond the plan's {most}, which holds"
        for what, asked, most in pairs
        if asked is not None and most is not None and asked > most
    ]


def counted_in(terms: Terms) -> list[tuple[str, Bound]]:
    """What is counted, for people: each counter once, with its class of endpoint, or `all`, or `reserved`."""
    found: dict[bytes, tuple[str, Bound]] = {}
    for endpoint_class in ENDPOINT_CLASSES:
        for bound in terms.bounds_of(endpoint_class):
            names = (endpoint_class, _ALL, _RESERVED)
            counted = next(each for each in names if scope_of(bound.kind, each, *bound[3:]) == bound.scope)
            found.setdefault(bound.scope, (counted, bound))
    return list(found.values())


def scope_of(kind: BoundKind, counted: str, subject: str, subject_id: str) -> bytes:
    """The name of a counter, the same in every process. `counted` is a class of endpoint, or `all`."""
    text = "\0".join((kind, counted, subject, subject_id))
    return hashlib.blake2b(text.encode(), digest_size=_SCOPE_BYTES).digest()


def pools(agreed: Agreed, ids: Ids) -> list[Bound]:
    """What a call uses of what is reserved for its organisation, requests and tokens."""
    nearest = [agreed.shares[each] for each in (ids.key, ids.project, ids.organisation) if each in agreed.shares]
    found = []
    for kind in _POOLED:
        share = next((each for each in nearest if getattr(each, kind) is not None), None)
        if share is not None:
            found.append(_bound(kind, _RESERVED, rest(share, kind), share.subject, share.subject_id))
    return found


def rest(share: Share, kind: BoundKind) -> int:
    """What of a share is not shared out further."""
    return max(0, getattr(share, kind) - getattr(share, f"{kind}_shared"))


def _bounds(plan: Plan, agreed: Agreed, project: Overrides, ids: Ids) -> Mapping[EndpointClass, tuple[Bound, ...]]:
    """What is counted of a call, by class. Classes without a limit of their own share one tuple."""
    subjects = (
        ("key", ids.key, narrowed(plan.key, agreed.key.bounds)),
        ("project", ids.project, narrowed(plan.project, project.bounds)),
        ("organisation", ids.organisation, narrowed(plan.organisation, agreed.organisation)),
    )
    of_all = pools(agreed, ids)
    of_class: dict[str, list[Bound]] = {}
    for subject, subject_id, bounds in subjects:
        for counted, limit in bounds.requests_per_minute.items():
            bound = _bound("requests", counted, limit, subject, subject_id)
            if counted == _ALL:
                of_all.append(bound)
            else:
                of_class.setdefault(counted, []).append(bound)
        for field, kind in _COUNTED:
            limit = getattr(bounds, field)
            if limit is not None:
                of_all.append(_bound(kind, _ALL, limit, subject, subject_id))
    every = tuple(of_all)
    found: dict[EndpointClass, tuple[Bound, ...]] = {}
    for each in ENDPOINT_CLASSES:
        found[each] = (*of_class[each], *every) if each in of_class else every
    return found if any(found.values()) else {}


def _bound(kind: BoundKind, counted: str, limit: int, subject: str, subject_id: str) -> Bound:
    return Bound(kind, scope_of(kind, counted, subject, subject_id), limit, subject, subject_id)


def _least(*said: Number | None) -> Number | None:
    return min((each for each in said if each is not None), default=None)


def _lists(said: Iterable[tuple[str, ...]]) -> tuple[frozenset[str], ...]:
    return tuple(dict.fromkeys(frozenset(each) for each in said if each))
