"""Nothing that a client sends is lost in silence (contract 5.7): what no dialect here knows is kept by its place, so
that whoever leaves it out can name it. The bodies are those of test_refusals, which use all that a dialect has."""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from test_refusals import CASES, steps

from faregate.core.conversation import Conversation
from faregate.dialects import Asked
from faregate.dialects.table import DIALECTS

# What is in these is the client's own: schemas, arguments, what a tool gave, biases by token.
FREE = {
    "openai_chat": ("tools[0].function.parameters", "response_format.json_schema.schema", "logit_bias"),
    "openai_responses": ("tools[0].parameters", "text.format.schema", "metadata"),
    "anthropic_messages": (
        *("messages[1].content[3].input", "tools[0].input_schema", "output_config.format.schema"),
        *("system[0].cache_control", "messages[0].content[0].cache_control"),  # marks are named as marks
    ),
    "gemini_generate": (
        "contents[1].parts[1].functionCall.args",
        "contents[2].parts[0].functionResponse.response",
        "tools[0].functionDeclarations[0].parametersJsonSchema",
        "generationConfig.responseJsonSchema",
        "tools[0]",  # each member is a tool
    ),
}
# What is understood of a body with other values than those, and was left behind.
LEFT: list[tuple[str, dict[str, Any], str]] = [
    ("openai_responses", {"input[2].content[0].annotations": [{"type": "file_citation", "file_id": "f"}]}, ""),
    ("openai_responses", {"input[2].phase": "commentary"}, "input[2].phase"),
    ("gemini_generate", {"toolConfig.functionCallingConfig.mode": "VALIDATED"}, ""),
]


def understood(dialect: str, changes: dict[str, Any]) -> Conversation:
    """The conversation of the body with some values put into it."""
    body = copy.deepcopy(CASES[dialect]["body"])
    for path, value in changes.items():
        *way, last = steps(path)
        holder = body
        for step in way:
            holder = holder[step]
        holder[last] = value
    asked = CASES[dialect].get("asked", {})
    request = DIALECTS[dialect].parse_request(msgspec.json.encode(body), Asked(asked.get("argument", ""), {}))
    return DIALECTS[dialect].understand(request)


def objects(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all objects, the body's own first."""
    if isinstance(value, dict):
        yield path
        for name, each in value.items():
            yield from objects(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from objects(each, f"{path}[{index}]")


@pytest.mark.parametrize("dialect", CASES)
def test_an_unknown_member_is_kept_by_its_place(dialect: str) -> None:
    lost = []
    for path in objects(CASES[dialect]["body"]):
        place = f"{path}.unheardOf" if path else "unheardOf"
        if path not in FREE[dialect] and place not in understood(dialect, {place: 1}).extra:
            lost.append(place)
    assert not lost


@pytest.mark.parametrize(("dialect", "changes", "place"), LEFT)
def test_what_no_other_dialect_says_is_kept_by_its_place(dialect: str, changes: dict[str, Any], place: str) -> None:
    assert (place or next(iter(changes))) in understood(dialect, changes).extra
