"""Nothing is translated: an upstream's answer for a client of this dialect, as it came.

The gateway keeps the state, and tells the provider neither to store nor what went before; so what a response says of
these is put back to what the client asked, and the model's name too (contract.md 3.1). The rest stays as it is.
"""

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...core.events import Ended, Failed, Finished, Started, UsageReported
from ...wire.messages import BadMessage
from ...wire.sse import MEDIA_LINE_BYTES_MAX, RETURN, Frame, FrameParser
from .. import Observed, Result, UpstreamWords
from ..bodies import Members, members_decoder
from ..counters import PLAIN_EVENT_BYTES_MAX, TOKEN_BYTES_MAX, tokens_of
from .parser import ENDS, Parser, event_decoder, failure_of
from .renderer import Renderer
from .result import check_ended, decode_response, parse_result, render_result, usage_of

_ABSENT = msgspec.Raw(b"null")
_NOT_JSON = UpstreamWords("An event is not the JSON it should be.")
_CONTENT = (".delta", ".done", ".added")
_PLAIN = {  # what most events are, by their first line: how their data begins
    b"event: response.%b.delta" % name: b'data: {"type":"response.%b.delta",' % name
    for name in (
        b"output_text",
        b"reasoning_summary_text",
        b"reasoning_text",
        b"refusal",
        b"function_call_arguments",
        b"custom_tool_call_input",
    )
}
_DELTA = b'"delta":"'
_DELTA_ENDS = b'","'  # inside a string a quote is escaped, so the next member begins here
_DELTA_BYTES_MAX = len(_DELTA) + TOKEN_BYTES_MAX + len(_DELTA_ENDS)


class _Asked:
    """What the client asked, as a response says it."""

    def __init__(self, request: ChatRequest) -> None:
        self.model = request.model
        stored = request.members.get("store", _ABSENT)
        self._said = {
            "previous_response_id": request.members.get("previous_response_id", _ABSENT),
            "store": stored if bytes(stored) == b"false" else msgspec.Raw(b"true"),
        }

    def restored(self, response: msgspec.Raw) -> bytes:
        """The response with what was asked; its other members as they are written."""
        members: Members = members_decoder.decode(response)
        for name, said in self._said.items():
            if name in members:
                members[name] = said
        if "model" in members:
            members["model"] = msgspec.Raw(
                msgspec.json.encode(model_shown(msgspec.json.decode(members["model"]), self.model))
            )
        return msgspec.json.encode(members)


def forward_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """See Dialect. BadMessage."""
    if not exact:
        completion = parse_result(body)
        return Result(render_result(completion, request), completion.usage, completion.model or None, True)
    response = decode_response(body)
    check_ended(response)
    restored = _Asked(request).restored(msgspec.Raw(body))
    return Result(restored, usage_of(response), response.model or None, True)


class Exact:
    """A stream as it came (dialects.StreamTransform). A piece that is one event with a few words in it, as most are, is
    known by its lines and not decoded."""

    __slots__ = ("_asked", "_frames", "_is_flowing", "_request", "observed")

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._request = request
        self._asked = _Asked(request)
        self._frames = FrameParser(MEDIA_LINE_BYTES_MAX)
        self._is_flowing = False  # content has begun, and no event is half here

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        if self._is_flowing and data[-3:] == b"}\n\n" and len(data) <= PLAIN_EVENT_BYTES_MAX and RETURN not in data:
            line, _, rest = data.partition(b"\n")
            begins = _PLAIN.get(line)
            if (
                begins is not None
                and rest[: len(begins)] == begins
                and rest.count(b"\n") == 2
                and rest.find(b'"response"') < 0
                and (at := rest.find(_DELTA)) > 0
                and rest.find(_DELTA_ENDS, at + len(_DELTA), at + _DELTA_BYTES_MAX) > 0
            ):
                self.observed.deltas += 1
                self._request.events_sent += 1
                return data
        out = b"".join([self._frame(frame) for frame in self._frames.feed(data)])
        observed = self.observed
        self._is_flowing = observed.has_content and self._frames.empty and not observed.done and observed.error is None
        return out

    def close(self) -> bytes:
        """See StreamTransform."""
        frame = self._frames.close()
        return b"" if frame is None else self._frame(frame)

    def _frame(self, frame: Frame) -> bytes:
        observed = self.observed
        if observed.done or observed.error is not None:
            return b""
        if frame.data is None or frame.data == b"[DONE]":
            return frame.raw if frame.data is None else b""
        try:
            event = event_decoder.decode(frame.data)
            observed.error = failure_of(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, BadMessage):
            observed.error = _NOT_JSON
            return b""
        if observed.error is not None:
            return b""
        if event.sequence_number is not None:
            self._request.events_sent = event.sequence_number + 1
        if event.type.endswith(_CONTENT):
            observed.has_content = True
            if event.type.endswith(".delta"):
                is_sound = event.type.endswith("audio.delta")
                observed.deltas += 1 if is_sound else tokens_of(msgspec.json.decode(event.delta))
        if bytes(event.response) == b"null":
            return frame.raw
        raw = self._with_response(frame, event.response)
        if event.type not in ENDS:
            return raw
        observed.usage = usage_of(decode_response(event.response))
        observed.done = observed.finished = observed.has_content = True
        observed.ending = raw
        return b""

    def _with_response(self, frame: Frame, response: msgspec.Raw) -> bytes:
        assert frame.data is not None
        self.observed.model = decode_response(response).model or self.observed.model
        members: Members = members_decoder.decode(frame.data)
        members["response"] = msgspec.Raw(self._asked.restored(response))
        named = b"event: %b\n" % frame.event if frame.event else b""
        return b"%bdata: %b\n\n" % (named, msgspec.json.encode(members))


class Repair:
    """A stream of an upstream that is only compatible: parsed, and written anew (dialects.StreamTransform)."""

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._parser = Parser()
        self._renderer = Renderer(request)

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        return self._take(self._parser.feed(data))

    def close(self) -> bytes:
        """See StreamTransform."""
        return self._take(self._parser.close())

    def _take(self, events: list) -> bytes:  # type: ignore[type-arg]
        observed, out = self.observed, []
        for event in events:
            if isinstance(event, Failed):
                observed.error = event.words
            elif isinstance(event, Ended):
                rest, observed.ending = self._renderer.finish()
                out.append(rest)
                observed.done = observed.finished = observed.has_content = True
            else:
                if isinstance(event, UsageReported):
                    observed.usage = event.usage
                elif isinstance(event, Started):
                    observed.model = event.model or None
                else:
                    observed.has_content = True
                    observed.deltas += 0 if isinstance(event, Finished) else tokens_of(getattr(event, "text", None))
                out.append(self._renderer.render(event))
        return b"".join(out)
