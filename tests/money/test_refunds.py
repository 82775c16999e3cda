"""`faregate credits refund`: a request's charge goes back, all or a part of it, never more."""

import re
from decimal import Decimal
from pathlib import Path

from tests.running.client import Caller
from tests.running.processes import Gateway, Simulator, simulated

CONFIG = """
[ledger]
demo_credit = "10"

[prices]
default = { input = "1", output = "2" }
"""


def test_a_charge_goes_back_in_parts_and_no_more(session_folder: Path, simulator: Simulator) -> None:
    gateway = Gateway(session_folder, simulated(simulator) + CONFIG)
    try:
        answer = Caller(gateway).ask("POST", "/v1/chat/completions", Caller(gateway).body(max_tokens=50))
        request = answer.header("x-request-id") or ""
        cost = Decimal(answer.header("x-credits-used") or "0")
        assert cost > 0
        part = format(cost / 4, "f")

        def refund(*words: str) -> int:
            return gateway.command("credits", "refund", request, *words, "--reason", "bad answer").returncode

        def refused(*words: str) -> str:
            done = gateway.command("credits", "refund", request, *words, "--reason", "bad answer")
            assert done.returncode != 0
            return done.stderr

        assert refund(part, "--once", "first") == 0
        assert refund(part, "--once", "first") == 0  # the same move again
        assert f"more than is left of the charge: {format(cost - Decimal(part), 'f')}" in refused("100")
        assert refund() == 0
        assert refund(part) != 0
        assert gateway.command("credits", "refund", "nothing", "--reason", "x").returncode != 0
        statement = gateway.command("credits", "statement", "demo", "--json").stdout
        assert statement.count('"refund"') == 2
        assert gateway.command("credits", "statement", "demo").stdout.count(request) == 3  # so it can be refunded
        shown = gateway.command("ledger", "verify")
        assert shown.returncode == 0, shown.stdout
        said = refused()  # all of it went back, in two parts
        times = re.findall(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", said)
        parts = f"{part} at {times[0]}, {format(cost - Decimal(part), 'f')} at {times[1]}"
        assert f"it was refunded already: {parts}" in said
        assert refused(part) == said
    finally:
        gateway.stop()
    assert gateway.command("ledger", "verify").returncode == 0
