"""The gateway stops, and what is drained or cut then."""

import signal
import time
from pathlib import Path

import pytest

from tests.running.client import eventually
from tests.running.processes import Gateway
from tests.running.upstreams import Upstream

from ..books import cost_of, customer_of
from .leaving import ALL, Stage, begins, config, drained, ends, start, until_gone

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
