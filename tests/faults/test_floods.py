"""F74, F98, F99, and more calls than a gateway takes: floods are refused early, and their time tells nothing."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from faregate.core.identity import make_id, make_key
from tests.running.client import Answer, Caller, eventually, request_bytes
from tests.running.processes import Gateway, Simulator, simulated

from .conftest import rss_bytes
from .timing import told_apart

MEGABYTE = 1024 * 1024
GUESSES, BATCH = 10_000, 200
LOOKUPS_PER_S_MAX = 10
BAD_KEYS = 20  # what the default house lets an address try in a minute
IN_FLIGHT_MAX = 4


def test_f74_each_of_a_hundred_in_a_pipeline_is_counted(scaled: Gateway, simulator: Simulator, since: int) -> None:
    made = scaled.command("keys", "create", "f74", "--project", "demo", "--requests-per-minute", "30")
    caller = Caller(scaled, made.stdout.strip().splitlines()[-1])
    with caller.open() as connection:
        connection.send(caller.bytes_of("POST", "/v1/chat/completions", caller.body()) * 100)
        answers = [connection.answer() for _ in range(100)]
    assert [each.status for each in answers] == [200] * 30 + [429] * 70
    left = [each.header("x-ratelimit-remaining-requests") for each in answers]
    assert left == [str(number) for number in range(29, -1, -1)] + ["0"] * 70
    assert simulator.get("/simulator/truth")["last_seq"] == since + 30


@pytest.fixture
def guarded(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """A gateway whose nets are up."""
    process = Gateway(session_folder, simulated(simulator), {"FAREGATE_LIMITS_ADDRESS_NET": "true"})
    yield process
    process.stop()


def test_f99_ten_thousand_guesses_cost_the_store_nothing(guarded: Gateway) -> None:
    caller = Caller(guarded)
    assert caller.get("/v1/models").status == 200
    lookups, memory = caller.gauge("faregate_key_lookups"), rss_bytes(guarded.pid)
    begun_at = time.monotonic()
    statuses: Counter[int] = Counter()
    for _ in range(GUESSES // BATCH):
        keys = [make_key("sk-fg-", make_id()) for _ in range(BATCH)]
        with caller.open() as connection:
            connection.send(b"".join(request_bytes("GET", "/v1/models", key=key) for key in keys))
            statuses.update(connection.answer().status for _ in keys)
        assert caller.get("/v1/models").status == 200
    lasted_s = time.monotonic() - begun_at
    lookups = caller.gauge("faregate_key_lookups") - lookups
    assert statuses[401] + statuses[429] == GUESSES
    assert statuses[401] <= BAD_KEYS + 1 + lasted_s  # of which one comes back every three seconds
    assert lookups <= BAD_KEYS + LOOKUPS_PER_S_MAX * (1 + lasted_s)
    assert caller.gauge("faregate_keys_unknown") <= lookups
    assert rss_bytes(guarded.pid) < memory + 32 * MEGABYTE


def test_f98_a_wrong_secret_takes_as_long_as_an_id_that_there_is_not(gateway: Gateway) -> None:
    assert 0.4 < told_apart(gateway, 1200) < 0.6


@pytest.fixture
def small(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    """A gateway that takes four calls at a time."""
    process = Gateway(session_folder, simulated(simulator, more=f"[limits]\nin_flight_max = {IN_FLIGHT_MAX}"))
    yield process
    process.stop()


def test_more_calls_than_it_takes_are_shed_before_their_key_is_looked_at(small: Gateway) -> None:
    caller = Caller(small)
    assert caller.get("/v1/models").status == 200
    with ExitStack() as stack:
        plan = {"output_tokens": 3, "stall_before_head_ms": 60_000}
        stalled = [stack.enter_context(caller.open()) for _ in range(IN_FLIGHT_MAX - 1)]
        for connection in stalled:
            connection.send(caller.bytes_of("POST", "/v1/chat/completions", caller.body(plan)))
        running = stack.enter_context(caller.stream({"output_tokens": 60, "tokens_per_s": 40}))
        eventually(lambda: Caller(small).gauge("faregate_in_flight") == IN_FLIGHT_MAX)
        lookups = caller.gauge("faregate_key_lookups")
        for each in (caller, Caller(small, make_key("sk-fg-", make_id()))):
            shed = each.chat()
            assert (shed.status, shed.error["code"]) == (503, "overloaded")
            assert shed.header("retry-after") == "1"
        assert caller.gauge("faregate_key_lookups") == lookups
        assert [caller.get(path).status for path in ("/healthz", "/readyz")] == [200, 200]
        answer = running.rest()
        assert answer.events[-1] == "[DONE]"
        assert caller.record(answer.header("x-request-id"))["usage"]["output"] == 60
        assert caller.chat().status == 200  # there is room again


def test_a_loop_that_is_late_sheds_load_and_answers_probes(session_folder: Path, simulator: Simulator) -> None:
    """It knows for a tick, a tenth of a second, that it was late; who comes then is shed."""
    gateway = Gateway(session_folder, simulated(simulator, more="[limits]\nlag_max_s = 0.2"))
    caller = Caller(gateway)

    def after_a_stop() -> Answer | None:
        gateway.popen.send_signal(signal.SIGSTOP)
        time.sleep(0.4)  # which is what makes it late
        gateway.popen.send_signal(signal.SIGCONT)
        answers = [caller.chat() for _ in range(3)]
        assert caller.get("/healthz").status == 200
        return next((answer for answer in answers if answer.status == 503), None)

    try:
        shed = eventually(after_a_stop)
        assert shed and (shed.error["code"], shed.header("retry-after")) == ("overloaded", "1")
        eventually(lambda: caller.chat().status == 200)
    finally:
        gateway.stop()
