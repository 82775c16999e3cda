"""Gemini's generateContent."""

from ..answer import answer_chat
from ..wires import Wire
from . import request, shapes

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
