"""The nets that client addresses are under: one for requests, a tighter one for keys that are none (contract.md 6.2).

A key that is known to be good passes, unless the house counts all requests; so does one that was good when it was last
looked up. Of another one that cannot be known before it is looked up; from addresses whose nets are full that is done
less than ten times a second, for all such addresses and all processes together, so that guessing keys costs the store
nothing (F99).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LimitExceeded
from ..stores.address_net import AddressNet
from .house_file import HouseFile

_LOOKUPS, _LOOKUPS_S = 2, 0.28  # at most nine in any second
_ANY = "::"  # all addresses together

Report = Callable[[str, str], object]  # (level, text)


@dataclass(slots=True, kw_only=True)
class Floodgate:
    """The nets of one house: `requests` counts all of an address where `counts_all`, else those without a good key;
    `bad_keys` counts these too; `lookups` are those of keys from addresses that are full."""

    requests: AddressNet
    bad_keys: AddressNet
    lookups: AddressNet
    counts_all: bool

    @classmethod
    def of(cls, facts: HouseFile, folder: Path, report: Report, *, alone: bool) -> "Floodgate":
        """What a house says of it; `alone` where no other process counts with this one; `report` hears of one that is
        stopped there. OSError."""
        made = functools.partial(AddressNet, folder, alone=alone, report=report)
        net, keys = facts.address_net, facts.bad_keys
        return cls(
            requests=made(f"{facts.name}-all", net.requests, net.window_s),
            bad_keys=made(f"{facts.name}-keys", keys.requests, keys.window_s),
            lookups=made(f"{facts.name}-lookups", _LOOKUPS, _LOOKUPS_S, cells=8),
            counts_all=net.counts == "all",
        )

    def pass_any(self, address: str) -> None:
        """A request has come where all are counted. LimitExceeded where that is one too many."""
        _refuse(self.requests.take(address))

    def pass_unknown(self, address: str) -> None:
        """A key is to be looked up. LimitExceeded where too many from there were none."""
        wait_s = self.bad_keys.peek(address)
        if wait_s is None and not self.counts_all:
            wait_s = self.requests.peek(address)
        if wait_s is not None and self.lookups.take(_ANY) is not None:
            _refuse(wait_s)

    def failed(self, address: str) -> None:
        """The key was none. LimitExceeded where that is one too many."""
        wait_s = self.bad_keys.take(address)
        if not self.counts_all:
            wait_s = self.requests.take(address) or wait_s
        _refuse(wait_s)


def _refuse(wait_s: float | None) -> None:
    if wait_s is not None:
        raise LimitExceeded("Too many requests from this address. Try again later.", retry_after_s=wait_s)
