"""The client leaves, and its provider's `on_disconnect` is `drain`: all is paid for."""

import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import rss_bytes
from tests.running.client import CHAT, Connection, eventually
from tests.running.upstreams import Upstream, Visit, said

from ..books import Customer, cost_of
from .leaving import ALL, DRAINED_MAX, WHOLE, Stage, begins, drained, ends, left, silent, start, until_gone

# drain


@pytest.mark.parametrize("end", [Connection.close, Connection.reset])
def test_who_leaves_a_drained_stream_pays_what_the_provider_reports(
    buyer: Customer, provider: Upstream, end: Callable[[Connection], float]
) -> None:
    stage = Stage(provider, begins, ends)
    connection = start(buyer, f"drain-{end.__name__}")
    connection.head()
    connection.body_until(b'"content":"a"')
    end(connection)
    eventually(lambda: drained(buyer) == 1)
    stage.goes_on.set()
    record, held = left(buyer, f"drain-{end.__name__}")
    assert record["usage"]["source"] == "provider"
    assert (record["usage"]["prompt_tokens"], record["usage"]["completion_tokens"]) == (9, 2)
    assert held.charged == buyer.spent == ALL
    assert drained(buyer) == 0
    assert stage.visits[0].gone_at is None


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_before_the_answer_pays_for_it_too(buyer: Customer, provider: Upstream, stream: bool) -> None:
    def whole(visit: Visit) -> None:
        visit.whole(200, WHOLE)

    def streamed(visit: Visit) -> None:
        begins(visit)
        ends(visit)

    stage = Stage(provider, silent, streamed if stream else whole)
    with start(buyer, f"before-{stream}", stream=stream):
        eventually(lambda: stage.visits)
    eventually(lambda: drained(buyer) == 1)
    stage.goes_on.set()
    record, held = left(buyer, f"before-{stream}")
    assert held.charged == buyer.spent == ALL
    assert record["first_byte_ms"] is None
    assert len(stage.visits) == 1


def test_a_slow_client_that_leaves_holds_the_reader_up_no_longer(buyer: Customer, provider: Upstream) -> None:
    """The provider was paused for it; the rest is read, and none of it kept."""
    much = 32 * 1024 * 1024
    before = rss_bytes(buyer.gateway.pid)
    text = said("x" * 16_000)

    def floods(visit: Visit) -> None:
        for _ in range(much // 16_000):
            visit.pieces(text)
        ends(visit)

    stage = Stage(provider, begins, floods)
    connection = buyer.open(receive_buffer_bytes=4096)
    body = buyer.body(stream=True)
    connection.send(buyer.bytes_of("POST", CHAT, body, {"x-request-id": "slow"}))
    assert connection.head().status == 200
    stage.goes_on.set()
    time.sleep(0.5)  # long enough for what lies between to be full
    assert drained(buyer) == 0
    connection.reset()
    record, held = left(buyer, "slow")
    assert held.charged == ALL
    assert record["bytes_out"] < much
    assert rss_bytes(buyer.gateway.pid) - before < much // 2
    assert len(stage.visits) == 1


def test_beyond_the_bound_calls_are_cancelled(buyer: Customer, provider: Upstream) -> None:
    stage = Stage(provider, begins, ends)
    for number in range(DRAINED_MAX):
        connection = start(buyer, f"bound-{number}")
        connection.head()
        connection.body_until(b'"content":"a"')
        connection.close()
        eventually(lambda number=number: drained(buyer) == number + 1)
    beyond = Stage(provider, begins, until_gone)
    beyond.goes_on.set()
    connection = start(buyer, "beyond")
    connection.head()
    connection.body_until(b'"content":"a"')
    connection.close()
    line = buyer.log_line("beyond")
    eventually(lambda: beyond.visits[0].gone_at)
    record = buyer.record(line["id"])
    assert record["usage"]["source"] == "counted"
    assert line["cost_nano"] == cost_of(record["usage"]["prompt_tokens"], 1)
    assert drained(buyer) == DRAINED_MAX
    stage.goes_on.set()
    for number in range(DRAINED_MAX):
        assert left(buyer, f"bound-{number}")[1].charged == ALL
    assert buyer.spent == DRAINED_MAX * ALL + line["cost_nano"]


def test_a_provider_that_fails_while_it_is_drained_is_paid_for_what_came(buyer: Customer, provider: Upstream) -> None:
    def breaks(visit: Visit) -> None:
        visit.pieces(said("b"), said("c"))
        time.sleep(0.05)
        visit.reset()

    stage = Stage(provider, begins, breaks)
    with start(buyer, "fails") as connection:
        connection.head()
        connection.body_until(b'"content":"a"')
    eventually(lambda: drained(buyer) == 1)
    stage.goes_on.set()
    record, held = left(buyer, "fails")
    assert (record["usage"]["source"], record["usage"]["output"]) == ("counted", 3)
    assert held.charged == cost_of(record["usage"]["prompt_tokens"], 3)


@pytest.mark.parametrize("stream", [False, True])
def test_nobody_else_is_asked_for_who_has_left(buyer: Customer, provider: Upstream, stream: bool) -> None:
    stage = Stage(provider, silent, lambda visit: visit.whole(500, b"{}"))
    with start(buyer, f"other-{stream}", stream=stream):
        eventually(lambda: stage.visits)
    eventually(lambda: drained(buyer) == 1)
    stage.goes_on.set()
    record, held = left(buyer, f"other-{stream}")
    assert (held.charged, record["attempts"], len(stage.visits)) == (0, 1, 1)


def test_its_deadlines_hold(buyer: Customer, provider: Upstream) -> None:
    stage = Stage(provider, begins, until_gone)
    stage.goes_on.set()
    with start(buyer, "silent") as connection:
        connection.head()
        connection.body_until(b'"content":"a"')
    eventually(lambda: drained(buyer) == 1)
    _, held = left(buyer, "silent")
    assert held.charged > 0
    assert drained(buyer) == 0


def test_what_is_drained_is_saved_as_it_comes(buyer: Customer, provider: Upstream) -> None:
    """So that a crash loses no more than that of any other call."""
    stage = Stage(provider, begins, lambda visit: (visit.pieces(said("b"), said("c")), visit.until_gone()))
    with start(buyer, "saved") as connection:
        request_id = connection.head().header("x-request-id") or ""
        connection.body_until(b'"content":"a"')
    eventually(lambda: drained(buyer) == 1)
    stage.goes_on.set()

    def saved() -> int:
        held = buyer.books.reservation(request_id)
        return 0 if held is None else held.checkpoint

    at_first = eventually(saved)
    record, held = left(buyer, "saved")
    assert held.charged == at_first == cost_of(record["usage"]["prompt_tokens"], 3)


def test_under_an_idempotency_key_the_policy_is_not_asked(buyer: Customer, provider: Upstream) -> None:
    """Such a call goes on anyway, and its answer can be fetched."""
    stage = Stage(provider, begins, ends)
    body = buyer.body(model="no_bill-it", stream=True)
    headers = {"idempotency-key": "leaving", "x-request-id": "keyed"}
    with buyer.open() as connection:
        connection.send(buyer.bytes_of("POST", CHAT, body, headers))
        connection.head()
        connection.body_until(b'"content":"a"')
    stage.goes_on.set()
    answer = buyer.ask("POST", CHAT, body, headers)
    assert (answer.status, answer.text) == (200, "ab")
    eventually(lambda: buyer.spent == ALL)
