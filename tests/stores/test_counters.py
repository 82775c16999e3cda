"""The counters of limits, case by case."""

import asyncio
import os
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.core.limits import BoundKind, Demand, Refused
from faregate.stores.counters import MachineTaken
from faregate.stores.database import StoreUnavailable

from .machine import DAY, KINDS, MINUTE_NS, SECOND_NS, Machine, admitted, bound, kill, refused, take, wait_ns


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.contract("6.1")
def test_a_high_limit_is_never_passed_and_gives_back_a_tenth_of_a_second_late_at_most(machine: Machine) -> None:
    counters = machine.process()
    high = bound("requests", 700)
    moments: list[int] = []
    for _ in range(2_500):
        machine.now_ns += 21_000_001
        answer = take(counters, high)
        if isinstance(answer, MachineTaken):
            moments.append(machine.now_ns)
            continue
        over = len(moments) - high.limit
        due = moments[over] + MINUTE_NS - machine.now_ns
        assert due <= wait_ns(answer) <= due + SECOND_NS // 10
        machine.now_ns += wait_ns(answer) - 1
        assert isinstance(take(counters, high), Refused)
        machine.now_ns += 1
        admitted(counters, high)
        moments.append(machine.now_ns)
        while isinstance(take(counters, high), MachineTaken):
            moments.append(machine.now_ns)
    assert all(late - early >= MINUTE_NS for early, late in zip(moments, moments[700:], strict=False))
    counters.close()


def test_a_limit_that_was_low_and_is_raised_keeps_all_that_was_admitted(machine: Machine) -> None:
    """More entries than a ring has room for: the last then stands for several."""
    counters = machine.process()
    for _ in range(600):
        machine.now_ns += SECOND_NS // 100
        admitted(counters, bound("requests", 600))
    for _ in range(300):
        machine.now_ns += SECOND_NS // 10
        admitted(counters, bound("requests", 900))
    first = refused(counters, bound("requests", 900))
    assert wait_ns(first) == MINUTE_NS - 36 * SECOND_NS + SECOND_NS // 100
    machine.now_ns += wait_ns(first)
    for _ in range(2):
        assert refused(counters, bound("requests", 600)).bound.limit == 600
        machine.now_ns += SECOND_NS
    counters.close()


@settings(max_examples=50, deadline=None)
@given(
    limit=st.sampled_from([1, 7, 1000, 10**9]),
    demands=st.lists(st.tuples(st.integers(0, 20 * SECOND_NS), st.floats(0, 1.5)), max_size=60),
)
def test_tokens_admitted_never_pass_what_a_bucket_of_a_minute_allows(
    tmp_path_factory: pytest.TempPathFactory, limit: int, demands: list[tuple[int, float]]
) -> None:
    """Between any two moments: what flows in, and one bucket; a demand for more than a bucket counts as a bucket."""
    machine = Machine(tmp_path_factory.mktemp("tokens"))
    counters = machine.process()
    seen: list[tuple[int, int]] = []
    for step_ns, share in demands:
        machine.now_ns += step_ns
        tokens = int(limit * share)
        if isinstance(take(counters, bound("tokens", limit), expected=tokens), MachineTaken):
            seen.append((machine.now_ns, min(tokens, limit)))
    for begin, (first_ns, _) in enumerate(seen):
        sums = 0
        for at_ns, tokens in seen[begin:]:
            sums += tokens
            assert sums <= limit + Fraction((at_ns - first_ns) * limit, MINUTE_NS)
    counters.close()


def test_a_demand_for_more_tokens_than_the_limit_waits_for_all_of_it_and_owes_all_of_it(machine: Machine) -> None:
    counters = machine.process()
    limit = bound("tokens", 60)
    admitted(counters, limit, expected=1)
    answer = refused(counters, limit, expected=120)
    assert wait_ns(answer) == SECOND_NS
    machine.now_ns += SECOND_NS
    admitted(counters, limit, expected=120)
    assert wait_ns(refused(counters, limit, expected=1)) == MINUTE_NS + SECOND_NS
    counters.close()


def test_tokens_come_back_exactly_when_it_was_said(machine: Machine) -> None:
    counters = machine.process()
    limit = bound("tokens", 7)
    admitted(counters, limit, expected=5)
    machine.now_ns += 12345
    for tokens in (3, 7, 1, 6):
        machine.now_ns += wait_ns(refused(counters, limit, expected=tokens)) - 1
        assert wait_ns(refused(counters, limit, expected=tokens)) == 1
        machine.now_ns += 1
        admitted(counters, limit, expected=tokens)
        admitted(counters, limit, expected=0)
    counters.close()


def test_tokens_that_were_not_used_come_back_unless_others_have_had_them(machine: Machine) -> None:
    counters = machine.process()
    limit = bound("tokens", 60)
    first = admitted(counters, limit, expected=60)
    machine.now_ns += MINUTE_NS
    second = admitted(counters, limit, expected=60)
    first.settle(0)
    assert wait_ns(refused(counters, limit, expected=1)) == SECOND_NS
    second.settle(20)
    admitted(counters, limit, expected=40)
    assert wait_ns(refused(counters, limit, expected=1)) == SECOND_NS
    counters.close()


def test_what_is_refused_takes_nothing_of_any_bound(machine: Machine) -> None:
    counters = machine.process()
    full = {kind: bound(kind, 1, "full") for kind in KINDS}
    free = [bound(kind, 1, "free") for kind in KINDS]
    admitted(counters, *full.values(), expected=1, most=1)
    for kind in KINDS:
        assert refused(counters, *free, full[kind], expected=1, most=1).bound == full[kind]
    admitted(counters, *free, expected=1, most=1)
    counters.close()


def test_the_bound_that_holds_the_longest_is_named(machine: Machine) -> None:
    counters = machine.process()
    short, long = bound("requests", 1, "short"), bound("requests", 1, "long")
    admitted(counters, short)
    machine.now_ns += 30 * SECOND_NS
    admitted(counters, long)
    answer = refused(counters, short, long)
    assert (answer.bound, wait_ns(answer)) == (long, MINUTE_NS)
    counters.close()


def test_a_bound_that_is_named_twice_counts_once_and_the_lower_limit_holds(machine: Machine) -> None:
    counters = machine.process()
    for _ in range(2):
        admitted(counters, bound("requests", 5), bound("requests", 2))
    assert refused(counters, bound("requests", 5), bound("requests", 2)).bound.limit == 2
    counters.close()


def test_how_long_to_wait_for_a_place_is_what_calls_take_of_late(machine: Machine) -> None:
    counters = machine.process()
    one = bound("concurrency", 1)
    for seconds, expected in ((0.1, 1.0), (4.0, 4.0), (900.0, 10.0), (2.0, 2.0)):
        for _ in range(300):
            taken = admitted(counters, one)
            machine.now_ns += int(seconds * SECOND_NS)
            taken.settle(0)
        taken = admitted(counters, one)
        assert refused(counters, one).retry_after_s == pytest.approx(expected, rel=0.1)
        taken.settle(0)
    counters.close()


def test_an_end_says_nothing_whatever_it_says_was_used(machine: Machine) -> None:
    counters = machine.process()
    for name, tokens in (("a", 10**30), ("b", -5)):
        taken = admitted(
            counters, bound("tokens", 1, name), bound("daily_tokens", 10**12, name), bound("concurrency", 1)
        )
        taken.settle(tokens)
    counters.close()
    taken.settle(1)


# Days


def test_a_day_begins_with_what_its_records_say(machine: Machine) -> None:
    machine.records["organisation", "a", DAY] = 70
    machine.records["organisation", "a", DAY + 1] = 0
    counters = machine.process()
    limit = bound("daily_tokens", 100, subject="organisation")
    assert refused(counters, limit, most=31).retry_after_s == 86_400 - 7 * 60
    taken = admitted(counters, limit, most=30)
    refused(counters, limit, most=1)
    taken.settle(10)
    admitted(counters, limit, most=20)
    refused(counters, limit, most=1)
    admitted(counters, limit, most=100, day=DAY + 1)
    assert machine.reads == 2
    counters.close()


def test_after_a_death_the_records_are_read_again_and_what_was_counted_here_stays(machine: Machine) -> None:
    living, dying = machine.process(), machine.process()
    limit = bound("daily_tokens", 100)
    admitted(living, limit, most=50).settle(20)
    admitted(dying, limit, most=80)
    kill(dying)
    machine.records["key", "a", DAY] = 45  # the dead one's call was charged
    refused(living, limit, most=56)
    admitted(living, limit, most=55).settle(0)
    machine.records["key", "a", DAY] = 30
    third = machine.process()
    refused(living, limit, most=56)
    for each in (living, third):
        each.close()


def test_calls_that_come_at_once_read_the_records_once(machine: Machine) -> None:
    counters = machine.process()
    demand = Demand((bound("daily_tokens", 300),), 0, 1, DAY)

    async def all_at_once() -> list[MachineTaken | Refused]:
        gate = asyncio.Event()

        async def read_day(*_: object) -> int:
            machine.reads += 1
            await gate.wait()
            return 100

        counters._read_day = read_day
        takes = [asyncio.create_task(counters.take(demand)) for _ in range(1000)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*takes)

    answers = asyncio.run(all_at_once())
    assert sum(isinstance(answer, MachineTaken) for answer in answers) == 200
    assert machine.reads == 1
    counters.close()


def test_records_that_cannot_be_read_are_an_error_and_are_read_again(machine: Machine) -> None:
    counters = machine.process()
    limit = bound("daily_tokens", 10)

    async def fails(*_: object) -> int:
        raise StoreUnavailable("no disk")

    counters._read_day, works = fails, counters._read_day
    with pytest.raises(StoreUnavailable):
        take(counters, limit, most=1)
    counters._read_day = works
    admitted(counters, limit, most=1)
    counters.close()


# The table


def test_a_new_bound_takes_the_place_of_one_that_is_over_and_of_no_other(machine: Machine) -> None:
    counters = machine.process(small_cells=4, ring_cells=2)
    day, one = bound("daily_tokens", 10), bound("concurrency", 1)
    kept = admitted(counters, one, day, bound("tokens", 60), expected=1, most=5)
    admitted(counters, bound("requests", 1, "a"), bound("requests", 1, "b"))
    answer = refused(counters, bound("requests", 1, "c"))
    assert (answer.bound.subject_id, answer.retry_after_s) == ("c", 1.0)
    admitted(counters, bound("concurrency", 1, "b"))
    refused(counters, bound("concurrency", 1, "c"))
    assert len(machine.said) == 1
    machine.now_ns += MINUTE_NS
    admitted(counters, bound("requests", 1, "c"))
    admitted(counters, bound("concurrency", 1, "c"))  # that of the tokens, which are not owed any more
    kept.settle(7)
    refused(counters, day, most=4)
    admitted(counters, day, one, most=3)
    counters.close()


def test_what_was_remembered_of_a_cell_is_forgotten_when_it_has_gone_to_another(machine: Machine) -> None:
    counters, other = machine.process(ring_cells=1), machine.process(ring_cells=1)
    first, second = (Demand((bound("requests", 2, name),), 0, 0, DAY) for name in "ab")
    assert isinstance(asyncio.run(counters.take(first)), MachineTaken)
    machine.now_ns += MINUTE_NS
    assert isinstance(asyncio.run(other.take(second)), MachineTaken)
    assert isinstance(asyncio.run(counters.take(first)), Refused)
    assert isinstance(asyncio.run(other.take(second)), MachineTaken)
    assert isinstance(asyncio.run(other.take(second)), Refused)
    for each in (counters, other):
        each.close()


def test_the_bounds_of_one_call_do_not_take_each_others_cells(machine: Machine) -> None:
    counters = machine.process(ring_cells=1)
    assert refused(counters, bound("requests", 2, "a"), bound("requests", 2, "b")).retry_after_s == 1.0
    counters.close()


def test_what_the_disk_has_no_room_for_is_refused_for_a_second(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters = machine.process()
    admitted(counters, bound("requests", 2))

    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert refused(counters, bound("requests", 2), bound("tokens", 1)).retry_after_s == 1.0
    monkeypatch.undo()
    admitted(counters, bound("requests", 2))
    counters.close()


def test_the_file_takes_no_more_of_the_disk_than_what_is_used(machine: Machine) -> None:
    counters = machine.process(small_cells=65_536, ring_cells=32_768)
    admitted(counters, bound("requests", 2), bound("tokens", 5))
    file = next(machine.folder.iterdir()).stat()
    assert file.st_size > 300_000_000
    assert file.st_blocks * 512 < 100_000
    counters.close()


@pytest.mark.parametrize("spoilt", ["boot", "short", "noise"])
def test_a_file_of_another_boot_or_of_nobody_starts_afresh(machine: Machine, spoilt: str) -> None:
    counters = machine.process()
    admitted(counters, bound("requests", 1))
    counters.close()
    path = next(machine.folder.iterdir())
    data = bytearray(path.read_bytes())
    if spoilt == "boot":
        data[8:24] = bytes(16)
    path.write_bytes(data if spoilt == "boot" else data[:100] if spoilt == "short" else b"x" * len(data))
    counters = machine.process()
    admitted(counters, bound("requests", 1))
    counters.close()


def test_a_file_that_others_lay_out_otherwise_is_left_to_them(machine: Machine) -> None:
    counters = machine.process()
    admitted(counters, bound("requests", 1))
    with pytest.raises(OSError, match="otherwise"):
        machine.process(small_cells=128)
    refused(counters, bound("requests", 1))
    counters.close()
    machine.process(small_cells=128).close()


def test_one_that_is_alone_takes_no_locks_until_another_comes_and_none_when_it_has_gone(machine: Machine) -> None:
    first = machine.process(alone=True)
    one = bound("concurrency", 2)
    admitted(first, one)
    assert not first._file.shared
    second = machine.process(alone=True)
    assert second._file.shared
    held = admitted(second, one)
    refused(first, one)
    assert first._file.shared
    held.settle(0)
    second.close()
    admitted(first, one)
    assert not first._file.shared
    first.close()


def test_what_is_taken_in_the_middle_of_a_death_is_found_again(machine: Machine) -> None:
    """A sum that a process raised before it died over its own column is taken again once it is in the way."""
    counters = machine.process()
    limit = bound("concurrency", 2)
    admitted(counters, limit)
    places = next(iter(counters._cells.remembered.values()))
    counters._view[places.concurrency[0][0]] += 1
    admitted(counters, limit)
    refused(counters, limit)
    counters.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_limit_of_nothing_lets_nothing_through(machine: Machine, kind: BoundKind) -> None:
    """What is left of a throughput that is all shared out."""
    counters = machine.process()
    answer = take(counters, bound("requests", 5, "b"), bound(kind, 0), expected=1, most=1)
    assert isinstance(answer, Refused) and answer.bound.limit == 0 and answer.retry_after_s >= 1
    standing = admitted(counters, bound("requests", 1, "b")).standing  # the other limit was not used
    assert standing is not None and standing.remaining == 0
    counters.close()
