"""Where a call goes: the ordered targets of a model."""

import random
from collections.abc import Sequence

from ..core.call import Call
from ..core.catalog import Model, Target
from ..core.errors import MalformedRequest, UpstreamUnavailable
from .health import Health


def choose(model: Model, call: Call, health: Health) -> tuple[Target, ...]:
    """The targets of `model` that the call may have and that are in order, as they are to be tried: those of the region
    that it would rather be served in, then the others; of each kind one drawn by weight, the rest by falling weight.
    UpstreamError where nobody serves the model, or nobody does now, MalformedRequest where nobody does in the regions
    of its plan, or who keeps nothing of a call that demands that."""
    targets = health.passing(_fitting(model, call))
    if len(targets) == 1:
        return targets
    if call.region_hint is None:
        return _ordered(targets)
    near = [target for target in targets if target.region == call.region_hint]
    return (*_ordered(near), *_ordered([target for target in targets if target.region != call.region_hint]))


def _fitting(model: Model, call: Call) -> tuple[Target, ...]:
    """The targets that the call may have."""
    targets = call.snapshot.targets.get(model.id, ())
    if not targets:
        raise UpstreamUnavailable("No provider serves this model.")
    for regions in call.terms.regions:
        if call.region_hint is not None and call.region_hint not in regions:
            raise _unavailable(f"Your plan does not have the region '{call.region_hint}'.")
        targets = tuple(target for target in targets if target.region in regions)
        if not targets:
            raise _unavailable(f"Nobody serves '{model.id}' in the regions of your plan.")
    if call.no_retention:
        targets = tuple(target for target in targets if target.zero_retention)
        if not targets:
            message = f"No provider serves '{model.id}' without keeping anything of the request."
            raise MalformedRequest(message, kind="no_retention_unavailable")
    return targets


def _unavailable(message: str) -> MalformedRequest:
    return MalformedRequest(message, kind="region_unavailable")


def _ordered(targets: Sequence[Target]) -> tuple[Target, ...]:
    if len(targets) < 2:
        return tuple(targets)
    first = random.choices(targets, [max(target.weight, 0) or 1e-9 for target in targets])[0]
    rest = sorted((target for target in targets if target is not first), key=lambda target: -target.weight)
    return (first, *rest)
