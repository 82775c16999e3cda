"""Anthropic's Messages API."""

from collections.abc import Mapping

from ...core.chat import ChatRequest
from .. import StreamParser, StreamRenderer, StreamTransform, TierMarks
from . import errors, parse_answer, render_answer, render_request, request, result, understand
from .blocks import DIALECT
from .counting import TokenCounting
from .exact import Exact
from .parse_stream import Parser
from .render_stream import Renderer

EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
PARAMETERS: Mapping[str, str] = {
    "filename": "title",
    "output_format": "output_config.format",
    "output_tokens_max": "max_tokens",
    "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    "reasoning": "thinking",
    "reasoning_shown": "thinking.display",
    "stop": "stop_sequences",
    "user": "metadata.user_id",
}


class AnthropicMessages:
    """POST /v1/messages, both ways (dialects.Dialect)."""

    name = DIALECT
    proofs = DIALECT
    request_id_field = "request-id"
    keep_alive = b'event: ping\ndata: {"type":"ping"}\n\n'
    parameters = PARAMETERS
    indispensable = frozenset({"container", "mcp_servers"})
    stream_type = b"text/event-stream"
    tier_marks = TierMarks((("usage", "service_tier"), ("message", "usage", "service_tier")), (b"service_tier",))
    own_statuses = frozenset({529})  # overloaded (conformance 2.6)
    shows: frozenset[str] = frozenset()
    counting = TokenCounting()
    with_thoughts = None

    parse_request = staticmethod(request.parse_request)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)
    parse_error = staticmethod(errors.parse_error)
    request_lines = staticmethod(request.request_lines)
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

    def path(self, _: ChatRequest, __: str) -> str:
        """See Dialect."""
        return "/messages"

    def forward_stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect. Compatible servers are believed too: what they leave out, Exact adds."""
        return Exact(asked)
