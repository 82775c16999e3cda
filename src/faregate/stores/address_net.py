"""How often each client address may do something: one rate for every address, exact for all workers of a machine.

An IPv4 address counts by itself, IPv6 by its /64, which is what one customer of a network gets. GCRA: the cell of an
address holds the moment until which what it took is worked off; that may be a whole window ahead. So an idle address
may do all of a window's at once, and twice as much within its first window.

The table is bounded. A new address takes the place of the one, among the few where its hash points, that owes the
least: whoever floods the table with addresses drives out those that hardly count, and nobody is refused for it.
"""

import time
from collections.abc import Callable
from pathlib import Path

from ..core.addresses import subscriber_of
from .counter_table import LAYOUT, CounterFile, HeldUp

CELLS = 131_072  # 2 MB
HELD_UP_S = 1.0  # another process was stopped while it counted: nobody passes uncounted
_WAYS = 8
_CELL_WORDS = 2  # the address, and what is owed until
_SECOND_NS = 1_000_000_000
_HASH = 0x9E3779B97F4A7C15
_IPV4 = 1 << 32  # beside ::/32, which nobody has (RFC 4291 section 2.5.2 and IANA's registry: 0000::/8 is reserved)


class AddressNet:
    """A net of its own name: `limit` in `window_s` seconds for each address. What is no address passes. OSError."""

    def __init__(
        self,
        folder: Path,
        name: str,
        limit: int,
        window_s: float,
        *,
        alone: bool = False,
        cells: int = CELLS,
        report: Callable[[str, str], object] = lambda _, __: None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path, regions = folder / f"addresses-{name}-{LAYOUT}", ((cells, _CELL_WORDS),)
        self._file = CounterFile(path, regions, alone=alone, report=report)
        region = self._file.regions[0]
        region.ask_disk()
        self._first = region.first
        self._buckets = cells // _WAYS
        self._window_ns = round(window_s * _SECOND_NS)
        self._cost_ns = -(-self._window_ns // limit)
        self._spare_ns = self._cost_ns * limit - self._window_ns  # so that rounding costs nobody the last one
        self._now_ns = monotonic_ns

    def take(self, address: str) -> float | None:
        """Count one. None where it may be, else the seconds until the next may: then nothing was counted."""
        return self._ask(address, 1)

    def peek(self, address: str) -> float | None:
        """What `take` would say."""
        return self._ask(address, 0)

    def _ask(self, address: str, count: int) -> float | None:
        word = _word_of(address)
        if word is None:
            return None
        file = self._file
        if shared := file.look_around():
            try:
                self._enter()
            except HeldUp:
                return HELD_UP_S
        try:
            view, now = file.view, self._now_ns()
            cell = self._cell_of(word)
            known = view[cell] == word
            until = max(now, view[cell + 1]) if known else now
            wait_ns = until + self._cost_ns - now - self._window_ns - self._spare_ns
            if wait_ns > 0:
                return wait_ns / _SECOND_NS
            if count:
                if not known:
                    view[cell] = word
                view[cell + 1] = until + self._cost_ns
            return None
        finally:
            if shared:
                file.leave()

    def _enter(self) -> None:
        try:
            self._file.enter()
        except OSError:
            self._file.wait()

    def _cell_of(self, word: int) -> int:
        """The cell of an address, or the one that it may have: that which owes the least."""
        view = self._file.view
        bucket = (word * _HASH & 0xFFFFFFFF_FFFFFFFF) >> 24
        start = self._first + bucket % self._buckets * _WAYS * _CELL_WORDS
        words = view[start : start + _WAYS * _CELL_WORDS].tolist()
        addresses, owed = words[::2], words[1::2]
        way = addresses.index(word) if word in addresses else owed.index(min(owed))
        return start + way * _CELL_WORDS

    def close(self) -> None:
        """Let go of the file. Idempotent."""
        self._file.close()


def _word_of(address: str) -> int | None:
    """What an address counts as, as a word; None for what is none."""
    subscriber = subscriber_of(address)
    if len(subscriber) == 4:
        return _IPV4 | int.from_bytes(subscriber, "big")
    return int.from_bytes(subscriber, "big", signed=True) if subscriber else None
