"""OpenAI chat completions."""

from ...core.chat import ChatRequest
from .. import Result, StreamTransform, UpstreamWords
from . import errors, request, result
from .exact import Exact
from .repair import Repair


class OpenAIChat:
    """POST /v1/chat/completions, both ways (dialects.Dialect)."""

    name = "openai_chat"

    def parse_request(self, body: bytes) -> ChatRequest:
        """See Dialect."""
        return request.parse_request(body)

    def render_request(self, asked: ChatRequest, upstream_model: str, *, stream_usage: bool = True) -> bytes:
        """See Dialect."""
        return request.render_request(asked, upstream_model, stream_usage=stream_usage)

    def parse_result(self, body: bytes, asked: ChatRequest, *, exact: bool) -> Result:
        """See Dialect."""
        return result.parse_result(body, asked, exact=exact)

    def stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return Exact(asked) if exact else Repair(asked)

    def parse_error(self, body: bytes) -> UpstreamWords | None:
        """See Dialect."""
        return errors.parse_error(body)

    def render_error(self, members: dict[str, object]) -> bytes:
        """See Dialect."""
        return errors.render_error(members)

    def render_stream_error(self, members: dict[str, object]) -> bytes:
        """See Dialect."""
        return errors.render_stream_error(members)
