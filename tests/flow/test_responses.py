"""What is told of items that are referred to."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from faregate.core.errors import NotFound
from faregate.dialects.openai_responses.request import parse_request
from faregate.flow.responses import ResponseStates


@pytest.mark.parametrize("letter", ["", "i", "_", "e"])
def test_a_reference_is_looked_up_however_it_is_spelled(letter: str) -> None:
    """No provider hears of an id that is not the project's own."""
    body = json.dumps({"model": "m", "input": [{"role": "user", "content": "x"}]})
    item = json.dumps({"type": "item_reference", "id": "msg_1"})
    if letter:
        item = item.replace("item_reference", "item_reference".replace(letter, f"\\u{ord(letter):04x}"))
    body = body.replace("]", f", {item}]")
    call: Any = SimpleNamespace(
        request=parse_request(body.encode()), record=SimpleNamespace(project_id="p"), no_retention=False
    )
    with pytest.raises(NotFound):
        asyncio.run(ResponseStates().recall(call))
