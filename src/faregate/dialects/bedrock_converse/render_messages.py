"""A Conversation's messages for an upstream (API reference, Converse, Message and ContentBlock): instructions moved to
the top, turns that follow one another joined, results of tools first in theirs and in the order of the calls."""

from collections.abc import Iterable, Sequence

import msgspec

from ...core.conversation import Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from ...core.errors import Inexpressible
from .. import Addressee
from ..turns import Turn, alternating, instructions_of, results_of, said_of, turns_of, unsayable
from .attachments import Attachments
from .blocks import SIGNED_BY, Written, call_id_shown
from .families import Family

CACHE_MARKS_MAX = 4
_NO_WORDS = "The tool said nothing."  # of a failure something must be said
_BESIDE_DOCUMENTS = "See the document."  # beside documents there must be words


class MessagesWriter:
    """Writes the messages for one addressee; `dropped` and `adjusted` gather what they do not say, or say otherwise;
    `called` are the names of the tools that were called."""

    def __init__(self, addressee: Addressee, family: Family) -> None:
        self.attachments = Attachments()
        self.dropped = self.attachments.dropped
        self.adjusted = self.attachments.adjusted
        self.called: dict[str, None] = {}
        self._addressee = addressee
        self._family = family
        self._marks = 0

    def write(self, messages: Sequence[Message]) -> tuple[list[Written], list[Written]]:
        """The blocks of `system`, and the messages. Inexpressible for what they cannot say and must not leave out."""
        self.dropped += ["name" for message in messages if message.name]
        system: list[Written] = []
        for part in instructions_of(messages):
            if isinstance(part, Text) and part.text.strip():
                system += [{"text": part.text}, *self.mark(part.cache)]
        return system, alternating(turns_of(messages), self._blocks_of)

    def mark(self, cache: str, *, is_of_tools: bool = False) -> list[Written]:
        """What keeps the prompt up to here in the provider's cache, where it is to be; four times at most."""
        family = self._family
        if not cache:
            return []
        if not family.caches or (is_of_tools and not family.caches_tools) or self._marks >= CACHE_MARKS_MAX:
            self.dropped.append("cache_control")
            return []
        self._marks += 1
        if cache == "1h" and not family.caches_longer:
            self.adjusted.append("cache_control=5m")
        longer: Written = {"ttl": "1h"} if cache == "1h" and family.caches_longer else {}
        return [{"cachePoint": {"type": "default", **longer}}]

    def _blocks_of(self, turn: Turn) -> list[Written]:
        return self._assistant(turn) if turn.role == "assistant" else self._user(turn)

    def _user(self, turn: Turn) -> list[Written]:
        blocks = self._blocks(part for part in turn.parts if not isinstance(part, ToolResult))
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            blocks.append({"text": _BESIDE_DOCUMENTS})
            self.adjusted.append("messages=with words beside the document")
        return [*(block for result in results_of(turn) for block in self._result(result)), *blocks]

    def _assistant(self, turn: Turn) -> list[Written]:
        if turn.is_last and self._addressee.capabilities.prefill is False:
            raise Inexpressible("This model cannot go on with an answer that was begun.", param="messages")
        thoughts = [part for part in turn.parts if isinstance(part, Thinking)]
        own = [part for part in thoughts if self._family.signs and part.signed_by == SIGNED_BY]
        if len(own) < len(thoughts):
            self.dropped.append("thinking")  # without the proof of these models it may not be shown to them
        if any(isinstance(part, Media) for part in turn.parts):
            self.dropped.append("images")
        return [*map(_thought, own), *self._blocks(said_of(turn))]

    def _blocks(self, parts: Iterable[Part]) -> list[Written]:
        """Blocks, each with the mark that follows it; texts that Converse refuses as blank left out."""
        written: list[Written] = []
        for part in parts:
            if isinstance(part, Text) and not part.text.strip():
                continue
            written.append(self._block(part))
            written += self.mark(getattr(part, "cache", ""))
        return written

    def _block(self, part: Part) -> Written:
        if isinstance(part, Text):
            if part.citations:
                self.dropped.append("citations")
            if part.signature:
                self.dropped.append("signature")
            return {"text": part.text}
        if isinstance(part, Refusal):
            return {"text": part.text}
        if isinstance(part, Media):
            return self.attachments.block(part)
        if isinstance(part, ToolCall):
            self.called[part.name] = None
            if part.signature:
                self.dropped.append("signature")
            arguments = msgspec.Raw(part.arguments.encode())
            return {"toolUse": {"toolUseId": call_id_shown(part.id), "name": part.name, "input": arguments}}
        raise unsayable(part)

    def _result(self, result: ToolResult) -> list[Written]:
        """A result of a tool, and the marks within it, which can only follow it."""
        content = [self._block(part) for part in result.parts if not isinstance(part, Text) or part.text.strip()]
        written: Written = {
            "toolUseId": call_id_shown(result.call_id),
            "content": content or [{"text": _NO_WORDS if result.is_error else ""}],
        }
        if result.is_error and self._family.states_errors:
            written["status"] = "error"
        elif result.is_error:
            self.dropped.append("is_error")
        marks = [result.cache, *(part.cache for part in result.parts)]
        return [{"toolResult": written}, *self.mark("1h" if "1h" in marks else max(marks))]


def _thought(part: Thinking) -> Written:
    if part.redacted:
        return {"reasoningContent": {"redactedContent": part.redacted}}
    return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
