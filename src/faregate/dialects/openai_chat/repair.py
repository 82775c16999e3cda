"""The repair of an OpenAI chat stream from an upstream whose wire is only compatible (conformance 1.2): each
event is parsed, put right and written anew; what has no meaning here is kept as it came.

A finish is held back until the answer ends, because upstreams send it early, twice, or with every event; so
is the usage, which has to come last. The answer ends with the upstream's `[DONE]`, or with its body where
every choice has finished; a finish that content followed does not count for that.
"""

import msgspec

from ...core.catalog import model_shown
from ...core.chat import ChatRequest
from ...wire.messages import BadMessage
from ...wire.sse import DONE, RETURN, FrameParser, data_frame
from .. import Observed, UpstreamWords
from ..counters import tokens_of
from ..halves import may_hold_halves, restore_halves, shelter_halves
from .errors import words_of
from .exact import said_in
from .plain import PATTERNS_MAX, Pattern, only_words, pattern_of
from .repair_rules import (
    Members,
    created_of,
    given_reason,
    has_content,
    id_of,
    is_failure,
    made_answer_id,
    outranks,
    usage_shown,
    write_reason,
)
from .repair_tools import ToolCalls
from .repair_whole import repair_result, unfold
from .usage import usage_of, with_cache_split

__all__ = ["Repair", "repair_result"]

_OBJECT = "chat.completion.chunk"
_EARLY_MAX = 16  # events before the one that names the answer
_UNSAID = UpstreamWords("The provider's stream failed.")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class _Choice:
    """What is known of one choice: `finish` is its reason so far, `ended` says that nothing came after it,
    `last_chunk` and `last_choice` are what came around it."""

    __slots__ = ("ended", "finish", "index", "last_choice", "last_chunk", "opened", "tools")

    def __init__(self, index: int) -> None:
        self.index = index
        self.opened = False
        self.ended = False
        self.finish: object = None
        self.last_chunk: Members = {}
        self.last_choice: Members = {}
        self.tools = ToolCalls()


class Repair:
    """A stream transform: an upstream's events in, the client's out (see StreamTransform).

    BadMessage for an event that is no JSON object. Where good events came before it in the same bytes, theirs
    are returned first, and the next call raises.
    """

    __slots__ = (
        *("_asked_model", "_choice_count", "_choices", "_early", "_failure", "_head", "_include_usage", "_over"),
        *("_parser", "_pattern", "_patterns", "_said", "_sheltered", "_splits_cache", "_usage", "_usage_chunk"),
        "observed",
    )

    def __init__(self, request: ChatRequest) -> None:
        self.observed = Observed()
        self._asked_model = request.model
        self._choice_count = max(1, request.choices)
        self._include_usage = request.include_usage
        self._splits_cache = request.splits_cache
        self._parser = FrameParser()
        self._choices: dict[int, _Choice] = {}
        self._head: Members = {}  # the members that all chunks share; empty until the first chunk
        self._early: list[Members] = []  # events without choices that came before the answer had an id
        self._usage: Members | None = None
        self._usage_chunk: Members | None = None  # what came around a usage that was an event of its own
        self._over = False
        self._sheltered = False  # whether halves of characters were met
        self._failure: BadMessage | None = None
        self._said: tuple[str, str] | None = None  # by the last event, where that did nothing but say it
        self._pattern: Pattern | None = None  # of that event, where nothing of the next one is here yet
        self._patterns = PATTERNS_MAX

    def feed(self, data: bytes) -> bytes:
        """The client's bytes that `data` completes."""
        if self._pattern is not None:
            shown = self._pattern.shown(data, self.observed)
            if shown is not None:
                self._patterns = PATTERNS_MAX
                return shown
            self._pattern = None
        if self._failure is not None:
            raise self._failure
        if self._over:
            return b""
        out: list[bytes] = []
        begins = self._parser.empty
        self._said = None
        try:
            events = self._events(data)
            for event, event_data in events:
                self._take(event, event_data, out)
                if self._over:
                    break
            if self._said is not None and begins and self._parser.empty and len(events) == len(out) == 1:
                self._find_pattern(data, out[0], self._said)
        except BadMessage as failure:
            self._failure = failure
            if not out:
                raise
        return b"".join(out)

    def _find_pattern(self, data: bytes, shown: bytes, said: tuple[str, str]) -> None:
        if self._patterns and not self._sheltered:
            self._patterns -= 1
            self._pattern = pattern_of(data, shown, said)

    def close(self) -> bytes:
        """The end of a stream whose body ended: empty where it was over already, or is not complete."""
        if self._failure is not None:
            raise self._failure
        out: list[bytes] = []
        if not self._over:
            frame = self._parser.close()
            if frame is not None and frame.data is not None and _is_whole(frame.data):
                self._take(frame.event, frame.data, out)
        if not self._over and self.observed.finished:
            self._end(out)
        return b"".join(out) if self.observed.finished else b""

    def _events(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The types and data of the events that `data` completes."""
        if self._parser.empty and data.startswith(b"data: ") and data.endswith(b"\n\n"):
            plain = data[6:-2].split(b"\n\ndata: ")
            if RETURN not in data and data.count(b"\n") == 2 * len(plain):  # nothing but lines of data
                return [(b"", event_data) for event_data in plain]
        frames = self._parser.feed(data)
        return [(frame.event, frame.data) for frame in frames if frame.data is not None]

    def _take(self, event: bytes, data: bytes, out: list[bytes]) -> None:
        try:
            chunk = self._decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as failure:
            self._take_mark(event, data.strip(), out, failure)
            return
        if not isinstance(chunk, dict):
            raise BadMessage("an event of the stream is not an object")
        usage = chunk.pop("usage", None)
        if usage and isinstance(usage, dict):
            self._usage = usage
            self.observed.usage = usage_of(usage)
        if chunk.get("error") or event == b"error" or chunk.get("object") == "error":
            self._fail(chunk)
            return
        choices = chunk.get("choices")
        if choices:
            if not isinstance(choices, list):
                raise BadMessage("an event's choices are not a list")
            self._identify(chunk)
            for choice in choices:
                if not isinstance(choice, dict):
                    raise BadMessage("a choice of an event is not an object")
                self._take_choice(chunk, choice, out)
                if self._over:
                    return
        elif isinstance(choices, list) or chunk.get("object") == _OBJECT:
            if not self._head and not chunk.get("id") and not usage and len(self._early) < _EARLY_MAX:
                self._early.append(chunk)  # what a filter says of the prompt, before there is an answer
                return
            self._identify(chunk)
            if usage:
                self._usage_chunk = chunk
                self._judge()
            else:
                self._send(chunk, [], out)

    def _take_mark(self, event: bytes, data: bytes, out: list[bytes], failure: Exception) -> None:
        """An event that is not JSON: the end mark, nothing at all, or a fault."""
        if event == b"error":
            self._fail(None)
        elif data == b"[DONE]":
            self.observed.done = True
            if self._head:
                self.observed.finished = True
                self._end(out)
            else:  # an end without a beginning is no answer
                self._over = True
        elif data:
            raise BadMessage("an event of the stream is not JSON") from failure

    def _take_choice(self, chunk: Members, choice: Members, out: list[bytes]) -> None:
        state = self._choice_at(choice.get("index"), out)
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            message = choice.pop("message", None)
            delta = message if isinstance(message, dict) else {}
        choice["index"] = state.index
        delta.pop("role", None)
        unfold(delta)
        if "tool_calls" in delta:
            entries = state.tools.take(delta.pop("tool_calls"))
            if entries:
                delta["tool_calls"] = entries
        says = has_content(delta) or bool(choice.get("text"))
        if says:
            self.observed.has_content = True
            self.observed.deltas += tokens_of(*said_in([{**choice, "delta": delta}]))
        native = given_reason(choice.get("finish_reason"))
        choice["finish_reason"] = None
        if native is not None:
            if is_failure(native):
                unsaid = {"error": {"message": _UNSAID.message, "code": native}}
                self._fail(choice if choice.get("error") else unsaid)
                return
            if state.finish is None or outranks(native, state.finish):
                state.finish = native
            state.ended = True
            self._judge()
            if not says and not any(delta.values()):
                state.last_chunk = {**state.last_chunk, **chunk}
                state.last_choice = {**state.last_choice, **choice}
                return
        elif says and state.ended:
            state.ended = False
            self._judge()
        if not state.opened:
            state.opened = True
            delta = {"role": "assistant", **delta}
        elif native is None and says and not choice.get("text"):
            self._said = only_words(delta)
        choice["delta"] = delta
        self._send(chunk, [choice], out)

    def _choice_at(self, index: object, out: list[bytes]) -> _Choice:
        """The choice of an upstream's index; one that nobody asked for is a content block's that leaked, and
        means choice 0."""
        if type(index) is not int or not 0 <= index < self._choice_count:
            index = 0
        state = self._choices.get(index)
        if state is None:
            for missing in range(len(self._choices), index):  # clients expect choices in order of their index
                self._open(self._choice_at(missing, out), out)
            state = self._choices[index] = _Choice(index)
        return state

    def _judge(self) -> None:
        """Whether the answer would be complete if the body ended now."""
        choices = self._choices
        all_seen = len(choices) >= self._choice_count or (bool(choices) and self._usage_chunk is not None)
        self.observed.finished = all_seen and all(choice.ended for choice in choices.values())

    def _identify(self, chunk: Members) -> None:
        if self.observed.model is None:
            self.observed.model = id_of(chunk.get("model"))
        if not self._head:
            self._head = {
                "id": id_of(chunk.get("id")) or made_answer_id(),
                "object": _OBJECT,
                "created": created_of(chunk.get("created")),
                "model": model_shown(chunk.get("model"), self._asked_model),
            }

    def _fail(self, chunk: object) -> None:
        """An error event: the relay says how the stream ends; nothing that follows counts."""
        self._over = True
        self.observed.finished = False
        self.observed.error = words_of(chunk) or _UNSAID

    def _send(self, chunk: Members, choices: list[Members], out: list[bytes]) -> None:
        while self._early:
            self._write(self._early.pop(0), [], out)
        self._write(chunk, choices, out)

    def _write(self, chunk: Members, choices: list[Members], out: list[bytes]) -> None:
        chunk.update(self._head)
        chunk["choices"] = choices
        if self._include_usage:
            chunk["usage"] = None
        out.append(self._frame(chunk))

    def _decode(self, data: bytes) -> object:
        try:
            return _decode(data)
        except msgspec.DecodeError:
            if not may_hold_halves(data):
                raise
            chunk = _decode(shelter_halves(data))
            self._sheltered = True
            return chunk

    def _frame(self, chunk: Members) -> bytes:
        data = _encode(chunk)
        return data_frame(restore_halves(data) if self._sheltered else data)

    def _open(self, state: _Choice, out: list[bytes]) -> None:
        state.opened = True
        delta = {"role": "assistant", "content": ""}
        self._send({}, [{"index": state.index, "delta": delta, "finish_reason": None}], out)

    def _end(self, out: list[bytes]) -> None:
        """Say what was held back: finishes, usage, the end mark."""
        self._over = True
        self._choice_at(0, out)
        for state in self._choices.values():
            if not state.opened:
                self._open(state, out)
            arguments = state.tools.close()
            if arguments:
                delta = {"tool_calls": arguments}
                self._send({}, [{"index": state.index, "delta": delta, "finish_reason": None}], out)
            choice = {**state.last_choice, "index": state.index, "delta": {}}
            write_reason(choice, state.finish, has_calls=bool(state.tools))
            self._send(state.last_chunk, [choice], out)
        if self._include_usage and self._usage is not None:
            chunk: Members = {**(self._usage_chunk or {}), **self._head, "choices": []}
            usage = usage_shown(self._usage)
            chunk["usage"] = with_cache_split(usage) if self._splits_cache else usage
            out.append(self._frame(chunk))
        self.observed.ending = DONE


def _is_whole(data: bytes) -> bool:
    """Whether the last event, whose empty line never came, is all there; one that was cut is not an event."""
    if data.strip() == b"[DONE]":
        return True
    try:
        return isinstance(_decode(data), dict)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
