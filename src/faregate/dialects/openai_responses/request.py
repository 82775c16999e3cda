"""A client's body of POST /v1/responses: checked, its routing fields read, its members kept as they came.

What is checked is what OpenAI's own API checks before a model is asked. What needs state elsewhere than in the
gateway (`background`, `conversation`) is refused (conformance.md 2.1).
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from .. import NOWHERE, Asked
from ..bodies import TOOLS_MAX, Members, decode, decode_members
from ..weights import SEARCHES_USUAL, Part, Weight, parts_of, weigh

ITEMS_MAX = 10_000
ENCRYPTED = "reasoning.encrypted_content"

_LIST, _STRING = b"["[0], b'"'[0]
_NULL = msgspec.Raw(b"null")
# Tools that the client runs
_SEARCH = "web_search"  # how all versions of that tool begin
_CLIENTS_OWN = frozenset(
    {"function", "custom", "namespace", "local_shell", "apply_patch", "computer", "computer_use_preview"}
)


class _Typed(msgspec.Struct):
    type: str


class _Body(msgspec.Struct):
    model: str
    input: msgspec.Raw = _NULL
    stream: bool | None = None
    store: bool | None = None
    background: bool | None = None
    conversation: msgspec.Raw = _NULL
    previous_response_id: str | None = None
    max_output_tokens: Annotated[int, msgspec.Meta(ge=1, le=2**31)] | None = None
    max_tool_calls: int | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[_Typed], msgspec.Meta(max_length=TOOLS_MAX)] | None = None
    include: list[str] | None = None
    metadata: dict[str, str] | None = None
    instructions: msgspec.Raw = _NULL


_body_decoder = msgspec.json.Decoder(_Body)
_items_decoder = msgspec.json.Decoder(Annotated[list[Part], msgspec.Meta(max_length=ITEMS_MAX)])
_include_decoder = msgspec.json.Decoder(list[str] | None)


def parse_request(body: bytes, _: Asked = NOWHERE) -> ChatRequest:
    """A body of POST /v1/responses. MalformedRequest names the parameter at fault."""
    members = decode_members(body)
    given: _Body = decode(_body_decoder, body)
    if given.background:
        raise MalformedRequest(
            "Responses are not made in the background here: leave 'background' out, and read the answer as it comes.",
            param="background",
        )
    if not is_null(given.conversation):
        raise MalformedRequest(
            "There are no conversations here: use 'previous_response_id', or send the items.", param="conversation"
        )
    weight = Weight(len(body))
    items = _items(given, members, weight)
    prompt = sum(len(memoryview(members[name])) for name in ("input", "instructions") if name in members)
    return ChatRequest(
        model=given.model,
        members=members,
        stream=given.stream is True,
        include_usage=True,  # this dialect always says it
        output_tokens_max=given.max_output_tokens,
        has_tools=bool(given.tools),
        prompt_bytes=prompt,
        text_bytes=weight.text_bytes,
        messages=items + (not is_null(given.instructions)),
        images=weight.images,
        media_bytes=weight.media_bytes,
        is_open=weight.is_open or _asks_elsewhere(given, members),
        searches_max=_searches_max(given),
        has_images=weight.has_images,
        has_audio=weight.has_audio,
    )


def replace_input(request: ChatRequest, items: Sequence[bytes]) -> None:
    """Put these items in the place of a request's input; it is what they weigh, show and sound like from now on."""
    members = request.members
    given, written = bytes(members.get("input", _NULL)), b"[%b]" % b",".join(items)
    before, after = _weighed(given), _weighed(written)
    request.prompt_bytes += len(written) - len(given)
    request.text_bytes += after.text_bytes - before.text_bytes
    request.images += after.images - before.images
    request.media_bytes += after.media_bytes - before.media_bytes
    request.is_open = request.is_open or after.is_open
    request.has_images = request.has_images or after.has_images
    request.has_audio = request.has_audio or after.has_audio
    request.messages = len(items) + (not is_null(members.get("instructions", _NULL)))
    members["input"] = msgspec.Raw(written)


def _weighed(items: bytes) -> Weight:
    """How much of an input is text, and what is seen and heard in it."""
    weight = Weight(len(items))
    weigh(parts_of(items), weight)
    return weight


def _searches_max(given: _Body) -> int:
    """How often the web may be searched: the client can bound all calls of the provider's own tools."""
    if not any(tool.type.startswith(_SEARCH) for tool in given.tools or ()):
        return 0
    return min(SEARCHES_USUAL, given.max_tool_calls or SEARCHES_USUAL)


def _asks_elsewhere(given: _Body, members: Members) -> bool:
    """Whether the provider is to find more by itself, a prompt that it keeps or what its own tools bring: that becomes
    part of the prompt."""
    is_hosted = not all(tool.type in _CLIENTS_OWN for tool in given.tools or ())
    return is_hosted or not is_null(members.get("prompt", _NULL))


def _items(given: _Body, members: Members, weight: Weight) -> int:
    """How many items the input has, which is text or a list; they are weighed."""
    if is_null(given.input):
        if given.previous_response_id is None and is_null(members.get("prompt", _NULL)):
            raise MalformedRequest("Missing required parameter: 'input'.", param="input")
        return 0
    first = memoryview(given.input)[0]
    if first == _STRING:
        return 1
    if first != _LIST:
        raise MalformedRequest("'input' must be a string or a list of items.", param="input")
    items: list[Part] = decode(_items_decoder, given.input, "input")
    weigh(items, weight)
    return len(items)


def is_null(raw: msgspec.Raw) -> bool:
    """Whether a member is JSON's null, as good as absent."""
    return bytes(raw) == b"null"


def forward_request(request: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
    """The body for an upstream of this dialect. State is the gateway's own, by project: the provider is to keep none,
    nor to look for what it does not have (conformance.md 1.9); so it must give its thoughts in a form that can be
    given back to it."""
    members = dict(request.members)
    members.pop("previous_response_id", None)
    if request.output_tokens_cap is not None:
        members["max_output_tokens"] = msgspec.Raw(b"%d" % request.output_tokens_cap)
    if upstream_model != request.model:
        members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    members["store"] = msgspec.Raw(b"false")
    if not is_null(members.get("reasoning", _NULL)):  # a model that does not reason refuses to be asked for it
        include = _include_decoder.decode(members.get("include", _NULL)) or []
        if ENCRYPTED not in include:
            members["include"] = msgspec.Raw(msgspec.json.encode([*include, ENCRYPTED]))
    return msgspec.json.encode(members)
