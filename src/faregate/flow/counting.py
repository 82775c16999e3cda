"""How many tokens a prompt is, for clients that ask before they call: the provider's own count where it speaks the
client's dialect and gives one, else what prompts of this size usually are. Nothing is held and nothing is charged."""

import msgspec

from ..core.call import Call
from ..core.catalog import Model, Target
from ..core.errors import Inexpressible, UpstreamError
from ..dialects import Counting
from ..providers import Provider
from ..wire.client import Timeouts
from ..wire.messages import WireError
from . import admission, routing
from .gate import Gate

_COUNT_BYTES_MAX = 256 * 1024


async def count_tokens(gate: Gate, call: Call, counting: Counting) -> int:
    """The tokens of a call's prompt. CallError where the call could not be made."""
    model = admission.allow(call)
    for target in _targets(gate, call, model)[: gate.limits.attempts_max]:
        provider = gate.providers[target.provider]
        if call.dialect in provider.dialects:
            counted = await _asked(gate, provider, target, call, counting)
            if counted is not None:
                return counted
    gate.dialects[call.dialect].understand(call.request)  # what no provider can read is nothing to guess of
    return max(1, gate.expectations.tokens(model.id, call.request)[0])


def _targets(gate: Gate, call: Call, model: Model) -> tuple[Target, ...]:
    """Who may be asked; nobody where all are known to be down: an estimate is better than an error then."""
    routing.fitting(model, call)
    try:
        return routing.targets_of(model, call, gate.health)
    except UpstreamError:
        return ()


async def _asked(gate: Gate, provider: Provider, target: Target, call: Call, counting: Counting) -> int | None:
    """A provider's own count; None where it gives none."""
    body = counting.render_request(call.request, target.upstream_model)
    path = provider.path_of(counting.path(target.upstream_model), target.upstream_model)
    try:
        body = provider.adapted(path, body).body
        authorization = provider.authorization(path, body)
    except (Inexpressible, UpstreamError):
        return None
    head = b"POST %b HTTP/1.1\r\n%b%b%baccept: application/json\r\ncontent-type: application/json\r\n" % (
        path.encode(),
        provider.fields,
        authorization,
        gate.dialects[call.dialect].request_lines(call.request.forwarded),
    )
    limits = gate.limits
    timeouts = Timeouts(limits.connect_timeout_s, limits.first_byte_timeout_s, limits.idle_timeout_s, call.deadline_at)
    try:
        response = await gate.client.send(
            provider.origin, head + b"content-length: %d\r\n\r\n" % len(body), body, timeouts
        )
        answer = await response.read(_COUNT_BYTES_MAX)
    except WireError:
        return None
    if response.status != 200:
        return None
    try:
        return counting.parse_result(answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
