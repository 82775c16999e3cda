"""Cohere's chat, version 2."""

from ..answer import answer_chat
from ..wires import Wire
from . import request, shapes

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
