"""Every way a call can end, and what it then costs: the record, the books and the provider's truth agree."""

import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from faregate.core.money import format_amount
from tests.edge.conftest import command_json
from tests.running.client import CHAT, DONE, Answer, Connection, eventually
from tests.running.processes import Gateway, Simulator
from tests.running.upstreams import FINISH, ROLE, USAGE_EVENT, Upstream, Visit, event_of, said

from .books import PICO, Books, Customer, Reservation, cost_of, customer_of, nano
from .conftest import priced

SLOW = {"output_tokens": 10_000, "tokens_per_s": 200}
ENDLESS_WAIT = {"stall_before_head_ms": 30_000}


def record_of(customer: Customer, client_id: str) -> tuple[dict[str, Any], Reservation]:
    """The record and the reservation of the request that was sent with this x-request-id; they say the same."""
    line = customer.log_line(client_id)
    record = customer.record(line["id"])
    held = customer.settled(line["id"])
    assert record["cost"] == format_amount(line["cost_nano"]) == format_amount(held.charged)
    assert held.state == "settled"
    assert customer.spent == held.charged
    return record, held


def ended(customer: Customer, answer: Answer) -> tuple[dict[str, Any], Reservation]:
    """The same for an answer that came."""
    record = customer.record(answer.header("x-request-id"))
    held = customer.settled(answer.header("x-request-id"))
    assert record["cost"] == format_amount(held.charged)
    assert customer.spent == held.charged
    return record, held


@pytest.fixture
def buyer(customer: Callable[..., Customer]) -> Customer:
    """Who has spent nothing yet."""
    return customer()


# The client leaves


@pytest.mark.parametrize("stream", [False, True])
def test_f60b_who_leaves_before_the_first_byte_pays_nothing(
    buyer: Customer, simulator: Simulator, stream: bool
) -> None:
    with buyer.open() as connection:
        body = buyer.body(ENDLESS_WAIT, stream=stream)
        connection.send(buyer.bytes_of("POST", CHAT, body, {"x-request-id": f"early-{stream}"}))
        eventually(lambda: simulator.get("/simulator/truth")["in_flight"] == 1)
        eventually(lambda: buyer.books.rows("SELECT 1 FROM reservation WHERE state = 'open'"))
    record, held = record_of(buyer, f"early-{stream}")
    assert (record["status"], held.charged) == (499, 0)
    assert held.hold > 0


@pytest.mark.parametrize("end", [Connection.close, Connection.reset])
def test_f60d_who_leaves_in_mid_stream_pays_for_what_was_delivered(
    buyer: Customer, simulator: Simulator, since: int, end: Callable[[Connection], float]
) -> None:
    client_id = f"middle-{end.__name__}"
    with buyer.stream(SLOW, {"x-request-id": client_id}) as connection:
        seen = connection.body_until(b'"content":', 30).count(b'"content":')
        end(connection)
    record, held = record_of(buyer, client_id)
    [entry] = simulator.get(f"/simulator/truth?since={since}&until={since + 1}&wait_ms=5000")["entries"]
    usage = record["usage"]
    assert usage["source"] == "counted"
    assert seen - 1 <= usage["output"] <= entry["tokens_sent"]  # the first event says the role alone
    assert usage["prompt_tokens"] > 0
    assert held.charged == cost_of(usage["prompt_tokens"], usage["output"])
    assert 0 < held.charged < held.hold


def test_f60e_who_leaves_just_before_the_end_pays_for_all(buyer: Customer, scripted: Upstream) -> None:
    def script(visit: Visit) -> None:
        visit.stream(ROLE, said("all"), FINISH, USAGE_EVENT, b"data: [DONE]\n")
        visit.until_gone()

    scripted.play(script)
    with buyer.stream(None, {"x-request-id": "at-the-end"}, model="scripted") as connection:
        connection.body_until(b'"finish_reason":"stop"')
    _, held = record_of(buyer, "at-the-end")
    assert held.charged == cost_of(9, 2)


# The provider fails


def test_a_provider_that_fails_before_the_first_token_costs_nothing(buyer: Customer, scripted: Upstream) -> None:
    def head_only(visit: Visit) -> None:
        visit.stream(ROLE)

    for script in (head_only, lambda visit: visit.whole(200, b"{"), lambda _: None):
        scripted.play(script)
        for stream in (False, True):
            answer = buyer.ask("POST", CHAT, buyer.body(model="scripted", stream=stream))
            assert answer.status == 503
            _, held = ended(buyer, answer)
            assert (held.charged, held.state) == (0, "settled")


@pytest.mark.parametrize("plan", [{"malformed": "error_event"}, {"malformed": "not_json"}, {"cut_after_bytes": 2000}])
def test_f78_a_provider_that_fails_after_the_first_token_is_paid_for_what_it_delivered(
    buyer: Customer, plan: dict[str, Any]
) -> None:
    answer = buyer.streamed({"output_tokens": 200, **plan})
    assert b'"error":' in answer.body
    record, held = ended(buyer, answer)
    delivered = answer.body.count(b'"content":"') - 1
    assert delivered > 0
    assert record["error_kind"] == "upstream_unavailable"
    assert record["usage"]["output"] == delivered
    assert held.charged == cost_of(record["usage"]["prompt_tokens"], delivered) > 0


def test_f78_an_end_after_the_usage_is_a_success(buyer: Customer, scripted: Upstream) -> None:
    scripted.play(lambda visit: visit.stream(ROLE, said("a"), said("b"), FINISH, USAGE_EVENT))
    answer = buyer.streamed(model="scripted")
    assert answer.body.endswith(DONE)
    _, held = ended(buyer, answer)
    assert held.charged == cost_of(9, 2)


@pytest.mark.parametrize("status", [400, 404, 422, 429, 500, 503])
def test_an_error_of_the_provider_costs_nothing(buyer: Customer, status: int) -> None:
    for stream in (False, True):
        answer = buyer.ask("POST", CHAT, buyer.body({"status": status}, stream=stream))
        assert answer.status >= 400
        assert answer.header("x-credits-used") is None
        _, held = ended(buyer, answer)
        assert held.charged == 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_failover_holds_once_and_charges_once(
    buyer: Customer, simulator: Simulator, since: int, stream: bool
) -> None:
    body = buyer.body({"status": 500, "when_model": "troubled", "output_tokens": 5}, model="second-try", stream=stream)
    answer = buyer.ask("POST", CHAT, body)
    assert (answer.status, answer.header("x-faregate-failover")) == (200, "true")
    _, held = ended(buyer, answer)
    entries = simulator.get(f"/simulator/truth?since={since}")["entries"]
    assert [entry["model"] for entry in entries] == ["troubled", "healthy"]
    assert held.charged == cost_of(entries[1]["prompt_tokens"], 5)
    assert buyer.books.number("SELECT count(*) FROM reservation WHERE payer_id IN " + ACCOUNTS, buyer.organisation) == 1


ACCOUNTS = "(SELECT id FROM account WHERE organisation_id = ?)"


@pytest.mark.parametrize("plan", [ENDLESS_WAIT, {"stall_after_tokens": 10, "output_tokens": 50}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_slower_than_the_deadline(hurried: Gateway, plan: dict[str, Any], stream: bool) -> None:
    """Nothing where nothing came; of a stream what was delivered."""
    buyer = customer_of(hurried, f"slow-{stream}-{len(plan)}", "10", "test-model")
    client_id = f"deadline-{stream}-{len(plan)}"
    answer = buyer.ask("POST", CHAT, buyer.body(plan, stream=stream), {"x-request-id": client_id})
    record, held = record_of(buyer, client_id)
    assert record["status"] == 504
    if stream and "stall_after_tokens" in plan:
        assert held.charged == cost_of(record["usage"]["prompt_tokens"], 10)
        assert answer.status == 200
    else:
        assert (answer.status, held.charged) == (504, 0)


@pytest.fixture(scope="module")
def hurried(session_folder: Any, simulator: Simulator) -> Any:
    """A gateway that waits half a second."""
    gateway = Gateway(session_folder, priced(simulator, "[limits]\nlongest_request_s = 0.5"))
    yield gateway
    assert gateway.stop() == 0
    assert Books(gateway.data).leased() == 0


# What the provider says it used


@pytest.mark.contract("7.1")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["absent", "null"])
def test_f46_without_usage_it_is_counted(buyer: Customer, stream: bool, fault: str) -> None:
    answer = buyer.ask("POST", CHAT, buyer.body({"usage": fault, "output_tokens": 20}, stream=stream))
    assert answer.status == 200
    record, held = ended(buyer, answer)
    usage = record["usage"]
    assert usage["source"] == "counted"
    assert held.charged == cost_of(usage["prompt_tokens"], usage["completion_tokens"])
    assert 0 < held.charged < held.hold
    if stream:
        assert usage["completion_tokens"] == 20 + 1  # its finish counts as an event with content


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["negative", "absurd", "string", "float", "cached_over_prompt"])
def test_f44_f45_f47_absurd_usage_is_counted_instead(buyer: Customer, stream: bool, fault: str) -> None:
    before = buyer.balance
    answer = buyer.ask("POST", CHAT, buyer.body({"usage": fault, "output_tokens": 20}, stream=stream))
    record, held = ended(buyer, answer)
    usage = record["usage"]
    assert (usage["source"], usage["suspect"]) == ("counted", True)
    assert min(usage[name] for name in ("input", "cache_read", "cache_write", "output", "reasoning")) >= 0
    assert before - buyer.balance == held.charged == cost_of(usage["prompt_tokens"], usage["completion_tokens"]) > 0
    assert held.charged < held.hold


@pytest.mark.parametrize("fault", ["twice", "cumulative"])
def test_f49_usage_that_is_said_twice_counts_once(
    buyer: Customer, simulator: Simulator, since: int, fault: str
) -> None:
    _, held = ended(buyer, buyer.streamed({"usage": fault, "output_tokens": 20}))
    [entry] = simulator.get(f"/simulator/truth?since={since}")["entries"]
    assert held.charged == cost_of(entry["prompt_tokens"], 20)


@pytest.mark.parametrize("stream", [False, True])
def test_f48_more_than_was_held_for_is_charged_as_far_as_the_balance_goes(
    customer: Callable[..., Customer], simulator: Simulator, since: int, stream: bool
) -> None:
    """First out of what is free; the rest is written off, and shows."""
    plan = {"output_tokens": 2000, "ignore_max_tokens": True}
    rich = customer("10")
    body = rich.body(plan, max_tokens=10, stream=stream)
    _, held = ended(rich, rich.ask("POST", CHAT, body))
    [entry] = simulator.get(f"/simulator/truth?since={since}")["entries"]
    real = cost_of(entry["prompt_tokens"], 2000)
    assert held.hold < real == held.charged == held.cost
    written_off = rich.books.written_off("overrun")
    poor = customer(format_amount(held.hold + 1000))
    answer = poor.ask("POST", CHAT, poor.body(plan, max_tokens=10, stream=stream))
    assert answer.status == 200
    _, held = ended(poor, answer)
    assert (poor.balance, held.charged, held.cost) == (0, held.hold + 1000, real)
    if not stream:
        assert answer.header("x-credits-used") == format_amount(held.charged)
    assert poor.books.written_off("overrun") - written_off == real - held.charged
    assert poor.chat(max_tokens=10).status == 402


def test_who_leaves_an_answer_that_has_outgrown_its_hold_pays_what_the_record_says(buyer: Customer) -> None:
    plan = {**SLOW, "tokens_per_s": 2000, "ignore_max_tokens": True}
    with buyer.stream(plan, {"x-request-id": "outgrown"}, max_tokens=10) as connection:
        connection.body_until(b'"content":', 200)
    _, held = record_of(buyer, "outgrown")
    assert held.charged > held.hold


# The operator


def test_a_key_that_is_revoked_in_mid_stream(buyer: Customer) -> None:
    other = command_json(buyer.gateway, "keys", "list")
    project = next(key["project_id"] for key in other if key["id"] == buyer.key_id)
    spare = command_json(buyer.gateway, "keys", "create", "spare", "--project", project)["key"]
    with buyer.stream(SLOW, {"x-request-id": "revoked"}) as connection:
        connection.body_until(b'"content":', 10)
        assert buyer.gateway.command("keys", "revoke", buyer.key_id).returncode == 0
        answer = connection.rest()
    assert b'"error":' in answer.body
    buyer.key = spare
    record, held = record_of(buyer, "revoked")
    delivered = answer.body.count(b'"content":"') - 1
    assert record["error_kind"] == "invalid_key"
    assert held.charged == cost_of(record["usage"]["prompt_tokens"], record["usage"]["output"])
    assert 10 - 1 <= delivered <= record["usage"]["output"]
    assert held.charged < held.hold


@pytest.mark.parametrize("patient", [True, False])
def test_a_stop_in_mid_stream(session_folder: Any, simulator: Simulator, patient: bool) -> None:
    """A stream that ends within the drain is charged whole; one that is cut, for what it delivered. No lease stays."""
    patience = 20.0 if patient else 0.2
    config = priced(simulator, f"[server]\ndrain_timeout_s = {patience}\n[limits]\nlongest_request_s = 30.0")
    gateway = Gateway(session_folder, config)
    buyer = customer_of(gateway, "drained", "10", "test-model")
    plan = {"output_tokens": 100 if patient else 10_000, "tokens_per_s": 200}
    with buyer.stream(plan) as connection:
        connection.body_until(b'"content":', 10)
        request_id = connection.current.header("x-request-id") or ""
        gateway.popen.terminate()
        with contextlib.suppress(ConnectionError):  # what is cut has no end
            connection.rest()
        answer = connection.current
    assert gateway.popen.wait(10) == 0
    gateway.stop()
    held = buyer.books.reservation(request_id)
    assert held is not None
    delivered = answer.body.count(b'"content":"') - 1
    assert held.state == "settled"
    if patient:
        assert answer.body.endswith(DONE)
        assert held.charged == cost_of(4, 100)
    else:
        assert DONE not in answer.body
        least, most = cost_of(1, delivered), cost_of(40, delivered)
        assert least <= held.charged <= most
    proof = buyer.books.in_order()
    assert (proof.active_leases, proof.open_reservations, buyer.books.leased()) == (0, 0, 0)


def test_f56_a_promotion_that_ends_during_a_stream_still_pays_for_it(customer: Callable[..., Customer]) -> None:
    """What is held is held; what is left of it is not spent after its end."""
    ends_at = time.time() + 1.0
    guest = customer(None)
    guest.grant("1", ends_at)
    eventually(lambda: guest.chat({"output_tokens": 1}, max_tokens=10).status == 200, 1.0)
    before = guest.spent
    with guest.stream({"output_tokens": 120, "tokens_per_s": 100}) as connection:
        answer = connection.rest()
    assert time.time() > ends_at
    held = guest.settled(answer.header("x-request-id"))
    assert guest.spent - before == held.charged == cost_of(4, 120)
    assert guest.chat().status == 402


def test_f51_the_price_of_the_moment_of_admission_stands(buyer: Customer) -> None:
    """What a stream costs follows from the tariff it was admitted with; its record names it."""
    record, held = ended(buyer, buyer.streamed({"output_tokens": 20, "tokens_per_s": 200}))
    assert record["price_version"]
    assert held.charged == nano(record["usage"]["prompt_tokens"] * PICO["input"] + 20 * PICO["output"])


def test_relaxed_durability_says_the_same_costs(session_folder: Any, simulator: Simulator) -> None:
    config = priced(simulator).replace("[ledger]", '[ledger]\ndurability = "relaxed"')
    gateway = Gateway(session_folder, config)
    try:
        for number, plan in enumerate(({}, {"first_token_ms": 100})):  # its hold is on the disk by then
            buyer = customer_of(gateway, f"relaxed-{number}", "10", "test-model")
            answer = buyer.chat({"output_tokens": 20, **plan})
            _, held = ended(buyer, answer)
            assert answer.header("x-credits-used") == format_amount(held.charged)
            assert held.charged == cost_of(4, 20)
            buyer = customer_of(gateway, f"relaxed-stream-{number}", "10", "test-model")
            _, held = ended(buyer, buyer.streamed({"output_tokens": 20, **plan}))
            assert held.charged == cost_of(4, 20)
    finally:
        assert gateway.stop() == 0


def test_events_after_the_last_token_are_not_lost(buyer: Customer, scripted: Upstream) -> None:
    """A usage of an own event before the finish counts like one after it."""
    usage = event_of(None, usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11})
    scripted.play(lambda visit: (visit.stream(ROLE, said("a"), usage, FINISH, DONE), visit.end())[0])
    _, held = ended(buyer, buyer.streamed(model="scripted"))
    assert held.charged == cost_of(9, 2)
