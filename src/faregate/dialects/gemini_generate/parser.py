"""A provider's stream as events. It has no end mark: it is complete where the body ends and every candidate has said
why it ended. Some say so in every piece; only the last word counts (conformance.md 3, 9)."""

from collections.abc import Iterator

import msgspec

from ...core.conversation import Foreign, Media, Text, Thinking, ToolCall
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Ended,
    Event,
    Failed,
    Finished,
    ForeignGiven,
    LogprobsGiven,
    MediaGiven,
    ReasoningDelta,
    Redacted,
    Signed,
    Started,
    TextDelta,
    ToolCallStarted,
    UsageReported,
)
from ...core.usage import Usage
from ...wire.messages import BadMessage
from ..frames import FramedParser
from .answer import Answer, Candidate, blocked, citations_of, decode_answer, has_searched, parts_of, usage_of
from .body import ABSENT
from .errors import words_of
from .logprobs import openai_logprobs
from .proofs import NAME
from .reasons import is_reason, reason_of, went_wrong

_CANDIDATES_MAX = 128


class _Progress(msgspec.Struct):
    """How far a candidate is."""

    calls: int = 0
    has_content: bool = False
    word: str = ""
    message: str = ""


class Parser(FramedParser):
    """StreamParser of this dialect."""

    __slots__ = ("_has_searched", "_has_started", "_progress", "_refusal", "_usage")

    def __init__(self) -> None:
        super().__init__()
        self._has_started = False
        self._progress: dict[int, _Progress] = {}
        self._refusal: Finished | None = None
        self._usage: Usage | None = None
        self._has_searched = False

    def _is_whole(self, data: bytes) -> bool:
        try:
            decode_answer(data)
        except BadMessage:
            return data == b"[DONE]"
        return True

    def _body_ended(self, events: list[Event], *, is_cut: bool) -> None:
        finished = [] if is_cut else self._finished()  # some events say why the answer ended, and more words follow
        if finished:
            events += [*finished, Ended()]

    def _finished(self) -> list[Event]:
        """Why each candidate ended; empty where one has not."""
        if not self._progress:
            return [] if self._refusal is None else [self._refusal]
        events: list[Event] = []
        for index, progress in sorted(self._progress.items()):
            if not progress.word:
                return []
            reason, native = reason_of(progress.word, has_calls=progress.calls > 0)
            explanation = progress.message if reason == "content_filter" else ""
            events.append(Finished(reason=reason, native_reason=native, explanation=explanation, choice=index))
        return events

    def _take(self, kind: bytes, data: bytes, events: list[Event]) -> None:
        if data == b"[DONE]":
            return
        answer = decode_answer(data)
        if answer.error is not ABSENT and bytes(answer.error) != b"null":
            words = words_of(msgspec.json.decode(data))
            if words is not None:
                self._is_over = True
                events.append(Failed(words))
                return
        self._answer(answer, events)

    def _answer(self, answer: Answer, events: list[Event]) -> None:
        if not self._has_started:
            self._has_started = True
            events.append(Started(answer.response_id or "", answer.model_version or ""))
        choice = blocked(answer.prompt_feedback)
        if choice is not None:
            self._refusal = Finished(
                reason=choice.reason, native_reason=choice.native_reason, explanation=choice.explanation
            )
        for candidate in answer.candidates or ():
            self._candidate(candidate, events)
        self._has_searched = self._has_searched or has_searched(answer)
        usage = None if answer.usage_metadata is ABSENT else usage_of(answer, has_searched=self._has_searched)
        if usage is not None and usage != self._usage:
            self._usage = usage
            events.append(UsageReported(usage))

    def _candidate(self, candidate: Candidate, events: list[Event]) -> None:
        index = candidate.index
        progress = self._progress.get(index)
        if progress is None:
            if len(self._progress) >= _CANDIDATES_MAX:
                raise BadMessage("the stream has too many candidates")
            progress = self._progress[index] = _Progress()
        for part in parts_of(candidate):
            progress.has_content = True
            if type(part) is Text and not part.signature:  # nearly always
                if part.text:
                    events.append(TextDelta(part.text, index))
            else:
                events += _events(part, index, progress)
        if candidate.grounding_metadata is not ABSENT or candidate.citation_metadata is not ABSENT:
            events += [Cited(citation, index) for citation in citations_of(candidate)]
        if candidate.logprobs_result is not ABSENT:
            logprobs = openai_logprobs(candidate.logprobs_result)
            if logprobs is not None:
                events.append(LogprobsGiven(logprobs, index))
        word = candidate.finish_reason
        if word is not None and is_reason(word):
            if went_wrong(word) and not progress.has_content:
                raise BadMessage(f"the answer went wrong: {word[:64]}")
            progress.word, progress.message = word, candidate.finish_message or ""


def _events(part: object, index: int, progress: _Progress) -> Iterator[Event]:
    if isinstance(part, Text):
        if part.text:
            yield TextDelta(part.text, index)
        if part.signature:
            yield Signed(signature=part.signature, signed_by=NAME, is_text=True, choice=index)
    elif isinstance(part, Thinking):
        if part.text:
            yield ReasoningDelta(part.text, index)
        if part.signature:
            yield Signed(signature=part.signature, signed_by=part.signed_by, choice=index)
        if part.redacted:
            yield Redacted(data=part.redacted, signed_by=part.signed_by, choice=index)
    elif isinstance(part, ToolCall):
        call, progress.calls = progress.calls, progress.calls + 1
        yield ToolCallStarted(call=call, id=part.id, name=part.name, choice=index)
        if part.signature:
            yield Signed(signature=part.signature, signed_by=part.signed_by, call=call, choice=index)
        yield ArgumentsDelta(call=call, text=part.arguments, choice=index)
    elif isinstance(part, Media):
        yield MediaGiven(part, index)
    elif isinstance(part, Foreign):
        yield ForeignGiven(part, index)
