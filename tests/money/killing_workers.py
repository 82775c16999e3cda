"""Kill -9 of single workers at random moments under load: the others go on, and nobody loses money."""

import contextlib
import os
import random
import signal
import threading
from pathlib import Path

from tests.running.client import CHAT, Connection, eventually
from tests.running.processes import Gateway, Simulator

from .books import Books, Customer, cost_of, customer_of
from .crew import crew_config, is_alive, workers_of
from .load import PROMPT_TOKENS, each_in_a_thread


def stopped_in_order(gateway: Gateway) -> None:
    """SIGTERM: all have drained, and have left nothing."""
    assert gateway.stop() == 0
    assert not any(map(is_alive, workers_of(gateway).values()))
    books = Books(gateway.data)
    assert books.in_order().active_leases == 0
    assert books.leased() == 0
    assert not list((gateway.data / "run").iterdir())
    assert gateway.command("ledger", "verify").returncode == 0


def kill_workers(folder: Path, simulator: Simulator, workers: int, kills: int, seed: int) -> int:
    """SIGKILL to one worker of a gateway after the other, under load; how many answers came whole."""
    gateway = Gateway(folder, crew_config(simulator, workers))
    customer = customer_of(gateway, "survivor", "100", "test-model")
    dice = random.Random(seed)
    is_over = threading.Event()
    whole: list[tuple[str, int]] = []

    def client(number: int) -> None:
        if number == 0:
            try:
                kill_some(gateway, dice, kills)
            finally:
                is_over.set()
            return
        own_dice = random.Random(seed * 1000 + number)
        while not is_over.is_set():
            with contextlib.suppress(OSError), contextlib.closing(customer.open()) as connection:
                ask_on(connection, customer, own_dice, is_over, whole)

    each_in_a_thread(9, client)
    stopped_in_order(gateway)
    found = customer.books.reservations()
    assert {each.state for each in found.values()} <= {"settled", "reaped"}
    for request_id, cost in whole:
        assert (found[request_id].state, found[request_id].charged) == ("settled", cost)
    assert customer.spent == sum(each.charged for each in found.values())
    died = [line for line in gateway.log_lines() if line.get("event") == "worker_died"]
    assert len(died) == kills
    return len(whole)


def kill_some(gateway: Gateway, dice: random.Random, kills: int) -> None:
    for _ in range(kills):
        threading.Event().wait(dice.uniform(0.1, 0.6))  # a random moment
        place, pid = dice.choice(list(workers_of(gateway).items()))
        os.kill(pid, signal.SIGKILL)
        eventually(lambda place=place, pid=pid: workers_of(gateway)[place] != pid, 20.0)


def ask_on(
    connection: Connection,
    customer: Customer,
    dice: random.Random,
    is_over: threading.Event,
    whole: list[tuple[str, int]],
) -> None:
    """One chat after the other; those that came whole, and what they cost."""
    while not is_over.is_set():
        tokens, stream = dice.randrange(1, 60), dice.random() < 0.5
        plan = {"output_tokens": tokens, **({"tokens_per_s": 200} if stream else {})}
        connection.send(customer.bytes_of("POST", CHAT, customer.body(plan, stream=stream)))
        answer = connection.answer()
        assert answer.status == 200, answer
        request_id = (answer.header("x-request-id") or "").replace("-", "")
        whole.append((request_id, cost_of(PROMPT_TOKENS, tokens)))
