"""Events as the client's stream of `chat.completion.chunk` (conformance 1.2, 2.5): the role once per choice, calls
numbered from 0, one finish per choice, usage last and only for who asked."""

import time

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.conversation import Thinking
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Event,
    Finished,
    LogprobsGiven,
    MediaGiven,
    ReasoningDelta,
    Redacted,
    RefusalDelta,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...core.usage import Usage
from ...wire.sse import DONE
from .render_answer import (
    Written,
    annotation_shown,
    block_shown,
    id_shown,
    image_shown,
    proof_shown,
    sound_shown,
    usage_shown,
)

_encode = msgspec.json.Encoder().encode
_END = b'},"logprobs":null,"finish_reason":null}]'


class _Choice:
    """What was said of one choice."""

    __slots__ = (
        *("calls_without", "has_calls", "has_refusal", "has_sound", "images", "is_finished", "text_length"),
        "thought",
    )

    def __init__(self) -> None:
        self.is_finished = False
        self.has_calls = False
        self.has_refusal = False
        self.has_sound = False
        self.calls_without: dict[int, None] = {}  # the calls that have no arguments yet
        self.images = 0
        self.text_length = 0
        self.thought: list[str] = []  # since the last proof, which is shown with its whole text


class Renderer:
    """See dialects.StreamRenderer."""

    __slots__ = ("_asked_model", "_choices", "_head", "_held", "_include_usage", "_splits_cache", "_tail", "_usage")

    def __init__(self, request: ChatRequest) -> None:
        self._asked_model = request.model
        self._include_usage = request.include_usage
        self._splits_cache = request.splits_cache
        self._tail = b',"usage":null}\n\n' if request.include_usage else b"}\n\n"
        self._usage: Usage | None = None
        self._choices: list[_Choice] = []
        self._held: ToolCallStarted | None = None  # its proof may follow, and belongs into the same entry
        self._head = b""
        self._identify(Started())

    def render(self, event: Event) -> bytes:
        """See StreamRenderer."""
        held = self._held
        if held is not None:
            self._held = None
            if isinstance(event, Signed) and event.call == held.call and event.choice == held.choice:
                return self._call(held, event.signature if event.signed_by == "gemini_generate" else "")
            return self._call(held) + self._render(event)
        return self._render(event)

    def finish(self) -> tuple[bytes, bytes]:
        """See StreamRenderer."""
        out = b"" if self._held is None else self._call(self._held)
        self._held = None
        _, opening = self._at(0)
        out += opening
        for index, choice in enumerate(self._choices):
            if not choice.is_finished:
                out += self._finish(Finished(reason="tool_calls" if choice.has_calls else "stop", choice=index))
        if self._include_usage and self._usage is not None:
            out += b'%b"choices":[],"usage":%b}\n\n' % (
                self._head,
                _encode(usage_shown(self._usage, splits_cache=self._splits_cache)),
            )
        return out, DONE

    def _render(self, event: Event) -> bytes:
        if isinstance(event, TextDelta):
            choice, opening = self._at(event.choice)
            choice.text_length += len(event.text)
            return opening + self._chunk(event.choice, b'"content":' + _encode(event.text))
        if isinstance(event, ReasoningDelta):
            choice, opening = self._at(event.choice)
            choice.thought.append(event.text)
            return opening + self._chunk(event.choice, b'"reasoning_content":' + _encode(event.text))
        if isinstance(event, ArgumentsDelta):
            choice, opening = self._at(event.choice)
            choice.calls_without.pop(event.call, None)
            return opening + self._arguments(event.choice, event.call, event.text)
        if isinstance(event, ToolCallStarted):
            self._held = event
            return b""
        if isinstance(event, Finished):
            return self._finish(event)
        if isinstance(event, Started):
            self._identify(event)
        elif isinstance(event, UsageReported):
            self._usage = event.usage
        else:
            return self._render_rare(event)
        return b""

    def _render_rare(self, event: Event) -> bytes:
        if isinstance(event, Signed):
            return self._signed(event)
        if not isinstance(event, RefusalDelta | Redacted | Cited | MediaGiven | LogprobsGiven):
            return b""
        choice, out = self._at(event.choice)
        if isinstance(event, RefusalDelta):
            choice.has_refusal = True
            return out + self._chunk(event.choice, b'"refusal":' + _encode(event.text))
        if isinstance(event, Redacted):
            block = block_shown(Thinking(redacted=event.data, signed_by=event.signed_by))
            return out + self._list(event.choice, b"thinking_blocks", block)
        if isinstance(event, Cited):
            annotation = annotation_shown(event.citation, 0, choice.text_length)
            return out + self._list(event.choice, b"annotations", annotation)
        if isinstance(event, MediaGiven):
            return out + self._media(choice, event)
        start = b'"choices":[{"index":%d,"delta":{},"logprobs":' % event.choice
        return out + self._head + start + bytes(event.raw) + b',"finish_reason":null}]' + self._tail

    def _media(self, choice: _Choice, event: MediaGiven) -> bytes:
        """A picture, or the next piece of a sound."""
        if event.media.kind != "audio":
            image = image_shown(event.media, choice.images)
            choice.images += 1
            return self._list(event.choice, b"images", image)
        sound = {"data": event.media.data} if choice.has_sound else sound_shown(event.media, event.media.data)
        choice.has_sound = True
        return self._chunk(event.choice, b'"audio":' + _encode(sound))

    def _signed(self, event: Signed) -> bytes:
        choice, out = self._at(event.choice)
        if event.call is not None:
            if event.signed_by != "gemini_generate":
                return out
            entry: Written = {"index": event.call, "extra_content": proof_shown(event.signature)}
            return out + self._list(event.choice, b"tool_calls", {**entry, "function": {"arguments": ""}})
        if event.is_text:
            return out
        text = "".join(choice.thought)
        choice.thought = []
        block = block_shown(Thinking(text=text, signature=event.signature, signed_by=event.signed_by))
        return out + self._list(event.choice, b"thinking_blocks", block)

    def _call(self, event: ToolCallStarted, signature: str = "") -> bytes:
        choice, opening = self._at(event.choice)
        choice.has_calls = True
        choice.calls_without[event.call] = None
        function = {"name": event.name, "arguments": ""}
        entry: Written = {"index": event.call, "id": event.id, "type": "function", "function": function}
        if signature:
            entry["extra_content"] = proof_shown(signature)
        return opening + self._list(event.choice, b"tool_calls", entry)

    def _arguments(self, index: int, call: int, text: str) -> bytes:
        return self._list(index, b"tool_calls", {"index": call, "function": {"arguments": text}})

    def _finish(self, event: Finished) -> bytes:
        choice, out = self._at(event.choice)
        if choice.is_finished:
            return out
        choice.is_finished = True
        for call in choice.calls_without:
            out += self._arguments(event.choice, call, "{}")
        if choice.has_sound:
            out += self._chunk(event.choice, b'"audio":{"expires_at":%d}' % time.time())
        if event.explanation and not choice.has_refusal:
            out += self._chunk(event.choice, b'"refusal":' + _encode(event.explanation))
        written: Written = {"index": event.choice, "delta": {}, "logprobs": None, "finish_reason": event.reason}
        if event.native_reason:
            written["native_finish_reason"] = event.native_reason
        return out + self._head + b'"choices":[' + _encode(written) + b"]" + self._tail

    def _at(self, index: int) -> tuple[_Choice, bytes]:
        """A choice, and what opens it: clients expect choices in the order of their indexes, with a role each."""
        if index < len(self._choices):
            return self._choices[index], b""
        opening = b""
        for missing in range(len(self._choices), index + 1):
            self._choices.append(_Choice())
            opening += self._chunk(missing, b'"role":"assistant","content":""')
        return self._choices[index], opening

    def _list(self, index: int, member: bytes, entry: Written) -> bytes:
        return self._chunk(index, b'"%b":[%b]' % (member, _encode(entry)))

    def _chunk(self, index: int, delta: bytes) -> bytes:
        return self._head + b'"choices":[{"index":%d,"delta":{%b' % (index, delta) + _END + self._tail

    def _identify(self, event: Started) -> None:
        """The members that all chunks share; once something was said they stay."""
        if self._choices:
            return
        head = {
            "id": id_shown(event.id),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model_shown(event.model, self._asked_model),
        }
        self._head = b"data: " + _encode(head)[:-1] + b","
