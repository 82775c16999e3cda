"""Gemini's generateContent and embedContent."""

from dataclasses import replace

from ..answer import answer_chat, answer_embeddings
from ..wires import NOT_OF_EMBEDDINGS, Wire, never_streamed
from . import embeddings, request, shapes

WIRE = Wire(
    name="gemini",
    authorize=request.authorize,
    call=request.call,
    read=request.read,
    answer=answer_chat,
    whole=shapes.whole,
    frames=shapes.frames,
    error=shapes.error,
    fields=shapes.fields,
    spoiler=shapes.spoiler,
    count=shapes.count,
    models=shapes.models,
)
EMBEDDINGS_WIRE = replace(
    WIRE,
    name="gemini_embeddings",
    read=embeddings.read,
    answer=answer_embeddings,
    whole=embeddings.whole,
    frames=never_streamed,
    count=None,
    models=None,
    without=NOT_OF_EMBEDDINGS,
)
BATCH_WIRE = replace(EMBEDDINGS_WIRE, read=embeddings.read_batch, whole=embeddings.whole_batch)
