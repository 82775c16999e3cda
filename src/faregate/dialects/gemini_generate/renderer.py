"""Events as a client's stream: each piece a GenerateContentResponse, in server-sent events or in one JSON array.

Function calls leave whole, when the candidate has ended; the reason why it ended waits for the usage, so that the last
piece has both (conformance.md 1.11, 2.5).
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.conversation import Citation
from ...core.events import (
    ArgumentsDelta,
    Cited,
    Event,
    Finished,
    ForeignGiven,
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
from ...wire.messages import BadMessage
from ...wire.sse import data_frame
from .logprobs import logprobs_result
from .proofs import sealed
from .reasons import word_of
from .result import ending, function_call, new_id, object_of
from .usage import usage_metadata

ARGUMENTS_CHARACTERS_MAX = 16 * 1024 * 1024
_CITATIONS_MAX = 1_000


class Framing:
    """Pieces of JSON as the client's stream: events, or the elements of an array."""

    __slots__ = ("_request",)

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        request.events_sent = 0

    def piece(self, data: bytes) -> bytes:
        """The next piece."""
        request = self._request
        if not request.is_array:
            return data_frame(data)
        start = b",\r\n" if request.events_sent else b"["
        request.events_sent += 1
        return start + data

    def end(self) -> bytes:
        """What ends the stream: nothing, but for an array."""
        if not self._request.is_array:
            return b""
        return b"]" if self._request.events_sent else b"[]"


class _Call(msgspec.Struct):
    id: str
    name: str
    arguments: list[str]
    signature: str = ""


class Renderer:
    """StreamRenderer of this dialect."""

    __slots__ = ("_arguments", "_calls", "_citations", "_finished", "_framing", "_id", "_model", "_request", "_usage")

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._framing = Framing(request)
        self._id = ""
        self._model = request.model
        self._usage: Usage | None = None
        self._calls: dict[tuple[int, int], _Call] = {}
        self._arguments = 0
        self._citations: dict[int, list[Citation]] = {}
        self._finished: dict[int, Finished] = {}

    def render(self, event: Event) -> bytes:
        """See StreamRenderer. BadMessage for arguments over the cap."""
        if isinstance(event, TextDelta | RefusalDelta):
            return self._part({"text": event.text}, event.choice)
        if isinstance(event, ReasoningDelta):
            return self._thought({"text": event.text}, event.choice)
        if isinstance(event, Started):
            self._id = event.id or new_id()
            self._model = model_shown(event.model, self._request.model)
        elif isinstance(event, UsageReported):
            self._usage = event.usage
        elif isinstance(event, ToolCallStarted | ArgumentsDelta):
            self._call(event)
        elif isinstance(event, Signed):
            return self._signed(event)
        elif isinstance(event, Redacted):
            signature = sealed(event.data, event.signed_by, is_redacted=True)
            return self._thought({"text": "", "thoughtSignature": signature}, event.choice)
        else:
            return self._rare(event)
        return b""

    def finish(self) -> tuple[bytes, bytes]:
        """See StreamRenderer."""
        last = [self._ending(finished) for _, finished in sorted(self._finished.items())]
        usage = {} if self._usage is None else {"usageMetadata": usage_metadata(self._usage)}
        piece = self._piece(last, usage) if last or usage else b""
        return piece, self._framing.end()

    def _rare(self, event: Event) -> bytes:
        if isinstance(event, MediaGiven):
            media = event.media
            if media.data:
                return self._part({"inlineData": {"mimeType": media.media_type, "data": media.data}}, event.choice)
            return self._part({"fileData": {"mimeType": media.media_type, "fileUri": media.url}}, event.choice)
        if isinstance(event, ForeignGiven):
            return self._part(event.part.raw, event.choice)
        if isinstance(event, LogprobsGiven):
            result = logprobs_result(event.raw)
            return b"" if result is None else self._piece([{"index": event.choice, "logprobsResult": result}])
        if isinstance(event, Cited):
            citations = self._citations.setdefault(event.choice, [])
            if len(citations) < _CITATIONS_MAX and event.citation not in citations:
                citations.append(event.citation)
        elif isinstance(event, Finished):
            self._finished[event.choice] = event
            return self._flush(event.choice)
        return b""

    def _call(self, event: ToolCallStarted | ArgumentsDelta) -> None:
        if isinstance(event, ToolCallStarted):
            self._calls[event.choice, event.call] = _Call(event.id, event.name, [])
            return
        self._arguments += len(event.text)
        if self._arguments > ARGUMENTS_CHARACTERS_MAX:
            raise BadMessage("the arguments of calls are larger than the cap")
        call = self._calls.get((event.choice, event.call))
        if call is not None:
            call.arguments.append(event.text)

    def _signed(self, event: Signed) -> bytes:
        signature = sealed(event.signature, event.signed_by)
        if event.call is not None:
            call = self._calls.get((event.choice, event.call))
            if call is not None:
                call.signature = signature
            return b""
        part = {"text": "", "thoughtSignature": signature}
        return self._part(part, event.choice) if event.is_text else self._thought(part, event.choice)

    def _flush(self, choice: int) -> bytes:
        """The calls of a choice, in their order. One whose arguments are no object is told in the ending."""
        parts = []
        for key in sorted(key for key in self._calls if key[0] == choice):
            call = self._calls[key]
            arguments = "".join(call.arguments)
            if object_of(arguments) is None:
                message = f"Malformed function call: {call.name}({arguments[:1000]})"
                self._finished[choice] = Finished(
                    reason="stop", native_reason="MALFORMED_FUNCTION_CALL", explanation=message, choice=choice
                )
                continue
            part = function_call(call.id, call.name, arguments)
            parts.append(part | ({"thoughtSignature": call.signature} if call.signature else {}))
        return self._piece([_said(parts, choice)]) if parts else b""

    def _ending(self, finished: Finished) -> dict[str, Any]:
        choice = finished.choice
        word = word_of(finished.reason, finished.native_reason)
        rest = ending(finished.explanation, self._citations.get(choice, ()))
        return _said([{"text": ""}], choice) | {"finishReason": word} | rest

    def _thought(self, part: dict[str, Any], choice: int) -> bytes:
        return b"" if self._request.hides_thoughts else self._part(part | {"thought": True}, choice)

    def _part(self, part: dict[str, Any] | msgspec.Raw, choice: int) -> bytes:
        return self._piece([_said([part], choice)])

    def _piece(self, candidates: list[dict[str, Any]], more: dict[str, Any] | None = None) -> bytes:
        self._id = self._id or new_id()
        answer = {"candidates": candidates} if candidates else {}
        return self._framing.piece(
            msgspec.json.encode(answer | (more or {}) | {"modelVersion": self._model, "responseId": self._id})
        )


def _said(parts: Sequence[dict[str, Any] | msgspec.Raw], choice: int) -> dict[str, Any]:
    return {"content": {"role": "model", "parts": parts}, "index": choice}
