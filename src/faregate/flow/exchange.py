"""The whole gateway in one function."""

from ..core.call import Call
from ..core.catalog import Candidate
from . import admission, funds, limits, responses, routing, structured, translation
from .gate import Gate
from .meter import Delivered
from .reply import Reply


async def run(gate: Gate, call: Call, reply: Reply) -> None:
    """One call, start to finish. Read this to know what the gateway does.

    Raises CallError where there is no answer to give (the reply then says so, in-band if it has begun), ClientGone
    where nobody is left to give it to. `call.record` tells afterwards what was done.
    """
    items = await gate.responses.recall(call) if call.dialect == responses.DIALECT else None
    model = admission.allow(call)
    call.record.model = model.id
    candidates = routing.choose(gate, call, model)
    limits.fit(gate, call, model)  # 413
    candidates = translation.prepare(gate, call, candidates)
    candidates = structured.prepare(gate, call, candidates)
    bounds = call.terms.bounds_of(limits.CLASSES[call.operation])
    if not bounds:
        end = await _answer(gate, call, reply, candidates)
    else:
        taken = await limits.take(gate, call, candidates, bounds)  # 429; from here on it is counted
        reply.counted(taken.standing)
        try:
            end = await _answer(gate, call, reply, candidates)
        finally:
            taken.settle(call.record.usage.prompt + call.record.usage.completion)
    if items is not None:
        await gate.responses.keep(call, items, end)
    reply.finish(end)


async def _answer(gate: Gate, call: Call, reply: Reply, candidates: tuple[Candidate, ...]) -> bytes:
    """The answer, held for before it is asked for and charged when it is over; returns its end, which is still to be
    given."""
    budgets = await gate.budgets.of(call) if call.caller.budgets else ()
    hold = funds.hold_for(gate, call, candidates, budgets)  # the most that it can cost
    if not gate.ledger.slices.reserve(hold):
        hold = await funds.obtain(gate, call, candidates, hold)  # 402 before any provider hears of it
    cap = call.request.output_tokens_cap
    if cap is not None:
        reply.capped(cap)
    answer = None
    try:
        answer = await structured.open(gate, candidates, call)  # may fail over; not after this line
        if call.request.output_tokens_cap != cap:  # a fallback puts out less
            reply.capped(call.request.output_tokens_cap or 0)
        call.request.forget_members()
        if call.dropped or call.adjusted:
            reply.changed(call.dropped, call.adjusted)
        if call.request.stream:
            await gate.ledger.opened(hold)  # before that, nothing that the model said may leave
            gate.ledger.watch(hold, Delivered(answer.cost_nano, reply.progress).cost_nano, call.record)
        said = len(call.dropped)
        end = await reply.relay(answer)  # all but its end; bytes pass by callback: upstream, transform, socket
        if len(call.dropped) > said:
            reply.changed(call.dropped[said:], ())  # of what came in the stream
        answer.check()
    finally:
        if answer is not None:
            answer.close()  # an upstream that still sends is cut; what was used goes into the record
        funds.settle(gate, call, hold)
    while (news := gate.ledger.settlement(hold)) is not None:
        await news  # the end leaves when the charge is on the disk
    if hold.is_settled:  # else nobody waited for that, and what `settle` expects stands
        call.record.cost_nano = hold.charged
    return end
