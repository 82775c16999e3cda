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
