"""Where a call goes: the models that may answer it, and the ordered targets of each."""

import random
from collections.abc import Sequence

from ..core.call import Call
from ..core.catalog import Candidate, Model, Target
from ..core.errors import MalformedRequest, UpstreamError, UpstreamUnavailable
from . import admission
from .gate import Gate
from .health import Health


def choose(gate: Gate, call: Call, model: Model) -> tuple[Candidate, ...]:
    """What may answer the call, in the order to be tried: the model that it asks for, and those of its fallbacks that
    could take the call. UpstreamError, MalformedRequest: as `targets_of`, where no fallback can help."""
    if not model.fallbacks or call.operation == "embeddings":  # another model's vectors mean something else
        return (Candidate(model, targets_of(model, call, gate.health)),)
    fallbacks = [found for name in model.fallbacks if (found := call.snapshot.models.get(name)) is not None]
    candidates: list[Candidate] = []
    depth = 0
    for candidate in (model, *(fallback for fallback in fallbacks if _could_take(gate, call, fallback))):
        try:
            targets = targets_of(candidate, call, gate.health, has_fallback=True)
        except UpstreamError:
            targets = ()
        except MalformedRequest:
            if candidate is model:
                raise
            continue
        if targets:
            candidates.append(Candidate(candidate, targets, depth))
        depth += 1
    return tuple(candidates) or (Candidate(model, targets_of(model, call, gate.health)),)


def _could_take(gate: Gate, call: Call, model: Model) -> bool:
    """Whether the caller may use a model that it did not ask for, and that can read, by what is known, what it says."""
    request = call.request
    try:
        admission.takes(model, images=request.has_images, audio=request.has_audio)
    except MalformedRequest:
        return False
    window = model.context_window
    return (
        gate.tariffs.has(model)
        and admission.may_use(call.caller, call.record.project_id, model.id, call.snapshot)
        and (window is None or gate.expectations.input_tokens(model.id, request) <= window)
    )


def targets_of(model: Model, call: Call, health: Health, *, has_fallback: bool = False) -> tuple[Target, ...]:
    """The targets of `model` that the call may have and that are in order, as they are to be tried: those of the region
    that it would rather be served in, then the others; of each kind one drawn by weight, the rest by falling weight.
    UpstreamError where nobody serves the model, or nobody does now, MalformedRequest where nobody does in the regions
    of its plan, or who keeps nothing of a call that demands that."""
    targets = fitting(model, call)
    if health.remembered:
        targets = health.passing(targets, has_fallback=has_fallback)
    if len(targets) == 1:
        return targets
    if call.region_hint is None:
        return _ordered(targets)
    near = [target for target in targets if target.region == call.region_hint]
    return (*_ordered(near), *_ordered([target for target in targets if target.region != call.region_hint]))


def fitting(model: Model, call: Call) -> tuple[Target, ...]:
    """The targets of `model` that the call may have. UpstreamUnavailable, MalformedRequest."""
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
