"""What a call would come to, without making it: the first steps of exchange.run, and nothing is held or sent."""

import time

import msgspec

from ..core.call import Call
from ..core.catalog import Target
from ..core.errors import CallError
from ..core.usage import Usage
from . import admission, funds, limits, routing, structured, translation
from .gate import Gate


class Quote(msgspec.Struct, kw_only=True):
    """Amounts are nano-USD. `target` is the first that would be tried, `output_tokens_max` what the answer would be cut
    at where the credit covers no more, `refusal` why the call would not be made, None where it would be."""

    model: str | None = None
    target: Target | None = None
    price_version: str | None = None
    held_nano: int = 0
    expected_nano: int = 0
    output_tokens_max: int | None = None
    refusal: CallError | None = None


async def quote(gate: Gate, call: Call) -> Quote:
    """What `call` would come to now."""
    found = Quote()
    try:
        model = admission.allow(call)
        found.model = model.id
        candidates = routing.choose(gate, call, model)
        limits.fit(gate, call, model)
        found.target = candidates[0].targets[0]
        candidates = translation.prepare(gate, call, candidates)
        found.target = candidates[0].targets[0]
        candidates = structured.prepare(gate, call, candidates)
        call.tariff = tariff = funds.tariff_of(gate, call, model)
        found.price_version = tariff.version
        prompt, output = gate.expectations.tokens(model.id, call.request)
        found.expected_nano = tariff.charge_nano(Usage(input=prompt, output=output))
        bounds = call.terms.bounds_of(limits.CLASSES[call.operation])
        if bounds:
            await limits.would_refuse(gate, call, candidates, bounds, time.time())
        budgets = await gate.budgets.of(call) if call.caller.budgets else ()
        hold = funds.hold_for(gate, call, candidates, budgets)
        found.held_nano = hold.amount
        free_nano = await gate.ledger.free_nano(hold.groups)
        if hold.amount > free_nano:
            lowered = funds.lowered(gate, call, candidates, hold, free_nano)
            if lowered is None:
                raise funds.no_funds(hold, await gate.ledger.free_nano((hold.payer,)))
            found.held_nano = lowered.amount
        found.output_tokens_max = call.request.output_tokens_cap
    except CallError as refusal:
        found.refusal = refusal
    return found
