"""Two hundred streams, or one of a thousand tokens: the process is killed or told to stop (F04, F05, F11, F18)."""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running.client import CHAT, DONE, Answer, Connection, eventually
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, said

from .books import Customer, Reservation, cost_of, customer_of
from .conftest import more_models, priced
from .load import PROMPT_TOKENS
from .reopening import Reopened, kill

STREAMS = 200
TOKENS_PER_S = 10
PATIENT = "[limits]\nlongest_request_s = 60.0\nunauthenticated_per_address_max = 2000\n[server]\ndrain_timeout_s = 30.0"
CONTENT = b'"content":"'  # the first of a stream is empty


@pytest.fixture
def buyer(session_folder: Path, simulator: Simulator, scripted: Upstream) -> Iterator[Customer]:
    """A customer of a gateway of the test's own, which the test kills or stops."""
    gateway = Gateway(session_folder, priced(simulator, PATIENT, more_models(simulator, scripted)))
    yield customer_of(gateway, "streaming", "1000", "test-model")
    if gateway.popen.poll() is None:
        gateway.stop()


def reopened(customer: Customer) -> dict[str, Reservation]:
    """The reservations once the next process has started: nothing is open or held any more, the books are in order."""
    gateway = Reopened(customer.gateway)
    try:
        proof = customer.books.in_order()
        assert (proof.open_reservations, proof.active_leases, customer.leased) == (0, 0, 0)
        found = customer.books.reservations()
        assert customer.spent == sum(each.charged for each in found.values())
        return found
    finally:
        assert gateway.stop() == 0


def cut_off(connection: Connection) -> Answer:
    """What still arrives of a stream whose gateway is gone."""
    with contextlib.suppress(ConnectionError):
        connection.rest()
        raise AssertionError("it is whole")
    return connection.current


def of(answer: Answer) -> str:
    return (answer.header("x-request-id") or "").replace("-", "")


def checked(answer: Answer, found: Reservation, late_tokens: int) -> None:
    """It was charged its last checkpoint: not more than what arrived, and less by a second's tokens at most."""
    tokens = answer.body.count(CONTENT) - 1
    assert DONE not in answer.body
    assert (found.state, found.charged) == ("reaped", found.checkpoint)
    assert found.charged <= cost_of(40, tokens + 1)
    assert found.charged >= cost_of(0, max(0, tokens - late_tokens))


@contextlib.contextmanager
def streams(customer: Customer, plan: dict[str, object]) -> Iterator[list[Connection]]:
    """So many streams that have all begun."""
    with contextlib.ExitStack() as stack:
        request = customer.bytes_of("POST", CHAT, customer.body(plan, stream=True))
        assert customer.get("/v1/models").status == 200  # the key is known
        opened = [stack.enter_context(customer.open()) for _ in range(STREAMS)]
        for connection in opened:
            connection.send(request)
        for connection in opened:
            connection.head()
            connection.body_until(CONTENT, 2)
        yield opened


def test_f18_two_hundred_streams_when_the_process_is_killed(buyer: Customer) -> None:
    with streams(buyer, {"output_tokens": 500, "tokens_per_s": TOKENS_PER_S}) as opened:
        unsaved = "SELECT count(*) FROM reservation WHERE checkpoint = 0"
        eventually(lambda: buyer.books.number(unsaved) == 0, 20.0)
        kill(buyer.gateway)
        answers = [cut_off(connection) for connection in opened]
    found = reopened(buyer)
    assert found.keys() == {of(answer) for answer in answers}
    for answer in answers:
        checked(answer, found[of(answer)], 3 * TOKENS_PER_S)  # a second, where the machine is not busy


def test_f11_two_hundred_streams_when_the_process_is_told_to_stop(buyer: Customer) -> None:
    """Every one of them ends, is charged exactly, and no lease is left."""
    with streams(buyer, {"output_tokens": 30, "tokens_per_s": TOKENS_PER_S}) as opened:
        buyer.gateway.popen.send_signal(signal.SIGTERM)
        answers = [connection.rest() for connection in opened]
    assert buyer.gateway.popen.wait(30) == 0
    buyer.gateway.stop()
    assert all(answer.body.endswith(DONE) for answer in answers)
    found = buyer.books.reservations()
    assert {(each.state, each.charged) for each in found.values()} == {("settled", cost_of(PROMPT_TOKENS, 30))}
    assert found.keys() == {of(answer) for answer in answers}
    proof = buyer.books.in_order()
    assert (proof.open_reservations, proof.active_leases, buyer.leased) == (0, 0, 0)


def test_f04_killed_after_a_thousand_tokens(buyer: Customer) -> None:
    """Of a stream this dear a quarter of a second is not saved yet, of any one second."""
    with buyer.stream({"output_tokens": 10_000, "tokens_per_s": 500}) as connection:
        connection.body_until(CONTENT, 1001)
        kill(buyer.gateway)
        answer = cut_off(connection)
    found = reopened(buyer)
    assert answer.body.count(CONTENT) > 1000
    checked(answer, found[of(answer)], 500)


def test_f05_killed_between_the_usage_and_the_settlement(buyer: Customer, scripted: Upstream) -> None:
    """The client has no end of it, and pays the last checkpoint."""

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("a"), said("b"), FINISH, USAGE_EVENT)
        visit.until_gone()

    scripted.play(script)
    with buyer.stream(model="scripted") as connection:
        connection.body_until(b'"finish_reason":"stop"')
        saved = eventually(lambda: [each for each in buyer.books.reservations().values() if each.checkpoint])
        kill(buyer.gateway)
        answer = cut_off(connection)
    found = reopened(buyer)[of(answer)]
    assert DONE not in answer.body
    assert (found.state, found.charged) == ("reaped", saved[0].checkpoint)
    assert 0 < found.charged <= cost_of(40, 3)
