"""A Health whose clock the tests move, and the ways of failing."""

from typing import Any

from faregate.core.catalog import Target
from faregate.core.errors import UpstreamDenied, UpstreamError, UpstreamLimited, UpstreamUnavailable
from faregate.flow.health import Attempt, Health, HealthLimits

FIRST = Target(provider="acme", upstream_model="one")
SIBLING = Target(provider="acme", upstream_model="two")
OTHER = Target(provider="other", upstream_model="one")
BOTH = (FIRST, OTHER)
JITTER_MAX = 1.1
IN_ROW = HealthLimits().failures_in_row_max


class Clinic:
    """A Health, its clock, what it has reported, and how many calls it believes to be under way."""

    def __init__(self, **limits: Any) -> None:
        self.now = 1000.0
        self.active = 0
        self.reports: list[tuple[str, str, dict[str, Any]]] = []
        self.health = Health(HealthLimits(**limits), self._report, lambda: self.active, lambda: self.now)

    def _report(self, level: str, event: str, **facts: Any) -> None:
        self.reports.append((level, event, facts))

    def begin(self, target: Target = FIRST) -> Attempt:
        attempt = self.health.begin(target)
        assert attempt is not None
        return attempt

    def fail(self, target: Target = FIRST, times: int = 1, error: UpstreamError | None = None) -> None:
        for _ in range(times):
            self.begin(target).failed(error or down())

    def succeed(self, target: Target = FIRST, times: int = 1) -> None:
        for _ in range(times):
            self.begin(target).completed()

    def pause_s(self, target: Target = FIRST, other: Target = OTHER) -> float:
        """How long a target that is ejected now is passed over, to a hundredth of a second."""
        begun = self.now
        while target not in self.health.passing((target, other)):
            self.now += 0.01
            assert self.now < begun + 1000.0
        return self.now - begun


def down(reason: str = "status 500") -> UpstreamUnavailable:
    return UpstreamUnavailable("The provider is not available.", reason=reason)


def denied() -> UpstreamDenied:
    return UpstreamDenied("The provider is not available.", status=401, reason="status 401")


def untelling(status: int = 404) -> UpstreamUnavailable:
    """What a request may have brought about that others do not share."""
    return UpstreamUnavailable("The provider is not available.", status=status, is_sickness=False)


def limited(retry_after_s: float | None) -> UpstreamLimited:
    return UpstreamLimited("The provider limits us.", retry_after_s=retry_after_s)
