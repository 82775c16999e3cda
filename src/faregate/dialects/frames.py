"""What all parsers of event streams have in common: frames, failures, and the end of the body."""

from abc import ABC, abstractmethod

from ..core.events import Event
from ..wire.messages import BadMessage
from ..wire.sse import MEDIA_LINE_BYTES_MAX, FrameParser


class PatientParser(ABC):
    """A StreamParser that says what is good before it says what is bad: where good events came before a bad one in the
    same bytes, theirs are returned first, and the next call raises. A subclass reads bytes in `_read`."""

    __slots__ = ("_failure", "_is_over")

    def __init__(self) -> None:
        self._is_over = False  # the answer has ended, or failed: what follows is not read
        self._failure: BadMessage | None = None

    def feed(self, data: bytes) -> list[Event]:
        """See StreamParser."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        try:
            self._read(data, events)
        except BadMessage as failure:
            self._failure = failure
            if not events:
                raise
        return events

    @abstractmethod
    def _read(self, data: bytes, events: list[Event]) -> None:
        """Add what the bytes say. BadMessage, after what was good before it was added."""


class FramedParser(PatientParser):
    """A StreamParser of server-sent events but for what its dialect says: `_take` an event, and whether the last one
    `_is_whole`; what the end of the body means."""

    __slots__ = ("_frames",)

    def __init__(self) -> None:
        super().__init__()
        self._frames = FrameParser(MEDIA_LINE_BYTES_MAX)  # media, or a last event that has the whole answer in it

    def _read(self, data: bytes, events: list[Event]) -> None:
        for frame in self._frames.feed(data):
            if frame.data is not None and not self._is_over:
                self._take(frame.event, frame.data, events)

    def close(self) -> list[Event]:
        """See StreamParser."""
        if self._failure is not None:
            raise self._failure
        events: list[Event] = []
        frame = self._frames.close()
        is_cut = frame is not None and frame.data is not None and not self._is_whole(frame.data)
        if frame is not None and frame.data is not None and not is_cut and not self._is_over:
            self._take(frame.event, frame.data, events)
        if not self._is_over:
            self._body_ended(events, is_cut=is_cut)
        return events

    @abstractmethod
    def _take(self, kind: bytes, data: bytes, events: list[Event]) -> None:
        """Add what an event says; `kind` is its type in the stream. BadMessage."""

    @abstractmethod
    def _is_whole(self, data: bytes) -> bool:
        """Whether the last event, which no empty line ended, was not cut."""

    def _body_ended(self, events: list[Event], *, is_cut: bool) -> None:
        """Add what it means that the body has ended, and no event has said that the answer has: nothing, unless the
        dialect has a meaning for it. `is_cut`: it ended within an event."""
