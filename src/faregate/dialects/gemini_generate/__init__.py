"""Gemini's generateContent."""

from collections.abc import Mapping
from typing import get_args

from ...core.chat import ChatRequest
from ...core.conversation import MediaKind
from .. import StreamRenderer, StreamTransform, TierMarks
from . import answer, errors, forward, render, request, result, understand
from .parser import Parser
from .proofs import NAME
from .renderer import Renderer

EVENT_STREAM = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
ARRAY = b"content-type: application/json; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
PARAMETERS: Mapping[str, str] = {
    "messages": "contents",
    "filename": "displayName",
    "tool_choice": "toolConfig.functionCallingConfig",
    "output_format": "generationConfig.responseJsonSchema",
    "temperature": "generationConfig.temperature",
    "top_p": "generationConfig.topP",
    "top_k": "generationConfig.topK",
    "seed": "generationConfig.seed",
    "presence_penalty": "generationConfig.presencePenalty",
    "frequency_penalty": "generationConfig.frequencyPenalty",
    "logprobs": "generationConfig.responseLogprobs",
    "top_logprobs": "generationConfig.logprobs",
    "stop": "generationConfig.stopSequences",
    "choices": "generationConfig.candidateCount",
    "output_tokens_max": "generationConfig.maxOutputTokens",
    "reasoning": "generationConfig.thinkingConfig",
    "reasoning_shown": "generationConfig.thinkingConfig.includeThoughts",
    "signature": "thoughtSignature",
    "service_tier": "serviceTier",
}
# Gemini's API says it in the head (guide to priority inference) and as `serviceTier` (UsageMetadata), Vertex AI as
# `trafficType` (GenerateContentResponse.UsageMetadata).
TIER_MARKS = TierMarks(
    (("usageMetadata", "serviceTier"), ("usageMetadata", "trafficType")),
    (b"serviceTier", b"trafficType"),
    b"x-gemini-service-tier",
)


class GeminiGenerate:
    """POST /v1beta/models/{model}:generateContent and :streamGenerateContent, both ways (dialects.Dialect)."""

    name = NAME
    proofs = NAME
    request_id_field = None
    keep_alive = b""  # its clients take every line for an event (conformance.md 1.11)
    parameters = PARAMETERS
    indispensable = frozenset({"cachedContent", "generationConfig.responseModalities"})
    stream_type = b"text/event-stream"
    tier_marks = TIER_MARKS
    own_statuses: frozenset[int] = frozenset()
    shows = frozenset({f"{kind}{how}" for kind in get_args(MediaKind) for how in ("", "_url")})
    counting = request.Tokens()
    with_thoughts = None

    parse_request = staticmethod(request.parse_request)
    understand = staticmethod(understand.understand)
    render_result = staticmethod(result.render_result)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)
    render_request = staticmethod(render.render_request)
    parse_result = staticmethod(answer.parse_result)
    parse_error = staticmethod(errors.parse_error)
    forward_request = staticmethod(request.forward_request)
    forward_result = staticmethod(forward.forward_result)

    def renderer(self, asked: ChatRequest) -> StreamRenderer:
        """See Dialect."""
        return Renderer(asked)

    def stream_head(self, asked: ChatRequest) -> bytes:
        """See Dialect."""
        return ARRAY if asked.is_array else EVENT_STREAM

    def path(self, asked: ChatRequest, upstream_model: str) -> str:
        """See Dialect. The upstream's stream is always of events: an array would have to be cut by hand."""
        verb = "streamGenerateContent?alt=sse" if asked.stream else "generateContent"
        return f"/models/{upstream_model}:{verb}"

    def request_lines(self, _: bytes) -> bytes:
        """See Dialect."""
        return b""

    def parser(self) -> Parser:
        """See Dialect."""
        return Parser()

    def forward_stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect. Compatible servers are believed too: what nobody may see is left out of any stream."""
        return forward.Exact(asked)
