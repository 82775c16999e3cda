"""The way of an answer's bytes to the socket: pace, pieces, compression, silence and cuts, as planned."""

import asyncio
import zlib

from ..wire.connection import ServerConnection
from ..wire.exchange import OutgoingResponse
from ..wire.strand import Signal
from .faults import Plan

_FLUSH_TIMEOUT_S = 5.0


class Cut(Exception):
    """The answer ends here, as planned."""


class CuttingConnection(ServerConnection):
    """A connection whose abort lets go what was written before: a cut at byte n has n bytes before it."""

    def abort(self) -> None:
        """Close once all is sent; a reader that does not read gets a few seconds."""
        transport = self._transport
        if transport is None:
            return
        self.server.outbox.flush()
        if transport.get_write_buffer_size():
            transport.close()
            self.server.loop.call_later(_FLUSH_TIMEOUT_S, transport.abort)
        else:
            transport.abort()


async def pause(seconds: float) -> None:
    """Wait, in a strand; zero lets the loop write what it has."""
    loop = asyncio.get_running_loop()
    signal: Signal[None] = Signal()
    timer = loop.call_later(seconds, signal.set, None)
    try:
        await signal
    finally:
        timer.cancel()


async def silence() -> None:
    """Wait until the client goes."""
    await Signal[None]()


class Pace:
    """When each token is due: the first after first_token_ms, the others at tokens_per_s."""

    def __init__(self, plan: Plan) -> None:
        self._loop = asyncio.get_running_loop()
        self._first_at = self._loop.time() + plan.first_token_ms / 1000
        self._token_s = 1 / plan.tokens_per_s if plan.tokens_per_s else 0.0

    async def until(self, token: int) -> None:
        """Wait until token number `token`, counted from 1, is due."""
        due_at = self._first_at + max(0, token - 1) * self._token_s
        while (left_s := due_at - self._loop.time()) > 0:
            await pause(left_s)


class Outlet:
    """Writes one body. It is the source that a slow reader pauses."""

    def __init__(self, response: OutgoingResponse, plan: Plan) -> None:
        self._response = response
        self._plan = plan
        self._paused: Signal[None] | None = None
        self._compressor = zlib.compressobj(wbits=31) if plan.gzip else None
        self._sent_bytes = 0
        self.tokens_sent = 0

    def pause_reading(self) -> None:
        """The client reads slowly: write no more."""
        if self._paused is None:
            self._paused = Signal()

    def resume_reading(self) -> None:
        """Go on."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.set(None)

    def start(self, status: int, headers: bytes) -> None:
        """The head, unless the cut comes before it."""
        if self._plan.cut_after_bytes == 0:
            raise Cut
        self._response.source = self
        self._response.start(status, headers)

    async def write(self, data: bytes, tokens: int = 0) -> None:
        """A part of the body, and how many tokens are said with it. Raises Cut where the plan has it."""
        if data and self._compressor is not None:
            data = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self._put(data, tokens)

    async def finish(self) -> None:
        """The end of the body."""
        if self._compressor is not None:
            await self._put(self._compressor.flush(), 0)
        self._response.finish()

    async def _put(self, data: bytes, tokens: int) -> None:
        cut_at = self._plan.cut_after_bytes
        room = len(data) if cut_at is None else cut_at - self._sent_bytes
        if len(data) <= room:
            self.tokens_sent += tokens
        data = data[:room]
        size = self._plan.chunk_bytes or max(1, len(data))
        for start in range(0, len(data), size):
            if self._paused is not None:
                await self._paused
            self._response.write(data[start : start + size])
            if self._plan.chunk_bytes is not None:
                await pause(0)
        self._sent_bytes += len(data)
        if self._sent_bytes == cut_at:
            raise Cut
