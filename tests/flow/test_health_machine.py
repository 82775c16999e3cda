"""Health under any order of attempts: many at a time, at targets of two providers, that end in any way, or not yet."""

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from faregate.core.catalog import Target
from faregate.core.errors import UpstreamDenied, UpstreamError, UpstreamLimited, UpstreamUnavailable
from faregate.flow.health import Attempt, Health, HealthLimits

LIMITS = HealthLimits(
    failures_in_row_max=3, failed_share_max=0.5, window_calls_min=6, pause_s_max=40.0, limited_s_max=500.0
)
JITTER_MAX = 1.1
LONG_S = 1000.0  # longer than any pause, any limit and any window
TARGETS = tuple(
    Target(provider=provider, upstream_model=model)
    for provider, model in (("acme", "one"), ("acme", "two"), ("other", "one"), ("other", "two"))
)
SOME = st.lists(st.sampled_from(TARGETS), min_size=1, unique=True).map(tuple)
STEPS_S = st.sampled_from([0.0, 0.4, 1.0, 3.0, 11.0, 30.0, 34.0, 100.0]) | st.floats(0, 400)
ERRORS = st.one_of(
    st.builds(UpstreamUnavailable, st.just("down"), is_sickness=st.booleans()),
    st.builds(UpstreamDenied, st.just("denied")),
    st.builds(UpstreamLimited, st.just("limited"), retry_after_s=st.sampled_from([None, 0.5, 7.0, 90.0, 1e6])),
)
WAYS = ("answered", "completed", "failed", "gave_up")


def names_of(target: Target) -> tuple[str, str]:
    """What it is ejected as: itself, or its whole provider."""
    return f"{target.provider}/{target.upstream_model}", target.provider


@dataclass(eq=False)
class Try:
    """An attempt, and of which names that are ejected it is the trial, as far as that is not decided."""

    attempt: Attempt
    trial_of: set[str] = field(default_factory=set)
    is_over: bool = False


class Patients(RuleBasedStateMachine):
    """What is ejected is what Health says; until when, who tries it, and which limits hold is kept here again."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.health = Health(LIMITS, clock=lambda: self.now)
        self.tries: list[Try] = []
        self.ejected: set[str] = set()
        self.tried: set[str] = set()  # those whose last trial has not ended
        self.tried_at: dict[str, float] = {}
        self.failures: dict[str, int] = {}  # since it was in order the last time
        self.due_at: dict[str, float] = {}  # no sooner than that, while anybody else is open
        self.overdue_at: dict[str, float] = {}  # no later
        self.limited_until: dict[Target, float] = {}

    # What is known here

    def is_limited(self, target: Target) -> bool:
        return self.limited_until.get(target, 0.0) > self.now

    def is_sound(self, target: Target) -> bool:
        return not self.is_limited(target) and self.ejected.isdisjoint(names_of(target))

    def overdue(self, targets: tuple[Target, ...]) -> list[Target]:
        """Those whose pause is over, and that nobody tries."""
        waiting = self.tried | {name for name in self.ejected if self.now < self.overdue_at[name]}
        return [target for target in targets if not self.is_limited(target) and waiting.isdisjoint(names_of(target))]

    def may_be_open(self, target: Target) -> bool:
        """Whether the pauses may be over, with nobody trying."""
        names = self.ejected.intersection(names_of(target))
        return names.isdisjoint(self.tried) and all(self.now >= self.due_at[name] for name in names)

    def may_be_last(self, target: Target) -> bool:
        """Whether it is long enough ago that somebody tried it, for want of a better one."""
        names = self.ejected.intersection(names_of(target))
        return not self.is_limited(target) and all(
            self.now >= self.tried_at[name] + LIMITS.last_trial_interval_s for name in names
        )

    # What is done

    @rule(seconds=STEPS_S)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(among=SOME, count=st.integers(1, 3))
    def call(self, among: tuple[Target, ...], count: int) -> None:
        """A call asks who may be asked, and begins with the first, or with some."""
        for target in self.passing(among)[:count]:
            self.begin(target)

    @rule(at=st.sampled_from(TARGETS), count=st.integers(1, 8))
    def begin_of_an_old_list(self, at: Target, count: int) -> None:
        """A call that chose its targets long ago comes to the next of them."""
        for _ in range(count):
            self.begin(at)

    @precondition(lambda self: self.tries)
    @rule(data=st.data(), ways=st.lists(st.sampled_from(WAYS), min_size=1, max_size=3), error=ERRORS)
    def go_on(self, data: st.DataObject, ways: list[str], error: UpstreamError) -> None:
        """Any attempt says anything, those that are over too, and more than once."""
        each = data.draw(st.sampled_from(self.tries))
        for way in ways:
            self.say(each, way, error)

    @precondition(lambda self: self.tries)
    @rule(way=st.sampled_from(WAYS), error=ERRORS)
    def all_of_a_target_end(self, way: str, error: UpstreamError) -> None:
        target = self.tries[-1].attempt.target
        for each in [each for each in self.tries if each.attempt.target == target]:
            self.say(each, way, error)

    @rule(at=st.sampled_from(TARGETS), errors=st.lists(ERRORS, min_size=1, max_size=4), seconds=STEPS_S)
    def fails_again_and_again(self, at: Target, errors: list[UpstreamError], seconds: float) -> None:
        """One call after the other, until it is left alone; then some time passes."""
        for error in errors:
            new = self.begin(at)
            if new is not None:
                self.say(new, "failed", error)
        self.now += seconds

    @precondition(lambda self: self.ejected)
    @rule(data=st.data(), ways=st.lists(st.sampled_from(WAYS), max_size=2), error=ERRORS)
    def trial(self, data: st.DataObject, ways: list[str], error: UpstreamError) -> None:
        """The trial of a target that is ejected, as far as it may be had."""
        targets = [target for target in TARGETS if not self.ejected.isdisjoint(names_of(target))]
        self.now += LONG_S
        new = self.begin(data.draw(st.sampled_from(targets)))
        if new is not None:
            for way in ways:
                self.say(new, way, error)

    @rule(at=st.sampled_from(TARGETS), count=st.integers(2, 3), sign=st.sampled_from(["answered", "completed"]))
    def trials_of_the_last_hang(self, at: Target, count: int, sign: str) -> None:
        """One begins after the other, until one is answered; then the others fail."""
        self.fails_again_and_again(at, [UpstreamUnavailable("down")] * LIMITS.failures_in_row_max, 0.0)
        begun: list[Try] = []
        for _ in range(count):
            self.now += LIMITS.last_trial_interval_s
            new = self.begin(at)
            begun += [] if new is None else [new]
        if begun:
            self.say(begun.pop(), sign, UpstreamUnavailable(""))
        for each in begun:
            self.say(each, "failed", UpstreamUnavailable("down"))

    @precondition(lambda self: self.tries)
    @rule()
    def forget_what_is_over(self) -> None:
        self.tries = [each for each in self.tries if not each.is_over]

    @rule(error=ERRORS)
    def who_is_over_is_not_heard(self, error: UpstreamError) -> None:
        for each in [each for each in self.tries if each.is_over]:
            for way in WAYS:
                self.say(each, way, error)

    @rule(among=SOME, failures=st.integers(0, 4))
    def somebody_is_admitted_soon(self, among: tuple[Target, ...], failures: int) -> None:
        """Whatever has happened, and whoever hangs: unless all limit us."""
        for target in among:
            self.fails_again_and_again(target, [UpstreamUnavailable("down")] * failures, 0.0)
        self.now += LIMITS.last_trial_interval_s
        if not all(self.is_limited(target) for target in among):
            passing = self.passing(among)
            assert passing
            assert self.begin(passing[0]) is not None

    @rule(served=SOME)
    def others_are_not_served_any_more(self, served: tuple[Target, ...]) -> None:
        self.health.forget_all_but(served)
        kept = {name for target in served for name in names_of(target)}
        self.limited_until = {target: until for target, until in self.limited_until.items() if target in served}
        self.failures = {name: count for name, count in self.failures.items() if name in kept}
        self.decided(self.ejected - kept)
        self.ejected &= kept

    @rule()
    def all_is_well_again(self) -> None:
        """No trial is lost once all attempts have ended, and nothing is kept once everybody has given an answer."""
        for each in self.tries:
            self.say(each, "gave_up", UpstreamUnavailable(""))
        self.now += LONG_S
        assert self.passing(TARGETS) == TARGETS
        for target in TARGETS:
            new = self.begin(target)
            assert new is not None
            self.say(new, "completed", UpstreamUnavailable(""))
        assert not self.health.remembered

    # How it is done

    def passing(self, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        sound = [target for target in targets if self.is_sound(target)]
        try:
            passing = self.health.passing(targets)
        except UpstreamLimited as refused:
            assert all(self.is_limited(target) for target in targets)
            wait_s = min(self.limited_until[target] for target in targets) - self.now
            assert abs((refused.retry_after_s or 0.0) - wait_s) < 1e-6
            return ()
        except UpstreamUnavailable as refused:
            assert not sound
            assert not any(self.may_be_last(target) for target in targets)
            assert not refused.is_worth_retrying
            return ()
        assert passing
        assert [target for target in targets if target in passing] == list(passing)
        assert not any(self.is_limited(target) for target in passing)
        assert set(sound) <= set(passing)
        if sound:
            assert set(self.overdue(targets)) <= set(passing)
        is_last = not sound and len(passing) == 1 and self.may_be_last(passing[0])
        assert is_last or all(self.may_be_open(target) for target in passing)
        return passing

    def begin(self, target: Target) -> Try | None:
        ejected = self.ejected.intersection(names_of(target))
        attempt = self.health.begin(target)
        if attempt is None:
            assert not self.is_sound(target)
            assert not self.may_be_last(target)
            return None
        assert not self.is_limited(target)
        assert self.may_be_open(target) or self.may_be_last(target), "two trials at a time"
        self.tried |= ejected
        self.tried_at |= dict.fromkeys(ejected, self.now)
        new = Try(attempt, trial_of=ejected)
        self.tries.append(new)
        return new

    def say(self, each: Try, way: str, error: UpstreamError) -> None:
        attempt, was_over, trial_of = each.attempt, each.is_over, each.trial_of
        if way == "failed":
            attempt.failed(error)
        else:
            getattr(attempt, way)()
        each.is_over = was_over or way != "answered"
        each.trial_of = set()
        before, self.ejected = self.ejected, set(self.health.ejected)
        if was_over:
            assert self.ejected == before
            return
        self.tried -= trial_of
        has_failed = way == "failed" and error.is_sickness and not isinstance(error, UpstreamLimited)
        is_passed = not has_failed and way != "gave_up"
        assert before - self.ejected == (trial_of if is_passed else set())
        self.decided(before - self.ejected)
        if has_failed:
            self.has_failed(attempt.target, error, trial_of, self.ejected - before)
        else:
            assert self.ejected <= before
        if way == "failed" and isinstance(error, UpstreamLimited) and error.retry_after_s is not None:
            until = self.now + min(error.retry_after_s, LIMITS.limited_s_max)
            self.limited_until[attempt.target] = max(self.limited_until.get(attempt.target, 0.0), until)

    def has_failed(self, target: Target, error: UpstreamError, trial_of: set[str], came: set[str]) -> None:
        """A failure ejects whom it speaks against, and nobody else, and not without cause."""
        own, provider = names_of(target)
        blamed = provider if isinstance(error, UpstreamDenied) else own
        self.failures[blamed] = self.failures.get(blamed, 0) + 1
        assert came <= {blamed}
        if isinstance(error, UpstreamDenied):
            assert blamed in self.ejected
        elif came:  # three in a row, or half of six
            assert self.failures[blamed] >= LIMITS.failures_in_row_max
        if came or blamed in trial_of:
            self.due_at[blamed] = self.now + LIMITS.pause_s_min
            self.overdue_at[blamed] = self.now + LIMITS.pause_s_max * JITTER_MAX
            self.tried_at[blamed] = self.now

    def decided(self, names: set[str]) -> None:
        """These are not ejected any more: who still tries them has no say in that."""
        self.tried -= names
        for name in names:
            self.failures.pop(name, None)
        for each in self.tries:
            each.trial_of -= names

    @invariant()
    def each_is_named_once(self) -> None:
        names = self.health.ejected
        assert set(names) == self.ejected
        assert len(names) == len(self.ejected)

    def teardown(self) -> None:
        self.all_is_well_again()


TestPatients = Patients.TestCase
TestPatients.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)
