"""Amazon Bedrock's Converse and ConverseStream."""

from ..answer import answer_chat
from ..wires import Wire
from . import request, shapes, signed

WIRE = Wire(
    name="bedrock",
    authorize=signed.authorize,
    verify=signed.verify,
    call=request.call,
    read=request.read,
    answer=answer_chat,
    whole=shapes.message,
    frames=shapes.frames,
    error=shapes.error,
    error_fields=shapes.error_fields,
    fields=shapes.fields,
    spoiler=shapes.spoiler,
    without=frozenset({"cumulative", "twice"}),
)
