"""Which service tier served a call, as its answer says it, and what the call is charged by from then on.

A provider that is left the choice takes a tier, and one that has no room in the tier asked for gives another; its
answer says which it was. The last name that means something counts (tiers.tier_of): the events of a response that is
still under way may repeat what was asked. What names no tier, or one that nobody has priced, leaves the charge as it
was.

Nothing of this runs for a model whose price has no tiers.
"""

import contextlib

import msgspec

from ..core.call import Call
from ..core.tiers import NAME_CHARACTERS_MAX
from ..dialects import Observed, StreamTransform, TierMarks, Upstream
from ..dialects.bodies import members_decoder
from ..dialects.halves import may_hold_halves, shelter_halves
from ..wire.eventstream import MessageParser
from ..wire.incoming import IncomingResponse
from ..wire.messages import BadMessage
from ..wire.sse import DONE, MEDIA_LINE_BYTES_MAX, FrameParser, parse_frame
from .funds import charge_by

_END = parse_frame(DONE).data
_NAME_BYTES_MAX = NAME_CHARACTERS_MAX + len('""')


class ServedTier:
    """Charges a call by the tier that its answer names; begins with what the head of the answer says."""

    __slots__ = ("_asked", "_call", "_paths", "_said")

    def __init__(self, call: Call, marks: TierMarks, response: IncomingResponse) -> None:
        assert call.tariff is not None
        self._call = call
        self._asked = call.tariff
        self._paths = marks.paths
        self._said = {b'"%b"' % name: b"" for name in marks.rare}  # by its name, the member as it was written last
        field = response.field(marks.field) if marks.field else None
        if field is not None:
            self._serve(field.decode("latin-1"))

    def is_old(self, data: bytes) -> bool:
        """Whether whole events say nothing of it, or what the last one said, to the byte."""
        for name, said in self._said.items():
            mentions = data.count(name)  # a quote inside a string is escaped: it is the name of a member, or a text
            if mentions and not (said and mentions == data.count(said)):
                return False
        return True

    def hear(self, data: bytes) -> None:
        """A whole answer, or the data of an event."""
        if self.is_old(data):
            return
        if may_hold_halves(data):  # which is no JSON by itself, and yet what some events say
            data = shelter_halves(data)
        for path in self._paths:
            try:
                raw = _member(data, path)
                if len(raw) <= _NAME_BYTES_MAX:
                    self._take(data, path, raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
                continue  # not there, or no name

    def _take(self, data: bytes, path: tuple[str, ...], raw: bytes) -> None:
        self._serve(msgspec.json.decode(raw, type=str))
        name = b'"%b"' % path[-1].encode()
        if name in self._said:
            member = b"%b:%b" % (name, raw)
            self._said[name] = member if member in data else b""

    def _serve(self, name: str) -> None:
        tariff = self._asked.served(name)
        if tariff is not None and tariff is not self._call.tariff:
            self._asked.expect(tariff)  # later calls are held for what this one was given
            charge_by(self._call, tariff)
            self._said = dict.fromkeys(self._said, b"")  # to say again what was said before would be news


def _member(data: bytes, path: tuple[str, ...]) -> bytes:
    """The member of a JSON object at `path`, as it is written."""
    for name in path:
        data = bytes(members_decoder.decode(data)[name])
    return data


class TierWatch:
    """A stream's transform (dialects.StreamTransform) whose upstream is read for the tier as well."""

    __slots__ = ("_frames", "_inner", "_is_over", "_messages", "_served", "observed")

    def __init__(self, inner: StreamTransform, served: ServedTier, upstream: Upstream) -> None:
        self.observed: Observed = inner.observed
        self._inner = inner
        self._served = served
        is_binary = not upstream.stream_type.startswith(b"text/")
        self._messages = MessageParser() if is_binary else None
        self._frames = FrameParser(MEDIA_LINE_BYTES_MAX)
        self._is_over = False  # what comes after the end mark counts for nothing, though it came in one piece with it

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        if not self.observed.done:
            with contextlib.suppress(BadMessage):  # the stream's own transform says so
                self._read(data)
        return self._inner.feed(data)

    def close(self) -> bytes:
        """See StreamTransform."""
        last = self._frames.close()
        if last is not None and not self.observed.done:
            self._hear(last.data)
        return self._inner.close()

    def _read(self, data: bytes) -> None:
        if self._messages is not None:
            for message in self._messages.feed(data):
                self._served.hear(message.payload)
        elif not (self._frames.empty and data.endswith(b"\n\n") and self._served.is_old(data)):
            for frame in self._frames.feed(data):
                self._hear(frame.data)

    def _hear(self, data: bytes | None) -> None:
        self._is_over = self._is_over or data == _END
        if data is not None and not self._is_over:
            self._served.hear(data)
