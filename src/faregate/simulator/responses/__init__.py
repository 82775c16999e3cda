"""OpenAI's Responses."""

from .. import openai
from ..answer import answer_chat
from ..wires import Wire
from . import request, shapes

WIRE = Wire(
    name="responses",
    authorize=openai.authorize,
    call=openai.call,
    read=request.read,
    answer=answer_chat,
    whole=shapes.response,
    frames=shapes.frames,
    error=openai.error,
    fields=openai.fields,
    spoiler=shapes.spoiler,
    count=shapes.count,
    without=frozenset({"twice", "cumulative"}),
)
