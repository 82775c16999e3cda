"""Plans: what an organisation may do, beside what it pays for (contract.md 6)."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from .limits import Bound

EndpointClass = Literal["chat", "embeddings", "images", "audio", "videos", "music", "files"]
ENDPOINT_CLASSES: tuple[EndpointClass, ...] = ("chat", "embeddings", "images", "audio", "videos", "music", "files")

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
    whole. `storage_bytes_max` bounds its files; records are kept for `retention_days`."""

    key: Bounds = NO_BOUNDS
    project: Bounds = NO_BOUNDS
    organisation: Bounds = NO_BOUNDS
    storage_bytes_max: Limit | None = None
    retention_days: Annotated[int, msgspec.Meta(ge=1, le=36_500)] | None = None


class Overrides(Allowances, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of one key, or of one project: within its plan, never beyond it."""

    bounds: Bounds = NO_BOUNDS


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one key: its plan, narrowed by what is said of its project and of itself. `bounds` are what is
    counted of a call, by class of endpoint."""

    plan: str = ""
    context_tokens_max: int | None = None
    output_tokens_max: int | None = None
    longest_request_s: float | None = None
    models: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()
    bounds: Mapping[EndpointClass, tuple[Bound, ...]] = {}

    def bounds_of(self, endpoint_class: EndpointClass) -> tuple[Bound, ...]:
        """What is counted of a call of this class."""
        return self.bounds.get(endpoint_class, ())


UNLIMITED = Terms()
