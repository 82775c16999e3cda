"""Answers of an upstream of the client's own dialect: relayed as they came, read for their usage; or parsed and written
anew where the upstream is only compatible."""

import msgspec

from ...core.catalog import is_form_of, model_shown
from ...core.chat import ChatRequest
from ...wire.messages import BadMessage
from ...wire.sse import MEDIA_LINE_BYTES_MAX, Frame, FrameParser
from .. import Observed, Result, UpstreamWords
from ..counters import tokens_of
from ..splice import replace_member
from .answer import Answer, blocked, decode_answer, has_searched, usage_of
from .errors import words_of
from .reasons import is_reason
from .renderer import Framing


class _Words(msgspec.Struct):
    text: str | None = None


_words_decoder = msgspec.json.Decoder(_Words)
_NOT_JSON = UpstreamWords("An event is not the JSON it should be.")


def forward_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """See Dialect."""
    answer = decode_answer(body)
    if not answer.candidates and blocked(answer.prompt_feedback) is None:
        raise BadMessage("the answer holds no candidates")
    body = _renamed(body, answer.model_version, request.model)
    return Result(body, usage_of(answer, has_searched=has_searched(answer)), answer.model_version, True)


def _renamed(body: bytes, written: str | None, asked: str) -> bytes:
    """An answer with the model shown as it was asked for, unless the upstream's name is a form of it."""
    if written is None or is_form_of(written, asked):
        return body
    return replace_member(body, b"modelVersion", msgspec.json.encode(model_shown(written, asked)))


class Exact:
    """StreamTransform that relays what each event says. Comments, types and end marks, which the dialect has not and
    its clients break on (conformance.md 1.11), are left out."""

    __slots__ = ("_ended", "_frames", "_framing", "_has_searched", "_request", "observed")

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._request = request
        self._frames = FrameParser(MEDIA_LINE_BYTES_MAX)
        self._framing = Framing(request)
        self._has_searched = False
        self._ended: dict[int, bool] = {}  # by candidate: whether it has said why it ended

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        return b"".join([self._frame(frame) for frame in self._frames.feed(data)])

    def close(self) -> bytes:
        """See StreamTransform. Complete where every candidate has said why it ended."""
        observed = self.observed
        frame = self._frames.close()
        out = b""
        if frame is not None and observed.error is None:
            out = self._frame(frame)
            if observed.error is _NOT_JSON:  # cut in its midst
                observed.error, out = None, b""
                return out
        if observed.error is None and self._ended and all(self._ended.values()):
            observed.finished = observed.done = True
            observed.ending = self._framing.end()
        return out

    def _frame(self, frame: Frame) -> bytes:
        observed = self.observed
        data = frame.data
        if data is None or data == b"[DONE]" or observed.error is not None:
            return b""
        try:
            answer = decode_answer(data)
        except BadMessage:
            observed.error = _NOT_JSON  # not raised: what came before it, in the same bytes, is still to be relayed
            return b""
        if bytes(answer.error) != b"null":
            observed.error = words_of(msgspec.json.decode(data))
            if observed.error is not None:
                return b""
        self._note(answer)
        shown = _renamed(data, answer.model_version, self._request.model)
        if shown is data and not self._request.is_array and frame.raw.rstrip(b"\r\n") == b"data: " + data:
            return frame.raw
        return self._framing.piece(shown.replace(b"\n", b" "))

    def _note(self, answer: Answer) -> None:
        observed = self.observed
        observed.model = observed.model or answer.model_version
        self._has_searched = self._has_searched or has_searched(answer)
        observed.usage = usage_of(answer, has_searched=self._has_searched) or observed.usage
        has_content = False
        said: list[msgspec.Raw] = []
        for candidate in answer.candidates or ():
            has_ended = is_reason(candidate.finish_reason)
            self._ended[candidate.index] = self._ended.get(candidate.index, False) or has_ended
            parts = (candidate.content.parts if candidate.content is not None else None) or []
            said += parts
            has_content = has_content or has_ended or bool(parts)
        if not answer.candidates and blocked(answer.prompt_feedback) is not None:
            self._ended[0] = has_content = True
        if has_content:
            observed.has_content = True
            observed.deltas += tokens_of(*(_words_of(part) for part in said))


def _words_of(part: msgspec.Raw) -> str | None:
    """What a part says; whoever reads it says what is wrong with it."""
    try:
        return _words_decoder.decode(part).text
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
