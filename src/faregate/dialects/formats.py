"""What a model is told in words of the form of its answer, or by a tool that it must call, where its provider has no
member that says it."""

from ..core.conversation import Conversation
from .bodies import NULL, members_decoder

JSON_WANTED = "Answer with nothing but one JSON object."
# The tool that a model must call: its call is the answer's words.
ANSWER_TOOL = "faregate_answer"
ANSWER_TOOL_IS = "Takes the answer."


def may_answer_by_tool(conversation: Conversation) -> bool:
    """Whether a model can be made to answer by calling a tool: not where it may call others, is to think, or is to give
    anything but an object."""
    wanted, reasoning = conversation.output_format, conversation.reasoning
    thinks = reasoning is not None and reasoning.effort != "none"
    if conversation.tools or thinks or wanted is None or wanted.schema is None:
        return False
    return bytes(members_decoder.decode(wanted.schema).get("type", NULL)) == b'"object"'


def schema_wanted(schema: bytes) -> str:
    """The words for a JSON Schema."""
    return f"Answer with nothing but JSON that keeps to this JSON Schema:\n{schema.decode()}"
