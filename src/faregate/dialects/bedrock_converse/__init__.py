"""Amazon Bedrock's Converse and ConverseStream, which only providers speak (Amazon Bedrock API Reference, Runtime)."""

import urllib.parse

from ...core.chat import ChatRequest
from .. import StreamParser, TierMarks
from . import errors, parse_answer, render_request
from .blocks import DIALECT, SIGNED_BY
from .parse_stream import Parser


class BedrockConverse:
    """POST /model/{modelId}/converse and /converse-stream (dialects.Upstream)."""

    name = DIALECT
    proofs = SIGNED_BY
    stream_type = b"application/vnd.amazon.eventstream"
    tier_marks = TierMarks((("serviceTier", "type"),), (b"serviceTier",))  # ConverseStreamMetadataEvent has it too

    parse_error = staticmethod(errors.parse_error)
    render_request = staticmethod(render_request.render_request)
    parse_result = staticmethod(parse_answer.parse_result)

    def path(self, request: ChatRequest, upstream_model: str) -> str:
        """See Upstream. A model's name is one segment, the `/` of an ARN included."""
        operation = "converse-stream" if request.stream else "converse"
        return f"/model/{urllib.parse.quote(upstream_model, safe='')}/{operation}"

    def request_lines(self, _: bytes) -> bytes:
        """See Upstream."""
        return b""

    def parser(self) -> StreamParser:
        """See Upstream."""
        return Parser()
