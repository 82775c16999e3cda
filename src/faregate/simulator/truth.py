"""What really happened, as the simulator saw it: an entry for each request, for tests to compare with."""

import asyncio
import itertools
import time
from collections import deque
from pathlib import Path
from typing import Any, Literal

import msgspec

from ..wire.strand import Signal
from .answer import Answer

ENTRIES_MAX = 100_000

Outcome = Literal["pending", "complete", "client_gone", "cut", "fault", "refused"]


class Entry(msgspec.Struct, kw_only=True):
    """One request. Tokens are those vouched for, whatever the answer said; times are unix seconds.

    The prompt's tokens are the fresh ones, those read from a cache (`cached_tokens`) and those written into one; the
    completion's are what was said and the reasoning. The words are the same on every wire, `wire` says which it was.
    `tokens_sent` counts those whose frames were handed to the socket whole, `bytes_sent` the bytes of the
    body. Outcomes: `complete`; `client_gone` before the end; `cut` as planned; `fault`, an answer that was
    bad as planned; `refused`, a request that was no good.
    """

    seq: int
    request_id: str
    path: str
    wire: str = ""
    id: str = ""
    model: str = ""
    stream: bool = False
    status: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    fresh_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    tokens_sent: int = 0
    bytes_sent: int = 0
    received_at: float
    ended_at: float | None = None
    outcome: Outcome = "pending"
    client_gone_at: float | None = None
    header_names: list[str] = []
    body_members: list[str] = []

    def vouch(self, answer: Answer) -> None:
        """Take over an answer's name and counts."""
        self.id = answer.id
        self.prompt_tokens = answer.prompt_tokens
        self.completion_tokens = answer.completion_tokens
        self.fresh_tokens = answer.fresh_tokens
        self.cached_tokens = answer.cached_tokens
        self.cache_write_tokens = answer.written_tokens
        self.reasoning_tokens = answer.reasoning_tokens


class TruthLog:
    """The newest ENTRIES_MAX entries of ended requests; all of them as JSON lines in a file, if asked."""

    def __init__(self, path: Path | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=ENTRIES_MAX)
        self._seq = 0
        self._waiting: set[_Waiting] = set()
        self._file = path.open("ab", buffering=0) if path is not None else None
        self.in_flight = 0
        self.last_request: dict[str, Any] | None = None

    def begin(self, request_id: str, path: str, wire: str, header_names: list[str]) -> Entry:
        """A request has come. It gets its `seq` when it ends, so that reading on from one misses nothing."""
        self.in_flight += 1
        return Entry(
            seq=0,
            request_id=request_id,
            path=path,
            wire=wire,
            received_at=time.time(),
            header_names=header_names,
        )

    def end(self, entry: Entry) -> None:
        """The request has ended."""
        self.in_flight -= 1
        self._seq += 1
        entry.seq = self._seq
        entry.ended_at = time.time()
        self._entries.append(entry)
        if self._file is not None:
            self._file.write(msgspec.json.encode(entry) + b"\n")
        for waiting in [waiting for waiting in self._waiting if waiting.until <= self._seq]:
            waiting.signal.set(None)

    def since(self, seq: int) -> list[Entry]:
        """The entries after `seq`, oldest first."""
        newest = itertools.takewhile(lambda entry: entry.seq > seq, reversed(self._entries))
        return list(newest)[::-1]

    @property
    def seq(self) -> int:
        """The last entry's number."""
        return self._seq

    async def wait(self, seq: int, timeout_s: float) -> None:
        """Until there is an entry `seq`, or `timeout_s` has passed."""
        if self._seq >= seq or timeout_s <= 0:
            return
        waiting = _Waiting(seq)
        timer = asyncio.get_running_loop().call_later(timeout_s, waiting.signal.set, None)
        self._waiting.add(waiting)
        try:
            await waiting.signal
        finally:
            self._waiting.discard(waiting)
            timer.cancel()

    def clear(self) -> None:
        """Forget all entries; numbers go on."""
        self._entries.clear()
        self.last_request = None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class _Waiting:
    def __init__(self, until: int) -> None:
        self.until = until
        self.signal: Signal[None] = Signal()
