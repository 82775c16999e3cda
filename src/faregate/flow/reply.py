"""Where an answer goes, as a call sees it."""

from typing import Protocol

from ..core.limits import Standing
from .relay import StreamAnswer, WholeAnswer


class Reply(Protocol):
    """Where an answer goes; edge/reply.py has the real one."""

    async def relay(self, answer: WholeAnswer | StreamAnswer) -> bytes:
        """Give the client the answer as it comes; returns its end, which is still to be given."""
        ...

    def finish(self, end: bytes) -> None:
        """Give the client the end of the answer."""
        ...

    def progress(self) -> tuple[int, int]:
        """How many bytes of the answer were given, and how many of them at least have left this process."""
        ...

    def counted(self, standing: Standing | None) -> None:
        """Say what is left of what is counted."""
        ...

    def capped(self, output_tokens: int) -> None:
        """Say that the answer may take so many tokens at most, which is not what the client asked for."""
        ...

    def changed(self, dropped: tuple[str, ...], adjusted: tuple[str, ...]) -> None:
        """Say which parameters the provider was not told, or told otherwise, and what of the answer is not shown."""
        ...
