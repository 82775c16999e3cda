"""The response to a request that we sent, as the caller sees it. The connection under it is upstream.py's."""

import zlib
from typing import TYPE_CHECKING

import msgspec

from ..core.ports import Sink
from .heads import ResponseHead
from .messages import BadMessage
from .strand import Signal

if TYPE_CHECKING:
    from .upstream import UpstreamConnection

_LET_GO_S = 1.0


class IncomingResponse(msgspec.Struct, eq=False):
    """An answer whose head is complete. Claim its body once: `read()` it whole, or give it a Sink with `pour()`."""

    _connection: "UpstreamConnection"
    status: int
    head: ResponseHead | None
    _held: list[bytes] = []
    _held_bytes: int = 0
    _ended: bool = False
    _error: Exception | None = None
    _sink: Sink | None = None
    _inflater: "Inflater | None" = None

    def field(self, name: bytes) -> bytes | None:
        """A header field by its name in lower case; None where the head has none, or was let go."""
        return None if self.head is None else self.head.field(name)

    def forget_head(self) -> None:
        """Let go of the head: nobody will ask for it again, and a stream may last."""
        self.head = None

    def pour(self, sink: Sink) -> None:
        """Give the body to `sink` as it comes; what was held already goes first."""
        held, self._held = self._held, []
        self._sink = sink
        for data in held:
            sink.feed(data)
        if self._ended:
            sink.end()
        elif self._error is not None:
            sink.fail(self._error)
        else:
            self.resume_reading()

    def take(self, bytes_max: int) -> bytes | None:
        """The whole body where it came with its head, as most do, else None. BadMessage over `bytes_max`."""
        if not self._ended:
            return None
        if self._held_bytes > bytes_max:
            raise BadMessage("the answer is too large")
        held = self._held
        self._held = []
        return held[0] if len(held) == 1 else b"".join(held)

    async def read(self, bytes_max: int) -> bytes:
        """The whole body. BadMessage where it is over `bytes_max`, before or after decoding."""
        body = self.take(bytes_max)
        if body is not None:
            return body
        whole = _Whole(bytes_max)
        self.pour(whole)
        try:
            return await whole.complete
        finally:
            if not self._ended:
                self.abort()

    def pause_reading(self) -> None:
        """Back-pressure: send no more for now."""
        if not self._ended and self._error is None:  # else the connection may be another answer's already
            self._connection.pause_reading()

    def resume_reading(self) -> None:
        """Back-pressure: go on."""
        if not self._ended and self._error is None:
            self._connection.resume_reading()

    def abort(self) -> None:
        """Close the connection under an answer that is not complete; harmless after its end."""
        if not self._ended and self._error is None:
            self._sink = None
            self._connection.abort()

    def let_go(self) -> None:
        """All that matters has come: let the body end by itself, for a moment, so that the connection can be kept."""
        if not self._ended and self._error is None:
            self._sink = _DISCARD
            self._connection.hurry(_LET_GO_S)

    # The connection's side.

    def arrived(self, data: bytes) -> None:
        """Body bytes came."""
        if self._inflater is not None:
            data = self._inflater.feed(data)
            if not data:
                return
        sink = self._sink
        if sink is not None:
            sink.feed(data)
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > self._connection.pool.client.limits.unclaimed_bytes_max:
            self.pause_reading()

    def inflate(self) -> None:
        """Decode what comes as gzip."""
        self._inflater = Inflater()

    def ended(self) -> None:
        """The body is complete."""
        if self._inflater is not None and not self._inflater.complete:
            self.failed(BadMessage("gzip ends in the middle"))
            return
        self._ended = True
        if self._sink is not None:
            self._sink.end()

    def failed(self, error: Exception) -> None:
        """The body will not be complete."""
        if not self._ended and self._error is None:
            self._error = error
            if self._sink is not None:
                self._sink.fail(error)


class _Discard:
    """Takes a body that nobody wants."""

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None: ...

    def fail(self, error: Exception) -> None: ...


_DISCARD = _Discard()


class _Whole:
    """Gathers a body."""

    __slots__ = ("_bytes_max", "_pieces", "_size", "complete")

    def __init__(self, bytes_max: int) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._bytes_max = bytes_max
        self.complete: Signal[bytes] = Signal()

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._bytes_max:
            self.complete.fail(BadMessage("the answer is too large"))
        elif not self.complete.is_set:
            self._pieces.append(data)

    def end(self) -> None:
        self.complete.set(self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces))

    def fail(self, error: Exception) -> None:
        self.complete.fail(error)


class Inflater:
    """Undoes gzip as it arrives, bounded in what one piece may swell to (F84)."""

    RATIO_MAX = 100
    SLACK_BYTES = 1024 * 1024

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._in = 0
        self._out = 0

    @property
    def complete(self) -> bool:
        """Whether what came is whole, or nothing."""
        return self._inflate.eof or not self._in

    def feed(self, data: bytes) -> bytes:
        """The decoded bytes. BadMessage for what is no gzip, or swells beyond all measure."""
        self._in += len(data)
        allowed = self._in * self.RATIO_MAX + self.SLACK_BYTES - self._out
        try:
            decoded = self._inflate.decompress(data, max(1, allowed))
        except zlib.error:
            raise BadMessage("broken gzip") from None
        if self._inflate.unconsumed_tail:
            raise BadMessage("gzip swells beyond the cap")
        if self._inflate.unused_data:
            raise BadMessage("bytes behind the gzip")
        self._out += len(decoded)
        return decoded
