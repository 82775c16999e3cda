"""One request for an answer: from its body to the last byte sent, and the entry that tells of it."""

import gzip
import time

import msgspec

from ..core.errors import ClientGone
from ..wire.exchange import BodyTooLarge, IncomingRequest, OutgoingResponse
from ..wire.messages import WireError, header_lines
from .answer import Answer, prompt_tokens
from .faults import ERROR_MESSAGE, REPLACED, SPOILED, Plan, gzip_bomb, whole_bytes
from .framing import stream_bytes
from .outlet import Cut, Outlet, Pace, pause, silence
from .plans import Plans, check, planned
from .refused import Refused
from .routes import Route
from .truth import Entry, Outcome, TruthLog
from .wires import Asked, Fields

BODY_BYTES_MAX = 256 * 1024 * 1024
PINGS_PER_S = 20.0


class Exchange:
    """A request under way."""

    def __init__(
        self,
        request: IncomingRequest,
        response: OutgoingResponse,
        headers: Fields,
        *,
        route: Route,
        entry: Entry,
        truth: TruthLog,
        plans: Plans,
    ) -> None:
        self._request = request
        self._response = response
        self._headers = headers
        self._route = route
        self._wire = route.wire
        self._entry = entry
        self._truth = truth
        self._plans = plans
        self._plan = Plan()
        self._outlet = Outlet(response, self._plan)

    async def run(self) -> None:
        """Answer, and note in the entry how that went."""
        entry = self._entry
        try:
            asked = await self._read()
            self._plan = asked.question.plan
            self._outlet = Outlet(self._response, self._plan)
            entry.outcome = await self._answer(asked)
        except Refused as refused:
            entry.outcome = "refused"
            send_refusal(self._response, self._headers, self._route, refused, entry.request_id)
        except Cut:
            entry.outcome = "cut"
            self._response.abort()
        except ClientGone:
            entry.outcome = "client_gone"
            entry.client_gone_at = time.time()
        finally:
            entry.status = self._response.status
            entry.bytes_sent = self._response.bytes_out
            entry.tokens_sent = self._outlet.tokens_sent

    async def _read(self) -> Asked:
        """What is asked, with the plan that holds for it."""
        route, wire, headers = self._route, self._wire, self._request.headers
        data = await self._receive()
        wire.authorize(headers, route.query)
        target = self._request.path + (b"?" + self._request.query if self._request.query else b"")
        wire.verify(self._request.method, target, headers, data)
        asked = planned(wire.read(data, wire.call(route.call, headers, route.query)))
        check(asked, wire)
        return self._plans.applied(asked, data)

    async def _receive(self) -> bytes:
        request = self._request
        try:
            data = await request.body(BODY_BYTES_MAX)
        except BodyTooLarge:
            raise Refused("The body is too large.", status=413) from None
        except WireError:
            raise Refused("The body did not arrive.", status=408) from None
        try:
            members = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            members = {}
        self._entry.body_members = list(members)
        self._truth.last_request = {
            "path": self._entry.path,
            "request_id": self._entry.request_id,
            "headers": {name.decode("latin-1"): text.decode("latin-1") for name, text in request.headers.items()},
            "body": msgspec.Raw(data) if members else data.decode("utf-8", "replace"),
        }
        return data

    async def _answer(self, asked: Asked) -> Outcome:
        """Send what the plan has for this request."""
        entry, plan, question = self._entry, self._plan, asked.question
        entry.model = question.model
        entry.stream = question.stream
        for name, text in plan.headers.items():
            self._headers += [(name.lower(), each) for each in ([text] if isinstance(text, str) else text)]
        if plan.stall_before_head_ms:
            await pause(plan.stall_before_head_ms / 1000)
        if plan.redirect_to is not None or plan.status is not None:
            await self._fail()
            return "fault"
        if self._route.call.operation == "count":
            await self._count(asked)
            return "complete"
        answer = self._wire.answer(question)
        entry.vouch(answer)
        pace = Pace(plan)
        if plan.gzip_bomb:
            kind = "text/event-stream" if question.stream else "application/json"
            await self._send_whole(200, gzip_bomb(), kind)
        elif question.stream and plan.malformed == "pings_only":
            await self._ping(asked)
        elif question.stream and plan.malformed not in REPLACED:
            await self._stream(pace, asked, answer)
        else:
            await self._whole(pace, asked, answer)
        return "fault" if plan.gzip_bomb or plan.malformed in SPOILED else "complete"

    async def _fail(self) -> None:
        plan = self._plan
        status = plan.status or 302
        if plan.redirect_to is not None:
            self._headers.append(("location", plan.redirect_to))
        if plan.retry_after_s is not None:
            self._headers.append(("retry-after", f"{plan.retry_after_s:g}"))
        message = plan.error_message or f"The simulator answers with status {status}, as asked."
        if plan.echo_authorization:
            field, text = self._wire.authorize(self._request.headers, self._route.query)
            message += f" {field}: {text}"
        self._headers += self._wire.error_fields(Refused(message, status=status))
        body, content_type = whole_bytes(self._error(message, status), plan.malformed, self._error(ERROR_MESSAGE, 500))
        await self._send_whole(status, body, content_type)

    def _error(self, message: str, status: int) -> bytes:
        return msgspec.json.encode(self._wire.error(Refused(message, status=status), self._entry.request_id))

    async def _count(self, asked: Asked) -> None:
        assert self._wire.count is not None
        self._entry.prompt_tokens = self._entry.fresh_tokens = prompt_tokens(asked.question)
        body = msgspec.json.encode(self._wire.count(self._entry.prompt_tokens))
        data, content_type = whole_bytes(body, self._plan.malformed, self._error(ERROR_MESSAGE, 500))
        await self._send_whole(200, data, content_type)

    async def _stream(self, pace: Pace, asked: Asked, answer: Answer) -> None:
        plan, outlet, wire = self._plan, self._outlet, self._wire
        outlet.start(200, self._stream_head(asked))
        said = 0
        stall_at = float("inf") if plan.stall_after_tokens is None else plan.stall_after_tokens
        for data, frame in stream_bytes(wire.frames(asked, answer), plan.malformed, asked.framing, wire.spoiler):
            if said >= stall_at and frame.kind != "opening":
                await silence()
            if frame.tokens:
                said += frame.tokens
                await pace.until(said)
            await outlet.write(data, frame.tokens)
        await outlet.finish()

    async def _ping(self, asked: Asked) -> None:
        self._outlet.start(200, self._stream_head(asked))
        while True:
            await self._outlet.write(asked.framing.ping)
            await pause(1 / (self._plan.tokens_per_s or PINGS_PER_S))

    async def _whole(self, pace: Pace, asked: Asked, answer: Answer) -> None:
        plan = self._plan
        honest = msgspec.json.encode(self._wire.whole(asked, answer))
        data, content_type = whole_bytes(honest, plan.malformed, self._error(ERROR_MESSAGE, 500))
        await pace.until(answer.completion_tokens)
        tokens = 0 if plan.malformed in SPOILED else answer.completion_tokens
        await self._send_whole(200, data, content_type, tokens)

    async def _send_whole(self, status: int, data: bytes, content_type: str, tokens: int = 0) -> None:
        plan, outlet = self._plan, self._outlet
        head = self._head((("content-type", content_type),))
        if not plan.in_pieces:
            if plan.gzip and not plan.gzip_bomb:
                data = gzip.compress(data, mtime=0)
            outlet.tokens_sent = tokens
            self._response.send(status, head, data)
            return
        outlet.start(status, head)
        if plan.stall_after_tokens is not None:
            await outlet.write(data[: len(data) // 2])
            await silence()
        await outlet.write(data, tokens)
        await outlet.finish()

    def _stream_head(self, asked: Asked) -> bytes:
        return self._head((("content-type", asked.framing.content_type), ("cache-control", "no-cache")))

    def _head(self, fields: tuple[tuple[str, str], ...]) -> bytes:
        """The head's fields; those of the plan replace ours."""
        plan = self._plan
        encoding = (("content-encoding", "gzip"),) if plan.gzip or plan.gzip_bomb else ()
        replaced = {name for name, _ in self._headers}
        return header_lines([*(field for field in (*fields, *encoding) if field[0] not in replaced), *self._headers])


def send_refusal(response: OutgoingResponse, headers: Fields, route: Route, refused: Refused, request_id: str) -> None:
    """Answer with the error that `refused` is, in the words of the route's wire."""
    body = msgspec.json.encode(route.wire.error(refused, request_id))
    head = [*headers, *route.wire.error_fields(refused), ("content-type", "application/json")]
    response.send(refused.status, header_lines(head), body)
