"""The nets that client addresses are under: one for requests, a tighter one for keys that are none (contract.md 6.2).

A key that is known to be good passes, unless the house counts all requests. A key that nobody has seen lately has to be
looked up to know that; from an address whose nets are full that is done a few times a second only, for all such
addresses together, so that guessing keys costs the store nothing (F99).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import LimitExceeded
from ..stores.address_net import AddressNet
from .house_file import HouseFile

_LOOKUPS_PER_S = 8.0


@dataclass(slots=True, kw_only=True)
class Floodgate:
    """The nets of one house: `requests` counts all of an address where `counts_all`, else those without a good key;
    `bad_keys` counts these too. `clock` gives monotonic seconds."""

    requests: AddressNet
    bad_keys: AddressNet
    counts_all: bool
    clock: Callable[[], float] = time.monotonic
    _lookups_until: float = field(default=0.0, init=False)

    @classmethod
    def of(cls, facts: HouseFile, folder: Path, *, alone: bool) -> "Floodgate":
        """What a house says of it; `alone` where no other process counts with this one. OSError."""
        net, keys = facts.address_net, facts.bad_keys
        return cls(
            requests=AddressNet(folder, f"{facts.name}-all", net.requests, net.window_s, alone=alone),
            bad_keys=AddressNet(folder, f"{facts.name}-keys", keys.requests, keys.window_s, alone=alone),
            counts_all=net.counts == "all",
        )

    def pass_any(self, address: str) -> None:
        """A request has come. LimitExceeded where all are counted, and were too many."""
        if self.counts_all:
            _refuse(self.requests.take(address))

    def pass_unknown(self, address: str) -> None:
        """A key is to be looked up. LimitExceeded where too many from there were none."""
        wait_s = self.bad_keys.peek(address)
        if wait_s is None and not self.counts_all:
            wait_s = self.requests.peek(address)
        if wait_s is None:
            return
        now = self.clock()
        until = max(self._lookups_until, now) + 1 / _LOOKUPS_PER_S
        if until > now + 1.0:
            _refuse(wait_s)
        self._lookups_until = until

    def failed(self, address: str) -> None:
        """The key was none. LimitExceeded where that is one too many."""
        wait_s = self.bad_keys.take(address)
        if not self.counts_all:
            wait_s = self.requests.take(address) or wait_s
        _refuse(wait_s)


def _refuse(wait_s: float | None) -> None:
    if wait_s is not None:
        raise LimitExceeded("Too many requests from this address. Try again later.", retry_after_s=wait_s)
