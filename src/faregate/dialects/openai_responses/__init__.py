"""OpenAI's Responses API."""

from collections.abc import Mapping

import msgspec

from ...core.chat import ChatRequest
from ...wire.sse import comment
from .. import StreamParser, StreamRenderer, StreamTransform, TierMarks
from ..openai_errors import parse_error, render_error
from . import exact as forwarding
from . import render, request, result, understand
from .parser import Parser
from .proofs import NAME
from .renderer import Renderer

EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
PARAMETERS: Mapping[str, str] = {
    "messages": "input",
    "output_format": "text.format",
    "output_description": "text.format.description",
    "output_tokens_max": "max_output_tokens",
    "logprobs": "top_logprobs",
    "reasoning_shown": "reasoning.summary",
    "signature": "encrypted_content",
}


class OpenAIResponses:
    """POST /v1/responses, both ways (dialects.Dialect)."""

    name = NAME
    proofs = NAME
    request_id_field = None
    keep_alive = comment(b"keep-alive")
    parameters = PARAMETERS
    indispensable = frozenset({"prompt"})
    stream_type = b"text/event-stream"
    tier_marks = TierMarks((("service_tier",), ("response", "service_tier")), (b"service_tier",))  # API reference
    own_statuses: frozenset[int] = frozenset()
    shows = frozenset({"image"})  # a message's parts are words
    counting = None
    with_thoughts = None

    parse_request = staticmethod(request.parse_request)
    understand = staticmethod(understand.understand)
    render_result = staticmethod(result.render_result)
    render_error = staticmethod(render_error)
    render_request = staticmethod(render.render_request)
    parse_result = staticmethod(result.parse_result)
    parse_error = staticmethod(parse_error)
    forward_request = staticmethod(request.forward_request)
    forward_result = staticmethod(forwarding.forward_result)

    def renderer(self, asked: ChatRequest) -> StreamRenderer:
        """See Dialect."""
        return Renderer(asked)

    def stream_head(self, _: ChatRequest) -> bytes:
        """See Dialect."""
        return EVENT_STREAM

    def render_stream_error(self, _: int, members: dict[str, object], asked: ChatRequest | None) -> bytes:
        """An `error` event, numbered on from what was sent (conformance.md 1.9)."""
        number = 0 if asked is None else asked.events_sent
        said = {"code": members.get("code") or members.get("type"), "param": members.get("param")}
        data = {"type": "error", **members, **said, "sequence_number": number}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(data | {"type": "error"})

    def path(self, _: ChatRequest, __: str) -> str:
        """See Dialect."""
        return "/responses"

    def request_lines(self, _: bytes) -> bytes:
        """See Dialect."""
        return b""

    def parser(self) -> StreamParser:
        """See Dialect."""
        return Parser()

    def forward_stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return forwarding.Exact(asked) if exact else forwarding.Repair(asked)
