"""The messages of a client's body and their blocks (platform.claude.com, Messages API; conformance 2.1).

A block of a type that is not known, or whose source is, is Foreign.
"""

from typing import Any, Literal

import msgspec

from ...core.conversation import (
    CacheLifetime,
    Foreign,
    Media,
    MediaKind,
    Message,
    Part,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from .. import bodies, media
from ..bodies import NULL, Extra, keep_unknown, missing, wrong
from .blocks import DIALECT


class CacheMark(msgspec.Struct):
    """Says that the prompt up to here is worth keeping."""

    type: str = ""
    ttl: CacheLifetime | None = None


class _Source(msgspec.Struct):
    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: msgspec.Raw = NULL


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    source: _Source | None = None
    title: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = NULL
    tool_use_id: str | None = None
    content: msgspec.Raw = NULL
    is_error: bool | None = None
    cache_control: CacheMark | None = None
    citations: msgspec.Raw = NULL


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: msgspec.Raw


# The types of blocks that are understood, and their members.
_MARKS = frozenset({"type", "cache_control"})
_KNOWN = {
    "text": _MARKS | {"text", "citations"},
    "image": _MARKS | {"source"},
    "document": _MARKS | {"source", "title"},
    "thinking": _MARKS | {"thinking", "signature"},
    "redacted_thinking": _MARKS | {"data"},
    "tool_use": _MARKS | {"id", "name", "input", "caller"},
    "tool_result": _MARKS | {"tool_use_id", "content", "is_error"},
}
_SOURCES = frozenset({"base64", "url", "file", "text"})
_SOURCE_KNOWN = frozenset({"type", "media_type", "data", "url", "file_id"})
_MESSAGE_KNOWN = frozenset({"role", "content"})

_messages_decoder = msgspec.json.Decoder(list[_Message])
_blocks_decoder = msgspec.json.Decoder(list[_Block])
_raws_decoder = msgspec.json.Decoder(list[msgspec.Raw])


def understand_messages(system: msgspec.Raw, raw: msgspec.Raw, extra: Extra) -> tuple[Message, ...]:
    """The `system` and `messages` of a body; what has no place goes to `extra`. MalformedRequest names what is
    wrong."""
    return _Reader(extra).read(system, raw)


def cache_of(mark: CacheMark | None) -> CacheLifetime:
    """How long a mark asks for: five minutes where it does not say."""
    return (mark.ttl or "5m") if mark is not None and mark.type else ""


class _Reader:
    """Reads messages in their order, and knows the calls so far."""

    def __init__(self, extra: Extra) -> None:
        self._extra = extra
        self._calls: set[str] = set()  # their ids

    def read(self, system: msgspec.Raw, raw: msgspec.Raw) -> tuple[Message, ...]:
        messages: list[Message] = []
        instructions = self._content(system, "system")
        if instructions:
            messages.append(Message("system", instructions))
        given = bodies.decode(_messages_decoder, raw, "messages")
        for index, (message, each) in enumerate(zip(given, _raws_decoder.decode(raw), strict=True)):
            path = f"messages[{index}]"
            keep_unknown(each, _MESSAGE_KNOWN, path, self._extra)
            messages.append(Message(message.role, self._content(message.content, f"{path}.content")))
        return tuple(messages)

    def _content(self, raw: msgspec.Raw, path: str) -> tuple[Part, ...]:
        first = memoryview(raw)[:1]
        if first == b"n":
            return ()
        if first == b'"':
            return (Text(msgspec.json.decode(raw)),)
        blocks = bodies.decode(_blocks_decoder, raw, path)
        raws = _raws_decoder.decode(raw)
        return tuple(
            self._part(block, each, f"{path}[{index}]")
            for index, (block, each) in enumerate(zip(blocks, raws, strict=True))
        )

    def _part(self, block: _Block, raw: msgspec.Raw, path: str) -> Part:
        is_known = block.type in _KNOWN and (block.source is None or block.source.type in _SOURCES)
        if not is_known:
            return Foreign(dialect=DIALECT, name=block.type, raw=msgspec.Raw(bytes(raw)), path=path)
        members = keep_unknown(raw, _KNOWN[block.type], path, self._extra)
        if block.source is not None and "source" in _KNOWN[block.type]:
            keep_unknown(members["source"], _SOURCE_KNOWN, f"{path}.source", self._extra)
        cache = cache_of(block.cache_control)
        if block.type == "text":
            if bytes(block.citations) not in (b"null", b"[]"):
                self._extra[f"{path}.citations"] = block.citations
            return Text(_given(block.text, f"{path}.text"), cache=cache)
        if block.type in ("image", "document"):
            return self._media(block, path, cache)
        if block.type == "thinking":
            signature = block.signature or ""
            text = _given(block.thinking, f"{path}.thinking")
            return Thinking(text=text, signature=signature, signed_by=DIALECT if signature else "")
        if block.type == "redacted_thinking":
            return Thinking(redacted=_given(block.data, f"{path}.data"), signed_by=DIALECT)
        return self._call(block, path, cache) if block.type == "tool_use" else self._result(block, path, cache)

    def _call(self, block: _Block, path: str, cache: CacheLifetime) -> ToolCall:
        call_id, name = _given(block.id, f"{path}.id"), _given(block.name, f"{path}.name")
        arguments = bytes(block.input)
        if arguments == b"null":
            arguments = b"{}"
        if arguments[:1] != b"{":
            raise wrong(f"{path}.input", "it must be an object")
        self._calls.add(call_id)
        return ToolCall(id=call_id, name=name, arguments=arguments.decode(), cache=cache)

    def _result(self, block: _Block, path: str, cache: CacheLifetime) -> ToolResult:
        call_id = _given(block.tool_use_id, f"{path}.tool_use_id")
        if call_id not in self._calls:
            raise wrong(f"{path}.tool_use_id", "no earlier message has a tool_use block of this id")
        content = self._content(block.content, f"{path}.content")
        parts = tuple(part for part in content if isinstance(part, Text | Media))
        if len(parts) < len(content):
            raise wrong(f"{path}.content", "only texts, images and documents can be told to this model's provider")
        return ToolResult(call_id=call_id, parts=parts, is_error=block.is_error is True, cache=cache)

    def _media(self, block: _Block, path: str, cache: CacheLifetime) -> Media:
        source = block.source
        if source is None:
            raise missing(f"{path}.source")
        kind: MediaKind = "image" if block.type == "image" else "document"
        about: dict[str, Any] = {"kind": kind, "name": block.title or "", "cache": cache}
        if bytes(block.citations) != b"null":
            self._extra[f"{path}.citations"] = block.citations
        if source.type == "url":
            at = f"{path}.source.url"
            return Media(url=media.fetched_from(_given(source.url, at), at), **about)
        if source.type == "file":
            return Media(file_id=_given(source.file_id, f"{path}.source.file_id"), **about)
        data = _given(source.data, f"{path}.source.data")
        if source.type == "text":
            return Media(text=data, media_type=source.media_type or "text/plain", **about)
        stated = source.media_type or ""
        sniffed = media.seen_in(data, f"{path}.source.data", stated, is_picture=kind == "image")
        return Media(data=data, media_type=stated or sniffed, **about)


def _given(value: str | None, path: str) -> str:
    if value is None:
        raise missing(path)
    return value
