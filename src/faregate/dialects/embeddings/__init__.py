"""Embeddings on the wire: how vectors of texts are asked for, and given.

As with chat, what client and upstream say in the same words is forwarded, and the rest is translated by way of
core.media. What clients speak is a Dialect besides: the gateway decides by it, and tells errors in it.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from ...core.media import EmbeddingRequest, Embeddings
from ...core.usage import Usage, UsageSource
from ...wire.messages import BadMessage
from .. import Dialect, Rendered, Upstream
from ..counters import Counters, mapping

__all__ = ["ClientForm", "Form", "check_shape", "stated", "usage_of"]


class Form(Upstream, Protocol):
    """What providers speak."""

    def write_request(self, asked: EmbeddingRequest, upstream_model: str, /) -> Rendered:
        """The body for an upstream. Inexpressible."""
        ...

    def read_result(self, body: bytes, /) -> Embeddings:
        """An upstream's answer. BadMessage for what is none."""
        ...


class ClientForm(Form, Dialect, Protocol):
    """What clients speak too."""

    def read_request(self, request: ChatRequest, /) -> EmbeddingRequest:
        """All that a request says. MalformedRequest names the parameter at fault."""
        ...

    def write_result(self, given: Embeddings, request: ChatRequest, /) -> bytes:
        """The answer for the client, in the encoding that it asked for."""
        ...


def check_shape(widths: Sequence[int], wanted: Sequence[int | None], param: str) -> None:
    """Whether an answer has a vector for each input, as wide as it was to be (`wanted`), and as its neighbours are
    that were to be the same. BadMessage, MalformedRequest: some hosts do not know `dimensions`, and say nothing
    (conformance.md 1.3)."""
    if len(widths) != len(wanted):
        raise BadMessage(f"{len(widths)} vectors for {len(wanted)} inputs")
    if not all(widths):
        raise BadMessage("a vector is empty")
    of_wanted: dict[int | None, int] = {}
    for width, dimensions in zip(widths, wanted, strict=True):
        if of_wanted.setdefault(dimensions, width) != width:
            raise BadMessage("the vectors are of several widths")
    for dimensions, width in of_wanted.items():
        if dimensions is not None and width != dimensions:
            message = f"This model's vectors have {width} dimensions; '{param}' cannot be had."
            raise MalformedRequest(message, param=param)


def stated(raw: msgspec.Raw) -> dict[str, object]:
    """The figures of an undecoded usage object; none where it is no object."""
    try:
        return mapping(msgspec.json.decode(raw))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def usage_of(tokens: object) -> Usage | None:
    """What a provider says that its inputs were, in tokens; None where that is nothing. Vectors stand, whatever is said
    of them: a figure that cannot be true only makes the usage suspect."""
    if not tokens:
        return None
    reader = Counters()
    whole = int(tokens) if isinstance(tokens, float) and tokens.is_integer() else tokens
    return Usage(input=reader.count(whole), source=UsageSource.PROVIDER, suspect=reader.suspect)
