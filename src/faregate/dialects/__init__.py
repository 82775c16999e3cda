"""Wire <-> core, both ways, pure. A dialect never names a provider, does no I/O and knows no gateway."""

from typing import NamedTuple, Protocol

import msgspec

from ..core.chat import ChatRequest
from ..core.usage import Usage


class UpstreamWords(NamedTuple):
    """What a provider's error body says. Unredacted: whoever shows it redacts it first."""

    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None


class Result(msgspec.Struct):
    """A whole answer: the body for the client, what it consumed (None where it does not say), and whether anything
    was delivered."""

    body: bytes
    usage: Usage | None
    model: str | None
    has_content: bool


class Observed(msgspec.Struct, kw_only=True):
    """What a stream has shown so far; the transform writes it, the meter and the relay read it.

    `deltas` counts events with content, the gateway's own measure where the provider reports no usage. `done` says
    that the provider's own end mark was seen; `error` holds the words of an error event.
    """

    has_content: bool = False
    finished: bool = False
    done: bool = False
    deltas: int = 0
    usage: Usage | None = None
    model: str | None = None
    error: UpstreamWords | None = None


class StreamTransform(Protocol):
    """A stream's way from the upstream's bytes to the client's. Bounded: BadMessage for what is over a cap."""

    observed: Observed

    def feed(self, data: bytes) -> bytes:
        """The client's bytes that `data` completes; may be empty."""
        ...

    def close(self) -> bytes:
        """The upstream's body has ended: what is still to be said, end mark included where the stream is complete.

        Where it is not (`observed.finished` is false) nothing is said, and the relay ends the stream as a failure.
        """
        ...


class Dialect(Protocol):
    """What each dialect offers. Errors: MalformedRequest from parse_request; BadMessage from parse_result."""

    @property
    def name(self) -> str:
        """What the dialect is called."""
        ...

    def parse_request(self, body: bytes, /) -> ChatRequest:
        """A client's body as a request."""
        ...

    def render_request(self, asked: ChatRequest, upstream_model: str, /, *, stream_usage: bool = True) -> bytes:
        """The body for an upstream of this dialect; `stream_usage` has it report usage in a stream."""
        ...

    def parse_result(self, body: bytes, asked: ChatRequest, /, *, exact: bool) -> Result:
        """An upstream's whole answer."""
        ...

    def stream(self, asked: ChatRequest, /, *, exact: bool) -> StreamTransform:
        """The transform of a stream; `exact` relays the bytes, otherwise events are parsed, repaired, rendered."""
        ...

    def parse_error(self, body: bytes, /) -> UpstreamWords | None:
        """The words of an upstream's error body, None where it is none of this dialect."""
        ...

    def render_error(self, members: dict[str, object], /) -> bytes:
        """An error body for the client."""
        ...

    def render_stream_error(self, members: dict[str, object], /) -> bytes:
        """The end of a stream that fails, as bytes of its wire."""
        ...
