"""`faregate credits refund`: a request's charge goes back, all or a part of it, never more."""

import re
from decimal import Decimal
from pathlib import Path

from faregate.core.money import format_amount
from tests.running.client import Caller, eventually
from tests.running.processes import Gateway, Simulator, simulated

from .books import customer_of
from .conftest import priced
from .reopening import Reopened, kill

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


def test_what_the_reaper_charged_for_a_process_that_died_goes_back_too(
    session_folder: Path, simulator: Simulator
) -> None:
    gateway = Gateway(session_folder, priced(simulator))
    customer = customer_of(gateway, "of-the-dead", "5", "test-model")
    with customer.stream({"output_tokens": 10_000, "tokens_per_s": 500}) as connection:
        request = connection.current.header("x-request-id") or ""
        eventually(lambda: customer.books.rows("SELECT 1 FROM reservation WHERE checkpoint > 0"))
        kill(gateway)
    gateway = Reopened(gateway)
    try:
        found = customer.books.reservation(request)
        assert found is not None and found.state == "reaped" and found.charged == customer.spent > 1

        def refund(*words: str) -> int:
            return gateway.command("credits", "refund", request, *words, "--reason", "it died").returncode

        assert refund(format_amount(found.charged + 1)) != 0
        assert refund(format_amount(found.charged - 1), "--once", "most") == 0
        assert refund(format_amount(found.charged - 1), "--once", "most") == 0
        assert customer.balance == 5 * 10**9 - 1
        assert refund(format_amount(2)) != 0
        assert refund() == 0
        assert refund() != 0
        assert customer.balance == 5 * 10**9
        customer.books.in_order()
    finally:
        assert gateway.stop() == 0
    assert gateway.command("ledger", "verify").returncode == 0
