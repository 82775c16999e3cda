"""Opening an answer: one attempt at a target, first-event peek, and the stream's way by callback.

Theory of operation. An attempt sends the request and waits for the head. A whole answer is read and understood before
a byte leaves. Of a stream everything up to the first content is held back, so that an upstream which accepts and then
dies can still be replaced; that first content is the commit point, and ask() returns there. From then on no
coroutine runs for a chunk: the upstream's callback feeds the transform, and what comes out goes to the client's
socket. The coroutine wakes for the end.
"""

import contextlib
from collections.abc import Callable

import msgspec

from ..core.call import Call
from ..core.catalog import Model, Target
from ..core.errors import (
    CallError,
    DeadlineExceeded,
    SchemaMissed,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
)
from ..core.usage import NO_USAGE, Usage
from ..dialects import Addressee, StreamTransform, UpstreamWords
from ..providers import Provider
from ..wire.client import Exchange, Timeouts
from ..wire.deadlines import NEVER
from ..wire.incoming import IncomingResponse
from ..wire.messages import BadMessage, TimedOut, WireError
from ..wire.strand import Signal
from . import meter
from .funds import charge_as_told, output_tokens_max
from .gate import Gate
from .health import Attempt
from .overhearing import Overheard, fault_of
from .refusals import call_error, refusal, shown
from .served_tier import ServedTier, TierWatch
from .translation import Speech, fitted, speech_of

_HELD_BYTES_MAX = 1024 * 1024
_HEADS_MAX = 10_000


class WholeAnswer(msgspec.Struct):
    """An answer that is complete."""

    body: bytes
    usage: Usage

    def close(self) -> None:
        """Nothing is open."""

    def used(self) -> Usage:
        """What it used, whether anybody was given it or not."""
        return self.usage

    def check(self) -> None:
        """It was judged before."""

    def cost_nano(self) -> int:
        """Nothing is given before the end."""
        return 0


class StreamAnswer:
    """A stream under way: the upstream's Sink. `opened` is set at the commit point, `ended` at the end, both fail with
    a CallError. What is ready before `attach()` is held."""

    __slots__ = (
        "_attempt",
        "_call",
        "_held",
        "_held_bytes",
        "_held_bytes_max",
        "_observed",
        "_redact",
        "_response",
        "_transform",
        "_write",
        "ended",
        "opened",
    )

    def __init__(
        self,
        call: Call,
        transform: StreamTransform | Overheard,
        response: IncomingResponse,
        attempt: Attempt,
        *,
        held_bytes_max: int = _HELD_BYTES_MAX,
        redact: Callable[[str], str] = str,
    ) -> None:
        self._call = call
        self._transform = transform
        self._observed = transform.observed
        self._response = response
        self._attempt = attempt
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._held_bytes_max = held_bytes_max
        self._redact = redact
        self._write: Callable[[bytes], None] | None = None
        self.opened: Signal[None] = Signal()
        self.ended: Signal[bytes] = Signal()

    @property
    def source(self) -> IncomingResponse:
        """What a slow client pauses."""
        return self._response

    def attach(self, write: Callable[[bytes], None]) -> bytes:
        """From now on bytes go to `write`; returns what was held."""
        held, self._held = self._held, []
        self._write = write
        self._response.resume_reading()  # where too much was held
        return b"".join(held)

    # The upstream's callbacks.

    def feed(self, data: bytes) -> None:
        """A piece of the upstream's body."""
        observed = self._observed
        try:
            out = self._transform.feed(data)
        except BadMessage as error:
            self._break(UpstreamUnavailable(f"The provider sent what no stream is: {error}."))
            return
        if observed.error is None and not observed.done and self._write is not None:
            self._write(out)  # nearly always
        elif observed.error is not None:
            self._put(out)  # what was said before it counts, in whatever pieces it came
            if observed.has_content:
                self.opened.set(None)
            self._break(
                UpstreamUnavailable(
                    f"The provider failed while it was answering: {self._said(observed.error)}",
                    reason="an error in the answer",
                )
            )
        elif observed.done and not observed.finished:
            self._break(UpstreamUnavailable("The provider ended its answer before it began."))
        elif observed.done:
            self._complete(out)
        else:
            self._put(out)
            is_much = self._held_bytes > self._held_bytes_max
            if observed.has_content and not (is_much and self._call.is_held):
                self.opened.set(None)
                if is_much and self._write is None:  # nothing leaves before its hold is on the disk
                    self._response.pause_reading()
            elif is_much:
                self._break(UpstreamUnavailable("The provider sent more than can be held back."))

    def _said(self, words: UpstreamWords) -> str:
        """A provider's words as the client may see them."""
        return shown(self._redact, words.message) or ""

    def _put(self, out: bytes) -> None:
        """On to the client, or held until there is one to write to."""
        if self._write is not None:
            self._write(out)
        else:
            self._held.append(out)
            self._held_bytes += len(out)

    def end(self) -> None:
        """The upstream's body is complete."""
        if self.ended.is_set:
            return
        try:
            out = self._transform.close()
        except BadMessage:
            out = b""
        if self._observed.finished:
            self._complete(out)
        else:
            self._break(UpstreamUnavailable("The provider ended its answer in the middle."))

    def fail(self, error: Exception) -> None:
        """The upstream's body will not be complete."""
        if self.ended.is_set:
            return
        timed_out = isinstance(error, TimedOut)
        try:
            out = b"" if timed_out else self._transform.close()
        except BadMessage:
            out = b""
        if self._observed.finished:  # it had said all, and forgot to say so
            self._complete(out)
        else:
            self._break(call_error(error))

    def _complete(self, out: bytes) -> None:
        """All is said. The end mark alone waits for what the answer costs: what came with it is on its way before that
        is charged, or a crash between the two would charge for what nobody was given."""
        if not self.ended.is_set:
            self._response.let_go()
            self._attempt.completed()
            self._put(out)
            self.ended.set(self._observed.ending)
            self.opened.set(None)

    def _break(self, error: CallError) -> None:
        if isinstance(error, UpstreamError):
            self._call.record.upstream_error = error.reason
            self._attempt.failed(error)
        self._response.abort()
        self.opened.fail(error)
        self.ended.fail(error)

    def close(self) -> None:
        """Cut the upstream where it still sends, and write down what was used."""
        if not self.ended.is_set:
            self._response.abort()
            self._attempt.gave_up()
            if self._call.is_waived:
                with contextlib.suppress(BadMessage):
                    self._transform.close()  # says whether all was said but for the end mark
        self._call.record.usage = self._usage()

    def _usage(self) -> Usage:
        """What was used for what the client was given; nothing was, where nothing left, or the part is free."""
        if self._write is None or (self._call.is_waived and not self._observed.finished):
            return NO_USAGE
        return self.used()

    def used(self) -> Usage:
        """What it used, whether anybody was given it or not."""
        return meter.usage_of_stream(self._call.request, self._observed)

    def texts(self) -> list[str]:
        """What was said in an answer that has ended, where it is heard. UpstreamUnavailable where it is unclear."""
        if not isinstance(self._transform, Overheard):
            return []
        try:
            return self._transform.texts()
        except BadMessage as error:
            raise UpstreamUnavailable(f"The provider sent what no stream is: {error}.") from None

    def check(self) -> None:
        """SchemaMissed where an answer that has ended is not what its schema allows."""
        if self._call.schema is not None:
            _, fault = fault_of(self._call.schema, self.texts())
            if fault:
                raise missed(fault)

    def cost_nano(self) -> int:
        """What the client has been given so far costs that much."""
        call = self._call
        return 0 if call.tariff is None else call.tariff.charge_nano(self._usage()) + call.earlier_nano


def missed(fault: str) -> SchemaMissed:
    """The error of an answer that is not what its schema allows."""
    return SchemaMissed(f"The model's answer does not keep to the schema: {fault}.")


async def ask(gate: Gate, model: Model, attempt: Attempt, call: Call) -> WholeAnswer | StreamAnswer:
    """The answer of a target, whole, or as far as its first content. UpstreamError where another may be asked instead,
    another CallError where none may; the attempt hears how it ended."""
    target, record = attempt.target, call.record
    record.provider = target.provider
    record.upstream_model = target.upstream_model
    record.region = target.region
    record.replica = target.replica
    provider = gate.providers[target.provider]
    patient_until = gate.deadlines.now + (model.first_byte_timeout_s or gate.limits.first_byte_timeout_s)
    try:
        speech = speech_of(gate, provider, call)
        response = await _send(gate, provider, model, target, speech, call)
        record.upstream_request_id = _request_id(response)
        if response.status != 200:
            if response.status == 401 and provider.tokens is not None:
                provider.tokens.doubt()
            is_own, is_token = speech.upstream.name == call.dialect, provider.tokens is not None
            raise await refusal(gate, speech.upstream, response, is_own=is_own, is_token=is_token)
        if call.request.stream:
            return await _stream(gate, speech, attempt, call, response)
        raw = response.take(gate.limits.answer_bytes_max)
        if raw is None:
            raw = await response.read(gate.limits.answer_bytes_max)
        answer = _whole(speech, call, response, raw)
    except (WireError, CallError) as error:
        failure = call_error(error)
        _tell(attempt, failure, had_time=gate.deadlines.now > patient_until)
        raise failure from None
    except BaseException:
        attempt.gave_up()
        raise
    attempt.completed()
    return answer


def _tell(attempt: Attempt, failure: CallError, *, had_time: bool) -> None:
    """Let an attempt know how it failed. One that a deadline of the call's own has cut says something only where there
    was more time than any stream is given to begin."""
    if isinstance(failure, UpstreamRefused):
        attempt.answered()
    elif isinstance(failure, UpstreamError):
        attempt.failed(failure)
    elif isinstance(failure, DeadlineExceeded) and had_time:
        attempt.failed(UpstreamUnavailable(failure.message, reason="no answer in time"))
    attempt.gave_up()  # unless that was its end


def _send(gate: Gate, provider: Provider, model: Model, target: Target, speech: Speech, call: Call) -> Exchange:
    """Send the call to a target; awaited, the Exchange gives the answer's head."""
    request = call.request
    body = speech.request(
        Addressee(
            model=target.upstream_model,
            output_tokens_max=output_tokens_max(model, request),
            capabilities=model.capabilities,
            is_official=provider.exact,
            stream_usage=provider.stream_usage,
        )
    )
    call.record.attempts += 1
    limits = gate.limits
    timeouts = Timeouts(
        limits.connect_timeout_s,
        (model.first_byte_timeout_s or limits.first_byte_timeout_s) if request.stream else NEVER,
        limits.idle_timeout_s,
        call.deadline_at,
    )
    head, body = fitted(gate, call, provider, _head(gate, provider, target, speech, call), body)
    if call.dropped or call.record.attempts > 1:
        charge_as_told(gate, call)
    return gate.client.send(provider.origin, b"%bcontent-length: %d\r\n\r\n" % (head, len(body)), body, timeouts)


def _head(gate: Gate, provider: Provider, target: Target, speech: Speech, call: Call) -> bytes:
    """The request's head but for its length: the same for every call of its kind (S13), so it is kept."""
    upstream = speech.upstream
    forwarded = call.request.forwarded if upstream.name == call.dialect else b""
    # Of chat a dialect has one path, streamed or not
    place = "" if call.operation == "chat" else upstream.path(call.request, target.upstream_model)
    key = (provider.name, upstream.name, target.upstream_model, place, call.request.stream, forwarded)
    head = gate.heads.get(key)
    if head is None:
        path = provider.path_of(upstream.path(call.request, target.upstream_model), target.upstream_model)
        accept = upstream.stream_type if call.request.stream else b"application/json"
        if len(gate.heads) >= _HEADS_MAX:
            gate.heads.clear()
        head = gate.heads[key] = b"POST %b HTTP/1.1\r\n%b%baccept: %b\r\ncontent-type: application/json\r\n" % (
            path.encode(),
            provider.fields,
            upstream.request_lines(forwarded),
            accept,
        )
    return head


def _whole(speech: Speech, call: Call, response: IncomingResponse, raw: bytes) -> WholeAnswer:
    result = speech.whole(raw)
    if call.tariff is not None and call.tariff.has_tiers:
        ServedTier(call, speech.upstream.tier_marks, response).hear(raw)
    call.record.usage = usage = meter.usage_of_result(call.request, result.usage, len(raw))
    return WholeAnswer(result.body, usage)


async def _stream(gate: Gate, speech: Speech, attempt: Attempt, call: Call, response: IncomingResponse) -> StreamAnswer:
    if not (response.field(b"content-type") or b"").lower().startswith(speech.upstream.stream_type):
        response.abort()
        raise UpstreamUnavailable("The provider answered a stream with something else.")
    transform = speech.stream()
    if call.tariff is not None and call.tariff.has_tiers:
        transform = TierWatch(transform, ServedTier(call, speech.upstream.tier_marks, response), speech.upstream)
    response.forget_head()
    held_bytes_max = _HELD_BYTES_MAX
    if call.schema is not None:
        transform = Overheard(transform, gate.dialects[call.dialect].parser(), is_array=call.request.is_array)
    if call.is_held:
        held_bytes_max = gate.limits.answer_bytes_max
    answer = StreamAnswer(call, transform, response, attempt, held_bytes_max=held_bytes_max, redact=gate.redact)
    response.pour(answer)
    try:
        await answer.opened
    except BaseException:
        answer.close()
        raise
    attempt.answered()
    return answer


def _request_id(response: IncomingResponse) -> str | None:
    value = response.field(b"x-request-id") or response.field(b"x-amzn-requestid")
    return None if value is None or len(value) > 200 else value.decode("latin-1")
