"""How often an address may do something."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from faregate.stores import counter_table
from faregate.stores.address_net import HELD_UP_S, AddressNet

SECOND_NS = 1_000_000_000
HOME = "203.0.113.7"


class Clock:
    now_ns = 5 * SECOND_NS

    def __call__(self) -> int:
        return self.now_ns


def net(folder: Path, clock: Clock, limit: int = 3, window_s: float = 60, cells: int = 1024) -> AddressNet:
    return AddressNet(folder, "test", limit, window_s, cells=cells, monotonic_ns=clock)


@pytest.mark.contract("6.2")
def test_an_address_may_use_a_window_at_once_and_then_waits_exactly_as_long_as_it_is_told(tmp_path: Path) -> None:
    clock = Clock()
    here = net(tmp_path, clock)
    assert [here.take(HOME) for _ in range(3)] == [None] * 3
    wait_s = here.take(HOME)
    assert wait_s == here.peek(HOME) == 20.0
    clock.now_ns += 20 * SECOND_NS - 1
    assert here.take(HOME) is not None
    clock.now_ns += 1
    assert here.peek(HOME) is None
    assert here.take(HOME) is None
    assert here.take(HOME) is not None
    here.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HOME, "203.0.113.8", False),
        (HOME, "::ffff:203.0.113.7", True),
        ("2001:db8::1", "2001:db8::ffff:0:0:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("::1", "127.0.0.1", False),
    ],
)
def test_what_counts_as_one_address(tmp_path: Path, one: str, other: str, same: bool) -> None:
    here = net(tmp_path, Clock(), limit=1)
    assert here.take(one) is None
    assert (here.peek(other) is not None) == same
    here.close()


@pytest.mark.skipif(not counter_table._OFD, reason="two files of one process do not keep each other out")
def test_a_net_that_is_held_up_lets_nobody_pass_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counter_table, "PATIENCE_S", 0.01)
    said: list[tuple[str, str]] = []
    here, other = (AddressNet(tmp_path, "test", 3, 60, report=lambda *words: said.append(words)) for _ in range(2))
    with other._file.section():
        assert [here.take(HOME), here.peek(HOME)] == [HELD_UP_S] * 2
    assert here.take(HOME) is None
    [(level, text), over] = said
    assert (level, over) == ("error", ("info", "held up no longer"))
    assert text.startswith("held up by ")
    here.close()
    other.close()


def test_what_is_no_address_passes(tmp_path: Path) -> None:
    here = net(tmp_path, Clock(), limit=1)
    assert [here.take(text) for text in ("", "", "unix", "nobody", "a\0b")] == [None] * 5
    here.close()


def test_workers_count_together_and_a_restart_forgets_nothing(tmp_path: Path) -> None:
    clock = Clock()
    workers = [net(tmp_path, clock, limit=8) for _ in range(4)]
    assert [worker.take(HOME) for worker in workers for _ in range(2)] == [None] * 8
    for worker in workers:
        assert worker.take(HOME) is not None
        worker.close()
    again = net(tmp_path, clock, limit=8)
    assert again.take(HOME) is not None
    again.close()


def test_a_flood_of_addresses_lets_nobody_go_who_has_much_and_refuses_nobody_new(tmp_path: Path) -> None:
    here = net(tmp_path, Clock(), limit=5, cells=64)
    for _ in range(5):
        assert here.take(HOME) is None
    for number in range(5_000):
        assert here.take(f"2001:db8:{number:x}::1") is None
    assert here.take(HOME) is not None
    here.close()


@settings(max_examples=50, deadline=None)
@given(
    limit=st.sampled_from([1, 7, 20, 5000]),
    steps_ns=st.lists(st.sampled_from([0, 1, SECOND_NS, 8_571_428_571, 59 * SECOND_NS]), max_size=80),
)
def test_in_no_time_is_more_taken_than_what_flows_in_and_one_window(
    tmp_path_factory: pytest.TempPathFactory, limit: int, steps_ns: list[int]
) -> None:
    clock = Clock()
    here = net(tmp_path_factory.mktemp("net"), clock, limit)
    taken: list[int] = []
    for step_ns in steps_ns:
        clock.now_ns += step_ns
        if here.take(HOME) is None:
            taken.append(clock.now_ns)
    for begin, first_ns in enumerate(taken):
        for count, at_ns in enumerate(taken[begin:], 1):
            assert (count - limit) * 60 * SECOND_NS <= (at_ns - first_ns) * limit
    here.close()
