"""The judges judged: every invariant holds for a good stream, and none lets its own kind of bad one pass."""

import json
from typing import Any

import pytest

from tests.running.client import Answer

from .folding import folded
from .invariants import INVARIANTS
from .seeing import Seen, seen_of


def _data(*chunks: Any) -> str:
    return "".join(f"data: {chunk if isinstance(chunk, str) else json.dumps(chunk)}\n\n" for chunk in chunks)


def _named(*chunks: dict[str, Any]) -> str:
    return "".join(f"event: {chunk['type']}\ndata: {json.dumps(chunk)}\n\n" for chunk in chunks)


def _chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choices = [{"index": index, "delta": delta, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def _call(index: int, arguments: str, **header: Any) -> dict[str, Any]:
    function = {"arguments": arguments} | {name: header.pop(name) for name in ("name",) if name in header}
    return {"tool_calls": [{"index": index, **header, "function": function}]}


OPENAI = _data(
    _chunk({"role": "assistant", "content": ""}),
    _chunk({"content": "Hi"}),
    _chunk(_call(0, "", id="call_1", type="function", name="f")),
    _chunk(_call(0, "{}")),
    _chunk(_call(1, "{}", id="call_2", type="function", name="g")),
    _chunk({}, "tool_calls"),
    "[DONE]",
)
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
WITH_USAGE = _data(
    _chunk({"role": "assistant", "content": "Hi"}, usage=None),
    _chunk({}, "stop", usage=None),
    {**_chunk({}), "choices": [], "usage": USAGE},
    "[DONE]",
)
ANTHROPIC = _named(
    {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"output_tokens": 0}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "S"}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "content_block_start",
        "index": 1,
        "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    },
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a":'}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 3}},
    {"type": "message_stop"},
)
GEMINI = _data({"candidates": [{"content": {"parts": [{"text": "Hel"}]}}]}, {"candidates": [{"finishReason": "STOP"}]})


def _response(output: list[Any], status: str) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tools": [],
        "tool_choice": "auto",
    }


_PART = {"type": "output_text", "text": "", "annotations": []}
_ITEM = {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []}
_AT = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_WHOLE = {**_ITEM, "status": "completed", "content": [{**_PART, "text": "Hi"}]}
RESPONSES = _named(
    {"type": "response.created", "sequence_number": 0, "response": _response([], "in_progress")},
    {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": _ITEM},
    {"type": "response.content_part.added", "sequence_number": 2, **_AT, "part": _PART},
    {"type": "response.output_text.delta", "sequence_number": 3, **_AT, "delta": "Hi", "logprobs": []},
    {"type": "response.output_text.done", "sequence_number": 4, **_AT, "text": "Hi", "logprobs": []},
    {"type": "response.content_part.done", "sequence_number": 5, **_AT, "part": {**_PART, "text": "Hi"}},
    {"type": "response.output_item.done", "sequence_number": 6, "output_index": 0, "item": _WHOLE},
    {"type": "response.completed", "sequence_number": 7, "response": _response([_WHOLE], "completed")},
)

# The streams that an invariant must let pass.
GOOD = {
    OPENAI: (
        "sse_data_only sse_data_space no_comments no_event_lines done_last same_id role_once tool_header_once "
        "tool_index_contiguous choice_index_zero single_finish finish_per_choice no_usage_anywhere"
    ),
    WITH_USAGE: "sse_data_only done_last same_id role_once single_finish usage_last",
    OPENAI.replace('"tool_calls"}', "null}"): "no_finish_reason",
    ANTHROPIC: "sse_event_lines no_done no_comments blocks_wellformed single_message_start ends_message_stop",
    ANTHROPIC.replace("message_stop", "error"): "no_message_stop",
    GEMINI: "sse_data_space no_comments no_event_lines no_done",
    RESPONSES: "sse_event_lines no_done sequence_monotonic items_announced item_ids_stable",
}
_STOP = '"index": 0, "delta": {}, "finish_reason": "tool_calls"'
_REST = OPENAI[OPENAI.index("data: ", OPENAI.index('"Hi"')) :]
_HI = OPENAI[OPENAI.index("data: ", 10) : OPENAI.index(_REST)]
_SIGNED = (
    ANTHROPIC[ANTHROPIC.index("event: content_block_delta\n", ANTHROPIC.index('"hm"')) :].partition("\n\n")[0] + "\n\n"
)
_LAST = ANTHROPIC[ANTHROPIC.index("event: message_delta") :].partition("\n\n")[0] + "\n\n"
# (invariant, good stream, what is changed in it, into what)
BAD = [
    ("sse_data_only", OPENAI, "data: [DONE]", "event: end\ndata: [DONE]"),
    ("sse_data_only", OPENAI, "data: [DONE]", "data:[DONE]"),
    ("sse_data_only", OPENAI, "data: [DONE]", "id: 7\n\ndata: [DONE]"),
    ("sse_event_lines", ANTHROPIC, "event: message_stop\n", ""),
    ("sse_event_lines", ANTHROPIC, "event: message_stop\n", "event: message_delta\n"),
    ("sse_data_space", GEMINI, "data: ", "data:"),
    ("no_event_lines", GEMINI, "data: ", "event: message\ndata: "),
    ("no_comments", GEMINI, "data: ", ": hello\n\ndata: "),
    ("no_comments", GEMINI, "data: ", ":\ndata: "),
    ("no_done", GEMINI + "data: [DONE]\n\n", "", ""),
    ("done_last", OPENAI, "data: [DONE]\n\n", ""),
    ("done_last", OPENAI, "data: [DONE]\n\n", "data: [DONE]\n\n" * 2),
    ("done_last", OPENAI, "data: [DONE]\n\n", "data: [DONE]\n\n: bye\n\n"),
    ("same_id", OPENAI, '{"id": "c"', '{"id": "d"'),
    ("same_id", OPENAI, '"created": 1,', ""),
    ("same_id", OPENAI, '"model": "m"', '"model": "gpt-up"'),
    ("role_once", OPENAI, '"role": "assistant", ', ""),
    ("role_once", OPENAI, '{"content": "Hi"', '{"role": "assistant", "content": "Hi"'),
    ("tool_header_once", OPENAI, '"type": "function", ', ""),
    ("tool_header_once", OPENAI, '"index": 0, "function": {"arguments": "{}"}', '"index": 0, "id": "call_1"'),
    ("tool_header_once", OPENAI, '"arguments": "{}"}', '"arguments": {}}'),
    ("tool_index_contiguous", OPENAI, '"index": 1', '"index": 2'),
    ("choice_index_zero", OPENAI, '[{"index": 0, "delta": {"content": "Hi"', '[{"index": 1, "delta": {"content": "Hi"'),
    ("single_finish", OPENAI, '"finish_reason": "tool_calls"', '"finish_reason": null'),
    ("single_finish", OPENAI, '"Hi"}, "finish_reason": null', '"Hi"}, "finish_reason": "stop"'),
    ("single_finish", OPENAI, '"Hi"}, "finish_reason": null', '"Hi"}'),
    ("single_finish", OPENAI, _STOP, _STOP.replace("{}", '{"content": ""}')),
    ("finish_per_choice", OPENAI, _STOP, _STOP + "}, {" + _STOP.replace('"index": 0', '"index": 1')[:-12] + "null"),
    ("no_finish_reason", OPENAI, "", ""),
    ("usage_last", OPENAI, "", ""),
    ("usage_last", WITH_USAGE, '"choices": []', '"choices": [{"index": 0, "delta": {}, "finish_reason": null}]'),
    ("usage_last", WITH_USAGE, ', "usage": null', ""),
    ("no_usage_anywhere", WITH_USAGE, "", ""),
    ("no_usage_anywhere", OPENAI, '"model": "m"', '"model": "m", "usage": null'),
    ("blocks_wellformed", ANTHROPIC, '"index": 1', '"index": 2'),
    ("blocks_wellformed", ANTHROPIC, '"index": 0, "content_block"', '"index": 1, "content_block"'),
    ("blocks_wellformed", ANTHROPIC, '"thinking_delta"', '"text_delta"'),
    ("blocks_wellformed", ANTHROPIC, '"input_json_delta", "partial_json": "1}"', '"text_delta", "text": ""'),
    ("blocks_wellformed", ANTHROPIC, '"input": {}', '"input": {"a": 1}'),
    ("blocks_wellformed", ANTHROPIC, _SIGNED, ""),
    ("blocks_wellformed", ANTHROPIC, _SIGNED, _SIGNED * 2),
    (
        "blocks_wellformed",
        ANTHROPIC,
        'event: content_block_stop\ndata: {"type": "content_block_stop", "index": 1}\n\n',
        "",
    ),
    (
        "blocks_wellformed",
        ANTHROPIC,
        'event: content_block_stop\ndata: {"type": "content_block_stop", "index": 0}\n\n',
        "",
    ),
    ("single_message_start", ANTHROPIC, '"type": "message_start"', '"type": "ping"'),
    ("single_message_start", ANTHROPIC * 2, "", ""),
    ("ends_message_stop", ANTHROPIC, '"type": "message_stop"', '"type": "ping"'),
    ("ends_message_stop", ANTHROPIC, _LAST, ""),
    ("ends_message_stop", ANTHROPIC, ', "usage": {"output_tokens": 3}', ""),
    ("ends_message_stop", ANTHROPIC, '"stop_reason": "tool_use"', '"stop_reason": null'),
    ("no_message_stop", ANTHROPIC, "", ""),
    ("sequence_monotonic", RESPONSES, '"sequence_number": 3', '"sequence_number": 4'),
    ("sequence_monotonic", RESPONSES, '"sequence_number": 0, ', ""),
    ("items_announced", RESPONSES, '"type": "response.output_item.added"', '"type": "other"'),
    ("items_announced", RESPONSES, '"type": "response.content_part.added"', '"type": "other"'),
    ("items_announced", RESPONSES, '"type": "response.output_item.done"', '"type": "other"'),
    ("items_announced", RESPONSES, '"item_id": "msg_1", "output_index": 0', '"item_id": "msg_1", "output_index": 1'),
    (
        "item_ids_stable",
        RESPONSES,
        '"id": "msg_1", "role": "assistant", "status": "in_progress"',
        '"id": "msg_2", "role": "assistant"',
    ),
    ("item_ids_stable", RESPONSES, '"output_index": 0, "item"', '"output_index": 1, "item"'),
    ("item_ids_stable", RESPONSES.replace("msg_1", "item_1"), "", ""),
    ("item_ids_stable", RESPONSES, "resp_1", "resp_2"),
]


def seen(body: str) -> Seen:
    return seen_of(Answer(200, [("content-type", "text/event-stream")], body.encode()))


@pytest.mark.parametrize("body", GOOD, ids=range(len(GOOD)))
def test_good_streams_pass(body: str) -> None:
    for name in GOOD[body].split():
        assert list(INVARIANTS[name](seen(body))) == [], name


@pytest.mark.parametrize(("name", "good", "old", "new"), BAD)
def test_bad_streams_do_not(name: str, good: str, old: str, new: str) -> None:
    assert old in good
    assert list(INVARIANTS[name](seen(good.replace(old, new, 1) if old else good)))


def test_every_invariant_is_judged() -> None:
    assert {name for name, *_ in BAD} == {name for names in GOOD.values() for name in names.split()} == set(INVARIANTS)


def test_what_clients_put_together() -> None:
    chat = folded("openai", seen(OPENAI))
    assert (chat["content"], chat["finish_reason"]) == ("Hi", "tool_calls")
    assert [call["function"]["arguments"] for call in chat["tool_calls"]] == ["{}", "{}"]
    thinking, call = folded("anthropic", seen(ANTHROPIC))["content"]
    assert (thinking["thinking"], thinking["signature"], call["input"]) == ("hm", "S", {"a": 1})
    assert folded("gemini", seen(GEMINI)) == {"parts": [{"text": "Hel"}], "finishReason": "STOP"}
    assert folded("openai-responses", seen(RESPONSES))["output"][0]["id"] == "msg_1"


def test_a_stream_that_ends_within_an_event_is_none() -> None:
    with pytest.raises(ValueError, match="within an event"):
        seen(OPENAI[:-1])
