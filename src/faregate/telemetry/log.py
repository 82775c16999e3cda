"""The log: one JSON object a line, on stderr. One line a request, made from its usage record; a few for the process.

Request lines are written by the journal's thread, a batch in one write, so that a request never waits for a terminal.
JSON escapes what could break a line (security.md S15).
"""

import os
import time
from typing import Any, NoReturn

import msgspec

from ..core.call import UsageRecord

_encoder = msgspec.json.Encoder()


class Log:
    """Writes lines to a file descriptor; `level` is debug, info, warning or error."""

    LEVELS = ("debug", "info", "warning", "error")

    def __init__(self, descriptor: int = 2, level: str = "info", *, requests: bool = True) -> None:
        self._descriptor = descriptor
        self._lowest = self.LEVELS.index(level)
        self._requests = requests

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
            lines += b'{"event":"request",'
            lines += _encoder.encode(record)[1:]
            lines += b"\n"
        self._write(lines)

    def _write(self, data: bytes | bytearray) -> None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            pass  # a closed terminal or a full pipe must not stop the gateway
