"""OpenAI legacy completions: chat's wire without messages. Frames carry `choices[].text`; bytes are relayed."""

import msgspec

from ..core.chat import ChatRequest
from . import Result, StreamTransform
from .openai_chat import errors, request, result
from .openai_chat.exact import Exact


class _Completion(request.Common, kw_only=True):
    prompt: str | list[str | int | list[int]]


_decoder = msgspec.json.Decoder(_Completion)


def parse_request(body: bytes) -> ChatRequest:
    """A body of POST /v1/completions. MalformedRequest names the parameter at fault."""
    members = request.decode_members(body)
    completion = request.decode(_decoder, body)
    asked = request.request_of(completion, members, body, len(memoryview(members["prompt"])), 1)
    prompt = completion.prompt
    if isinstance(prompt, list) and not all(isinstance(each, int) for each in prompt):
        asked.choices *= len(prompt)  # `n` answers to each
    return asked


class OpenAICompletions:
    """POST /v1/completions, both ways (dialects.Dialect)."""

    name = "openai_completions"

    parse_request = staticmethod(parse_request)
    render_request = staticmethod(request.render_request)
    parse_error = staticmethod(errors.parse_error)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)

    def parse_result(self, body: bytes, asked: ChatRequest, *, exact: bool) -> Result:
        """See Dialect. There is nothing to repair: the wire is older than those who would get it wrong."""
        return result.parse_result(body, asked, exact=True)

    def stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return Exact(asked)
