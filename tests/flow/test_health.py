"""When a target is ejected, for how long it is left alone, and who tries it again: by a clock that the tests move."""

import math
from collections.abc import Callable

import pytest

from faregate.core.catalog import Target
from faregate.flow.health import HealthLimits
from tests.flow.clinic import BOTH, FIRST, IN_ROW, JITTER_MAX, OTHER, SIBLING, Clinic, denied, down, limited, untelling

# When a target is ejected


def test_five_in_a_row_eject() -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW - 1)
    assert clinic.health.passing(BOTH) == BOTH
    assert clinic.health.ejections == 0
    clinic.fail()
    assert clinic.health.passing(BOTH) == (OTHER,)
    assert clinic.health.ejected == ["acme/one"]
    assert clinic.health.ejections == 1
    assert clinic.reports == [("warning", "target_ejected", {"target": "acme/one", "reason": "status 500"})]


def test_a_success_between_begins_the_row_anew() -> None:
    clinic = Clinic()
    for _ in range(4):
        clinic.fail(times=IN_ROW - 1)
        clinic.succeed()
    assert clinic.health.ejected == []
    clinic.fail(times=IN_ROW)
    assert clinic.health.ejected == ["acme/one"]


def test_failures_of_one_target_are_not_another_s() -> None:
    clinic = Clinic()
    for target in (FIRST, SIBLING, OTHER) * (IN_ROW - 1):
        clinic.fail(target)
    assert clinic.health.ejected == []


def test_an_answer_that_only_began_does_not_end_a_row() -> None:
    """A target whose every stream dies in the middle is as bad as one that does not answer."""
    clinic = Clinic()
    for _ in range(IN_ROW):
        attempt = clinic.begin()
        attempt.answered()
        attempt.failed(down())
    assert clinic.health.ejected == ["acme/one"]


def test_who_gives_up_says_nothing() -> None:
    clinic = Clinic()
    for _ in range(10 * IN_ROW):
        clinic.begin().gave_up()
    assert not clinic.health.remembered
    clinic.fail(times=IN_ROW - 1)
    for _ in range(10 * IN_ROW):
        clinic.begin().gave_up()
    assert clinic.health.ejected == []
    clinic.fail()
    assert clinic.health.ejected == ["acme/one"]


@pytest.mark.parametrize("end", ["completed", "failed", "gave_up"])
def test_the_first_end_counts(end: str) -> None:
    clinic = Clinic(failures_in_row_max=2)
    clinic.fail()
    attempt = clinic.begin()
    ends: dict[str, Callable[[], None]] = {
        "completed": attempt.completed,
        "failed": lambda: attempt.failed(down()),
        "gave_up": attempt.gave_up,
    }
    ends[end]()
    ejected = clinic.health.ejected
    assert (ejected == ["acme/one"]) == (end == "failed")
    for later in ends.values():
        later()
    assert clinic.health.ejected == ejected


def share_of(clinic: Clinic, failures: int, calls: int) -> None:
    """So many calls of which so many fail, never two in a row where it can be helped."""
    for number in range(calls):
        if (number + 1) * failures // calls > number * failures // calls:
            clinic.fail()
        else:
            clinic.succeed()


def test_a_share_of_a_window_ejects() -> None:
    clinic = Clinic(failed_share_max=0.4, window_calls_min=20)
    clinic.fail()  # nothing is counted before the first failure
    share_of(clinic, 7, 19)
    assert clinic.health.ejected == ["acme/one"]


def test_less_than_that_share_does_not() -> None:
    clinic = Clinic(failed_share_max=0.4, window_calls_min=20)
    clinic.fail()
    share_of(clinic, 30, 100)
    assert clinic.health.ejected == []


def test_few_calls_are_no_share() -> None:
    clinic = Clinic(failed_share_max=0.4, window_calls_min=20)
    clinic.fail()
    share_of(clinic, 9, 18)  # 19 in all
    assert clinic.health.ejected == []


def test_a_window_forgets() -> None:
    """Half of all calls fail, but never enough of them within one window."""
    clinic = Clinic(failed_share_max=0.4, window_calls_min=20, window_s=10.0)
    for _ in range(10):
        share_of(clinic, 9, 18)
        clinic.now += 10.1
    assert clinic.health.ejected == []


def test_of_fifty_calls_85_in_a_hundred_eject() -> None:
    """What is documented, though hardly five of them are in a row: four that fail, and one that does not."""
    limits = HealthLimits()
    clinic = Clinic(failures_in_row_max=1_000_000)
    clinic.fail()
    failures = math.ceil(limits.failed_share_max * limits.window_calls_min)
    share_of(clinic, failures - 1, limits.window_calls_min - 2)
    assert clinic.health.ejected == []  # one call too few
    clinic.fail()
    assert clinic.health.ejected == ["acme/one"]


def test_f90_every_other_call_fails_and_nobody_is_ejected() -> None:
    """Who answers half of the calls is better than nobody: what fails goes to the next target."""
    clinic = Clinic()
    share_of(clinic, 100, 200)
    assert clinic.health.passing(BOTH) == BOTH
    assert clinic.health.ejections == 0


# How long it is left alone


@pytest.mark.parametrize(
    ("outage_s", "pause_s"), [(0.0, 30.0), (59.0, 30.0), (100.0, 50.0), (400.0, 200.0), (600.0, 300.0), (1e6, 300.0)]
)
def test_the_pause_is_half_the_outage_within_bounds(outage_s: float, pause_s: float) -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW - 1)
    clinic.now += outage_s
    clinic.fail()
    assert pause_s - 0.02 <= clinic.pause_s() <= pause_s * JITTER_MAX + 0.02


def test_an_outage_begins_with_the_first_failure_of_its_row() -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW - 1)
    clinic.succeed()
    clinic.now += 1000.0
    clinic.fail(times=IN_ROW)
    assert clinic.pause_s() <= 30.0 * JITTER_MAX + 0.02


def test_pauses_grow_while_trials_fail_and_are_short_again_after() -> None:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    begun = clinic.now
    pauses_s = []
    for _ in range(12):
        pauses_s.append(clinic.pause_s())
        clinic.now += 0.01
        outage_s = clinic.now - begun
        clinic.fail()
        pause_s = min(max(outage_s / 2, 30.0), 300.0)
        assert clinic.health.passing(BOTH) == (OTHER,)
        clinic.now += pause_s - 0.02
        assert clinic.health.passing(BOTH) == (OTHER,)
    assert pauses_s[0] < 40.0
    assert clinic.health.ejections == 1  # it was never back
    clinic.now += 40.0
    clinic.succeed()
    clinic.fail(times=IN_ROW)
    assert clinic.health.ejections == 2
    assert clinic.pause_s() <= 30.0 * JITTER_MAX + 0.02


def test_not_all_come_back_in_the_same_moment() -> None:
    clinic = Clinic()
    targets = tuple(Target(provider="acme", upstream_model=f"model-{number}") for number in range(50))
    for target in targets:
        clinic.fail(target, IN_ROW)
    clinic.now += 31.5
    assert 0 < len(clinic.health.passing((*targets, OTHER))) - 1 < 50


# Trials


def ejected_and_due() -> Clinic:
    clinic = Clinic()
    clinic.fail(times=IN_ROW)
    clinic.now += 34.0
    return clinic


def test_one_trial_at_a_time() -> None:
    clinic = ejected_and_due()
    assert clinic.health.passing(BOTH) == BOTH
    trial = clinic.begin()
    assert clinic.health.passing(BOTH) == (OTHER,)
    assert clinic.health.begin(FIRST) is None
    clinic.now += 10_000.0
    assert clinic.health.passing(BOTH) == (OTHER,)
    trial.completed()
    assert clinic.health.passing(BOTH) == BOTH


@pytest.mark.parametrize("sign", ["answered", "completed"])
def test_a_trial_is_passed(sign: str) -> None:
    clinic = ejected_and_due()
    trial = clinic.begin()
    getattr(trial, sign)()
    assert clinic.health.ejected == []
    assert clinic.health.passing(BOTH) == BOTH
    assert clinic.reports[-1] == ("info", "target_back", {"target": "acme/one"})
    clinic.fail(times=IN_ROW - 1)  # all that was before is forgiven
    assert clinic.health.ejected == []
    clinic.fail()
    clinic.now += 34.0
    clinic.begin()  # the next trial


def test_a_trial_fails() -> None:
    clinic = ejected_and_due()
    clinic.fail()
    assert clinic.health.ejected == ["acme/one"]
    assert clinic.health.passing(BOTH) == (OTHER,)
    assert 30.0 - 0.02 <= clinic.pause_s() <= 30.0 * JITTER_MAX + 0.02
    assert [event for _, event, _ in clinic.reports] == ["target_ejected"]  # said once


def test_a_trial_fails_though_few_failures_came_before() -> None:
    clinic = Clinic()
    clinic.fail(error=denied())
    clinic.now += 34.0
    clinic.fail(error=denied())
    assert clinic.health.ejected == ["acme"]
    assert clinic.health.passing(BOTH) == (OTHER,)
    assert 30.0 - 0.02 <= clinic.pause_s() <= 30.0 * JITTER_MAX + 0.02


def test_a_trial_that_fails_lengthens_no_ejection_that_came_after_it_began() -> None:
    clinic = ejected_and_due()
    trial = clinic.begin(FIRST)
    clinic.fail(SIBLING, error=denied())
    clinic.now += 29.0
    trial.failed(denied())
    clinic.now += 5.0
    assert clinic.health.passing((SIBLING, OTHER)) == (SIBLING, OTHER)


def test_a_trial_is_given_up() -> None:
    clinic = ejected_and_due()
    clinic.begin().gave_up()
    assert clinic.health.ejected == ["acme/one"]
    assert clinic.health.passing(BOTH) == BOTH  # for somebody else
    clinic.begin().completed()
    assert clinic.health.ejected == []


def test_a_trial_that_is_limited_is_passed_and_cools_down() -> None:
    clinic = ejected_and_due()
    clinic.fail(error=limited(20.0))
    assert clinic.health.ejected == []
    assert clinic.health.passing(BOTH) == (OTHER,)
    clinic.now += 20.0
    assert clinic.health.passing(BOTH) == BOTH


@pytest.mark.parametrize("status", [403, 404, 424])
def test_a_trial_that_is_told_of_something_else_is_passed(status: int) -> None:
    clinic = ejected_and_due()
    clinic.fail(error=untelling(status))
    assert clinic.health.ejected == []
    assert clinic.health.passing(BOTH) == BOTH


def test_a_trial_that_is_limited_without_a_time_is_passed() -> None:
    clinic = ejected_and_due()
    clinic.fail(error=limited(None))
    assert clinic.health.passing(BOTH) == BOTH


def test_a_trial_that_began_to_answer_and_failed_is_one_failure() -> None:
    clinic = ejected_and_due()
    trial = clinic.begin()
    trial.answered()
    trial.failed(down())
    assert clinic.health.ejected == []
    clinic.fail(times=IN_ROW - 2)
    assert clinic.health.ejected == []
    clinic.fail()
    assert clinic.health.ejected == ["acme/one"]


def test_a_trial_that_has_failed_is_not_passed_afterwards() -> None:
    """The first content and the failure may come in one piece, and the news of the content after that."""
    clinic = ejected_and_due()
    trial = clinic.begin()
    trial.failed(down())
    trial.answered()
    assert clinic.health.ejected == ["acme/one"]


def test_the_end_of_one_trial_is_not_another_s() -> None:
    """A target's trial goes on while its provider is ejected for another's sake; when it ends, the provider's own trial
    still goes on."""
    clinic = ejected_and_due()
    trial = clinic.begin(FIRST)
    clinic.fail(SIBLING, error=denied())
    clinic.now += 34.0
    provider_s_trial = clinic.begin(SIBLING)
    trial.gave_up()
    assert clinic.health.begin(SIBLING) is None
    provider_s_trial.completed()
    assert clinic.health.ejected == ["acme/one"]


def test_a_trial_lifts_no_ejection_that_came_after_it_began() -> None:
    clinic = ejected_and_due()
    trial = clinic.begin(FIRST)
    clinic.fail(SIBLING, error=denied())
    trial.completed()
    assert clinic.health.ejected == ["acme"]
