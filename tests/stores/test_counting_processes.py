"""Real processes that count on the same limits, and are killed at it."""

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from faregate.core.limits import Refused

from .counting import SEVERAL, counters_in, demand_of, take

ROOT = Path(__file__).parents[2]


def start(folder: Path, work: str, kind: str, limit: int, times: int = 0) -> "subprocess.Popen[str]":
    """A process, to be waited for with `say`."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stores.counting", str(folder), work, kind, str(limit), str(times)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def heard(process: "subprocess.Popen[str]") -> object:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def told(process: "subprocess.Popen[str]", what: str) -> object:
    say(process, what)
    return heard(process)


def say(process: "subprocess.Popen[str]", what: str = "") -> None:
    assert process.stdin is not None
    process.stdin.write(what + "\n")
    process.stdin.flush()


@contextmanager
def several(folder: Path, number: int, *work: object) -> Iterator[list["subprocess.Popen[str]"]]:
    """So many processes, ready, and told to begin."""
    processes = [start(folder, *work) for _ in range(number)]  # type: ignore[arg-type]
    try:
        assert [heard(process) for process in processes] == ["ready"] * number
        for process in processes:
            say(process)
        yield processes
    finally:
        for process in processes:
            end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """Its own processes go with its input; a test's end closes what it has open."""
    assert process.stdin is not None
    process.stdin.close()
    if process.args[4] != "churn":  # type: ignore[index]
        process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def taken_now(folder: Path, kind: str, limit: int, number: int = 0) -> int:
    """How many a process that comes now can take, and still hold."""
    counters = counters_in(folder)
    answers = asyncio.run(take(counters, demand_of(kind, limit, number), limit + 1))
    counters.close()
    return sum(not isinstance(answer, Refused) for answer in answers)


@pytest.mark.contract("6.1")
@pytest.mark.parametrize("kind", ["requests", "concurrency", "daily_tokens"])
def test_four_processes_are_admitted_exactly_as_often_as_one_would_be(tmp_path: Path, kind: str) -> None:
    with several(tmp_path, 4, "take", kind, 100, 250) as processes:
        assert sum(int(str(heard(process))) for process in processes) == 100
        assert taken_now(tmp_path, kind, 100) == 0


def test_a_killed_process_frees_its_places_at_once(tmp_path: Path) -> None:
    with several(tmp_path, 2, "take", "concurrency", 100, 40) as (first, second):
        assert [heard(first), heard(second)] == [40, 40]
        assert taken_now(tmp_path, "concurrency", 100) == 20
        first.kill()
        first.wait()
        assert taken_now(tmp_path, "concurrency", 100) == 60


def test_a_killed_process_frees_what_it_reserved_of_a_day(tmp_path: Path) -> None:
    with several(tmp_path, 2, "take", "daily_tokens", 100, 40) as (first, second):
        assert [heard(first), heard(second)] == [40, 40]
        first.kill()
        first.wait()
        assert taken_now(tmp_path, "daily_tokens", 100) == 60


def test_windows_outlive_all_processes(tmp_path: Path) -> None:
    with several(tmp_path, 1, "take", "requests", 100, 70) as (process,):
        assert heard(process) == 70
    assert taken_now(tmp_path, "requests", 100) == 30


@pytest.mark.parametrize(("kind", "limit"), [("requests", 600), ("requests", 2_500), ("concurrency", 2)])
def test_kills_at_any_moment_never_admit_more(tmp_path: Path, kind: str, limit: int) -> None:
    kills = 40
    chance = random.Random(5)
    director = start(tmp_path, "churn", kind, limit)
    try:
        assert heard(director) == "ready"
        for _ in range(3):
            assert told(director, "start") == "done"
        for _ in range(kills):
            time.sleep(chance.uniform(0.001, 0.01))  # anywhere in its work
            assert told(director, "kill") == told(director, "start") == "done"
        for _ in range(3):
            assert told(director, "kill") == "done"
    finally:
        end(director)
    log = (tmp_path / "log").read_bytes()
    if kind == "concurrency":
        assert log == b""
        assert taken_now(tmp_path, kind, limit) == limit
        return
    assert len(log) > limit
    for number in range(SEVERAL):
        admitted = log.count(number) + taken_now(tmp_path, kind, limit, number)
        assert limit - kills - 3 <= admitted <= limit
