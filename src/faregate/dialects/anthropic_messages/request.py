"""A client's body of POST /v1/messages: checked, its routing fields read, its members kept as they came
(platform.claude.com, Messages API; conformance 1.10)."""

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from .. import NOWHERE, Asked
from ..bodies import NULL, TOOLS_MAX, Members, decode, decode_members, missing, wrong
from ..splice import replace_member
from ..weights import DEPTH_MAX, SEARCHES_MAX, SEARCHES_USUAL, Weight

MESSAGES_MAX = 10_000
STRICT_SAMPLING_VERSION = b"2026-10-21"  # from then on the sampling members are refused (conformance 0)
_FORWARDED = (b"anthropic-version", b"anthropic-beta")
_FORWARDED_BYTES_MAX = 2_000
_VERSION_LINE = b"anthropic-version: 2023-06-01\r\n"
_STRING, _LIST, _OBJECT = b'"'[0], b"["[0], b"{"[0]
_SEARCH = "web_search"
_HOSTED = (_SEARCH, "web_fetch", "code_execution", "mcp_toolset")  # tools that the provider runs

_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: msgspec.Raw


class _Source(msgspec.Struct):
    type: str | None = None
    data: msgspec.Raw = NULL
    content: msgspec.Raw = NULL


class _Holding(msgspec.Struct, kw_only=True):
    source: msgspec.Raw = NULL
    content: msgspec.Raw = NULL


class _Block(_Holding, kw_only=True):
    type: str


class _InnerBlock(_Holding, kw_only=True):
    """A block in a block, which nobody has checked; that it says no type is no error, of which a body may have many."""

    type: str | None = None


class _Named(msgspec.Struct):
    name: str | None = None
    type: str | None = None
    max_uses: int | None = None

    @property
    def searches_max(self) -> int:
        """How often a tool of the provider's may search the web."""
        if not (self.type or "").startswith(_SEARCH):
            return 0
        return SEARCHES_USUAL if self.max_uses is None else max(0, min(self.max_uses, SEARCHES_MAX))


class _Body(msgspec.Struct):
    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None
    system: msgspec.Raw = NULL
    stream: bool | None = None
    temperature: _Fraction | None = None
    top_p: _Fraction | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: Annotated[list[_Named], msgspec.Meta(max_length=TOOLS_MAX)] | None = None


_decoder = msgspec.json.Decoder(_Body)
_elements_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_blocks_decoder = msgspec.json.Decoder(list[_Block])
_inner_decoder = msgspec.json.Decoder(_InnerBlock)
_inner_blocks_decoder = msgspec.json.Decoder(list[_InnerBlock])
_source_decoder = msgspec.json.Decoder(_Source)


def parse_request(body: bytes, asked: Asked = NOWHERE) -> ChatRequest:
    """A client's body. MalformedRequest names the parameter at fault. Nothing bounds an answer that is not given: the
    tokens of a prompt are counted without `max_tokens`."""
    members = decode_members(body)
    said: _Body = decode(_decoder, body)
    if said.max_tokens is None and asked.argument != "count_tokens":
        raise missing("max_tokens")
    weight = Weight(len(body))
    for index, message in enumerate(said.messages):
        _weigh(_blocks(message.content, f"messages[{index}].content"), weight)
    if bytes(said.system) != b"null":
        _blocks(said.system, "system")
    _check_sampling(said, asked)
    return ChatRequest(
        model=said.model,
        members=members,
        stream=said.stream is True,
        include_usage=True,
        output_tokens_max=said.max_tokens,
        has_tools=bool(said.tools),
        prompt_bytes=len(memoryview(members["messages"])) + len(memoryview(said.system)),
        text_bytes=weight.text_bytes,
        messages=len(said.messages),
        images=weight.images,
        media_bytes=weight.media_bytes,
        is_open=weight.is_open or _asks_elsewhere(said, members),
        searches_max=sum(tool.searches_max for tool in said.tools or ()),
        has_images=weight.has_images,
        forwarded=_forwarded(asked),
    )


def forward_request(request: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
    """The body for an upstream: the client's members with the model renamed. Usage is always told."""
    members = dict(request.members)
    if request.output_tokens_cap is not None:
        members["max_tokens"] = msgspec.Raw(b"%d" % request.output_tokens_cap)
        _cap_thinking(members, request.output_tokens_cap)
    return renamed(members, request, upstream_model)


def _cap_thinking(members: Members, cap: int) -> None:
    """A budget for thinking must stay below `max_tokens` (platform.claude.com, extended thinking), or what the client
    asked in order would be refused for our cap."""
    thinking = msgspec.json.decode(members.get("thinking", NULL))
    if not isinstance(thinking, dict):
        return
    budget = thinking.get("budget_tokens")
    if type(budget) is int and budget >= cap:
        members["thinking"] = msgspec.Raw(
            replace_member(bytes(members["thinking"]), b"budget_tokens", b"%d" % (cap - 1))
        )


def renamed(members: Members, request: ChatRequest, upstream_model: str) -> bytes:
    """The members as a body for an upstream that calls the model so."""
    if upstream_model != request.model:
        members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    return msgspec.json.encode(members)


def request_lines(forwarded: bytes) -> bytes:
    """The version that every request states: the client's own, or the one that all models know."""
    return forwarded if b"anthropic-version:" in forwarded else forwarded + _VERSION_LINE


def _blocks(content: msgspec.Raw, path: str) -> list[_Block]:
    """The blocks of a message's content; none of a text."""
    first = memoryview(content)[0]
    if first == _LIST:
        return decode(_blocks_decoder, content, path)
    if first != _STRING:
        raise wrong(path, "it must be a string or a list of blocks")
    return []


def _check_sampling(said: _Body, asked: Asked) -> None:
    if asked.headers.get(b"anthropic-version", b"") < STRICT_SAMPLING_VERSION:
        return
    for name in ("temperature", "top_p", "top_k"):
        if getattr(said, name) is not None:
            raise MalformedRequest(f"'{name}' is not accepted in this version of the API.", param=name)


def _forwarded(asked: Asked) -> bytes:
    """The lines that a provider of this dialect is to see."""
    headers = asked.headers
    lines = b"".join(b"%b: %b\r\n" % (name, headers[name]) for name in _FORWARDED if name in headers)
    if len(lines) > _FORWARDED_BYTES_MAX:
        raise MalformedRequest("The 'anthropic-beta' header is too long.", param="anthropic-beta")
    return lines


def _asks_elsewhere(said: _Body, members: Members) -> bool:
    """Whether the provider is to find more by itself: what its own tools bring becomes part of the prompt."""
    is_hosted = any((tool.type or "").startswith(_HOSTED) for tool in said.tools or ())
    return is_hosted or bytes(members.get("mcp_servers", NULL)) not in (b"null", b"[]")


def _inner_blocks(content: msgspec.Raw) -> list[_InnerBlock]:
    """The blocks in a block; none of what is no list, nor what is no block: whoever reads it says what is wrong."""
    if memoryview(content)[0] != _LIST:
        return []
    try:
        return _inner_blocks_decoder.decode(content)
    except msgspec.ValidationError:
        return [block for each in _elements_decoder.decode(content) if (block := _inner_block(each)) is not None]


def _inner_block(raw: msgspec.Raw) -> _InnerBlock | None:
    if memoryview(raw)[0] != _OBJECT:
        return None  # quickly: a list may have a million numbers
    try:
        return _inner_decoder.decode(raw)
    except msgspec.ValidationError:
        return None


def _weigh(blocks: Iterable[_Block | _InnerBlock], weight: Weight, depth: int = 0) -> None:
    for block in blocks:
        if block.type == "container_upload":
            weight.refer()
        elif block.type not in ("image", "document"):
            if block.content is not NULL and depth < DEPTH_MAX:
                _weigh(_inner_blocks(block.content), weight, depth + 1)
        else:
            weight.has_images = weight.has_images or block.type == "image"
            if memoryview(block.source)[0] == _OBJECT:
                _weigh_source(block, weight, depth)


def _weigh_source(block: _Block | _InnerBlock, weight: Weight, depth: int) -> None:
    try:
        source = _source_decoder.decode(block.source)
    except msgspec.ValidationError:
        return  # whoever reads it says what is wrong with it
    is_picture = block.type == "image"
    if source.type == "base64":
        weight.take(len(memoryview(source.data)), is_picture=is_picture)
    elif source.type in ("url", "file") and is_picture:
        weight.images += 1
    elif source.type in ("url", "file"):
        weight.refer()
    elif source.type == "content" and depth < DEPTH_MAX:
        _weigh(_inner_blocks(source.content), weight, depth + 1)
