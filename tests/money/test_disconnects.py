"""The client leaves, and its provider's `on_disconnect` says what that costs: what was delivered, all, or nothing."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import rss_bytes
from tests.running.client import CHAT, Answer, Connection, eventually
from tests.running.processes import CLEAN, Gateway
from tests.running.upstreams import DONE, FINISH, ROLE, USAGE, USAGE_EVENT, Script, Upstream, Visit, said

from .books import RATES, Books, Customer, Reservation, cost_of, customer_of

DRAINED_MAX = 2
CLOSED_WITHIN_S = 0.1
ALL = cost_of(9, 2)  # by USAGE
WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "scripted",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "all"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }
).encode()


def config(upstream: Upstream, more: str = "") -> str:
    """A provider for each policy, and models `drain-it`, `cancel-it` and `no_bill-it` that all cost RATES."""
    text = f"""
{more}

[limits]
drained_calls_max = {DRAINED_MAX}
longest_request_s = 20.0

[deadlines]
idle_timeout_s = 2.0
first_byte_timeout_s = 2.0

[ledger]
demo_credit = "100"
"""
    for policy in ("drain", "cancel", "no_bill"):
        text += f"""
[providers.{policy}]
base_url = "{upstream.base_url}"
key = "scripted-secret-key"
wire = "exact"
models = ["{policy}-it"]
on_disconnect = "{policy}"

[models."{policy}-it"]
price = {{ {RATES} }}
"""
    return (
        text
        + """
[[routes]]
model = "drain-it"
provider = "drain"
weight = 1000000

[[routes]]
model = "drain-it"
provider = "cancel"
weight = 0
"""
    )


@pytest.fixture(scope="module")
def provider() -> Iterator[Upstream]:
    """The upstream behind all of them."""
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def leaving(session_folder: Path, provider: Upstream) -> Iterator[Gateway]:
    """The gateway; its books are in order in the end."""
    gateway = Gateway(session_folder, config(provider))
    yield gateway
    assert gateway.stop() == 0
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0


@pytest.fixture
def buyer(leaving: Gateway, request: pytest.FixtureRequest) -> Customer:
    """Who has spent nothing yet."""
    return customer_of(leaving, request.node.name, "10", "drain-it")


class Stage:
    """A script in two acts: the second begins when the test says so."""

    def __init__(self, upstream: Upstream, first: Script, second: Script) -> None:
        self.goes_on = threading.Event()

        def script(visit: Visit) -> None:
            first(visit)
            assert self.goes_on.wait(30)
            second(visit)

        self.visits = upstream.play(script)


def begins(visit: Visit) -> None:
    visit.stream(ROLE, said("a"))


def silent(visit: Visit) -> None:
    """Nothing yet."""


def ends(visit: Visit) -> None:
    visit.pieces(said("b"), FINISH, USAGE_EVENT, DONE)
    visit.end()


def until_gone(visit: Visit) -> None:
    visit.until_gone()


def drained(customer: Customer) -> int:
    return int(customer.gauge("faregate_drained"))


def start(customer: Customer, client_id: str, *, stream: bool = True, model: str = "drain-it") -> Connection:
    """A call that is sent; the caller closes its connection."""
    connection = customer.open()
    body = customer.body(model=model, stream=stream)
    connection.send(customer.bytes_of("POST", CHAT, body, {"x-request-id": client_id}))
    return connection


def left(customer: Customer, client_id: str) -> tuple[dict[str, Any], Reservation]:
    """What the record and the books say in the end of a call whose client has left."""
    line = customer.log_line(client_id)
    assert (line["status"], line["error_kind"]) == (499, "client_gone")
    record = customer.record(line["id"])
    assert (record["status"], record["error_kind"]) == (499, "client_gone")
    held = customer.settled(line["id"])
    assert line["cost_nano"] == held.charged
    return record, held


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


# cancel and no_bill


@pytest.mark.parametrize("policy", ["cancel", "no_bill"])
def test_the_provider_is_closed_at_once(buyer: Customer, provider: Upstream, policy: str) -> None:
    """A machine that is busy elsewhere may be late once; three times in a row it is the gateway."""
    late = []
    for number in range(3):
        stage = Stage(provider, begins, until_gone)
        stage.goes_on.set()
        spent = buyer.spent
        with start(buyer, f"{policy}-{number}", model=f"{policy}-it") as connection:
            connection.head()
            connection.body_until(b'"content":"a"')
            left_at = connection.close()
        record, held = left(buyer, f"{policy}-{number}")
        if policy == "cancel":
            assert record["usage"]["source"] == "counted"
            assert held.charged == cost_of(record["usage"]["prompt_tokens"], 1) > 0
        else:
            assert (record["usage"]["source"], record["usage"]["total_tokens"]) == ("none", 0)
            assert (held.charged, held.cost) == (0, 0)
        assert buyer.spent - spent == held.charged
        late.append(eventually(lambda visits=stage.visits: visits[0].gone_at) - left_at)
        if late[-1] <= CLOSED_WITHIN_S:
            return
    raise AssertionError(late)


@pytest.mark.parametrize("policy", ["cancel", "no_bill"])
@pytest.mark.parametrize("stream", [False, True])
def test_before_the_answer_both_cost_nothing(buyer: Customer, provider: Upstream, policy: str, stream: bool) -> None:
    stage = Stage(provider, silent, until_gone)
    stage.goes_on.set()
    with start(buyer, f"early-{policy}-{stream}", stream=stream, model=f"{policy}-it"):
        eventually(lambda: stage.visits)
    record, held = left(buyer, f"early-{policy}-{stream}")
    assert (held.charged, record["usage"]["total_tokens"]) == (0, 0)
    eventually(lambda: stage.visits[0].gone_at)


def test_what_is_whole_is_charged_though_its_end_mark_was_not_waited_for(buyer: Customer, provider: Upstream) -> None:
    """Or every client would cut its streams there."""

    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("all"), FINISH, USAGE_EVENT, b"data: [DONE]\n")
        visit.until_gone()

    provider.play(script)
    with start(buyer, "whole", model="no_bill-it") as connection:
        connection.head()
        connection.body_until(b'"finish_reason":"stop"')
    _, held = left(buyer, "whole")
    assert held.charged == ALL


@pytest.mark.parametrize("policy", ["drain", "cancel", "no_bill"])
def test_who_stays_pays_the_same_under_each(buyer: Customer, provider: Upstream, policy: str) -> None:
    stage = Stage(provider, begins, ends)
    stage.goes_on.set()
    answer: Answer = buyer.streamed(model=f"{policy}-it")
    assert (answer.status, answer.text) == (200, "ab")
    assert buyer.settled(answer.header("x-request-id")).charged == ALL


# SIGTERM


def test_a_stop_waits_for_what_is_drained(session_folder: Path) -> None:
    with Upstream() as upstream:
        gateway = Gateway(session_folder, config(upstream))
        buyer = customer_of(gateway, "stopping", "10", "drain-it")
        stage = Stage(upstream, begins, ends)
        with start(buyer, "stopping") as connection:
            connection.head()
            connection.body_until(b'"content":"a"')
        eventually(lambda: drained(buyer) == 1)
        gateway.popen.send_signal(signal.SIGTERM)
        eventually(lambda: [line for line in gateway.log_lines() if line["event"] == "draining"])
        time.sleep(0.5)
        assert gateway.popen.poll() is None
        stage.goes_on.set()
        assert gateway.popen.wait(30) == 0
        assert gateway.stop() == 0
    stopped = gateway.log_lines()[-1]
    assert (stopped["event"], stopped["finished"], stopped["settled"]) == ("stopped", True, True)
    [held] = buyer.books.reservations().values()
    assert (held.state, held.charged, buyer.spent) == ("settled", ALL, ALL)
    assert gateway.command("ledger", "verify").returncode == 0


def test_a_stop_waits_no_longer_than_it_may(session_folder: Path) -> None:
    """What is cut then is charged as far as it was read."""
    with Upstream() as upstream:
        gateway = Gateway(session_folder, config(upstream, "[server]\ndrain_timeout_s = 0.5"))
        buyer = customer_of(gateway, "cutting", "10", "drain-it")
        stage = Stage(upstream, begins, until_gone)
        stage.goes_on.set()
        with start(buyer, "cutting") as connection:
            connection.head()
            connection.body_until(b'"content":"a"')
        eventually(lambda: drained(buyer) == 1)
        assert gateway.stop() == 0
    assert not gateway.log_lines()[-1]["finished"]
    line = next(line for line in gateway.log_lines() if line.get("client_request_id") == "cutting")
    [held] = buyer.books.reservations().values()
    assert (line["status"], line["error_kind"]) == (499, "client_gone")
    assert held.charged == line["cost_nano"] == cost_of(line["usage"]["input"], 1)
    assert gateway.command("ledger", "verify").returncode == 0


@pytest.mark.parametrize("policy", ["drain", "cancel"])
def test_who_is_cut_by_a_stop_is_not_drained(session_folder: Path, policy: str) -> None:
    """The client has stayed to the last; there is no time left to read on."""
    with Upstream() as upstream:
        gateway = Gateway(session_folder, config(upstream, "[server]\ndrain_timeout_s = 0.5"))
        buyer = customer_of(gateway, "cut", "10", f"{policy}-it")
        stage = Stage(upstream, begins, until_gone)
        stage.goes_on.set()
        with start(buyer, "cut", model=f"{policy}-it") as connection:
            connection.head()
            connection.body_until(b'"content":"a"')
            assert gateway.stop() == 0
    [line] = [line for line in gateway.log_lines() if line.get("client_request_id") == "cut"]
    [held] = buyer.books.reservations().values()
    assert (line["status"], line["error_kind"], held.state) == (499, "client_gone", "settled")
    assert held.charged == line["cost_nano"] == cost_of(line["usage"]["input"], 1)
    assert gateway.log_lines()[-1]["settled"]
    assert gateway.command("ledger", "verify").returncode == 0


@pytest.mark.parametrize("policy", ["close", "DRAIN", ""])
def test_another_word_is_refused_at_the_start(session_folder: Path, provider: Upstream, policy: str) -> None:
    file = session_folder / "policy.toml"
    file.write_text(f'[providers.x]\nbase_url = "{provider.base_url}"\non_disconnect = "{policy}"\n', "utf-8")
    done = _check(file)
    assert done.returncode != 0
    assert f"{file}:3: providers.x.on_disconnect" in done.stderr


def _check(file: Path) -> Any:
    """`faregate config check` of a file."""
    words = [sys.executable, "-m", "faregate", "config", "check", "--config", str(file)]
    return subprocess.run(words, capture_output=True, text=True, env=CLEAN, timeout=30, check=False)
