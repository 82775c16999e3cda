"""The figures of several workers are those of all of them together, whichever is asked, and whatever became of one."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from faregate.telemetry.gathering import FRESH_S, PUBLISH_INTERVAL_S, Gathering, made_page
from faregate.telemetry.metrics import Family, exposition
from tests.money.crew import connected_to_each, crew_config, workers_of
from tests.running.client import CHAT, Caller, Connection, eventually
from tests.running.processes import Gateway, Simulator

WORKERS = 3
COUNTED = "faregate_requests_total"
OPEN = "faregate_connections"


def figures(counted: int, standing: int = 0) -> list[Family]:
    return [Family(COUNTED, "h", "counter", {COUNTED: counted}), Family(OPEN, "h", "gauge", {OPEN: standing})]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def made_pages(number: int = WORKERS) -> Iterator[list[int]]:
    pages = [made_page() for _ in range(number)]
    try:
        yield pages
    finally:
        for page in pages:
            os.close(page)


def value(gathering: Gathering, name: str) -> int | float | None:
    found = [family.samples for family in gathering.all() if family.name == name]
    return found[0].get(name) if found else None


def test_each_sees_the_sum_of_all() -> None:
    with made_pages() as pages:
        workers = [Gathering(pages, place) for place in range(WORKERS)]
        for place, worker in enumerate(workers):
            worker.publish(figures(10**place, place))
        assert [value(worker, COUNTED) for worker in workers] == [111] * WORKERS
        assert [value(worker, OPEN) for worker in workers] == [3] * WORKERS


def test_what_a_dead_worker_counted_stays_and_its_gauges_go() -> None:
    clock = Clock()
    with made_pages() as pages:
        living, dead = (Gathering(pages, place, monotonic=clock) for place in (0, 1))
        dead.publish(figures(5, 7))
        clock.now += FRESH_S + 1
        living.publish(figures(1, 2))
        assert (value(living, COUNTED), value(living, OPEN)) == (6, 2)
        [silent] = [family.samples for family in living.all() if family.name == "faregate_worker_silent_seconds"]
        assert list(silent.values()) == [0.0, FRESH_S + 1]
        successor = Gathering(pages, 1, monotonic=clock)
        successor.publish(figures(3, 1))
        assert (value(living, COUNTED), value(living, OPEN)) == (9, 3)


@pytest.mark.parametrize("seed", range(20))
def test_a_page_that_is_half_written_is_as_it_was(seed: int) -> None:
    """Cut anywhere, as by a death, and written over anywhere, as one sees it who reads meanwhile."""
    dice = random.Random(seed)
    with made_pages() as pages:
        reader = Gathering(pages, 0)
        for counted in range(1, 40):
            Gathering(pages, 1).publish([])  # what came before is kept by who comes next
            before = [os.pread(pages[1], 1 << 12, slot << 26) for slot in (0, 1)]
            known = value(reader, COUNTED) or 0
            writer = Gathering(pages, 1)
            writer.publish(figures(counted))
            after = [os.pread(pages[1], 1 << 12, slot << 26) for slot in (0, 1)]
            [slot] = [slot for slot in (0, 1) if before[slot] != after[slot]]
            cut = dice.randrange(len(after[slot]))
            os.pwrite(pages[1], after[slot][:cut] + before[slot][cut:], slot << 26)
            assert value(reader, COUNTED) in (known or None, known + counted)
            os.pwrite(pages[1], after[slot], slot << 26)
            assert value(reader, COUNTED) == known + counted


def test_no_sum_falls_whatever_happens() -> None:
    dice = random.Random(11)
    clock = Clock()
    with made_pages() as pages:
        counted = [0] * WORKERS
        workers = [Gathering(pages, place, monotonic=clock) for place in range(WORKERS)]
        last = 0
        for _ in range(2000):
            place = dice.randrange(WORKERS)
            counted[place] += dice.randrange(3)
            clock.now += dice.choice((0.1, 20.0))
            if dice.random() < 0.1:
                workers[place], counted[place] = Gathering(pages, place, monotonic=clock), 0
            elif dice.random() < 0.7:
                workers[place].publish(figures(counted[place]))
            asked = dice.randrange(WORKERS)
            workers[asked].publish(figures(counted[asked]))
            found = value(workers[asked], COUNTED) or 0
            assert found >= last
            last = int(found)


def test_figures_are_written_out_in_full() -> None:
    family = Family(OPEN, "What.", "gauge", {OPEN: 67108864, f'{OPEN}{{worker="1"}}': 0.25})
    lines = ["# HELP faregate_connections What.", "# TYPE faregate_connections gauge"]
    lines += ["faregate_connections 67108864", 'faregate_connections{worker="1"} 0.250000', ""]
    assert exposition([family]).decode() == "\n".join(lines)


# Real workers


@pytest.fixture
def crew(session_folder: Path, simulator: Simulator) -> Iterator[Gateway]:
    gateway = Gateway(session_folder, crew_config(simulator, WORKERS))
    yield gateway
    for pid in workers_of(gateway).values():
        os.kill(pid, signal.SIGCONT)
    assert gateway.stop() == 0


def scraped(connection: Connection, caller: Caller) -> dict[str, float]:
    connection.send(caller.bytes_of("GET", "/metrics"))
    lines = connection.answer().body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def chats(found: dict[str, float]) -> float:
    """Good chats, by the counter and by the histogram."""
    counted = sum(v for name, v in found.items() if name.startswith(f'{COUNTED}{{operation="chat"') and '"200"' in name)
    assert counted <= found.get('faregate_request_seconds_count{operation="chat"}', 0)
    return counted


def test_whichever_worker_is_asked_speaks_for_all(crew: Gateway) -> None:
    """Also while one of them is stopped, and after it was killed."""
    caller = Caller(crew, crew.key)
    with ExitStack() as stack:
        connections = connected_to_each(stack, caller)
        for number, connection in enumerate(connections.values(), 1):
            for _ in range(number):
                connection.send(caller.bytes_of("POST", CHAT, caller.body({"output_tokens": 1})))
                assert connection.answer().status == 200
        for connection in connections.values():
            eventually(lambda each=connection: chats(scraped(each, caller)) == 6)
            assert scraped(connection, caller)[OPEN] == WORKERS
            assert f'faregate_loop_lag_seconds{{worker="{WORKERS - 1}"}}' in scraped(connection, caller)
        place, stopped = next((place, pid) for place, pid in workers_of(crew).items() if place)
        connections.pop(stopped)
        asked = next(iter(connections.values()))
        os.kill(stopped, signal.SIGSTOP)
        silent = f'faregate_worker_silent_seconds{{worker="{place}"}}'
        eventually(lambda: scraped(asked, caller)[silent] > 2 * PUBLISH_INTERVAL_S)
        began = time.monotonic()
        assert chats(scraped(asked, caller)) == 6
        assert time.monotonic() - began < 1.0
        os.kill(stopped, signal.SIGKILL)

        def is_replaced() -> bool:
            found = scraped(asked, caller)
            assert chats(found) == 6
            return workers_of(crew)[place] != stopped and found[silent] < 2 * PUBLISH_INTERVAL_S

        eventually(is_replaced, 20.0)
