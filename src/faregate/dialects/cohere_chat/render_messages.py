"""A Conversation's messages for an upstream (docs.cohere.com, API reference, Chat, `messages`): instructions first, in
one message ("system turn must be the first in the list": Errors), a message for each result of a tool, in the order of
the calls."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ...core.conversation import Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from ...core.errors import Inexpressible
from .. import Addressee, media
from ..bodies import is_object
from ..turns import Turn, instructions_of, results_of, turns_of, unsayable
from .vocabulary import Written

_DETAILS = frozenset({"auto", "low", "high"})
_IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})  # docs, Image Inputs


class MessagesWriter:
    """Writes the messages for one addressee; `dropped` gathers what they do not say."""

    def __init__(self, addressee: Addressee) -> None:
        self.dropped: list[str] = []
        self._addressee = addressee

    def write(self, messages: Sequence[Message], instructions: Iterable[str]) -> list[Written]:
        """The messages, after what the system says; `instructions` are ours. Inexpressible for what they cannot say
        and must not leave out."""
        self.dropped += ["name" for message in messages if message.name]
        system = list(self._instructions(instructions_of(messages)))
        written = [each for turn in turns_of(messages) for each in self._turn(turn)]
        if not written:
            message = "There is nothing to answer: a message of the user is needed."
            raise Inexpressible(message, param="messages")
        system += instructions
        return [{"role": "system", "content": "\n".join(system)}, *written] if system else written

    def _instructions(self, parts: Iterable[Part]) -> Iterator[str]:
        for part in parts:
            if not isinstance(part, Text):
                raise Inexpressible("Instructions can only be words.", param="messages")
            if part.text:
                yield self._text(part)

    def _turn(self, turn: Turn) -> Iterator[Written]:
        if turn.role != "assistant":
            return self._user(turn)
        if turn.is_last and self._addressee.capabilities.prefill is False:
            raise Inexpressible("This model cannot go on with an answer that was begun.", param="messages")
        return self._assistant(turn.parts)

    # What the user says, and what tools gave

    def _user(self, turn: Turn) -> Iterator[Written]:
        """What is seen in results can only be said in the user's own words that follow."""
        given = results_of(turn, states_errors=False)
        yield from map(self._result, given)
        seen = [each for result in given for each in result.parts if isinstance(each, Media)]
        said = [part for part in turn.parts if not isinstance(part, ToolResult)]
        content = [self._part(part) for part in (*seen, *said) if not _is_blank(part)]
        if content:
            yield {"role": "user", "content": _plain(content)}

    def _result(self, result: ToolResult) -> Written:
        """A result that is a JSON object is a document, which the model can cite by its members (docs, Tool use)."""
        if result.is_error:
            self.dropped.append("is_error")
        if result.cache:
            self.dropped.append("cache_control")
        text = "".join(self._text(part) for part in result.parts if isinstance(part, Text))
        content: object = text
        if text.lstrip().startswith("{") and is_object(text):
            content = [{"type": "document", "document": {"data": msgspec.Raw(text.encode())}}]
        return {"role": "tool", "tool_call_id": result.call_id, "content": content}

    def _part(self, part: Part) -> Written:
        if isinstance(part, Text):
            return {"type": "text", "text": self._text(part)}
        if isinstance(part, Media):
            return self._media(part)
        raise unsayable(part)

    def _text(self, part: Text) -> str:
        if part.signature:
            self.dropped.append("signature")
        if part.cache:
            self.dropped.append("cache_control")
        if part.citations:
            self.dropped.append("citations")
        return part.text

    def _media(self, part: Media) -> Written:
        if part.cache:
            self.dropped.append("cache_control")
        if part.text:
            if part.name:
                self.dropped.append("filename")
            return {"type": "text", "text": part.text}
        if part.kind == "audio":
            raise Inexpressible(
                "The provider of this model cannot be given audio.",
                param="messages",
                kind="audio_not_supported_by_model",
            )
        if part.kind != "image" or part.file_id:
            kind = "an uploaded file" if part.file_id else f"a {part.kind}"
            raise Inexpressible(f"The provider of this model cannot be given {kind}.", param="messages")
        if part.name:
            self.dropped.append("filename")
        address: Written = {"url": part.url or _data_uri(part)}
        if part.detail in _DETAILS:
            address["detail"] = part.detail
        elif part.detail:
            self.dropped.append("detail")
        return {"type": "image_url", "image_url": address}

    # What the model said

    def _assistant(self, parts: list[Part]) -> Iterator[Written]:
        calls = [part for part in parts if isinstance(part, ToolCall)]
        if any(isinstance(part, Media) for part in parts):
            self.dropped.append("images")
        written: Written = {"role": "assistant"}
        content = self._thoughts(parts, written) if calls else []
        if not calls and any(isinstance(part, Thinking) for part in parts):
            self.dropped.append("thinking")
        for part in parts:
            if isinstance(part, Refusal):
                content.append({"type": "text", "text": part.text})
            elif not isinstance(part, Thinking | ToolCall | Media) and not _is_blank(part):
                content.append(self._part(part))
        if content:
            written["content"] = _plain(content)
        if calls:
            written["tool_calls"] = [self._call(call) for call in calls]
        if content or calls:
            yield written

    def _thoughts(self, parts: list[Part], written: Written) -> list[object]:
        """The thoughts that led to calls: models that reason take them as content, others as their plan."""
        thoughts = [part.text for part in self._open_thoughts(parts)]
        if not thoughts:
            return []
        if self._addressee.capabilities.reasoning:
            return [{"type": "thinking", "thinking": text} for text in thoughts]
        written["tool_plan"] = "".join(thoughts)
        return []

    def _open_thoughts(self, parts: list[Part]) -> Iterator[Thinking]:
        """Thoughts that are nobody's secret: those that another provider has signed may not be shown."""
        for part in parts:
            if isinstance(part, Thinking):
                if part.text and not part.signed_by:
                    yield part
                else:
                    self.dropped.append("thinking")

    def _call(self, call: ToolCall) -> Written:
        if call.cache:
            self.dropped.append("cache_control")
        if call.signature:
            self.dropped.append("signature")
        return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _plain(content: Sequence[object]) -> object:
    """A string where it is words alone, in one piece; else the list."""
    only = content[0]
    if len(content) == 1 and isinstance(only, dict) and only["type"] == "text":
        return only["text"]
    return content


def _is_blank(part: Part) -> bool:
    """Whether it is a text that is refused as empty ("message must not be empty in a turn": Errors)."""
    return isinstance(part, Text) and not part.text.strip()


def _data_uri(part: Media) -> str:
    media_type = media.sniffed(part.data) or part.media_type
    if media_type not in _IMAGES:
        raise Inexpressible(
            f"A picture for the provider of this model is a JPEG, PNG, GIF or WebP, not '{media_type}'.",
            param="messages",
            kind="unsupported_image_type",
        )
    return media.data_uri(media_type, part.data)
