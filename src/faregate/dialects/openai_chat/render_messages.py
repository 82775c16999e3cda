"""A Conversation's messages for an upstream (openai-openapi, ChatCompletionRequest*Message; conformance 2.1)."""

import hashlib
import mimetypes
from collections.abc import Iterable, Iterator

import msgspec

from ...core.conversation import Foreign, Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from ...core.errors import Inexpressible
from .. import Addressee, media
from ..turns import unsayable
from .understand_parts import AUDIO_FORMATS, DIALECT

Written = dict[str, object]

_CALL_ID_CHARACTERS_MAX = 40  # conformance 2.2
_FORMATS = {media_type: name for name, media_type in AUDIO_FORMATS.items()} | {
    "audio/mp3": "mp3",
    "audio/wave": "wav",
    "audio/x-wav": "wav",
}
_OFFICIAL_FORMATS = frozenset({"wav", "mp3"})


class MessagesWriter:
    """Writes messages for one addressee; `dropped` gathers what they do not say."""

    def __init__(self, addressee: Addressee) -> None:
        self.dropped: list[str] = []
        self._addressee = addressee
        self._is_official = addressee.is_official
        self._wants_thoughts = addressee.capabilities.reasoning_replay == "reasoning_content"

    def write(self, messages: tuple[Message, ...]) -> list[Written]:
        """The messages of the body. Inexpressible for what they cannot say and must not leave out."""
        written: list[Written] = []
        run: list[Message] = []  # turns of the user that follow one another
        for message in messages:
            if message.role == "user":
                run.append(message)
                continue
            written += self._user_run(run)
            run = []
            written += self._assistant(message) if message.role == "assistant" else self._instruction(message)
        return [*written, *self._user_run(run)]

    def _instruction(self, message: Message) -> Iterator[Written]:
        """OpenAI's reasoning models are told by a developer, its others by whom the client wrote, all else by the
        system."""
        role: str = message.role
        if not self._is_official:
            role = "system"
        elif self._addressee.capabilities.reasoning:
            role = "developer"
        yield self._named(message, {"role": role, "content": self._content(message.parts)})

    def _user_run(self, run: list[Message]) -> Iterator[Written]:
        """Results of tools stand right after their calls, as OpenAI wants them; media among them can only be said in
        the user's own words that follow."""
        for message in run:
            for part in message.parts:
                if isinstance(part, ToolResult):
                    yield self._result(part)
        for message in run:
            results = [part for part in message.parts if isinstance(part, ToolResult)]
            seen: list[Part] = [each for part in results for each in part.parts if isinstance(each, Media)]
            said = [part for part in message.parts if not isinstance(part, ToolResult)]
            if seen or said or not results:
                yield self._named(message, {"role": "user", "content": self._content((*seen, *said))})

    def _result(self, result: ToolResult) -> Written:
        if result.is_error:
            self.dropped.append("is_error")
        if result.cache:
            self.dropped.append("cache_control")
        texts = [part for part in result.parts if isinstance(part, Text)]
        return {"role": "tool", "tool_call_id": call_id_shown(result.call_id), "content": self._content(texts)}

    def _assistant(self, message: Message) -> Iterator[Written]:
        calls = [part for part in message.parts if isinstance(part, ToolCall)]
        foreign = [part for part in message.parts if isinstance(part, Foreign) and part.name == "custom"]
        thinking = [part for part in message.parts if isinstance(part, Thinking)]
        thoughts = "".join(part.text for part in thinking)
        images = [part for part in message.parts if isinstance(part, Media)]
        said = [part for part in message.parts if isinstance(part, Text | Refusal | Foreign) and part not in foreign]
        written: Written = {"role": "assistant"}
        written["content"] = self._content(said) if said else None
        if thoughts and self._wants_thoughts and calls:
            written["reasoning_content"] = thoughts
            self.dropped += ["signature" for part in thinking if part.signature or part.redacted]
        elif thinking:
            self.dropped.append("thinking")
        if images and not self._is_official:
            written["images"] = [self._seen("image_url", image) for image in images]  # OpenRouter's member
        elif images:
            self.dropped.append("images")
        if calls or foreign:
            written["tool_calls"] = [*map(self._call, calls), *map(self._foreign, foreign)]
        elif written["content"] is None and "images" not in written:
            if message.parts:
                return  # nothing is left of it
            written["content"] = ""
        yield self._named(message, written)

    def _call(self, call: ToolCall) -> Written:
        if call.cache:
            self.dropped.append("cache_control")
        if call.signature:
            self.dropped.append("signature")
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": call_id_shown(call.id), "type": "function", "function": function}

    def _named(self, message: Message, written: Written) -> Written:
        if message.name:
            written["name"] = message.name
        return written

    def _content(self, parts: Iterable[Part]) -> object:
        """A string where it is words alone, in one piece; else a list of parts."""
        found = list(parts)
        if not found:
            return ""
        if len(found) == 1 and isinstance(found[0], Text):
            return self._text(found[0])
        return [self._part(part) for part in found]

    def _text(self, part: Text) -> str:
        if part.cache:
            self.dropped.append("cache_control")
        if part.citations:
            self.dropped.append("citations")
        if part.signature:
            self.dropped.append("signature")
        return part.text

    def _part(self, part: Part) -> object:
        if isinstance(part, Text):
            return {"type": "text", "text": self._text(part)}
        if isinstance(part, Refusal):
            return {"type": "refusal", "refusal": part.text}
        if isinstance(part, Media):
            return self._media(part)
        if isinstance(part, Foreign):
            return self._foreign(part)
        raise unsayable(part)

    def _foreign(self, part: Foreign) -> msgspec.Raw:
        if part.dialect != DIALECT:
            raise unsayable(part)
        return part.raw

    def _media(self, part: Media) -> Written:
        if part.cache:
            self.dropped.append("cache_control")
        if part.text:
            if part.name:
                self.dropped.append("filename")
            return {"type": "text", "text": part.text}
        if part.file_id or part.kind == "document":
            return self._document(part)
        if part.name:
            self.dropped.append("filename")
        if part.kind == "audio":
            return self._sound(part)
        if part.kind == "video" and self._is_official:
            raise Inexpressible("The provider of this model cannot be shown a video.", param="messages")
        return self._seen("image_url" if part.kind == "image" else "video_url", part)

    def _seen(self, member: str, part: Media) -> Written:
        address: Written = {"url": part.url or media.data_uri(part.media_type, part.data)}
        if part.detail:
            address["detail"] = part.detail
        return {"type": member, member: address}

    def _sound(self, part: Media) -> Written:
        format_ = _FORMATS.get(part.media_type, part.media_type.partition("/")[2])
        if not part.data:
            raise Inexpressible("A sound can be given by its bytes alone.", param="messages")
        if self._is_official and format_ not in _OFFICIAL_FORMATS:
            raise Inexpressible(f"A sound is 'wav' or 'mp3', not '{part.media_type}'.", param="messages")
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": format_}}

    def _document(self, part: Media) -> Written:
        file: Written = {}
        if part.file_id:
            file["file_id"] = part.file_id
        elif part.url:
            if self._is_official:
                raise Inexpressible("A document can be given by its bytes alone, not by an address.", param="messages")
            file["file_data"] = part.url  # as OpenRouter takes it
        else:
            file["file_data"] = media.data_uri(part.media_type, part.data)
        if part.name or "file_data" in file:
            file["filename"] = part.name or _file_name(part.media_type)  # data without a name is refused
        return {"type": "file", "file": file}


def _file_name(media_type: str) -> str:
    return f"document{mimetypes.guess_extension(media_type) or ''}"


def call_id_shown(call_id: str) -> str:
    """A call's id for an upstream: the same each time, and no longer than OpenAI takes."""
    if len(call_id) <= _CALL_ID_CHARACTERS_MAX:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]
