"""A client's chat body: checked, its routing fields read, its members kept as they came.

What is checked is what OpenAI's own API checks before a model is asked, and what could harm the gateway (security.md
S12). Everything else is the provider's to judge, unknown members included.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest

MESSAGES_MAX = 10_000
TOOLS_MAX = 1_024
CHOICES_MAX = 128
MEMBERS_MAX = 1_000

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|[c-fC-F][0-9a-fA-F]{2})"
)
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_STRING, _LIST, _NULL, _OBJECT = b'"'[0], b"["[0], b"n"[0], b"{"[0]

Members = dict[str, msgspec.Raw]


class _Message(msgspec.Struct):
    role: str
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Typed(msgspec.Struct):
    type: str


class StreamOptions(msgspec.Struct):
    """The member of stream_options that we act on."""

    include_usage: bool | None = None


_members_decoder = msgspec.json.Decoder(Members)
_messages_decoder = msgspec.json.Decoder(list[_Message])
_typed_list_decoder = msgspec.json.Decoder(list[_Typed])
_options_decoder = msgspec.json.Decoder(StreamOptions | None)
_PATH = re.compile(r" - at `\$(.*)`$")


def decode_members(body: bytes) -> Members:
    """The top-level members of a JSON object. MalformedRequest for anything else (F66, F67)."""
    if not body.isascii():
        try:
            body.decode("utf-8")
        except UnicodeDecodeError:
            raise MalformedRequest("The body is not valid UTF-8.") from None
    # The first of these looks for a byte, which is far cheaper than to look for two.
    if b"\\" in body and b"\\u" in body and _has_lone_surrogate(body):
        raise MalformedRequest("The body holds half of a surrogate pair.")
    try:
        members = _members_decoder.decode(body)
    except msgspec.ValidationError:
        raise MalformedRequest("The body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise MalformedRequest(f"The body is not valid JSON: {error}.") from None
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    if len(members) > MEMBERS_MAX:
        raise MalformedRequest(f"The body may have at most {MEMBERS_MAX} members.")
    return members


def parse_request(body: bytes) -> ChatRequest:
    """A body of POST /v1/chat/completions. MalformedRequest names the parameter at fault."""
    members = decode_members(body)
    request = read_common(members)
    raw = members.get("messages")
    if raw is None:
        raise MalformedRequest("Missing required parameter: 'messages'.", param="messages")
    messages = decode(_messages_decoder, raw, "messages")
    if not messages:
        raise MalformedRequest("'messages' must not be empty.", param="messages")
    if len(messages) > MESSAGES_MAX:
        raise MalformedRequest(f"'messages' may hold at most {MESSAGES_MAX}.", param="messages")
    for index, message in enumerate(messages):
        if message.role not in _ROLES:
            param = f"messages[{index}].role"
            raise MalformedRequest(f"Unknown role in '{param}'.", param=param)
        content = message.content
        first = memoryview(content)[0]
        if first == _LIST:
            decode(_typed_list_decoder, content, f"messages[{index}].content")
        elif first not in (_STRING, _NULL):
            param = f"messages[{index}].content"
            raise MalformedRequest(f"'{param}' must be a string or a list of parts.", param=param)
    request.prompt_bytes = len(memoryview(raw))
    return request


def read_common(members: Members) -> ChatRequest:
    """The fields that chat and legacy completions share, checked."""
    raw = members.get("model")
    if raw is None:
        raise MalformedRequest("Missing required parameter: 'model'.", param="model")
    model = decode(_string_decoder, raw, "model")
    request = ChatRequest(model=model, members=members)
    for name, value in members.items():
        check = _CHECKS.get(name)
        if check is not None and memoryview(value)[0] != _NULL:
            check(value, request)
    if "top_logprobs" in members and "messages" in members:
        _top_logprobs_need_logprobs(members)
    return request


def decode(decoder: "msgspec.json.Decoder[Any]", raw: msgspec.Raw, param: str) -> Any:
    """`raw` decoded; MalformedRequest with the path of what does not fit, starting at `param`."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        text = str(error)
        path = _PATH.search(text)
        where = param + (path.group(1) if path else "")
        reason = _PATH.sub("", text)
        raise MalformedRequest(f"Invalid value for '{where}': {reason}.", param=where) from None
    except (msgspec.DecodeError, RecursionError):
        raise MalformedRequest(f"Invalid value for '{param}'.", param=param) from None


_string_decoder = msgspec.json.Decoder(str)
_bool_decoder = msgspec.json.Decoder(bool)
_int_decoder = msgspec.json.Decoder(int)
_number_decoder = msgspec.json.Decoder(float)
_stop_decoder = msgspec.json.Decoder(str | list[str])


def _stream(raw: msgspec.Raw, request: ChatRequest) -> None:
    request.stream = decode(_bool_decoder, raw, "stream")


def _stream_options(raw: msgspec.Raw, request: ChatRequest) -> None:
    options = decode(_options_decoder, raw, "stream_options")
    request.include_usage = bool(options.include_usage)


def _choices(raw: msgspec.Raw, request: ChatRequest) -> None:
    request.choices = _whole(raw, "n", 1, CHOICES_MAX)


def _best_of(raw: msgspec.Raw, request: ChatRequest) -> None:
    request.choices = max(request.choices, _whole(raw, "best_of", 1, CHOICES_MAX))


def _max_tokens(raw: msgspec.Raw, request: ChatRequest) -> None:
    limit = _whole(raw, "max_tokens", 1, 2**31)
    if request.output_tokens_max is None:  # max_completion_tokens wins where both are given
        request.output_tokens_max = limit


def _max_completion_tokens(raw: msgspec.Raw, request: ChatRequest) -> None:
    request.output_tokens_max = _whole(raw, "max_completion_tokens", 1, 2**31)


def _tools(raw: msgspec.Raw, request: ChatRequest) -> None:
    tools = decode(_typed_list_decoder, raw, "tools")
    if len(tools) > TOOLS_MAX:
        raise MalformedRequest(f"'tools' may hold at most {TOOLS_MAX}.", param="tools")
    request.has_tools = bool(tools)


def _stop(raw: msgspec.Raw, _request: ChatRequest) -> None:
    stop = decode(_stop_decoder, raw, "stop")
    if isinstance(stop, list) and len(stop) > 4:
        raise MalformedRequest("'stop' may hold at most 4 sequences.", param="stop")


def _number(name: str, lowest: float, highest: float) -> Callable[[msgspec.Raw, ChatRequest], None]:
    def check(raw: msgspec.Raw, _request: ChatRequest) -> None:
        value = decode(_number_decoder, raw, name)
        if not lowest <= value <= highest:
            raise MalformedRequest(f"'{name}' must be between {lowest:g} and {highest:g}.", param=name)

    return check


def _top_logprobs(raw: msgspec.Raw, _request: ChatRequest) -> None:
    _whole(raw, "top_logprobs", 0, 20)


def _top_logprobs_need_logprobs(members: Members) -> None:
    if memoryview(members["top_logprobs"])[0] == _NULL:
        return
    if bytes(members.get("logprobs", b"")) != b"true":
        raise MalformedRequest("'top_logprobs' needs 'logprobs': true.", param="top_logprobs")


def _whole(raw: msgspec.Raw, name: str, lowest: int, highest: int) -> int:
    value = decode(_int_decoder, raw, name)
    if not lowest <= value <= highest:
        raise MalformedRequest(f"'{name}' must be between {lowest} and {highest}.", param=name)
    return value


_CHECKS: dict[str, Callable[[msgspec.Raw, ChatRequest], None]] = {
    "stream": _stream,
    "stream_options": _stream_options,
    "n": _choices,
    "best_of": _best_of,
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_completion_tokens,
    "tools": _tools,
    "stop": _stop,
    "temperature": _number("temperature", 0, 2),
    "top_p": _number("top_p", 0, 1),
    "presence_penalty": _number("presence_penalty", -2, 2),
    "frequency_penalty": _number("frequency_penalty", -2, 2),
    "top_logprobs": _top_logprobs,
}


def _has_lone_surrogate(body: bytes) -> bool:
    """Whether a \\u escape names half of a pair, which no UTF-8 can carry on (RFC 8259 section 8.2)."""
    if b"\\ud" not in body and b"\\uD" not in body:
        return False
    return _LONE_SURROGATE.search(_PAIR.sub(b"", body.replace(b"\\\\", b""))) is not None


def render_request(request: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
    """The body for an upstream: the client's members with the model renamed and, in a stream, usage asked for.

    Built anew even where nothing changes: of a member that came twice exactly the one that was checked is sent.
    """
    members = dict(request.members)
    if upstream_model != request.model:
        members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    if request.stream and stream_usage and not request.include_usage:
        given = members.get("stream_options")
        options: Members = {}
        if given is not None and memoryview(given)[0] == _OBJECT:
            options = _members_decoder.decode(given)
        options["include_usage"] = msgspec.Raw(b"true")
        members["stream_options"] = msgspec.Raw(msgspec.json.encode(options))
    return msgspec.json.encode(members)
