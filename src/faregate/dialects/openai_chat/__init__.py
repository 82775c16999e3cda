"""OpenAI chat completions."""

from collections.abc import Mapping

from ...core.chat import ChatRequest
from ...wire.sse import comment
from .. import StreamParser, StreamRenderer, StreamTransform, TierMarks
from . import errors, parse_answer, render_answer, render_request, replay, request, result, understand
from .exact import Exact
from .parse_stream import Parser
from .render_stream import Renderer
from .repair import Repair

EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
PARAMETERS: Mapping[str, str] = {
    "output_format": "response_format",
    "output_description": "response_format.json_schema.description",
    "choices": "n",
    "output_tokens_max": "max_tokens",
    "reasoning": "reasoning_effort",
    "reasoning_shown": "include_reasoning",
    "signature": "thought_signature",
}


class OpenAIChat:
    """POST /v1/chat/completions, both ways (dialects.Dialect)."""

    name = "openai_chat"
    proofs = "openai_chat"
    request_id_field = None
    keep_alive = comment(b"keep-alive")
    parameters = PARAMETERS
    indispensable = frozenset({"audio", "modalities", "web_search_options"})
    stream_type = b"text/event-stream"
    tier_marks = TierMarks((("service_tier",),), (b"service_tier",))  # API reference, both objects of chat completions
    own_statuses: frozenset[int] = frozenset()
    shows = frozenset({"image", "image_url", "audio"})
    counting = None
    with_thoughts = staticmethod(replay.with_thoughts)

    parse_request = staticmethod(request.parse_request)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)
    parse_error = staticmethod(errors.parse_error)
    forward_request = staticmethod(request.forward_request)
    forward_result = staticmethod(result.forward_result)
    understand = staticmethod(understand.understand)
    render_request = staticmethod(render_request.render_request)
    parse_result = staticmethod(parse_answer.parse_result)
    render_result = staticmethod(render_answer.render_result)

    def parser(self) -> StreamParser:
        """See Dialect."""
        return Parser()

    def renderer(self, asked: ChatRequest) -> StreamRenderer:
        """See Dialect."""
        return Renderer(asked)

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
