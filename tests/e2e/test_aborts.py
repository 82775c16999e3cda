"""Clients that leave: the upstream is told. And deadlines: the client's, and the gateway's."""

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.running.processes import Gateway, Simulator, simulated

from .processes import Upstream
from .scenarios import Sdk

# Far longer than any test takes; so only the client's going can end it.
ENDLESS = {"output_tokens": 4000, "tokens_per_s": 50}
SLOW = {"first_token_ms": 600_000}
# A model that other tests do not use, by which the simulator's log tells these requests from theirs.
MODEL = "test-model"
TRUTH_TIMEOUT_S = 20.0


def body(plan: dict[str, Any]) -> dict[str, Any]:
    """A body that the simulator serves by `plan`."""
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "simulator": plan}


def last_seq(simulator: Simulator) -> int:
    return simulator.get("/simulator/truth?since=0")["last_seq"]


def next_entry(simulator: Simulator, seq: int) -> dict[str, Any]:
    """What became of the request that ended next after `seq`; waits for it."""
    deadline = time.monotonic() + TRUTH_TIMEOUT_S
    while time.monotonic() < deadline:
        truth = simulator.get(f"/simulator/truth?since={seq}&until={seq + 1}&wait_ms={TRUTH_TIMEOUT_S * 1000}")
        for entry in truth["entries"]:
            if entry["model"] == MODEL:
                return entry
        seq = truth["last_seq"]
    raise AssertionError("the simulator's request did not end")


@pytest.mark.parametrize("operation", ["collect", "accumulate"])
def test_a_stream_left_early(
    any_client: Sdk, simulated_upstream: Upstream, simulator: Simulator, operation: str
) -> None:
    seq = last_seq(simulator)
    any_client.do(operation, simulated_upstream.client, body(ENDLESS), take=3)
    entry = next_entry(simulator, seq)
    assert entry["outcome"] == "client_gone"
    assert 0 < entry["tokens_sent"] < 1000


def test_an_answer_not_waited_for(async_client: Sdk, simulated_upstream: Upstream, simulator: Simulator) -> None:
    seq = last_seq(simulator)
    watch, sign = f"http://127.0.0.1:{simulator.port}/simulator/last_request", str(uuid.uuid4())
    params = {**body(SLOW), "user": sign}
    report = async_client.do("abandon", simulated_upstream.client, params, watch=watch, sign=sign)
    assert report["cancelled"] is True
    assert next_entry(simulator, seq)["outcome"] == "client_gone"


@pytest.mark.parametrize("operation", ["create", "collect"])
def test_the_clients_deadline(any_client: Sdk, exact: Upstream, simulator: Simulator, operation: str) -> None:
    seq = last_seq(simulator)
    error = any_client.fail(operation, {**exact.client, "timeout": 0.5}, body(SLOW))
    assert error["class"] == ("APITimeoutError" if any_client.is_python else "APIConnectionTimeoutError")
    assert next_entry(simulator, seq)["outcome"] == "client_gone"


@pytest.fixture(scope="module")
def hasty_gateways(session_folder: Path, simulator: Simulator) -> Iterator[Callable[[float], Gateway]]:
    """Gateways by their longest request in seconds, each started when it is first wanted."""
    started: dict[float, Gateway] = {}

    def gateway(longest_s: float) -> Gateway:
        if longest_s not in started:
            more = f"[limits]\nlongest_request_s = {longest_s}\n"
            started[longest_s] = Gateway(session_folder, simulated(simulator, more=more))
        return started[longest_s]

    yield gateway
    for process in started.values():
        process.stop()


# Rather short; and longer ones for a machine so busy that a stream does not come to its first chunk.
LONGEST_S = (0.8, 5.0, 30.0)


def test_the_longest_request(sdk: Sdk, hasty_gateways: Callable[[float], Gateway], simulator: Simulator) -> None:
    seq = last_seq(simulator)
    hasty = hasty_gateways(LONGEST_S[0])
    error = sdk.fail("create", {"base_url": hasty.base_url, "api_key": hasty.key}, body(SLOW))
    assert (error["class"], error["status"]) == ("InternalServerError", 504)
    assert (error["type"], error["code"]) == ("timeout_error", "request_timeout")
    assert next_entry(simulator, seq)["outcome"] == "client_gone"


def test_the_longest_request_as_a_stream(
    sdk: Sdk, hasty_gateways: Callable[[float], Gateway], simulator: Simulator
) -> None:
    seq, report = 0, {"chunks": []}
    for longest_s in LONGEST_S:
        if not report["chunks"]:
            seq, hasty = last_seq(simulator), hasty_gateways(longest_s)
            report = sdk.report("collect", {"base_url": hasty.base_url, "api_key": hasty.key}, body(ENDLESS))
    assert report["chunks"]
    assert report["error"]["class"] == "APIError"
    assert (report["error"]["type"], report["error"]["code"]) == ("timeout_error", "request_timeout")
    assert next_entry(simulator, seq)["outcome"] == "client_gone"
