"""Request ids: UUID version 7 (RFC 9562 section 5.7), so that rows keyed by them append."""

import os
import time

_POOL_IDS = 256


def _tails() -> list[str]:
    """The random part of many ids at once, because a system call for each would show: version 7, variant 10 (its two
    other bits fixed too)."""
    noise = os.urandom(9 * _POOL_IDS).hex()
    return [
        f"-7{noise[at : at + 3]}-a{noise[at + 3 : at + 6]}-{noise[at + 6 : at + 18]}"
        for at in range(0, 18 * _POOL_IDS, 18)
    ]


class RequestIds:
    """Makes UUIDv7 texts."""

    __slots__ = ("_tails",)

    def __init__(self) -> None:
        self._tails: list[str] = []

    def __call__(self) -> str:
        """A new id as 36 characters of text."""
        if not self._tails:
            self._tails = _tails()
        millis = f"{time.time_ns() // 1_000_000:012x}"
        return f"{millis[:8]}-{millis[8:]}{self._tails.pop()}"
