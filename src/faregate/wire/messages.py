"""Heads of requests and responses as bytes: what may stand in them, and how they are written.

Framing headers are always our own (security.md S13): whatever a message carried, `content-length`,
`transfer-encoding`, `connection` and the other hop-by-hop fields are written here and nowhere else.
"""

import http
import re
from collections.abc import Iterable

_SAFE_VALUE = re.compile(r"[\x20-\x7e]*\Z")
_SAFE_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")

CRLF = b"\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_SIZE_LINES_MAX = 1024
_SIZE_LINES = tuple(b"%x\r\n" % size for size in range(_SIZE_LINES_MAX))  # of the chunks that streams are made of

BODILESS_STATUSES = frozenset({204, 304})

STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in http.HTTPStatus}


class WireError(Exception):
    """The other side broke the protocol, a limit or a deadline, or the connection ended."""


class ConnectFailed(WireError):
    """No connection could be made: refused, unknown name, bad certificate, or too slow."""


class ConnectionLost(WireError):
    """The connection ended before the message did."""


class BadMessage(WireError):
    """What came is not the message it should be, or over a cap."""


class TimedOut(WireError):
    """A deadline of the wire passed: `phase` is connect, first_byte, idle or total."""

    def __init__(self, phase: str) -> None:
        super().__init__(f"{phase} deadline passed")
        self.phase = phase


def status_line(status: int) -> bytes:
    """The status line of `status`, CRLF included; a status without a name has no phrase."""
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Header fields as bytes, each with its CRLF. A value outside printable ASCII is dropped with its field (S13)."""
    lines = [f"{name}: {value}\r\n" for name, value in headers if _SAFE_VALUE.match(value) and _SAFE_NAME.match(name)]
    return "".join(lines).encode("ascii")


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    size = len(data)
    return (_SIZE_LINES[size] if size < _SIZE_LINES_MAX else b"%x\r\n" % size) + data + CRLF
