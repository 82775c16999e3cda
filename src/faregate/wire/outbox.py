"""The writes of one turn of the loop, sent together at its end.

A write between two reads wakes its reader at once; where that is on this machine, it does its one piece of work and
sleeps again before the next write, and to wake it anew costs the writer more than the write (on a virtual machine many
times more). So what is written while the loop goes through what it has read waits for the end of that turn, or for
`_WRITES_MAX` others, whichever is first: a wait of well under a millisecond, and none where the loop has nothing else
to do.
"""

import asyncio

_WRITES_MAX = 32


class Outbox:
    """Takes writes for transports, in order. One for the loop.

    Whoever closes a transport flushes first, so that what it was given still leaves.
    """

    __slots__ = ("_armed", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._armed = False  # whether the end of this turn will flush

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write `data` to `transport` at the end of this turn of the loop."""
        waiting = self._waiting
        waiting.append((transport, data))
        if len(waiting) >= _WRITES_MAX:
            self.flush()
        elif not self._armed:
            self._armed = True
            self._loop.call_soon(self._turn_ended)

    def flush(self) -> None:
        """Write now what waits."""
        waiting = self._waiting
        if waiting:
            self._waiting = []
            for transport, data in waiting:
                if not transport.is_closing():
                    transport.write(data)

    def _turn_ended(self) -> None:
        self._armed = False
        self.flush()
