"""What a plan allows one call, and what is counted of many: fit() cuts a call to its plan, take() counts it."""

from collections.abc import Mapping

from ..core.call import Call
from ..core.catalog import Candidate, Model
from ..core.errors import LimitExceeded, Overloaded, TooLarge
from ..core.limits import Bound, BoundKind, Demand, Refused, Taken
from ..core.plans import EndpointClass
from ..stores.database import StoreError
from .funds import input_tokens_max, output_tokens_max
from .gate import Gate

DAY_S = 86_400
CLASSES: Mapping[str, EndpointClass] = {  # of operations
    "chat": "chat",
    "completions": "chat",
    "embeddings": "embeddings",
}

_TOLD: Mapping[BoundKind, str] = {
    "requests": "{limit} requests a minute",
    "tokens": "{limit} tokens a minute",
    "concurrency": "{limit} requests at the same time",
    "daily_tokens": "{limit} tokens a day (UTC)",
}


def fit(gate: Gate, call: Call, model: Model) -> None:
    """Cut a call to what its plan allows one: TooLarge where its input is more, less output where that is; and to the
    time that its model has."""
    terms, request = call.terms, call.request
    if model.longest_request_s is not None:
        call.deadline_at = min(call.deadline_at, gate.deadlines.now + model.longest_request_s)
    most = terms.context_tokens_max
    if most is not None and call.operation != "embeddings":  # whose inputs are each a context of its own
        tokens = gate.expectations.input_tokens(model.id, request)
        if tokens > most:
            raise TooLarge(
                f"This request has about {tokens} tokens of input; your plan allows {most}.", kind="context_over_plan"
            )
    most = terms.output_tokens_max
    if most is not None:
        asked = request.output_tokens_max
        if asked is None or asked > most:
            request.output_tokens_cap = min(most, output_tokens_max(model, request))


async def take(gate: Gate, call: Call, candidates: tuple[Candidate, ...], bounds: tuple[Bound, ...]) -> Taken:
    """Count a call against all its bounds. LimitExceeded where one is reached: then none has counted it. Overloaded."""
    day = int(call.record.received_at) // DAY_S
    demand = _demand(gate, call, candidates, bounds, day)
    try:
        taken = await gate.counters.take(demand)
    except StoreError:
        raise _unreadable() from None
    if isinstance(taken, Refused):
        raise exceeded(taken, demand)
    return taken


async def would_refuse(
    gate: Gate, call: Call, candidates: tuple[Candidate, ...], bounds: tuple[Bound, ...], now: float
) -> None:
    """As `take`, for a call that is made now, but nothing is counted."""
    demand = _demand(gate, call, candidates, bounds, int(now) // DAY_S)
    try:
        refused = await gate.counters.peek(demand)
    except StoreError:
        raise _unreadable() from None
    if refused is not None:
        raise exceeded(refused, demand)


def _demand(gate: Gate, call: Call, candidates: tuple[Candidate, ...], bounds: tuple[Bound, ...], day: int) -> Demand:
    expected = most = 0
    for kind, _, _, _, _ in bounds:  # one pass by hand: this is on the way of every call
        if kind == "daily_tokens":
            most = most or max(most_tokens(call, candidate.model) for candidate in candidates)
        elif kind == "tokens" and not expected:
            prompt, output = gate.expectations.tokens(candidates[0].model.id, call.request)
            expected = prompt + output
    return tuple.__new__(Demand, (bounds, expected, most, day))


def _unreadable() -> Overloaded:
    return Overloaded("What was used cannot be counted just now; try again in a moment.", retry_after_s=1.0)


def most_tokens(call: Call, model: Model) -> int:
    """The most tokens, in and out, that a call can use."""
    request = call.request
    output = request.output_tokens_cap or request.output_tokens_max
    most = output_tokens_max(model, request)
    if output is None or output > most:
        output = most
    tokens = input_tokens_max(model, request) + request.choices * output
    return tokens if call.schema is None else 2 * tokens


def exceeded(refused: Refused, demand: Demand) -> LimitExceeded:
    """What the client is told of a limit that is reached: when to try again, or that no waiting helps."""
    bound = refused.bound
    told = f"Rate limit reached: {_TOLD[bound.kind].format(limit=bound.limit)} for this {bound.subject}."
    if bound.limit == 0:
        return LimitExceeded(told, retry_after_s=refused.retry_after_s, is_final=True)
    if bound.kind == "daily_tokens" and demand.tokens_max > bound.limit:
        message = f"{told} This request alone can take {demand.tokens_max}; ask for less output."
        return LimitExceeded(message, retry_after_s=refused.retry_after_s, is_final=True)
    message = f"{told} Try again in {_wait(refused.retry_after_s)}."
    return LimitExceeded(message, retry_after_s=refused.retry_after_s)


def _wait(seconds: float) -> str:
    return f"{seconds:.1f} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
