"""Embeddings on the wire: how vectors of texts are asked for, and given.

As with chat, what client and upstream say in the same words is forwarded, and the rest is translated by way of
core.media. What clients speak is a Dialect besides: the gateway decides by it, and tells errors in it.
"""

from typing import Protocol

from ...core.chat import ChatRequest
from ...core.errors import MalformedRequest
from ...core.media import EmbeddingRequest, Embeddings
from ...wire.messages import BadMessage
from .. import Dialect, Rendered, Upstream

__all__ = ["ClientForm", "Form", "check_shape"]


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


def check_shape(count: int, width: int, request: ChatRequest, dimensions: int | None, param: str) -> None:
    """Whether an answer has a vector for each input, as wide as it was to be. BadMessage, MalformedRequest: some hosts
    do not know `dimensions`, and say nothing (conformance.md 1.3)."""
    if count != request.messages:
        raise BadMessage(f"{count} vectors for {request.messages} inputs")
    if not width:
        raise BadMessage("a vector is empty")
    if dimensions is not None and width != dimensions:
        raise MalformedRequest(f"This model's vectors have {width} dimensions; '{param}' cannot be had.", param=param)
