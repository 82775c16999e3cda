"""What is paid for answers that are to keep to a schema, and fail otherwise."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running.processes import Gateway
from tests.running.upstreams import Upstream, Visit

from ..books import RATES, Customer, customer_of
from .judging import BAD, CHAT, ONCE, answering, asked, paid, way

ODD = "a choice that is no object"


def test_an_answer_that_nobody_can_read_costs_nothing(customer: Callable[..., Customer], scripted: Upstream) -> None:
    def script(visit: Visit) -> None:
        usage = {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
        visit.whole(200, json.dumps({"id": "x", "choices": [ODD], "usage": usage}).encode())

    scripted.play(script)
    mine = customer()
    answer = asked(mine, way(CHAT, "of-openai_chat"))
    assert answer.status == 503
    paid(mine, answer, 0, 1, 503)


@pytest.fixture(scope="module")
def hurried(session_folder: Path, scripted: Upstream) -> Iterator[Gateway]:
    """A gateway that waits half a second."""
    gateway = Gateway(
        session_folder,
        f"""
[limits]
longest_request_s = 0.5
[ledger]
demo_credit = "100"
[providers.slow]
base_url = "{scripted.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["slow"]
[models.slow]
price = {{ {RATES} }}
max_output_tokens = 20000
""",
    )
    yield gateway
    assert gateway.stop() == 0


def test_a_key_is_charged_once_though_the_second_answer_never_came(hurried: Gateway, scripted: Upstream) -> None:
    """The first answer is paid for, so what became of the call is kept under its key."""
    mine = customer_of(hurried, "hurried", "10", "slow")
    first = answering(CHAT, BAD)
    visits: list[Any] = []

    def script(visit: Visit) -> None:
        visits.append(visit)
        if len(visits) == 1:
            first(visit)
        else:
            visit.until_gone()

    scripted.play(script)
    key = {"idempotency-key": "once"}
    answers = [asked(mine, way(CHAT, "slow"), key) for _ in range(2)]
    assert [answer.status for answer in answers] == [504, 504]
    assert mine.settled(answers[0].header("x-request-id")).charged == ONCE == mine.spent
    assert len(visits) == 2
    assert answers[1].body == answers[0].body
