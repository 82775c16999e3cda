"""The repair of compatible upstreams' streams: the rows of conformance 1.2 and the bugs of its section 3,
wherever the bytes are cut, judged by the official SDK's own accumulator and by the rules of the wire."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai_streams import (
    CASES,
    CHECKER,
    HI,
    STOP,
    USAGE,
    Folded,
    Members,
    call,
    calls,
    check_rules,
    chunk,
    fold,
    run,
    says,
    sse,
)

# What came, and what the SDK must make of it.
ROWS: dict[str, tuple[bytes, Folded]] = {
    "comment": (sse(": hello\n\n", HI, ":\n\n", STOP, ": bye\n\n"), Folded("Hi", [], "stop")),
    "ping_without_data": (
        sse("event: ping\n\n", HI, "data:\n\n", "data\n\n", STOP),
        Folded("Hi", [], "stop"),
    ),
    "ping_with_data": (
        sse('event: ping\ndata: {"type": "ping"}\n\n', HI, "data: {}\n\n", STOP),
        Folded("Hi", [], "stop"),
    ),
    "id_event_and_retry_lines": (
        sse("retry: 5\n\n", f"id: 7\nevent: message\ndata: {json.dumps(HI)}\n\n", STOP),
        Folded("Hi", [], "stop"),
    ),
    "role_in_every_delta": (
        sse(HI, HI, chunk(says({"role": "assistant", "content": ""}, "stop"))),
        Folded("HiHi", [], "stop"),
    ),
    "no_role": (sse(chunk(says({"content": "Hi"})), STOP), Folded("Hi", [], "stop")),
    "role_null": (sse(chunk(says({"role": None, "content": "Hi"})), STOP), Folded("Hi", [], "stop")),
    "id_and_name_repeated": (
        sse(
            chunk(says(calls(call(0, "c1", "f", "")))),
            chunk(says(calls(call(0, "c1", "f", '{"a":')))),
            chunk(says(calls(call(0, "c1", "f", "1}")))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "id_anew_in_every_fragment": (
        sse(
            chunk(says(calls(call(0, "c1", "f", "")))),
            chunk(says(calls(call(0, "c2", None, '{"a":')))),
            chunk(says(calls(call(0, "c3", None, "1}")))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "first_index_is_1": (
        sse(
            chunk(says({"content": "a"})),
            chunk(says(calls(call(1, "c1", "f", "{}")))),
            chunk(says(calls(call(3, "c2", "g", '{"b":')))),
            chunk(says(calls(call(3, None, None, "2}")))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("a", [("f", "{}"), ("g", '{"b":2}')], "tool_calls"),
    ),
    "two_calls_on_index_0": (
        sse(
            chunk(says(calls(call(0, "c1", "f", "{}")))),
            chunk(says(calls(call(0, "c2", "f", "{}")))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("", [("f", "{}"), ("f", "{}")], "tool_calls"),
    ),
    "two_calls_on_index_0_interleaved": (
        sse(
            chunk(says(calls(call(0, "c1", "f", ""), call(0, "c2", "g", "")))),
            chunk(says(calls(call(0, "c1", None, '{"a":')))),
            chunk(says(calls(call(0, "c2", None, '{"b":')))),
            chunk(says(calls(call(0, "c1", None, "1}"), call(0, "c2", None, "2}")))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("", [("f", '{"a":1}'), ("g", '{"b":2}')], "tool_calls"),
    ),
    "whole_calls_without_ids_on_index_0": (
        sse(
            chunk(says(calls(call(0, "", "f", '{"a":1}')))),
            chunk(says(calls(call(0, "", "f", '{"a":2}')))),
            chunk(says(calls(call(0, None, "g", "{}")), "stop")),
        ),
        Folded("", [("f", '{"a":1}'), ("f", '{"a":2}'), ("g", "{}")], "tool_calls"),
    ),
    "whole_calls_without_ids_and_indexes": (
        sse(chunk(says(calls(call(None, None, "f", None), call(None, None, "f", None)), "stop"))),
        Folded("", [("f", "{}"), ("f", "{}")], "tool_calls"),
    ),
    "two_calls_with_the_function's_name_as_id": (
        sse(
            chunk(says(calls(call(0, "f", "f", '{"a":1}')))),
            chunk(says(calls(call(1, "f", "f", '{"a":')))),
            chunk(says(calls(call(1, "f", "f", "2}")))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("", [("f", '{"a":1}'), ("f", '{"a":2}')], "tool_calls"),
    ),
    "a_call_said_twice": (
        sse(
            chunk(says(calls(call(0, "c1", "f", '{"a":1}')))),
            chunk(says(calls(call(0, "c1", "f", '{"a":1}')), "tool_calls")),
        ),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "fragment_without_type": (
        sse(
            chunk(says(calls({"index": 0, "id": "c1", "function": {"name": "f", "arguments": '{"a":1}'}}))),
            chunk(says({}, "tool_calls")),
        ),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "block_index_leaked": (
        sse(
            chunk(says({"role": "assistant", "content": "a"}, index=1)),
            chunk(says({"content": "b"}, index=2)),
            chunk(says({}, "stop", index=0)),
        ),
        Folded("ab", [], "stop"),
    ),
    "no_finish": (sse(HI), Folded("Hi", [], "stop")),
    "no_finish_with_calls": (
        sse(chunk(says(calls(call(0, "c1", "f", '{"a":1}'))))),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "usage_not_last": (
        sse(HI, chunk(usage=USAGE), chunk(says({"content": "!"})), STOP),
        Folded("Hi!", [], "stop"),
    ),
    "usage_with_choices": (sse(HI, chunk(says({}, "stop"), usage=USAGE)), Folded("Hi", [], "stop")),
    "usage_on_every_chunk": (
        sse(
            chunk(says({"content": "Hi"}), usage={"prompt_tokens": 10, "completion_tokens": 1}),
            chunk(says({}, "stop"), usage=USAGE),
        ),
        Folded("Hi", [], "stop"),
    ),
    "finish_twice": (sse(HI, STOP, STOP, chunk(usage=USAGE)), Folded("Hi", [], "stop")),
    "finish_twice_and_weaker": (sse(HI, chunk(says({}, "length")), STOP), Folded("Hi", [], "length")),
    "finish_on_every_chunk": (
        sse(
            chunk(says({"role": "assistant", "content": "H"}, "STOP")),
            chunk(says({"role": "assistant", "content": "i"}, "STOP"), usage=USAGE),
        ),
        Folded("Hi", [], "stop"),
    ),
    "finish_on_every_chunk_then_length": (
        sse(chunk(says({"content": "H"}, "STOP")), chunk(says({"content": "i"}, "MAX_TOKENS"))),
        Folded("Hi", [], "length"),
    ),
    "finish_on_an_intermediate_chunk": (
        sse(
            chunk(says(calls(call(0, "c1", "f", '{"a":')), "tool_calls")),
            chunk(says(calls(call(0, None, None, "1}")))),
        ),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "call_then_stop_with_empty_text": (
        sse(
            chunk(says(calls(call(0, "c1", "f", '{"a":1}')), "stop")),
            chunk(says({"role": "assistant", "content": ""}, "stop")),
        ),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "stop_with_calls": (
        sse(chunk(says(calls(call(0, "c1", "f", '{"a":1}')))), STOP),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "length_with_calls": (
        sse(chunk(says(calls(call(0, "c1", "f", '{"a":')))), chunk(says({}, "length"))),
        Folded("", [("f", '{"a":')], "length"),
    ),
    "no_arguments": (
        sse(chunk(says(calls(call(0, "c1", "f", "")))), chunk(says({}, "tool_calls"))),
        Folded("", [("f", "{}")], "tool_calls"),
    ),
    "arguments_null_then_none": (
        sse(
            chunk(says(calls({"index": 0, "id": "c1", "function": {"name": "f", "arguments": None}}))),
            chunk(says(calls(call(0, None, None, "")), "tool_calls")),
        ),
        Folded("", [("f", "{}")], "tool_calls"),
    ),
    "arguments_begin_with_an_empty_object": (
        sse(
            chunk(says(calls(call(0, "c1", "f", {}), call(1, "c2", "g", "")))),
            chunk(says(calls(call(1, None, None, '{"b":2}')))),
            chunk(says(calls(call(2, "c3", "h", "{}")))),
            chunk(says(calls(call(2, None, None, '{"c":3}')))),
            STOP,
        ),
        Folded("", [("f", "{}"), ("g", '{"b":2}'), ("h", '{"c":3}')], "tool_calls"),
    ),
    "arguments_as_an_object": (
        sse(chunk(says(calls(call(0, "c1", "f", {"a": 1})))), STOP),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "header_without_index": (
        sse(chunk(says(calls(call(None, "c1", "f", "")))), chunk(says(calls(call(0, None, None, '{"a":1}')))), STOP),
        Folded("", [("f", '{"a":1}')], "tool_calls"),
    ),
    "id_after_the_header": (
        sse(
            chunk(says(calls(call(0, None, "f", "")))),
            chunk(says(calls(call(0, "c1", None, '{"a":')))),
            chunk(says(calls(call(0, "c1", None, "1}")))),
            chunk(says(calls(call(0, "c2", "f", '{"b":')))),
            chunk(says(calls(call(0, "c2", None, "2}")))),
            STOP,
        ),
        Folded("", [("f", '{"a":1}'), ("f", '{"b":2}')], "tool_calls"),
    ),
    "objects_inside_the_arguments": (
        sse(*(chunk(says(calls(call(0, "c1", "f", piece)))) for piece in ('{"a":"', "{}", "{}", '"}')), STOP),
        Folded("", [("f", '{"a":"{}{}"}')], "tool_calls"),
    ),
    "one_id_and_name_for_two_calls": (
        sse(
            chunk(says(calls(call(0, "f", "f", "")))),
            chunk(says(calls(call(0, None, None, '{"a":1}')))),
            chunk(says(calls(call(1, "f", "f", "")))),
            chunk(says(calls(call(1, None, None, '{"a":2}')))),
            STOP,
        ),
        Folded("", [("f", '{"a":1}'), ("f", '{"a":2}')], "tool_calls"),
    ),
    "length_then_filter": (
        sse(HI, chunk(says({}, "length")), chunk(says({}, "content_filter"))),
        Folded("Hi", [], "length"),
    ),
    "odd_reasons": (sse(HI, chunk(says({}, "eos"))), Folded("Hi", [], "stop")),
    "reason_null_as_text": (
        sse(chunk(says({"content": "Hi"}, "null")), chunk(says({}, "")), chunk(says({}, "content_filter"))),
        Folded("Hi", [], "content_filter"),
    ),
    "no_space_and_crlf": (
        sse(HI, STOP).replace(b"data: ", b"data:").replace(b"\n", b"\r\n"),
        Folded("Hi", [], "stop"),
    ),
    "cr": (sse(HI, STOP).replace(b"\n", b"\r"), Folded("Hi", [], "stop")),
    "cr_then_lf": (sse(HI, done=False).replace(b"\n", b"\r") + sse(STOP), Folded("Hi", [], "stop")),
    "byte_order_mark": (b"\xef\xbb\xbf" + sse(HI, STOP), Folded("Hi", [], "stop")),
    "several_lines_of_data": (
        sse(*("data: " + json.dumps(c, indent=1).replace("\n", "\ndata: ") + "\n\n" for c in (HI, STOP))),
        Folded("Hi", [], "stop"),
    ),
    "utf_8_and_u2028": (
        b"data: " + msgspec.json.encode(chunk(says({"content": "漢字 \u2028 🎉"}))) + b"\n\n" + sse(STOP),
        Folded("漢字 \u2028 🎉", [], "stop"),
    ),
    "end_mark_in_the_text": (
        sse(chunk(says({"content": "\n\ndata: [DONE]\n\n".replace("[DONE]", "[ DONE ]")})), STOP),
        Folded("\n\ndata: [ DONE ]\n\n", [], "stop"),
    ),
    "first_chunk_without_choices": (
        sse(chunk(prompt_filter_results=[], id="", created=0, model=""), HI, STOP),
        Folded("Hi", [], "stop"),
    ),
    "ids_and_times_change": (
        sse(
            HI,
            chunk(says({"content": "!"}), id="other", created=1, model="x"),
            chunk(says({}, "stop"), id=None),
        ),
        Folded("Hi!", [], "stop"),
    ),
    "message_for_delta": (
        sse(
            chunk(
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hi", **calls(call(None, "c", "f", None))},
                    "finish_reason": "stop",
                },
                object="chat.completion",
            )
        ),
        Folded("Hi", [("f", "{}")], "tool_calls"),
    ),
    "after_the_end": (sse(HI, STOP) + sse(HI, STOP) + b"data: <html>\n\n", Folded("Hi", [], "stop")),
    "end_without_mark": (sse(HI, STOP, done=False), Folded("Hi", [], "stop")),
    "end_without_mark_and_usage": (sse(HI, STOP, chunk(usage=USAGE), done=False), Folded("Hi", [], "stop")),
    "last_event_without_its_empty_line": (sse(HI, STOP, done=False)[:-2], Folded("Hi", [], "stop")),
    "end_mark_without_its_empty_line": (sse(HI)[:-2], Folded("Hi", [], "stop")),
    "cut_after_the_finish": (sse(HI, STOP, chunk(usage=USAGE), done=False)[:-9], Folded("Hi", [], "stop")),
}


@pytest.mark.parametrize("row", ROWS)
@given(cuts=st.lists(st.integers(0, 1500), max_size=12), usage=st.booleans())
@settings(max_examples=15, deadline=None)
def test_row_wherever_it_is_cut(row: str, cuts: list[int], usage: bool) -> None:
    raw, expected = ROWS[row]
    outcome = run(raw, cuts, usage=usage)
    assert not outcome.failed
    assert outcome.raw == run(raw, usage=usage).raw
    check_rules(outcome.chunks, usage=usage, has_usage=outcome.observed.usage is not None)
    assert fold(outcome.chunks) == [expected]
    assert outcome.observed.finished
    assert outcome.observed.has_content
    assert outcome.observed.error is None


@pytest.mark.parametrize("row", ROWS)
def test_row_byte_by_byte(row: str) -> None:
    raw, _ = ROWS[row]
    assert run(raw, list(range(len(raw)))).raw == run(raw).raw


STREAMED = [name for name, case in CASES.items() if "upstream_stream" in case]


def wire_of(items: list[Members]) -> bytes:
    out = ""
    for item in items:
        if "comment" in item:
            out += f":{item['comment']}\n\n"
        else:
            data = item["data"] if isinstance(item["data"], str) else json.dumps(item["data"])
            out += f"data: {data}\n\n"
    return out.encode()


@pytest.mark.parametrize("name", STREAMED)
@given(cuts=st.lists(st.integers(0, 2000), max_size=8))
@settings(max_examples=20, deadline=None)
def test_shared_stream_case(name: str, cuts: list[int]) -> None:
    case = CASES[name]
    body = case["request"]["body"]
    usage = bool(body.get("stream_options", {}).get("include_usage"))
    outcome = run(wire_of(case["upstream_stream"]), cuts, usage=usage, n=body.get("n", 1))
    check_rules(outcome.chunks, usage=usage)
    assert CHECKER.subsequence(case["expect_client_chunks"], [*outcome.chunks, "[DONE]"]) == []
    if "expect_client_folded" in case:
        (folded,) = fold(outcome.chunks)
        expected = case["expect_client_folded"]
        assert (folded.content, folded.finish) == (expected["content"], expected["finish_reason"])


def test_shared_cases_are_there() -> None:
    assert len(STREAMED) >= 3
