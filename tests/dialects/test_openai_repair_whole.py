"""The repair of whole answers (conformance 1.1)."""

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from openai_streams import CASES, CHECKER, answer, repair

from faregate.wire.messages import BadMessage


def test_required_members_are_there() -> None:
    whole = repair({"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
    ChatCompletion.model_validate(whole, strict=True)
    assert whole.pop("id").startswith("chatcmpl-")
    assert type(whole.pop("created")) is int
    assert whole == {
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "x", "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


@pytest.mark.parametrize("empty", [[], None])
def test_empty_calls_are_left_out(empty: object) -> None:
    message = repair(answer({"content": "x", "tool_calls": empty}))["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "x", "refusal": None}


def test_calls_are_mended() -> None:
    told = [
        {"id": "c", "function": {"name": "f"}},
        {
            "id": "c",
            "type": "function",
            "function": {"name": "g", "arguments": {"a": 1}},
            "extra_content": {},
        },
        {"function": {"name": "h", "arguments": ""}, "index": 7},
        {"id": "d", "type": "custom", "custom": {"name": "i", "input": ""}},
    ]
    choice = repair(answer({"content": "", "tool_calls": told}))["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["native_finish_reason"] == "stop"
    assert choice["message"]["content"] is None
    mended = choice["message"]["tool_calls"]
    assert [item["type"] for item in mended] == ["function", "function", "function", "custom"]
    assert [item["function"]["arguments"] for item in mended[:3]] == ["{}", '{"a":1}', "{}"]
    assert mended[0]["id"] == "c"
    assert len({item["id"] for item in mended}) == 4
    assert mended[1]["extra_content"] == {}
    assert "index" not in mended[2]


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_length_and_filter_win_over_calls(finish: str) -> None:
    told = [{"id": "c", "function": {"name": "f", "arguments": "{"}}]
    assert repair(answer({"tool_calls": told}, finish))["choices"][0]["finish_reason"] == finish


def test_legacy_function_call_finishes_as_one() -> None:
    legacy = {"content": None, "function_call": {"name": "f", "arguments": "{}"}}
    assert repair(answer(legacy, None))["choices"][0]["finish_reason"] == "function_call"


def test_creation_time_is_in_seconds() -> None:
    assert repair(answer(created=1_700_000_000_123))["created"] == 1_700_000_000
    assert repair(answer(created=1_700_000_000.5))["created"] == 1_700_000_000


def test_only_choice_is_choice_0() -> None:
    leaked = [{"index": 3, "message": {"content": "x"}}]
    assert repair(answer(choices=leaked))["choices"][0]["index"] == 0


def test_choices_are_numbered() -> None:
    message = {"content": "x"}
    same = [{"index": 0, "message": message}, {"index": 0, "message": message}]
    assert [choice["index"] for choice in repair(answer(choices=same), n=2)["choices"]] == [0, 1]
    swapped = [{"index": 1, "message": message}, {"index": 0, "message": message}]
    assert [choice["index"] for choice in repair(answer(choices=swapped), n=2)["choices"]] == [1, 0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b"{}",
        b'"x"',
        b"\xff",
        b"[" * 100_000,
        {"error": {"message": "no"}},
        {"choices": []},
        {"choices": None},
        {"choices": [1]},
        answer(error={"message": "no"}),
        answer({"content": ""}, "error"),
        answer({"content": None}, "MALFORMED_FUNCTION_CALL"),
    ],
)
def test_what_is_no_answer_raises(body: Any) -> None:
    with pytest.raises(BadMessage):
        repair(body)


WHOLE = [name for name, case in CASES.items() if "upstream_response" in case]


@pytest.mark.parametrize("name", WHOLE)
def test_shared_whole_case(name: str) -> None:
    case = CASES[name]
    given_answer = case["upstream_response"]
    raw = given_answer["raw_body"] if "raw_body" in given_answer else json.dumps(given_answer["body"])
    expected = case["expect_client_response_contains"]
    if str(expected.get("status", 200)).startswith("$re:^50"):
        with pytest.raises(BadMessage):
            repair(raw.encode())
    else:
        assert CHECKER.match(expected["body"], repair(raw.encode())) == []


def test_shared_cases_are_there() -> None:
    assert len(WHOLE) >= 4
