"""A client's generateContent: its routing fields read, its members kept as they came; and the same for an upstream of
this dialect.

The model and what is to be done with it stand in the path (`models/{model}:{verb}`), not in the body. A body that names
one all the same (proto JSON has such a field) is not believed, and the name is not sent on.
"""

from typing import Annotated, Any

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from .. import NOWHERE, Asked
from ..bodies import Members, decode, decode_members, members_decoder
from ..weights import Weight
from .body import Blob, Body, File, Part, body_decoder, part_decoder
from .spelling import REQUEST, camel, respelled

COUNTED = "generateContentRequest"  # countTokens takes a whole request in it, instead of contents alone
_STREAM = "streamGenerateContent"
_CLIENTS_OWN = frozenset({"functionDeclarations", "function_declarations"})  # tools that the client runs
_SEARCHES = frozenset({"googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval"})
_CONFIG_NAME = "generationConfig"
_OUTPUT_NAMES = ("maxOutputTokens", "max_output_tokens")


def parse_request(body: bytes, asked: Asked = NOWHERE) -> ChatRequest:
    """A body of generateContent, streamGenerateContent or countTokens. MalformedRequest names the parameter."""
    model, _, verb = asked.argument.rpartition(":")
    if not model:
        raise MalformedRequest("The path must name a model and what is to be done with it.", param="model")
    members = decode_members(body)
    read = decoded(members, body)
    config = read.generation_config
    weight = Weight(len(body))
    _check_parts(read, weight)
    contents = members.get("contents", b"")
    return ChatRequest(
        model=model.removeprefix("models/"),
        members=_spelled_names(members),
        stream=verb == _STREAM,
        is_array=verb == _STREAM and asked.query.get("alt") != "sse",
        include_usage=True,
        hides_thoughts=not (config and config.thinking_config and config.thinking_config.include_thoughts),
        choices=(config and config.candidate_count) or 1,
        output_tokens_max=config.max_output_tokens if config else None,
        has_tools=bool(read.tools),
        prompt_bytes=len(memoryview(contents)) or len(body),
        text_bytes=weight.text_bytes,
        messages=len(read.contents),
        images=weight.images,
        media_bytes=weight.media_bytes,
        is_open=weight.is_open or _asks_elsewhere(read, members),
        searches_max=int(any(not tool.keys().isdisjoint(_SEARCHES) for tool in read.tools or ())),
        has_images=weight.has_images,
        has_audio=weight.has_audio,
    )


def _spelled_names(members: Members) -> Members:
    """The members under their names in camelCase: others look for them. Given twice they were refused already."""
    return {camel(name) if camel(name) in REQUEST else name: value for name, value in members.items()}


def decoded(members: Members, body: bytes = b"") -> Body:
    """The fields of a body. MalformedRequest with the path of what does not fit."""
    return decode(body_decoder, spelled(members, body))


def spelled(members: Members, body: bytes = b"") -> bytes:
    """A body's request with all of its names in camelCase."""
    respelt = respelled(body or msgspec.json.encode(members))
    if "contents" not in members:
        counted = members_decoder.decode(respelt).get(COUNTED)
        return respelt if counted is None else bytes(counted)
    return respelt


def _check_parts(read: Body, weight: Weight) -> None:
    for index, content in enumerate(read.contents):
        for number, raw in enumerate(content.parts or ()):
            part: Part = decode(part_decoder, raw, f"contents[{index}].parts[{number}]")
            response = part.function_response
            for each in (part, *((response.parts if response is not None else None) or ())):
                for media in (each.inline_data, each.file_data):
                    if media is not None:
                        _weigh(media, weight)


def _weigh(media: Blob | File, weight: Weight) -> None:
    kind = media.mime_type.partition("/")[0]
    weight.has_images = weight.has_images or kind == "image"
    weight.has_audio = weight.has_audio or kind == "audio"
    if isinstance(media, Blob):
        weight.take(len(media.data), is_picture=kind == "image")
    else:
        weight.refer()


def _asks_elsewhere(read: Body, members: Members) -> bool:
    """Whether the provider is to find more by itself, in its cache or with its own tools: that becomes part of the
    prompt."""
    if any(not tool.keys() <= _CLIENTS_OWN for tool in read.tools or ()):
        return True
    return any(name in members and bytes(members[name]) != b"null" for name in ("cachedContent", "cached_content"))


def forward_request(request: ChatRequest, _: str, *, stream_usage: bool = True) -> bytes:
    """The body for an upstream of this dialect: the client's members, less a model's name, the output capped where it
    must be."""
    members = {name: value for name, value in request.members.items() if name != "model"}
    if request.output_tokens_cap is not None:
        _cap_output(members, request.output_tokens_cap)
    return msgspec.json.encode(members)


def _cap_output(members: Members, tokens: int) -> None:
    given = members.get(_CONFIG_NAME)
    config: Members = {}
    if given is not None and bytes(given)[:1] == b"{":
        config = members_decoder.decode(given)
    for member in [name for name in _OUTPUT_NAMES if name in config] or _OUTPUT_NAMES[:1]:
        config[member] = msgspec.Raw(b"%d" % tokens)
    members[_CONFIG_NAME] = msgspec.Raw(msgspec.json.encode(config))


class Tokens:
    """How tokens are counted (dialects.Counting): `models/{model}:countTokens`, which takes contents alone, or a whole
    request that names its model once more (Gemini API reference, models.countTokens)."""

    def path(self, upstream_model: str) -> str:
        """See Counting."""
        return f"/models/{upstream_model}:countTokens"

    def render_request(self, request: ChatRequest, upstream_model: str) -> bytes:
        """See Counting. More than contents is only understood inside of a request."""
        members = members_decoder.decode(spelled(request.members))
        if members.keys() <= {"contents", "model"}:
            return msgspec.json.encode({"contents": members.get("contents", [])})
        model = f"models/{upstream_model}"
        whole: dict[str, Any] = {"model": model, **{name: each for name, each in members.items() if name != "model"}}
        return msgspec.json.encode({COUNTED: whole})

    def parse_result(self, body: bytes) -> int:
        """See Counting."""
        return _counted_decoder.decode(body).total_tokens

    def render_result(self, tokens: int) -> bytes:
        """See Counting."""
        return msgspec.json.encode({"totalTokens": tokens})


class _Counted(msgspec.Struct, rename="camel"):
    total_tokens: Annotated[int, msgspec.Meta(ge=0)]


_counted_decoder = msgspec.json.Decoder(_Counted)
