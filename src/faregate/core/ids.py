"""Request ids: UUID version 7 (RFC 9562 section 5.7), so that rows keyed by them append."""

import os

_POOL_IDS = 256


def _tails() -> list[str]:
    """What follows the time in the next ids: version 7, variant 10, 64 random bits and a counter of 8 (RFC 9562 section
    6.2): a system call and the formatting for each id would show."""
    noise = os.urandom(8).hex()
    start = f"-7{noise[:3]}-a{noise[3:6]}-{noise[6:]}"
    return [f"{start}{count:02x}" for count in range(_POOL_IDS - 1, -1, -1)]


def id_bytes(request_id: str) -> bytes:
    """The 16 bytes of a UUID's text. ValueError."""
    found = bytes.fromhex(request_id.replace("-", ""))
    if len(found) != 16:
        raise ValueError("no request id")
    return found


def first_id(at_s: float) -> bytes:
    """What no id made at `at_s` (unix time) or later is less than, as id_bytes has it."""
    return int(at_s * 1000).to_bytes(6, "big") + bytes(10)


class RequestIds:
    """Makes UUIDv7 texts."""

    __slots__ = ("_millis", "_start", "_tails")

    def __init__(self) -> None:
        self._tails: list[str] = []
        self._millis = 0
        self._start = ""

    def __call__(self, now_s: float) -> str:
        """A new id as 36 characters of text; `now_s` is unix time."""
        millis = int(now_s * 1000)
        if millis != self._millis:
            self._millis = millis
            digits = f"{millis:012x}"
            self._start = f"{digits[:8]}-{digits[8:]}"
        if not self._tails:
            self._tails = _tails()
        return self._start + self._tails.pop()
