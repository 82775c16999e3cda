"""What models thought before they called a tool, kept for a short time for clients that have no place for it.

A provider that signs its model's thoughts wants them back with the call that they led to, and some that sign nothing
want the words. Most clients give back the call alone; then what was kept under the call's id is put where it stood. It
is kept in memory, for a project's own calls, bounded in time and in size, the oldest first to go.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import msgspec

from ..core.conversation import Conversation, Message, Part, Thinking, ToolCall
from ..core.events import ArgumentsDelta, Completion, Event, ReasoningDelta, Redacted, Signed, ToolCallStarted
from ..dialects import Observed, StreamParser, StreamTransform
from ..wire.messages import BadMessage

KEPT_FOR_S = 3_600.0
KEPT_BYTES_MAX = 64 * 1024 * 1024
_ENTRY_BYTES = 500  # what an entry weighs besides its texts


_Key = tuple[str, str, str, int]  # the project, and the call's id, name and arguments


def _key(project_id: str, call: ToolCall) -> _Key:
    """Under what the thoughts before a call are kept. Some servers give every call of a kind the same id, and clients
    write arguments anew: all of it must fit, however the JSON is spaced and ordered."""
    try:
        arguments = msgspec.json.encode(msgspec.json.decode(call.arguments), order="deterministic")
    except (msgspec.MsgspecError, RecursionError):
        arguments = call.arguments.encode()
    return project_id, call.id, call.name, hash(arguments)


class _Kept(msgspec.Struct, kw_only=True):
    expires_at: float
    thinking: tuple[Thinking, ...]
    signature: str
    signed_by: str
    size_bytes: int


class KeptThoughts:
    """The thoughts of this process's projects. `clock` gives monotonic seconds."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX, clock: Callable[[], float] = time.monotonic) -> None:
        self.size_bytes = 0
        self._bytes_max = bytes_max
        self._clock = clock
        self._kept: dict[_Key, _Kept] = {}

    def keep(self, project_id: str, parts: Sequence[Part], *, unsigned: bool = False) -> None:
        """Keep what was thought before the calls among the parts of an answer: what is signed, and, for a model that
        wants its words back, what is `unsigned`."""
        thoughts = (part for part in parts if isinstance(part, Thinking))
        thinking = tuple(part for part in thoughts if unsigned or part.signature or part.redacted)
        for part in parts:
            if isinstance(part, ToolCall) and (thinking or part.signature):
                self._put(_key(project_id, part), thinking, part.signature, part.signed_by)
                thinking = ()  # they stand before the first call

    def recall(self, project_id: str, conversation: Conversation, reader: str) -> Conversation:
        """A conversation with what its calls have lost put back: what is signed as the dialect `reader` has it; for
        one that is "" the words alone, whoever signed them."""
        if not self._kept:
            return conversation
        messages = tuple(self._recalled(project_id, message, reader) for message in conversation.messages)
        return msgspec.structs.replace(conversation, messages=messages)

    def words(self, project_id: str, calls: Sequence[ToolCall]) -> str:
        """The words that were thought before some calls of one turn, whoever signed them."""
        recalled = self._recalled(project_id, Message("assistant", tuple(calls)), "")
        return "\n\n".join(part.text for part in recalled.parts if isinstance(part, Thinking))

    def _put(self, key: _Key, thinking: tuple[Thinking, ...], signature: str, signed_by: str) -> None:
        texts = sum(len(part.text) + len(part.signature) + len(part.redacted) for part in thinking)
        size = _ENTRY_BYTES + texts + len(signature)
        self._drop(key)
        now = self._clock()
        self._kept[key] = _Kept(
            expires_at=now + KEPT_FOR_S, thinking=thinking, signature=signature, signed_by=signed_by, size_bytes=size
        )
        self.size_bytes += size
        while self._kept:
            oldest = next(iter(self._kept))
            if self.size_bytes <= self._bytes_max and self._kept[oldest].expires_at > now:
                break
            self._drop(oldest)

    def _drop(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.size_bytes -= kept.size_bytes

    def _recalled(self, project_id: str, message: Message, reader: str) -> Message:
        if message.role != "assistant" or not any(isinstance(part, ToolCall) for part in message.parts):
            return message
        has_own = any(
            isinstance(part, Thinking) and (part.signature or part.redacted or not reader) for part in message.parts
        )
        parts = tuple(self._with_thoughts(project_id, message.parts, reader, has_own=has_own))
        return message if parts == message.parts else Message(message.role, parts, message.name)

    def _with_thoughts(self, project_id: str, parts: tuple[Part, ...], reader: str, *, has_own: bool) -> Iterator[Part]:
        for part in parts:
            kept = self._kept.get(_key(project_id, part)) if isinstance(part, ToolCall) else None
            if not isinstance(part, ToolCall) or kept is None or kept.expires_at <= self._clock():
                yield part
                continue
            if not has_own:
                yield from _readable(kept.thinking, reader)
            if part.signature or not kept.signature or kept.signed_by != reader:
                yield part
            else:
                yield msgspec.structs.replace(part, signature=kept.signature, signed_by=kept.signed_by)


def _readable(thinking: tuple[Thinking, ...], reader: str) -> Iterator[Thinking]:
    for thought in thinking:
        if thought.signed_by == reader:
            yield thought
        elif not reader and thought.text:
            yield Thinking(text=thought.text)


class Thoughts:
    """What the first choice of a stream thought and called, as far as it came."""

    def __init__(self) -> None:
        self._text: list[str] = []  # in pieces: to join them one by one would copy all that came before, each time
        self._arguments: dict[int, list[str]] = {}
        self._calls: dict[int, int] = {}  # number of a call -> its place among the parts
        self.parts: list[Part] = []

    def watch(self, event: Event) -> None:
        """Take an event of the stream."""
        if getattr(event, "choice", 0):
            return
        if isinstance(event, ReasoningDelta):
            self._text.append(event.text)
        elif isinstance(event, Redacted):
            self.parts.append(Thinking(redacted=event.data, signed_by=event.signed_by))
        elif isinstance(event, ToolCallStarted):
            self._unsigned()
            self._calls[event.call] = len(self.parts)
            self.parts.append(ToolCall(id=event.id, name=event.name))
        elif isinstance(event, ArgumentsDelta):
            self._arguments.setdefault(event.call, []).append(event.text)
        elif isinstance(event, Signed):
            self._signed(event)

    def complete(self) -> list[Part]:
        """The parts, once the answer has ended."""
        for call, place in self._calls.items():
            arguments = "".join(self._arguments.get(call, ())) or "{}"
            self.parts[place] = msgspec.structs.replace(self.parts[place], arguments=arguments)
        return self.parts

    def _unsigned(self) -> None:
        """What was thought before a call, where no proof of it came."""
        if self._text:
            self.parts.append(Thinking(text="".join(self._text)))
            self._text.clear()

    def _signed(self, event: Signed) -> None:
        place = None if event.call is None else self._calls.get(event.call)
        if place is not None:
            signed = {"signature": event.signature, "signed_by": event.signed_by}
            self.parts[place] = msgspec.structs.replace(self.parts[place], **signed)
        elif event.call is None and not event.is_text:
            text = "".join(self._text)
            self.parts.append(Thinking(text=text, signature=event.signature, signed_by=event.signed_by))
            self._text.clear()


class Remembering:
    """A stream's transform (dialects.StreamTransform) whose thoughts are kept, as its client sees its calls; `parser`
    is of the client's dialect, `keep` takes the parts of an answer that is complete."""

    __slots__ = ("_inner", "_keep", "_parser", "_thoughts", "observed")

    def __init__(self, inner: StreamTransform, parser: StreamParser, keep: Callable[[Sequence[Part]], None]) -> None:
        self.observed: Observed = inner.observed
        self._inner = inner
        self._parser: StreamParser | None = parser
        self._thoughts = Thoughts()
        self._keep = keep

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        return self._note(self._inner.feed(data))

    def close(self) -> bytes:
        """See StreamTransform."""
        return self._note(self._inner.close())

    def _note(self, data: bytes) -> bytes:
        if self._parser is None:
            return data
        try:
            for event in self._parser.feed(data):
                self._thoughts.watch(event)
        except BadMessage:  # for its client to make something of
            self._parser = None
            return data
        if self.observed.done or self.observed.finished:
            self._parser = None
            self._keep(self._thoughts.complete())
        return data


def parts_of(completion: Completion) -> Sequence[Part]:
    """The parts of a whole answer's first choice."""
    return completion.choices[0].parts if completion.choices else ()
