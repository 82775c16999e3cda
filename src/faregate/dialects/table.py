"""The dialects, by name."""

from collections.abc import Mapping

from . import Dialect
from .anthropic_messages import AnthropicMessages
from .gemini_generate import GeminiGenerate
from .openai_chat import OpenAIChat
from .openai_completions import OpenAICompletions

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (OpenAIChat(), OpenAICompletions(), AnthropicMessages(), GeminiGenerate())
}
