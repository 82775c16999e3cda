"""One coarse timer for every deadline of a loop.

A connection changes its deadline with each byte that moves; a timer of the loop's own for each would cost more than
the byte. So a deadline is an attribute, `due_at`, and one tick looks at all that are watched. Deadlines are late by
up to a tick (0.1 s), never early.
"""

import asyncio
from typing import Protocol

NEVER = float("inf")
TICK_S = 0.1


class Watched(Protocol):
    """What can be watched: `due()` is called once `due_at` (monotonic seconds) has passed, at every tick until it
    is moved."""

    due_at: float

    def due(self) -> None:
        """The deadline has passed."""


class Deadlines:
    """Watches deadlines, and keeps `now`: the loop's time as of the last tick, free to read."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float = TICK_S) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._watched: dict[Watched, None] = {}
        self.now = loop.time()
        self.lag_s = 0.0
        self._timer = loop.call_later(tick_s, self._tick)

    def watch(self, item: Watched) -> None:
        """Look at `item` from now on."""
        self._watched[item] = None

    def forget(self, item: Watched) -> None:
        """Look at `item` no longer; harmless where it was not watched."""
        self._watched.pop(item, None)

    def close(self) -> None:
        """Stop the timer."""
        self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self.lag_s = max(0.0, now - self.now - self._tick_s)
        self.now = now
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        for item in [item for item in self._watched if item.due_at <= now]:
            if item in self._watched:  # an earlier one's end may have been this one's too
                item.due()
