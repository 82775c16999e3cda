"""Plans: what an organisation may do, beside what it pays for (contract.md 6)."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from .limits import Bound

EndpointClass = Literal["chat", "embeddings", "images", "audio", "videos", "music", "files"]
ENDPOINT_CLASSES: tuple[EndpointClass, ...] = ("chat", "embeddings", "images", "audio", "videos", "music", "files")

PLAN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Limit = Annotated[int, msgspec.Meta(ge=1, le=10**12)]
Requests = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is counted of one subject: a key, a project, or all of an organisation. Requests in any 60 seconds by class
    of endpoint, or of `all` together; a day is UTC's. What is not said is not bounded."""

    requests_per_minute: Mapping[EndpointClass | Literal["all"], Requests] = {}
    tokens_per_minute: Limit | None = None
    concurrency_max: Requests | None = None
    tokens_per_day: Limit | None = None


NO_BOUNDS = Bounds()


class Allowances(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one request may be. Tokens of its input, and of its answer; `models` by any of their names, all where there
    are none; `regions` are the only ones that may serve it."""

    context_tokens_max: Limit | None = None
    output_tokens_max: Limit | None = None
    longest_request_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] | None = None
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()


class Plan(Allowances, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plan: what each request may be, and what is counted of each key, of each project, and of the organisation as a
    whole. `storage_bytes_max` is for files, which are not served yet; records are kept for `retention_days`."""

    key: Bounds = NO_BOUNDS
    project: Bounds = NO_BOUNDS
    organisation: Bounds = NO_BOUNDS
    storage_bytes_max: Limit | None = None
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None = None


class Overrides(Allowances, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of one key, or of one project: within its plan, never beyond it."""

    bounds: Bounds = NO_BOUNDS


NO_OVERRIDES = Overrides()


class Share(msgspec.Struct, frozen=True, array_like=True):
    """What is reserved for one subject, an organisation, a project or a key, requests and tokens a minute (contract.md
    6.6), and how much of it is shared out to what is below it. None: nothing is said of that."""

    subject: str
    subject_id: str
    requests: int | None = None
    tokens: int | None = None
    requests_shared: int = 0
    tokens_shared: int = 0


class Agreed(msgspec.Struct, frozen=True, kw_only=True):
    """What the directory says of what a key may do: its organisation's plan (None: the default one of those that paid,
    or never did), what is said of the organisation, of each project that it may bill, and of itself, and the shares of
    throughput of all these, by subject."""

    plan: str | None = None
    has_paid: bool = False
    organisation: Bounds = NO_BOUNDS
    projects: Mapping[str, Overrides] = {}
    key: Overrides = NO_OVERRIDES
    shares: Mapping[str, Share] = {}


NOTHING_AGREED = Agreed()


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one key: its plan, narrowed by what is said of its project and of itself. `models` and `regions`
    are lists: a call's must be in each of them (models by any of their names, so that lists of different names cannot
    be made one). `bounds` are what is counted of a call, by class of endpoint; one of 0 lets nothing through."""

    plan: str = ""
    context_tokens_max: int | None = None
    output_tokens_max: int | None = None
    longest_request_s: float | None = None
    models: tuple[frozenset[str], ...] = ()
    regions: tuple[frozenset[str], ...] = ()
    bounds: Mapping[EndpointClass, tuple[Bound, ...]] = {}

    def bounds_of(self, endpoint_class: EndpointClass) -> tuple[Bound, ...]:
        """What is counted of a call of this class."""
        return self.bounds.get(endpoint_class, ())


UNLIMITED = Terms()
