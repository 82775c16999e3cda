"""OpenAI chat completions."""

from collections.abc import Mapping

from ...core.chat import ChatRequest
from ...wire.sse import comment
from .. import StreamTransform
from . import errors, request, result
from .exact import Exact
from .repair import Repair

EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
PARAMETERS: Mapping[str, str] = {
    "output_format": "response_format",
    "choices": "n",
    "output_tokens_max": "max_tokens",
    "reasoning": "reasoning_effort",
}


class OpenAIChat:
    """POST /v1/chat/completions, both ways (dialects.Dialect)."""

    name = "openai_chat"
    request_id_field = None
    keep_alive = comment(b"keep-alive")
    parameters = PARAMETERS
    counting = None

    parse_request = staticmethod(request.parse_request)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)
    parse_error = staticmethod(errors.parse_error)
    forward_request = staticmethod(request.forward_request)
    forward_result = staticmethod(result.forward_result)

    def stream_head(self, _: ChatRequest) -> bytes:
        """See Dialect."""
        return EVENT_STREAM

    def request_lines(self, _: bytes) -> bytes:
        """See Dialect."""
        return b""

    def path(self, _: ChatRequest, __: str) -> str:
        """See Dialect."""
        return "/chat/completions"

    def forward_stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return Exact(asked) if exact else Repair(asked)
