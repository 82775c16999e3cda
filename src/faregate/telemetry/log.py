"""The log: one JSON object a line, on stderr. One line a request, made from its usage record; a few for the process.

Request lines are written by the journal's thread, a batch in one write, so that a request never waits for a terminal.
Where several processes write to one pipe, a write is of whole lines and no longer than the system keeps in one piece.
JSON escapes what could break a line (security.md S15).
"""

import os
import select
import time
from typing import Any, NoReturn

import msgspec

from ..core.call import UsageRecord

_encoder = msgspec.json.Encoder()
_REQUEST = b'{"event":"request",'


class Log:
    """Writes lines to a file descriptor, which other processes write to as well where it `is_shared`; `level` is debug,
    info, warning or error."""

    LEVELS = ("debug", "info", "warning", "error")

    def __init__(
        self, descriptor: int = 2, level: str = "info", *, requests: bool = True, is_shared: bool = False
    ) -> None:
        self._descriptor = descriptor
        self._lowest = self.LEVELS.index(level)
        self._requests = requests
        self._piece_bytes_max = select.PIPE_BUF if is_shared else None

    def event(self, level: str, event: str, **fields: Any) -> None:
        """One line about the process itself. The caller passes nothing that came from a request's body."""
        if self.LEVELS.index(level) >= self._lowest:
            line = {"at": round(time.time(), 3), "level": level, "event": event, **fields}
            self._write(_encoder.encode(line) + b"\n")

    def fatal(self, error: Exception) -> NoReturn:
        """The last line: the process ends before anybody can hear anything else from it."""
        self.event("error", "fatal", error=type(error).__name__, message=str(error))
        os.abort()

    def requests(self, records: list[UsageRecord]) -> None:
        """One line for each record."""
        if not self._requests:
            return
        lines = bytearray()
        for record in records:
            line = _encoder.encode(record)
            if self._piece_bytes_max is not None and len(lines) + len(line) + len(_REQUEST) > self._piece_bytes_max:
                self._write(lines)
                lines = bytearray()
            lines += _REQUEST
            lines += line[1:]
            lines += b"\n"
        self._write(lines)

    def _write(self, data: bytes | bytearray) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            pass  # a closed terminal or a full pipe must not stop the gateway
