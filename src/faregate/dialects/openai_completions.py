"""OpenAI legacy completions: chat's wire without messages. Frames carry `choices[].text`; bytes are relayed."""

from typing import Any

import msgspec

from ..core.chat import ChatRequest
from ..core.errors import MalformedRequest
from . import Result, StreamTransform
from .openai_chat import OpenAIChat, result
from .openai_chat.exact import Exact
from .openai_chat.request import decode, decode_members, read_common

_prompt_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(str | list[str | int | list[int]])


class OpenAICompletions(OpenAIChat):
    """POST /v1/completions, both ways (dialects.Dialect)."""

    name = "openai_completions"

    def parse_request(self, body: bytes) -> ChatRequest:
        """See Dialect."""
        members = decode_members(body)
        asked = read_common(members)
        raw = members.get("prompt")
        if raw is None:
            raise MalformedRequest("Missing required parameter: 'prompt'.", param="prompt")
        decode(_prompt_decoder, raw, "prompt")
        asked.prompt_bytes = len(memoryview(raw))
        return asked

    def parse_result(self, body: bytes, asked: ChatRequest, *, exact: bool) -> Result:
        """See Dialect."""
        return result.parse_result(body, asked, exact=True)

    def stream(self, asked: ChatRequest, *, exact: bool) -> StreamTransform:
        """See Dialect."""
        return Exact(asked)
