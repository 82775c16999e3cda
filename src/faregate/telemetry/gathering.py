"""What the workers of a gateway count, gathered by whichever of them is asked for it.

Theory of operation. Each place of a worker has a page, a file in memory that the parent makes and every worker
inherits. A worker writes to its own what it has counted, once a second and before it answers for all, and reads the
others', so that nobody waits for anybody: of one that is stopped or dead the last that it wrote is there. Who takes the
place of a dead one goes on from that. So the sum never falls while the gateway runs, as Prometheus wants it of a
counter; what a killed worker counted in its last second was in no sum yet, and is lost. How things stood with a worker,
its gauges, is believed for FRESH_S.

A page has two slots, written in turn. One that was half written, or is being written, does not agree with its checksum:
then the other holds.
"""

import contextlib
import os
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec

from .metrics import Family

PUBLISH_INTERVAL_S = 1.0
FRESH_S = 5.0
_SLOT_BYTES = 1 << 26  # the files are sparse
_HEAD = struct.Struct("=QIId")  # number of the writing, bytes, checksum of what follows, moment of the machine's clock
_TRIES = 3  # at a slot that is being written

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Family]).decode


class _Written(NamedTuple):
    """What a page says; `number` 0: nothing yet."""

    number: int
    at: float
    families: list[Family]


def made_page() -> int:
    """The descriptor of a new page, gone with the last process that has it. OSError."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("faregate-figures")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Gathering:
    """The pages of all workers, as the one at place `own` sees them."""

    def __init__(self, pages: Sequence[int], own: int, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._pages = pages
        self._own = own
        self._monotonic = monotonic
        self._number, _, families = _read(pages[own])
        self._inherited = [family for family in families if family.kind != "gauge"]

    def publish(self, families: Iterable[Family]) -> None:
        """Let the others know what this process has counted, and how it stands."""
        self._number += 1
        body = _encode(summed([self._inherited, families]))
        moment = self._monotonic()
        if _HEAD.size + len(body) <= _SLOT_BYTES:
            head = _HEAD.pack(self._number, len(body), _checksum(self._number, moment, body), moment)
            with contextlib.suppress(OSError):  # no memory just now: the others see that this one is silent
                os.pwrite(self._pages[self._own], head + body, self._number % 2 * _SLOT_BYTES)

    def all(self) -> list[Family]:
        """The figures of all together, and how long each has been silent."""
        now = self._monotonic()
        silent = Family("faregate_worker_silent_seconds", "Since a worker last told its figures.", "gauge")
        told = []
        for place, page in enumerate(self._pages):
            number, at, families = _read(page)
            if number:
                silent.samples[f'{silent.name}{{worker="{place}"}}'] = max(0.0, now - at)
                is_fresh = now - at <= FRESH_S
                told.append([family for family in families if is_fresh or family.kind != "gauge"])
        return [*summed(told), silent]


def summed(of_each: Iterable[Iterable[Family]]) -> list[Family]:
    """The sum of each series."""
    sums: dict[str, Family] = {}
    for families in of_each:
        for family in families:
            known = sums.setdefault(family.name, Family(family.name, family.text, family.kind, {})).samples
            for series, value in family.samples.items():
                known[series] = known.get(series, 0) + value
    return list(sums.values())


def _read(page: int) -> _Written:
    """The last that was written whole."""
    found = _Written(0, 0.0, [])
    for _ in range(_TRIES):
        heads = [(os.pread(page, _HEAD.size, slot * _SLOT_BYTES), slot) for slot in (0, 1)]
        slots = sorted(((_HEAD.unpack(head), slot) for head, slot in heads if len(head) == _HEAD.size), reverse=True)
        for (number, length, checksum, moment), slot in slots:
            body = os.pread(page, length, slot * _SLOT_BYTES + _HEAD.size)
            if number and len(body) == length and _checksum(number, moment, body) == checksum:
                if number > found.number:
                    found = _Written(number, moment, _decode(body))
                break
        if not slots or found.number == slots[0][0][0]:
            break
    return found


def _checksum(number: int, moment: float, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(struct.pack("=Qd", number, moment)))
