"""OpenAI legacy completions: chat's wire without messages. Frames carry `choices[].text`; bytes are relayed."""

from typing import Never

import msgspec

from ..core.chat import ChatRequest
from ..core.conversation import Conversation
from ..core.errors import MalformedRequest
from ..core.events import Completion
from ..wire.sse import comment
from . import NOWHERE, Addressee, Asked, Result, StreamTransform, TierMarks, bodies
from .openai_chat import EVENT_STREAM, PARAMETERS, errors, request, result
from .openai_chat.exact import Exact
from .weights import Weight


class _Completion(request.Common, kw_only=True):
    prompt: str | list[str | int | list[int]]


_decoder = msgspec.json.Decoder(_Completion)


def parse_request(body: bytes, _: Asked = NOWHERE) -> ChatRequest:
    """A body of POST /v1/completions. MalformedRequest names the parameter at fault."""
    members = bodies.decode_members(body)
    completion = bodies.decode(_decoder, body)
    asked = request.request_of(completion, members, Weight(len(body)), len(memoryview(members["prompt"])), 1)
    prompt = completion.prompt
    if isinstance(prompt, list) and not all(isinstance(each, int) for each in prompt):
        asked.choices *= len(prompt)  # `n` answers to each
    return asked


class OpenAICompletions:
    """POST /v1/completions, both ways (dialects.Dialect)."""

    name = "openai_completions"
    proofs = "openai_completions"
    request_id_field = None
    keep_alive = comment(b"keep-alive")
    parameters = PARAMETERS
    indispensable: frozenset[str] = frozenset()
    stream_type = b"text/event-stream"
    tier_marks = TierMarks((("service_tier",),), (b"service_tier",))  # of hosts that say it; the reference does not
    own_statuses: frozenset[int] = frozenset()
    shows: frozenset[str] = frozenset()
    counting = None
    with_thoughts = None

    parse_request = staticmethod(parse_request)
    forward_request = staticmethod(request.forward_request)
    parse_error = staticmethod(errors.parse_error)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)

    def forward_result(self, body: bytes, asked: ChatRequest, *, exact: bool) -> Result:
        """See Dialect. There is nothing to repair: the wire is older than those who would get it wrong."""
        return result.forward_result(body, asked, exact=True)

    def forward_stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return Exact(asked)

    def stream_head(self, _: ChatRequest) -> bytes:
        """See Dialect."""
        return EVENT_STREAM

    def request_lines(self, _: bytes) -> bytes:
        """See Dialect."""
        return b""

    def path(self, _: ChatRequest, __: str) -> str:
        """See Dialect."""
        return "/completions"

    # Never translated: whoever speaks it asks a provider that speaks it too.

    def understand(self, _: ChatRequest) -> Never:
        """See Dialect. MalformedRequest, always."""
        raise _untranslated()

    def render_request(self, _: Conversation, __: Addressee) -> Never:
        """See Dialect. MalformedRequest, always."""
        raise _untranslated()

    def parse_result(self, _: bytes) -> Never:
        """See Dialect. MalformedRequest, always."""
        raise _untranslated()

    def render_result(self, _: Completion, __: ChatRequest) -> Never:
        """See Dialect. MalformedRequest, always."""
        raise _untranslated()

    def parser(self) -> Never:
        """See Dialect. MalformedRequest, always."""
        raise _untranslated()

    def renderer(self, _: ChatRequest) -> Never:
        """See Dialect. MalformedRequest, always."""
        raise _untranslated()


def _untranslated() -> MalformedRequest:
    return MalformedRequest("The provider of this model has no completions of a bare prompt; ask it in a chat.")
