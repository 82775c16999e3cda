"""What a model is told in words of the form of its answer, or by a tool that it must call, where its provider has no
member that says it."""

JSON_WANTED = "Answer with nothing but one JSON object."
# The tool that a model must call: its call is the answer's words.
ANSWER_TOOL = "faregate_answer"
ANSWER_TOOL_IS = "Takes the answer."


def schema_wanted(schema: bytes) -> str:
    """The words for a JSON Schema."""
    return f"Answer with nothing but JSON that keeps to this JSON Schema:\n{schema.decode()}"
