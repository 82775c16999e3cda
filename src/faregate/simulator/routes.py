"""Which wire speaks at which path, and what the path says of a request."""

import re
from typing import NamedTuple

from . import anthropic, azure, bedrock, cohere, gemini, openai_chat, responses, vertex
from .wires import Call, Headers, Wire

_COUNT = Call(operation="count")
_PATHS: dict[str, tuple[Wire, Call]] = {
    "/v1/chat/completions": (openai_chat.WIRE, Call()),
    "/v1/completions": (openai_chat.LEGACY_WIRE, Call()),
    "/v1/embeddings": (openai_chat.EMBEDDINGS_WIRE, Call()),
    "/v1/messages": (anthropic.WIRE, Call()),
    "/v1/messages/count_tokens": (anthropic.WIRE, _COUNT),
    "/v1/responses": (responses.WIRE, Call()),
    "/v1/responses/input_tokens": (responses.WIRE, _COUNT),
    "/mistral/v1/chat/completions": (openai_chat.MISTRAL_WIRE, Call()),
    "/v2/chat": (cohere.WIRE, Call()),
    "/v2/embed": (cohere.EMBEDDINGS_WIRE, Call()),
}
_GEMINI = re.compile(r"/v1(?:beta)?/models/(.+):(\w+)")
_GEMINI_CALLS: dict[str, tuple[Wire, Call]] = {
    "generateContent": (gemini.WIRE, Call()),
    "streamGenerateContent": (gemini.WIRE, Call(stream=True)),
    "countTokens": (gemini.WIRE, _COUNT),
    "embedContent": (gemini.EMBEDDINGS_WIRE, Call()),
    "batchEmbedContents": (gemini.BATCH_WIRE, Call()),
}
_BEDROCK = re.compile(r"/model/(.+)/(converse|converse-stream)")
_MODELS = re.compile(r"/(v1|v1beta)/models(?:/(.+))?")


class Route(NamedTuple):
    """Where a request goes: the wire, what the path says, the query, and the model of a list of models ("" for all;
    None where it is no list)."""

    wire: Wire
    call: Call
    query: dict[str, str]
    listed: str | None = None


def route(method: bytes, path: str, query: dict[str, str], headers: Headers) -> Route | None:
    """The route of a request for an answer or for models, or None."""
    if method == b"POST":
        found = _PATHS.get(path)
        if found is not None:
            return Route(*found, query)
        hosted = azure.call_at(path) or vertex.call_at(path)
        if hosted is not None:
            return Route(*hosted, query)
        named = _BEDROCK.fullmatch(path)
        if named is not None:
            return Route(bedrock.WIRE, Call(model=named[1], stream=named[2] == "converse-stream"), query)
        spoken = _gemini_call(path)
        return Route(*spoken, query) if spoken is not None else None
    models = _MODELS.fullmatch(path)
    if method != b"GET" or models is None:
        return None
    return Route(speaker(path, headers), Call(), query, models.group(2) or "")


def allowed(path: str) -> tuple[bytes, ...]:
    """The methods of a path."""
    if path in _PATHS or _gemini_call(path) or _BEDROCK.fullmatch(path):
        return (b"POST",)
    if azure.call_at(path) or vertex.call_at(path):
        return (b"POST",)
    return (b"GET",) if _MODELS.fullmatch(path) else ()


def speaker(path: str, headers: Headers) -> Wire:
    """The wire that answers at a path that several have, or none."""
    if path in _PATHS:
        return _PATHS[path][0]
    if path.startswith("/model/"):
        return bedrock.WIRE
    if path.startswith("/v1beta/") or b"x-goog-api-key" in headers or _gemini_call(path):
        return gemini.WIRE
    return anthropic.WIRE if b"anthropic-version" in headers else openai_chat.WIRE


def _gemini_call(path: str) -> tuple[Wire, Call] | None:
    """The wire at a path of Gemini's, and what the path says."""
    named = _GEMINI.fullmatch(path)
    found = _GEMINI_CALLS.get(named[2]) if named is not None else None
    if named is None or found is None:
        return None
    wire, call = found
    return wire, call._replace(model=named[1])
