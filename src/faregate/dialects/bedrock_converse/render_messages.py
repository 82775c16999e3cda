"""A Conversation's messages for an upstream (API reference, Converse, Message and ContentBlock): instructions moved to
the top, turns that follow one another joined, results of tools first in theirs and in the order of the calls."""

from collections.abc import Iterable, Sequence

import msgspec

from ...core.conversation import Foreign, Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from ...core.errors import Inexpressible
from .. import Addressee
from .attachments import Attachments
from .blocks import SIGNED_BY, Written, call_id_shown
from .families import Family

CACHE_MARKS_MAX = 4
_NO_RESULT = "There is no result of this call."
_NO_WORDS = "The tool said nothing."  # of a failure something must be said
_BESIDE_DOCUMENTS = "See the document."  # beside documents there must be words
Turn = tuple[str, list[Part]]


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
        system: list[Written] = []
        turns: list[Turn] = []
        for message in messages:
            if message.name:
                self.dropped.append("name")
            if message.role in ("system", "developer"):
                for part in message.parts:
                    if isinstance(part, Text) and part.text.strip():
                        system += [{"text": part.text}, *self.mark(part.cache)]
            elif turns and turns[-1][0] == message.role:
                turns[-1][1].extend(message.parts)
            else:
                turns.append((message.role, list(message.parts)))
        written = self._turns(turns)
        if not written or written[0]["role"] != "user":
            raise Inexpressible(
                "The first message for the provider of this model must be the user's.", param="messages"
            )
        return system, written

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

    def _turns(self, turns: list[Turn]) -> list[Written]:
        written: list[Written] = []
        calls: list[str] = []
        for place, (role, parts) in enumerate(turns):
            if role == "assistant":
                blocks = self._assistant(parts, is_last=place == len(turns) - 1)
                calls = [part.id for part in parts if isinstance(part, ToolCall)]
            else:
                blocks = self._user(parts, calls)
                calls = []
            if blocks and written and written[-1]["role"] == role:
                content = written[-1]["content"]
                assert isinstance(content, list)
                content += blocks  # of the turn between them nothing was left
            elif blocks:
                written.append({"role": role, "content": blocks})
        return written

    def _user(self, parts: list[Part], calls: list[str]) -> list[Written]:
        """The user's turn after an answer with those calls, each of which must have its result."""
        results = {part.call_id: part for part in parts if isinstance(part, ToolResult)}
        order = [*calls, *(call_id for call_id in results if call_id not in calls)]
        given = [
            results.get(call_id) or ToolResult(call_id=call_id, parts=(Text(_NO_RESULT),), is_error=True)
            for call_id in order
        ]
        others = [part for part in parts if not isinstance(part, ToolResult)]
        blocks = self._blocks(others)
        if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
            blocks.append({"text": _BESIDE_DOCUMENTS})
            self.adjusted.append("messages=with words beside the document")
        return [*(block for result in given for block in self._result(result)), *blocks]

    def _assistant(self, parts: list[Part], *, is_last: bool) -> list[Written]:
        if is_last and self._addressee.capabilities.prefill is False:
            raise Inexpressible("This model cannot go on with an answer that was begun.", param="messages")
        thoughts = [part for part in parts if isinstance(part, Thinking)]
        own = [part for part in thoughts if self._family.signs and part.signed_by == SIGNED_BY]
        if len(own) < len(thoughts):
            self.dropped.append("thinking")  # without the proof of these models it may not be shown to them
        if any(isinstance(part, Media) for part in parts):
            self.dropped.append("images")
        said = [part for part in parts if not isinstance(part, Thinking | Media)]
        if is_last and said and isinstance(said[-1], Text):
            said[-1] = msgspec.structs.replace(said[-1], text=said[-1].text.rstrip())
        return [*map(_thought, own), *self._blocks(said)]

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
        if isinstance(part, Foreign):
            message = f"The provider of this model cannot be told '{part.name}'."
            raise Inexpressible(message, param=part.path or "messages")
        kind = part.__struct_config__.tag
        raise Inexpressible(f"A message of this role cannot hold a part of type '{kind}'.", param="messages")

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
