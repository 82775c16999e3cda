"""Which targets are in order: what each has failed at lately, and when it may be tried again.

Theory of operation. Whoever fails several times in a row, or nearly always for a while, is ejected: no call goes there
until a pause is over, and then one, the trial, whose end decides. The pause is half as long as the target has been
failing, within bounds: one that is out for a minute is back within another half, one that is out for a day costs a
call every five minutes. What only the operator can mend (a key that is none, credit that is used up) ejects the whole
provider at once. A limit of the provider's ejects nobody: the target is left alone until the time that it named. What
a client does, and what one request may have brought about, says nothing of a target.

There is always somebody to ask: where all of a model's targets are ejected, a call a second is the trial of one, and
the others are told at once.

Nothing is kept of a target that has not failed, so that a call costs nothing here while all is well. Every process
learns for itself.
"""

import random
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec

from ..core.catalog import Target
from ..core.errors import UpstreamDenied, UpstreamError, UpstreamLimited, UpstreamUnavailable

Report = Callable[..., None]

_PAUSE_PER_OUTAGE = 0.5
_PAUSE_JITTER = 0.1  # so that not all targets, and not all gateways, come back in the same moment
_RETRIES_MIN = 3
_RETRIES_PER_CALL = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthLimits:
    """When a target is ejected, and for how long (seconds)."""

    failures_in_row_max: int = 5
    failed_share_max: float = 0.85
    window_s: float = 10.0
    window_calls_min: int = 50
    pause_s_min: float = 30.0
    pause_s_max: float = 300.0
    last_trial_interval_s: float = 1.0
    limited_s_max: float = 3600.0


class _Record(msgspec.Struct, eq=False):
    """What is remembered of a target, or of a whole provider, that has failed. Times are the clock's, seconds."""

    subject: Target | str
    bad_since: float
    failures_in_row: int = 0
    window_at: float = 0.0
    window_calls: int = 0
    window_failures: int = 0
    is_ejected: bool = False
    is_tried: bool = False
    tried_at: float = 0.0
    due_at: float = 0.0
    limited_until: float = 0.0

    @property
    def name(self) -> str:
        return self.subject if isinstance(self.subject, str) else _name_of(self.subject)


class Attempt(msgspec.Struct, eq=False):
    """A call's try at a target, the trial of what was ejected there when it began. `answered` is the first sign of an
    answer; `completed`, `failed` and `gave_up` are its end: the first of them counts, and nothing after it."""

    _health: "Health"
    target: Target
    _tried: tuple[_Record, ...] = ()
    _is_over: bool = False

    def answered(self) -> None:
        """The target has begun to answer, or has refused what no target would take: a trial is passed."""
        if self._tried and not self._is_over:
            self._health.restore(self._tried)
            self._tried = ()

    def completed(self) -> None:
        """The answer is whole."""
        if not self._is_over:
            if self._health.remembered:
                self.answered()
                self._health.note_success(self.target)
            self._is_over = True

    def failed(self, error: UpstreamError) -> None:
        """There is no answer, or not all of it."""
        if not self._is_over:
            self._is_over = True
            self._health.note_failure(self.target, error, self._tried)

    def gave_up(self) -> None:
        """Nobody waits for it any longer: that says nothing of the target."""
        if not self._is_over:
            self._is_over = True
            if self._tried:
                self._health.release(self._tried)


class Health:
    """The memory of this process: what is `remembered` of targets and whole providers, nothing of those in order.
    `report` writes to the log; `active` tells how many calls are under way."""

    def __init__(
        self,
        limits: HealthLimits = HealthLimits(),
        report: Report = lambda *_words, **_facts: None,
        active: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._report = report
        self._active = active
        self._clock = clock
        self.remembered: dict[Target | str, _Record] = {}
        self._retries: dict[str, int] = {}
        self.ejections = 0  # since the start

    @property
    def ejected(self) -> list[str]:
        """The names of the targets and providers that are ejected now."""
        return [record.name for record in self.remembered.values() if record.is_ejected]

    def passing(self, targets: tuple[Target, ...], *, has_fallback: bool = False) -> tuple[Target, ...]:
        """Those of `targets` that may be asked, in their order; where all are ejected, and nobody else could answer,
        one whose trial is due. UpstreamLimited where all limit us, UpstreamUnavailable where it is too early."""
        now = self._clock()
        passing = tuple(target for target in targets if self._is_open_to(target, now))
        if passing:
            return passing
        last = next((target for target in targets if self._is_due(target, now)), None)
        if last is not None and not has_fallback:
            return (last,)
        raise self.refusal(targets)

    def begin(self, target: Target) -> Attempt | None:
        """An attempt at a target; None where it has been ejected meanwhile, or is tried by somebody else."""
        if not self.remembered:
            return Attempt(self, target)
        records = self._of(target)
        now = self._clock()
        if not self._is_open_to(target, now) and not self._is_due(target, now):
            return None
        tried = tuple(record for record in records if record.is_ejected)
        for record in tried:
            record.is_tried = True
            record.tried_at = now
        return Attempt(self, target, tried)

    def refusal(self, targets: Sequence[Target]) -> UpstreamError:
        """Why none of `targets` may be asked now: UpstreamLimited where all limit us."""
        now = self._clock()
        ends = [max((record.limited_until for record in self._of(target)), default=0.0) for target in targets]
        is_ejected = any(record.is_ejected for target in targets for record in self._of(target))
        if not is_ejected and min(ends) > now:
            return UpstreamLimited("The provider limits us.", retry_after_s=min(ends) - now)
        return UpstreamUnavailable(
            "The provider is not available.",
            retry_after_s=self._limits.last_trial_interval_s,
            reason="ejected",
            is_worth_retrying=False,
        )

    def may_retry(self, provider: str) -> bool:
        """Whether one more call may be made at a provider for those that failed, besides a call's first move to another
        target (limits-and-failover.md: retries are no more than a fifth of what is under way, or three)."""
        return self._retries.get(provider, 0) < max(_RETRIES_MIN, _RETRIES_PER_CALL * self._active())

    def retrying(self, provider: str, change: int) -> None:
        """`change` more retries are under way at a provider."""
        count = self._retries.get(provider, 0) + change
        if count:
            self._retries[provider] = count
        else:
            self._retries.pop(provider, None)

    def forget_all_but(self, served: Collection[Target]) -> None:
        """What is served has changed: nobody will ask the other targets again."""
        subjects: set[Target | str] = set(served)
        subjects |= {target.provider for target in served}
        self.remembered = {subject: record for subject, record in self.remembered.items() if subject in subjects}

    # What attempts have to say

    def restore(self, tried: tuple[_Record, ...]) -> None:
        """A trial was passed. All begins anew: other trials of the same ejection, which may hang for long after that,
        are attempts like any other from now on."""
        now = self._clock()
        for record in tried:
            if self.remembered.get(record.subject) is record:  # it was the first of several to pass
                anew = _Record(record.subject, now, window_at=now, limited_until=record.limited_until)
                self.remembered[record.subject] = anew
                self._report("info", "target_back", target=record.name)

    def release(self, tried: tuple[_Record, ...]) -> None:
        """A trial has come to no end."""
        for record in tried:
            record.is_tried = False

    def note_success(self, target: Target) -> None:
        """A whole answer; what is long over is forgotten."""
        record = self.remembered.get(target)
        if record is not None and not record.is_ejected:
            now = self._clock()
            record.failures_in_row = 0
            self._count(record, now)
            if not record.window_failures and record.limited_until <= now:
                del self.remembered[target]
        record = self.remembered.get(target.provider)
        if record is not None and not record.is_ejected:
            del self.remembered[target.provider]

    def note_failure(self, target: Target, error: UpstreamError, tried: tuple[_Record, ...]) -> None:
        """An attempt has failed. What was begun before an ejection does not make it longer."""
        now = self._clock()
        if isinstance(error, UpstreamLimited) or not error.is_sickness:
            self.restore(tried)
            if isinstance(error, UpstreamLimited) and error.retry_after_s is not None:
                record = self._record(target, now)
                limited_s = min(error.retry_after_s, self._limits.limited_s_max)
                record.limited_until = max(record.limited_until, now + limited_s)
            return
        record = self._record(target.provider if isinstance(error, UpstreamDenied) else target, now)
        self.release(tried)
        if record.is_ejected and record not in tried:
            return
        if not record.failures_in_row and not record.is_ejected:
            record.bad_since = now
        record.failures_in_row += 1
        self._count(record, now, failures=1)
        if record in tried or isinstance(error, UpstreamDenied) or self._is_over(record):
            self._eject(record, now, error)

    # How it is kept

    def _of(self, target: Target) -> tuple[_Record, ...]:
        found = (self.remembered.get(target), self.remembered.get(target.provider))
        return tuple(record for record in found if record is not None)

    def _record(self, subject: Target | str, now: float) -> _Record:
        record = self.remembered.get(subject)
        if record is None:
            record = self.remembered[subject] = _Record(subject, now, window_at=now)
        return record

    def _count(self, record: _Record, now: float, failures: int = 0) -> None:
        if now - record.window_at > self._limits.window_s:
            record.window_at = now
            record.window_calls = record.window_failures = 0
        record.window_calls += 1
        record.window_failures += failures

    def _is_over(self, record: _Record) -> bool:
        limits = self._limits
        return record.failures_in_row >= limits.failures_in_row_max or (
            record.window_calls >= limits.window_calls_min
            and record.window_failures >= limits.failed_share_max * record.window_calls
        )

    def _eject(self, record: _Record, now: float, error: UpstreamError) -> None:
        limits = self._limits
        pause_s = min(max(_PAUSE_PER_OUTAGE * (now - record.bad_since), limits.pause_s_min), limits.pause_s_max)
        record.due_at = now + pause_s * (1 + _PAUSE_JITTER * random.random())
        record.tried_at = now
        if not record.is_ejected:
            record.is_ejected = True
            self.ejections += 1
            level = "error" if isinstance(error, UpstreamDenied) else "warning"
            self._report(level, "target_ejected", target=record.name, reason=error.reason)

    def _is_open_to(self, target: Target, now: float) -> bool:
        return all(
            record.limited_until <= now and (not record.is_ejected or (now >= record.due_at and not record.is_tried))
            for record in self._of(target)
        )

    def _is_due(self, target: Target, now: float) -> bool:
        """Whether a target may be tried for want of a better one."""
        interval_s = self._limits.last_trial_interval_s
        return all(
            record.limited_until <= now
            and (not record.is_ejected or now >= record.tried_at + interval_s)  # one that hangs holds nobody up
            for record in self._of(target)
        )


def _name_of(target: Target) -> str:
    place = "" if target.region == "default" else f" in {target.region}"
    replica = "" if target.replica == "default" else f" ({target.replica})"
    return f"{target.provider}/{target.upstream_model}{place}{replica}"
