"""Streams that are relayed byte for byte: what a chunk should not hold is the client's to see, and breaks nothing."""

import json
from typing import Any

import pytest

from faregate.dialects.table import DIALECTS

_STREAMS = {
    "openai_chat": {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]},
    "anthropic_messages": {
        "model": "m",
        "stream": True,
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
    },
}
_ODD: list[Any] = [5, True, 1.5, "abc", [], [5], [None], [{"function": 7}], {"a": 1}, {"function": {"arguments": 3}}]


@pytest.mark.parametrize("member", ["tool_calls", "content", "reasoning_content", "role"])
@pytest.mark.parametrize("odd", _ODD, ids=repr)
def test_odd_deltas_of_chat(member: str, odd: Any) -> None:
    dialect = DIALECTS["openai_chat"]
    request = dialect.parse_request(json.dumps(_STREAMS["openai_chat"]).encode())
    stream = dialect.forward_stream(request, exact=True)
    choice = {"index": 0, "delta": {member: odd}, "finish_reason": None}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    sent = b"data: " + json.dumps(chunk).encode() + b"\n\n"
    assert stream.feed(sent) == sent


@pytest.mark.parametrize("member", ["text", "thinking", "partial_json", "citation"])
@pytest.mark.parametrize("odd", _ODD, ids=repr)
def test_odd_deltas_of_messages(member: str, odd: Any) -> None:
    dialect = DIALECTS["anthropic_messages"]
    request = dialect.parse_request(json.dumps(_STREAMS["anthropic_messages"]).encode())
    stream = dialect.forward_stream(request, exact=True)
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", member: odd}}
    sent = b"event: content_block_delta\ndata: " + json.dumps(event).encode() + b"\n\n"
    assert stream.feed(sent) == sent
