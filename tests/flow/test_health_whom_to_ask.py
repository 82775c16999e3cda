"""The last target that there is, what only the operator can mend, limits of a provider's, what was begun before an
ejection, what is kept, and how often is asked again."""

import pytest

from faregate.core.catalog import Target
from faregate.core.errors import UpstreamError, UpstreamLimited, UpstreamUnavailable
from faregate.flow.health import HealthLimits
from tests.flow.clinic import BOTH, FIRST, IN_ROW, OTHER, SIBLING, Clinic, denied, down, limited, untelling

# The last that there is


def test_the_last_target_is_tried_once_a_second() -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    for _ in range(5):
        for _ in range(10):
            with pytest.raises(UpstreamUnavailable) as refused:
                clinic.health.passing((FIRST,))
            assert (refused.value.is_worth_retrying, refused.value.retry_after_s) == (False, 1.0)
            assert refused.value.reason == "ejected"
            assert clinic.health.begin(FIRST) is None
        clinic.now += 1.0
        assert clinic.health.passing((FIRST,)) == (FIRST,)
        clinic.fail()
    clinic.now += 1.0
    clinic.succeed()
    assert clinic.health.passing((FIRST,)) == (FIRST,)
    assert clinic.health.ejected == []


def test_a_trial_of_the_last_that_hangs_holds_nobody_up() -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    clinic.now += 1.0
    trials = [clinic.begin()]
    for _ in range(60):
        clinic.now += 0.9
        with pytest.raises(UpstreamUnavailable):
            clinic.health.passing((FIRST,))
        assert clinic.health.begin(FIRST) is None
        clinic.now += 0.1
        assert clinic.health.passing((FIRST,)) == (FIRST,)
        trials.append(clinic.begin())
    trials[-1].answered()
    assert clinic.health.ejected == []
    assert clinic.health.passing((FIRST,)) == (FIRST,)


@pytest.mark.parametrize("sign", ["answered", "completed"])
def test_trials_that_hung_are_one_failure_each_once_a_later_one_has_passed(sign: str) -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    trials = []
    for _ in range(IN_ROW):
        clinic.now += 1.0
        trials.append(clinic.begin())
    getattr(trials.pop(), sign)()
    for trial in trials:
        trial.failed(down())
        assert clinic.health.passing((FIRST,)) == (FIRST,)
    assert clinic.health.ejections == 1


@pytest.mark.parametrize("sign", ["answered", "completed"])
@pytest.mark.parametrize("end", ["failed", "completed", "gave_up"])
def test_trials_that_hung_have_no_say_in_a_later_ejection(end: str, sign: str) -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    clinic.now += 1.0
    early = clinic.begin()
    clinic.now += 1.0
    getattr(clinic.begin(), sign)()
    clinic.fail(times=IN_ROW)
    clinic.now += 29.0
    if end == "failed":
        early.failed(down())
    else:
        getattr(early, end)()
    assert clinic.health.ejected == ["acme/one"]
    clinic.now += 5.0
    assert clinic.health.passing(BOTH) == BOTH


def test_where_a_fallback_may_answer_the_last_is_not_tried_before_its_time() -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    clinic.now += 20.0
    with pytest.raises(UpstreamUnavailable):
        clinic.health.passing((FIRST,), has_fallback=True)
    clinic.now += 14.0
    assert clinic.health.passing((FIRST,), has_fallback=True) == (FIRST,)


def test_the_last_ones_are_tried_one_by_one() -> None:
    clinic = Clinic()
    for target in BOTH:
        clinic.fail(target, IN_ROW)
    with pytest.raises(UpstreamUnavailable):
        clinic.health.passing(BOTH)
    clinic.now += 1.0
    assert clinic.health.passing(BOTH) == (FIRST,)
    clinic.begin(FIRST)
    assert clinic.health.passing(BOTH) == (OTHER,)
    clinic.begin(OTHER)
    with pytest.raises(UpstreamUnavailable):
        clinic.health.passing(BOTH)


# What only the operator can mend


def test_denied_ejects_the_whole_provider_at_once() -> None:
    clinic = Clinic()
    clinic.fail(error=denied())
    assert clinic.health.ejected == ["acme"]
    assert clinic.reports == [("error", "target_ejected", {"target": "acme", "reason": "status 401"})]
    assert clinic.health.passing((FIRST, SIBLING, OTHER)) == (OTHER,)
    clinic.now += 34.0
    assert clinic.health.passing((FIRST, SIBLING, OTHER)) == (FIRST, SIBLING, OTHER)
    trial = clinic.begin(SIBLING)  # the provider's, whichever of its targets it is made at
    assert clinic.health.passing((FIRST, SIBLING, OTHER)) == (OTHER,)
    trial.completed()
    assert clinic.health.passing((FIRST, SIBLING, OTHER)) == (FIRST, SIBLING, OTHER)
    assert not clinic.health.remembered


# What a request may have brought about


@pytest.mark.parametrize("status", [403, 404, 424])
def test_what_says_nothing_of_a_target_is_not_remembered(status: int) -> None:
    clinic = Clinic()
    clinic.fail(times=20 * IN_ROW, error=untelling(status))
    assert not clinic.health.remembered
    assert clinic.health.passing(BOTH) == BOTH


def test_nor_does_it_end_a_row() -> None:
    clinic = Clinic()
    for _ in range(IN_ROW):
        assert clinic.health.ejected == []
        clinic.fail(error=untelling())
        clinic.fail()
    assert clinic.health.ejected == ["acme/one"]


# Limits of a provider's


def test_limited_is_a_cool_down_and_no_ejection() -> None:
    clinic = Clinic()
    clinic.fail(error=limited(20.0))
    assert clinic.health.passing(BOTH) == (OTHER,)
    assert (clinic.health.ejected, clinic.health.ejections, clinic.reports) == ([], 0, [])
    assert clinic.health.begin(FIRST) is None
    clinic.now += 19.9
    assert clinic.health.passing(BOTH) == (OTHER,)
    clinic.now += 0.1
    assert clinic.health.passing(BOTH) == BOTH


def test_limits_are_no_failures_in_a_row() -> None:
    clinic = Clinic()
    for _ in range(20 * IN_ROW):
        clinic.fail(error=limited(1.0))
        clinic.now += 1.0
    assert clinic.health.passing(BOTH) == BOTH
    clinic.succeed()
    assert not clinic.health.remembered


def test_the_longest_limit_that_was_told_counts() -> None:
    clinic = Clinic()
    attempts = [clinic.begin() for _ in range(2)]
    attempts[0].failed(limited(20.0))
    attempts[1].failed(limited(1.0))
    clinic.now += 19.9
    assert clinic.health.passing(BOTH) == (OTHER,)


@pytest.mark.parametrize(("told_s", "kept_s"), [(0.5, 0.5), (5.0, 5.0), (1e9, 3600.0)])
def test_limits_have_a_bound(told_s: float, kept_s: float) -> None:
    clinic = Clinic()
    clinic.fail(error=limited(told_s))
    clinic.now += kept_s - 0.01
    assert clinic.health.passing(BOTH) == (OTHER,)
    clinic.now += 0.01
    assert clinic.health.passing(BOTH) == BOTH


def test_a_limit_without_a_time_is_no_cool_down() -> None:
    """It may be that only this request is too large for it."""
    clinic = Clinic()
    clinic.fail(times=20 * IN_ROW, error=limited(None))
    assert clinic.health.passing(BOTH) == BOTH
    assert not clinic.health.remembered


def test_nor_does_it_end_one() -> None:
    clinic = Clinic()
    late = clinic.begin()
    clinic.fail(error=limited(20.0))
    late.failed(limited(None))
    assert clinic.health.passing(BOTH) == (OTHER,)
    clinic.now += 20.0
    assert clinic.health.passing(BOTH) == BOTH


def test_where_all_limit_us_the_smallest_wait_is_told() -> None:
    clinic = Clinic()
    clinic.fail(FIRST, error=limited(20.0))
    clinic.fail(OTHER, error=limited(7.0))
    clinic.now += 2.0
    with pytest.raises(UpstreamLimited) as refused:
        clinic.health.passing(BOTH)
    assert refused.value.retry_after_s == pytest.approx(5.0)
    assert refused.value.is_worth_retrying


def test_a_limit_that_came_after_a_call_had_chosen_is_told_as_one() -> None:
    clinic = Clinic()
    clinic.fail(error=limited(20.0))
    assert clinic.health.begin(FIRST) is None
    refusal = clinic.health.refusal((FIRST,))
    assert isinstance(refusal, UpstreamLimited)
    assert refusal.retry_after_s == pytest.approx(20.0)
    clinic.now += 20.0
    assert isinstance(clinic.health.refusal((FIRST, OTHER)), UpstreamUnavailable)  # neither: it was over meanwhile


def test_one_that_limits_us_and_one_that_is_ejected() -> None:
    clinic = Clinic()
    clinic.fail(FIRST, error=limited(20.0))
    clinic.fail(OTHER, IN_ROW)
    with pytest.raises(UpstreamUnavailable):
        clinic.health.passing(BOTH)
    clinic.now += 1.0
    assert clinic.health.passing(BOTH) == (OTHER,)


def test_a_limit_is_kept_by_one_that_is_ejected_and_last() -> None:
    clinic = Clinic()
    attempt = clinic.begin()
    clinic.fail(times=IN_ROW)
    attempt.failed(limited(20.0))
    clinic.now += 19.0
    with pytest.raises(UpstreamUnavailable):
        clinic.health.passing((FIRST,))
    clinic.now += 1.0
    assert clinic.health.passing((FIRST,)) == (FIRST,)


# What was begun before


def test_attempts_begun_before_an_ejection_do_not_lengthen_it() -> None:
    clinic = Clinic()
    early = [clinic.begin() for _ in range(20)]
    clinic.fail(times=IN_ROW)
    clinic.now += 29.0
    for attempt in early:
        attempt.failed(down())
    clinic.now += 5.0
    assert clinic.health.passing(BOTH) == BOTH
    assert clinic.health.ejections == 1


def test_attempts_begun_before_an_ejection_do_not_lift_it() -> None:
    clinic = Clinic()
    early = [clinic.begin() for _ in range(20)]
    clinic.fail(times=IN_ROW)
    for attempt in early[:10]:
        attempt.answered()
        attempt.completed()
    assert clinic.health.passing(BOTH) == (OTHER,)
    clinic.now += 34.0
    clinic.begin()
    for attempt in early[10:]:
        attempt.gave_up()
    assert clinic.health.begin(FIRST) is None  # nor do they end the trial
    assert clinic.health.ejected == ["acme/one"]


# What is kept


def test_nothing_is_kept_once_all_is_well() -> None:
    clinic = Clinic()
    clinic.succeed(times=5)
    assert not clinic.health.remembered
    clinic.fail()
    assert clinic.health.remembered
    clinic.succeed()
    assert clinic.health.remembered  # its window is not over
    clinic.now += HealthLimits().window_s + 0.1
    clinic.succeed()
    assert not clinic.health.remembered


def test_what_has_not_failed_is_passed_as_it_is() -> None:
    clinic = Clinic()
    assert clinic.health.passing(BOTH) == BOTH
    clinic.fail(SIBLING, IN_ROW)
    assert clinic.health.passing(BOTH) == BOTH


@pytest.mark.parametrize("error", [down(), denied(), limited(20.0)])
def test_what_is_not_served_any_more_is_forgotten(error: UpstreamError) -> None:
    clinic = Clinic()
    early, trial = clinic.begin(), clinic.begin()
    clinic.fail(times=IN_ROW if isinstance(error, UpstreamUnavailable) and error.status == 0 else 1, error=error)
    clinic.fail(OTHER, IN_ROW)
    clinic.health.forget_all_but([OTHER])
    assert clinic.health.ejected == ["other/one"]
    assert set(clinic.health.remembered) == {OTHER}
    early.gave_up()
    trial.completed()
    assert set(clinic.health.remembered) == {OTHER}
    clinic.succeed()  # it is served again, and anew


def test_what_is_served_is_not_forgotten() -> None:
    clinic = Clinic()
    clinic.fail(error=denied())
    clinic.fail(OTHER, IN_ROW)
    clinic.health.forget_all_but([SIBLING, OTHER])  # of the same provider
    assert clinic.health.ejected == ["acme", "other/one"]
    assert clinic.health.passing((SIBLING, Target(provider="third", upstream_model="one")))[0].provider == "third"


@pytest.mark.parametrize("end", ["completed", "failed"])
def test_the_trial_of_what_was_forgotten_is_an_attempt_like_any_other(end: str) -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    clinic.now += 34.0
    trial = clinic.begin()
    clinic.fail(OTHER)
    clinic.health.forget_all_but([OTHER])
    if end == "failed":
        trial.failed(down())
    else:
        trial.completed()
    assert clinic.health.passing(BOTH) == BOTH
    assert [event for _, event, _ in clinic.reports] == ["target_ejected"]


# Retries


def test_retries_are_three_or_a_fifth_of_what_is_under_way() -> None:
    clinic = Clinic()
    for active, most in ((0, 3), (15, 3), (20, 4), (100, 20)):
        clinic.active = active
        count = 0
        while clinic.health.may_retry("acme"):
            clinic.health.retrying("acme", 1)
            count += 1
        assert count == most
        assert clinic.health.may_retry("other")
        for _ in range(count):
            clinic.health.retrying("acme", -1)
            assert clinic.health.may_retry("acme")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target(provider="p", upstream_model="m", region="eu"), "p/m in eu"),
        (Target(provider="p", upstream_model="m", replica="r2"), "p/m (r2)"),
        (Target(provider="p", upstream_model="m", region="eu", replica="r2"), "p/m in eu (r2)"),
    ],
)
def test_targets_are_named_by_where_they_are(target: Target, name: str) -> None:
    clinic = Clinic()
    clinic.fail(target, IN_ROW)
    assert clinic.health.ejected == [name]
