"""An upstream's stream as events (conformance 1.2, 2.5).

A finish is held back until the answer ends, because upstreams say it early, twice, or with every event. The answer ends
with `[DONE]`, or with its body where every choice has finished and nothing followed.
"""

from typing import Any

import msgspec

from ...core.events import (
    ArgumentsDelta,
    Cited,
    Ended,
    Event,
    Failed,
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
from ...wire.messages import BadMessage
from .. import UpstreamWords
from ..frames import FramedParser
from ..halves import HalvesJoined, may_hold_halves, shelter_halves
from .errors import words_of
from .parse_answer import (
    NULL,
    Answer,
    AnswerChoice,
    citations_of,
    images_of,
    proofs_of,
    reason_of,
    reasoning_of,
    signature_of,
    sounds_of,
    texts_of,
)
from .repair_rules import given_reason, id_of, is_failure, outranks
from .repair_tools import ToolCalls
from .request import CHOICES_MAX
from .usage import usage_of

_UNSAID = UpstreamWords("The provider's stream failed.")
_decoder = msgspec.json.Decoder(Answer)


class _Choice:
    """What is known of one choice: `finish` is its reason so far, `has_ended` says that nothing came after it."""

    __slots__ = ("finish", "has_ended", "index", "native", "signed_calls", "sound", "stop", "thoughts_from", "tools")

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish: object = None
        self.native: object = None
        self.stop = ""
        self.has_ended = False
        self.thoughts_from = ""  # in which member the thoughts since the last proof came
        self.tools = ToolCalls()
        self.signed_calls: set[int] = set()
        self.sound = ""  # the media type of the sound that comes in pieces


class Parser(FramedParser):
    """See dialects.StreamParser."""

    __slots__ = ("_choices", "_halves", "_is_started")

    def __init__(self) -> None:
        super().__init__()
        self._choices: dict[int, _Choice] = {}
        self._halves: HalvesJoined | None = None  # from when on half a character was met
        self._is_started = False

    def _is_whole(self, data: bytes) -> bool:
        if data.strip() == b"[DONE]":
            return True
        try:
            return self._decode(data) is not None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False

    def _body_ended(self, events: list[Event], *, is_cut: bool) -> None:
        choices = self._choices.values()
        if choices and all(choice.has_ended for choice in choices):
            self._end(events)

    def _decode(self, data: bytes) -> Answer:
        try:
            return _decoder.decode(data)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if not may_hold_halves(data):
                raise
            answer = _decoder.decode(shelter_halves(data))
            self._halves = self._halves or HalvesJoined()
            return answer

    def _take(self, kind: bytes, data: bytes, events: list[Event]) -> None:
        mark = data.strip()
        if not mark:
            return
        if mark == b"[DONE]":
            self._is_over = not self._choices  # an end without a beginning is no answer
            if self._choices:
                self._end(events)
            return
        try:
            chunk = self._decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as failure:
            if kind == b"error":
                self._fail(None, events)
                return
            raise BadMessage("an event of the stream is not the JSON it should be") from failure
        if chunk.error or kind == b"error" or chunk.object == "error":
            self._fail(msgspec.json.decode(data), events)
            return
        if not self._is_started and (chunk.choices or chunk.id or chunk.model):
            self._is_started = True
            events.append(Started(id_of(chunk.id) or "", id_of(chunk.model) or ""))
        for choice in chunk.choices or ():
            self._take_choice(choice, events)
            if self._is_over:
                return
        usage = usage_of(chunk.usage) if chunk.usage else None
        if usage is not None:
            events.append(UsageReported(usage))

    def _take_choice(self, given: AnswerChoice, events: list[Event]) -> None:
        index = given.index if type(given.index) is int and 0 <= given.index < CHOICES_MAX else 0
        choice = self._choices.get(index)
        if choice is None:
            choice = self._choices[index] = _Choice(index)
        delta = given.delta if isinstance(given.delta, dict) else {"content": given.text}
        before = len(events)
        self._take_delta(choice, delta, events)
        if given.logprobs is not NULL and bytes(given.logprobs) != b"null":
            events.append(LogprobsGiven(msgspec.Raw(bytes(given.logprobs)), index))
        if len(events) > before:
            choice.has_ended = False
        native = given_reason(given.finish_reason)
        if native is None:
            return
        if is_failure(native):
            self._fail({"error": {"message": _UNSAID.message, "code": native}}, events)
            return
        if choice.finish is None or outranks(native, choice.finish):
            choice.finish, choice.native = native, given.native_finish_reason
        choice.stop = given.stop_reason if isinstance(given.stop_reason, str) else choice.stop  # vLLM's member
        choice.has_ended = True

    def _take_delta(self, choice: _Choice, delta: dict[str, Any], events: list[Event]) -> None:
        index = choice.index
        content = delta.get("content")
        if len(delta) == 1 and self._halves is None and isinstance(content, str):  # nearly always
            if content:
                events.append(TextDelta(content, index))
            return
        said, thought = texts_of(content)
        thought = self._joined((index, "thought"), reasoning_of(delta) or thought)
        if thought:
            choice.thoughts_from = "deltas"
            events.append(ReasoningDelta(thought, index))
        if "thinking_blocks" in delta or "reasoning_details" in delta:
            self._take_proofs(choice, delta, events)
        said = self._joined((index, "said"), said)
        if said:
            events.append(TextDelta(said, index))
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            events.append(RefusalDelta(self._joined((index, "refusal"), refusal), index))
        if delta.get("tool_calls"):
            self._take_calls(choice, choice.tools.take(delta["tool_calls"]), events)
        elif isinstance(delta.get("function_call"), dict):
            self._take_calls(choice, choice.tools.take([{"index": 0, "function": delta["function_call"]}]), events)
        events += [Cited(citation, index) for citation in citations_of(delta.get("annotations"))]
        events += [MediaGiven(image, index) for image in images_of(delta.get("images")) + images_of(content)]
        if isinstance(delta.get("audio"), dict):
            self._take_sound(choice, delta["audio"], events)

    def _take_sound(self, choice: _Choice, audio: dict[str, Any], events: list[Event]) -> None:
        """The next piece of a sound, and of what is said in it (openai-openapi issue 577: the specification has no such
        delta, the API has)."""
        said = audio.get("transcript")
        if isinstance(said, str) and said:
            events.append(TextDelta(self._joined((choice.index, "transcript"), said), choice.index))
        for sound in sounds_of(audio, choice.sound):
            choice.sound = sound.media_type
            events.append(MediaGiven(sound, choice.index))

    def _take_proofs(self, choice: _Choice, delta: dict[str, Any], events: list[Event]) -> None:
        """Signed thoughts; their text counts only where it did not come in another member."""
        for part in proofs_of(delta):
            if part.redacted:
                events.append(Redacted(data=part.redacted, signed_by=part.signed_by, choice=choice.index))
                continue
            text = self._joined((choice.index, "thought"), part.text) if choice.thoughts_from != "deltas" else ""
            if text:
                choice.thoughts_from = "blocks"
                events.append(ReasoningDelta(text, choice.index))
            if part.signature:
                choice.thoughts_from = ""
                events.append(Signed(signature=part.signature, signed_by=part.signed_by, choice=choice.index))

    def _take_calls(self, choice: _Choice, entries: list[dict[str, Any]], events: list[Event]) -> None:
        for entry in entries:
            number = entry["index"]
            body = entry.get("function") or entry.get("custom") or {}
            if "id" in entry:
                name = body.get("name", "")
                events.append(ToolCallStarted(call=number, id=entry["id"], name=name, choice=choice.index))
            signature = signature_of(entry)
            if signature and number not in choice.signed_calls:
                choice.signed_calls.add(number)
                events.append(
                    Signed(signature=signature, signed_by="gemini_generate", call=number, choice=choice.index)
                )
            text = self._joined((choice.index, number), body.get("arguments") or body.get("input") or "")
            if text:
                events.append(ArgumentsDelta(call=number, text=text, choice=choice.index))

    def _joined(self, place: object, text: str) -> str:
        return text if self._halves is None else self._halves.join(place, text)

    def _fail(self, chunk: object, events: list[Event]) -> None:
        self._is_over = True
        events.append(Failed(words_of(chunk) or _UNSAID))

    def _end(self, events: list[Event]) -> None:
        self._is_over = True
        for choice in self._choices.values():
            reason, word = reason_of(choice.finish, has_calls=bool(choice.tools), said=choice.native)
            stop = choice.stop if reason == "stop" else ""
            events.append(Finished(reason=reason, native_reason=word, stop_sequence=stop, choice=choice.index))
        events.append(Ended())
