"""POST /v1/messages/count_tokens (platform.claude.com, token counting)."""

from typing import Annotated

import msgspec

from ...core.chat import ChatRequest
from .request import renamed


class _Counted(msgspec.Struct):
    input_tokens: Annotated[int, msgspec.Meta(ge=0)]


class TokenCounting:
    """See dialects.Counting."""

    def path(self, _: str) -> str:
        """See Counting."""
        return "/messages/count_tokens"

    def render_request(self, request: ChatRequest, upstream_model: str) -> bytes:
        """See Counting."""
        return renamed(dict(request.members), request, upstream_model)

    def parse_result(self, body: bytes) -> int:
        """See Counting."""
        return msgspec.json.decode(body, type=_Counted).input_tokens

    def render_result(self, tokens: int) -> bytes:
        """See Counting."""
        return msgspec.json.encode({"input_tokens": tokens})
