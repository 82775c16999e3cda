"""Error bodies of the OpenAI dialect, both ways."""

from ...core.chat import ChatRequest
from ..openai_errors import parse_error, render_error, words_of

__all__ = ["parse_error", "render_error", "render_stream_error", "words_of"]


def render_stream_error(status: int, members: dict[str, object], _: ChatRequest | None = None) -> bytes:
    """A failed stream's end: one error frame, then the end mark; no finish reason (contract.md 5.1)."""
    return b"data: " + render_error(status, members) + b"\n\ndata: [DONE]\n\n"
