"""What takes minutes: `make soak` runs it, `make test` does not. Faults at their full size, and memory over time."""

import statistics
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.conftest import rss_bytes
from tests.running.client import Caller
from tests.running.processes import Gateway, Simulator, simulated
from tests.wire.rig import many_files

pytestmark = pytest.mark.soak

MEGABYTE = 1024 * 1024
SLOW_SOCKETS = 5000
CALLS_PER_ROUND = 4000
ROUNDS = 5


def latencies(caller: Caller, count: int) -> list[float]:
    """Seconds that `count` calls took, one after the other, over one connection."""
    taken = []
    request = caller.bytes_of("POST", "/v1/chat/completions", caller.body({"output_tokens": 1}))
    with caller.open() as connection:
        for _ in range(count):
            start = time.perf_counter()
            connection.send(request)
            assert connection.answer().status == 200
            taken.append(time.perf_counter() - start)
    return taken


def p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def test_f62_five_thousand_slow_heads_leave_good_traffic_alone(session_folder: Path, simulator: Simulator) -> None:
    many_files(SLOW_SOCKETS + 500)
    limits = "[limits]\nunauthenticated_per_address_max = 10000"
    gateway = Gateway(session_folder, simulated(simulator, more=limits))
    caller = Caller(gateway)
    try:
        latencies(caller, 500)
        alone = latencies(caller, 1000)
        with ExitStack() as stack:
            for _ in range(SLOW_SOCKETS):
                connection = stack.enter_context(caller.open())
                connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nx-slow: ")
            beside = latencies(caller, 1000)
            assert caller.gauge("faregate_connections") > SLOW_SOCKETS / 2  # they are there still
        assert p99(beside) < 2 * p99(alone) + 0.002
    finally:
        gateway.stop()


def test_memory_stays_flat(session_folder: Path, simulator: Simulator) -> None:
    """Whole answers and streams, in rounds: after the first two, nothing more is kept."""
    gateway = Gateway(session_folder, simulated(simulator))
    caller = Caller(gateway)
    try:
        seen = []
        for _ in range(ROUNDS):
            latencies(caller, CALLS_PER_ROUND)
            for _ in range(CALLS_PER_ROUND // 20):
                assert caller.streamed({"output_tokens": 20}).status == 200
            seen.append(rss_bytes(gateway.pid))
        assert seen[-1] - seen[1] < 4 * MEGABYTE, [each // MEGABYTE for each in seen]
    finally:
        gateway.stop()
