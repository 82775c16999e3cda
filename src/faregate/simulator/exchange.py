"""One completion: from the request's body to the last byte of its answer, and the entry that tells of it."""

import gzip
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from ..core.errors import ClientGone
from ..wire.exchange import BodyTooLarge, IncomingRequest, OutgoingResponse
from ..wire.messages import WireError, header_lines
from . import shapes
from .answer import Answer, answer_chat, answer_completion
from .faults import REPLACED, SPOILED, Plan, gzip_bomb, stream_bytes, whole_bytes
from .outlet import Cut, Outlet, Pace, pause, silence
from .request import Body, ChatBody, CompletionBody, Refused, read_chat, read_completion
from .truth import Entry, Outcome, TruthLog

BODY_BYTES_MAX = 256 * 1024 * 1024
PINGS_PER_S = 20.0
REPEATED_MAX = 10_000

READERS: dict[str, Callable[[bytes], ChatBody | CompletionBody]] = {
    "/v1/chat/completions": read_chat,
    "/v1/completions": read_completion,
}

_STREAM_FIELDS = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"))
_ERROR_KINDS = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


class Plans:
    """Decides which requests have the faults that their plans ask for."""

    def __init__(self) -> None:
        self._repeated: OrderedDict[bytes, int] = OrderedDict()

    def applicable(self, body: Body, data: bytes) -> Plan:
        """The plan of a request, without its faults where they are meant for others."""
        plan = body.simulator
        if plan.when_model is not None and plan.when_model != body.model:
            return plan.without_faults()
        if plan.times is not None:
            key = hashlib.blake2b(data, digest_size=16).digest()
            seen = self._repeated[key] = self._repeated.pop(key, 0) + 1
            if len(self._repeated) > REPEATED_MAX:
                self._repeated.popitem(last=False)
            if seen > plan.times:
                return plan.without_faults()
        return plan


class Exchange:
    """A request under way."""

    def __init__(
        self,
        request: IncomingRequest,
        response: OutgoingResponse,
        headers: list[tuple[str, str]],
        *,
        entry: Entry,
        truth: TruthLog,
        plans: Plans,
    ) -> None:
        self._request = request
        self._response = response
        self._headers = headers
        self._entry = entry
        self._truth = truth
        self._plans = plans
        self._plan = Plan()
        self._outlet = Outlet(response, self._plan)

    async def run(self) -> None:
        """Answer, and note in the entry how that went."""
        entry = self._entry
        try:
            data = await self._receive()
            check_authorized(self._request)
            body = READERS[entry.path](data)
            self._plan = self._plans.applicable(body, data)
            self._outlet = Outlet(self._response, self._plan)
            entry.outcome = await self._answer(body)
        except Refused as refused:
            entry.outcome = "refused"
            send_refusal(self._response, self._headers, refused)
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

    async def _answer(self, body: ChatBody | CompletionBody) -> Outcome:
        """Send what the plan has for this request."""
        entry, plan = self._entry, self._plan
        entry.model = body.model
        entry.stream = body.stream is True
        for name, text in plan.headers.items():
            self._headers += [(name.lower(), each) for each in ([text] if isinstance(text, str) else text)]
        if plan.stall_before_head_ms:
            await pause(plan.stall_before_head_ms / 1000)
        if plan.redirect_to is not None or plan.status is not None:
            await self._fail()
            return "fault"
        answer = answer_chat(body) if isinstance(body, ChatBody) else answer_completion(body)
        entry.id = answer.id
        entry.prompt_tokens = answer.prompt_tokens
        entry.completion_tokens = answer.completion_tokens
        entry.cached_tokens = answer.cached_tokens
        entry.reasoning_tokens = answer.reasoning_tokens
        pace = Pace(plan)
        if plan.gzip_bomb:
            kind = "text/event-stream" if body.stream else "application/json"
            await self._send_whole(200, gzip_bomb(), kind)
        elif body.stream and plan.malformed == "pings_only":
            await self._ping()
        elif body.stream and plan.malformed not in REPLACED:
            await self._stream(pace, body, answer)
        else:
            await self._whole(pace, body, answer)
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
            message += f" Authorization: {self._request.headers.get(b'authorization', b'').decode('latin-1')}"
        fallback = ("server_error" if status >= 500 else "invalid_request_error", None)
        kind, code = _ERROR_KINDS.get(status, fallback)
        body, content_type = whole_bytes(shapes.error(message, kind, None, code), plan.malformed)
        await self._send_whole(status, body, content_type)

    async def _stream(self, pace: Pace, body: Body, answer: Answer) -> None:
        plan, outlet = self._plan, self._outlet
        frames = shapes.chat_frames if isinstance(body, ChatBody) else shapes.completion_frames
        outlet.start(200, self._head(_STREAM_FIELDS))
        said = 0
        stall_at = float("inf") if plan.stall_after_tokens is None else plan.stall_after_tokens
        for data, frame in stream_bytes(
            frames(answer, with_usage=body.include_usage, fault=plan.usage), plan.malformed
        ):
            if said >= stall_at and frame.kind != "role":
                await silence()
            if frame.tokens:
                said += frame.tokens
                await pace.until(said)
            await outlet.write(data, frame.tokens)
        await outlet.finish()

    async def _ping(self) -> None:
        self._outlet.start(200, self._head(_STREAM_FIELDS))
        while True:
            await self._outlet.write(b": ping\n\n")
            await pause(1 / (self._plan.tokens_per_s or PINGS_PER_S))

    async def _whole(self, pace: Pace, body: Body, answer: Answer) -> None:
        plan = self._plan
        shape = shapes.chat_completion if isinstance(body, ChatBody) else shapes.text_completion
        honest = shapes.encode(shape(answer, plan.usage, finish=plan.malformed != "no_finish"))
        data, content_type = whole_bytes(honest, plan.malformed)
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

    def _head(self, fields: tuple[tuple[str, str], ...]) -> bytes:
        """The head's fields; those of the plan replace ours."""
        plan = self._plan
        encoding = (("content-encoding", "gzip"),) if plan.gzip or plan.gzip_bomb else ()
        replaced = {name for name, _ in self._headers}
        return header_lines([*(field for field in (*fields, *encoding) if field[0] not in replaced), *self._headers])


def check_authorized(request: IncomingRequest) -> None:
    """Any bearer token will do; Refused without one."""
    scheme, _, key = request.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not key.strip():
        message = "You didn't provide an API key. Put it in the Authorization header (Bearer YOUR_KEY)."
        raise Refused(message, status=401, code="invalid_api_key")


def send_refusal(response: OutgoingResponse, headers: list[tuple[str, str]], refused: Refused) -> None:
    """Answer with the error that `refused` is."""
    body = shapes.error(refused.message, refused.kind, refused.param, refused.code)
    response.send(refused.status, header_lines([*headers, ("content-type", "application/json")]), body)
