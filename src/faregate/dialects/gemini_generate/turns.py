"""The messages of a Conversation as `systemInstruction` and `contents` (conformance.md 2.1)."""

from collections.abc import Iterable, Iterator
from mimetypes import guess_type
from typing import Any

import msgspec

from ...core.conversation import Foreign, Media, Message, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from ...core.errors import Inexpressible
from .. import Addressee
from ..media import sniffed
from .proofs import LOST, NAME
from .result import object_of

_NO_RESULT = {"error": "The call was given no result."}
_MEDIA_TYPES = {"audio/mpeg": "audio/mp3", "audio/x-wav": "audio/wav", "audio/wave": "audio/wav"}
_IMAGES = ("image/png", "image/jpeg", "image/webp", "image/heic", "image/heif")
_DOCUMENTS = ("application/pdf", "application/json", "application/xml", "application/rtf")
# Where the API reads from by itself: its own files, Google's storage, films, and since January 2026 any address that is
# public or signed (Gemini API, file input methods).
_READABLE = ("https://", "gs://")

_Rendered = dict[str, Any] | msgspec.Raw


class Turns:
    """Writes the turns of one request. `dropped` collects what has no place in them, by the names of dialects.Rendered;
    Inexpressible for what must not be left out."""

    def __init__(self, addressee: Addressee) -> None:
        self.dropped: dict[str, None] = {}
        self._capabilities = addressee.capabilities
        self._calls: dict[str, str] = {}  # of the last turn of the model: id -> name
        self._gathered: list[ToolResult] = []  # for those calls
        self._contents: list[dict[str, Any]] = []

    def contents(self, messages: tuple[Message, ...]) -> list[dict[str, Any]]:
        """All turns but the system's, neighbours of one role as one."""
        for message in messages:
            if message.name:
                self.dropped["name"] = None
            if message.role == "assistant":
                self._add("model", self._model_parts(message.parts))
            elif message.role == "user":
                self._user(message.parts)
        self._answer([])
        if not self._contents:
            raise Inexpressible("There is nothing to answer: a message of the user is needed.", param="messages")
        if self._contents[-1]["role"] == "model" and self._capabilities.prefill is not True:
            message = "This model cannot go on with an answer: the last message must be the user's."
            raise Inexpressible(message, param="messages")
        for content in self._contents:
            self._prove(content)
        return self._contents

    def instruction(self, messages: tuple[Message, ...]) -> dict[str, Any] | None:
        """What the system says, wherever it says it, in its order; None where it says nothing."""
        texts = []
        for message in messages:
            if message.role not in ("system", "developer"):
                continue
            for part in message.parts:
                if not isinstance(part, Text):
                    raise Inexpressible("Instructions can only be words.", param="messages")
                self._note(part)
                if part.text:
                    texts.append(part.text)
        return {"parts": [{"text": "\n".join(texts)}]} if texts else None

    def _add(self, role: str, parts: Iterable[_Rendered]) -> None:
        rendered = list(parts)
        if not rendered:
            return
        if self._contents and self._contents[-1]["role"] == role:
            self._contents[-1]["parts"] += rendered
        else:
            self._contents.append({"role": role, "parts": rendered})

    def _user(self, parts: tuple[Part, ...]) -> None:
        """Results first, in the order of their calls; then what else the user says."""
        results = [part for part in parts if isinstance(part, ToolResult)]
        self._gathered += results
        others = [rendered for part in parts for rendered in self._user_part(part)]
        for result in results:
            if result.call_id not in self._calls:
                raise Inexpressible(f"'{result.call_id}' is the result of no call.", param="messages")
        if others:
            self._answer(others)

    def _answer(self, others: list[_Rendered]) -> None:
        """Close the model's turn of calls: each is given its result, or that it has none."""
        by_id = {result.call_id: result for result in self._gathered}
        self._gathered = []
        if self._calls and (by_id or others):
            following: list[_Rendered] = []
            responses = [
                self._response(call_id, name, by_id.get(call_id), following) for call_id, name in self._calls.items()
            ]
            self._add("user", [*responses, *following])
            self._calls = {}
        self._add("user", others)

    def _response(
        self, call_id: str, name: str, result: ToolResult | None, following: list[_Rendered]
    ) -> dict[str, Any]:
        """A `functionResponse`. Its pictures stand in it where the model takes them there, else after it."""
        said: dict[str, Any] = {"id": call_id, "name": name, "response": _NO_RESULT}
        if result is None:
            return {"functionResponse": said}
        self._note(result)
        texts = [part for part in result.parts if isinstance(part, Text)]
        for text in texts:
            self._note(text)
        words = "".join(text.text for text in texts)
        members = object_of(words) if words.lstrip().startswith("{") else None
        if result.is_error:
            said["response"] = members if members is not None and list(members) == ["error"] else {"error": words}
        else:
            said["response"] = members if members is not None else {"result": words}
        media = [self._media(part) for part in result.parts if isinstance(part, Media)]
        if (
            media and self._capabilities.thinking == "level"
        ):  # since Gemini 3: API docs, "Multimodal function responses"
            said["parts"] = media
        else:
            following += media
        return {"functionResponse": said}

    def _user_part(self, part: Part) -> Iterator[_Rendered]:
        if isinstance(part, Text):
            self._note(part)
            if part.text:
                yield {"text": part.text}
        elif isinstance(part, Media):
            yield self._media(part)
        elif isinstance(part, Foreign):
            yield self._foreign(part)
        elif not isinstance(part, ToolResult):
            raise Inexpressible("This cannot be said by the user.", param="messages")

    def _model_parts(self, parts: tuple[Part, ...]) -> Iterator[_Rendered]:
        if self._gathered:
            self._answer([])
        for part in parts:
            if isinstance(part, Text):
                self._note(part)
                if part.text or part.signature:
                    yield {"text": part.text} | _signed(part.signature)
            elif isinstance(part, Refusal):
                yield {"text": part.text}
            elif isinstance(part, Thinking):
                if part.signature and part.signed_by == NAME:  # another's is not shown to this one
                    yield {"text": part.text, "thought": True, "thoughtSignature": part.signature}
                else:
                    self.dropped["thinking"] = None
            elif isinstance(part, ToolCall):
                yield self._call(part)
            elif isinstance(part, Media):
                yield self._media(part)
            elif isinstance(part, Foreign):
                yield self._foreign(part)

    def _call(self, part: ToolCall) -> dict[str, Any]:
        members = object_of(part.arguments)
        if members is None:
            raise Inexpressible(f"The arguments of the call '{part.id}' are no JSON object.", param="messages")
        self._note(part)
        self._calls[part.id] = part.name
        call = {"functionCall": {"id": part.id, "name": part.name, "args": members}}
        is_own = part.signed_by == NAME
        if part.signature and not is_own:
            self.dropped["signature"] = None
        return call | _signed(part.signature if is_own else "")

    def _prove(self, content: dict[str, Any]) -> None:
        """The first call of a step must have a proof, where the model insists on them (conformance.md 2.1)."""
        if content["role"] != "model" or self._capabilities.thought_signatures is not True:
            return
        calls = [part for part in content["parts"] if isinstance(part, dict) and "functionCall" in part]
        if calls:
            calls[0].setdefault("thoughtSignature", LOST)

    def _media(self, media: Media) -> dict[str, Any]:
        self._note(media)
        if media.detail and media.detail != "auto":
            self.dropped["detail"] = None
        if media.name:
            self.dropped["filename"] = None
        if media.text:
            return {"text": media.text}
        if media.url and media.url.startswith(_READABLE):
            media_type = media.media_type or guess_type(media.url.partition("?")[0])[0] or ""
            return {"fileData": {"fileUri": media.url} | ({"mimeType": media_type} if media_type else {})}
        if not media.data:
            what = f"'{media.url[:200]}'" if media.url else f"the file '{media.file_id[:200]}'"
            raise Inexpressible(f"The provider of this model cannot fetch {what}: give its bytes.", param="messages")
        media_type = self._media_type(media)
        return {"inlineData": {"mimeType": media_type, "data": media.data}}

    def _media_type(self, media: Media) -> str:
        """What the bytes show, or else what was stated."""
        stated = media.media_type.partition(";")[0].strip().lower()
        try:
            shown = sniffed(media.data)
        except ValueError:
            raise Inexpressible("This is no base64.", param="messages") from None
        found = shown or stated
        found = _MEDIA_TYPES.get(found, found)
        is_taken = {
            "image": found in _IMAGES,
            "document": found in _DOCUMENTS or found.startswith(("text/", "image/")),
        }.get(media.kind, found.startswith(("audio/", "video/")))
        if not is_taken:
            raise Inexpressible(
                f"The provider of this model takes no '{found or 'bytes of an unknown type'}'.", param="messages"
            )
        return found

    def _foreign(self, part: Foreign) -> msgspec.Raw:
        if part.dialect != NAME:
            raise Inexpressible(f"The provider of this model has no '{part.name}'.", param=part.path or "messages")
        return part.raw

    def _note(self, part: Text | Media | ToolCall | ToolResult) -> None:
        if part.cache:
            self.dropped["cache_control"] = None
        if isinstance(part, Text) and part.citations:
            self.dropped["citations"] = None


def _signed(signature: str) -> dict[str, Any]:
    return {"thoughtSignature": signature} if signature else {}
