"""One run under an idempotency key, and the clients that are given its answer; idempotency.py has the theory."""

import asyncio
import re
from typing import TYPE_CHECKING

from ..core.call import UsageRecord
from ..core.errors import CallError, KeyTaken, Overloaded
from ..core.ports import Response, Source
from ..stores.idempotency import Claim, KeptAnswer
from ..wire.strand import Signal, Strand

if TYPE_CHECKING:
    from .idempotency import Runs

_EVENT_ENDS = (b"\n\n", b"\r\n\r\n", b"\r\r")
_EVENT_END = re.compile(b"|".join(_EVENT_ENDS))
_STEP_BYTES = 64 * 1024  # of what a follower has missed, in one turn of the loop


class Run:
    """One run under a key, and its answer as far as it has come: a core.ports.Response that remembers. `record` is of
    the request that it is run for, whose key may have its answer."""

    def __init__(self, runs: "Runs", claim: Claim, record: UsageRecord) -> None:
        self.claim = claim
        self.record = record
        self.begun_for = record.id
        self.source: Source | None = None
        self.status = 0
        self.finished = False
        self.bytes_out = 0
        self.headers = b""
        self.trailers = b""
        self.body: bytearray | bytes = bytearray()
        self.is_whole = False  # sent in one piece, not a stream
        self.is_claimed = False
        self.is_restored = False  # the answer is an earlier run's, from the store
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

    @property
    def unsent_bytes(self) -> int:
        """Nothing waits: the run goes on without its clients."""
        return 0

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer."""
        if self.finished:
            return
        self.status, self.headers, self.body = status, headers, body
        self.bytes_out = len(body)
        self.is_whole = self.finished = True
        self._runs.answered(self)
        self._grown()

    def start(self, status: int, headers: bytes) -> None:
        """Begin a stream."""
        self.status, self.headers = status, headers
        self._runs.answered(self)

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

    # The store's side.

    def kept(self) -> KeptAnswer:
        """The answer of a run that is over, as it can be stored."""
        record = self.record
        return KeptAnswer(
            request_id=record.id,
            expires_at=self.claim.expires_at,
            key_id=record.key_id,
            status=self.status,
            headers=self.headers,
            body=bytes(self.body),
            trailers=self.trailers,
            is_whole=self.is_whole,
            record_status=record.status,
            error_kind=record.error_kind,
            stream=record.stream,
            model_asked=record.model_asked,
            model=record.model,
        )

    def restore(self, answer: KeptAnswer, line: bytes) -> None:
        """Become the run that had this answer. The client that this one was begun for is told so by a header `line`;
        those who joined know. Overloaded where a stream's head has left already, to keep its connection alive."""
        if self.status:
            raise Overloaded("The store was slow; try again in a moment.", retry_after_s=1.0)
        self.is_restored = True
        self.claim = self.claim._replace(request_id=answer.request_id, expires_at=answer.expires_at)
        self.record = UsageRecord(
            id=answer.request_id,
            received_at=self.claim.created_at,
            key_id=answer.key_id,
            status=answer.record_status,
            error_kind=answer.error_kind,
            stream=answer.stream,
            model_asked=answer.model_asked,
            model=answer.model,
        )
        if self._first is not None:
            self._first.lines += line
        if answer.is_whole:
            self.send(answer.status, answer.headers, answer.body)
        else:
            self.start(answer.status, answer.headers)
            self.finish(answer.body, answer.trailers)

    def describe(self, record: UsageRecord) -> None:
        """Write into the record of another request what it says of the answer that it had from this run."""
        made = self.record
        record.status, record.error_kind, record.stream = made.status, made.error_kind, made.stream
        record.model_asked, record.model = made.model_asked, made.model

    # The clients' side.

    @property
    def request_id(self) -> str:
        """The request that its answer is of: the one it was begun for, or the earlier one that had it."""
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
        if isinstance(self.body, bytearray) and position > self._start:
            del self.body[: position - self._start]
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
    given all of the answer; `lines` are of its head only."""

    def __init__(self, run: Run, response: Response, lines: bytes, wants_trailers: bool) -> None:
        self.ended: Signal[None] = Signal()
        self.position = 0
        self._run = run
        self._response = response
        self.lines = lines
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
            response.send(run.status, run.headers + self.lines, bytes(run.body))
            self.ended.set(None)
            return
        if not response.status:
            response.start(run.status, run.headers + self.lines)
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


def gone(request_id: str) -> KeyTaken:
    """What a repeat is told whose answer is not there any more: it is not run again."""
    return KeyTaken(
        f"The request {request_id} had the answer to this idempotency key; it is not there any more, and the"
        f" request is not run again. GET /v1/requests/{request_id} has its record.",
        kind="idempotency_answer_gone",
    )
