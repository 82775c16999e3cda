"""A process that is stopped where limits are counted: the others wait for it a moment, and then refuse, at once."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from faregate.core.limits import Refused
from faregate.stores import counter_table
from faregate.stores.address_net import AddressNet
from faregate.stores.counter_table import PATIENCE_S, HeldUp
from faregate.stores.counters import MachineCounters
from tests.money.crew import crew_config, workers_of
from tests.running.client import DONE, Caller, eventually
from tests.running.processes import Gateway, Simulator, simulated

from .counting import bound_of, demand_of, nothing_used, take
from .test_counting_processes import end, heard, say, start

PLAN = 'default_plan = "counted"\n[plans.counted.key]\nconcurrency_max = 2\n'


@contextmanager
def stopped_inside(folder: Path) -> "Iterator[subprocess.Popen[str]]":
    """A process that is stopped where it counts."""
    process = start(folder, "stop", "concurrency", 0)
    try:
        assert heard(process) == "ready"
        say(process)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        yield process
    finally:
        end(process)


@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGKILL])
def test_nobody_waits_for_long_and_nothing_is_lost(tmp_path: Path, number: signal.Signals) -> None:
    """What ended meanwhile is given back once the other goes on, or is dead; no more is admitted than ever."""
    said: list[tuple[str, str]] = []

    async def run() -> None:
        is_over = asyncio.Event()

        def report(level: str, text: str) -> None:
            said.append((level, text))
            if level == "info":
                is_over.set()

        counters = MachineCounters(tmp_path, nothing_used, report)
        [first] = await take(counters, demand_of("concurrency", 2), 1)
        with stopped_inside(tmp_path) as other:
            for patience_s in (PATIENCE_S, 0.0):
                began = time.monotonic()
                with pytest.raises(HeldUp):
                    await counters.take(demand_of("concurrency", 2))
                assert time.monotonic() - began >= patience_s
            assert time.monotonic() - began < PATIENCE_S
            with pytest.raises(HeldUp):
                await counters.peek(demand_of("concurrency", 2))
            assert counters.standing([bound_of("requests", 2)]) is None
            first.settle(0)  # type: ignore[attr-defined]
            assert counters.is_held_up
            os.kill(other.pid, number)
            await asyncio.wait_for(is_over.wait(), 10)
            answers = await take(counters, demand_of("concurrency", 2), 3)
            assert [isinstance(answer, Refused) for answer in answers] == [False, False, True]
            counters.close()
            [(level, line), (_, over)] = said
            assert (level, over) == ("error", "held up no longer")
            assert line.startswith(f"held up by process {other.pid}, which is stopped: ")

    asyncio.run(run())


def test_a_process_that_is_held_up_can_end(tmp_path: Path) -> None:
    async def run() -> None:
        counters = MachineCounters(tmp_path, nothing_used)
        with stopped_inside(tmp_path):
            with pytest.raises(HeldUp):
                await counters.take(demand_of("concurrency", 2))
            counters.close()

    asyncio.run(run())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long."""
    monkeypatch.setattr(counter_table, "PATIENCE_S", 0.01)


async def is_refused_while(other: MachineCounters, counters: MachineCounters, settling: object = None) -> None:
    """`counters` is held up by `other`, and cannot settle a call that ends."""
    with other._file.section():
        with pytest.raises(HeldUp):
            await counters.take(demand_of("concurrency", 2))
        if settling is not None:
            settling.settle(9)  # type: ignore[attr-defined]


@pytest.mark.skipif(not counter_table._OFD, reason="two files of one process do not keep each other out")
def test_one_timer_looks_whether_it_is_over_however_often_that_came_and_none_after_the_end(
    tmp_path: Path, impatient: None
) -> None:
    """One that outlived its file would take locks on whatever has its descriptor then."""
    timers: list[asyncio.TimerHandle] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def kept(*arguments: Any) -> asyncio.TimerHandle:
            timers.append(call_later(*arguments))
            return timers[-1]

        counters, other = (MachineCounters(tmp_path, nothing_used) for _ in range(2))
        loop.call_later = kept  # type: ignore[method-assign]
        for _ in range(3):
            await is_refused_while(other, counters)
            [taken] = await take(counters, demand_of("concurrency", 2), 1)
            taken.settle(0)  # type: ignore[attr-defined]
        await is_refused_while(other, counters)
        assert sum(not timer.cancelled() for timer in timers) == 1
        counters.close()
        assert all(timer.cancelled() for timer in timers)
        other.close()

    asyncio.run(run())


@pytest.mark.skipif(not counter_table._OFD, reason="two files of one process do not keep each other out")
def test_who_holds_it_up_is_found_without_going_through_descriptors(
    tmp_path: Path, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are thousands of them, with as many connections."""
    said: list[str] = []

    def listed(folder: Path) -> Iterator[Path]:
        raise AssertionError(f"{folder} is gone through")

    async def run() -> None:
        counters = MachineCounters(tmp_path, nothing_used, lambda _, text: said.append(text))
        other = MachineCounters(tmp_path, nothing_used)
        monkeypatch.setattr(Path, "iterdir", listed)
        await is_refused_while(other, counters)
        assert said[0].startswith(f"held up by process {os.getpid()}: ")
        counters.close()
        other.close()

    asyncio.run(run())


@pytest.mark.skipif(not counter_table._OFD, reason="two files of one process do not keep each other out")
def test_what_ended_meanwhile_is_settled_as_soon_as_that_is_over(tmp_path: Path, impatient: None) -> None:
    async def run() -> None:
        counters, other = (MachineCounters(tmp_path, nothing_used) for _ in range(2))
        first, _ = await take(counters, demand_of("concurrency", 2), 2)
        await is_refused_while(other, counters, first)
        answers = await take(counters, demand_of("concurrency", 2), 1)
        assert isinstance(answers[0], Refused)  # it is not, in the midst of what heard of it
        for _ in range(2):  # turns of the loop
            await asyncio.sleep(0)
        answers = await take(counters, demand_of("concurrency", 2), 2)
        assert [isinstance(answer, Refused) for answer in answers] == [False, True]
        counters.close()
        other.close()

    asyncio.run(run())


@pytest.mark.skipif(not counter_table._OFD, reason="two files of one process do not keep each other out")
def test_a_process_that_ends_settles_first_what_it_could_not_before(tmp_path: Path, impatient: None) -> None:
    async def run() -> None:
        counters, other = (MachineCounters(tmp_path, nothing_used) for _ in range(2))
        [first] = await take(counters, demand_of("daily_tokens", 10), 1)
        await is_refused_while(other, counters, first)
        counters.close()
        answers = await take(other, demand_of("daily_tokens", 10), 2)
        assert [isinstance(answer, Refused) for answer in answers] == [False, True]
        other.close()

    asyncio.run(run())


def test_workers_refuse_what_is_counted_say_by_whom_they_are_held_up_and_come_back(
    session_folder: Path, simulator: Simulator
) -> None:
    """A stream that runs goes on, and its place is free again afterwards."""
    gateway = Gateway(session_folder, PLAN + crew_config(simulator, 2))
    try:
        caller = Caller(gateway, gateway.key)
        plan = {"output_tokens": 60, "tokens_per_s": 60}
        with caller.stream(plan) as stream, stopped_inside(gateway.data / "counters") as other:
            for _ in range(10):  # whichever worker they come to
                refused = caller.chat()
                assert (refused.status, refused.error["code"]) == (503, "overloaded")
                assert refused.header("retry-after") == "1"
                assert caller.get("/healthz").status == 200
            assert stream.rest().body.endswith(DONE)
            eventually(lambda: caller.get("/readyz").status == 503)
            os.kill(other.pid, signal.SIGCONT)
            assert heard(other) == "left"
            for _ in workers_of(gateway):
                eventually(lambda: caller.get("/readyz").status == 200)
            eventually(lambda: held_up_lines(gateway)[-1] == "held up no longer")
            for _ in range(4):
                eventually(lambda: caller.chat().status == 200)
        told = [line for line in held_up_lines(gateway) if f"process {other.pid}, which is stopped" in line]
        assert 1 <= len(told) <= len(workers_of(gateway))
    finally:
        assert gateway.stop() == 0


@pytest.mark.skipif(not counter_table._OFD, reason="needs locks of open files")
def test_a_net_that_is_held_up_is_in_the_log(session_folder: Path, simulator: Simulator) -> None:
    gateway = Gateway(session_folder, simulated(simulator), {"FAREGATE_LIMITS_ADDRESS_NET": "true"})
    try:
        [name] = [path.name for path in (gateway.data / "counters").glob("addresses-*-keys-*")]
        other = AddressNet(gateway.data / "counters", name.removeprefix("addresses-").rpartition("-")[0], 1, 1)
        with other._file.section():
            assert Caller(gateway, "none").chat().status == 429
        assert Caller(gateway, "none").chat().status == 401
        other.close()
        eventually(lambda: held_up_lines(gateway)[-1] == "held up no longer")
        assert held_up_lines(gateway)[0].startswith(f"held up by process {os.getpid()}: ")
    finally:
        assert gateway.stop() == 0


def held_up_lines(gateway: Gateway) -> list[str]:
    return [line["message"] for line in gateway.log_lines() if line["event"] == "limits"]
