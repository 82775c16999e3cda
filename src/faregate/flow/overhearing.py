"""What a model said, heard on its way to the client and in the client's dialect, and held against a schema.

An answer is judged where it is complete words: one that was cut at its length, was refused or filtered, or calls tools
is no value, and says so itself.
"""

import msgspec

from ..core.conversation import Choice, Refusal, Text, ToolCall
from ..core.events import Completion, Event, Finished, RefusalDelta, TextDelta, ToolCallStarted
from ..core.schema import Schema
from ..dialects import Observed, StreamParser, StreamTransform

_AROUND_ELEMENTS = b"[], \r\n"


class Said:
    """The words of each choice of an answer, as far as they have come."""

    __slots__ = ("_complete", "_others", "_texts")

    def __init__(self) -> None:
        self._texts: dict[int, list[str]] = {}
        self._complete: list[int] = []
        self._others: set[int] = set()

    def hear(self, event: Event) -> None:
        """One event."""
        if isinstance(event, TextDelta):
            self._texts.setdefault(event.choice, []).append(event.text)
        elif isinstance(event, ToolCallStarted | RefusalDelta):
            self._others.add(event.choice)
        elif isinstance(event, Finished) and event.reason == "stop":
            self._complete.append(event.choice)

    def texts(self) -> list[str]:
        """The complete ones."""
        return ["".join(self._texts.get(choice, ())) for choice in self._complete if choice not in self._others]


class Overheard:
    """A stream's transform (dialects.StreamTransform) that is listened to; `parser` is of the client's dialect. Where
    the client's stream `is_array`, a JSON array of what would be events, the parser is given them as such."""

    __slots__ = ("_inner", "_is_array", "_parser", "_said", "observed")

    def __init__(self, inner: StreamTransform, parser: StreamParser, *, is_array: bool = False) -> None:
        self.observed: Observed = inner.observed
        self._inner = inner
        self._is_array = is_array
        self._parser = parser
        self._said = Said()

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        return self._listen(self._inner.feed(data))

    def close(self) -> bytes:
        """See StreamTransform."""
        return self._listen(self._inner.close())

    def texts(self) -> list[str]:
        """What was said, once the stream is complete."""
        self._listen(self.observed.ending)
        for event in self._parser.close():  # where the end of the body is the end mark
            self._said.hear(event)
        return self._said.texts()

    def _listen(self, data: bytes) -> bytes:
        heard = _as_events(data) if self._is_array else data
        for event in self._parser.feed(heard) if heard else ():
            self._said.hear(event)
        return data


def _as_events(data: bytes) -> bytes:
    """Whole elements of an array, with whatever of its brackets and commas is around them, as events."""
    elements = msgspec.json.decode(b"[%b]" % data.strip(_AROUND_ELEMENTS), type=list[msgspec.Raw])
    return b"".join(b"data: %b\n\n" % bytes(element).replace(b"\n", b" ") for element in elements)


def texts_of(completion: Completion) -> list[str]:
    """The words of a whole answer."""
    return [_text_of(choice) for choice in completion.choices if _is_words(choice)]


def _is_words(choice: Choice) -> bool:
    return choice.reason == "stop" and not any(isinstance(part, ToolCall | Refusal) for part in choice.parts)


def _text_of(choice: Choice) -> str:
    return "".join(part.text for part in choice.parts if isinstance(part, Text))


def fault_of(schema: Schema, texts: list[str]) -> tuple[str, str]:
    """The first of the texts that the schema does not allow, and what is wrong with it; both empty where none is."""
    for text in texts:
        fault = schema.fault_of(text)
        if fault:
            return text, fault
    return "", ""
