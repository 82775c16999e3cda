"""OpenAI legacy completions: chat's wire without messages. Frames carry `choices[].text`; bytes are relayed."""

import msgspec

from ..core.chat import ChatRequest
from ..wire.sse import comment
from . import NOWHERE, Asked, Result, StreamTransform, TierMarks, bodies
from .openai_chat import EVENT_STREAM, PARAMETERS, errors, request, result
from .openai_chat.exact import Exact
from .untranslated import Untranslated
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


class OpenAICompletions(Untranslated):
    """POST /v1/completions, both ways (dialects.Dialect)."""

    elsewhere = "The provider of this model has no completions of a bare prompt; ask it in a chat."
    name = "openai_completions"
    proofs = "openai_completions"
    keep_alive = comment(b"keep-alive")
    parameters = PARAMETERS
    tier_marks = TierMarks((("service_tier",),), (b"service_tier",))  # of hosts that say it; the reference does not

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

    def path(self, _: ChatRequest, __: str) -> str:
        """See Dialect."""
        return "/completions"
