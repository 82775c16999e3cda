"""OpenAI chat completions."""

from ...core.chat import ChatRequest
from .. import StreamTransform
from . import errors, request, result
from .exact import Exact
from .repair import Repair


class OpenAIChat:
    """POST /v1/chat/completions, both ways (dialects.Dialect)."""

    name = "openai_chat"

    parse_request = staticmethod(request.parse_request)
    render_request = staticmethod(request.render_request)
    parse_result = staticmethod(result.parse_result)
    parse_error = staticmethod(errors.parse_error)
    render_error = staticmethod(errors.render_error)
    render_stream_error = staticmethod(errors.render_stream_error)

    def stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return Exact(asked) if exact else Repair(asked)
