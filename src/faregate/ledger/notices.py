"""What the processes that share a ledger tell each other at once: give back what you do not use of these groups.

Theory of operation. Each process has a datagram socket in the run folder, beside the lock of its epoch. A recall goes
to the sockets of all others; each gives back what is free of the groups, and answers when that is on the disk. Who
asked goes on when all have answered, or when they had RECALL_PATIENCE_S for it. A socket that nobody hears any more is
that of a process which has died and may have left money: then the reaping of the dead is waited for like an answer.

A datagram is a hint and no more. One that is lost or late costs that wait, one that nobody can read is ignored, and who
forges one has another process give back money which it takes again with the next call: what is right is decided by the
ledger alone. The command line has no socket: it recalls without waiting for answers, and looks into the ledger.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec

RUN_FOLDER = "run"  # in the data directory
RECALL_PATIENCE_S = 0.1  # twice this, and two commits, is what a refusal may take
_PREFIX = "notices-"
_REAPER = ""  # who answers for the dead
_NAME = re.compile(_PREFIX + r"[0-9a-f]{16}")
_PATH_BYTES_MAX = 100  # what an address of a unix socket holds, less a little
_GROUPS_MAX = 100
_DATAGRAM_BYTES_MAX = 4096
_AT_ONCE_MAX = 64  # datagrams read in one turn of the loop


class Recall(msgspec.Struct, frozen=True, array_like=True, tag="recall"):
    """Give back what is free of these groups (or accounts); answer `sender`, if it has a name, by this number."""

    number: int
    sender: str
    groups: Annotated[tuple[int, ...], msgspec.Meta(max_length=_GROUPS_MAX)]


class Returned(msgspec.Struct, frozen=True, array_like=True, tag="returned"):
    """`sender` has given back what it could, for the recall of this number."""

    number: int
    sender: str


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Recall | Returned).decode


class _Pending(msgspec.Struct):
    """A recall of ours, and who has not answered yet."""

    awaited: set[str]
    over: Callable[[], None]
    timer: asyncio.TimerHandle


class Notices:
    """The socket of one process, on the running loop. `recalled(groups, done)` is called when another asks for what is
    free of some groups; `done` when what was given back is on the disk. `bereft(done)` when somebody has died; `done`
    when what it left was reaped."""

    def __init__(
        self,
        run_folder: Path,
        node: str,
        recalled: Callable[[Collection[int], Callable[[], None]], None],
        bereft: Callable[[Callable[[], None]], None],
    ) -> None:
        self._run_folder = run_folder
        self._name = _PREFIX + node
        self._recalled = recalled
        self._bereft = bereft
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._number = 0
        self._pending: dict[int, _Pending] = {}

    def open(self) -> None:
        """Be heard from now on. OSError."""
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        opened.setblocking(False)
        try:
            with _addresses(self._run_folder) as address:
                opened.bind(address(self._name))
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        self._loop.add_reader(opened.fileno(), self._readable)

    def close(self) -> None:
        """Be heard no longer."""
        for pending in self._pending.values():
            pending.timer.cancel()
        self._pending.clear()
        if self._socket is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None
            (self._run_folder / self._name).unlink(missing_ok=True)

    def recall(self, groups: Sequence[int], over: Callable[[], None]) -> bool:
        """Ask the others for what they do not use of some groups. `over` is called once they have answered or had
        their time; False where there is nobody to ask: then it is not."""
        if self._socket is None:
            return False
        self._number += 1
        living, dead = _send_all(self._socket, self._run_folder, Recall(self._number, self._name, tuple(groups)))
        awaited = living | ({_REAPER} if dead else set())
        if awaited:
            timer = self._loop.call_later(RECALL_PATIENCE_S, self._over, self._number)
            self._pending[self._number] = _Pending(awaited, over, timer)
        if dead:
            self._bereft(partial(self._heard, Returned(self._number, _REAPER)))
        return bool(awaited)

    def _over(self, number: int) -> None:
        pending = self._pending.pop(number, None)
        if pending is not None:
            pending.timer.cancel()
            pending.over()

    def _readable(self) -> None:
        for _ in range(_AT_ONCE_MAX):
            if self._socket is None:
                return
            try:
                notice = _decode(self._socket.recv(_DATAGRAM_BYTES_MAX))
            except msgspec.MsgspecError:
                continue
            except OSError:  # there is no more
                return
            self._heard(notice)

    def _heard(self, notice: Recall | Returned) -> None:
        if isinstance(notice, Recall):
            self._recalled(notice.groups, partial(self._answer, notice))
            return
        pending = self._pending.get(notice.number)
        if pending is not None:
            pending.awaited.discard(notice.sender)
            if not pending.awaited:
                self._over(notice.number)

    def _answer(self, notice: Recall) -> None:
        if self._socket is not None and _NAME.fullmatch(notice.sender):
            with contextlib.suppress(OSError), _addresses(self._run_folder) as address:
                _send(self._socket, address(notice.sender), Returned(notice.number, self._name))


def recall_once(run_folder: Path, groups: Sequence[int]) -> bool:
    """Ask every process for what it does not use of some groups, without waiting; whether there is one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        living, _ = _send_all(sender, run_folder, Recall(0, "", tuple(groups)))
        return bool(living)


def nodes_of(run_folder: Path) -> set[str]:
    """The processes that have a socket, alive or dead."""
    return {name.removeprefix(_PREFIX) for name in os.listdir(run_folder) if _NAME.fullmatch(name)}


def remove_socket(run_folder: Path, node: str) -> None:
    """Take away what a dead process left."""
    (run_folder / (_PREFIX + node)).unlink(missing_ok=True)


def _send_all(sender: socket.socket, run_folder: Path, notice: Recall) -> tuple[set[str], set[str]]:
    """Send to all but its own sender; who of them lives, and who does not."""
    with contextlib.suppress(OSError), _addresses(run_folder) as address:
        names = {_PREFIX + node for node in nodes_of(run_folder)} - {notice.sender}
        living = {name for name in names if _send(sender, address(name), notice)}
        return living, names - living
    return set(), set()


def _send(sender: socket.socket, address: str, notice: Recall | Returned) -> bool:
    """Whether there is one who hears it, or would, were it not for all that he has not read yet."""
    try:
        sender.sendto(_encode(notice), address)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _addresses(folder: Path) -> Iterator[Callable[[str], str]]:
    """The addresses of the sockets in a folder, by name. Where the folder's own path is too long for one, it is
    reached over a descriptor, where the system has such paths."""
    longest = folder.absolute() / (_PREFIX + "0" * 16)
    if len(os.fsencode(longest)) <= _PATH_BYTES_MAX:
        yield lambda name: str(longest.with_name(name))
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield lambda name: f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)
