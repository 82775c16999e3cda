"""A client's chat body: checked, its routing fields read, its members kept as they came.

What is checked is what OpenAI's own API checks before a model is asked, and what could harm the gateway (security.md
S12). Everything else is the provider's to judge, unknown members included.
"""

from typing import Annotated, Literal

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from .. import NOWHERE, Asked
from ..bodies import NULL, TOOLS_MAX, Members, decode, decode_members, members_decoder
from ..weights import TypedPart, Weight, weigh
from .odd import from_input, has_input, with_whole_tools

MESSAGES_MAX = 10_000
CHOICES_MAX = 128

_OUTPUT_MEMBERS = ("max_completion_tokens", "max_tokens")
_CLIENTS_OWN = ("function", "custom")  # tools that the client runs
_STRING, _LIST, _NULL, _OBJECT = b'"'[0], b"["[0], b"n"[0], b"{"[0]

_Number = Annotated[float, msgspec.Meta(ge=-2, le=2)]
_Tokens = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
_Choices = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)]


class _Tool(msgspec.Struct):
    type: str
    name: str | None = None
    function: msgspec.Raw = NULL


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: msgspec.Raw = msgspec.Raw(b"null")


class StreamOptions(msgspec.Struct):
    """The member of stream_options that we act on."""

    include_usage: bool | None = None


class Common(msgspec.Struct):
    """The members that chat and legacy completions share, of those that are checked."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: _Choices | None = None
    best_of: _Choices | None = None
    max_tokens: _Tokens | None = None
    max_completion_tokens: _Tokens | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=4)] | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    presence_penalty: _Number | None = None
    frequency_penalty: _Number | None = None
    tools: Annotated[list[_Tool], msgspec.Meta(max_length=TOOLS_MAX)] | None = None


class _Chat(Common, kw_only=True):
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1, max_length=MESSAGES_MAX)]
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None


_chat_decoder = msgspec.json.Decoder(_Chat)
_parts_decoder = msgspec.json.Decoder(list[TypedPart])


def parse_request(body: bytes, _: Asked = NOWHERE) -> ChatRequest:
    """A body of POST /v1/chat/completions. MalformedRequest names the parameter at fault."""
    members = decode_members(body)
    if has_input(members):
        body = from_input(members)
        members = decode_members(body)
    chat = decode(_chat_decoder, body)
    if any(tool.name is not None and tool.type == "function" and tool.function is NULL for tool in chat.tools or ()):
        body = msgspec.json.encode(with_whole_tools(msgspec.json.decode(body)))
        members = decode_members(body)
        chat = decode(_chat_decoder, body)  # what is weighed is what is sent: escapes are gone from it
    weight = Weight(len(body))
    for index, message in enumerate(chat.messages):
        content = message.content
        first = memoryview(content)[0]
        if first == _LIST:
            weigh(decode(_parts_decoder, content, f"messages[{index}].content"), weight, depth=1)
        elif first not in (_STRING, _NULL):
            param = f"messages[{index}].content"
            raise MalformedRequest(f"'{param}' must be a string or a list of parts.", param=param)
    if chat.top_logprobs is not None and not chat.logprobs:
        raise MalformedRequest("'top_logprobs' needs 'logprobs': true.", param="top_logprobs")
    prompt_bytes = len(memoryview(members["messages"]))
    return request_of(chat, members, weight, prompt_bytes, len(chat.messages))


def request_of(common: Common, members: Members, weight: Weight, prompt_bytes: int, messages: int) -> ChatRequest:
    """What is decided on, of a body whose members have been checked, and weighed."""
    options = common.stream_options
    return ChatRequest(
        model=common.model,
        members=members,
        stream=common.stream is True,
        include_usage=options is not None and options.include_usage is True,
        choices=max(common.n or 1, common.best_of or 1),
        # Hosts differ in which of the two they go by; neither is ever 0
        output_tokens_max=max(common.max_completion_tokens or 0, common.max_tokens or 0) or None,
        output_parameter=_OUTPUT_MEMBERS[0] if common.max_completion_tokens is not None else "",
        has_tools=bool(common.tools),
        prompt_bytes=prompt_bytes,
        text_bytes=weight.text_bytes,
        messages=messages,
        images=weight.images,
        media_bytes=weight.media_bytes,
        is_open=weight.is_open or _asks_elsewhere(common, members),
        has_images=weight.has_images,
        has_audio=weight.has_audio,
    )


def _asks_elsewhere(common: Common, members: Members) -> bool:
    """Whether the provider is to look for more by itself: what it finds becomes part of the prompt."""
    if common.tools and not all(tool.type in _CLIENTS_OWN for tool in common.tools):
        return True
    return "web_search_options" in members and bytes(members["web_search_options"]) != b"null"


def _cap_output(members: Members, tokens: int, member: str) -> None:
    """Lower what the client allows the answer to take, or say it where it said nothing."""
    cap = msgspec.Raw(b"%d" % tokens)
    given = [name for name in _OUTPUT_MEMBERS if name in members and memoryview(members[name])[0] != _NULL]
    for name in given or (member,):
        if not given or msgspec.json.decode(members[name], type=int) > tokens:
            members[name] = cap


def forward_request(request: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
    """The body for an upstream: the client's members with the model renamed and, in a stream, usage asked for.

    Built anew even where nothing changes: of a member that came twice exactly the one that was checked is sent.
    """
    members = dict(request.members)
    if request.output_tokens_cap is not None:
        _cap_output(members, request.output_tokens_cap, request.output_member)
    if upstream_model != request.model:
        members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    if request.stream and stream_usage and not request.include_usage:
        given = members.get("stream_options")
        options: Members = {}
        if given is not None and memoryview(given)[0] == _OBJECT:
            options = members_decoder.decode(given)
        options["include_usage"] = msgspec.Raw(b"true")
        members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(members)
