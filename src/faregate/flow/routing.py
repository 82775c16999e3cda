"""Where a call goes: the ordered targets of a model."""

import random

from ..core.catalog import Model, Snapshot, Target
from ..core.errors import UpstreamUnavailable


def choose(model: Model, snapshot: Snapshot) -> tuple[Target, ...]:
    """The targets of `model`, in the order to be tried: one drawn by weight, the rest by falling weight."""
    targets = snapshot.targets.get(model.id, ())
    if len(targets) == 1:
        return targets
    if not targets:
        raise UpstreamUnavailable("No provider serves this model.")
    first = random.choices(targets, [max(target.weight, 0) or 1e-9 for target in targets])[0]
    rest = sorted((target for target in targets if target is not first), key=lambda target: -target.weight)
    return (first, *rest)
