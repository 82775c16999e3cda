"""OpenAI's embeddings (API reference, embeddings; conformance.md 1.3).

The official SDKs ask for base64 where their user asks for nothing: whatever a host gives, the client has the encoding
that it asked for.
"""

import base64
import binascii
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from ...core.catalog import is_form_of, model_shown
from ...core.chat import BYTES_PER_TOKEN, ChatRequest
from ...core.errors import MalformedRequest
from ...core.media import EmbeddingRequest, Embeddings, Vector
from ...core.usage import Usage
from ...wire.messages import BadMessage
from .. import NOWHERE, Asked, Rendered, Result, StreamTransform
from ..bodies import NULL, Members, decode, decode_members, members_decoder
from ..openai_chat import EVENT_STREAM, errors
from ..untranslated import Untranslated
from . import check_shape, stated, usage_of

INPUTS_MAX = 2048  # API reference: `input`
_FLOAT_BYTES = 4
_STRING = b'"'[0]
_OF_NUMBERS = b"0123456789+-.eE, \t\r\n"
_READ = frozenset({"model", "input", "encoding_format", "dimensions", "input_type"})


class _Body(msgspec.Struct, kw_only=True):
    """A request; `input_type` is the name that other hosts have for a purpose (Cohere, Voyage, NVIDIA)."""

    model: str
    input: str | Annotated[list[str | int | list[int]], msgspec.Meta(min_length=1, max_length=INPUTS_MAX)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    input_type: str | None = None

    @property
    def inputs(self) -> tuple[str | list[int], ...]:
        """Each input by itself: one text, one list of tokens, or several of either."""
        if isinstance(self.input, str):
            return (self.input,)
        tokens = [each for each in self.input if isinstance(each, int)]
        if tokens:
            return (tokens,)
        return tuple(each for each in self.input if not isinstance(each, int))


class _Item(msgspec.Struct):
    embedding: msgspec.Raw
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Item]
    model: str | None = None
    usage: msgspec.Raw = NULL


_body_decoder = msgspec.json.Decoder(_Body)
_answer_decoder = msgspec.json.Decoder(_Answer)
_vector_decoder = msgspec.json.Decoder(Vector)
_text_decoder = msgspec.json.Decoder(str)


def parse_request(body: bytes, _: Asked = NOWHERE) -> ChatRequest:
    """A body of POST /v1/embeddings. MalformedRequest names the parameter at fault."""
    members = decode_members(body)
    read: _Body = decode(_body_decoder, body)
    if read.input == "":
        raise MalformedRequest("'input' cannot be an empty string.", param="input")
    if not isinstance(read.input, str) and len({type(each) for each in read.input}) > 1:
        raise MalformedRequest("'input' is of texts, of tokens, or of lists of tokens.", param="input")
    inputs = read.inputs
    return ChatRequest(
        model=read.model,
        members=members,
        output_tokens_max=0,
        prompt_bytes=sum(map(_bytes_in, inputs)),
        text_bytes=len(body),
        messages=len(inputs),
    )


def read_request(request: ChatRequest) -> EmbeddingRequest:
    """See ClientForm."""
    read = _read(request)
    extra = [name for name, value in request.members.items() if name not in _READ and value != NULL]
    return EmbeddingRequest(inputs=read.inputs, dimensions=read.dimensions, purpose=read.input_type, extra=tuple(extra))


def forward_request(request: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
    """See Dialect."""
    members: Members = dict(request.members)
    if upstream_model != request.model:
        members["model"] = msgspec.Raw(msgspec.json.encode(upstream_model))
    return msgspec.json.encode(members)


def write_request(asked: EmbeddingRequest, upstream_model: str) -> Rendered:
    """See Form."""
    body: dict[str, object] = {"model": upstream_model, "input": asked.inputs, "encoding_format": "float"}
    if asked.dimensions is not None:
        body["dimensions"] = asked.dimensions
    dropped = asked.extra if asked.purpose is None else (*asked.extra, "purpose")
    return Rendered(msgspec.json.encode(body), dropped)


def read_result(body: bytes) -> Embeddings:
    """See Form."""
    answer = _answer_of(body)
    return Embeddings([_vector(item.embedding) for item in _ordered(answer.data)], _usage(answer), answer.model)


def write_result(given: Embeddings, request: ChatRequest) -> bytes:
    """See ClientForm."""
    is_base64 = _read(request).encoding_format == "base64"
    vectors = [_packed(vector) if is_base64 else vector for vector in given.vectors]
    return _written(vectors, given.model, given.usage, request)


def forward_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """See Dialect. What is in order goes through as it came. MalformedRequest where `dimensions` are not as asked."""
    asked, answer = _read(request), _answer_of(body)
    is_base64 = asked.encoding_format == "base64"
    widths = [_width(item.embedding) for item in answer.data]
    check_shape(widths, [asked.dimensions] * request.messages, "dimensions")
    usage = _usage(answer)
    is_numbered = [item.index for item in answer.data] == list(range(len(answer.data)))
    if not exact or not is_numbered or any(_is_base64(item) != is_base64 for item in answer.data):
        vectors: list[object] = []
        for item in _ordered(answer.data):
            vector = item.embedding if _is_base64(item) == is_base64 else _vector(item.embedding)
            vectors.append(_packed(vector) if isinstance(vector, list) and is_base64 else vector)
        body = _written(vectors, answer.model, usage, request)
    elif answer.model is None or not is_form_of(answer.model, request.model):
        body = msgspec.json.encode({**members_decoder.decode(body), "model": request.model})  # the rest as it came
    return Result(body, usage, answer.model, True)


def _written(vectors: Sequence[object], model: str | None, usage: Usage | None, request: ChatRequest) -> bytes:
    tokens = request.prompt_tokens if usage is None or usage.suspect else usage.prompt  # as it is charged
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return msgspec.json.encode(
        {
            "object": "list",
            "data": data,
            "model": model_shown(model, request.model),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
    )


def _bytes_in(given: str | list[int]) -> int:
    """The size of an input; tokens have that of as many, so that they are counted as what they are."""
    return len(given.encode("utf-8")) if isinstance(given, str) else BYTES_PER_TOKEN * len(given)


def _read(request: ChatRequest) -> _Body:
    return decode(_body_decoder, msgspec.json.encode(request.members))


def _answer_of(body: bytes) -> _Answer:
    """An answer, its vectors as they came."""
    try:
        answer: _Answer = _answer_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    return answer


def _ordered(data: list[_Item]) -> list[_Item]:
    """Vectors in the order of the inputs, where they are numbered."""
    return sorted(data, key=lambda item: -1 if item.index is None else item.index)


def _is_base64(item: _Item) -> bool:
    return memoryview(item.embedding)[0] == _STRING


def _vector(raw: msgspec.Raw) -> Vector:
    """A vector in either encoding: numbers, or base64 of little-endian float32."""
    if memoryview(raw)[0] == _STRING:
        packed = _unpacked(raw)
        vector = list(struct.unpack(f"<{len(packed) // _FLOAT_BYTES}f", packed))
        if not all(map(math.isfinite, vector)):  # which no JSON can say
            raise BadMessage("a vector is none")
        return vector
    try:
        return _vector_decoder.decode(raw)
    except msgspec.MsgspecError:
        raise BadMessage("a vector is none") from None


def _width(raw: msgspec.Raw) -> int:
    """How many numbers a vector has, which need not be read for that: an answer may hold millions."""
    given = bytes(raw)
    if given[0] == _STRING:
        return len(_unpacked(raw)) // _FLOAT_BYTES
    if given.translate(None, _OF_NUMBERS) != b"[]":
        raise BadMessage("a vector is none")
    return given.count(b",") + 1 if given[1:-1].strip() else 0


def _unpacked(raw: msgspec.Raw) -> bytes:
    """A vector's float32, out of base64. BadMessage."""
    try:
        packed = base64.b64decode(_text_decoder.decode(raw), validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        raise BadMessage("a vector is none") from None
    if len(packed) % _FLOAT_BYTES:
        raise BadMessage("a vector is none")
    return packed


def _packed(vector: Vector) -> str:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode("ascii")
    except (OverflowError, struct.error):
        raise BadMessage("a vector is none") from None


def _usage(answer: _Answer) -> Usage | None:
    said = stated(answer.usage)
    return usage_of(said.get("prompt_tokens") or said.get("total_tokens"))


class OpenAIEmbeddings(Untranslated):
    """POST /v1/embeddings, both ways (embeddings.ClientForm)."""

    elsewhere = "The provider of this model has no embeddings."
    name = "openai_embeddings"
    proofs = "openai_embeddings"
    keep_alive = b""
    parameters: Mapping[str, str] = {"purpose": "input_type"}

    parse_request = staticmethod(parse_request)
    forward_request = staticmethod(forward_request)
    parse_error = staticmethod(errors.parse_error)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    read_result = staticmethod(read_result)
    write_result = staticmethod(write_result)
    forward_result = staticmethod(forward_result)

    def forward_stream(self, _: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect. There are no streams of vectors."""
        raise MalformedRequest(self.elsewhere)

    def stream_head(self, _: ChatRequest) -> bytes:
        """See Dialect."""
        return EVENT_STREAM

    def path(self, _: ChatRequest, __: str) -> str:
        """See Dialect."""
        return "/embeddings"
