"""Wire <-> core, both ways, pure. A dialect never names a provider, does no I/O and knows no gateway.

Where client and upstream speak the same dialect a request is *forwarded*: its bytes go through, and only what the
gateway decides is changed. Where they do not, it is *translated*: `understand` gives a Conversation, the other
dialect's `render_request` makes a body of it, `parse_result` or a StreamParser reads the answer, and `render_result` or
a StreamRenderer writes it for the client. No pair of dialects has code of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ..core.catalog import Capabilities
from ..core.chat import ChatRequest
from ..core.conversation import Conversation, ToolCall
from ..core.events import Completion, Event, UpstreamWords
from ..core.usage import Usage

__all__ = [
    "Addressee",
    "Asked",
    "Counting",
    "Dialect",
    "Observed",
    "Rendered",
    "Result",
    "StreamParser",
    "StreamRenderer",
    "StreamTransform",
    "TierMarks",
    "Upstream",
    "UpstreamWords",
]


class Asked(NamedTuple):
    """What a request says outside its body: the rest of its path (`argument`, decoded), its query, and its header
    fields, names in lower case."""

    argument: str = ""
    query: Mapping[str, str] = {}
    headers: Mapping[bytes, bytes] = {}


NOWHERE = Asked()


class Addressee(msgspec.Struct, frozen=True, kw_only=True):
    """The model that a rendered request goes to: its name there, its bound on output, what it takes. `is_official` says
    that it is the dialect's own vendor who serves it, not one who is compatible; `stream_usage` that it can be asked
    to report usage in a stream."""

    model: str
    output_tokens_max: int | None = None
    capabilities: Capabilities = Capabilities()
    is_official: bool = False
    stream_usage: bool = True

    @property
    def output_member(self) -> str:
        """What a body of OpenAI's chat calls the bound on output: their reasoning models refuse the older name (API
        reference, chat completions, max_tokens), and many compatible hosts know no other."""
        capabilities = self.capabilities
        is_newer = self.is_official or capabilities.reasoning is True
        return capabilities.output_member or ("max_completion_tokens" if is_newer else "max_tokens")


class Rendered(NamedTuple):
    """A body for an upstream, and what it does not say of what the client did: `dropped` and `adjusted` name fields of
    a Conversation (adjusted ones as "name=value"), or paths of its `extra`."""

    body: bytes
    dropped: tuple[str, ...] = ()
    adjusted: tuple[str, ...] = ()


class Result(msgspec.Struct):
    """A whole answer: the body for the client, what it consumed (None where it does not say), and whether anything
    was delivered."""

    body: bytes
    usage: Usage | None
    model: str | None
    has_content: bool


class Observed(msgspec.Struct, kw_only=True):
    """What a stream has shown so far; the transform writes it, the meter and the relay read it.

    `deltas` counts events with content, those that hold many tokens more than once (counters.tokens_of): the gateway's
    own measure where the provider reports no usage. `done` says that the provider's own end mark was seen, `ending` is
    then what ends the client's stream: nothing may be missing but that, and it may wait. `error` holds the words of an
    error event.
    """

    has_content: bool = False
    finished: bool = False
    done: bool = False
    deltas: int = 0
    usage: Usage | None = None
    model: str | None = None
    error: UpstreamWords | None = None
    ending: bytes = b""


class TierMarks(NamedTuple):
    """Where answers name the service tier that served them: a member of a whole answer or of the data of a stream's
    event, by its path, of which one name is `rare` in all other events; or a header field."""

    paths: tuple[tuple[str, ...], ...] = ()
    rare: tuple[bytes, ...] = ()
    field: bytes = b""


class StreamTransform(Protocol):
    """A stream's way from the upstream's bytes to the client's. Bounded: BadMessage for what is over a cap."""

    observed: Observed

    def feed(self, data: bytes) -> bytes:
        """The client's bytes that `data` completes, but for `observed.ending`; may be empty."""
        ...

    def close(self) -> bytes:
        """The upstream's body has ended: what is still to be said, but for `observed.ending`, where the stream is
        complete.

        Where it is not (`observed.finished` is false) nothing is said, and the relay ends the stream as a failure.
        """
        ...


class StreamParser(Protocol):
    """An upstream's stream as events. What it gives does not depend on how the bytes were split."""

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. BadMessage for what is no stream of the dialect, or over a cap."""
        ...

    def close(self) -> list[Event]:
        """The body has ended. Ended is the last event where the answer is complete, and was not given yet."""
        ...


class StreamRenderer(Protocol):
    """Events as a client's stream."""

    def render(self, event: Event) -> bytes:
        """The bytes that say `event`; empty where it is held back. Not for Ended and Failed."""
        ...

    def finish(self) -> tuple[bytes, bytes]:
        """The answer has Ended: what was held back, and what ends the stream."""
        ...


# A body, and what gives the words that led to some calls of one turn: the body with them.
ThoughtsReplay = Callable[[bytes, Callable[[Sequence[ToolCall]], str]], bytes]


class Counting(Protocol):
    """How a dialect asks for the tokens of a prompt."""

    def path(self, upstream_model: str, /) -> str:
        """Where it is asked, under the provider's base path."""
        ...

    def render_request(self, request: ChatRequest, upstream_model: str, /) -> bytes:
        """The client's question for an upstream of this dialect."""
        ...

    def parse_result(self, body: bytes, /) -> int:
        """The tokens that an upstream counted. msgspec.MsgspecError where it did not."""
        ...

    def render_result(self, tokens: int, /) -> bytes:
        """The answer for the client."""
        ...


class Upstream(Protocol):
    """What providers can speak. `name` is what it is called, `stream_type` the media type of its streams; `proofs`
    names the dialect whose proofs its providers give and take: its own, unless its models have them from another;
    `tier_marks` is where its answers say which service tier it was."""

    @property
    def name(self) -> str: ...

    @property
    def proofs(self) -> str: ...

    @property
    def stream_type(self) -> bytes: ...

    @property
    def tier_marks(self) -> TierMarks: ...

    def path(self, request: ChatRequest, upstream_model: str, /) -> str:
        """Where a request goes, under the provider's base path; with a query where it needs one."""
        ...

    def request_lines(self, forwarded: bytes, /) -> bytes:
        """The header lines that every request needs beside credential and framing; `forwarded` are those of a client
        of the same dialect, empty for others."""
        ...

    def render_request(self, conversation: Conversation, addressee: Addressee, /) -> Rendered:
        """The body for an upstream. Inexpressible for what it cannot be told and must not be left out."""
        ...

    def parse_result(self, body: bytes, /) -> Completion:
        """An upstream's whole answer. BadMessage for what is none."""
        ...

    def parser(self) -> StreamParser:
        """The upstream's stream."""
        ...

    def parse_error(self, body: bytes, /) -> UpstreamWords | None:
        """The words of an upstream's error body, None where it is none of this dialect."""
        ...


class Dialect(Upstream, Protocol):
    """What clients can speak, and providers too.

    `request_id_field` is the header in which its clients look for the id beside the house's own, and in errors, whose
    members then have it; `keep_alive` what can be said in a stream to keep it alive, empty where nothing can;
    `parameters` what the fields of a Conversation are called in a client's body, where it is not the same;
    `indispensable` names those of its members that an answer would be wrong without, where the provider's dialect has
    none like them (conformance 2.7); `own_statuses` are those of a provider that its clients know beside the house's;
    `shows` the kinds of media that have a place in its answers, given by their bytes ("image") or by an address
    ("image_url"); `counting` how it asks for a prompt's tokens, where it can; `with_thoughts` puts the words that led
    to calls back into a body for a provider that wants them, where clients of the dialect are known to lose them.
    """

    @property
    def request_id_field(self) -> str | None: ...

    @property
    def keep_alive(self) -> bytes: ...

    @property
    def parameters(self) -> Mapping[str, str]: ...

    @property
    def indispensable(self) -> frozenset[str]: ...

    @property
    def own_statuses(self) -> frozenset[int]: ...

    @property
    def shows(self) -> frozenset[str]: ...

    @property
    def counting(self) -> Counting | None: ...

    @property
    def with_thoughts(self) -> ThoughtsReplay | None: ...

    # The client's side.

    def parse_request(self, body: bytes, asked: Asked = ..., /) -> ChatRequest:
        """A client's body: what the gateway decides on. MalformedRequest names the parameter at fault."""
        ...

    def understand(self, request: ChatRequest, /) -> Conversation:
        """All that a request says. MalformedRequest names the parameter at fault."""
        ...

    def render_result(self, completion: Completion, request: ChatRequest, /) -> bytes:
        """A whole answer for the client. The model's name is the one that was asked for, unless the provider's is a
        dated form of it."""
        ...

    def renderer(self, request: ChatRequest, /) -> StreamRenderer:
        """The client's stream."""
        ...

    def stream_head(self, request: ChatRequest, /) -> bytes:
        """The header lines of a stream, content-type first."""
        ...

    def render_error(self, status: int, members: dict[str, object], /) -> bytes:
        """An error body for the client, of the house's members."""
        ...

    def render_stream_error(self, status: int, members: dict[str, object], request: ChatRequest | None, /) -> bytes:
        """The end of a stream that fails, as bytes of its wire."""
        ...

    # Both: nothing is translated.

    def forward_request(self, request: ChatRequest, upstream_model: str, /, *, stream_usage: bool = True) -> bytes:
        """The client's body for an upstream of this dialect: the model renamed, the output capped where it must be,
        usage asked for."""
        ...

    def forward_result(self, body: bytes, request: ChatRequest, /, *, exact: bool) -> Result:
        """An upstream's whole answer, for a client of this dialect. BadMessage for what is none."""
        ...

    def forward_stream(self, request: ChatRequest, /, *, exact: bool) -> StreamTransform:
        """The transform of a stream; `exact` relays the bytes, otherwise events are parsed, repaired, rendered."""
        ...
