"""OpenAI's chat completions, what Mistral makes of them, and the completions before them."""

from .. import openai
from ..answer import answer_chat, answer_completion
from ..wires import Wire
from . import request, shapes

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
MISTRAL_WIRE = Wire(
    name="mistral",
    authorize=openai.authorize,
    call=openai.call,
    read=request.read_mistral,
    answer=answer_chat,
    whole=shapes.chat_completion,
    frames=shapes.chat_frames,
    error=openai.error,
    fields=openai.fields,
    spoiler=shapes.spoiler,
)
LEGACY_WIRE = Wire(
    name="openai_completions",
    authorize=openai.authorize,
    call=openai.call,
    read=request.read_completion,
    answer=answer_completion,
    whole=shapes.text_completion,
    frames=shapes.completion_frames,
    error=openai.error,
    fields=openai.fields,
    spoiler=shapes.spoiler,
)
