"""Request ids: UUID version 7 (RFC 9562 section 5.7), so that rows keyed by them append."""

import os
import time

_POOL_IDS = 512


class RequestIds:
    """Makes UUIDv7 texts; randomness is drawn for many ids at once, because a system call each would show."""

    __slots__ = ("_pool", "_position")

    def __init__(self) -> None:
        self._pool = ""
        self._position = 0

    def __call__(self) -> str:
        """A new id as 36 characters of text."""
        position = self._position
        if position >= len(self._pool):
            self._pool = os.urandom(10 * _POOL_IDS).hex()
            position = 0
        self._position = position + 20
        noise = self._pool[position : position + 20]
        millis = f"{time.time_ns() // 1_000_000:012x}"
        variant = "89ab"[int(noise[3], 16) & 3]
        return f"{millis[:8]}-{millis[8:]}-7{noise[:3]}-{variant}{noise[4:7]}-{noise[7:19]}"
