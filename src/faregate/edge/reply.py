"""The answer's way out: headers of the house, the stream's bytes, keep-alive comments, errors in their shape."""

import time

import msgspec

from ..core.call import UsageRecord
from ..core.chat import ChatRequest
from ..core.errors import CallError, ClientGone, UpstreamError
from ..core.limits import Bound, Counters, Standing
from ..core.ports import Response
from ..dialects import Dialect
from ..flow.keyed_run import Run
from ..flow.relay import StreamAnswer, WholeAnswer
from ..wire.deadlines import NEVER, Deadlines
from .house import House, Made, made_of

_JSON = b"content-type: application/json\r\n"


class Reply(msgspec.Struct, eq=False):
    """One answer. For a stream it is watched by the deadlines: after a silence of `comment_s` seconds the head leaves
    if it has not, and a comment keeps the connection from looking dead."""

    _house: House
    _response: Response
    record: UsageRecord
    dialect: Dialect
    _deadlines: Deadlines
    _counters: Counters
    _comment_s: float
    _wants_trailers: bool
    request: ChatRequest | None = None  # once it is read
    bounds: tuple[Bound, ...] = ()  # by which it will be counted, as long as it is not
    _started_at: float = msgspec.field(default_factory=time.perf_counter)
    _extra: bytes = b""
    _cap: tuple[str, ...] = ()
    _dropped: tuple[str, ...] = ()
    _adjusted: tuple[str, ...] = ()
    _said: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())  # in the head: what was dropped, and what adjusted
    _made: Made | None = None  # as a stream's head says how it was being made
    _bytes_seen: int = 0
    _quiet_since: float = 0.0
    due_at: float = NEVER

    def add_headers(self, lines: bytes) -> None:
        """Header lines that this answer has besides the house's."""
        self._extra += lines

    def progress(self) -> tuple[int, int]:
        """How many bytes of the answer were given, and how many of them at least have left this process."""
        given = self._response.bytes_out
        return given, given - self._response.unsent_bytes

    @property
    def is_deserted(self) -> bool:
        """Whether the client has left before the end."""
        return self._response.finished

    def counted(self, standing: Standing | None) -> None:
        """Say what is left of what is counted."""
        self.bounds = ()
        self.add_headers(self._house.rate_lines(standing, time.time()))

    def capped(self, output_tokens: int) -> None:
        """Say that the gateway has lowered what the answer may take."""
        name = self.request.output_parameter if self.request is not None else ""
        name = name or self.dialect.parameters.get("output_tokens_max", "output_tokens_max")
        self._cap = (f"{name}={output_tokens}",)

    def changed(self, dropped: tuple[str, ...], adjusted: tuple[str, ...]) -> None:
        """Say which parameters the provider was not told, or told otherwise; what the client was not shown of the
        answer too. Once the head has left that goes into the trailer."""
        self._dropped += dropped
        self._adjusted += adjusted

    def restart_clock(self) -> None:
        """The request's last byte is here: latency counts from now."""
        self._started_at = time.perf_counter()

    def send(self, status: int, body: bytes, lines: bytes = _JSON) -> None:
        """A whole answer."""
        record = self.record
        record.status = status
        record.first_byte_ms = record.total_ms = elapsed_ms = self._elapsed_ms()
        self._response.send(status, lines + self._head(elapsed_ms), body)

    async def relay(self, answer: WholeAnswer | StreamAnswer) -> bytes:
        """The answer of a call, as it comes; returns the end of it, which `finish` gives. Its record then says how it
        will have ended: it is written with the charge, before the end leaves. ClientGone where it was read for nobody.
        """
        record, response = self.record, self._response
        if isinstance(answer, WholeAnswer):
            self._needs_client()
            record.status = 200
            record.bytes_out = len(answer.body)
            record.first_byte_ms = record.total_ms = self._elapsed_ms()
            return answer.body
        self._start_stream()
        response.source = answer.source
        response.write(answer.attach(response.write))
        rest = await answer.ended
        response.source = None
        self._needs_client()
        record.status = 200
        record.bytes_out = response.bytes_out + len(rest)
        record.total_ms = self._elapsed_ms()
        return rest

    def finish(self, end: bytes) -> None:
        """The end of an answer, now that it is known what it cost. ClientGone."""
        self._needs_client()
        if self.record.stream:
            self._response.finish(end, self._trailer())
        else:
            self._extra += self._house.credits_line(self.record.cost_nano)
            self.send(200, end)

    def _trailer(self) -> bytes:
        """What is known of a stream only at its end, for who takes that."""
        if not self._wants_trailers:
            return b""
        house, (dropped, adjusted) = self._house, self._said
        lines = house.latency_line(self._elapsed_ms()) + house.credits_line(self.record.cost_nano)
        if self._dropped != dropped or self._changes != adjusted:
            lines = house.changed_lines(_besides(dropped, self._dropped), _besides(adjusted, self._changes)) + lines
        return lines if self._made is None else house.correction(self.record, self._made) + lines

    @property
    def _changes(self) -> tuple[str, ...]:
        """All that was adjusted: the bound on the answer, and what a provider was told otherwise."""
        return self._cap + tuple(word for word in self._adjusted if word not in self._cap)

    def _needs_client(self) -> None:
        if self.is_deserted:
            raise ClientGone

    async def follow(self, run: Run, lines: bytes = b"") -> None:
        """The answer of a run under an idempotency key, from its beginning, with `lines` in its head. CallError where
        the rest of it cannot be had."""
        follower = run.join(self._response, self._extra + lines, wants_trailers=self._wants_trailers)
        try:
            await follower.ended
        finally:
            run.leave(follower)
        run.describe(self.record)

    def expect(self, request: ChatRequest) -> None:
        """The request is read. Where its answer will be a stream, watch for silence from now on."""
        self.request = request
        if not request.stream:
            return
        self.record.stream = True
        self._quiet_since = self._deadlines.now
        self.due_at = self._quiet_since + self._comment_s
        self._deadlines.watch(self)

    def _start_stream(self) -> None:
        if not self._response.status and not self._response.finished:
            self.record.first_byte_ms = self._elapsed_ms()
            kind = self.dialect.stream_head(self.request) if self.request is not None else b""
            self._response.start(200, kind + self._head(self.record.first_byte_ms))

    def _head(self, latency_ms: float) -> bytes:
        """The header lines of every answer."""
        record = self.record
        lines = self._house.head(record, latency_ms) + self._extra
        if self._dropped or self._cap or self._adjusted:
            self._said = self._dropped, self._changes
            lines += self._house.changed_lines(*self._said)
        if record.stream:
            self._made = made_of(record)
        field = self.dialect.request_id_field
        return lines if field is None else b"%b: %b\r\n%b" % (field.encode(), record.id.encode(), lines)

    def due(self) -> None:
        """Look whether the stream has been silent for too long; a chunk costs nothing, so it leaves no other trace."""
        now = self._deadlines.now
        if self._response.bytes_out != self._bytes_seen:
            self._quiet_since = now
        elif now >= self._quiet_since + self._comment_s:
            self._start_stream()
            self._response.write(self.dialect.keep_alive)
            self._quiet_since = now
        self._bytes_seen = self._response.bytes_out
        self.due_at = now + self._comment_s / 3

    def fail(self, error: CallError) -> None:
        """The answer is an error: whole where nothing has left yet, else in-band, so that the stream ends as failed."""
        record = self.record
        response = self._response
        record.error_kind = error.kind
        status, members, lines = self._house.error(error, record.id)
        if self.dialect.request_id_field is not None:  # its errors have the id, whatever the house's members
            members["request_id"] = record.id
        if self.bounds:  # a refusal tells the limits too
            self.counted(self._counters.standing(self.bounds))
        if isinstance(error, UpstreamError) and error.status in self.dialect.own_statuses:
            status = error.status
        if not response.status:
            if record.cost_nano:  # what nobody was given may be paid for
                lines += self._house.credits_line(record.cost_nano)
            self.send(status, self.dialect.render_error(status, members), _JSON + lines)
        elif not response.finished:
            record.status = status
            response.source = None
            response.finish(self.dialect.render_stream_error(status, members, self.request), self._trailer())

    def close(self) -> None:
        """The answer is over, however it ended."""
        if self.due_at != NEVER:
            self._deadlines.forget(self)
        if not self.record.total_ms:
            self.record.total_ms = self._elapsed_ms()
        self.record.bytes_out = self._response.bytes_out

    def _elapsed_ms(self) -> float:
        return int((time.perf_counter() - self._started_at) * 1e6) / 1000


def _besides(said: tuple[str, ...], words: tuple[str, ...]) -> tuple[str, ...]:
    """Those of `words` that were not said."""
    return tuple(word for word in words if word not in said)
