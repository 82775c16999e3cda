"""Answers that must keep to a JSON Schema: judged before they are given, asked for once more."""

import json
from collections.abc import Callable

import pytest

from tests.running.upstreams import Upstream

from ..books import Customer
from .judging import BAD, GOOD, HELD, ONCE, TWICE, answering, asked, every_pair, fails, paid, said_by, way


@every_pair
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "held"])
class TestJudgedBeforeItIsGiven:
    """Whole answers, and streams that are held."""

    def test_the_first_is_given_where_it_fits(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        visits = scripted.play(answering(upstream, GOOD))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        assert (answer.status, said_by(client, answer, stream=stream)) == (200, GOOD)
        assert len(visits) == 1
        paid(mine, answer, ONCE, 1)

    def test_the_second_is_given_where_it_fits(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        visits = scripted.play(answering(upstream, BAD, GOOD))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        assert (answer.status, said_by(client, answer, stream=stream)) == (200, GOOD)
        paid(mine, answer, TWICE, 2)
        again = visits[1].body.decode()
        assert json.dumps(BAD)[1:-1] in again
        assert "is not of type" in again
        assert "is not of type" not in visits[0].body.decode()

    def test_two_misses_are_an_error_and_are_paid_for(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        visits = scripted.play(answering(upstream, "no JSON", BAD))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        fails(client, answer)
        assert len(visits) == 2
        record = paid(mine, answer, TWICE, 2, 422)
        assert record["error_kind"] == "schema_validation_failed"

    def test_a_failure_of_the_second_leaves_the_first_miss(
        self, client: str, upstream: str, stream: bool, customer: Callable[..., Customer], scripted: Upstream
    ) -> None:
        scripted.play(answering(upstream, BAD, 500))
        mine = customer()
        answer = asked(mine, way(client, f"of-{upstream}", stream=stream), HELD)
        fails(client, answer)
        paid(mine, answer, ONCE, 2, 422)
