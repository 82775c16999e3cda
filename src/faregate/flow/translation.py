"""Between the client's dialect and the provider's: forwarded where they are the same, translated where they are not."""

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

import msgspec

from ..core.call import Call
from ..core.catalog import Candidate
from ..core.conversation import Conversation, Foreign, Media, Message, Part, Text, ToolCall
from ..core.errors import Inexpressible, MalformedRequest, UpstreamUnavailable
from ..core.events import (
    ArgumentsDelta,
    Ended,
    Event,
    Failed,
    Finished,
    ForeignGiven,
    MediaGiven,
    ReasoningDelta,
    Redacted,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallStarted,
    UpstreamWords,
    UsageReported,
)
from ..dialects import Addressee, Dialect, Observed, Result, StreamParser, StreamRenderer, StreamTransform, Upstream
from ..dialects.bodies import NULL, members_decoder
from ..dialects.counters import tokens_of
from ..providers import Provider
from ..wire.messages import BadMessage
from . import embeddings
from .admission import takes
from .gate import Gate
from .thoughts import Remembering, Thoughts, parts_of
from .unshown import Unshown

# What makes content of an answer, and what of it counts as one more piece.
_COUNTED = frozenset({TextDelta, ReasoningDelta, RefusalDelta, ArgumentsDelta, MediaGiven, Redacted})
_UNCOUNTED = frozenset({ToolCallStarted, ForeignGiven, Finished})
_FIRST = Message("user", (Text("-"),))
_UNWATCHED = frozenset({TextDelta})
_NAMELESS = UpstreamWords("a call does not name its tool")
_Call = TypeVar("_Call", ToolCall, ToolCallStarted)


class Translation:
    """A stream translated (dialects.StreamTransform). `watch` hears of each event before it is rendered, but for words,
    which are nearly all there are; what it gives is rendered."""

    __slots__ = ("_parser", "_renderer", "_watch", "observed")

    def __init__(
        self, parser: StreamParser, renderer: StreamRenderer, watch: Callable[[Event], Event | None] | None = None
    ) -> None:
        self.observed = Observed()
        self._parser = parser
        self._renderer = renderer
        self._watch = watch

    def feed(self, data: bytes) -> bytes:
        """See StreamTransform."""
        if self.observed.done or self.observed.error is not None:
            return b""
        return self._take(self._parser.feed(data))

    def close(self) -> bytes:
        """See StreamTransform."""
        if self.observed.done or self.observed.error is not None:
            return b""
        out = self._take(self._parser.close())
        return out if self.observed.finished else b""

    def _take(self, events: list[Event]) -> bytes:
        observed = self.observed
        out = []
        for given in events:
            kind = type(given)
            event = _identified(given) if isinstance(given, ToolCallStarted) else given
            shown: Event | None = event
            if self._watch is not None and kind not in _UNWATCHED:
                shown = self._watch(event)
            if kind in _COUNTED:
                observed.has_content = True
                observed.deltas += tokens_of(getattr(event, "text", None))  # pictures and the like have no words
            elif kind in _UNCOUNTED:
                if isinstance(event, ToolCallStarted) and not event.name:
                    observed.error = _NAMELESS
                    break
                observed.has_content = True
            elif isinstance(event, Ended):
                rest, observed.ending = self._renderer.finish()
                observed.done = observed.finished = True
                out.append(rest)
                break
            elif isinstance(event, Failed):
                observed.error = event.words
                break
            elif isinstance(event, UsageReported):
                observed.usage = event.usage
            elif isinstance(event, Started):
                observed.model = event.model or None
            if shown is not None:
                out.append(self._renderer.render(shown))
        return b"".join(out)


class Speech(Protocol):
    """How a call is put to one provider, and how its answer comes back. See Dialect for the errors."""

    @property
    def upstream(self) -> Upstream:
        """What the provider speaks."""
        ...

    def request(self, addressee: Addressee) -> bytes:
        """The body for the provider."""
        ...

    def whole(self, raw: bytes) -> Result:
        """The provider's whole answer, for the client."""
        ...

    def stream(self) -> StreamTransform:
        """The provider's stream, for the client."""
        ...


class Forwarded:
    """Client and provider speak the same dialect."""

    __slots__ = ("_call", "_dialect", "_exact", "_gate", "_replays", "upstream")

    def __init__(self, gate: Gate, dialect: Dialect, call: Call, *, exact: bool) -> None:
        self.upstream = self._dialect = dialect
        self._gate = gate
        self._call = call
        self._exact = exact
        self._replays = False

    def request(self, addressee: Addressee) -> bytes:
        """See Speech. What an earlier target was not told, this one is."""
        call, dialect = self._call, self._dialect
        call.dropped = call.adjusted = ()
        is_capped = call.request.output_tokens_cap is not None
        if is_capped and call.operation == "chat":  # the legacy wire has the older name alone
            call.request.output_member = addressee.output_member
        body = dialect.forward_request(call.request, addressee.model, stream_usage=addressee.stream_usage)
        if call.operation == "chat" and addressee.capabilities.reasoning_replay and dialect.with_thoughts is not None:
            self._replays = call.request.has_tools and not call.no_retention  # else no answer calls any
            body = dialect.with_thoughts(body, partial(self._gate.thoughts.words, call.record.project_id))
        return _corrected(body, dialect, call.correction) if call.correction else body

    def whole(self, raw: bytes) -> Result:
        """See Speech."""
        result = self._dialect.forward_result(raw, self._call.request, exact=self._exact)
        if self._replays:
            self._keep(parts_of(self._dialect.parse_result(result.body)))
        return result

    def stream(self) -> StreamTransform:
        """See Speech."""
        transform = self._dialect.forward_stream(self._call.request, exact=self._exact)
        return Remembering(transform, self._dialect.parser(), self._keep) if self._replays else transform

    def _keep(self, parts: Sequence[Part]) -> None:
        self._gate.thoughts.keep(self._call.record.project_id, parts, unsigned=True)


class Translated:
    """Client and provider speak different ones."""

    __slots__ = ("_call", "_client", "_gate", "_replays", "upstream")

    def __init__(self, gate: Gate, client: Dialect, upstream: Upstream, call: Call) -> None:
        self._gate = gate
        self._client = client
        self.upstream = upstream
        self._call = call
        self._replays = False

    def request(self, addressee: Addressee) -> bytes:
        """See Speech. Inexpressible where something may not be left out."""
        call = self._call
        conversation = call.conversation
        assert conversation is not None  # by `prepare`
        if call.request.output_tokens_cap is not None:
            conversation = msgspec.structs.replace(conversation, output_tokens_max=call.request.output_tokens_cap)
        # What a provider cannot read, and its client did not send, is not put back only to be named as left out.
        self._replays = addressee.capabilities.reasoning_replay is not None
        reader = "" if self._replays else self.upstream.proofs
        whole = self._gate.thoughts.recall(call.record.project_id, conversation, reader)
        try:
            rendered = self.upstream.render_request(whole, addressee)
        except Inexpressible as error:
            raise self._renamed(error) from None
        dropped = tuple(dict.fromkeys(self._client_name(name) for name in rendered.dropped))
        needed = next((name for name in dropped if name in self._client.indispensable), None)
        if needed is not None:
            raise Inexpressible(f"The provider of this model has nothing like '{needed}'.", param=needed)
        if dropped and call.is_strict:
            raise untold(dropped[0])
        call.dropped = dropped
        call.adjusted = tuple(self._client_assignment(said) for said in rendered.adjusted)
        return rendered.body

    def whole(self, raw: bytes) -> Result:
        """See Speech."""
        completion = self.upstream.parse_result(raw)
        if not completion.choices:
            raise BadMessage("the answer holds no choices")
        for choice in completion.choices:
            choice.parts = tuple(map(_called, choice.parts))
        self._keep(parts_of(completion))
        Unshown(self._call, self._client).whole(completion)
        body = self._client.render_result(completion, self._call.request)
        return Result(body, completion.usage, completion.model or None, True)

    def stream(self) -> StreamTransform:
        """See Speech."""
        thoughts, unshown = Thoughts(), Unshown(self._call, self._client)

        def watch(event: Event) -> Event | None:
            thoughts.watch(event)
            if isinstance(event, Ended):
                self._keep(thoughts.complete())
            return unshown.event(event)

        return Translation(self.upstream.parser(), self._client.renderer(self._call.request), watch)

    def _keep(self, parts: Sequence[Part]) -> None:
        """What was thought before calls of tools, where anything of this one may be kept (contract.md 3.4)."""
        if not self._call.no_retention:
            self._gate.thoughts.keep(self._call.record.project_id, parts, unsigned=self._replays)

    def _renamed(self, error: Inexpressible) -> Inexpressible:
        """An error in the client's words; not every dialect has a member for the parameter."""
        param = self._client_name(error.param or "")
        message = error.message if param in error.message else f"{error.message} ('{param}')"
        return Inexpressible(message, param=param, kind=error.kind)

    def _client_name(self, name: str) -> str:
        head, bracket, rest = name.partition("[")
        return self._client.parameters.get(head, head) + bracket + rest

    def _client_assignment(self, said: str) -> str:
        name, _, value = said.partition("=")
        return f"{self._client_name(name)}={value}"


def fitted(gate: Gate, call: Call, provider: Provider, head: bytes, body: bytes) -> tuple[bytes, bytes]:
    """A request as its provider takes it, with what authorizes it. What its body lost is remembered too, or refused
    where nothing may be dropped. Inexpressible, UpstreamUnavailable."""
    if provider.adapt is None and provider.authorize is None:
        return head, body
    path = head.split(b" ", 2)[1].decode()
    body, dropped, _ = provider.adapted(path, body)
    names = gate.dialects[call.dialect].parameters
    lost = [name for name in (names.get(name, name) for name in dropped) if name not in call.dropped]
    if lost and call.is_strict:
        raise untold(lost[0])
    call.dropped += tuple(dict.fromkeys(lost))
    return head + provider.authorization(path, body), body


def _identified(call: _Call) -> _Call:
    """A call with an id, though its provider gave none: its result must find it."""
    return call if call.id else msgspec.structs.replace(call, id=f"call_{secrets.token_hex(12)}")


def _called(part: Part) -> Part:
    """A part of a whole answer; BadMessage for a call of nothing."""
    if not isinstance(part, ToolCall):
        return part
    if not part.name:
        raise BadMessage(_NAMELESS.message)
    return _identified(part)


def untold(name: str) -> Inexpressible:
    """The error for what cannot be told where nothing may be dropped."""
    message = f"The provider of this model cannot be told '{name}', and nothing may be dropped."
    return Inexpressible(message, param=name, kind="malformed_request")


def prepare(gate: Gate, call: Call, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Understand a call that may have to be translated, before anything is held for it; gives the candidates that can
    be told what it says. MalformedRequest where the model that was asked for cannot."""
    foreign = [
        candidate
        for candidate in candidates
        for target in candidate.targets
        if call.dialect not in gate.providers[target.provider].dialects
    ]
    if not foreign:
        return candidates
    if call.operation == embeddings.OPERATION:
        embeddings.prepare(gate, call, candidates)
        return candidates
    try:
        kinds = _understood(gate, call)
    except MalformedRequest:
        if foreign[0].depth == 0:
            raise
        return _without(candidates, foreign)  # nobody asked for those
    first = candidates[0]
    if first.depth == 0:
        takes(first.model, images="image" in kinds, audio="audio" in kinds)
    return candidates


def _without(candidates: tuple[Candidate, ...], others: Sequence[Candidate]) -> tuple[Candidate, ...]:
    left = tuple(candidate for candidate in candidates if candidate not in others)
    if not left:
        raise UpstreamUnavailable("The provider is not available.", reason="no fallback can be told")
    return left


def _understood(gate: Gate, call: Call) -> set[str]:
    """Understand a call; the kinds of media in it. MalformedRequest."""
    if call.operation != "chat":
        raise MalformedRequest(f"The provider of this model has no {call.operation}.", param="model")
    client = gate.dialects[call.dialect]
    conversation = client.understand(call.request)
    _check(conversation, client)
    call.conversation = conversation
    return {part.kind for message in conversation.messages for part in message.parts if isinstance(part, Media)}


def _check(conversation: Conversation, client: Dialect) -> None:
    """What no provider has an answer to is told by its path, instead of in the words of whichever it is."""
    if not any(message.parts for message in conversation.messages):
        param = client.parameters.get("messages", "messages")
        raise MalformedRequest(f"There is nothing to answer: '{param}' says nothing.", param=param)
    choice, tools = conversation.tool_choice, conversation.tools
    if choice is None or not tools or any(isinstance(tool, Foreign) for tool in tools):
        return
    for name in choice.names:
        if all(tool.name != name for tool in tools):
            param = client.parameters.get("tool_choice", "tool_choice")
            raise MalformedRequest(f"Invalid value for '{param}': there is no tool '{name}' in 'tools'.", param=param)


def speech_of(gate: Gate, provider: Provider, call: Call) -> Speech:
    """How a call is put to a provider. Inexpressible where it cannot be."""
    client = gate.dialects[call.dialect]
    if call.dialect not in provider.dialects:
        if call.operation == embeddings.OPERATION:
            return embeddings.speech_of(provider, call)
        return Translated(gate, client, gate.upstreams[provider.dialects[0]], call)
    return Forwarded(gate, client, call, exact=provider.exact)


def _corrected(body: bytes, dialect: Dialect, correction: tuple[Message, ...]) -> bytes:
    """The client's own body, and after its messages those that it has not said, as its dialect says them."""
    name = dialect.parameters.get("messages", "messages")
    before = () if correction[0].role == "user" else (_FIRST,)  # every dialect begins with the user
    rendered = dialect.render_request(Conversation(messages=(*before, *correction)), Addressee(model="any"))
    added = _list_of(members_decoder.decode(rendered.body)[name])[len(before) :]
    members = members_decoder.decode(body)
    return msgspec.json.encode({**members, name: [*_list_of(members.get(name, NULL)), *added]})


def _list_of(messages: msgspec.Raw) -> Sequence[object]:
    """Messages; of the Responses API they may be a text, which is the user's, or none where a prompt is named."""
    if bytes(messages)[:1] == b'"':
        return [{"role": "user", "content": messages}]
    return msgspec.json.decode(messages, type=list[msgspec.Raw] | None) or ()
