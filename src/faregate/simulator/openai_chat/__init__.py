"""OpenAI's chat completions, what Mistral makes of them, and the completions before them; its embeddings."""

from dataclasses import replace

from .. import openai
from ..answer import answer_chat, answer_completion, answer_embeddings
from ..wires import NOT_OF_EMBEDDINGS, Wire, never_streamed
from . import embeddings, request, shapes

WIRE = Wire(
    name="openai_chat",
    authorize=openai.authorize,
    call=openai.call,
    read=request.read_chat,
    answer=answer_chat,
    whole=shapes.chat_completion,
    frames=shapes.chat_frames,
    error=openai.error,
    fields=openai.fields,
    spoiler=shapes.spoiler,
    models=openai.models,
)
MISTRAL_WIRE = replace(WIRE, name="mistral", read=request.read_mistral, models=None)
LEGACY_WIRE = replace(
    WIRE,
    name="openai_completions",
    read=request.read_completion,
    answer=answer_completion,
    whole=shapes.text_completion,
    frames=shapes.completion_frames,
    models=None,
)
EMBEDDINGS_WIRE = replace(
    WIRE,
    name="openai_embeddings",
    read=embeddings.read,
    answer=answer_embeddings,
    whole=embeddings.whole,
    frames=never_streamed,
    models=None,
    without=NOT_OF_EMBEDDINGS,
)
