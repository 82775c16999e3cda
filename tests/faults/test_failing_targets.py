"""F87, F88, F90: targets that fail are left alone, and are back when they are well again."""

import random
import select
import time

import pytest

from tests.faults.wards import (
    CLIENTS,
    IN_ROW,
    PAUSE_S,
    TRIAL_INTERVAL_S,
    Ward,
    assert_all_down,
    dies,
    hangs,
    in_turn,
    refuses,
    serves,
    storm,
)
from tests.running.client import CHAT, Caller, Connection, eventually
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream, Visit

AMPLIFICATION_MAX = 1.2
ALL_DOWN_WITHIN_S = 0.1


# F87


def test_f87_a_429_storm_is_over_with_the_first_answers(steady: Ward) -> None:
    visits = steady.play(refuses(429, fields=b"retry-after: 30\r\n"))
    answers = storm(steady.alone, 10 * CLIENTS)
    assert {answer.status for answer in answers} == {503}
    assert {answer.error["code"] for answer in answers} == {"upstream_rate_limited"}
    assert all(0 < int(answer.header("retry-after") or 0) <= 30 for answer in answers)
    assert not any("x-should-retry" in answer.names for answer in answers)
    assert 1 <= len(visits) <= CLIENTS  # those that were on their way together
    assert steady.ejections() == []


def test_f87_short_limits_are_no_reason_to_ask_much_more(swift: Ward) -> None:
    visits = swift.play(refuses(429, fields=b"retry-after: 0.05\r\n"))
    calls = 10 * CLIENTS
    answers = storm(swift.alone, calls)
    assert {answer.status for answer in answers} == {503}
    assert len(visits) / calls <= AMPLIFICATION_MAX
    assert swift.ejections() == []
    swift.play(serves)
    eventually(lambda: swift.alone().status == 200)


def test_f87_while_one_limits_us_the_other_serves(steady: Ward) -> None:
    visits = steady.play(refuses(429, fields=b"retry-after: 30\r\n"))
    assert steady.served_by(steady.first()) == ("sim", 2)
    for _ in range(10):
        assert steady.served_by(steady.first()) == ("sim", 1)
    assert len(visits) == 1


def test_f87_after_the_limit_it_is_asked_again(swift: Ward) -> None:
    swift.play(in_turn(refuses(429, fields=b"retry-after: 0.2\r\n"), serves))
    assert swift.served_by(swift.first()) == ("sim", 2)
    eventually(lambda: swift.served_by(swift.first()) == (swift.name, 1))


@pytest.mark.parametrize("stream", [False, True])
def test_f87_a_short_limit_of_the_only_target_is_waited_for(stream: bool, steady: Ward) -> None:
    for _ in range(10):
        visits = steady.play(in_turn(refuses(429, fields=b"retry-after: 0.02\r\n"), serves))
        assert steady.served_by(steady.alone(stream=stream)) == (steady.name, 2)
        assert len(visits) == 2


def test_f87_a_limit_without_a_time_is_the_call_s_own(steady: Ward) -> None:
    """It may be that only this request is too large for it: it is not waited for, and others are served."""
    visits = steady.play(in_turn(refuses(429), serves))
    answer = steady.alone()
    assert (answer.status, answer.error["code"]) == (503, "upstream_rate_limited")
    assert int(answer.header("retry-after") or 0) >= 1
    assert len(visits) == 1
    assert steady.served_by(steady.alone()) == (steady.name, 1)
    steady.play(in_turn(refuses(429), serves))
    assert steady.served_by(steady.first()) == ("sim", 2)
    assert steady.served_by(steady.first()) == (steady.name, 1)


def test_f87_a_client_cannot_have_a_target_left_alone_by_its_own_limits(steady: Ward) -> None:
    visits = steady.play(refuses(429))
    assert {answer.status for answer in storm(steady.alone, 2 * CLIENTS)} == {503}
    assert len(visits) == 2 * CLIENTS
    steady.play(serves)
    assert steady.served_by(steady.alone()) == (steady.name, 1)
    assert steady.ejections() == []


# F88


def test_f88_all_down_is_said_at_once_and_nobody_is_asked(steady: Ward) -> None:
    visits = steady.play(refuses(500))
    steady.eject(steady.alone)
    assert len(visits) == IN_ROW
    taken_s = []
    for stream in (False, True) * 10:
        begun = time.monotonic()
        assert_all_down(steady.alone(stream=stream))
        taken_s.append(time.monotonic() - begun)
    assert min(taken_s) < ALL_DOWN_WITHIN_S
    assert len(visits) == IN_ROW
    for gauge in ("faregate_in_flight", "faregate_holds"):
        eventually(lambda gauge=gauge: steady.caller.gauge(gauge) == 0)


def test_f88_all_of_several_are_down(steady_gateway: Gateway, failing: Upstream) -> None:
    caller = Caller(steady_gateway, model="all-down")
    visits = failing.play(refuses(502))
    for _ in range(IN_ROW):
        assert caller.chat().status == 503
    assert len(visits) == 2 * IN_ROW
    for answer in storm(caller.chat, 5 * CLIENTS):
        assert_all_down(answer)
    assert len(visits) == 2 * IN_ROW
    eventually(lambda: caller.gauge("faregate_holds") == 0)


def test_f88_a_storm_at_one_that_is_down_ends_with_its_ejection(steady: Ward) -> None:
    visits = steady.play(refuses(503))
    calls = 10 * CLIENTS
    answers = storm(steady.alone, calls)
    assert {answer.status for answer in answers} == {503}
    assert len(visits) <= 2 * CLIENTS + IN_ROW
    assert len(steady.ejections()) == 1
    eventually(lambda: steady.caller.gauge("faregate_holds") == 0)


def test_f88_the_last_is_tried_from_time_to_time_and_is_back_with_the_first_answer(swift: Ward) -> None:
    visits = swift.play(refuses(500))
    begun = swift.eject(swift.alone)
    before = len(visits)
    eventually(lambda: swift.alone().status == 503 and len(visits) >= before + 4)
    assert len(visits) - before <= 1 + (time.monotonic() - begun) / TRIAL_INTERVAL_S
    swift.play(serves)
    eventually(lambda: swift.alone().status == 200)
    assert {answer.status for answer in storm(swift.alone, 2 * CLIENTS)} == {200}


def hanging_trial(ward: Ward, stream: bool) -> tuple[Connection, Visit]:
    """A call that has become the trial of the ward's ejected target, which does not answer it."""
    visits = ward.play(hangs)

    def trial() -> Connection | None:
        connection = ward.caller.open()
        body = ward.caller.body(stream=stream, model=ward.name)
        connection.send(ward.caller.bytes_of("POST", CHAT, body))
        eventually(lambda: visits or select.select([connection.socket], [], [], 0)[0])
        if visits:
            return connection
        assert_all_down(connection.answer())
        connection.close()
        return None

    connection = eventually(trial)
    assert connection is not None
    return connection, visits[0]


@pytest.mark.parametrize("stream", [False, True])
def test_f88_a_trial_whose_client_leaves_is_not_the_last(stream: bool, swift: Ward) -> None:
    swift.play(refuses(500))
    swift.eject(swift.alone)
    connection, visit = hanging_trial(swift, stream)
    connection.close()
    eventually(lambda: visit.gone_at)
    swift.play(serves)
    eventually(lambda: swift.alone().status == 200)


@pytest.mark.parametrize("stream", [False, True])
def test_f88_a_trial_that_hangs_holds_nobody_up(stream: bool, swift: Ward) -> None:
    swift.play(refuses(500))
    swift.eject(swift.alone)
    connection, visit = hanging_trial(swift, stream)
    with connection:
        swift.play(serves)
        eventually(lambda: swift.alone().status == 200)
        assert not swift.is_ejected()
        assert visit.gone_at is None
    eventually(lambda: visit.gone_at)
    assert swift.alone().status == 200


def test_f88_a_trial_that_cannot_be_put_to_the_target_is_not_the_last(
    swift_gateway: Gateway, failing: Upstream
) -> None:
    caller = Caller(swift_gateway, model="of-another-dialect")
    visits = failing.play(refuses(500))
    for _ in range(IN_ROW):
        assert caller.chat().status == 503
    before = len(visits)
    eventually(lambda: caller.chat(n=100).status == 400)  # now it has been the trial
    assert len(visits) == before
    eventually(lambda: caller.chat() and len(visits) > before)


# F90


@pytest.mark.parametrize("way", ["every other", "half of all"])
def test_f90_who_fails_half_of_the_time_is_ejected_and_comes_back(way: str, swift: Ward) -> None:
    rng = random.Random(90)
    visits: list[Visit] = []

    def script(visit: Visit) -> None:
        is_bad = len(visits) % 2 == 0 if way == "every other" else rng.random() < 0.5
        (refuses(500) if is_bad else serves)(visit)

    visits = swift.play(script)

    def ejected() -> bool:
        assert swift.first().status == 200
        return bool(swift.ejections())

    eventually(ejected)
    assert len(visits) < 200
    swift.play(serves)
    eventually(lambda: swift.served_by(swift.first()) == (swift.name, 1))


# One of two


def test_who_fails_five_times_is_left_alone(steady: Ward) -> None:
    visits = steady.play(refuses(500))
    for number in range(IN_ROW):
        answer = steady.first()
        assert steady.served_by(answer) == ("sim", 2)
        assert answer.header("x-faregate-failover") == "true"
        assert len(visits) == number + 1
    for _ in range(10):
        assert steady.served_by(steady.first()) == ("sim", 1)
    assert len(visits) == IN_ROW
    [line] = eventually(steady.ejections)
    assert (line["level"], line["reason"]) == ("warning", "status 500: none")


def test_it_is_back_after_the_pause(swift: Ward) -> None:
    swift.play(refuses(500))
    begun = swift.eject(swift.first)
    visits = swift.play(serves)
    eventually(lambda: swift.first() and visits)
    assert time.monotonic() - begun >= PAUSE_S
    for _ in range(5):
        assert swift.served_by(swift.first()) == (swift.name, 1)


# The same target a second time


@pytest.mark.parametrize("stream", [False, True])
def test_the_only_target_is_asked_a_second_time(stream: bool, steady: Ward) -> None:
    visits = steady.play(in_turn(refuses(500), serves))
    answer = steady.alone(stream=stream)
    assert steady.served_by(answer) == (steady.name, 2)
    assert answer.header("x-faregate-failover") == "false"  # nobody else was asked
    assert len(visits) == 2


def test_but_not_a_third_time(steady: Ward) -> None:
    visits = steady.play(refuses(500))
    answer = steady.alone()
    assert answer.status == 503
    assert "x-should-retry" not in answer.names
    assert len(visits) == 2


def test_what_has_begun_is_not_repeated(steady: Ward) -> None:
    rng = random.Random(5)
    visits = steady.play(in_turn(lambda visit: dies(visit, rng), serves))
    answer = steady.alone(stream=True)
    assert answer.status == 200
    assert answer.events[-2]["error"]["code"] == "upstream_unavailable"
    assert len(visits) == 1
    record = steady.caller.record(answer.header("x-request-id"))
    assert record["attempts"] == 1


def test_streams_that_die_in_the_middle_eject(steady: Ward) -> None:
    rng = random.Random(7)
    visits = steady.play(lambda visit: dies(visit, rng))
    for _ in range(IN_ROW):
        assert "error" in steady.first(stream=True).events[-2]
    assert steady.served_by(steady.first(stream=True)) == ("sim", 1)
    assert len(visits) == IN_ROW
    assert len(eventually(steady.ejections)) == 1
