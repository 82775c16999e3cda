"""The door: one request in, one answer out, one record kept, in one place, however it ends.

The first refusal wins, in the order of contract.md section 9: key 401, account 403, route 404 and 405, body 400 and
413, then whatever exchange.run() says.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from ..core.call import Call, OnDisconnect, UsageRecord
from ..core.errors import (
    CallError,
    ClientGone,
    GatewayError,
    InvalidKey,
    MalformedRequest,
    NotPermitted,
    Overloaded,
    TooLarge,
)
from ..core.identity import Caller
from ..core.ids import RequestIds
from ..core.ports import Response
from ..dialects import Dialect
from ..flow import admission, exchange
from ..flow.admission import Callers
from ..flow.counting import count_tokens
from ..flow.gate import Gate
from ..flow.idempotency import Runs, fingerprint_of, key_of
from ..flow.keyed_run import Run
from ..flow.limits import CLASSES
from ..flow.unattended import runs_on
from ..telemetry.log import Log
from ..wire.exchange import BodyTooLarge, BodyTooSlow, IncomingRequest, NoRoomForBody, OutgoingResponse
from ..wire.strand import Strand
from . import intake
from .cors import Cors
from .desk import Desk, refuse_method, route_of
from .floodgate import Floodgate
from .intake import HeadFacts
from .neighbourhood import Neighbourhood
from .probes import Probes
from .reply import Reply
from .routes import Route

CLIENT_GONE_STATUS = 499


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorLimits:
    """Bounds (bytes) and deadlines (seconds) of a request at the door."""

    json_body_bytes_max: int = 32 * 1024 * 1024
    longest_request_s: float = 600.0
    keep_alive_comment_s: float = 15.0
    lag_max_s: float = 1.0
    in_flight_max: int = 20_000


@dataclass(slots=True, kw_only=True)
class Door:
    """Answers every request of the data plane. `floodgates`, by house, stand before those that have one; `keep` takes
    each record when its answer is over."""

    gate: Gate
    houses: Neighbourhood
    desk: Desk
    callers: Callers
    floodgates: Mapping[str, Floodgate]
    runs: Runs
    probes: Probes
    cors: Cors
    log: Log
    keep: Callable[[UsageRecord], None]
    region: str = "default"
    limits: DoorLimits = field(default_factory=DoorLimits)
    in_flight: dict[str, tuple[Caller, Response]] = field(default_factory=dict)
    _ids: RequestIds = field(default_factory=RequestIds)
    _fallback: Dialect = field(init=False)
    _may_run_on: bool = field(init=False)
    _longest_s: dict[str, float] = field(init=False)  # how long a call may take, by house

    def __post_init__(self) -> None:
        self._fallback = self.gate.dialects["openai_chat"]
        self._may_run_on = any(each.on_disconnect != OnDisconnect.CANCEL for each in self.gate.providers.values())
        longest_s = self.limits.longest_request_s
        self._longest_s = {
            house.name: min(longest_s, house.facts.longest_request_s or longest_s) for house in self.houses.houses
        }

    async def answer(self, request: IncomingRequest, response: OutgoingResponse) -> None:
        """The handler of wire.server: never raises."""
        head = request.head
        facts: HeadFacts = head.notes
        if facts is None:
            facts = head.notes = intake.read_head(head, self.houses, self.callers.digest)
        now = time.time()
        record = UsageRecord(
            id=self._ids(now),
            received_at=now,
            method=facts.method,
            client_address=request.client_address,
            region=self.region,
        )
        reply = Reply(
            facts.house,
            response,
            record,
            self.gate.dialects[facts.dialect],
            self.gate.deadlines,
            self.gate.counters,
            self.limits.keep_alive_comment_s,
            facts.wants_trailers,
        )
        if facts.idempotency_key is not None and not facts.no_retention:  # nothing of it may be remembered
            await self._answer_keyed(facts.idempotency_key, facts, request, response, record, reply)
            return
        try:
            if not self._answered_at_once(facts, request, reply):
                caller = self.callers.cached(facts.digest)
                if caller is None:
                    caller = await self._prove(facts, request.client_address)
                route = self._admit(facts, caller, request, reply)
                if not facts.is_call:
                    await self._answer_ourselves(facts, route, caller, request, reply)
                else:
                    self.in_flight[record.id] = (caller, response)  # a revoked key ends it, a slow upload too
                    body = request.take_body(self.limits.json_body_bytes_max)
                    if body is None:
                        body = await self._receive(request, reply)
                    call = self._call(route, facts, caller, body, reply, record)
                    del body  # a stream may run for long after its request is of no use
                    if self._may_run_on:
                        response.runs_on = partial(runs_on, self.gate, call)
                    await exchange.run(self.gate, call, reply)
        except Exception as error:
            self._failed(error, reply, record)
        finally:
            self.in_flight.pop(record.id, None)
            if self._may_run_on:
                self.gate.unattended.over(record.id)
            reply.close()
            if facts.probe is None:
                self.keep(record)

    async def _answer_keyed(
        self,
        presented: bytes,
        facts: HeadFacts,
        request: IncomingRequest,
        response: OutgoingResponse,
        record: UsageRecord,
        reply: Reply,
    ) -> None:
        """As `answer`, for a call under an idempotency key: by a run that goes on when its client leaves and keeps the
        record, or by the run of an earlier request; then the record is one that cost nothing."""
        begun = None
        try:
            self._answered_at_once(facts, request, reply)
            caller = self.callers.cached(facts.digest)
            if caller is None:
                caller = await self._prove(facts, request.client_address)
            route = self._admit(facts, caller, request, reply)
            key = key_of(presented)
            self.in_flight[record.id] = (caller, response)
            body = request.take_body(self.limits.json_body_bytes_max)
            if body is None:
                body = await self._receive(request, reply)
            record.bytes_in = len(body)
            fingerprint = fingerprint_of(facts.house.name, request.head, body)
            run = self.runs.find(caller.project_id, key, fingerprint)
            if run is None:
                # Rates are taken by what is run: a replay takes none.
                own = msgspec.structs.replace(record)
                run = begun = self.runs.begin(caller.project_id, key, fingerprint, own)
                self.in_flight[own.id] = (caller, run)  # a revoked key ends the run, not its first client
                run.strand = Strand(
                    self._run(run, route, facts, caller, body, own), lambda crash: self._crashed(own.id, crash)
                )
                del body
                await reply.follow(run)
            else:
                if caller.key_id != run.record.key_id:
                    asked = self.gate.dialects[route.dialect].parse_request(body, facts.asked).model
                    self._may_use(caller, facts, asked)
                del body
                await reply.follow(run, facts.house.replayed_line)
        except Exception as error:
            self._failed(error, reply, record)
        finally:
            if begun is None:
                self.in_flight.pop(record.id, None)
                reply.close()
                self.keep(record)

    async def _run(
        self, run: Run, route: Route, facts: HeadFacts, caller: Caller, body: bytes, record: UsageRecord
    ) -> None:
        """The run of a call under an idempotency key, whoever may be there to see its answer."""
        gate = self.gate
        comment_s = self.limits.keep_alive_comment_s
        dialect = gate.dialects[route.dialect]
        reply = Reply(facts.house, run, record, dialect, gate.deadlines, gate.counters, comment_s, _wants_trailers=True)
        reply.bounds = caller.terms_for(record.project_id).bounds_of(CLASSES[route.operation])
        try:
            call = self._call(route, facts, caller, body, reply, record)
            del body
            kept = await self.runs.claim(run)
            if kept is None:
                await exchange.run(gate, call, reply)
            else:
                if caller.key_id != kept.key_id:
                    self._may_use(caller, facts, call.request.model)
                run.restore(kept, facts.house.replayed_line)
                run.describe(record)
        except Exception as error:
            self._failed(error, reply, record)
        finally:
            self.in_flight.pop(record.id, None)
            reply.close()
            self.runs.over(run)
            self.keep(record)

    def _may_use(self, caller: Caller, facts: HeadFacts, model: str) -> None:
        """Whether a caller may have the answer to another one's call: it must be able to call that model. CallError."""
        project_id = facts.project_id or caller.project_id
        if not caller.allowed_models and not caller.terms_for(project_id).models:
            return
        snapshot = self.gate.snapshots[facts.house.name]
        model_id = snapshot.resolve(model)
        if model_id is None or not admission.may_use(caller, project_id, model_id, snapshot):
            raise NotPermitted(f"This key may not use the model '{model}'.", param="model")

    async def _receive(self, request: IncomingRequest, reply: Reply) -> bytes:
        body = await request.body(self.limits.json_body_bytes_max)
        reply.restart_clock()  # latency counts from the request's last byte
        return body

    def _failed(self, error: Exception, reply: Reply, record: UsageRecord) -> None:
        """An answer ended by an error: the client is told, where it is there."""
        if isinstance(error, ClientGone) or (isinstance(error, CallError) and reply.is_deserted):
            record.status, record.error_kind = CLIENT_GONE_STATUS, "client_gone"
        elif isinstance(error, CallError):
            reply.fail(error)
        elif isinstance(error, BodyTooLarge | BodyTooSlow | NoRoomForBody):
            reply.fail(_body_error(error, self.limits.json_body_bytes_max))
        else:
            self._crashed(record.id, error)
            reply.fail(GatewayError("The gateway failed. The request id finds what happened."))

    def _answered_at_once(self, facts: HeadFacts, request: IncomingRequest, reply: Reply) -> bool:
        """Whether this was a probe or a browser's preflight, which need no key. Overloaded."""
        if facts.probe is not None:
            self._probe(facts.probe, request, reply)
            return True
        if facts.origin is not None and self.cors:
            reply.add_headers(self.cors.lines(facts.origin))
            if facts.is_preflight:
                reply.send(204, b"", self.cors.preflight(facts.origin))
                return True
        if self.gate.deadlines.lag_s > self.limits.lag_max_s or len(self.in_flight) >= self.limits.in_flight_max:
            raise Overloaded("The gateway has too much to do; try again in a moment.", retry_after_s=1.0)
        floodgate = self.floodgates.get(facts.house.name)
        if floodgate is not None and floodgate.counts_all:
            floodgate.pass_any(request.client_address)
        return False

    def _admit(self, facts: HeadFacts, caller: Caller, request: IncomingRequest, reply: Reply) -> Route:
        """The route that the caller asks for, where it may call and the route is one. CallError."""
        record = reply.record
        record.key_id = caller.key_id  # of whom it was is told of what is refused, too
        record.project_id = caller.project_id
        record.organisation_id = caller.organisation_id
        record.client_request_id = facts.client_request_id
        admission.check(caller, request.client_address)
        request.authenticated()
        route = route_of(facts)
        record.operation, record.dialect = route.operation, route.dialect
        if facts.method not in route.methods:
            refuse_method(facts.method, route, reply)
        if facts.project_id is not None:
            record.project_id = admission.billed_project(caller, facts.project_id)
        if facts.is_call:
            reply.bounds = caller.terms_for(record.project_id).bounds_of(CLASSES[route.operation])
        if facts.flaw is not None:
            raise MalformedRequest(facts.flaw[0], param=facts.flaw[1])
        return route

    async def _prove(self, facts: HeadFacts, address: str) -> Caller:
        """The caller behind a key that was not seen lately. CallError."""
        house, floodgate = facts.house, self.floodgates.get(facts.house.name)
        if floodgate is not None and not self.callers.was_good(facts.digest):
            floodgate.pass_unknown(address)
        try:
            if facts.problem is not None:
                kind, message = facts.problem
                raise kind(message)
            return await self.callers.prove(facts.credential, facts.digest, house.key_prefix, house.name)
        except InvalidKey:
            if floodgate is not None:
                floodgate.failed(address)
            raise

    def _call(
        self, route: Route, facts: HeadFacts, caller: Caller, body: bytes, reply: Reply, record: UsageRecord
    ) -> Call:
        """The call that a body asks for. MalformedRequest."""
        record.bytes_in = len(body)
        request = reply.dialect.parse_request(body, facts.asked)
        terms = caller.terms_for(record.project_id)
        longest_s = self._longest_s[facts.house.name]
        if terms.longest_request_s is not None and terms.longest_request_s < longest_s:
            longest_s = terms.longest_request_s
        request.splits_cache = facts.house.facts.usage.cache_split
        reply.expect(request)
        return Call(
            id=record.id,
            caller=caller,
            operation=route.operation,
            dialect=route.dialect,
            request=request,
            deadline_at=self.gate.deadlines.now + longest_s,
            record=record,
            snapshot=self.gate.snapshots[facts.house.name],
            terms=terms,
            region_hint=facts.region_hint,
            no_retention=facts.no_retention,
            is_strict=facts.is_strict,
            is_held=facts.is_held,
        )

    async def _answer_ourselves(
        self, facts: HeadFacts, route: Route, caller: Caller, request: IncomingRequest, reply: Reply
    ) -> None:
        """What no provider is asked for: look-ups, other methods, bodies that cannot be read. CallError."""
        if facts.method == "OPTIONS":
            refuse_method(facts.method, route, reply)
        elif route.is_call:
            raise MalformedRequest(
                "Encoded request bodies are not accepted; send the body plain.", kind="unsupported_media_type"
            )
        elif route.operation == "count_tokens":
            body = await request.body(self.limits.json_body_bytes_max)
            reply.send(200, await self._count(route, facts, caller, body, reply))
        elif route.operation == "quote":
            body = await request.body(self.limits.json_body_bytes_max)
            reply.send(200, await self.desk.quote(facts, caller, body))
        else:
            reply.send(200, await self.desk.look_up(route, facts, caller, request.head))

    async def _count(self, route: Route, facts: HeadFacts, caller: Caller, body: bytes, reply: Reply) -> bytes:
        call = self._call(route, facts, caller, body, reply, reply.record)
        counting = reply.dialect.counting
        assert counting is not None  # or there were no such route
        return counting.render_result(await count_tokens(self.gate, call, counting))

    def _probe(self, route: Route, request: IncomingRequest, reply: Reply) -> None:
        if request.head.method not in (b"GET", b"HEAD"):
            refuse_method(request.head.method.decode("ascii"), route, reply)
            return
        status, body, lines = self.probes.answer(route.operation, request.client_address)
        reply.send(status, body, lines)

    def cut_revoked(self, objection: Callable[[Caller], CallError | None]) -> int:
        """End the running answers of callers to whom there is an objection now; returns how many."""
        cut = [(response, error) for caller, response in self.in_flight.values() if (error := objection(caller))]
        for response, error in cut:
            response.cancel(error)
        return len(cut)

    def refusal(self, status: int, message: str) -> tuple[int, bytes, bytes]:
        """Status, headers and body for what never became a request (wire.server)."""
        kind = {408: "read_timeout", 431: "head_too_large"}.get(status, "malformed_request")
        now = time.time()
        record = UsageRecord(id=self._ids(now), received_at=now, error_kind=kind, region=self.region)
        house = self.houses.main
        record.status, members, lines = house.error(MalformedRequest(message, kind=kind), record.id)
        self.keep(record)
        head = b"content-type: application/json\r\n" + lines + house.head(record, 0)
        return record.status, head, self._fallback.render_error(record.status, members)

    def _crashed(self, request_id: str, crash: BaseException) -> None:
        frames = traceback.extract_tb(crash.__traceback__)
        where = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames[-6:]]
        # The exception's text may hold content; its type and place do not.
        self.log.event("error", "crash", request_id=request_id, error=type(crash).__name__, where=where)


def _body_error(error: Exception, bytes_max: int) -> CallError:
    if isinstance(error, BodyTooLarge):
        return TooLarge(f"The body is larger than {bytes_max} bytes.")
    if isinstance(error, BodyTooSlow):
        return MalformedRequest("The body arrived too slowly.", kind="read_timeout")
    return Overloaded("The gateway holds as many bodies as it can.", retry_after_s=1.0)
