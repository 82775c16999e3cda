"""A client's body of POST /v1/messages: checked, its routing fields read, its members kept as they came
(platform.claude.com, Messages API; conformance 1.10)."""

import re
from typing import Annotated, Literal

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from .. import NOWHERE, Asked
from ..bodies import NULL, TOOLS_MAX, Members, decode, decode_members, missing, wrong
from ..splice import replace_member

MESSAGES_MAX = 10_000
STRICT_SAMPLING_VERSION = b"2026-10-21"  # from then on the sampling members are refused (conformance 0)
_FORWARDED = (b"anthropic-version", b"anthropic-beta")
_FORWARDED_BYTES_MAX = 2_000
_VERSION_LINE = b"anthropic-version: 2023-06-01\r\n"
_SOURCE = re.compile(rb'"source"\s*:\s*\{[^{}]*+\}')
_IMAGE_BLOCK = re.compile(rb'"type"\s*:\s*"image"').search
_STRING, _LIST = b'"'[0], b"["[0]

_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Typed(msgspec.Struct):
    type: str


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: msgspec.Raw


class _Named(msgspec.Struct):
    name: str | None = None
    type: str | None = None


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
_typed_decoder = msgspec.json.Decoder(list[_Typed])


def parse_request(body: bytes, asked: Asked = NOWHERE) -> ChatRequest:
    """A client's body. MalformedRequest names the parameter at fault. Nothing bounds an answer that is not given: the
    tokens of a prompt are counted without `max_tokens`."""
    members = decode_members(body)
    said: _Body = decode(_decoder, body)
    if said.max_tokens is None and asked.argument != "count_tokens":
        raise missing("max_tokens")
    for index, message in enumerate(said.messages):
        _check_content(message.content, f"messages[{index}].content")
    if bytes(said.system) != b"null":
        _check_content(said.system, "system")
    _check_sampling(said, asked)
    text_bytes, media = _weigh(body)
    return ChatRequest(
        model=said.model,
        members=members,
        stream=said.stream is True,
        include_usage=True,
        output_tokens_max=said.max_tokens,
        has_tools=bool(said.tools),
        prompt_bytes=len(memoryview(members["messages"])) + len(memoryview(said.system)),
        text_bytes=text_bytes,
        messages=len(said.messages),
        images=media,
        has_images=b'"image"' in body and _IMAGE_BLOCK(body) is not None,
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


def _check_content(content: msgspec.Raw, path: str) -> None:
    first = memoryview(content)[0]
    if first == _LIST:
        decode(_typed_decoder, content, path)
    elif first != _STRING:
        raise wrong(path, "it must be a string or a list of blocks")


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


def _weigh(body: bytes) -> tuple[int, int]:
    """The bytes of a body that are no picture or document, and how many of those it has."""
    text_bytes, media = len(body), 0
    if b'"source"' in body:
        for source in _SOURCE.finditer(body):
            if b'"text"' not in source[0]:
                text_bytes -= len(source[0])
                media += 1
    return text_bytes, media
