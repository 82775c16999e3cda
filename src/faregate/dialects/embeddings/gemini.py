"""Gemini's embeddings (API reference, models.embedContent and models.batchEmbedContents): one content, or several.

The official SDKs ask for a batch, whatever their user asks for.
"""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import Inexpressible, MalformedRequest
from ...core.media import EmbeddingRequest, Embeddings, Vector
from ...core.usage import Usage
from ...wire.messages import BadMessage
from .. import NOWHERE, Asked, Rendered, Result, StreamTransform
from ..bodies import NULL, Members, decode, decode_members, members_decoder
from ..counters import Counters, mapping
from ..gemini_generate import EVENT_STREAM, errors
from ..gemini_generate.spelling import camel
from ..untranslated import Untranslated
from . import check_shape, stated, usage_of

REQUESTS_MAX = 2048
_BATCH = "batchEmbedContents"
_SINGLE = "embedContent"
_REQUESTS = "requests"
_CONFIG = "embedContentConfig"
_NO_TASK = "TASK_TYPE_UNSPECIFIED"
# What the vectors are for, as Gemini says it and as most others do (API reference, TaskType).
_PURPOSES: Mapping[str, str] = {
    "RETRIEVAL_QUERY": "search_query",
    "RETRIEVAL_DOCUMENT": "search_document",
    "CLASSIFICATION": "classification",
    "CLUSTERING": "clustering",
    "SEMANTIC_SIMILARITY": "similarity",
    "QUESTION_ANSWERING": "question_answering",
    "FACT_VERIFICATION": "fact_verification",
    "CODE_RETRIEVAL_QUERY": "code_query",
}
_TASKS: Mapping[str, str] = {
    **{purpose: task for task, purpose in _PURPOSES.items()},
    "query": "RETRIEVAL_QUERY",
    "document": "RETRIEVAL_DOCUMENT",
    "passage": "RETRIEVAL_DOCUMENT",
}
_READ = frozenset({"model", "content", "taskType", "outputDimensionality"})


class _Part(msgspec.Struct):
    text: str | None = None


class _Content(msgspec.Struct):
    parts: list[_Part] = []


class _Request(msgspec.Struct, rename="camel", kw_only=True):
    content: _Content
    model: str | None = None
    task_type: str | None = None
    output_dimensionality: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


class _Batch(msgspec.Struct):
    requests: Annotated[list[msgspec.Raw], msgspec.Meta(min_length=1, max_length=REQUESTS_MAX)]


class _Values(msgspec.Struct):
    values: Vector


class _Answer(msgspec.Struct, rename="camel"):
    embedding: _Values | None = None
    embeddings: list[_Values] | None = None
    usage_metadata: msgspec.Raw = NULL


_batch_decoder = msgspec.json.Decoder(_Batch)
_request_decoder = msgspec.json.Decoder(_Request)
_answer_decoder = msgspec.json.Decoder(_Answer)


def parse_request(body: bytes, asked: Asked = NOWHERE) -> ChatRequest:
    """A body of embedContent or batchEmbedContents. MalformedRequest names the parameter at fault."""
    model, _, verb = asked.argument.rpartition(":")
    if not model:
        raise MalformedRequest("The path must name a model and what is to be done with it.", param="model")
    members = _spelled(decode_members(body))
    if verb == _SINGLE:
        members.pop("model", None)
        if _REQUESTS in members:
            raise MalformedRequest(f"'{_REQUESTS}' are of {_BATCH}.", param=_REQUESTS)
    elif _REQUESTS not in members:
        raise MalformedRequest(f"Missing required parameter: '{_REQUESTS}'.", param=_REQUESTS)
    request = ChatRequest(
        model=model.removeprefix("models/"),
        members=members,
        output_tokens_max=0,
        text_bytes=len(body),
        messages=1,
    )
    requests = _requests(request)
    request.messages = len(requests)
    texts = [part.text for each, _ in requests for part in each.content.parts]
    request.images = texts.count(None)  # or films, or sound: what is no text counts as one
    request.prompt_bytes = max(1, sum(len(text.encode("utf-8")) for text in texts if text))
    return request


def read_request(request: ChatRequest) -> EmbeddingRequest:
    """See ClientForm. Of a batch all must be for the same, and as wide: others take one word for all."""
    requests = _requests(request)
    kinds = {(each.task_type and each.task_type.upper(), each.output_dimensionality) for each, _ in requests}
    if len(kinds) > 1:
        message = "The provider of this model takes one 'taskType' and 'outputDimensionality' for all of a batch."
        raise Inexpressible(message, param=_REQUESTS)
    [(task, dimensions)] = kinds
    inputs = []
    for index, (each, _) in enumerate(requests):
        if not each.content.parts or any(part.text is None for part in each.content.parts):
            path = "content" if _REQUESTS not in request.members else f"{_REQUESTS}[{index}].content"
            raise Inexpressible("The provider of this model makes vectors of texts alone.", param=f"{path}.parts")
        inputs.append("\n".join(part.text or "" for part in each.content.parts))
    extra = {name: None for _, members in requests for name in _flat(members) if name not in _READ}
    return EmbeddingRequest(
        inputs=tuple(inputs),
        dimensions=dimensions,
        purpose=_PURPOSES.get(task, task) if task and task != _NO_TASK else None,
        extra=tuple(extra),
    )


def forward_request(request: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
    """See Dialect. Each request of a batch names its model."""
    if _REQUESTS not in request.members:
        return msgspec.json.encode(request.members)
    name = msgspec.Raw(msgspec.json.encode(f"models/{upstream_model}"))
    requests = [{**members, "model": name} for _, members in _requests(request)]
    return msgspec.json.encode({**request.members, _REQUESTS: requests})


def write_request(asked: EmbeddingRequest, upstream_model: str) -> Rendered:
    """See Form."""
    dropped = list(asked.extra)
    common: dict[str, object] = {"model": f"models/{upstream_model}"}
    task = _TASKS.get(asked.purpose or "")
    if task is not None:
        common["taskType"] = task
    elif asked.purpose is not None:
        dropped.append("purpose")
    if asked.dimensions is not None:
        common["outputDimensionality"] = asked.dimensions
    requests = []
    for text in asked.inputs:
        if not isinstance(text, str):
            raise Inexpressible("The provider of this model takes texts, not tokens.", param="input")
        requests.append({**common, "content": {"parts": [{"text": text}]}})
    return Rendered(msgspec.json.encode({_REQUESTS: requests}), tuple(dropped))


def read_result(body: bytes) -> Embeddings:
    """See Form. Only some models report usage."""
    try:
        answer: _Answer = _answer_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadMessage("the answer is not the JSON it should be") from None
    found = answer.embeddings if answer.embedding is None else [answer.embedding]
    return Embeddings([each.values for each in found or ()], _usage(answer))


def write_result(given: Embeddings, request: ChatRequest) -> bytes:
    """See ClientForm."""
    vectors = [{"values": vector} for vector in given.vectors]
    return msgspec.json.encode({"embeddings": vectors} if _REQUESTS in request.members else {"embedding": vectors[0]})


def forward_result(body: bytes, request: ChatRequest, *, exact: bool) -> Result:
    """See Dialect."""
    given = read_result(body)
    wanted = [each.output_dimensionality for each, _ in _requests(request)]
    check_shape([len(vector) for vector in given.vectors], wanted, "outputDimensionality")
    return Result(body, given.usage, None, True)


def _requests(request: ChatRequest) -> list[tuple[_Request, Members]]:
    """The requests of a batch, or the one, each with all that it says."""
    if _REQUESTS not in request.members:
        return [(_read(request.members), request.members)]
    batch: _Batch = decode(_batch_decoder, msgspec.json.encode(request.members))
    found = []
    for index, raw in enumerate(batch.requests):
        path = f"{_REQUESTS}[{index}]"
        members = _spelled(decode(members_decoder, raw, path))
        found.append((_read(members, path), members))
    return found


def _read(members: Members, path: str = "") -> _Request:
    return decode(_request_decoder, msgspec.json.encode(_flat(members, path)), path)


def _flat(members: Members, path: str = "") -> Members:
    """What a request says, and its newer configuration, which says the same a level below and has the last word."""
    config = members.get(_CONFIG)
    if config is None:
        return members
    said = _spelled(decode(members_decoder, config, f"{path}.{_CONFIG}".lstrip(".")))
    return {**{name: value for name, value in members.items() if name != _CONFIG}, **said}


def _spelled(members: Members) -> Members:
    """A request's members under their names in camelCase: clients write either (conformance.md 1.11)."""
    return {camel(name): value for name, value in members.items() if value != NULL}


def _usage(answer: _Answer) -> Usage | None:
    """What it used; pictures and sound, which some models embed too, are told apart (and called `promptTokenDetails`
    here, not as in chat)."""
    metadata = stated(answer.usage_metadata)
    usage = usage_of(metadata.get("promptTokenCount"))
    details = metadata.get("promptTokenDetails")
    if usage is None or not isinstance(details, list):
        return usage
    reader = Counters()
    images, audio = (
        sum(reader.count(each.get("tokenCount")) for each in map(mapping, details) if each.get("modality") == kind)
        for kind in ("IMAGE", "AUDIO")
    )
    if reader.suspect or images + audio > usage.input:
        return msgspec.structs.replace(usage, suspect=True)
    return msgspec.structs.replace(usage, input=usage.input - images - audio, image_input=images, audio_input=audio)


class GeminiEmbeddings(Untranslated):
    """POST /v1beta/models/{model}:embedContent and :batchEmbedContents, both ways (embeddings.ClientForm)."""

    elsewhere = "The provider of this model has no embeddings."
    name = "gemini_embeddings"
    proofs = "gemini_embeddings"
    keep_alive = b""
    parameters: Mapping[str, str] = {
        "input": "content",
        "dimensions": "outputDimensionality",
        "purpose": "taskType",
    }

    parse_request = staticmethod(parse_request)
    forward_request = staticmethod(forward_request)
    forward_result = staticmethod(forward_result)
    parse_error = staticmethod(errors.parse_error)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)
    read_request = staticmethod(read_request)
    write_request = staticmethod(write_request)
    read_result = staticmethod(read_result)
    write_result = staticmethod(write_result)

    def forward_stream(self, _: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect. There are no streams of vectors."""
        raise MalformedRequest(self.elsewhere)

    def stream_head(self, _: ChatRequest) -> bytes:
        """See Dialect."""
        return EVENT_STREAM

    def path(self, asked: ChatRequest, upstream_model: str) -> str:
        """See Dialect. Who asks in other words is asked for as a batch."""
        is_single = "content" in asked.members and _REQUESTS not in asked.members
        return f"/models/{upstream_model}:{_SINGLE if is_single else _BATCH}"
