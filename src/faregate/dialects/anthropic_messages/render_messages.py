"""A Conversation's messages for an upstream (platform.claude.com, Messages API; conformance 2.1): instructions moved to
the top, turns that follow one another joined, results of tools first in theirs and in the order of the calls."""

import base64
from collections.abc import Iterable, Sequence

import msgspec

from ...core.conversation import Foreign, Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from ...core.errors import Inexpressible
from .. import Addressee, media
from ..turns import Turn, alternating, instructions_of, results_of, said_of, turns_of, unsayable
from .blocks import DIALECT, Written, call_id_shown

CACHE_MARKS_MAX = 4
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


class MessagesWriter:
    """Writes the messages for one addressee; `dropped` gathers what they do not say."""

    def __init__(self, addressee: Addressee) -> None:
        self.dropped: list[str] = []
        self._addressee = addressee
        self._marks = 0

    def write(self, messages: Sequence[Message]) -> tuple[list[Written], list[Written]]:
        """The blocks of `system`, and the messages. Inexpressible for what they cannot say and must not leave out."""
        self.dropped += ["name" for message in messages if message.name]
        instructions = instructions_of(messages)
        system = [self._text(part) for part in instructions if isinstance(part, Text) and part.text]
        return system, alternating(turns_of(messages), self._blocks_of)

    def mark(self, block: Written, cache: str) -> Written:
        """A block, kept in the provider's cache up to here, where it is to be; four times at most."""
        if cache and self._marks < CACHE_MARKS_MAX:
            self._marks += 1
            block["cache_control"] = {"type": "ephemeral", "ttl": "1h"} if cache == "1h" else {"type": "ephemeral"}
        elif cache:
            self.dropped.append("cache_control")
        return block

    def _blocks_of(self, turn: Turn) -> list[object]:
        if turn.role == "assistant":
            return self._assistant(turn)
        others = [part for part in turn.parts if not isinstance(part, ToolResult)]
        return [*map(self._result, results_of(turn)), *self._blocks(others)]

    def _assistant(self, turn: Turn) -> list[object]:
        if turn.is_last and self._addressee.capabilities.prefill is False:
            raise Inexpressible("This model cannot go on with an answer that was begun.", param="messages")
        thoughts = [part for part in turn.parts if isinstance(part, Thinking)]
        own = [part for part in thoughts if part.signed_by == DIALECT]
        if len(own) < len(thoughts):
            self.dropped.append("thinking")  # without this provider's proof it may not be shown
        if any(isinstance(part, Media) for part in turn.parts):
            self.dropped.append("images")
        return [*map(_thought, own), *self._blocks(said_of(turn))]

    def _blocks(self, parts: Iterable[Part]) -> list[object]:
        return [self._block(part) for part in parts if not _is_blank(part)]

    def _block(self, part: Part) -> object:
        if isinstance(part, Text):
            return self._text(part)
        if isinstance(part, Refusal):
            return {"type": "text", "text": part.text}
        if isinstance(part, Media):
            return self.mark(self._media(part), part.cache)
        if isinstance(part, ToolCall):
            if part.signature:
                self.dropped.append("signature")
            arguments = msgspec.Raw(part.arguments.encode())
            block: Written = {"type": "tool_use", "id": call_id_shown(part.id), "name": part.name, "input": arguments}
            return self.mark(block, part.cache)
        if isinstance(part, Foreign) and part.dialect == DIALECT:
            return part.raw
        raise unsayable(part)

    def _text(self, part: Text) -> Written:
        if part.signature:
            self.dropped.append("signature")
        if part.citations:  # where they are of is said as no other tells it
            self.dropped.append("citations")
        return self.mark({"type": "text", "text": part.text}, part.cache)

    def _result(self, result: ToolResult) -> Written:
        block: Written = {"type": "tool_result", "tool_use_id": call_id_shown(result.call_id)}
        content = self._blocks(result.parts)
        if len(content) == 1 and isinstance(result.parts[0], Text) and not result.parts[0].cache:
            block["content"] = result.parts[0].text
        elif content:
            block["content"] = content
        if result.is_error:
            block["is_error"] = True
        return self.mark(block, result.cache)

    def _media(self, part: Media) -> Written:
        if part.kind == "audio":
            raise Inexpressible(
                "The provider of this model cannot be given audio.",
                param="messages",
                kind="audio_not_supported_by_model",
            )
        if part.kind == "video":
            raise Inexpressible("The provider of this model cannot be shown a video.", param="messages")
        if part.kind == "image":
            if part.detail and part.detail != "auto":
                self.dropped.append("detail")
            if part.name:
                self.dropped.append("filename")
            return {"type": "image", "source": _image_source(part)}
        block: Written = {"type": "document", "source": _document_source(part)}
        if part.name:
            block["title"] = part.name
        return block


def _thought(part: Thinking) -> Written:
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature}


def _is_blank(part: Part) -> bool:
    """Whether it is a text that the Messages API refuses as empty."""
    return isinstance(part, Text) and not part.text.strip()


def _image_source(part: Media) -> Written:
    if part.url:
        return {"type": "url", "url": part.url}
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    media_type = media.sniffed(part.data) or part.media_type
    if media_type not in _IMAGES:
        raise Inexpressible(
            f"A picture for the provider of this model is a JPEG, PNG, GIF or WebP, not '{media_type}'.",
            param="messages",
            kind="unsupported_image_type",
        )
    return {"type": "base64", "media_type": media_type, "data": part.data}


def _document_source(part: Media) -> Written:
    if part.url:
        return {"type": "url", "url": part.url}
    if part.file_id:
        return {"type": "file", "file_id": part.file_id}
    if part.text:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    media_type = part.media_type or media.sniffed(part.data)
    if media_type == "application/pdf":
        return {"type": "base64", "media_type": media_type, "data": part.data}
    if media_type.startswith("text/"):
        try:
            text = base64.b64decode(part.data, validate=True).decode()
        except ValueError:
            raise Inexpressible("A document of text must be base64 of UTF-8.", param="messages") from None
        return {"type": "text", "media_type": "text/plain", "data": text}
    raise Inexpressible(
        f"A document for the provider of this model is a PDF or text, not '{media_type or 'unknown'}'.",
        param="messages",
    )
