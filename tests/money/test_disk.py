"""The disk refuses, fills up, or is read-only: new calls are refused, streams end, nothing is lost, all comes back."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from faregate.core.money import format_amount
from tests.running.client import CHAT, DONE, Answer, Caller, eventually
from tests.running.processes import CLEAN, Gateway, Simulator

from .books import Customer, cost_of, customer_of
from .conftest import priced
from .reopening import Reopened

HELLO_TOKENS = 4


class Disk:
    """A small file system for a gateway's data, that can be filled and made to refuse."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("wb", buffering=0) as filler:
            piece = b"x" * 4096
            try:
                while filler.write(piece) == len(piece):
                    pass
            except OSError:
                pass

    def empty(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of 8 MB in memory; skipped where that may not be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount")
    yield Disk(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def buyer(disk: Disk, simulator: Simulator) -> Iterator[Customer]:
    """A customer of a gateway whose data is on that disk."""
    gateway = Gateway(disk.folder, priced(simulator))
    yield customer_of(gateway, "on-a-small-disk", "100", "test-model")
    gateway.popen.kill()
    gateway.stop()


def check_at_rest(customer: Customer, charged: int) -> None:
    """The gateway stops well and its books say `charged`, no more and no less."""
    assert customer.gateway.stop() == 0
    proof = customer.books.in_order()
    assert (proof.active_leases, proof.open_reservations, customer.leased) == (0, 0, 0)
    assert customer.spent == charged


def status_of(caller: Caller) -> int:
    return caller.chat({"output_tokens": 5}).status


def test_f13_a_full_disk_refuses_new_calls_ends_streams_and_comes_back(disk: Disk, buyer: Customer) -> None:
    """A stream under way ends whole, its charge is written later; calls meanwhile are 503 and leave no trace."""
    assert status_of(buyer) == 200
    charged = buyer.spent
    with buyer.stream({"output_tokens": 120, "tokens_per_s": 60}) as connection:
        connection.body_until(b'"content":', 5)
        disk.fill()
        refused = [buyer.chat({"output_tokens": 5}), buyer.ask("POST", CHAT, buyer.body(stream=True))]
        eventually(lambda: buyer.get("/readyz").status == 503)
        streamed = connection.rest()
    assert streamed.body.endswith(DONE)
    for answer in refused:
        assert (answer.status, answer.error["code"]) == (503, "overloaded")
        assert answer.header("retry-after")
    assert buyer.chat().status == 503
    disk.empty()
    eventually(lambda: buyer.get("/readyz").status == 200)
    whole = buyer.served()
    held = buyer.settled(streamed.header("x-request-id"))
    assert held.charged == cost_of(HELLO_TOKENS, 120)
    assert whole.header("x-credits-used") == format_amount(cost_of(HELLO_TOKENS, 5))
    for answer in refused:
        found = buyer.books.reservation(answer.header("x-request-id") or "")
        assert found is None or (found.state, found.charged) == ("settled", 0)
    asked = [found.charged for found in buyer.books.reservations().values()]
    assert {cost for cost in asked if cost} == {cost_of(HELLO_TOKENS, 5), cost_of(HELLO_TOKENS, 120)}
    check_at_rest(buyer, charged + cost_of(HELLO_TOKENS, 120) + cost_of(HELLO_TOKENS, 5))


def test_an_answer_whose_settlement_waits_for_too_long_leaves_and_says_what_it_costs(
    disk: Disk, buyer: Customer
) -> None:
    """O2 is waived after two seconds, counted, and made good (R4)."""
    waived = buyer.gauge("faregate_settlements_waived")
    with buyer.open() as connection:
        body = buyer.body({"output_tokens": 7, "first_token_ms": 700})
        connection.send(buyer.bytes_of("POST", CHAT, body))
        eventually(lambda: buyer.books.rows("SELECT 1 FROM reservation WHERE state = 'open'"))
        disk.fill()
        answer = connection.answer()
    cost = cost_of(HELLO_TOKENS, 7)
    assert answer.status == 200
    assert answer.header("x-credits-used") == format_amount(cost)
    assert buyer.gauge("faregate_settlements_waived") == waived + 1
    assert [found.state for found in buyer.books.reservations().values()] == ["open"]
    disk.empty()
    assert buyer.settled(answer.header("x-request-id")).charged == cost
    assert buyer.record(answer.header("x-request-id"))["cost"] == format_amount(cost)
    check_at_rest(buyer, cost)


@pytest.mark.parametrize("first_token_ms", [0, 300])
def test_an_answer_whose_hold_never_gets_to_the_disk_is_not_given_and_costs_nothing(
    disk: Disk, buyer: Customer, first_token_ms: int
) -> None:
    """What is at hand to hold from was leased before the disk was full. The call is written down all the same."""
    for _ in range(3):
        buyer.served()
    charged = buyer.spent
    disk.fill()
    answer = buyer.chat({"output_tokens": 5, "first_token_ms": first_token_ms})
    assert (answer.status, answer.header("x-credits-used")) == (503, None)
    assert answer.error["message"] == "The ledger cannot be written; try again in a moment."
    disk.empty()
    eventually(lambda: buyer.get("/readyz").status == 200)
    assert buyer.books.reservation(answer.header("x-request-id") or "") is None
    eventually(lambda: buyer.books.rows("SELECT 1 FROM usage WHERE status = 503"))
    assert buyer.record(answer.header("x-request-id"))["cost"] == "0"
    whole = buyer.served()  # what was held for it is there again
    check_at_rest(buyer, charged + cost_of(HELLO_TOKENS, 5))
    assert whole.header("x-credits-used") == format_amount(cost_of(HELLO_TOKENS, 5))


def test_of_a_disk_that_stalls_only_what_is_on_its_way_is_waited_for(buyer: Customer) -> None:
    """A call that is in the batch on its way cannot be called back: it waits, and is answered. One behind it can."""
    for _ in range(3):
        buyer.served()
    charged = buyer.spent
    answers: dict[str, Answer] = {}

    def call(name: str, first_token_ms: int) -> None:
        answers[name] = buyer.chat({"output_tokens": 5, "first_token_ms": first_token_ms})

    callers = [threading.Thread(target=call, args=args) for args in (("on its way", 0), ("behind it", 300))]
    with (buyer.gateway.data / "faregate.db.turn").open("rb") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        callers[0].start()
        eventually(lambda: buyer.gauge("faregate_in_flight") == 1)
        callers[1].start()
        callers[1].join(10)
        assert "on its way" not in answers
    for caller in callers:
        caller.join(10)
    behind, first = answers["behind it"], answers["on its way"]
    assert (behind.status, behind.header("x-credits-used")) == (503, None)
    assert (first.status, first.header("x-credits-used")) == (200, format_amount(cost_of(HELLO_TOKENS, 5)))
    eventually(lambda: buyer.get("/readyz").status == 200)
    check_at_rest(buyer, charged + cost_of(HELLO_TOKENS, 5))


def test_a_stop_with_a_full_disk_says_so_and_the_next_start_puts_the_books_in_order(
    disk: Disk, buyer: Customer, simulator: Simulator
) -> None:
    with buyer.stream({"output_tokens": 10_000, "tokens_per_s": 100}) as connection:
        connection.body_until(b'"content":', 10)
        disk.fill()
        threading.Timer(0.1, connection.socket.shutdown, [2]).start()
        connection.ended()
    assert buyer.gateway.stop() == 1
    disk.empty()
    gateway = Reopened(buyer.gateway)
    try:
        assert buyer.books.in_order().open_reservations == 0
        assert buyer.leased == 0
        assert 0 <= buyer.spent <= cost_of(40, 60)
    finally:
        assert gateway.stop() == 0


def restricted(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command by one who may do what files allow him, and no more: root is bound by them too here."""
    words = [sys.executable, "-m", "faregate", *arguments, "--config", str(gateway.config), "--data", str(gateway.data)]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root needs setpriv to be refused anything")
        words = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *words]
    return subprocess.run(words, capture_output=True, text=True, env=CLEAN, timeout=30, check=False)


@pytest.mark.parametrize(("name", "mode"), [("faregate.db", 0o400), ("faregate.db", 0), ("faregate.db.turn", 0o400)])
def test_f16_a_database_file_that_is_read_only_stops_the_start(
    session_folder: Path, simulator: Simulator, name: str, mode: int
) -> None:
    """With one line that says which file and why, and exit code 1; once it may be written, it starts. The same of the
    file by which writers take turns."""
    gateway = Gateway(session_folder, priced(simulator))
    assert gateway.stop() == 0
    file = gateway.data / name
    content = file.read_bytes()
    file.chmod(mode)
    for words in (("serve", "--port", "0"), ("up", "--port", "0"), ("credits", "show", "demo")):
        done = restricted(gateway, *words)
        assert (done.returncode, done.stdout) == (1, "")
        [line] = done.stderr.strip().splitlines()
        assert f"{file}: Permission denied" in line
    file.chmod(0o600)
    assert file.read_bytes() == content
    assert restricted(gateway, "ledger", "verify").returncode == 0


def test_f16_a_database_that_may_not_be_written_stops_the_start(disk: Disk, buyer: Customer) -> None:
    """With one line that says why, and exit code 1."""
    assert buyer.gateway.stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk.folder)], check=True)
    done = buyer.gateway.command("up", "--port", "0")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
