"""SIGKILL: nobody is charged for more than came, whole answers are charged exactly, no hold outlives its process."""

import sqlite3
import time
from pathlib import Path

from faregate.core.ids import RequestIds, id_bytes
from tests.faults.conftest import cpu_s
from tests.running.processes import Gateway, Simulator

from .books import customer_of
from .conftest import priced
from .killing import kill_again_and_again
from .reopening import Reopened

KILLS = 20
MANY = 100_000
AS_LONG_AS_WRITING = 4.0  # 1 to 2 measured; row by row it is over 10


def test_f10_kills_at_random_moments_break_no_invariant(session_folder: Path, simulator: Simulator) -> None:
    seen = kill_again_and_again(session_folder, simulator, KILLS, seed=1)
    assert seen["whole"] > KILLS
    assert seen["cut"] > 0
    assert seen["reaped"] > 0


def dead_epoch(data: Path, organisation: str, count: int, hold: int, checkpoint: int) -> None:
    """What a process that died left: `count` open reservations on one lease, of which every second has a checkpoint."""
    with sqlite3.connect(data / "faregate.db") as writing:
        [account] = writing.execute(
            "SELECT id FROM account WHERE organisation_id = ? AND kind = 'cust'", (organisation,)
        ).fetchone()
        new_id = RequestIds()
        epoch = writing.execute("INSERT INTO epoch (node, started_at) VALUES ('dead', 0)").lastrowid
        granted = count * hold + 12345
        lease = writing.execute(
            "INSERT INTO lease (account_id, epoch_id, granted, expires_at) VALUES (?, ?, ?, 4e9)",
            (account, epoch, granted),
        ).lastrowid
        writing.execute("UPDATE account SET leased = leased + ? WHERE id = ?", (granted, account))
        ids = [id_bytes(new_id(time.time())) for _ in range(count)]
        writing.executemany(
            "INSERT INTO reservation (id, epoch_id, payer_id, budgets, hold, checkpoint, opened_at, context_id) "
            "VALUES (?, ?, ?, '[]', ?, ?, 0, (SELECT max(id) FROM usage_context))",
            [(identity, epoch, account, hold, checkpoint * (number % 2)) for number, identity in enumerate(ids)],
        )
        writing.executemany(
            "INSERT INTO reservation_leg VALUES (?, 0, ?, ?, ?)", [(identity, lease, account, hold) for identity in ids]
        )
    writing.close()


def test_f10_many_open_reservations_do_not_delay_the_start(session_folder: Path, simulator: Simulator) -> None:
    gateway = Gateway(session_folder, priced(simulator))
    customer = customer_of(gateway, "left-behind", "1000", "test-model")
    customer.served()
    spent = customer.spent
    assert gateway.stop() == 0
    began_s = time.process_time()
    dead_epoch(gateway.data, customer.organisation, MANY, 5000, 77)
    written_s = time.process_time() - began_s  # how fast this machine is now
    assert customer.leased == MANY * 5000 + 12345
    gateway = Reopened(gateway)
    took_s = cpu_s(gateway.pid)  # what the machine does beside it is not counted
    try:
        assert (customer.leased, customer.spent) == (0, spent + MANY // 2 * 77)
        proof = customer.books.in_order()
        assert (proof.open_reservations, proof.active_leases) == (0, 0)
    finally:
        assert gateway.stop() == 0
    assert took_s < AS_LONG_AS_WRITING * written_s
