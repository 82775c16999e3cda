"""Calls that run without a client, all that the process has of them: those under idempotency keys, and those whose
client has left and whose provider charges for the whole answer anyway.

Theory of operation. When a client leaves, its provider's `on_disconnect` decides. `cancel` ends the call where it
waits, which closes the provider's connection; what was delivered is charged. `no_bill` does the same, and the part of
an answer costs nothing. `drain` lets the very same strand run on: its writes go nowhere, so nothing of the answer is
kept, its deadlines hold as before, and it ends with the usage that the provider reports. No second reader, no second
settlement. A stop of the process waits for these calls as it waits for all others.
"""

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ..core.call import Call, OnDisconnect
from ..core.errors import ClientGone
from ..wire.strand import Strand

if TYPE_CHECKING:
    from .gate import Gate


class Running(Protocol):
    """What is under way: a strand, or a run that has one."""

    def cancel(self, error: Exception) -> None:
        """Raise `error` where it waits."""


class _Entry(NamedTuple):
    running: Running
    request_bytes: int  # that may be held until there is an answer
    is_drained: bool


class Unattended:
    """The calls, by request id. At most `drained_calls_max` of them have been left by their client, and their requests
    are at most `requests_bytes_max`: no connection counts them."""

    def __init__(self, *, drained_calls_max: int, requests_bytes_max: int) -> None:
        self.drained = 0
        self._drained_calls_max = drained_calls_max
        self._requests_bytes_max = requests_bytes_max
        self._requests_bytes = 0
        self._entries: dict[str, _Entry] = {}
        self._all_over: asyncio.Future[None] | None = None
        self._is_closed = False

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._entries

    def begin(self, request_id: str, running: Running, request_bytes: int, *, is_drained: bool = False) -> bool:
        """Count a call in; False, and it is not, where there are too many, or there is no time left for it."""
        if self._is_closed or self._requests_bytes + request_bytes > self._requests_bytes_max:
            return False
        if is_drained:
            if self.drained >= self._drained_calls_max:
                return False
            self.drained += 1
        self._requests_bytes += request_bytes
        self._entries[request_id] = _Entry(running, request_bytes, is_drained)
        return True

    def answered(self, request_id: str) -> None:
        """A call has no more use for its request."""
        entry = self._entries.get(request_id)
        if entry is not None and entry.request_bytes:
            self._requests_bytes -= entry.request_bytes
            self._entries[request_id] = entry._replace(request_bytes=0)

    def over(self, request_id: str) -> None:
        """A call has ended."""
        entry = self._entries.pop(request_id, None)
        if entry is None:
            return
        self._requests_bytes -= entry.request_bytes
        self.drained -= entry.is_drained
        if self._all_over is not None and not self._entries and not self._all_over.done():
            self._all_over.set_result(None)

    async def drain(self, timeout_s: float) -> bool:
        """Let all calls finish; what has not within `timeout_s` is cut, and False. Then there are to be no more."""
        if self._entries and timeout_s > 0:
            self._all_over = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._all_over], timeout=timeout_s)
        self._is_closed = True
        finished = not self._entries
        for entry in tuple(self._entries.values()):
            entry.running.cancel(ClientGone())
        return finished


def runs_on(gate: "Gate", call: Call, strand: Strand) -> bool:
    """A call's client has left: whether the call goes on without it, by the policy of the provider that is asked."""
    provider = gate.providers.get(call.record.provider)  # none is asked yet: nothing is lost
    policy = OnDisconnect.CANCEL if provider is None else provider.on_disconnect
    call.is_waived = policy is OnDisconnect.NO_BILL
    if policy is OnDisconnect.DRAIN:
        request_bytes = call.record.bytes_in
        call.is_deserted = gate.unattended.begin(call.id, strand, request_bytes, is_drained=True)
    return call.is_deserted
