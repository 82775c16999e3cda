"""What streams have cost so far, saved now and then (money.md R6): after a crash that is what is charged."""

from collections.abc import Callable

import msgspec

from ..core.call import UsageRecord
from .holds import Hold
from .slices import Slices

INTERVAL_S = 1.0
NANO = 500_000  # of cost that is not saved yet, for which a checkpoint does not wait


class _Meter(msgspec.Struct):
    """A stream whose cost grows, and when it was last saved."""

    cost_nano: Callable[[], int]
    call: UsageRecord
    saved_at: float


class Checkpoints:
    """The streams under way, which are saved as records of `slices`. `clock` is monotonic."""

    def __init__(self, slices: Slices, clock: Callable[[], float]) -> None:
        self._slices = slices
        self._clock = clock
        self._meters: dict[Hold, _Meter] = {}

    def watch(self, hold: Hold, cost_nano: Callable[[], int], call: UsageRecord) -> None:
        """A stream begins."""
        self._meters[hold] = _Meter(cost_nano, call, self._clock())

    def forget(self, hold: Hold) -> None:
        """It is settled."""
        self._meters.pop(hold, None)

    def save(self) -> None:
        """Save what is due."""
        now = self._clock()
        for hold, meter in self._meters.items():
            cost_nano = meter.cost_nano()
            if now - meter.saved_at >= INTERVAL_S or cost_nano - hold.saved > NANO:
                meter.saved_at = now
                self._slices.checkpoint(hold, cost_nano, meter.call)
