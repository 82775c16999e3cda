"""Recalls between processes: what one lacks and another does not use comes back; a datagram does no harm."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from faregate.core.call import UsageRecord
from faregate.core.errors import NoFunds
from faregate.core.ids import RequestIds, id_bytes
from faregate.ledger.accounts import Move, ensure_account, find_account, post
from faregate.ledger.holds import Hold
from faregate.ledger.ledger import Ledger
from faregate.ledger.notices import RECALL_PATIENCE_S, Notices, recall_once
from faregate.ledger.verify import verify
from faregate.stores.database import Transaction
from faregate.stores.sqlite import SqliteDatabase
from faregate.wire.strand import in_strand

NODES = ("a" * 16, "b" * 16, "c" * 16)
DOLLAR = 1_000_000_000
REFUSAL_MAX_S = 0.25
UNREADABLE = {
    "nothing": b"",
    "no message": b"\xc1\xff\x00",
    "text": b"please",
    "another kind": msgspec.msgpack.encode(["retire", 1, "", [1]]),
    "no groups": msgspec.msgpack.encode(["recall", 1, ""]),
    "groups that are none": msgspec.msgpack.encode(["recall", 1, "", ["x"]]),
    "too many groups": msgspec.msgpack.encode(["recall", 1, "", list(range(200))]),
    "cut": msgspec.msgpack.encode(["recall", 1, "", [1, 2, 3]])[:-1],
    "longer than any": b"\xdd" + b"\xff" * 9000,
    "an answer to nothing": msgspec.msgpack.encode(["returned", 2**63, "x"]),
    "a map": msgspec.msgpack.encode({"type": "recall"}),
}


class Room:
    """Processes, as far as their sockets go, in one folder. Whoever is asked answers at once, unless he is `silent`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[str, tuple[int, ...]]] = []
        self.silent: set[str] = set()
        self.bereft = 0
        self.over = asyncio.Event()

    def join(self, node: str) -> Notices:
        def recalled(groups: Collection[int], answer: Callable[[], None]) -> None:
            self.asked.append((node, tuple(groups)))
            if node not in self.silent:
                answer()

        notices = Notices(self.folder, node, recalled, self._bereft)
        notices.open()
        return notices

    def _bereft(self, done: Callable[[], None]) -> None:
        self.bereft += 1
        asyncio.get_running_loop().call_soon(done)

    async def recall(self, asking: Notices) -> float:
        """How long that takes."""
        self.over.clear()
        began = time.monotonic()
        assert asking.recall((7, 8), self.over.set)
        await asyncio.wait_for(self.over.wait(), 5)
        return time.monotonic() - began


def in_room(folder: Path, work: Callable[[Room], Awaitable[None]]) -> None:
    async def run() -> None:
        await work(Room(folder))

    asyncio.run(run())


@contextlib.contextmanager
def joined(room: Room, *nodes: str) -> Iterator[list[Notices]]:
    with ExitStack() as stack:
        opened = []
        for node in nodes:
            notices = room.join(node)
            stack.callback(notices.close)
            opened.append(notices)
        yield opened


def test_all_others_are_asked_and_who_asked_goes_on_when_all_have_answered(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        with joined(room, *NODES) as [first, *_]:
            await room.recall(first)
            assert sorted(room.asked) == [(NODES[1], (7, 8)), (NODES[2], (7, 8))]

    in_room(tmp_path, work)
    assert not list(tmp_path.iterdir())


def test_who_does_not_answer_is_not_waited_for_any_longer_than_is_bearable(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        with joined(room, *NODES) as [first, *_]:
            room.silent.add(NODES[2])
            assert RECALL_PATIENCE_S * 0.9 < await room.recall(first) < RECALL_PATIENCE_S + 1

    in_room(tmp_path, work)
    assert 2 * RECALL_PATIENCE_S < REFUSAL_MAX_S


def test_nobody_is_waited_for_where_there_is_nobody(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        with joined(room, NODES[0]) as [alone]:
            assert not alone.recall((1,), room.over.set)
            assert recall_once(tmp_path, (1,))
        assert not recall_once(tmp_path, (1,))
        assert not recall_once(tmp_path / "none", (1,))

    in_room(tmp_path, work)


def test_the_dead_are_reaped_before_who_asked_goes_on(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(tmp_path / f"notices-{NODES[2]}"))

    async def work(room: Room) -> None:
        with joined(room, *NODES[:2]) as [first, second]:
            assert await room.recall(first) < RECALL_PATIENCE_S
            assert room.bereft == 1
            assert room.asked == [(NODES[1], (7, 8))]
            second.close()
            assert await room.recall(first) < RECALL_PATIENCE_S
        assert not recall_once(tmp_path, (1,))

    in_room(tmp_path, work)


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cannot_be_read_is_ignored(what: str, tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        with joined(room, *NODES[:2]) as [first, second]:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(UNREADABLE[what], str(tmp_path / f"notices-{NODES[0]}"))
            await room.recall(second)  # behind it in the same queue
            await room.recall(first)
            assert [node for node, _ in room.asked] == [NODES[0], NODES[1]]

    in_room(tmp_path, work)


@pytest.mark.parametrize("sender", ["", "../stranger", "/etc/passwd", "notices-x", "notices-" + "d" * 16, "x" * 1000])
def test_an_answer_goes_to_a_socket_in_the_folder_or_to_nobody(sender: str, tmp_path: Path) -> None:
    run_folder = tmp_path / "run"
    run_folder.mkdir()

    async def work(room: Room) -> None:
        with joined(room, *NODES[:2]) as [_, second], socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            stranger.bind(str(tmp_path / "stranger"))
            stranger.setblocking(False)
            forged = msgspec.msgpack.encode(["recall", 1, sender, [7]])
            stranger.sendto(forged, str(run_folder / f"notices-{NODES[0]}"))
            await room.recall(second)
            assert room.asked[0] == (NODES[0], (7,))
            with pytest.raises(BlockingIOError):
                stranger.recv(100)

    in_room(run_folder, work)


def test_a_folder_may_lie_deep(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()

    async def work(room: Room) -> None:
        with joined(room, *NODES) as [first, *_]:
            await room.recall(first)
            assert len(room.asked) == 2

    in_room(deep, work)


def test_more_than_a_queue_holds_is_no_failure(tmp_path: Path) -> None:
    async def work(room: Room) -> None:
        with joined(room, *NODES[:2]) as [first, _]:
            ends = [asyncio.Event() for _ in range(500)]
            for end in ends:
                assert first.recall((7,), end.set)
            await asyncio.wait_for(asyncio.gather(*(end.wait() for end in ends)), 10)

    in_room(tmp_path, work)


# Whole ledgers


class Processes:
    """Ledgers over one file, each as a process has it, and one account."""

    def __init__(self, folder: Path, credit: int) -> None:
        self.file = folder / "faregate.db"
        self.run_folder = folder / "run"
        self.said: list[str] = []
        self.killed: list[Ledger] = []
        self.account = 0
        self._credit = credit
        self._new_id = RequestIds()
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> "Processes":
        database = await self._database()

        def work(writing: Transaction) -> int:
            source = ensure_account(writing, "clearing:psp", "clearing", at=0)
            account = ensure_account(writing, "cust:a", "cust", at=0)
            post(writing, source, account, self._credit, Move(id=b"credit", kind="topup", created_at=0))
            return account.id

        self.account = await database.run(work)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()
        database = SqliteDatabase(self.file)
        assert (await database.read(verify)).findings == []
        await database.close()

    async def _database(self) -> SqliteDatabase:
        database = SqliteDatabase(self.file)
        self._stack.push_async_callback(database.close)
        return database

    async def start(self) -> Ledger:
        ledger = Ledger(await self._database(), self.run_folder, lambda level, event: self.said.append(event))
        await ledger.open()

        async def close() -> None:
            if ledger not in self.killed:
                await ledger.close()

        self._stack.push_async_callback(close)
        return ledger

    def kill(self, ledger: Ledger) -> None:
        """What is left of a process that was killed: its rows, its files, a socket that nobody hears."""
        self.killed.append(ledger)
        ledger._is_over = True
        ledger._timer.cancel()
        ledger._epoch.close()
        assert ledger._notices._socket is not None
        asyncio.get_running_loop().remove_reader(ledger._notices._socket.fileno())
        ledger._notices._socket.close()
        ledger._notices._socket = None

    async def hold(self, ledger: Ledger, amount: int) -> Hold:
        hold = Hold(id_bytes(self._new_id(time.time())), self.account, (), amount)
        await in_strand(ledger.wait_for(hold))
        return hold

    async def spread(self, ledgers: list[Ledger]) -> None:
        """Slices in each, of which nothing is held: the first lease is for one request, the second for more."""
        for ledger in ledgers:
            for _ in range(2):
                holds = [await self.hold(ledger, DOLLAR // 4) for _ in range(3)]
                for hold in holds:
                    ledger.settle(hold, 0, UsageRecord(id=hold.reservation.hex(), received_at=time.time()))

    async def available(self, ledger: Ledger) -> int:
        account = await ledger._database.read(lambda reading: find_account(reading, "cust:a"))
        assert account is not None
        return account.available_nano


async def refused(processes: Processes, ledger: Ledger, amount: int) -> float:
    """How long that takes."""
    began = time.monotonic()
    with pytest.raises(NoFunds):
        await processes.hold(ledger, amount)
    return time.monotonic() - began


def test_f36_f38_a_balance_in_the_slices_of_others_is_not_a_refusal(tmp_path: Path) -> None:
    async def run() -> None:
        async with Processes(tmp_path, 20 * DOLLAR) as processes:
            ledgers = [await processes.start() for _ in range(4)]
            await processes.spread(ledgers)
            assert await processes.available(ledgers[0]) < 18 * DOLLAR
            assert await refused(processes, ledgers[1], 20 * DOLLAR + 1) < 1
            await processes.spread(ledgers)
            whole = await processes.hold(ledgers[3], 20 * DOLLAR)
            assert whole.legs
            assert await refused(processes, ledgers[0], 1) < 1
            ledgers[3].settle(whole, 0, UsageRecord(id=whole.reservation.hex(), received_at=time.time()))
            assert (await processes.hold(ledgers[0], 20 * DOLLAR)).legs

    asyncio.run(run())


def test_two_that_ask_for_the_whole_at_once_are_served_one_after_the_other_or_one_is_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with Processes(tmp_path, 20 * DOLLAR) as processes:
            ledgers = [await processes.start() for _ in range(4)]
            await processes.spread(ledgers)
            asked = [processes.hold(ledger, 20 * DOLLAR) for ledger in ledgers]
            found = await asyncio.gather(*asked, return_exceptions=True)
            assert sum(isinstance(each, Hold) for each in found) == 1
            assert sum(isinstance(each, NoFunds) for each in found) == 3

    asyncio.run(run())


def test_a_process_that_hears_nothing_costs_a_moment_and_no_more(tmp_path: Path) -> None:
    async def run() -> None:
        async with Processes(tmp_path, 20 * DOLLAR) as processes:
            ledger, other = [await processes.start() for _ in range(2)]
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
                deaf.bind(str(processes.run_folder / f"notices-{NODES[0]}"))
                await processes.spread([other])
                assert (await processes.hold(ledger, 20 * DOLLAR)).legs
                assert 2 * RECALL_PATIENCE_S * 0.9 < await refused(processes, ledger, DOLLAR) < 1

    asyncio.run(run())


def test_f37_what_the_dead_had_is_there_for_the_next_who_asks(tmp_path: Path) -> None:
    """Although nobody has looked for them yet."""

    async def run() -> None:
        async with Processes(tmp_path, 20 * DOLLAR) as processes:
            ledgers = [await processes.start() for _ in range(4)]
            await processes.spread(ledgers)
            held = await processes.hold(ledgers[3], DOLLAR)
            await in_strand(ledgers[3].opened(held))
            for ledger in ledgers[2:]:
                processes.kill(ledger)
            assert (await processes.hold(ledgers[0], 20 * DOLLAR)).legs
            assert [said.partition(":")[0] for said in processes.said] == ["reaped"]
            assert len(list(processes.run_folder.iterdir())) == 4

    asyncio.run(run())


def test_sockets_of_the_dead_are_taken_away(tmp_path: Path) -> None:
    async def run() -> None:
        async with Processes(tmp_path, DOLLAR) as processes:
            await processes.start()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
                dead.bind(str(processes.run_folder / f"notices-{NODES[0]}"))
            assert len(list(processes.run_folder.glob("notices-*"))) == 2
            await processes.start()
            assert len(list(processes.run_folder.glob("notices-*"))) == 2
            assert len(list(processes.run_folder.glob("epoch-*"))) == 2
        assert not list(processes.run_folder.iterdir())

    asyncio.run(run())


def test_where_no_socket_can_be_had_the_ledger_works_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Notices) -> None:
        raise OSError(1, "not here")

    async def run() -> None:
        async with Processes(tmp_path, 2 * DOLLAR) as processes:
            monkeypatch.setattr(Notices, "open", refuse)
            ledger = await processes.start()
            assert (await processes.hold(ledger, DOLLAR)).legs
            await refused(processes, ledger, 2 * DOLLAR)
            assert processes.said == ["recalls_unheard: not here: what is not used here may come back late"]

    asyncio.run(run())
