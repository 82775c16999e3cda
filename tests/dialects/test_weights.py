"""What a body weighs does not depend on how its JSON is spelled, nor on what is wrong with another part of it."""

import json
from typing import Any

import pytest

from faregate.core.chat import ChatRequest
from faregate.dialects.anthropic_messages import request as anthropic
from faregate.dialects.openai_chat import request as chat
from faregate.dialects.openai_responses import request as responses

Body = dict[str, Any]


def turn(*parts: object) -> list[Body]:
    return [{"role": "user", "content": parts}]


ELSEWHERE: dict[str, tuple[Any, Body]] = {
    "chat": (chat, {"messages": turn({"type": "file", "file": {"file_id": "f"}})}),
    "responses": (responses, {"input": turn({"type": "input_file", "file_id": "f"})}),
    "messages": (
        anthropic,
        {"max_tokens": 1, "messages": turn({"type": "document", "source": {"type": "file", "file_id": "f"}})},
    ),
    "a result": (
        anthropic,
        {
            "max_tokens": 1,
            "messages": turn(
                {
                    "type": "tool_result",
                    "tool_use_id": "t",
                    "content": [{"type": "document", "source": {"type": "url", "url": "https://x"}}],
                }
            ),
        },
    ),
}


def read(dialect: Any, body: Body) -> ChatRequest:
    return dialect.parse_request(json.dumps({"model": "m", **body}).encode())


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_file_by_its_id_is_seen_however_it_is_spelled(name: str) -> None:
    dialect, body = ELSEWHERE[name]
    assert read(dialect, body).is_open
    spelled = json.dumps({"model": "m", **body})
    for word in ("file", "input_file", "document", "source", "file_id", "url"):
        spelled = spelled.replace(f'"{word}"', f'"\\u{ord(word[0]):04x}{word[1:]}"')
    assert '"\\u00' in spelled
    assert dialect.parse_request(spelled.encode()).is_open


def test_a_part_that_is_none_hides_no_other() -> None:
    inner = ["no part", {"type": 5}, {"type": "input_file", "file_id": "f"}]
    item = {"type": "function_call_output", "call_id": "c", "output": inner}
    assert read(responses, {"input": [item]}).is_open
    blocks = [None, {"type": 5}, {"type": "document", "source": {"type": "file", "file_id": "f"}}]
    result = {"type": "tool_result", "tool_use_id": "t", "content": blocks}
    assert read(anthropic, {"max_tokens": 1, "messages": turn(result)}).is_open


def test_what_is_seen_is_what_stands_where_a_picture_does() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    assert read(chat, {"messages": turn(picture)}).has_images
    told = {"type": "function", "function": {"name": "a", "parameters": {"default": picture}}}
    words = read(chat, {"messages": turn({"type": "text", "text": "hi"}), "tools": [told]})
    assert (words.has_images, words.images) == (False, 0)
    seen = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [seen]}
    assert read(anthropic, {"max_tokens": 1, "messages": turn(result)}).has_images
    screen = {"type": "computer_screenshot", "image_url": "data:image/png;base64," + "A" * 10_000}
    shot = read(responses, {"input": [{"type": "computer_call_output", "call_id": "c", "output": screen}]})
    assert (shot.images, shot.has_images) == (1, True)
    assert shot.text_bytes < 1_000
