"""Which target is asked when: the attempts of a call, until one gives an answer (limits-and-failover.md).

Theory of operation. While the client has seen nothing, a target that fails is followed by the next, at once; a call's
first move is free, what comes after it is bounded by the provider's budget of retries, so that an outage is not
answered with a multiple of the traffic. Where there is no other target, the same one is asked a second time after a
moment, if what it said may pass. Whatever the client can mend ends the call: no target would take it.
"""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from ..core.call import Call
from ..core.catalog import Candidate, Model, Target
from ..core.errors import (
    CallerError,
    ClientGone,
    Inexpressible,
    UpstreamDenied,
    UpstreamError,
    UpstreamLimited,
)
from . import funds, relay
from .gate import Gate
from .relay import StreamAnswer, WholeAnswer

_PASSING_STATUSES = frozenset({408, 500, 502, 503, 504, 529})
_LIMITED_S_MAX = 2.0  # longer than that nobody is kept waiting for a limit to pass
_BACKOFF_S = 0.05
_SLACK_S = 0.01  # the loop's timers may be early, and before its limit is over nobody may ask a target


async def open(gate: Gate, candidates: tuple[Candidate, ...], call: Call) -> WholeAnswer | StreamAnswer:
    """The answer of the first target of the first candidate that gives one. Raises the last target's CallError where
    none does; Inexpressible where no target of the model that was asked for can be told what the client says."""
    first = candidates[0]
    attempt = gate.health.begin(first.targets[0]) if first.depth == 0 else None
    failure: UpstreamError | Inexpressible | None = None
    if attempt is not None:
        try:
            return await relay.ask(gate, first.model, attempt, call)  # nearly always
        except (UpstreamError, Inexpressible) as error:
            failure = error
    return await _next_answer(gate, candidates, call, failure)


async def _next_answer(
    gate: Gate, candidates: tuple[Candidate, ...], call: Call, failure: UpstreamError | Inexpressible | None
) -> WholeAnswer | StreamAnswer:
    """As `open`, after the first target's `failure`; None where it was not asked."""
    failures: list[UpstreamError] = []
    cap = call.request.output_tokens_cap
    for candidate in candidates:
        if candidate.depth != call.record.fallback_depth:
            call.request.output_tokens_cap = cap  # not what one that did not answer would have been cut at
            funds.turn_to(gate, call, candidate.model)
            call.record.fallback_depth = candidate.depth
        try:
            answer = await _first_answer(gate, candidate, call, failures, failure)
        except CallerError:
            if candidate.depth == 0:
                raise
            continue  # nobody asked for this one: what it does not take is not the client's to mend
        if answer is not None:
            return answer
        failure = None
    raise _verdict(failures) if failures else gate.health.refusal(candidates[0].targets)  # since they were chosen


async def _first_answer(
    gate: Gate,
    candidate: Candidate,
    call: Call,
    failures: list[UpstreamError],
    failure: UpstreamError | Inexpressible | None,
) -> WholeAnswer | StreamAnswer | None:
    """The answer of the first of a candidate's targets that gives one, after its first target's `failure`, if that was
    asked; None where none does, for the `failures` that are added. CallError, ClientGone."""
    targets, health = candidate.targets[: gate.limits.attempts_max], gate.health
    failed_before = len(failures)
    untold: Inexpressible | None = None
    asked = 0 if failure is None else 1
    while True:
        if isinstance(failure, UpstreamError):
            failures.append(failure)
            call.record.upstream_error = failure.reason
        elif failure is not None:
            untold = untold or failure
        is_repeat = asked == len(targets) == 1 and isinstance(failure, UpstreamError) and gate.limits.repeats
        if is_repeat and (wait_s := _patience_s(failures[-1])) is not None:
            await asyncio.sleep(wait_s + _SLACK_S)
        elif asked >= len(targets):
            break
        target = targets[0 if is_repeat else asked]
        if call.is_deserted:
            raise ClientGone  # what failed costs nothing, and nobody waits for more
        is_bounded = is_repeat or asked > 1
        if (failures and not _has_time(gate, candidate.model, call)) or (
            is_bounded and not health.may_retry(target.provider)
        ):
            break
        asked += 1
        failure = None
        attempt = health.begin(target)
        if attempt is None:
            continue
        if candidate.depth or (failures and not is_repeat):
            call.record.has_failed_over = True
        asking = relay.ask(gate, candidate.model, attempt, call)
        try:
            return await (_bounded(gate, target, asking) if is_bounded else asking)
        except (UpstreamError, Inexpressible) as error:
            failure = error
    if untold is not None and len(failures) == failed_before:
        raise untold
    return None


async def _bounded(
    gate: Gate, target: Target, asking: Coroutine[Any, Any, WholeAnswer | StreamAnswer]
) -> WholeAnswer | StreamAnswer:
    """An attempt that counts as a retry for as long as it has no answer."""
    gate.health.retrying(target.provider, 1)
    try:
        return await asking
    finally:
        gate.health.retrying(target.provider, -1)


def _has_time(gate: Gate, model: Model, call: Call) -> bool:
    """Whether an answer can still begin before the longest request is over."""
    return call.deadline_at - gate.deadlines.now > gate.expectations.first_byte_s(model.id, call.request)


def _patience_s(failure: UpstreamError) -> float | None:
    """After how many seconds the only target may be asked again; None where that would be in vain."""
    if isinstance(failure, UpstreamLimited):
        wait_s = failure.retry_after_s
        return wait_s if wait_s is not None and wait_s <= _LIMITED_S_MAX else None
    if failure.status in _PASSING_STATUSES and not isinstance(failure, UpstreamDenied):
        return _BACKOFF_S * random.random()
    return None


def _verdict(failures: list[UpstreamError]) -> UpstreamError:
    """The failure to tell of: a limit only where every target limits us, then the shortest wait (contract.md 3.6)."""
    others = [failure for failure in failures if not isinstance(failure, UpstreamLimited)]
    if others:
        return others[-1]
    return min(failures, key=lambda failure: failure.retry_after_s or 0.0)
