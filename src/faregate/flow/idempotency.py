"""Same key, same body: one run, one charge.

Theory of operation. A call under an idempotency key runs in a strand of its own and writes its answer into a Run,
which remembers it. Every client is a Follower of the run, the first one too: it is given what there is from the
beginning, and each later piece as it comes. So a client that leaves ends nothing, and one that is slow holds nothing
up: it reads on from where it is.

What is remembered is bounded, all runs together. Over the bound the oldest answers that nobody reads are forgotten; the
key's row stays, and a repeat is told which request had the answer. Where that is not enough, the run that grows is
remembered no longer: it is an ordinary answer from there on, whose first client may hold up the provider, and joiners
that are behind are cut.

A key is charged at most once. Kept is therefore every answer that was charged, whole or broken off, and what a provider
was asked and refused for good; an answer with 5xx or 429, and what was refused before any provider was asked, frees it.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable

from ..core.call import UsageRecord
from ..core.errors import CallError, ClientGone, GatewayError, KeyTaken, MalformedRequest, UpstreamRefused
from ..core.ports import Response, Source
from ..stores.idempotency import Claim, IdempotencyKeys
from ..wire.heads import RequestHead
from ..wire.strand import Signal, Strand

KEPT_S = 86_400.0
HEADER = "Idempotency-Key"
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_EVENT_END = re.compile(b"|".join(_EVENT_ENDS))
_STEP_BYTES = 64 * 1024  # of what a follower has missed, in one turn of the loop
_RUN_BYTES = 2048  # what a run takes besides its answer
_RUNNING_SLACK_S = 60.0  # beyond the longest request, for what comes after its deadline


def key_of(presented: bytes) -> str:
    """The idempotency key that a head has. MalformedRequest."""
    if not _KEY.fullmatch(presented):
        raise MalformedRequest(f"'{HEADER}' must be 1 to 255 visible ASCII characters.", param=HEADER)
    return presented.decode("ascii")


def fingerprint_of(head: RequestHead, body: bytes) -> bytes:
    """What two requests have in common that ask for the same."""
    digest = hashlib.sha256(b"%b %b?%b\n" % (head.method, head.path, head.query))
    digest.update(body)
    return digest.digest()


class Run:
    """One run under a key, and its answer as far as it has come: a core.ports.Response that remembers. `record` is of
    the request that it is run for, whose key may have its answer."""

    def __init__(self, runs: "Runs", claim: Claim, record: UsageRecord) -> None:
        self.claim = claim
        self.record = record
        self.source: Source | None = None
        self.status = 0
        self.finished = False
        self.bytes_out = 0
        self.headers = b""
        self.trailers = b""
        self.body: bytearray | bytes = bytearray()
        self.is_whole = False  # sent in one piece, not a stream
        self.is_claimed = False
        self.is_outgrown = False
        self.is_forgotten = False
        self.counted_bytes = 0
        self.strand: Strand | None = None
        self.followers: dict[Follower, None] = {}
        self._runs = runs
        self._start = 0  # where in the answer `body` begins
        self._first: Follower | None = None
        self._holds_source = False

    # The answer's side.

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer."""
        if self.finished:
            return
        self.status, self.headers, self.body = status, headers, body
        self.bytes_out = len(body)
        self.is_whole = self.finished = True
        self._grown()

    def start(self, status: int, headers: bytes) -> None:
        """Begin a stream."""
        self.status, self.headers = status, headers

    def write(self, data: bytes) -> None:
        """One piece of a stream."""
        if data and not self.finished:
            self._put(data)

    def finish(self, data: bytes = b"", trailers: bytes = b"") -> None:
        """The last piece of a stream, and its end."""
        if not self.finished:
            self.finished = True
            self.trailers = trailers
            self._put(data)

    def cancel(self, error: Exception) -> None:
        """Raise `error` in the run where it waits."""
        if self.strand is not None:
            self.strand.cancel(error)

    def _put(self, data: bytes) -> None:
        assert isinstance(self.body, bytearray)
        self.body += data
        self.bytes_out += len(data)
        self._grown()

    def _grown(self) -> None:
        for follower in tuple(self.followers):
            follower.advance()
        self._runs.grown(self)

    # The clients' side.

    @property
    def request_id(self) -> str:
        """The request that it is run for."""
        return self.record.id

    def join(self, response: Response, lines: bytes, *, wants_trailers: bool) -> "Follower":
        """A client that is given the answer from its beginning, with header lines of its own."""
        follower = Follower(self, response, lines, wants_trailers)
        self.followers[follower] = None
        if self._first is None:
            self._first = follower
        follower.advance()
        return follower

    def leave(self, follower: "Follower") -> None:
        """A client has the answer, or wants it no longer."""
        self.followers.pop(follower, None)
        follower.ended.set(None)
        if self.is_outgrown:
            self.shrink()
        self._runs.count(self)

    def piece(self, position: int) -> bytes:
        """What comes next in the answer, not too much of it."""
        offset = position - self._start
        return bytes(self.body[offset : offset + _STEP_BYTES])

    def rest_of_event(self, position: int) -> bytes:
        """What is missing of the event in whose middle `position` is; nothing between two."""
        assert isinstance(self.body, bytearray)
        offset = position - self._start
        if offset == 0 or self.body.endswith(_EVENT_ENDS, 0, offset):
            return b""
        found = _EVENT_END.search(self.body, offset)  # a mark in two halves is passed over: one event more
        return bytes(self.body[offset:] if found is None else self.body[offset : found.end()])

    def shrink(self) -> None:
        """Remember from now on only what the first client has still to get, and let it hold up the provider."""
        self.is_outgrown = True
        first = self._first if self._first in self.followers else None
        for follower in tuple(self.followers):
            if follower is not first and follower.position < self.bytes_out:
                follower.cut(gone(self.request_id))
        position = first.position if first is not None else self.bytes_out
        if not self.is_whole and position > self._start:
            self.body = self.body[position - self._start :]
            self._start = position
        self._hold_source(position < self.bytes_out)

    def _hold_source(self, holds: bool) -> None:
        if holds != self._holds_source and self.source is not None:
            self._holds_source = holds
            if holds:
                self.source.pause_reading()
            else:
                self.source.resume_reading()


class Follower:
    """A client of a run, and the Source that its connection holds up where it is slow. `ended` is set when it has been
    given all of the answer."""

    def __init__(self, run: Run, response: Response, lines: bytes, wants_trailers: bool) -> None:
        self.ended: Signal[None] = Signal()
        self.position = 0
        self._run = run
        self._response = response
        self._lines = lines
        self._wants_trailers = wants_trailers
        self._is_paused = False
        self._is_stepping = False

    def advance(self) -> None:
        """Give the client what there is, up to a step of it; the next one in the loop's next turn."""
        run, response = self._run, self._response
        if self._is_paused or self._is_stepping or self.ended.is_set or not run.status:
            return
        if run.is_whole:
            self.position = run.bytes_out
            response.send(run.status, run.headers + self._lines, bytes(run.body))
            self.ended.set(None)
            return
        if not response.status:
            response.start(run.status, run.headers + self._lines)
            response.source = self
        data = run.piece(self.position)
        self.position += len(data)
        if self.position < run.bytes_out:
            self._is_stepping = True
            response.write(data)
            asyncio.get_running_loop().call_soon(self._step)
        elif run.finished:
            response.source = None
            response.finish(data, run.trailers if self._wants_trailers else b"")
            self.ended.set(None)
        else:
            response.write(data)

    def cut(self, error: CallError) -> None:
        """The client cannot be given the rest; an error can follow what it has."""
        if not self.ended.is_set and not self._run.is_whole:
            self._response.write(self._run.rest_of_event(self.position))
        self.ended.fail(error)

    def pause_reading(self) -> None:
        """The client is slow."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """The client goes on."""
        self._is_paused = False
        self._go_on()

    def _step(self) -> None:
        self._is_stepping = False
        self._go_on()

    def _go_on(self) -> None:
        self.advance()
        if self._run.is_outgrown:
            self._run.shrink()


Scope = tuple[str, str]


class Runs:
    """The runs of this process that can be joined or repeated, by project and key."""

    def __init__(
        self,
        keys: IdempotencyKeys,
        *,
        bytes_max: int,
        longest_request_s: float,
        epoch: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.bytes_kept = 0
        self._keys = keys
        self._bytes_max = bytes_max
        self._running_s = longest_request_s + _RUNNING_SLACK_S
        self._epoch = epoch
        self._clock = clock
        self._known: dict[Scope, Run] = {}
        self._ended: dict[Scope, Run] = {}  # of those, the ones that are over, oldest first
        self._running: dict[Run, None] = {}
        self._all_over: asyncio.Future[None] | None = None

    def find(self, project_id: str, key: str, fingerprint: bytes) -> Run | None:
        """The run under a key; None where this process knows of none. KeyTaken."""
        run = self._known.get((project_id, key))
        if run is None:
            return None
        if run not in self._running and run.claim.expires_at <= self._clock():
            self._forget(run)
            return None
        if run.claim.fingerprint != fingerprint:
            raise KeyTaken("This idempotency key was used for another request.")
        if run.is_outgrown:
            raise gone(run.request_id)
        return run

    def begin(self, project_id: str, key: str, fingerprint: bytes, record: UsageRecord) -> Run:
        """A run for the first request under a key."""
        now = self._clock()
        claim = Claim(project_id, key, fingerprint, record.id, self._epoch, now, now + KEPT_S, now + self._running_s)
        run = Run(self, claim, record)
        self._known[project_id, key] = run
        self._running[run] = None
        self.grown(run)
        return run

    async def claim(self, run: Run) -> None:
        """Have the key, on the disk, before a provider is asked. KeyTaken, Overloaded."""
        earlier = await self._keys.claim(run.claim)
        if earlier is None:
            run.is_claimed = True
        elif earlier.fingerprint != run.claim.fingerprint:
            raise KeyTaken("This idempotency key was used for another request.")
        elif earlier.is_running:
            raise KeyTaken(
                "The request with this idempotency key is under way in another process.",
                kind="idempotency_in_progress",
                retry_after_s=1.0,
            )
        else:
            raise gone(earlier.request_id)

    def over(self, run: Run) -> None:
        """A run has ended, however it did."""
        del self._running[run]
        is_kept = _is_kept(run)
        if run.is_claimed:
            if is_kept:
                self._keys.end(run.claim)
            else:
                self._keys.free(run.claim)
        if is_kept and run.is_claimed and run.finished and not run.is_outgrown:
            run.body = bytes(run.body)
            self._ended[run.claim.project_id, run.claim.key] = run
        else:
            self._forget(run)
        if not run.finished:
            for follower in tuple(run.followers):
                follower.cut(GatewayError("The run under this idempotency key was broken off."))
        if self._all_over is not None and not self._running and not self._all_over.done():
            self._all_over.set_result(None)

    async def drain(self, timeout_s: float) -> bool:
        """Let what runs without a client finish; what has not within `timeout_s` is cut, and False."""
        if self._running and timeout_s > 0:
            self._all_over = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_over], timeout=timeout_s)
        finished = not self._running
        for run in tuple(self._running):
            run.cancel(ClientGone())
        return finished

    # Memory

    def grown(self, run: Run) -> None:
        """There is more of an answer; room is made for it, or it is not remembered any longer."""
        self.count(run)
        while self.bytes_kept > self._bytes_max and not run.is_outgrown:
            oldest = next((each for each in self._ended.values() if not each.followers), None)
            if oldest is None:
                run.is_outgrown = True
            else:
                self._forget(oldest)
        if run.is_outgrown:
            run.shrink()
            self.count(run)

    def count(self, run: Run) -> None:
        """Count anew what a run takes of memory."""
        counted = 0 if run.is_forgotten and not run.followers else len(run.body) + _RUN_BYTES
        self.bytes_kept += counted - run.counted_bytes
        run.counted_bytes = counted

    def _forget(self, run: Run) -> None:
        scope = (run.claim.project_id, run.claim.key)
        if self._known.get(scope) is run:
            del self._known[scope]
            self._ended.pop(scope, None)
        run.is_forgotten = True
        self.count(run)


def gone(request_id: str) -> KeyTaken:
    """What a repeat is told whose answer is not in memory: it is not run again."""
    return KeyTaken(
        f"The request {request_id} had the answer to this idempotency key; it is not in memory any more, and the"
        f" request is not run again. GET /v1/requests/{request_id} has its record.",
        kind="idempotency_answer_gone",
    )


def _is_kept(run: Run) -> bool:
    """Whether the key of a run that is over stays used. A stream that broke in the middle still has status 200, but its
    record has the kind of the error."""
    if run.status == 429 or run.status >= 500:
        return False
    record = run.record
    return record.cost_nano > 0 or (run.finished and record.error_kind in (None, UpstreamRefused.kind))
