"""I12: the sum of all charges is the provider's tokens times the prices, over many requests of all kinds at once."""

import os
import random
from pathlib import Path

from tests.running.client import last_entry
from tests.running.processes import Gateway, Simulator

from .books import cost_of_entry, customer_of
from .conftest import priced
from .load import each_in_a_thread, mixed

REQUESTS = int(os.environ.get("MONEY_REQUESTS", "2000"))  # 20,000 before a release
THREADS = 20


def test_i12_all_charges_are_the_providers_tokens_times_the_prices(
    session_folder: Path, simulator: Simulator, since: int
) -> None:
    gateway = Gateway(session_folder, priced(simulator))
    customers = [customer_of(gateway, f"many-{number}", "50", "test-model") for number in range(3)]

    def client(number: int) -> None:
        dice = random.Random(number)
        mine = customers[number % len(customers)]
        with mine.open() as connection:
            for _ in range(REQUESTS // THREADS):
                path, body = mixed(dice)
                connection.send(mine.bytes_of("POST", path, {"model": mine.model, **body}))
                answer = connection.answer()
                assert answer.status == 200
                assert answer.body

    each_in_a_thread(THREADS, client)
    assert last_entry(simulator) == since + REQUESTS
    assert gateway.stop() == 0
    entries = {entry["request_id"]: entry for entry in simulator.get(f"/simulator/truth?since={since}")["entries"]}
    books = customers[0].books
    rows = books.rows(
        "SELECT u.upstream_request_id, u.cost, r.charged, r.state FROM usage AS u JOIN reservation AS r ON r.id = u.id"
    )
    assert len(rows) == len(entries) == REQUESTS
    assert {row[3] for row in rows} == {"settled"}
    assert {row[0]: (row[1], row[2]) for row in rows} == {
        request_id: (cost_of_entry(entry), cost_of_entry(entry)) for request_id, entry in entries.items()
    }
    total = sum(cost_of_entry(entry) for entry in entries.values())
    assert sum(customer.spent for customer in customers) == total
    proof = books.in_order()
    assert proof.sums_nano["revenue"] == total
    assert (proof.active_leases, proof.open_reservations, books.leased()) == (0, 0, 0)  # I8
