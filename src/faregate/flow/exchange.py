"""The whole gateway in one function."""

from ..core.call import Call
from . import admission, relay, routing
from .gate import Gate
from .relay import Reply


async def run(gate: Gate, call: Call, reply: Reply) -> None:
    """One call, start to finish. Read this to know what the gateway does.

    Raises CallError where there is no answer to give (the reply then says so, in-band if it has begun), ClientGone
    where nobody is left to give it to. `call.record` tells afterwards what was done.
    """
    snapshot = gate.snapshot
    model = admission.allow(call, snapshot)
    call.record.model = model.id
    targets = routing.choose(model, snapshot)
    answer = await relay.open(gate, targets, call)  # may fail over; not after this line
    call.request.forget_members()
    try:
        await reply.relay(answer)  # bytes pass by callback: upstream, transform, socket
    finally:
        answer.close()  # an upstream that still sends is cut; what was used goes into the record
