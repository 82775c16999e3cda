"""Cohere's chat, version 2, which only providers speak (docs.cohere.com, API reference, Chat)."""

from ...core.chat import ChatRequest
from .. import StreamParser, TierMarks
from . import errors, parse_answer, render_request
from .parse_stream import Parser
from .vocabulary import DIALECT


class CohereChat:
    """POST /v2/chat (dialects.Upstream)."""

    name = DIALECT
    proofs = DIALECT
    stream_type = b"text/event-stream"
    tier_marks = TierMarks()

    render_request = staticmethod(render_request.render_request)
    parse_result = staticmethod(parse_answer.parse_result)
    parse_error = staticmethod(errors.parse_error)

    def parser(self) -> StreamParser:
        """See Upstream."""
        return Parser()

    def request_lines(self, _: bytes) -> bytes:
        """See Upstream."""
        return b""

    def path(self, _: ChatRequest, __: str) -> str:
        """See Upstream."""
        return "/chat"
