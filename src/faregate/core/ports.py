"""The Protocols that have two real implementations, and no others."""

from typing import Protocol


class Sink(Protocol):
    """Takes a body as it arrives, by callback. Exactly one of `end` and `fail` is called, once, last."""

    def feed(self, data: bytes) -> None:
        """The next piece of the body."""

    def end(self) -> None:
        """The body is complete."""

    def fail(self, error: Exception) -> None:
        """The body will not be complete."""


class Source(Protocol):
    """Something that can be told to wait: the other half of back-pressure."""

    def pause_reading(self) -> None:
        """Send no more for now."""

    def resume_reading(self) -> None:
        """Go on."""


class Response(Protocol):
    """Where an answer is written: to a client's connection, or into what is remembered under an idempotency key.

    It is sent whole, or started, written and finished; `headers` and `trailers` are bytes of field lines.
    """

    source: Source | None
    status: int
    finished: bool
    bytes_out: int

    @property
    def unsent_bytes(self) -> int:
        """What was written and waits in this process for a slow client."""
        ...

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """The whole answer."""

    def start(self, status: int, headers: bytes) -> None:
        """Begin an answer of unknown length."""

    def write(self, data: bytes) -> None:
        """One piece of the body."""

    def finish(self, data: bytes = b"", trailers: bytes = b"") -> None:
        """The last piece and the end."""

    def cancel(self, error: Exception) -> None:
        """Raise `error` in whoever is at work on this answer."""
