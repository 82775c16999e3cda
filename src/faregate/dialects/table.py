"""The dialects, by name: those that clients speak, and those that providers do."""

from collections.abc import Mapping

from . import Dialect, Upstream
from .anthropic_messages import AnthropicMessages
from .bedrock_converse import BedrockConverse
from .cohere_chat import CohereChat
from .embeddings import ClientForm, Form
from .embeddings.cohere import CohereEmbeddings
from .embeddings.gemini import GeminiEmbeddings
from .embeddings.openai import OpenAIEmbeddings
from .gemini_generate import GeminiGenerate
from .openai_chat import OpenAIChat
from .openai_completions import OpenAICompletions
from .openai_responses import OpenAIResponses

CLIENT_EMBEDDINGS: Mapping[str, ClientForm] = {form.name: form for form in (OpenAIEmbeddings(), GeminiEmbeddings())}

EMBEDDINGS: Mapping[str, Form] = {**CLIENT_EMBEDDINGS, **{form.name: form for form in (CohereEmbeddings(),)}}

DIALECTS: Mapping[str, Dialect] = {
    **{
        dialect.name: dialect
        for dialect in (OpenAIChat(), OpenAICompletions(), OpenAIResponses(), AnthropicMessages(), GeminiGenerate())
    },
    **CLIENT_EMBEDDINGS,
}

UPSTREAMS: Mapping[str, Upstream] = {
    **DIALECTS,
    **{wire.name: wire for wire in (BedrockConverse(), CohereChat())},
    **EMBEDDINGS,
}
