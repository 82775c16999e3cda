"""Cohere's chat and embeddings, version 2."""

from dataclasses import replace

from ..answer import answer_chat, answer_embeddings
from ..wires import NOT_OF_EMBEDDINGS, Wire, never_streamed
from . import embeddings, request, shapes

WIRE = Wire(
    name="cohere",
    authorize=request.authorize,
    call=request.call,
    read=request.read,
    answer=answer_chat,
    whole=shapes.chat,
    frames=shapes.frames,
    error=shapes.error,
    fields=shapes.fields,
    spoiler=shapes.spoiler,
    without=frozenset({"twice", "cumulative"}),
)
EMBEDDINGS_WIRE = replace(
    WIRE,
    name="cohere_embeddings",
    read=embeddings.read,
    answer=answer_embeddings,
    whole=embeddings.whole,
    frames=never_streamed,
    without=NOT_OF_EMBEDDINGS,
)
