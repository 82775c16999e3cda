"""Which target is asked when: the attempts of a call, until one gives an answer (limits-and-failover.md).

Theory of operation. While the client has seen nothing, a target that fails is followed by the next, at once; a call's
first move is free, what comes after it is bounded by the provider's budget of retries, so that an outage is not
answered with a multiple of the traffic. Where there is no other target, the same one is asked a second time after a
moment, if what it said may pass. Whatever the client can mend ends the call: no target would take it.
"""

import asyncio
import random

from ..core.call import Call
from ..core.catalog import Candidate, Model
from ..core.errors import (
    CallerError,
    CallError,
    ClientGone,
    DeadlineExceeded,
    Inexpressible,
    UpstreamDenied,
    UpstreamError,
    UpstreamLimited,
    UpstreamRefused,
    UpstreamUnavailable,
)
from ..wire.messages import WireError
from . import funds, relay
from .gate import Gate
from .health import Attempt
from .refusals import call_error
from .relay import StreamAnswer, WholeAnswer

_PASSING_STATUSES = frozenset({408, 500, 502, 503, 504, 529})
_LIMITED_S_MAX = 2.0  # longer than that nobody is kept waiting for a limit to pass
_BACKOFF_S = 0.05


async def open(gate: Gate, candidates: tuple[Candidate, ...], call: Call) -> WholeAnswer | StreamAnswer:
    """The answer of the first target of the first candidate that gives one. Raises the last target's CallError where
    none does; Inexpressible where no target of the model that was asked for can be told what the client says."""
    failures: list[UpstreamError] = []
    for candidate in candidates:
        if candidate.depth != call.record.fallback_depth:
            funds.turn_to(gate, call, candidate.model)
            call.record.fallback_depth = candidate.depth
        try:
            answer = await _first_answer(gate, candidate, call, failures)
        except CallerError:
            if candidate.depth == 0:
                raise
            continue  # nobody asked for this one: what it does not take is not the client's to mend
        if answer is not None:
            return answer
    raise _verdict(failures)


async def _first_answer(
    gate: Gate, candidate: Candidate, call: Call, failures: list[UpstreamError]
) -> WholeAnswer | StreamAnswer | None:
    """The answer of the first of a candidate's targets that gives one; None where none does, for the `failures` that
    are added. CallerError, Inexpressible, DeadlineExceeded, ClientGone."""
    untold: Inexpressible | None = None
    failed_before = len(failures)
    left = list(candidate.targets[: gate.limits.attempts_max])
    moves = 0
    while left:
        target = left.pop(0)
        if call.is_deserted:
            raise ClientGone  # what failed costs nothing, and nobody waits for more
        if failures and not _has_time(gate, candidate.model, call):
            break
        is_repeat = moves == 1 and len(candidate.targets) == 1
        is_bounded = is_repeat or moves > 1
        if is_bounded and not gate.health.may_retry(target.provider):
            break
        attempt = gate.health.begin(target)
        if attempt is None:
            continue
        moves += 1
        if candidate.depth or (failures and not is_repeat):
            call.record.has_failed_over = True
        try:
            return await _ask(gate, candidate.model, attempt, call, is_bounded=is_bounded)
        except Inexpressible as failure:
            untold = untold or failure
            continue
        except UpstreamError as failure:
            failures.append(failure)
            call.record.upstream_error = failure.reason
            wait_s = _patience_s(failure)
        if moves == len(candidate.targets) == 1 and wait_s is not None and gate.limits.repeats:
            await asyncio.sleep(wait_s)
            left.append(target)
    if untold is not None and len(failures) == failed_before:
        raise untold
    return None


async def _ask(
    gate: Gate, model: Model, attempt: Attempt, call: Call, *, is_bounded: bool
) -> WholeAnswer | StreamAnswer:
    """One attempt; its target's health hears how it ends. UpstreamError where another may be made."""
    target, record = attempt.target, call.record
    record.provider = target.provider
    record.upstream_model = target.upstream_model
    record.region = target.region
    record.replica = target.replica
    patient_until = gate.deadlines.now + gate.limits.first_byte_timeout_s
    if is_bounded:
        gate.health.retrying(target.provider, 1)
    try:
        return await relay.ask(gate, model, attempt, call)
    except (WireError, CallError) as error:
        failure = call_error(error)
        if isinstance(failure, UpstreamRefused):
            attempt.answered()
        elif isinstance(failure, UpstreamError):
            attempt.failed(failure)
        elif isinstance(failure, DeadlineExceeded) and gate.deadlines.now > patient_until:
            attempt.failed(UpstreamUnavailable(failure.message, reason="no answer in time"))
        attempt.gave_up()
        raise failure from None
    except BaseException:
        attempt.gave_up()
        raise
    finally:
        if is_bounded:
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
    if not failures:  # all were ejected while the call was on its way
        return UpstreamUnavailable("The provider is not available.", reason="ejected", is_worth_retrying=False)
    others = [failure for failure in failures if not isinstance(failure, UpstreamLimited)]
    if others:
        return others[-1]
    return min(failures, key=lambda failure: failure.retry_after_s or 0.0)
