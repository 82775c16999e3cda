"""Which wire speaks at which path, and what the path says of a request."""

import re
from typing import NamedTuple

from . import anthropic, openai_chat
from .wires import Call, Headers, Wire

_COUNT = Call(operation="count")
_PATHS: dict[str, tuple[Wire, Call]] = {
    "/v1/chat/completions": (openai_chat.WIRE, Call()),
    "/v1/completions": (openai_chat.LEGACY_WIRE, Call()),
    "/v1/messages": (anthropic.WIRE, Call()),
    "/v1/messages/count_tokens": (anthropic.WIRE, _COUNT),
}
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
        return Route(*found, query) if found is not None else None
    models = _MODELS.fullmatch(path)
    if method != b"GET" or models is None:
        return None
    return Route(speaker(path, query, headers), Call(), query, models.group(2) or "")


def allowed(path: str) -> tuple[bytes, ...]:
    """The methods of a path."""
    if path in _PATHS:
        return (b"POST",)
    return (b"GET",) if _MODELS.fullmatch(path) else ()


def speaker(path: str, query: dict[str, str], headers: Headers) -> Wire:
    """The wire that answers at a path that several have, or none."""
    if path in _PATHS:
        return _PATHS[path][0]
    return anthropic.WIRE if b"anthropic-version" in headers else openai_chat.WIRE
